//! WebSockets for local executors.

mod connection;
mod handshake;
mod runtime;

pub use connection::{Config, NoTimer, Sleep, Timer, WebSocket};
pub use handshake::{HandshakeError, Headers, Parts, Request, Responding, Response, Server, ServerRequest};
#[cfg(feature = "async-io")]
pub use runtime::async_io::AsyncIoTimer;
