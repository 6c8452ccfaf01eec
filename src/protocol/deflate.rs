//! permessage-deflate (RFC 7692): what is wanted of it, what was agreed on, and the two codecs.
//!
//! flate2's `Compress` and `Decompress` are used as they are: its stream wrappers insist on a final block, which
//! never comes here (section 7.2).

mod deflater;
mod inflater;

use std::cell::Cell;

use flate2::{Compress, Decompress};

use super::{Inbound, Outbound};

pub(crate) use deflater::{Deflater, Variants};
pub(crate) use inflater::Inflater;

/// What is wanted of permessage-deflate (RFC 7692), or what was agreed on.
///
/// The defaults ask for no context takeover in either direction: each message is compressed on its own. Then one
/// compressor and one decompressor serve all connections of a thread, and an idle connection costs nothing more than
/// one without compression.
///
/// | | default |
/// |---|---|
/// | [`level`](Self::level) | 6 |
/// | [`threshold`](Self::threshold) | 1 KiB |
/// | [`server_no_context_takeover`](Self::server_no_context_takeover) | yes |
/// | [`client_no_context_takeover`](Self::client_no_context_takeover) | yes |
/// | [`server_max_window_bits`](Self::server_max_window_bits) | 15 (32 KiB) |
/// | [`client_max_window_bits`](Self::client_max_window_bits) | 15 (32 KiB) |
///
/// # Examples
///
/// ```
/// use unsync_websocket::{Config, Deflate};
///
/// let config = Config::new().deflate(Deflate::new().level(1).threshold(256));
/// # drop(config);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    pub(crate) level: u32,
    pub(crate) threshold: usize,
    pub(crate) params: DeflateParams,
}

/// The four parameters of RFC 7692, section 7.1: as they are wanted, or as they were agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeflateParams {
    pub(crate) server_no_context_takeover: bool,
    pub(crate) client_no_context_takeover: bool,
    /// 8 to 15.
    pub(crate) server_max_window_bits: u8,
    /// 8 to 15.
    pub(crate) client_max_window_bits: u8,
}

impl Default for Deflate {
    fn default() -> Self {
        Self::new()
    }
}

impl Deflate {
    /// The defaults.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::Deflate;
    ///
    /// assert_eq!(Deflate::new(), Deflate::new().level(6).threshold(1024));
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            level: 6,
            threshold: 1024,
            params: DeflateParams {
                server_no_context_takeover: true,
                client_no_context_takeover: true,
                server_max_window_bits: 15,
                client_max_window_bits: 15,
            },
        }
    }

    /// How hard the compressor tries, 0 (not at all) to 9; a larger number counts as 9. Default 6. It is ours alone: the peer is
    /// not told.
    ///
    /// What a lower one saves of a server's time and costs in bytes, where an echo of JSON of 1 KiB (and of 16 KiB) is compressed: 3 takes 0.98 (0.77) of what
    /// 6 takes, for 1 % (4 %) more bytes; 2 takes 0.95 (0.64), for 4 % (9 %); 1 takes 0.60 (0.42), for 39 % (56 %).
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{Config, Deflate};
    ///
    /// let config = Config::new().deflate(Deflate::new().level(1)); // quick, and not so small
    /// # drop(config);
    /// ```
    #[must_use]
    pub const fn level(mut self, level: u32) -> Self {
        self.level = if level > 9 { 9 } else { level };
        self
    }

    /// Messages of fewer bytes go out as they are (default 1 KiB): of a short one compression saves little, and it costs
    /// microseconds. It is ours alone: the peer is not told.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{Config, Deflate};
    ///
    /// let config = Config::new().deflate(Deflate::new().threshold(200)); // shorter ones go out as they are
    /// # drop(config);
    /// ```
    #[must_use]
    pub const fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// Whether the server is to forget each message before it compresses the next (RFC 7692, section 7.1.1.1; default yes).
    ///
    /// `false` compresses better where messages are alike. A server that keeps its context holds some 370 KiB for each
    /// connection that has sent a compressed message, and its client up to 32 KiB.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{Config, Deflate};
    ///
    /// let config = Config::new().deflate(Deflate::new().server_no_context_takeover(false)); // a ticker, each message like the last
    /// # drop(config);
    /// ```
    #[must_use]
    pub const fn server_no_context_takeover(mut self, yes: bool) -> Self {
        self.params.server_no_context_takeover = yes;
        self
    }

    /// Whether the client is to forget each message before it compresses the next (RFC 7692, section 7.1.1.2; default yes).
    /// The costs are those of the [other direction](Self::server_no_context_takeover), with the sides exchanged.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{Config, Deflate};
    ///
    /// let config = Config::new().deflate(Deflate::new().client_no_context_takeover(false)); // the client says much the same, too
    /// # drop(config);
    /// ```
    #[must_use]
    pub const fn client_no_context_takeover(mut self, yes: bool) -> Self {
        self.params.client_no_context_takeover = yes;
        self
    }

    /// Base-2 logarithm of the window in which the server may look back (RFC 7692, section 7.1.2.1): 8 to 15, default 15; other numbers
    /// count as the nearest of these.
    ///
    /// zlib has no compressor for 8. It need not: with 9 its references go back by at most 250 bytes (the window less the 262 that it
    /// wants to see ahead), so that one meets 8 too, and is what is used.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{Config, Deflate};
    ///
    /// let config = Config::new().deflate(Deflate::new().server_max_window_bits(10)); // 1 KiB to look back in
    /// # drop(config);
    /// ```
    #[must_use]
    pub const fn server_max_window_bits(mut self, bits: u8) -> Self {
        self.params.server_max_window_bits = window_bits(bits);
        self
    }

    /// Base-2 logarithm of the window in which the client may look back (RFC 7692, section 7.1.2.2): 8 to 15, default 15; other numbers
    /// count as the nearest of these.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{Config, Deflate};
    ///
    /// let config = Config::new().deflate(Deflate::new().client_max_window_bits(9)); // 512 bytes to look back in
    /// # drop(config);
    /// ```
    #[must_use]
    pub const fn client_max_window_bits(mut self, bits: u8) -> Self {
        self.params.client_max_window_bits = window_bits(bits);
        self
    }

    /// What is wanted or agreed on beyond what is ours alone.
    pub(crate) const fn params(&self) -> DeflateParams {
        self.params
    }

    /// The same with what was agreed on.
    pub(crate) const fn with_params(mut self, params: DeflateParams) -> Self {
        self.params = params;
        self
    }
}

