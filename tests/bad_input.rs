//! T6: whatever was good before the bad byte is delivered; then there is one error, the same for ever, in both halves.
//!
//! And the peer is told: one Close, with the code that the fault deserves, and nothing after it.
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

use ends::{FROM, event, socket};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use kit::choices::Chooser;
use kit::ledger;
use kit::net::{Config as Net, SimNet};
use kit::runs::{each_seed_and_model, shared};
use kit::signal::Signal;
use kit::sim::Sim;
use kit::slow::{self, BINARY, CLOSE, CONTINUATION, Event, From, Limits, PING, PONG, TEXT, Verdict};
use kit::wire;
use unsync_websocket::{Config, Error};

const LIMITS: Limits = Limits { max_message: 1000, max_frame: 600, max_fragments: 4, deflate: None };

fn config() -> Config {
    Config::new().max_message(1000).max_frame(600).max_fragments(4)
}

/// Each kind of bad bytes, as they would come between two messages.
fn bad_kinds(from: From) -> Vec<(&'static str, Vec<u8>)> {
    let other = if from == From::Client { From::Server } else { From::Client };
    let mask_bit = if from == From::Client { 0x80 } else { 0 };
    let f = |fin, opcode, payload: &[u8]| slow::frame(from, fin, opcode, payload);
    let raw = |first, payload: &[u8]| slow::raw_frame(from, first, payload);
    // A header that only announces, with a key if there is to be one.
    let announced = |second: u8, length: &[u8]| [&[0x82, mask_bit | second], length, &[0; 4]].concat();
    let fragments =
        |count| (0..count).flat_map(|i| f(false, if i == 0 { BINARY } else { CONTINUATION }, b"")).collect();
    let mut kinds = vec![
        ("RSV1", raw(0xc1, b"hi")),
        ("RSV2", raw(0xa1, b"hi")),
        ("RSV3", raw(0x91, b"hi")),
        ("RSV1 on a ping", raw(0xc9, b"hi")),
        ("wrong mask bit", slow::frame(other, true, TEXT, b"hello, masked?")),
        ("wrong mask bit on a ping", slow::frame(other, true, PING, b"hello, masked?")),
        ("continuation of nothing", f(true, CONTINUATION, b"hi")),
        ("text inside a text", [f(false, TEXT, b"a"), f(true, TEXT, b"b")].concat()),
        (
            "binary inside a text, after a ping",
            [f(false, TEXT, b"a"), f(true, PING, b""), f(false, BINARY, b"b")].concat(),
        ),
        ("ping in fragments", f(false, PING, b"hi")),
        ("Close in fragments", f(false, CLOSE, b"")),
        ("long ping", f(true, PING, &[0; 126])),
        ("long pong", f(true, PONG, &[0; 300])),
        ("16-bit length not minimal", announced(126, &[0, 125])),
        ("64-bit length not minimal", announced(127, &[0, 0, 0, 0, 0, 0, 0xff, 0xff])),
        ("length with the top bit", announced(127, &[0x80, 0, 0, 0, 0, 0, 0, 0])),
        ("length of 2^63 - 1", announced(127, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
        ("frame one too big", announced(126, &[2, 89])),
        ("message one too big", [f(false, BINARY, &[0; 600]), f(true, CONTINUATION, &[0; 401])].concat()),
        ("one fragment too many", fragments(5)),
        ("bad first byte of text", f(true, TEXT, b"\xff and more")),
        ("overlong encoding", f(true, TEXT, b"good \xc0\xaf")),
        ("surrogate", f(true, TEXT, b"good \xed\xa0\x80")),
        ("beyond the last character", f(true, TEXT, b"good \xf4\x90\x80\x80")),
        ("bad text in a fragment whose message goes on", f(false, TEXT, b"good \xe2\x28\xa1")),
        ("text that ends inside a character", f(true, TEXT, b"good \xe2\x82")),
        (
            "character cut, then another message",
            [f(false, TEXT, b"\xe2\x82"), f(true, CONTINUATION, b"x")].concat(),
        ),
        ("Close with half a code", f(true, CLOSE, b"\x03")),
        ("Close, reason not UTF-8", f(true, CLOSE, b"\x03\xe8\xff")),
    ];
    kinds.extend([3, 4, 5, 6, 7].map(|opcode| ("reserved opcode", f(true, opcode, b"hi"))));
    kinds.extend([11, 12, 13, 14, 15].map(|opcode| ("reserved control opcode", f(true, opcode, b""))));
    let codes = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535];
    kinds.extend(codes.map(|code| ("close code that may not travel", slow::close(from, code, ""))));
    kinds
}

/// Some good messages and control frames.
fn good(from: From, choices: &Chooser) -> Vec<u8> {
    let mut bytes = Vec::new();
    for id in 0..choices.choose(5) as u32 {
        let text = ledger::text(id, choices.between(8, 200));
        match choices.choose(5) {
            0 => bytes.extend(slow::frame(from, true, TEXT, text.as_bytes())),
            1 => bytes.extend(slow::frame(from, true, BINARY, &ledger::binary(id, choices.between(8, 200)))),
            2 => {
                let at = choices.between(0, text.len());
                bytes.extend(slow::frame(from, false, TEXT, &text.as_bytes()[..at]));
                bytes.extend(slow::frame(from, true, PING, b"between"));
                bytes.extend(slow::frame(from, true, CONTINUATION, &text.as_bytes()[at..]));
            }
            3 => bytes.extend(slow::frame(from, true, PING, &text.as_bytes()[..8])),
            _ => bytes.extend(slow::frame(from, true, PONG, &text.as_bytes()[..8])),
        }
    }
    bytes
}

/// What the peer does when it has done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Listens, and ends its side, too.
    Goes,
    /// Keeps its side open and reads nothing: closing takes until the deadline.
    Stays,
    /// Resets the connection a second later. Neither may change the cause.
    Resets,
}

