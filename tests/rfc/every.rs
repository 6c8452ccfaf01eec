//! T4: every first byte (opcode, reserved bits, FIN), with and without MASK, in every state of either role, with lengths around each
//! border, with and without compression, against the slow model.
//!
//! A frame that is whole is followed by others, so that the state it leaves is seen, too.

use super::BOTH;
use super::ends::agree::Stream;
use super::kit::slow::{self, BINARY, CONTINUATION, From, Limits, PING, TEXT, Verdict};

/// What came before the frame: between messages (twice), inside text, inside binary, inside a character of a text, inside a compressed
/// text (a fault, where that was not agreed on), after a Close.
fn states(from: From) -> [Vec<u8>; 7] {
    [
        vec![],
        slow::frame(from, true, TEXT, b"whole"),
        slow::frame(from, false, TEXT, b"begun"),
        slow::frame(from, false, BINARY, b"begun"),
        slow::frame(from, false, TEXT, b"\xe2\x82"),
        slow::raw_frame(from, 0x41, &HELLO[..4]),
        slow::close(from, 1000, ""),
    ]
}

/// What follows a frame that was whole: where messages were open they end, and where none was one begins.
fn afterwards(from: From) -> [Vec<u8>; 2] {
    [
        [slow::frame(from, true, PING, b"?"), slow::frame(from, true, CONTINUATION, b"end")].concat(),
        [slow::frame(from, false, TEXT, b"next"), slow::frame(from, true, CONTINUATION, b"end")].concat(),
    ]
}

/// Bytes behind the first two of the header that tell the length, and the length.
const LENGTHS: [(usize, u64); 25] = [
    (0, 0),
    (0, 1),
    (0, 2),
    (0, 3),
    (0, 7),
    (0, 124),
    (0, 125),
    (2, 0),
    (2, 2),
    (2, 125),
    (2, 126),
    (2, 127),
    (2, 400),
    (8, 0),
    (8, 126),
    (8, 65535),
    (8, 65536),
    (8, (1 << 31) - 1),
    (8, 1 << 31),
    (8, 1 << 32),
    (8, 1 << 53),
    (8, (1 << 63) - 1),
    (8, 1 << 63),
    (8, (1 << 63) + 1),
    (8, u64::MAX),
];

/// "Hello", compressed (RFC 7692, section 7.2.3.1).
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// How payloads begin: plain; with what completes the character that is cut (no text and no close code else); with a close code
/// that may travel (no text); compressed; with the rest of what is compressed.
const FILLS: [&[u8]; 5] = [b"aa", b"\xac ", b"\x03\xe8", &HELLO, &[0xc9, 0x07, 0x00]];

/// Limits: none, and some that the lengths go beyond; and the same with compression, with a window and without.
fn limits() -> Vec<Limits> {
    let tight = Limits { max_message: 402, max_frame: 300, max_fragments: 2, deflate: None };
    let plain = [Limits::NONE, tight];
    let compressed = [Limits::NONE.with_deflate(0), tight.with_deflate(32 << 10)];
    plain.into_iter().chain(compressed.into_iter().filter(|_| cfg!(feature = "deflate"))).collect()
}

fn header(first: u8, is_masked: bool, form: usize, len: u64) -> Vec<u8> {
    let short = match form {
        0 => len as u8,
        2 => 126,
        _ => 127,
    };
    let mut header = vec![first, short | if is_masked { 0x80 } else { 0 }];
    header.extend(&len.to_be_bytes()[8 - form..]);
    if is_masked {
        header.extend([0x11, 0x22, 0x33, 0x44]);
    }
    header
}

fn payload(is_masked: bool, fill: &[u8], len: usize) -> Vec<u8> {
    let mut payload: Vec<_> = fill.iter().copied().chain(std::iter::repeat(b'a')).take(len).collect();
    if is_masked {
        for (byte, key) in payload.iter_mut().zip([0x11, 0x22, 0x33, 0x44].into_iter().cycle()) {
            *byte ^= key;
        }
    }
    payload
}

