//! The opening handshake (RFC 6455, section 4): from the first byte of a stream to a connection.
//!
//! ```text
//! bytes ─▶ head ─▶ request ─▶ origin            sans-IO: bytes and values, no stream, no clock
//!           │         │
//! bytes ◀─ response ◀─┴─ key ─▶ offer ─▶ bytes
//!           │                     │
//!           └─▶ answer ───────────┴─▶ refusal
//!
//! extensions                                    what request, response, offer and answer say of them: sans-IO too
//! link                                          a stream under a deadline: polls
//! responding                                    an answer on its way out: a future by hand
//! server, client                                what users call: await
//! ```

mod answer;
mod client;
mod error;
mod extensions;
mod head;
mod headers;
mod key;
mod link;
mod offer;
mod origin;
mod refusal;
mod request;
mod responding;
mod response;
mod server;
#[cfg(feature = "async-io")]
mod url;

pub use client::Client;
pub use error::HandshakeError;
pub use headers::Headers;
pub use refusal::Refusal;
pub use request::Request;
pub use responding::{Responding, Response};
pub use server::{Parts, Server, ServerRequest};
#[cfg(feature = "async-io")]
pub(crate) use url::{Scheme, Url};