fn code_of(error: &Error) -> Option<u16> {
    match error {
        Error::Protocol(error) => Some(error.close_code().get()),
        _ => None,
    }
}

#[test]
fn good_messages_before_a_bad_byte_are_delivered_and_then_there_is_one_error_for_ever() {
    each_seed_and_model("good_messages_before_a_bad_byte_are_delivered", 1_500, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices().clone();
        let end = choices.choose(2);
        let (us, from) = (FROM[end], FROM[1 - end]);
        let mut kinds = bad_kinds(from);
        // In turn, so that each is met in each model.
        let (kind, bad) = kinds.swap_remove(run.seed as usize % kinds.len());
        let mut bytes = good(from, &choices);
        bytes.extend(bad);
        // What comes behind it is read and thrown away, within the message limit.
        let mut behind = good(from, &choices);
        behind.truncate(500);
        bytes.extend(behind);
        run.trace.say(format!("{kind}, to a {:?}", ends::ROLES[end]));
        let seen = slow::read(from, LIMITS, &bytes);
        let Verdict::Fault { code, .. } = seen.verdict else { panic!("{kind} is no fault: {seen:?}") };

        let net = Net::new(run.model).capacity(choices.of(&[10, 100, 5000]));
        let (net, server, client) = SimNet::new(&sim, net);
        let (ours, mut peer) = if end == 0 { (server, client) } else { (client, server) };
        let (mut sender, mut receiver) = socket(&sim, ours, config()).split();
        let (failed, heard) = (Signal::default(), shared(Vec::new()));
        let after = choices.of(&[After::Goes, After::Goes, After::Stays, After::Resets]);

        sim.spawn_idle("peer", {
            let (net, heard, sim_too) = (net.clone(), heard.clone(), sim.clone());
            async move {
                net.inject(1 - end, &bytes);
                // To the end of what it is told; then it goes, or not.
                match after {
                    After::Goes => {
                        drop(peer.read_to_end(&mut heard.borrow_mut()).await);
                        drop(peer.close().await);
                    }
                    After::Stays => std::future::pending().await,
                    After::Resets => {
                        sim_too.sleep(std::time::Duration::from_secs(1)).await;
                        net.reset(1 - end);
                    }
                }
            }
        });
        let expected: Vec<_> =
            seen.events.iter().filter(|event| !matches!(event, Event::Ping(_))).cloned().collect();
        sim.spawn("receives", {
            let failed = failed.clone();
            async move {
                let mut events = Vec::new();
                let error = loop {
                    match receiver.receive().await {
                        Ok(incoming) => events.push(event(incoming)),
                        Err(error) => break error,
                    }
                };
                assert_eq!(events, expected);
                assert_eq!(code_of(&error), Some(code), "{error:?}");
                for _ in 0..3 {
                    let again = receiver.receive().await.unwrap_err();
                    assert_eq!(ends::cause(&again), ends::cause(&error));
                    let mut data = Vec::new();
                    let again = receiver.receive_data(&mut data).await.unwrap_err();
                    assert_eq!((ends::cause(&again), data.len()), (ends::cause(&error), 0));
                }
                failed.set();
                let closed = receiver.close().await.unwrap_err();
                assert_eq!(ends::cause(&closed), ends::cause(&error));
            }
        });
        sim.spawn("sends", async move {
            failed.wait().await;
            for _ in 0..3 {
                assert_eq!(code_of(&sender.send("too late").await.unwrap_err()), Some(code));
                assert_eq!(code_of(&sender.ping(b"").await.unwrap_err()), Some(code));
            }
            assert_eq!(code_of(&sender.close().await.unwrap_err()), Some(code));
            assert_eq!(code_of(&sender.send("too late").await.unwrap_err()), Some(code));
        });
        let outcome = sim.run();
        if after != After::Goes {
            // Closing took as long as the peer made it, with the same result.
            let seconds = if after == After::Stays { 5 } else { 1 };
            assert_eq!(outcome.elapsed, std::time::Duration::from_secs(seconds));
            wire::check_broken(us, &net.recorded(end));
            return;
        }
        assert!(outcome.elapsed.is_zero());
        let answers = wire::check_closed(us, &net.recorded(end));
        assert_eq!(wire::close_code(&answers), Some(code));
        let pings: Vec<_> = seen
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Ping(payload) => Some(payload),
                _ => None,
            })
            .collect();
        for event in &answers.events {
            match event {
                Event::Pong(payload) => assert!(pings.contains(&payload)),
                Event::Close(_) => {}
                other => panic!("it sent {other:?}"),
            }
        }
        // It did not only leave, it arrived.
        assert_eq!(*heard.borrow(), net.recorded(end));
    });
}

