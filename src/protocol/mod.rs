//! The protocol without any I/O: bytes ⇄ events (RFC 6455). No futures, no clock, no socket, no global generator.
//!
//! [`Inbound`] turns the bytes of one direction into [`Event`]s, [`Outbound`] turns messages into the bytes of the
//! other. Neither knows its twin; [`connection`](crate::WebSocket) feeds both from one stream. Whoever wants another
//! kind of I/O (blocking, io_uring, a simulator) can do the same with these two.

mod close;
#[cfg_attr(not(feature = "deflate"), path = "no_deflate.rs")]
mod deflate;
mod error;
mod header;
mod inbound;
mod mask;
mod outbound;
pub(crate) mod spare;
mod utf8;

pub use close::{CloseCode, CloseFrame};
#[cfg(feature = "deflate")]
pub use deflate::Deflate;
#[cfg(not(feature = "deflate"))]
pub(crate) use deflate::Deflate;
pub(crate) use deflate::{DeflateParams, Deflater, Inflater};
pub use error::ProtocolError;
pub use header::{EncodedHeader, FrameHeader, OpCode, Role};
pub use inbound::{Event, Inbound, Limits, MessageKind};
pub use mask::{Mask, MaskingKeys};
pub use outbound::{Batch, EncodedFrame, Outbound};
pub(crate) use outbound::{Compress, Rest, ShortFrame, Unsent};
pub use utf8::Utf8Validator;
