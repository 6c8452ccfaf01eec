//! permessage-deflate (RFC 7692): what is wanted of it, what was agreed on, and the two codecs.

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
    #[must_use]
    pub const fn level(mut self, level: u32) -> Self {
        self.level = if level > 9 { 9 } else { level };
        self
    }

    /// Messages of fewer bytes go out as they are (default 1 KiB): of a short one compression saves little, and it costs
    /// microseconds. It is ours alone: the peer is not told.
    #[must_use]
    pub const fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// Whether the server is to forget each message before it compresses the next (RFC 7692, section 7.1.1.1; default yes).
    ///
    /// `false` compresses better where messages are alike. A server that keeps its context holds some 300 KiB for each
    /// connection that has sent a compressed message, and its client up to 32 KiB.
    #[must_use]
    pub const fn server_no_context_takeover(mut self, yes: bool) -> Self {
        self.params.server_no_context_takeover = yes;
        self
    }

    /// Whether the client is to forget each message before it compresses the next (RFC 7692, section 7.1.1.2; default yes).
    /// The costs are those of the [other direction](Self::server_no_context_takeover), with the sides exchanged.
    #[must_use]
    pub const fn client_no_context_takeover(mut self, yes: bool) -> Self {
        self.params.client_no_context_takeover = yes;
        self
    }

    /// Base-2 logarithm of the window in which the server may look back (RFC 7692, section 7.1.2.1): 8 to 15, default 15; other numbers
    /// count as the nearest of these.
    #[must_use]
    pub const fn server_max_window_bits(mut self, bits: u8) -> Self {
        self.params.server_max_window_bits = window_bits(bits);
        self
    }

    /// Base-2 logarithm of the window in which the client may look back (RFC 7692, section 7.1.2.2): 8 to 15, default 15; other numbers
    /// count as the nearest of these.
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

/// What unpacks a compressed message.
#[derive(Debug)]
pub(crate) enum Inflater {}
