//! The test kit: a small world in which a connection's every choice is ours.
//!
//! * [`choices`]: where decisions come from: a seed, or an odometer that tries them all.
//! * [`sim`]: one thread, its tasks, its virtual clock, and the oracle that turns a hang into a failure.
//! * [`net`]: two bounded pipes and the [`net::SimStream`] at either end, in six models of how a transport keeps
//!   the waker it was given ([`net::Model`]).
//! * [`cut`]: futures that are dropped, leaked or forgotten at a chosen poll.
//! * [`ledger`]: payloads that tell which message and which byte they are, and who keeps count of them.
//! * [`slow`]: RFC 6455 the slow and obvious way, to compare with; [`wire`]: what it says of recorded bytes.
//! * [`inflate`]: RFC 1951 in the same spirit.
//! * [`flood`]: a peer that never ends, made up as it is read.
//! * [`nowhere`]: a stream whose writes go nowhere.
//! * [`script`]: a stream that plays given bytes in given pieces, for cuts by the hundred thousand.
//! * [`runs`]: the loops over seeds and models, and what is printed when one fails.
//!
//! The kit knows nothing of the library but its `Timer` trait; so it cannot share a misunderstanding with it.
//!
//! `SEED=7 MODEL=keep-last cargo test --test waking` replays one run, `RUNS=100000` makes more of them.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    clippy::mem_forget,
    reason = "each test binary compiles the whole kit and uses a part of it"
)]

pub mod choices;
pub mod cut;
pub mod flood;
pub mod inflate;
pub mod ledger;
pub mod net;
pub mod nowhere;
pub mod runs;
pub mod script;
pub mod signal;
pub mod sim;
pub mod slow;
pub mod wire;
