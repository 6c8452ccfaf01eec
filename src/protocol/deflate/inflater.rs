//! Unpacking messages (RFC 7692, section 7.2.2).
//!
//! A message's compressed bytes are collected until it is whole and then inflated at once by the thread's decompressor. So a
//! connection holds what has arrived, never what that may swell to; and the only thing that it has to keep between
//! messages is the window: the end of what was inflated so far, and that only if the peer looks back into it.

use flate2::{Decompress, FlushDecompress, Status};

use super::super::{ProtocolError, Role, spare};
use super::{Codecs, Deflate};

/// What the sender left out, the end of an empty stored block; and behind it an empty final block, which the decompressor must
/// find exactly here. Where it does not, the message was cut short.
const TAIL: [u8; 9] = [0x00, 0x00, 0xFF, 0xFF, 0x01, 0x00, 0x00, 0xFF, 0xFF];
/// Bytes that are inflated in one step, so at most so many past a limit.
const STEP: usize = 16 << 10;

#[derive(Debug)]
pub(crate) struct Inflater {
    /// What has come of the present message, compressed.
    packed: Vec<u8>,
    /// How far the peer may look back into earlier messages.
    window_size: usize,
    /// The last so many bytes of those.
    window: Vec<u8>,
}

impl Inflater {
    /// For what the peer of an endpoint that acts as `role` sends.
    pub(crate) fn new(agreed: &Deflate, role: Role) -> Self {
        let params = agreed.params();
        let (no_takeover, bits) = match role {
            Role::Server => (params.client_no_context_takeover, params.client_max_window_bits),
            Role::Client => (params.server_no_context_takeover, params.server_max_window_bits),
        };
        let window_size = if no_takeover { 0 } else { 1 << bits.min(15) };
        Self { packed: Vec::new(), window_size, window: Vec::new() }
    }

    /// The most compressed bytes that a message of `max` bytes can honestly have: what DEFLATE cannot shrink grows a little.
    pub(crate) const fn max_packed(max: usize) -> usize {
        max.saturating_add(max / 8).saturating_add(64)
    }

    /// Begins a message.
    pub(crate) fn begin(&mut self) {
        self.packed = spare::take();
    }

    /// Where the compressed bytes of the message are collected.
    pub(crate) fn packed(&mut self) -> &mut Vec<u8> {
        &mut self.packed
    }

    /// Ends the message, and appends its data to `to`.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::MessageTooBig`] when there are more than `max` bytes, [`ProtocolError::InvalidDeflate`] when
    /// the compressed bytes mean nothing. `to` has something of the message then.
    pub(crate) fn finish(&mut self, to: &mut Vec<u8>, max: usize) -> Result<(), ProtocolError> {
        let packed = std::mem::take(&mut self.packed);
        let start = to.len();
        // Some send an empty message as no bytes at all, because their compressor has nothing to add to its last flush.
        if !packed.is_empty() {
            Codecs::with_decompressor(|decompress| {
                let looks_back = !self.window.is_empty();
                if looks_back && decompress.set_dictionary(&self.window).is_err() {
                    return Err(ProtocolError::InvalidDeflate);
                }
                inflate(decompress, &packed, to, max)
            })?;
        }
        spare::give(packed);
        self.remember(to.get(start..).unwrap_or_default());
        Ok(())
    }

    /// Forgets everything: no message follows.
    pub(crate) fn release(&mut self) {
        self.packed = Vec::new();
        self.window = Vec::new();
    }

    /// Keeps the end of what there was before and of `data`, as far as the peer may look back.
    fn remember(&mut self, data: &[u8]) {
        let kept = self.window_size.saturating_sub(data.len());
        let forgotten = self.window.len().saturating_sub(kept);
        self.window.drain(..forgotten);
        let new = data.len().saturating_sub(self.window_size);
        self.window.extend_from_slice(data.get(new..).unwrap_or_default());
    }
}

/// Inflates all of `input` to the end of `to`, up to `max` bytes.
fn inflate(
    decompress: &mut Decompress,
    mut input: &[u8],
    to: &mut Vec<u8>,
    max: usize,
) -> Result<(), ProtocolError> {
    let start = to.len();
    loop {
        let len = to.len().saturating_sub(start);
        let left = max.saturating_sub(len).saturating_add(1);
        let step = input.len().saturating_mul(4).clamp(512, STEP).min(left);
        let end = to.len();
        if to.capacity().saturating_sub(end) < step {
            // Twice as much, but never for more than a message may have.
            to.reserve_exact(step.max(len).min(left));
        }
        to.resize(end.saturating_add(step), 0);
        let space = to.get_mut(end..).unwrap_or_default();
        let ran = run(decompress, input, space);
        to.truncate(end.saturating_add(ran.map_or(0, |ran| ran.made)));
        let Ran { status, used, made } = ran?;
        input = input.get(used..).unwrap_or_default();
        let len = to.len().saturating_sub(start);
        if len > max {
            let len = u64::try_from(len).unwrap_or(u64::MAX);
            return Err(ProtocolError::MessageTooBig { len, max });
        }
        if status == Status::StreamEnd {
            // A final block (section 7.2.3.4). What comes next is another stream, which cannot look back; usually just the start of
            // the empty block whose end was left out.
            if input.is_empty() {
                return Ok(());
            }
            decompress.reset(false);
        } else if input.is_empty() && made < step {
            break;
        } else if used == 0 && made == 0 {
            return Err(ProtocolError::InvalidDeflate);
        }
    }
    match run(decompress, &TAIL, &mut [0; 16])? {
        Ran { status: Status::StreamEnd, used, made: 0 } if used == TAIL.len() => Ok(()),
        _ => Err(ProtocolError::InvalidDeflate),
    }
}

/// What one step of the decompressor came to.
#[derive(Clone, Copy)]
struct Ran {
    status: Status,
    /// Bytes of input.
    used: usize,
    /// Bytes of output.
    made: usize,
}

fn run(decompress: &mut Decompress, input: &[u8], output: &mut [u8]) -> Result<Ran, ProtocolError> {
    let (used, made) = (decompress.total_in(), decompress.total_out());
    let status = decompress.decompress(input, output, FlushDecompress::None);
    let since = |now: u64, before: u64| usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX);
    let (used, made) = (since(decompress.total_in(), used), since(decompress.total_out(), made));
    status.map(|status| Ran { status, used, made }).map_err(|_| ProtocolError::InvalidDeflate)
}
