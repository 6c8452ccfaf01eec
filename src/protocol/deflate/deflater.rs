//! Packing messages (RFC 7692, section 7.2.1).

use std::cell::OnceCell;
use std::rc::Rc;

use flate2::{Compress, Compression, FlushCompress};

use super::super::{Role, spare};
use super::{Codecs, Deflate};

/// What the sender leaves out: the end of the empty stored block that a flush makes.
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
/// The smallest window of zlib's compressors, in bits.
///
/// Nothing smaller is needed: they look back by at most the window less 262 bytes, so with this one by 250, which fits the
/// smallest window that can be agreed on, of 8 bits.
const SMALLEST: u8 = 9;

/// What packs messages.
#[derive(Debug)]
pub(crate) struct Deflater {
    level: u32,
    threshold: usize,
    /// Base-2 logarithm of the compressor's window: [`SMALLEST`] to 15.
    bits: u8,
    context: Context,
}

/// What a message may refer to.
#[derive(Debug)]
enum Context {
    /// Only to itself: the thread's compressor does.
    Message,
    /// To earlier ones: a compressor of our own, once there is a message.
    Connection(Option<Box<Compress>>),
}

impl Deflater {
    /// For what an endpoint that acts as `role` sends.
    pub(crate) fn new(agreed: &Deflate, role: Role) -> Self {
        let params = agreed.params();
        let (no_takeover, bits) = match role {
            Role::Server => (params.server_no_context_takeover, params.server_max_window_bits),
            Role::Client => (params.client_no_context_takeover, params.client_max_window_bits),
        };
        let context = if no_takeover { Context::Message } else { Context::Connection(None) };
        let &Deflate { level, threshold, .. } = agreed;
        Self { level, threshold, bits: bits.clamp(SMALLEST, 15), context }
    }

    /// Whether a message of `len` bytes is worth the trouble. An empty one never is: a compressor that has just been flushed makes
    /// nothing of it.
    pub(crate) const fn wants(&self, len: usize) -> bool {
        len >= self.wants_from()
    }

    /// The shortest that it [`wants`](Self::wants).
    pub(crate) const fn wants_from(&self) -> usize {
        if self.threshold == 0 { 1 } else { self.threshold }
    }

    /// The compressed form of a message that it [`wants`](Self::wants), in a spare buffer; `None` where that is not shorter.
    pub(crate) fn deflate(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let &mut Self { level, bits, .. } = self;
        match &mut self.context {
            Context::Message => deflate_alone(level, bits, payload),
            // What the compressor has seen the peer must see, shorter or not.
            Context::Connection(compress) => {
                let own = compress.get_or_insert_with(|| Box::new(new_compressor(level, bits)));
                let packed = deflate(own, payload);
                if packed.is_none() {
                    *compress = None;
                }
                packed
            }
        }
    }
}

pub(super) fn new_compressor(level: u32, bits: u8) -> Compress {
    Compress::new_with_window_bits(Compression::new(level), false, bits.clamp(SMALLEST, 15))
}

fn deflate_alone(level: u32, bits: u8, payload: &[u8]) -> Option<Vec<u8>> {
    let packed = Codecs::with_compressor(level, bits, |compress| deflate(compress, payload))?;
    if packed.len() < payload.len() {
        return Some(packed);
    }
    spare::give(packed);
    None
}

fn deflate(compress: &mut Compress, payload: &[u8]) -> Option<Vec<u8>> {
    let mut packed = spare::take();
    let mut input = payload;
    loop {
        // As much as it can come to, so that one step is enough.
        let most = input.len().saturating_add(input.len() / 8).saturating_add(64);
        packed.reserve(most);
        let before = compress.total_in();
        compress.compress_vec(input, &mut packed, FlushCompress::Sync).ok()?;
        let used = usize::try_from(compress.total_in().saturating_sub(before)).ok()?;
        input = input.get(used..)?;
        if input.is_empty() && packed.len() < packed.capacity() {
            break;
        }
    }
    let end = packed.len().checked_sub(TAIL.len())?;
    if packed.get(end..) != Some(&TAIL) {
        return None;
    }
    packed.truncate(end);
    Some(packed)
}

/// The compressed forms of a message that is sent to many: one for each window, made when it is first needed. The level is that of
/// the connection that needs it first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variants(Rc<OnceCell<Box<[Variant; 7]>>>);

/// The frame for one window; `None` where the message did not shrink.
type Variant = OnceCell<Option<Rc<[u8]>>>;

impl Variants {
    /// What `encode` makes of the compressed form of `payload` that suits a connection with this `deflater`; `None` if that one has to
    /// send it as it is: it is too short, does not shrink, or would become part of the connection's context.
    pub(crate) fn get_or_encode(
        &self,
        deflater: &Deflater,
        payload: &[u8],
        encode: impl FnOnce(&[u8]) -> Rc<[u8]>,
    ) -> Option<&Rc<[u8]>> {
        let &Deflater { level, bits, ref context, .. } = deflater;
        if matches!(context, Context::Connection(_)) || !deflater.wants(payload.len()) {
            return None;
        }
        let all = self.0.get_or_init(Default::default);
        let variant = all.get(usize::from(bits.saturating_sub(SMALLEST)))?;
        let encoded = || {
            let packed = deflate_alone(level, bits, payload)?;
            let frame = encode(&packed);
            spare::give(packed);
            Some(frame)
        };
        variant.get_or_init(encoded).as_ref()
    }
}
