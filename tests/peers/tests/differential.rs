//! Streams of frames, good and bad, read by us, by tungstenite and by the slow model of the test kit: each must tell of the same messages,
//! pings, pongs and Close, and end in the same way. Where tungstenite does not, the difference is in [`DISAGREEMENTS`].
//!
//! ```text
//! cargo test --manifest-path tests/peers/Cargo.toml                                what CI does: 300,000 streams
//! RUNS=1000000 cargo test --manifest-path tests/peers/Cargo.toml -- --nocapture   10^7 frames, with the counts
//! SEED=77 cargo test --manifest-path tests/peers/Cargo.toml                        one stream again
//! ```
//!
//! `FIRST` is where the seeds begin, for runs in slices. So far (28 and 29 November 2026): seeds 0 to 12,000,000, which are 100,715,914 frames,
//! and no disagreement that is not known.

use unsync_websocket_peers::slow::{self, BINARY, CLOSE, CONTINUATION, Event, From, Limits, PING, TEXT};
use unsync_websocket_peers::{End, Story, Stream, ours, streams, tungstenite};

/// Who goes by the RFC where two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    /// We alone.
    Ours,
    /// Both: the RFC leaves it open.
    Both,
}

/// Something in which tungstenite is known to differ from us.
struct Disagreement {
    what: &'static str,
    section: &'static str,
    right: Right,
    /// Whether this is it.
    covers: fn(&Found) -> bool,
    /// A stream that shows it.
    example: fn() -> Stream,
}

/// Two stories that differ.
struct Found<'a> {
    /// All rules that the slow model saw broken.
    broken: &'a [&'static str],
    ours: &'a Story,
    theirs: &'a Story,
    /// What they said about the rest of the stream when there was a Close.
    behind_close: Option<u16>,
}

impl Found<'_> {
    /// They were told the same up to where we stopped.
    fn same_before(&self) -> bool {
        self.theirs.events.starts_with(&self.ours.events)
    }

    fn is_same(&self) -> bool {
        self.ours == self.theirs && self.behind_close.is_none()
    }
}

/// All that is known. Each entry must be met, by its example and by chance, or it has to go.
const DISAGREEMENTS: [Disagreement; 7] = [
    Disagreement {
        what: "takes a length in a longer form than it needs",
        section: "RFC 6455, 5.2: the minimal number of bytes MUST be used",
        right: Right::Ours,
        covers: |found| {
            found.broken.contains(&"length not minimal")
                && found.ours.end == End::Fault(1002)
                && found.same_before()
        },
        example: || stream(vec![0x82, 126, 0, 1, b'x']),
    },
    Disagreement {
        what: "says 1009 of a length with the top bit",
        section: "RFC 6455, 5.2: the most significant bit MUST be 0",
        right: Right::Ours,
        covers: |found| {
            found.broken.contains(&"length with the top bit")
                && found.ours.end == End::Fault(1002)
                && found.theirs.end == End::Fault(1009)
                && found.ours.events == found.theirs.events
        },
        example: || stream(vec![0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]),
    },
    Disagreement {
        what: "looks at the size before all else, and says 1009 of a frame that is too big and breaks a rule, too",
        section: "RFC 6455, 7.4.1: nothing is said about which code wins",
        right: Right::Both,
        covers: |found| {
            found.ours.end == End::Fault(1002)
                && found.theirs.end == End::Fault(1009)
                && !found.broken.contains(&"length with the top bit")
                && found.ours.events == found.theirs.events
        },
        example: || stream(vec![0xf2, 127, 0, 0, 0, 0, 0x10, 0, 0, 0]),
    },
    Disagreement {
        what: "takes a Close with a bad code, and tells of it as one with 1002",
        section: "RFC 6455, 7.4: the Close that answers it is the same",
        right: Right::Both,
        covers: |found| {
            found.broken == ["close code that may not travel"]
                && found.ours.end == End::Fault(1002)
                && is_called_violation(found)
        },
        example: || stream(slow::close(From::Server, 1015, "")),
    },
    Disagreement {
        what: "looks at the reason of a Close before its code, and says 1007 where both are bad",
        section: "RFC 6455, 7.4.1: nothing is said about which code wins",
        right: Right::Both,
        covers: |found| {
            found.broken == ["close code that may not travel"]
                && found.ours.end == End::Fault(1002)
                && found.theirs.end == End::Fault(1007)
                && found.ours.events == found.theirs.events
        },
        example: || stream(slow::frame(From::Server, true, CLOSE, b"\x03\xed\xff")),
    },
    Disagreement {
        what: "does not know the close code 1014",
        section: "the WebSocket Close Code Number Registry of RFC 6455, 11.7: 1014 is Bad Gateway",
        right: Right::Ours,
        covers: |found| {
            matches!(found.ours.events.last(), Some(Event::Close(Some((1014, _)))))
                && is_called_violation(found)
        },
        example: || stream(slow::close(From::Server, 1014, "")),
    },
    Disagreement {
        what: "as a client, says that what follows a Close is a fault",
        section: "RFC 6455, 1.4: it is discarded",
        right: Right::Ours,
        covers: |found| found.ours == found.theirs && found.behind_close.is_some(),
        example: || {
            let close = slow::close(From::Server, 1000, "");
            stream([close, slow::frame(From::Server, true, PING, b"")].concat())
        },
    },
];