/// Calls `visit` with every stream, whose payloads are whole up to `whole` bytes and else missing. What follows a frame is varied
/// only where it is looked at.
fn each_stream(limits: &[Limits], lengths: &[(usize, u64)], whole: u64, mut visit: impl FnMut(Stream)) {
    for (from, limits) in BOTH.into_iter().flat_map(|from| limits.iter().map(move |limits| (from, *limits))) {
        for state in states(from) {
            for first in 0..=u8::MAX {
                for (is_masked, (form, len)) in [false, true]
                    .into_iter()
                    .flat_map(|masked| lengths.iter().map(move |length| (masked, *length)))
                {
                    let head = [state.clone(), header(first, is_masked, form, len)].concat();
                    let stream = Stream::new(from, limits, head.clone());
                    let is_over = is_over(&stream);
                    visit(stream);
                    if len > whole {
                        continue;
                    }
                    for fill in FILLS.into_iter().take(if is_over { 1 } else { len as usize + 1 }) {
                        let frame = [head.clone(), payload(is_masked, fill, len as usize)].concat();
                        let stream = Stream::new(from, limits, frame.clone());
                        let is_over = self::is_over(&stream);
                        visit(stream);
                        for after in afterwards(from).into_iter().filter(|_| !is_over) {
                            visit(Stream::new(from, limits, [frame.clone(), after].concat()));
                        }
                    }
                }
            }
        }
    }
}

/// Nothing of what follows is looked at.
fn is_over(stream: &Stream) -> bool {
    matches!(stream.seen.verdict, Verdict::Closed { .. } | Verdict::Fault { .. })
}

/// Fails with the stream's name.
fn naming(stream: &Stream, check: impl FnOnce()) {
    struct Name<'a>(&'a Stream);
    impl Drop for Name<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                let start = &self.0.bytes[..self.0.bytes.len().min(80)];
                eprintln!("{:?} wrote {start:02x?}.. with {:?}", self.0.from, self.0.limits);
            }
        }
    }
    let _name = Name(stream);
    check();
}

#[test]
fn every_frame_in_every_state_has_the_verdict_of_the_slow_model() {
    let mut counts = [0; 5];
    each_stream(&limits(), &LENGTHS, 400, |stream| {
        naming(&stream, || {
            stream.core_agrees(&[]);
            let len = stream.bytes.len();
            // Byte by byte where it is short; where it is not, with a cut in what is at its end.
            let cuts: Vec<_> = if len < 64 { (1..len).collect() } else { vec![len - 20, len - 3] };
            stream.core_agrees(&cuts);
        });
        counts[match stream.seen.verdict {
            Verdict::Open => 0,
            Verdict::InMessage => 1,
            Verdict::InFrame => 2,
            Verdict::Closed { .. } => 3,
            Verdict::Fault { .. } => 4,
        }] += 1;
    });
    // A list that met no verdict of a kind would prove nothing about that kind.
    println!("open, in a message, in a frame, closed, faults: {counts:?}");
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

#[test]
fn every_frame_with_a_long_payload_has_the_verdict_of_the_slow_model() {
    each_stream(&[Limits::NONE], &[(8, 65535), (8, 65536)], 65536, |stream| {
        naming(&stream, || stream.core_agrees(&[1000.min(stream.bytes.len())]));
    });
}

#[test]
fn every_frame_in_every_state_is_told_and_answered_by_a_connection_as_the_slow_model_says() {
    let lengths = [(0, 0), (0, 2), (0, 3), (0, 7), (2, 125), (2, 126), (8, 1 << 63)];
    each_stream(&limits(), &lengths, 126, |stream| {
        naming(&stream, || {
            stream.receive_agrees(vec![], 7);
            stream.receive_data_agrees(vec![stream.bytes.len() / 2]);
        });
    });
}
