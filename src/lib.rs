//! WebSockets for local executors.

mod connection;
mod runtime;

pub use connection::{Config, NoTimer, Sleep, Timer};
#[cfg(feature = "async-io")]
pub use runtime::async_io::AsyncIoTimer;
pub mod protocol;
pub use protocol::{CloseCode, CloseFrame, EncodedFrame, ProtocolError, Role};
