//! One connection after the handshake: two halves on one thread.

mod config;
mod timer;

pub use config::Config;
pub use timer::{NoTimer, Sleep, Timer};
