//! T3: lengths at every boundary, against limits of frames and of messages, for both roles, in one frame and in several.
//!
//! A frame says its length in one of three forms, and each length is refused or taken by its number alone. So messages at and around
//! each boundary (of the forms, of the limits) come in all ways of being cut into frames, and must be told or refused as
//! the slow model says; ours must arrive where the limit is their length, and be refused where it is a byte less. (The forms that a
//! length must not have, and those beyond all memory, are in `rfc/framing.rs`.)
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::mem_forget,
    reason = "tests say what they expect by failing"
)]

mod ends;
mod kit;

use ends::agree::Stream;
use ends::{FROM, pair};
use kit::choices::Chooser;
use kit::ledger;
use kit::net::{Config as Net, Model};
use kit::runs::{enumerated, shared};
use kit::sim::Sim;
use kit::slow::{self, BINARY, CONTINUATION, From, Limits, PING, TEXT, Verdict};
use kit::wire;
use unsync_websocket::{Config, Incoming};

/// Where a length takes another form.
const BOUNDARIES: [usize; 8] = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537];

/// Limits of a frame and of a message: at the boundaries, the one below the other, and out of the way.
const LIMITS: [(u64, u64); 10] = [
    (0, 0),
    (125, 125),
    (126, 126),
    (127, 1000),
    (1000, 127),
    (65_535, 65_535),
    (65_536, 65_536),
    (65_535, 70_000),
    (u64::MAX, 65_536),
    (u64::MAX, u64::MAX),
];

/// The boundaries, and what is next to a limit.
fn lengths((max_frame, max_message): (u64, u64)) -> Vec<usize> {
    let limits = [max_frame, max_message].into_iter().filter_map(|limit| usize::try_from(limit).ok());
    let around =
        limits.filter(|limit| *limit < 1 << 20).flat_map(|limit| limit.saturating_sub(1)..=limit + 1);
    let mut lengths: Vec<_> = BOUNDARIES.into_iter().chain(around).collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

/// The ways to cut a payload into frames: in one; in halves; with an empty frame before, between and behind; its last byte
/// alone; its first bytes as the longest frame of the shortest form; in frames of the longest of the second.
fn fragmentations(len: usize) -> Vec<Vec<usize>> {
    let pieces = |size: usize| (1..).map(|n| n * size).take_while(|at| *at < len).collect();
    vec![
        vec![],
        vec![len / 2],
        vec![0, len / 2, len / 2, len],
        vec![len.saturating_sub(1)],
        vec![125.min(len)],
        pieces(65_535),
    ]
}

fn message(from: From, opcode: u8, payload: &[u8], cuts: &[usize]) -> Vec<u8> {
    let ends = cuts.iter().copied().chain([payload.len()]);
    let mut start = 0;
    let mut bytes = Vec::new();
    for (index, end) in ends.enumerate() {
        let opcode = if index == 0 { opcode } else { CONTINUATION };
        bytes.extend(slow::frame(from, index == cuts.len(), opcode, &payload[start..end]));
        if index == 0 {
            bytes.extend(slow::frame(from, true, PING, b"between"));
        }
        start = end;
    }
    bytes
}

fn naming(what: &dyn std::fmt::Debug, check: impl FnOnce()) {
    struct Name<'a>(&'a dyn std::fmt::Debug);
    impl Drop for Name<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("with {:?}", self.0);
            }
        }
    }
    let _name = Name(what);
    check();
}

