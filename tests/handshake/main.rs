//! The opening handshake on the server's side, over streams that do what a test tells them.
//!
//! `wire` is the stream and the clock; the other files ask one question each.

mod deadline;
mod driver;
mod limits;
mod origin;
mod random;
mod smuggling;
mod threads;
mod wire;
