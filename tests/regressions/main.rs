//! How other WebSocket libraries were broken, and that each of these ways is closed here: one test a case.
//!
//! The cases were gathered from the advisories (the CVE, GHSA and RUSTSEC databases), the issue trackers and the histories of some
//! forty libraries. A test's name begins with the number of the advisory where there is one, else with the library (and its issue
//! or release). Each is as short as the fault allows, and goes by the library's public face; the same rules are proven at length in
//! the other test files.
//!
//! * [`lengths`]: payload lengths and arithmetic.
//! * [`fragments`]: messages in fragments.
//! * `compression`: permessage-deflate, with the feature of that name.
//! * [`handshake`]: heads of requests and answers.
//! * [`control`]: control frames, queues, flow control; how long a Pong may take.
//! * [`wakers`]: lost wake-ups, dropped futures, closing.
//! * [`masking`]: masking keys, memory that is not the peer's to see, defaults.
//!
//! What cannot happen to us:
//!
//! * CVE-2021-33880 (python websockets, a password compared in variable time): there is no authentication in here, and nothing
//!   secret is compared. (That `Sec-WebSocket-Accept` is compared exactly is tested all the same.)
//! * CVE-2020-15133 (faye-websocket), CVE-2018-8034 (Tomcat): TLS certificates not verified. That ours are, `tests/tls` shows; that `wss://` never
//!   becomes a plain connection is tested.
//! * CVE-2016-10518 (ws < 1.0.1), ws < 8.20.1: numbers or arrays given for a payload sent uninitialised memory. A payload is a
//!   `&str` or a `&[u8]`, and `unsafe` is forbidden in all of `src/`.
//! * CVE-2026-53522 (Nezha), CVE-2025-69199 (Pterodactyl): no cap on connections a user. Who is a user is the server's to know;
//!   `examples/battle` has caps, and tests of them.
//! * CVE-2026-5740 (Mattermost): a codec of the application allocated what a message declared. `examples/battle` has a codec, and
//!   tests of it.
//! * tokio-websockets 2024 and 2025 (undefined behaviour in fast paths): no `unsafe`; the wrong results that went with it are tested.
//! * RUSTSEC-2026-0221 (event-listener, a tag crosses threads), RUSTSEC-2026-0007 (bytes, an overflow in `reserve`): faults of others' code,
//!   whose versions `deny.toml` keeps out, and `rustsec_2026_0221_0007_and_0097_no_version_with_a_known_fault_is_locked` (`tests/architecture.rs`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::await_holding_refcell_ref,
    clippy::mem_forget,
    clippy::string_slice,
    reason = "tests say what they expect by failing"
)]

#[cfg(feature = "deflate")]
mod compression;
mod control;
#[path = "../ends/mod.rs"]
mod ends;
mod fragments;
mod handshake;
#[path = "../kit/mod.rs"]
mod kit;
mod lengths;
mod masking;
#[path = "../client/server.rs"]
mod server;
mod wakers;
#[path = "../handshake/wire.rs"]
mod wire;

use std::rc::Rc;

use ends::agree::{config, role_facing};
use kit::flood::{self, Flood, Seen};
use kit::slow::{self, Event, From, Limits};
use unsync_websocket::{Config, Error, NoTimer, ProtocolError, Role, WebSocket};
use unsync_websocket_test_alloc::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BOTH: [From; 2] = [From::Client, From::Server];

type Socket = WebSocket<Flood>;

/// The connection that hears `peer`.
fn facing(from: From, peer: Flood, config: Config) -> Socket {
    WebSocket::with_timer(peer, role_facing(from), config, Vec::new(), NoTimer)
}

/// A server whose client says `bytes` and then waits.
fn server(bytes: &[u8], config: Config) -> (Socket, Rc<Seen>) {
    let (peer, seen) = Flood::saying(bytes);
    (facing(From::Client, peer, config), seen)
}

/// All that `receive` tells, and the error that ended it; `None` if the connection waits for more.
fn tell(socket: &mut Socket) -> (Vec<Event>, Option<Error>) {
    let mut events = Vec::new();
    loop {
        match flood::run(socket.receiver.receive()) {
            None => return (events, None),
            Some(Ok(incoming)) => events.push(ends::event(incoming)),
            Some(Err(error)) => return (events, Some(error)),
        }
    }
}

/// The rule that `bytes` break, by `receive` and by `receive_data`, and the code that the peer is told.
#[track_caller]
fn fault(from: From, limits: Limits, bytes: &[u8]) -> (ProtocolError, u16) {
    let by_receive = {
        let (peer, seen) = Flood::saying(bytes);
        let mut socket = facing(from, peer, config(limits));
        let Some(Error::Protocol(error)) = tell(&mut socket).1 else { panic!("no rule is broken") };
        let _waits = flood::run(socket.close());
        (error, closed_with(from, &seen))
    };
    let by_receive_data = {
        let (peer, seen) = Flood::saying(bytes);
        let mut socket = facing(from, peer, config(limits));
        let mut data = Vec::new();
        let error = loop {
            match flood::run(socket.receiver.receive_data(&mut data)) {
                Some(Ok(_)) => {}
                Some(Err(Error::Protocol(error))) => break error,
                other => panic!("{other:?}"),
            }
        };
        let _waits = flood::run(socket.close());
        (error, closed_with(from, &seen))
    };
    assert_eq!(by_receive, by_receive_data);
    by_receive
}

/// The length that was too much.
#[track_caller]
fn announced(error: ProtocolError) -> u64 {
    match error {
        ProtocolError::FrameTooBig { len, .. } | ProtocolError::MessageTooBig { len, .. } => len,
        other => panic!("{other:?} is about no length"),
    }
}

/// The code of the Close that was written to `from`.
#[track_caller]
fn closed_with(from: From, seen: &Seen) -> u16 {
    let us = if from == From::Client { From::Server } else { From::Client };
    let heard = kit::wire::check_closed(us, &seen.written.borrow());
    kit::wire::close_code(&heard).expect("the Close has a code")
}

/// A header that declares `len` in the form of eight bytes, and no payload.
fn declares(from: From, first: u8, len: u64) -> Vec<u8> {
    let mask = if from == From::Client { 0x80 } else { 0 };
    let key: &[u8] = if from == From::Client { &[0; 4] } else { &[] };
    [&[first, mask | 127][..], &len.to_be_bytes(), key].concat()
}

/// So that the thread's own buffers are there before anything is measured.
fn warm() {
    let (mut socket, _) = server(&slow::frame(From::Client, true, slow::TEXT, b"warm"), Config::new());
    assert!(matches!(tell(&mut socket).0[..], [Event::Text(_)]));
    assert_eq!(socket.role(), Role::Server);
}
