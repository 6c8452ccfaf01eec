//! The opening handshake on the server's side, over streams that do what a test tells them.
//!
//! `wire` is the stream and the clock; the other files ask one question each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests say what they expect by failing"
)]

mod deadline;
#[cfg(feature = "deflate")]
mod deflate;
mod driver;
mod limits;
mod origin;
mod random;
mod section_4_2;
mod smuggling;
#[cfg(feature = "async-io")]
mod tcp;
mod threads;
mod wire;

use unsync_websocket_test_alloc::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
