//! The place of permessage-deflate (RFC 7692). The codec is not built yet: these are types without values, so that
//! nothing can agree on compression and RSV1 is never legal.

/// What unpacks a compressed message.
#[derive(Debug)]
pub(crate) enum Inflater {}
