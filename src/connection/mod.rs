//! One connection after the handshake: two halves on one thread.

mod config;
mod stand_in;
mod timer;

pub use config::Config;
pub(crate) use stand_in::Role;
pub use stand_in::WebSocket;
pub use timer::{NoTimer, Sleep, Timer};

/// Ends the writing side of a stream whose `poll_close` only flushes (see `runtime::async_io`).
pub(crate) type HalfClose<T> = fn(&mut T) -> std::io::Result<()>;
