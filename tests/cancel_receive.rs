//! T23: a receive that is dropped, at any poll, loses nothing.
//!
//! Everything a receiver knows lives in the receiver and not in its futures. So `receive` and `receive_data` are dropped at every
//! poll, in every pattern, and what arrives must still be every message, once, whole and in order.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::await_holding_refcell_ref,
    clippy::mem_forget,
    reason = "tests say what they expect by failing"
)]

mod ends;
mod kit;

use std::rc::Rc;

use ends::cancel::dropped_receives;
use ends::{event, maybe_deflate, pair, reader_of, spawn_all};
use kit::choices::Odometer;
use kit::cut::{cut, cut_and_leak};
use kit::ledger::Ledger;
use kit::net::Config as Net;
use kit::runs::{each_seed_and_model, shared};
use kit::script::{Script, drive};
use kit::sim::Sim;
use kit::slow::{self, BINARY, CONTINUATION, Event, From, Limits, PING, TEXT};
use unsync_websocket::{Config, Incoming, WebSocket};

/// A conversation with all that can be cut in it.
fn script(from: From) -> Vec<u8> {
    [
        slow::frame(from, true, TEXT, "né".as_bytes()),
        slow::frame(from, false, BINARY, b"ab"),
        slow::frame(from, true, PING, b"p"),
        slow::frame(from, true, CONTINUATION, b"c"),
        slow::frame(from, true, BINARY, b""),
        slow::close(from, 1000, "x"),
    ]
    .concat()
}

fn shown(from: From, bytes: &[u8]) -> Vec<Event> {
    let seen = slow::read(from, Limits::NONE, bytes);
    seen.events.into_iter().filter(|event| !matches!(event, Event::Ping(_))).collect()
}

/// How a dropped receive is dropped, and after how many polls; `None`: it is awaited.
type Pattern<'a> = &'a dyn Fn() -> Option<(usize, Dropped)>;

#[derive(Clone, Copy)]
enum Dropped {
    Dropped,
    Leaked,
}

async fn receive_cut(socket: &mut WebSocket<Script>, pattern: Pattern<'_>) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let received = match pattern() {
            None => Some(socket.receiver.receive().await),
            Some((polls, Dropped::Dropped)) => cut(socket.receiver.receive(), polls).await,
            Some((polls, Dropped::Leaked)) => cut_and_leak(socket.receiver.receive(), polls).await,
        };
        match received {
            Some(Ok(incoming)) => events.push(event(incoming)),
            Some(Err(error)) => {
                assert!(error.is_clean_close(), "{error:?}");
                return events;
            }
            None => {}
        }
    }
}

/// As bytes, since `receive_data` appends.
async fn receive_data_cut(socket: &mut WebSocket<Script>, pattern: Pattern<'_>) -> Vec<Event> {
    let (mut events, mut data) = (Vec::new(), Vec::new());
    loop {
        let received = match pattern() {
            None => Some(socket.receiver.receive_data(&mut data).await),
            Some((polls, Dropped::Dropped)) => cut(socket.receiver.receive_data(&mut data), polls).await,
            Some((polls, Dropped::Leaked)) => {
                cut_and_leak(socket.receiver.receive_data(&mut data), polls).await
            }
        };
        match received {
            Some(Ok(_)) => events.push(Event::Binary(std::mem::take(&mut data))),
            Some(Err(error)) => {
                assert!(error.is_clean_close(), "{error:?}");
                return events;
            }
            // Not even the beginning of a message.
            None => assert_eq!(data, b"", "a dropped receive_data left bytes behind"),
        }
    }
}

fn check(from: From, cuts: Vec<usize>, pattern: Pattern<'_>) {
    let bytes: Rc<[u8]> = script(from).into();
    let expected = shown(from, &bytes);
    let mut socket = reader_of(from, Script::new(bytes.clone(), cuts.clone()), Config::new());
    assert_eq!(drive(receive_cut(&mut socket, pattern)), expected);

    let expected: Vec<_> = expected
        .into_iter()
        .filter_map(|event| match event {
            Event::Text(text) => Some(Event::Binary(text.into())),
            Event::Binary(data) => Some(Event::Binary(data)),
            _ => None,
        })
        .collect();
    let mut socket = reader_of(from, Script::new(bytes, cuts), Config::new());
    assert_eq!(drive(receive_data_cut(&mut socket, pattern)), expected);
}

#[test]
fn a_receive_dropped_at_every_poll_loses_nothing() {
    for from in [From::Client, From::Server] {
        let len = script(from).len();
        for dropped in [Dropped::Dropped, Dropped::Leaked] {
            for polls in 1..6 {
                check(from, (1..len).collect(), &|| Some((polls, dropped)));
                for piece in 2..len {
                    check(from, (1..len).filter(|at| at % piece == 0).collect(), &|| Some((polls, dropped)));
                }
            }
        }
    }
}

#[test]
fn a_receive_dropped_in_any_pattern_of_the_first_twelve_polls_loses_nothing() {
    for from in [From::Client, From::Server] {
        let len = script(from).len();
        for piece in [1, 3] {
            let runs = Odometer::each_beginning(12, 10_000, |choices| {
                let pattern = || {
                    if choices.choose(2) == 0 { Some((1, Dropped::Dropped)) } else { None }
                };
                check(from, (1..len).filter(|at| at % piece == 0).collect(), &pattern);
            });
            assert!(runs > 100, "{runs}");
        }
    }
}

#[test]
fn a_dropped_receive_can_be_followed_by_either_kind() {
    for from in [From::Client, From::Server] {
        let bytes: Rc<[u8]> = script(from).into();
        for polls in 1..bytes.len() {
            // Dropped as one kind, gone on with as the other.
            let cuts: Vec<_> = (1..bytes.len()).collect();
            let mut socket = reader_of(from, Script::new(bytes.clone(), cuts.clone()), Config::new());
            drive(async {
                let mut data = b"kept".to_vec();
                if cut(socket.receiver.receive(), polls).await.is_none() {
                    socket.receiver.receive_data(&mut data).await.unwrap();
                    assert_eq!(data, "keptné".as_bytes());
                }
            });
            let mut socket = reader_of(from, Script::new(bytes.clone(), cuts), Config::new());
            drive(async {
                let mut data = b"kept".to_vec();
                let received = cut(socket.receiver.receive_data(&mut data), polls).await;
                if received.is_none() {
                    assert_eq!(data, b"kept");
                    let incoming = socket.receiver.receive().await.unwrap();
                    assert_eq!(incoming, Incoming::Message("né".into()));
                }
            });
        }
    }
}

#[test]
fn receives_dropped_at_random_in_a_conversation_lose_nothing() {
    each_seed_and_model("receives_dropped_at_random_in_a_conversation_lose_nothing", 1_500, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices();
        let capacity = choices.of(&[5, 30, 200]);
        let config = Config::new().fragment(choices.of(&[7, 64 << 10])).outbox(choices.of(&[1, 64 << 10]));
        let config = maybe_deflate(config, choices);
        let (_net, sockets) = pair(&sim, Net::new(run.model).capacity(capacity), [config.clone(), config]);
        let books = [shared(Ledger::default()), shared(Ledger::default())];
        spawn_all(&sim, dropped_receives(sockets, &[20, 300], &books, choices, false));
        sim.run_in_no_time();
        books[1].borrow().settle();
        // The client closed before the server had said everything, perhaps.
        books[0].borrow().settle_broken();
    });
}