const fn window_bits(bits: u8) -> u8 {
    match bits {
        0..=8 => 8,
        15.. => 15,
        _ => bits,
    }
}

impl Inbound {
    /// Takes compressed messages, as agreed on (RFC 7692).
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::protocol::{Event, Inbound, Limits, MessageKind};
    /// use unsync_websocket::{Deflate, Role};
    ///
    /// let mut inbound = Inbound::new(Role::Client, Limits::default()).with_deflate(&Deflate::new());
    /// // The compressed "Hello" of RFC 7692, section 7.2.3.1.
    /// let mut input = &[0xC1, 0x07, 0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00][..];
    /// assert_eq!(inbound.receive(&mut input)?, Some(Event::Message(MessageKind::Text)));
    /// assert_eq!(inbound.payload(), b"Hello");
    /// # Ok::<(), unsync_websocket::ProtocolError>(())
    /// ```
    #[must_use]
    pub fn with_deflate(self, agreed: &Deflate) -> Self {
        self.agree(Some(agreed))
    }
}

impl Outbound {
    /// Compresses messages, as agreed on (RFC 7692).
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::Deflate;
    /// use unsync_websocket::protocol::{MessageKind, Outbound};
    ///
    /// let mut outbound = Outbound::server().with_deflate(&Deflate::new());
    /// outbound.push(MessageKind::Text, &[b'a'; 2000]);
    /// assert!(outbound.queued() < 50);
    /// ```
    #[must_use]
    pub fn with_deflate(self, agreed: &Deflate) -> Self {
        self.agree(Some(agreed))
    }
}

thread_local! {
    static THREAD: Codecs = const { Codecs::new() };
}

/// What a thread's connections share: whatever keeps nothing from one message to the next.
struct Codecs {
    /// In a box, so that a connection has room for it and not much more.
    decompress: Cell<Option<Box<Decompress>>>,
    /// With their level and window bits, the last used first.
    compress: Cell<Vec<(u32, u8, Compress)>>,
}

/// Compressors that a thread keeps: connections seldom agree on more than a few kinds.
const COMPRESSORS: usize = 4;

impl Codecs {
    const fn new() -> Self {
        Self { decompress: Cell::new(None), compress: Cell::new(Vec::new()) }
    }

    /// The thread's decompressor, or another while that is lent; as new.
    fn take_decompressor() -> Box<Decompress> {
        // At the end of a thread, when its locals are gone, a connection may still be polled.
        let kept = THREAD.try_with(|codecs| codecs.decompress.take()).ok().flatten();
        match kept {
            Some(mut decompress) => {
                decompress.reset(false);
                decompress
            }
            None => Box::new(Decompress::new(false)),
        }
    }

    fn give_decompressor(decompress: Box<Decompress>) {
        let _ended = THREAD.try_with(|codecs| codecs.decompress.set(Some(decompress)));
    }

    /// Lends the thread's compressor of this kind, as new.
    fn with_compressor<R>(level: u32, bits: u8, work: impl FnOnce(&mut Compress) -> R) -> R {
        let mut kept = THREAD.try_with(|codecs| codecs.compress.take()).unwrap_or_default();
        let mut compress = match kept.iter().position(|kind| (kind.0, kind.1) == (level, bits)) {
            Some(place) => {
                let mut compress = kept.remove(place).2;
                compress.reset();
                compress
            }
            None => deflater::new_compressor(level, bits),
        };
        let result = work(&mut compress);
        kept.insert(0, (level, bits, compress));
        kept.truncate(COMPRESSORS);
        let _ended = THREAD.try_with(|codecs| codecs.compress.set(kept));
        result
    }
}