/// Theirs ends in a Close that says so, ours in what may stand for it.
fn is_called_violation(found: &Found<'_>) -> bool {
    let Some((Event::Close(Some((1002, reason))), before)) = found.theirs.events.split_last() else {
        return false;
    };
    let ours = match found.ours.events.split_last() {
        Some((Event::Close(_), ours)) => ours,
        _ => &found.ours.events,
    };
    reason == "Protocol violation" && ours == before
}

/// A stream from a server, in one piece.
fn stream(bytes: Vec<u8>) -> Stream {
    let limits = Limits { max_message: 1000, max_frame: 1000, ..Limits::NONE };
    Stream { from: From::Server, limits, bytes, cuts: Vec::new() }
}

/// What a comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Same,
    /// The number of a known disagreement.
    Known(usize),
    /// They fail only when a frame is whole, we as soon as it shows (RFC 6455, 7.1.7 leaves it open; for text, 8.1). With the rest of
    /// the frame there, it is this.
    Later(Option<usize>),
}

/// How a comparison came out, and of what.
struct Compared {
    outcome: Outcome,
    /// How we ended.
    end: End,
    /// Frames that were looked at: those that were whole, and the one with the fault.
    frames: usize,
}

/// Compares the three stories of a stream.
///
/// # Panics
///
/// When they differ in a way that nobody knows of.
fn compare(stream: &Stream) -> Compared {
    let (ours, seen) = (ours::read(stream), slow::read(stream.from, stream.limits, &stream.bytes));
    let (theirs, behind_close) = tungstenite::read(stream);
    let model = Story::of_model(&seen);
    // We fail before a header is whole; the model looks at whole ones only.
    let is_early = model.end == End::Waiting && matches!(ours.end, End::Fault(_));
    if !is_early {
        assert_eq!(ours, model, "ours and the model's of {stream:02x?}");
    }
    let found = Found { broken: &seen.broken, ours: &ours, theirs: &theirs, behind_close };
    let known = DISAGREEMENTS.iter().position(|known| (known.covers)(&found));
    let outcome = match known {
        _ if found.is_same() => Outcome::Same,
        Some(known) => Outcome::Known(known),
        None => {
            assert!(
                matches!(ours.end, End::Fault(_)) && theirs == Story { end: End::Waiting, ..ours.clone() },
                "ours, theirs, the model's: {ours:?}, {theirs:?}, {seen:?} of {stream:02x?}"
            );
            // Something is missing, or they would have failed: it is the rest of the frame.
            let mut whole = stream.clone();
            whole.bytes.resize(stream.bytes.len() + stream.limits.max_frame as usize + 16, 0);
            match compare(&whole).outcome {
                Outcome::Same => Outcome::Later(None),
                Outcome::Known(known) => Outcome::Later(Some(known)),
                Outcome::Later(_) => panic!("even with the frame whole, they wait: {stream:02x?}"),
            }
        }
    };
    let is_fault = matches!(ours.end, End::Fault(_));
    Compared { outcome, end: ours.end, frames: seen.frames.len() + usize::from(is_fault) }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

/// The seeds to be run (`SEED`, or `RUNS` of them from `FIRST` on), and whether counts over all of them mean something.
fn seeds(runs: u64) -> (std::ops::Range<u64>, bool) {
    let asked = number("RUNS").unwrap_or(runs);
    match number("SEED") {
        Some(seed) => (seed..seed + 1, false),
        None => {
            let first = number("FIRST").unwrap_or(0);
            (first..first + asked, asked >= runs)
        }
    }
}

/// Names the stream when one panics.
struct Name(u64);

impl Drop for Name {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay: SEED={} cargo test --manifest-path tests/peers/Cargo.toml", self.0);
        }
    }
}

