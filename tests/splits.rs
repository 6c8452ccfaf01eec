//! T2: the result does not depend on how the stream was cut.
//!
//! Scripts of up to 16 bytes are cut in all ways there are, longer ones in all ways into two and three pieces and into single
//! bytes, each with `Pending` before every piece and every write. What the connection tells, and what it answers, is
//! compared with the slow model, which never sees a cut.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "tests say what they expect by failing"
)]

mod ends;
mod kit;

use std::rc::Rc;

use ends::agree::Stream;
use ends::reader_of;
use kit::script::{Script, drive, each_cut_in_two_and_three, each_partition};
use kit::slow::{self, BINARY, CLOSE, CONTINUATION, From, Limits, PING, PONG, TEXT};
use unsync_websocket::{Config, Message};

const LIMITS: Limits = Limits { max_message: 1000, max_frame: 600, max_fragments: 5, deflate: None };

/// Scripts of at most 16 bytes.
fn short_scripts() -> Vec<(&'static str, From, Vec<u8>)> {
    use From::{Client, Server};
    let f = slow::frame;
    vec![
        (
            "text, ping, Close",
            Server,
            [
                f(Server, true, TEXT, "hé".as_bytes()),
                f(Server, true, PING, b"p"),
                slow::close(Server, 1000, "ok"),
            ]
            .concat(),
        ),
        ("masked text", Client, f(Client, true, TEXT, b"Hello")),
        (
            "masked, empty, then the end",
            Client,
            [f(Client, true, BINARY, b""), f(Client, true, TEXT, b"")].concat(),
        ),
        ("masked Close with a reason", Client, slow::close(Client, 4000, "bye")),
        (
            "character cut by fragments, ping between",
            Server,
            [
                f(Server, false, TEXT, b"\xe2\x82"),
                f(Server, true, PING, b"x"),
                f(Server, true, CONTINUATION, b"\xac!"),
            ]
            .concat(),
        ),
        (
            "empty fragments",
            Server,
            [
                f(Server, false, BINARY, b""),
                f(Server, false, CONTINUATION, b""),
                f(Server, true, PONG, b""),
                f(Server, true, CONTINUATION, b"z"),
                f(Server, true, CLOSE, b""),
            ]
            .concat(),
        ),
        (
            "four-byte character",
            Server,
            [
                f(Server, false, TEXT, b"\xf0\x9f"),
                f(Server, false, CONTINUATION, b"\x98"),
                f(Server, true, CONTINUATION, b"\x80ok"),
            ]
            .concat(),
        ),
        (
            "messages after each other",
            Server,
            [
                f(Server, true, TEXT, b"a"),
                f(Server, true, BINARY, b"b"),
                f(Server, true, TEXT, b"cd"),
                f(Server, true, PING, b"e"),
            ]
            .concat(),
        ),
        (
            "the end inside a frame",
            Server,
            [f(Server, true, TEXT, b"whole"), vec![0x82, 10, 1, 2, 3]].concat(),
        ),
        ("the end inside a header", Client, [f(Client, true, TEXT, b"a"), vec![0x82, 0xfe, 1]].concat()),
        (
            "the end inside a message",
            Server,
            [f(Server, true, TEXT, b"whole"), f(Server, false, TEXT, b"half")].concat(),
        ),
        (
            "bytes after the Close",
            Server,
            [f(Server, true, TEXT, b"a"), slow::close(Server, 1001, ""), vec![0xff; 8]].concat(),
        ),
        (
            "bad byte of text",
            Server,
            [f(Server, true, TEXT, b"good"), f(Server, true, TEXT, b"ba\xffd")].concat(),
        ),
        (
            "surrogate cut by a fragment",
            Server,
            [
                f(Server, true, TEXT, b"go"),
                f(Server, false, TEXT, b"\xed"),
                f(Server, true, CONTINUATION, b"\xa0\x80"),
            ]
            .concat(),
        ),
        (
            "text that ends inside a character",
            Server,
            [f(Server, true, TEXT, b"ok"), f(Server, true, TEXT, b"a\xc3")].concat(),
        ),
        (
            "unmasked to a server",
            Client,
            [f(Client, true, TEXT, b"hi"), f(Server, true, TEXT, b"hi")].concat(),
        ),
        ("masked to a client", Server, [f(Server, true, TEXT, b"hi"), f(Client, true, TEXT, b"hi")].concat()),
        (
            "reserved bit",
            Server,
            [f(Server, true, TEXT, b"hi"), slow::raw_frame(Server, 0xc1, b"hi")].concat(),
        ),
        ("reserved opcode", Server, [f(Server, true, TEXT, b"hi"), f(Server, true, 0xb, b"hi")].concat()),
        ("ping in fragments", Server, [f(Server, true, TEXT, b"hi"), f(Server, false, PING, b"hi")].concat()),
        (
            "continuation of nothing",
            Server,
            [f(Server, true, TEXT, b"hi"), f(Server, true, CONTINUATION, b"hi")].concat(),
        ),
        (
            "message inside a message",
            Server,
            [f(Server, false, TEXT, b"hi"), f(Server, true, TEXT, b"hi"), f(Server, true, TEXT, b"hi")]
                .concat(),
        ),
        ("length not minimal", Server, [f(Server, true, TEXT, b"hi"), vec![0x82, 126, 0, 2, 1, 2]].concat()),
        (
            "64-bit length not minimal",
            Server,
            [f(Server, true, TEXT, b"h"), vec![0x82, 127, 0, 0, 0, 0, 0, 0, 1, 0]].concat(),
        ),
        (
            "length with the top bit",
            Server,
            [f(Server, true, TEXT, b"h"), vec![0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]].concat(),
        ),
        (
            "frame over the limit",
            Server,
            [f(Server, true, TEXT, b"hi"), vec![0x82, 126, 2, 0x59, 0, 0]].concat(),
        ),
        (
            "too many fragments",
            Server,
            [
                f(Server, false, TEXT, b""),
                f(Server, false, 0, b""),
                f(Server, false, 0, b""),
                f(Server, false, 0, b""),
                f(Server, false, 0, b""),
                f(Server, true, 0, b""),
            ]
            .concat(),
        ),
        (
            "Close with half a code",
            Server,
            [f(Server, true, TEXT, b"hi"), f(Server, true, CLOSE, b"\x03")].concat(),
        ),
        (
            "Close with a code that may not travel",
            Server,
            [f(Server, true, TEXT, b"hi"), slow::close(Server, 1006, "")].concat(),
        ),
        (
            "Close with a reason that is not UTF-8",
            Server,
            [f(Server, true, TEXT, b"hi"), f(Server, true, CLOSE, b"\x03\xe8ab\xff")].concat(),
        ),
    ]
}