#[test]
fn good_messages_before_the_end_or_a_reset_are_delivered_and_then_there_is_one_error_for_ever() {
    each_seed_and_model("good_messages_before_the_end_or_a_reset", 500, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices().clone();
        let end = choices.choose(2);
        let from = FROM[1 - end];
        let mut bytes = good(from, &choices);
        bytes.truncate(choices.between(0, bytes.len()));
        let seen = slow::read(from, LIMITS, &bytes);
        let net = Net::new(run.model).capacity(choices.of(&[10, 5000]));
        let (net, server, client) = SimNet::new(&sim, net);
        let (ours, peer) = if end == 0 { (server, client) } else { (client, server) };
        let (mut sender, mut receiver) = socket(&sim, ours, config()).split();
        net.inject(1 - end, &bytes);
        let reset = choices.one_in(2);
        if !reset {
            net.fin(1 - end);
        }
        let expected: Vec<_> =
            seen.events.iter().filter(|event| !matches!(event, Event::Ping(_))).cloned().collect();
        let inside = seen.verdict != Verdict::Open;
        sim.spawn("we", async move {
            let mut events = Vec::new();
            let error = loop {
                if reset && events.len() == expected.len() {
                    net.reset(1 - end);
                }
                match receiver.receive().await {
                    Ok(incoming) => events.push(event(incoming)),
                    Err(error) => break error,
                }
            };
            assert_eq!(events, expected);
            match &error {
                Error::Io(error) if reset => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
                Error::EndOfStream { inside_message } if !reset => assert_eq!(*inside_message, inside),
                other => panic!("{other:?}"),
            }
            for _ in 0..3 {
                assert_eq!(ends::cause(&receiver.receive().await.unwrap_err()), ends::cause(&error));
            }
            assert_eq!(ends::cause(&sender.close().await.unwrap_err()), ends::cause(&error));
            assert_eq!(ends::cause(&sender.send("too late").await.unwrap_err()), ends::cause(&error));
            assert_eq!(ends::cause(&receiver.receive().await.unwrap_err()), ends::cause(&error));
        });
        // The peer, if it lives, reads what we have to say.
        sim.spawn_idle("peer", async move {
            let mut peer = peer;
            drop(peer.read_to_end(&mut Vec::new()).await);
        });
        sim.run_in_no_time();
    });
}
