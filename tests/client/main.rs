//! The opening handshake on the client's side, over streams that do what a test tells them.
//!
//! `server` is who answers; `wire`, the stream and the clock, is that of the server's tests. The other files ask one
//! question each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests say what they expect by failing"
)]

mod answers;
mod deadline;
#[cfg(feature = "deflate")]
mod deflate;
mod driver;
mod fields;
mod limits;
#[cfg(feature = "async-io")]
mod open;
mod ours;
mod random;
mod refusals;
mod section_4_1;
mod server;
#[path = "../handshake/wire.rs"]
mod wire;
