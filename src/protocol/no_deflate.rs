//! permessage-deflate (RFC 7692) without the feature `deflate`: types without values, so that nothing can ask for compression, nothing
//! can agree on it, and RSV1 is never legal. The code that uses them is the same.

/// What is wanted of permessage-deflate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deflate {}

/// Its four parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeflateParams {
    pub(crate) server_no_context_takeover: bool,
    pub(crate) client_no_context_takeover: bool,
    pub(crate) server_max_window_bits: u8,
    pub(crate) client_max_window_bits: u8,
}

impl Deflate {
    pub(crate) const fn params(&self) -> DeflateParams {
        match *self {}
    }

    pub(crate) const fn with_params(self, _: DeflateParams) -> Self {
        match self {}
    }
}

/// What unpacks a compressed message.
#[derive(Debug)]
pub(crate) enum Inflater {}