#[test]
fn streams_with_one_thing_wrong_come_to_the_same_but_for_what_is_known() {
    let (seeds, is_counted) = seeds(300_000);
    let (mut streams, mut frames, mut bytes, mut same, mut later) = (0_u64, 0, 0, 0, 0);
    let (mut known, mut ends) = ([0_u64; DISAGREEMENTS.len()], [0_u64; 5]);
    let start = std::time::Instant::now();
    for seed in seeds {
        let _name = Name(seed);
        let stream = streams::make(seed);
        let compared = compare(&stream);
        streams += 1;
        frames += compared.frames;
        bytes += stream.bytes.len();
        match compared.outcome {
            Outcome::Same => same += 1,
            Outcome::Known(which) | Outcome::Later(Some(which)) => known[which] += 1,
            Outcome::Later(None) => later += 1,
        }
        ends[match compared.end {
            End::Waiting => 0,
            End::Closed => 1,
            End::Fault(1002) => 2,
            End::Fault(1007) => 3,
            End::Fault(_) => 4,
        }] += 1;
    }
    println!("{streams} streams, {frames} frames read, {bytes} bytes in {:?}", start.elapsed());
    println!("ended: waiting, Close, 1002, 1007, 1009: {ends:?}");
    println!("{same:>9} the same");
    println!(
        "{later:>9} the same, but they fail only when the frame is whole (both are right: RFC 6455, 7.1.7 and 8.1)"
    );
    for (count, Disagreement { what, section, right, .. }) in known.iter().zip(&DISAGREEMENTS) {
        println!("{count:>9} tungstenite {what} (right: {right:?}; {section})");
    }
    if is_counted {
        assert!(known.iter().chain(&ends).all(|count| *count > 0), "what is never met has to go");
        assert!(same > streams / 2 && later > 0);
    }
}

#[test]
fn every_known_disagreement_is_still_one() {
    for (place, known) in DISAGREEMENTS.iter().enumerate() {
        assert_eq!(compare(&(known.example)()).outcome, Outcome::Known(place), "tungstenite {}", known.what);
    }
    // Failing late: a bad first octet of text, whose frame goes on.
    assert_eq!(compare(&stream(vec![0x81, 5, 0xff])).outcome, Outcome::Later(None));
    assert_eq!(compare(&stream(vec![0xc1, 5])).outcome, Outcome::Later(None));
}

#[test]
fn all_close_codes_are_judged_the_same_but_for_1014() {
    for from in [From::Client, From::Server] {
        for code in 0..=u16::MAX {
            let stream = Stream { from, ..stream(slow::close(from, code, "why")) };
            let expected = match code {
                1014 => Outcome::Known(5),
                _ if slow::may_travel(code) => Outcome::Same,
                _ => Outcome::Known(3),
            };
            assert_eq!(compare(&stream).outcome, expected, "{code}");
        }
    }
}

#[test]
fn every_first_byte_and_length_in_every_state_comes_to_the_same_but_for_what_is_known() {
    let mut count = 0;
    for from in [From::Client, From::Server] {
        let states = [
            vec![],
            slow::frame(from, false, TEXT, b"begun"),
            slow::frame(from, false, BINARY, b"begun"),
            slow::frame(from, false, TEXT, b"\xe2\x82"),
        ];
        let end = slow::frame(from, true, CONTINUATION, b"\xac end");
        for state in states {
            for first in 0..=u8::MAX {
                for second in 0..=u8::MAX {
                    let key = if second & 0x80 != 0 { &[1, 2, 3, 4][..] } else { &[] };
                    let len = match second & 0x7f {
                        126 => vec![0, 130],
                        127 => vec![0, 0, 0, 0, 0, 1, 0, 0],
                        _ => vec![],
                    };
                    let header = [&[first, second][..], &len, key].concat();
                    let payload = vec![if key.is_empty() { 3 } else { 1 }; 200];
                    for bytes in [
                        [&state[..], &header].concat(),
                        [&state[..], &header, &payload[..usize::from(second & 0x7f)], &end].concat(),
                        [&state[..], &header, &payload].concat(),
                    ] {
                        compare(&Stream { from, ..stream(bytes) });
                        count += 1;
                    }
                }
            }
        }
    }
    assert_eq!(count, 2 * 4 * 65_536 * 3);
}

#[test]
fn what_we_write_they_read_and_what_they_write_we_read() {
    let (seeds, _) = seeds(100_000);
    for seed in seeds.take(1_000_000) {
        let _name = Name(seed);
        let (from, events, fragment) = streams::events(seed);
        let end = if matches!(events.last(), Some(Event::Close(_))) { End::Closed } else { End::Waiting };
        let mut expected = Story { events, end };
        let read = |bytes| Stream { from, limits: Limits::NONE, bytes, cuts: Vec::new() };
        let theirs = read(tungstenite::write(from, &expected.events));
        assert_eq!(ours::read(&theirs), expected);
        let ours = read(ours::write(from, &expected.events, fragment));
        if let Some(Event::Close(Some((code @ 1014, reason)))) = expected.events.last_mut() {
            (*code, *reason) = (1002, "Protocol violation".to_owned());
        }
        assert_eq!(tungstenite::read(&ours), (expected, None));
    }
}