#[test]
fn a_message_is_told_or_refused_by_its_lengths_alone() {
    let (mut told, mut refused) = (0, 0);
    for (max_frame, max_message) in LIMITS {
        let limits = Limits { max_frame, max_message, ..Limits::NONE };
        for len in lengths((max_frame, max_message)) {
            let payload = vec![b'a'; len];
            for cuts in fragmentations(len) {
                for (from, opcode) in [(From::Client, BINARY), (From::Server, TEXT)] {
                    let mut bytes = message(from, opcode, &payload, &cuts);
                    bytes.extend(slow::close(from, 1000, ""));
                    let stream = Stream::new(from, limits, bytes);
                    naming(&(limits, len, &cuts, from), || {
                        let whole = stream.bytes.len();
                        // In the middle of the first header, of the last byte, and where a read may end.
                        let at = [1, 3, 9, 4096, 65_536, whole - 9];
                        let mut at: Vec<_> = at.into_iter().filter(|at| *at < whole).collect();
                        at.sort_unstable();
                        stream.core_agrees(&at);
                        stream.receive_agrees(at.clone(), 1000);
                        stream.receive_data_agrees(at);
                    });
                    match stream.seen.verdict {
                        Verdict::Fault { code: 1009, .. } => refused += 1,
                        Verdict::Closed { rest: 0 } => told += 1,
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }
    println!("{told} told, {refused} refused");
    assert!(told > 300 && refused > 300, "{told} told, {refused} refused");
}

#[test]
fn what_is_too_long_is_refused_by_its_header_before_any_of_its_payload() {
    let mut refused = 0;
    for (max_frame, max_message) in LIMITS {
        let limits = Limits { max_frame, max_message, ..Limits::NONE };
        for len in lengths((max_frame, max_message)) {
            for cuts in fragmentations(len) {
                for from in [From::Client, From::Server] {
                    // Up to the last frame's header, which is at most 14 bytes.
                    let last = len - cuts.last().unwrap_or(&0);
                    let mut bytes = message(from, BINARY, &vec![0; len], &cuts);
                    if cuts.is_empty() {
                        bytes.truncate(bytes.len() - slow::frame(from, true, PING, b"between").len());
                    }
                    bytes.truncate(bytes.len() - last);
                    let stream = Stream::new(from, limits, bytes);
                    naming(&(limits, len, &cuts, from), || {
                        stream.core_agrees(&[]);
                        stream.receive_agrees(vec![1], 1000);
                    });
                    refused += usize::from(matches!(stream.seen.verdict, Verdict::Fault { code: 1009, .. }));
                }
            }
        }
    }
    assert!(refused > 300, "{refused} refused");
}

#[test]
fn what_we_send_arrives_where_the_limit_is_its_length_and_not_where_it_is_a_byte_less() {
    for (number, len) in (9_usize..).zip([8, 125, 126, 127, 16_383, 16_384, 65_535, 65_536, 65_537]) {
        for fragment in [60, 125, 126, 65_535, 65_536] {
            for end in 0..2 {
                for limit in [len, len - 1] {
                    let choices = Chooser::seeded((number * fragment) as u64);
                    let model = Model::ALL[(number + fragment + end) % Model::ALL.len()];
                    enumerated(
                        "what_we_send_arrives_where_the_limit_is_its_length",
                        model,
                        &choices,
                        |run| {
                            run.trace.say(format!("{len} bytes in {fragment}s, limit {limit}, end {end}"));
                            let sim = Sim::new(run);
                            let theirs = Config::new().max_message(limit);
                            let mut configs = [theirs.clone(), theirs];
                            configs[end] = Config::new().fragment(fragment);
                            let (net, sockets) = pair(&sim, Net::new(model).capacity(5000), configs);
                            let mut sockets = sockets.map(Some);
                            let (mut ours, mut theirs) =
                                (sockets[end].take().unwrap(), sockets[1 - end].take().unwrap());
                            let cause = shared(None);
                            let cause_too = cause.clone();
                            sim.spawn("we", async move {
                                // It fails if the peer closes in the middle.
                                let _ = ours.sender.send(&ledger::binary(7, len)).await;
                                let _ = ours.sender.close().await;
                                *cause_too.borrow_mut() = ours.close_frame();
                            });
                            sim.spawn("the peer", async move {
                                match theirs.receiver.receive().await {
                                    Ok(Incoming::Message(message)) => {
                                        assert_eq!(ledger::binary_id(message.as_bytes()), 7);
                                        assert_eq!((message.as_bytes().len(), limit), (len, len));
                                    }
                                    other => assert!(other.is_err() && limit < len, "{other:?}"),
                                }
                                let _ = theirs.close().await;
                            });
                            sim.run();
                            let seen = wire::check_broken(FROM[end], &net.recorded(end));
                            let frames: Vec<_> =
                                seen.frames.iter().filter(|frame| frame.opcode < 8).collect();
                            let code =
                                wire::close_code(&wire::check_closed(FROM[1 - end], &net.recorded(1 - end)));
                            if limit < len {
                                assert_eq!(code, Some(1009));
                                return;
                            }
                            assert_eq!(code, Some(1000));
                            assert_eq!(frames.len(), len.div_ceil(fragment));
                            let (last, others) = frames.split_last().unwrap();
                            assert!(others.iter().all(|frame| frame.payload.len() == fragment && !frame.fin));
                            assert!(last.fin);
                        },
                    );
                }
            }
        }
    }
}