/// Scripts of some hundred bytes.
fn long_scripts() -> Vec<(&'static str, From, Vec<u8>)> {
    use From::{Client, Server};
    let text = "aé€😀".repeat(14);
    let conversation = |from| {
        [
            slow::frame(from, true, TEXT, b"first"),
            slow::frame(from, true, PING, b"are you there?"),
            slow::frame(from, false, TEXT, &text.as_bytes()[..35]),
            slow::frame(from, true, PONG, b"unasked"),
            slow::frame(from, false, CONTINUATION, b""),
            slow::frame(from, true, CONTINUATION, &text.as_bytes()[35..]),
            slow::frame(from, true, BINARY, &[0xa5; 126]),
            slow::close(from, 3000, "the end"),
        ]
        .concat()
    };
    let faulty = [
        slow::frame(Client, true, BINARY, &[1; 130]),
        slow::frame(Client, true, TEXT, b"so far so \xc3\x28 good"),
    ];
    vec![
        ("conversation of a server", Server, conversation(Server)),
        ("conversation of a client", Client, conversation(Client)),
        ("fault after a frame with a 16-bit length", Client, faulty.concat()),
        (
            "over the message limit",
            Server,
            [slow::frame(Server, false, BINARY, &[1; 200]), vec![0x00, 126, 2, 0x58, 0x00, 126, 0, 201]]
                .concat(),
        ),
    ]
}

fn naming(name: &str, cuts: &[usize], check: impl FnOnce()) {
    struct Name<'a>(&'a str, &'a [usize]);
    impl Drop for Name<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("script `{}` cut at {:?}", self.0, self.1);
            }
        }
    }
    let _name = Name(name, cuts);
    check();
}

#[test]
fn the_core_tells_the_same_however_the_bytes_are_cut() {
    for (name, from, bytes) in short_scripts() {
        assert!(bytes.len() <= 16, "{name} has {} bytes", bytes.len());
        let stream = Stream::new(from, LIMITS, bytes);
        each_partition(stream.bytes.len(), |cuts| naming(name, &cuts, || stream.core_agrees(&cuts)));
    }
    for (name, from, bytes) in long_scripts() {
        let stream = Stream::new(from, LIMITS, bytes);
        each_cut_in_two_and_three(stream.bytes.len(), |cuts| {
            naming(name, &cuts, || stream.core_agrees(&cuts));
        });
    }
}

#[test]
fn short_scripts_are_received_the_same_in_every_partition() {
    for (name, from, bytes) in short_scripts() {
        let stream = Stream::new(from, LIMITS, bytes);
        each_partition(stream.bytes.len(), |cuts| {
            naming(name, &cuts, || stream.receive_agrees(cuts.clone(), 1 + cuts.len()));
        });
    }
}

#[test]
fn short_scripts_are_appended_the_same_in_every_partition() {
    for (name, from, bytes) in short_scripts() {
        let stream = Stream::new(from, LIMITS, bytes);
        each_partition(stream.bytes.len(), |cuts| {
            naming(name, &cuts, || stream.receive_data_agrees(cuts.clone()));
        });
    }
}

#[test]
fn long_scripts_are_received_the_same_in_two_and_three_pieces_and_byte_by_byte() {
    for (name, from, bytes) in long_scripts() {
        let stream = Stream::new(from, LIMITS, bytes);
        each_cut_in_two_and_three(stream.bytes.len(), |cuts| {
            naming(name, &cuts, || {
                stream.receive_agrees(cuts.clone(), 7);
                stream.receive_data_agrees(cuts.clone());
            });
        });
    }
}

#[test]
fn a_frame_with_a_64_bit_length_survives_cuts_in_its_header_and_byte_by_byte() {
    for from in [From::Client, From::Server] {
        let payload: Vec<u8> = (0..70_000_u32).map(|i| i as u8).collect();
        let bytes: Rc<[u8]> =
            [slow::frame(from, true, BINARY, &payload), slow::close(from, 1000, "")].concat().into();
        let mut cuts: Vec<Vec<usize>> = (1..20).map(|cut| vec![cut]).collect();
        cuts.extend((1..12).map(|from_end| vec![bytes.len() - from_end]));
        cuts.push((1..bytes.len()).collect());
        for cuts in cuts {
            let mut socket = reader_of(from, Script::new(bytes.clone(), cuts), Config::new());
            drive(async {
                let unsync_websocket::Incoming::Message(Message::Binary(data)) =
                    socket.receiver.receive().await.unwrap()
                else {
                    panic!("no message")
                };
                assert!(data == payload);
            });
        }
    }
}
