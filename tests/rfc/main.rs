//! RFC 6455 and RFC 7692, section by section: what the Autobahn test suite leaves out, or asks of a few cases only.
//!
//! * [`framing`]: masks, reserved bits and opcodes, the forms of a length, fragments, control frames (sections 5.1 to 5.5).
//! * [`closing`]: every close code both ways, reasons, what follows a Close (sections 5.5.1 and 7).
//! * [`text`]: UTF-8 over every cut, and its first bad octet (section 8.1).
//! * `deflate`: compressed messages that are none, or too much, or look so (RFC 7692), with the feature of that name.
//! * [`every`]: every opcode, reserved bit, FIN, MASK, length, role and state of the reader, against the slow model (T4).
//!
//! The core is asked first (`Inbound`, `Outbound`); where the peer sees the answer, a whole connection is, and what it wrote is
//! read by the slow model: the pongs that were due, one Close with the right code, and nothing behind it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::mem_forget,
    clippy::string_slice,
    reason = "tests say what they expect by failing"
)]

mod closing;
#[cfg(feature = "deflate")]
mod deflate;
#[path = "../ends/mod.rs"]
mod ends;
mod every;
mod framing;
#[path = "../kit/mod.rs"]
mod kit;
mod text;

use ends::agree::{Stream, inbound_facing, tell};
use kit::slow::{Event, From, Limits, Seen, Verdict};
use unsync_websocket::protocol::ProtocolError;
use unsync_websocket_test_alloc::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BOTH: [From; 2] = [From::Client, From::Server];

/// What the core makes of bytes without limits; they come whole, and again one by one, and that must not matter.
fn story(from: From, bytes: &[u8]) -> (Vec<Event>, Option<ProtocolError>) {
    let mut inbound = inbound_facing(from, Limits::NONE);
    let whole = tell(&mut inbound, bytes);
    let mut inbound = inbound_facing(from, Limits::NONE);
    let (mut events, mut error) = (Vec::new(), None);
    for byte in bytes.chunks(1) {
        let (told, fault) = tell(&mut inbound, byte);
        events.extend(told);
        error = fault;
        if error.is_some() {
            break;
        }
    }
    assert_eq!((&events, error), (&whole.0, whole.1), "byte by byte, {bytes:x?}");
    whole
}

/// The error that the core has about the last of these bytes, and not before it.
#[track_caller]
fn fault(from: From, bytes: &[u8]) -> ProtocolError {
    story(from, bytes).1.unwrap_or_else(|| panic!("{bytes:x?} of a {from:?} break no rule"))
}

/// All three ways to read `bytes` agree with the slow model, in one piece and byte by byte; and so do the answers. Returns what
/// the model saw.
#[track_caller]
fn connection_agrees(from: From, bytes: Vec<u8>) -> Seen {
    let stream = Stream::new(from, Limits::NONE, bytes);
    for cuts in [vec![], (1..stream.bytes.len()).collect()] {
        stream.core_agrees(&cuts);
        stream.receive_agrees(cuts.clone(), usize::MAX);
        stream.receive_data_agrees(cuts);
    }
    stream.seen
}

/// As [`connection_agrees`], and the connection fails with this code (section 7.1.7).
#[track_caller]
fn connection_fails(from: From, bytes: Vec<u8>, code: u16) {
    let seen = connection_agrees(from, bytes);
    assert!(matches!(seen.verdict, Verdict::Fault { code: is, .. } if is == code), "{seen:?}");
}
