//! The opening handshake (RFC 6455, section 4): from the first byte of a stream to a connection.
//!
//! ```text
//! bytes ─▶ head ─▶ request ─▶ origin            sans-IO: bytes and values, no stream, no clock
//!                     │
//! bytes ◀─ response ◀─┴─ key
//!
//! link                                          a stream under a deadline: polls
//! responding                                    an answer on its way out: a future by hand
//! server                                        what users call: awaits
//! ```

mod error;
mod head;
mod headers;
mod key;
mod link;
mod origin;
mod request;
mod responding;
mod response;
mod server;

pub use error::HandshakeError;
pub use headers::Headers;
pub use request::Request;
pub use responding::{Responding, Response};
pub use server::{Parts, Server, ServerRequest};
