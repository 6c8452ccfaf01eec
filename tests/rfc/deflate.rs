//! RFC 7692 on what peers can do wrong, and on what looks wrong and is not. (What is right is in `tests/deflate.rs`.)
//!
//! Payloads are built by hand, a bit at a time ([`Block`]), so that they can say what no compressor would.

use std::time::{Duration, Instant};

use unsync_websocket::protocol::{self, Inbound, MessageKind, ProtocolError};
use unsync_websocket_test_alloc::Scope;

use super::BOTH;
use super::ends::agree::{Stream, deflate, role_facing, tell};
use super::kit::runs::each_seed;
use super::kit::script::each_partition;
use super::kit::slow::{
    self, BINARY, CLOSE, CONTINUATION, Event, From, Limits, PING, PONG, Seen, TEXT, Verdict,
};

/// The largest window that can be agreed on.
const WINDOW: usize = 32 << 10;
/// "Hello", from section 7.2.3.1.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
/// "Hello" again, by a reference to the first, from section 7.2.3.2.
const HELLO_AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];

fn compressed(from: From, opcode: u8, payload: &[u8]) -> Vec<u8> {
    slow::raw_frame(from, 0xc0 | opcode, payload)
}

/// All ways to read `bytes` agree with the slow model, in one piece and byte by byte; and so do the answers.
#[track_caller]
fn agrees(from: From, limits: Limits, bytes: Vec<u8>) -> Seen {
    let stream = Stream::new(from, limits, bytes);
    for cuts in [vec![], (1..stream.bytes.len()).collect()] {
        stream.core_agrees(&cuts);
        stream.receive_agrees(cuts.clone(), usize::MAX);
        stream.receive_data_agrees(cuts);
    }
    stream.seen
}

/// What such a payload comes to, as a binary message without a history; `None` if it fails the connection with 1007.
#[track_caller]
fn inflated(payload: &[u8]) -> Option<Vec<u8>> {
    let stream =
        Stream::new(From::Server, Limits::NONE.with_deflate(0), compressed(From::Server, BINARY, payload));
    stream.core_agrees(&[]);
    stream.receive_agrees(vec![], usize::MAX);
    match (stream.seen.events.first(), &stream.seen.verdict) {
        (Some(Event::Binary(data)), Verdict::Open) => Some(data.clone()),
        (None, Verdict::Fault { code: 1007, rule: "not DEFLATE" }) => None,
        other => panic!("{other:?}"),
    }
}

/// What a sender makes of `data`.
fn deflated(data: &[u8]) -> Vec<u8> {
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    let mut packed = Vec::with_capacity(data.len() + data.len() / 8 + 64);
    compress.compress_vec(data, &mut packed, flate2::FlushCompress::Sync).unwrap();
    assert!(packed.ends_with(&[0, 0, 0xff, 0xff]));
    packed.truncate(packed.len() - 4);
    packed
}

/// DEFLATE by hand (RFC 1951, section 3.2).
#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    bits: usize,
}

impl Block {
    /// A block with the fixed code.
    fn fixed(is_final: bool) -> Self {
        Self::default().bits(is_final.into(), 1).bits(1, 2)
    }

    /// A number, its lowest bit first.
    fn bits(mut self, value: usize, count: usize) -> Self {
        for place in 0..count {
            if self.bits.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> place & 1) as u8) << (self.bits % 8);
            self.bits += 1;
        }
        self
    }

    /// A code, its highest bit first.
    fn code(self, code: usize, count: usize) -> Self {
        (0..count).rev().fold(self, |block, place| block.bits(code >> place & 1, 1))
    }

    /// A literal, the end (256) or a length, in the fixed code.
    fn symbol(self, symbol: usize) -> Self {
        match symbol {
            0..144 => self.code(0x30 + symbol, 8),
            144..256 => self.code(0x190 + symbol - 144, 9),
            256..280 => self.code(symbol - 256, 7),
            _ => self.code(0xc0 + symbol - 280, 8),
        }
    }

    fn literals(self, data: &[u8]) -> Self {
        data.iter().fold(self, |block, byte| block.symbol(usize::from(*byte)))
    }

    /// Three bytes from so far back.
    fn back(self, distance: usize) -> Self {
        let place = DISTANCES.iter().rposition(|(base, _)| *base <= distance).unwrap();
        let (base, extra) = DISTANCES[place];
        self.symbol(257).code(place, 5).bits(distance - base, extra)
    }

    fn end(self) -> Self {
        self.symbol(256)
    }

    /// The payload of a message that ends with this block: the empty one without compression begins, and the rest of it is left out.
    fn payload(self) -> Vec<u8> {
        self.bits(0, 3).bytes
    }

    /// As it is, up to a byte.
    fn bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The first distance of each symbol, and how many bits say which of those that follow.
const DISTANCES: [(usize, usize); 30] = {
    let mut distances = [(0, 0); 30];
    let (mut symbol, mut next) = (0, 1);
    while symbol < 30 {
        let extra = if symbol < 4 { 0 } else { symbol / 2 - 1 };
        distances[symbol] = (next, extra);
        next += 1 << extra;
        symbol += 1;
    }
    distances
};

/// A stored block.
fn stored(is_final: bool, data: &[u8]) -> Vec<u8> {
    let len = data.len() as u16;
    [&[is_final.into()][..], &len.to_le_bytes(), &(!len).to_le_bytes(), data].concat()
}

// --- RSV1 ----------------------------------------------------------------------------------------------------------

#[test]
fn section_6_rsv1_stands_on_the_first_frame_of_a_message_and_nowhere_else() {
    let limits = Limits::NONE.with_deflate(0);
    for from in BOTH {
        // A message that is not compressed has text instead.
        let hello = |first, part: &[u8]| match first {
            0x01 => slow::raw_frame(from, first, b"abc"),
            _ => slow::raw_frame(from, first, part),
        };
        // Both frames of a message, each with and without.
        for (first, second, code) in [
            (0x41, 0x80, None),
            (0x41, 0xc0, Some(1002)),
            (0x01, 0xc0, Some(1002)),
            (0x61, 0x80, Some(1002)),
            (0x51, 0x80, Some(1002)),
            (0x41, 0xa0, Some(1002)),
            (0x41, 0x90, Some(1002)),
        ] {
            for between in [vec![], slow::frame(from, true, PING, b"")] {
                let bytes = [hello(first, &HELLO[..3]), between, hello(second, &HELLO[3..])].concat();
                let seen = agrees(from, limits, bytes);
                match code {
                    None => assert_eq!(seen.events.last(), Some(&Event::Text("Hello".into()))),
                    Some(code) => {
                        assert!(matches!(seen.verdict, Verdict::Fault { code: is, .. } if is == code))
                    }
                }
            }
        }
        // Control frames, before, inside and after a compressed message.
        for opcode in [CLOSE, PING, PONG] {
            for rsv in 1..8 {
                for start in [vec![], hello(0x41, &HELLO[..3]), hello(0xc1, &HELLO)] {
                    let bytes = [start, slow::raw_frame(from, 0x80 | rsv << 4 | opcode, b"")].concat();
                    let seen = agrees(from, limits, bytes);
                    assert!(matches!(seen.verdict, Verdict::Fault { code: 1002, rule: "reserved bit" }));
                }
            }
        }
    }
}

#[test]
fn section_6_without_an_agreement_rsv1_fails_the_connection_whatever_the_payload() {
    for from in BOTH {
        for payload in [&HELLO[..], &[0], &[]] {
            for first in [0xc1, 0xc2, 0x41] {
                let seen = agrees(from, Limits::NONE, slow::raw_frame(from, first, payload));
                assert_eq!(seen.verdict, Verdict::Fault { code: 1002, rule: "reserved bit" });
            }
        }
    }
}

#[test]
fn section_6_messages_that_are_not_compressed_may_stand_between_those_that_are_and_are_no_part_of_the_window()
{
    for from in BOTH {
        let bytes = [
            compressed(from, TEXT, &HELLO),
            slow::frame(from, true, TEXT, b"as it is, and long enough to matter"),
            slow::frame(from, false, BINARY, &HELLO),
            slow::frame(from, true, CONTINUATION, &HELLO),
            compressed(from, TEXT, &HELLO_AGAIN),
        ];
        let seen = agrees(from, Limits::NONE.with_deflate(WINDOW), bytes.concat());
        assert_eq!(seen.events.last(), Some(&Event::Text("Hello".into())));
        assert_eq!((seen.events.len(), seen.verdict), (4, Verdict::Open));
    }
}

// --- sizes: bombs, and payloads that only look small ---------------------------------------------------------------

/// So many bytes, in all kinds of payload.
fn bombs(len: usize) -> Vec<(&'static str, Vec<u8>)> {
    let zeros = vec![0; len];
    let halves = [deflated(&zeros[..len / 2]), vec![0, 0, 0xff, 0xff], deflated(&zeros[len / 2..])].concat();
    let mut small_blocks = Vec::new();
    for piece in zeros.chunks(7000) {
        small_blocks.extend(deflated(piece));
        small_blocks.extend([0, 0, 0xff, 0xff]);
    }
    small_blocks.push(0);
    let stored: Vec<u8> = zeros.chunks(60_000).flat_map(|piece| stored(false, piece)).chain([0]).collect();
    let mut finals = Vec::new();
    for piece in zeros.chunks(9000) {
        // A final block, whose stream ends at the next byte.
        let mut packed = flate2::Compress::new(flate2::Compression::best(), false);
        let mut block = Vec::with_capacity(9000);
        packed.compress_vec(piece, &mut block, flate2::FlushCompress::Finish).unwrap();
        finals.extend(block);
    }
    finals.push(0);
    vec![
        ("one block", deflated(&zeros)),
        ("two blocks", halves),
        ("many blocks", small_blocks),
        ("stored", stored),
        ("final blocks", finals),
    ]
}

#[test]
fn section_10_4_the_limit_holds_for_what_a_message_is_inflated_to() {
    for limit in [1, 10, 1000, 16_383, 16_384, 16_385, 100_000, 1 << 20] {
        for window in [0, WINDOW] {
            let limits = Limits { max_message: limit, ..Limits::NONE.with_deflate(window) };
            for len in [limit - 1, limit, limit + 1, limit + 20_000] {
                for (name, bomb) in bombs(len as usize) {
                    // What a bomb in stored blocks announces is looked at first.
                    let from = From::Client;
                    let bytes = [
                        compressed(from, BINARY, &deflated(b"a")),
                        slow::raw_frame(from, 0x42, &bomb[..bomb.len() / 2]),
                        slow::frame(from, true, PING, b"between"),
                        slow::raw_frame(from, 0x80, &bomb[bomb.len() / 2..]),
                    ];
                    let stream = Stream::new(from, limits, bytes.concat());
                    stream.core_agrees(&[]);
                    stream.receive_agrees(vec![30], usize::MAX);
                    stream.receive_data_agrees(vec![30]);
                    let is_over = len > limit;
                    let fault = matches!(stream.seen.verdict, Verdict::Fault { code: 1009, .. });
                    assert_eq!(fault, is_over, "{name}, {len} of {limit}: {:?}", stream.seen.verdict);
                }
            }
        }
    }
}

#[test]
fn section_10_4_a_bomb_is_inflated_no_further_than_a_step_past_the_limit() {
    const LIMIT: usize = 1 << 20;
    for window in [0, WINDOW] {
        for (name, bomb) in bombs(32 << 20) {
            let wire = compressed(From::Server, TEXT, &bomb);
            let limits = protocol::Limits { max_message: LIMIT, ..protocol::Limits::default() };
            let mut inbound = Inbound::new(role_facing(From::Server), limits).with_deflate(&deflate(window));
            let scope = Scope::new();
            let mut data = Vec::new();
            let error = inbound.receive_into(&mut &wire[..], &mut data).unwrap_err();
            let ProtocolError::MessageTooBig { len, .. } = error else {
                // Its compressed form alone is too long.
                assert!(matches!(error, ProtocolError::FrameTooBig { .. }), "{name}: {error:?}");
                continue;
            };
            assert!(len <= LIMIT as u64 + (16 << 10), "{name}: {len} bytes");
            // A buffer that doubles is there twice while it is copied.
            assert!(
                scope.peak().cast_unsigned() < 3 * LIMIT + bomb.len().min(LIMIT),
                "{name}: {} bytes",
                scope.peak()
            );
            assert!(data.is_empty());
            // The buffer is the thread's now, for whatever long message comes next.
            assert!(
                scope.live() < (LIMIT + (128 << 10)).cast_signed(),
                "{name}: {} bytes are kept",
                scope.live()
            );
        }
    }
}

#[test]
fn section_10_4_a_compressed_form_longer_than_any_honest_one_is_refused_by_its_header() {
    let max = 1000_u64;
    for from in BOTH {
        let limits = Limits { max_message: max, ..Limits::NONE.with_deflate(0) };
        let honest = max + max / 8 + 64;
        let payload = [stored(false, &[]).repeat(honest as usize / 5), vec![0; honest as usize % 5]].concat();
        assert_eq!(payload.len() as u64, honest);
        agrees(from, limits, compressed(from, BINARY, &payload));
        let too_long = compressed(from, BINARY, &vec![0; honest as usize + 1]);
        for bytes in [too_long[..8].to_vec(), too_long] {
            let seen = agrees(from, limits, bytes);
            assert!(matches!(seen.verdict, Verdict::Fault { code: 1009, .. }));
        }
        // In fragments, with a limit for these.
        let limits = Limits { max_frame: 600, ..limits };
        for (sizes, is_good) in [([600, 589], true), ([600, 590], false), ([601, 0], false)] {
            let parts = [&payload[..sizes[0]], &vec![0; sizes[1]]];
            let bytes = [slow::raw_frame(from, 0x42, parts[0]), slow::raw_frame(from, 0x80, parts[1])];
            let seen = agrees(from, limits, bytes.concat());
            assert_eq!(matches!(seen.verdict, Verdict::Fault { code: 1009, .. }), !is_good, "{sizes:?}");
        }
        let limits = Limits { max_fragments: 3, ..limits };
        for (count, is_good) in [(2, true), (3, true), (4, false)] {
            let mut bytes = slow::raw_frame(from, 0x41, &HELLO);
            bytes.extend(slow::frame(from, false, CONTINUATION, b"").repeat(count - 2));
            bytes.extend(slow::frame(from, true, CONTINUATION, b""));
            assert_eq!(agrees(from, limits, bytes).verdict == Verdict::Open, is_good);
        }
    }
}

#[test]
fn blocks_that_say_nothing_cost_little_each_however_many_there_are() {
    // Four of ten bits each.
    let empty_fixed = (0..4).fold(Block::default(), |block, _| block.bits(2, 3).end()).bytes();
    let empty_final = Block::fixed(true).end().bytes();
    assert_eq!((empty_fixed.len(), &empty_final[..]), (5, &[0x03, 0x00][..]));
    for (name, block) in [("stored", stored(false, &[])), ("fixed", empty_fixed), ("final", empty_final)] {
        // As many as the default limits let in.
        let payload = [block.repeat((1 << 20) / block.len()), vec![0]].concat();
        let wire = compressed(From::Server, BINARY, &payload);
        let mut inbound =
            Inbound::new(role_facing(From::Server), protocol::Limits::default()).with_deflate(&deflate(0));
        let scope = Scope::new();
        let start = Instant::now();
        let told = tell(&mut inbound, &wire);
        let took = start.elapsed();
        println!("1 MiB of empty blocks, {name}: {took:?}");
        assert_eq!(told, (vec![Event::Binary(vec![])], None), "{name}");
        assert!(scope.peak() < 3 << 20, "{name}: {} bytes", scope.peak());
        // Some 10 to 100 ms on an idle machine; if blocks cost the more the more there are, it would be minutes.
        assert!(took < Duration::from_secs(3), "{name}: {took:?} for 1 MiB");
    }
}

// --- what is no DEFLATE --------------------------------------------------------------------------------------------

#[test]
fn section_7_2_2_an_empty_message_has_many_forms() {
    let nothing = [
        vec![],
        vec![0x00],
        Block::fixed(false).end().payload(),
        Block::fixed(false).end().bytes(),
        Block::fixed(true).end().bytes(),
        [Block::fixed(true).end().bytes(), vec![0]].concat(),
        [stored(false, b""), vec![0]].concat(),
        stored(true, b""),
        [stored(true, b""), stored(true, b""), vec![0]].concat(),
    ];
    for from in BOTH {
        for window in [0, WINDOW] {
            for payload in &nothing {
                for opcode in [TEXT, BINARY] {
                    let empty =
                        if opcode == TEXT { Event::Text(String::new()) } else { Event::Binary(vec![]) };
                    // Twice, for what the first leaves behind; and in fragments of nothing.
                    let fragments = [
                        slow::raw_frame(from, 0x40 | opcode, b""),
                        slow::frame(from, false, CONTINUATION, payload),
                        slow::frame(from, true, CONTINUATION, b""),
                    ];
                    let bytes = [compressed(from, opcode, payload), fragments.concat()].concat().repeat(2);
                    let seen = agrees(from, Limits::NONE.with_deflate(window), bytes);
                    assert_eq!(seen.events, vec![empty; 4], "{payload:x?}");
                }
            }
        }
    }
}

#[test]
fn section_7_2_3_4_behind_a_final_block_another_stream_may_begin_which_cannot_look_back() {
    let hello = |is_final| Block::fixed(is_final).literals(b"Hello").end();
    let last = hello(true).bytes();
    let good: [(&[&[u8]], &[u8]); 6] = [
        (&[&last], b"Hello"),
        (&[&last, &[0]], b"Hello"),
        (&[&last, &last], b"HelloHello"),
        (&[&last, &last, &[0]], b"HelloHello"),
        (&[&last, &HELLO], b"HelloHello"),
        (&[&stored(true, b"Hello"), &stored(false, b", too"), &[0]], b"Hello, too"),
    ];
    for (payload, data) in good {
        assert_eq!(inflated(&payload.concat()).as_deref(), Some(data), "{payload:x?}");
    }
    let looks_back = Block::fixed(false).back(5).end().payload();
    let bad: [&[&[u8]]; 4] = [
        (&[&last, &looks_back]),
        // A block of the fourth kind, which is none.
        (&[&last, &[0x06]]),
        (&[&last, &[0xff; 10]]),
        (&[&HELLO[..6], &[0xff]]),
    ];
    for payload in bad {
        assert_eq!(inflated(&payload.concat()), None, "{payload:x?}");
    }
    // Without the final block it can.
    let same = hello(false).bits(2, 3).back(5).end().payload();
    assert_eq!(inflated(&same).as_deref(), Some(&b"HelloHel"[..]));
}

#[test]
fn section_7_2_2_a_payload_that_was_cut_fails_the_connection_with_1007() {
    let data = b"{\"id\":17,\"name\":\"player\"},{\"id\":18,\"name\":\"player\"}".repeat(20);
    let payload = deflated(&data);
    assert_eq!(inflated(&payload).as_deref(), Some(&data[..]));
    let mut failed = 0;
    for end in 1..payload.len() {
        failed += usize::from(inflated(&payload[..end]).is_none());
    }
    // Whether a cut is seen is up to the bits before it; of the last byte, for one, only the first bits say something.
    assert!(failed > payload.len() - 10, "{failed} of {}", payload.len());
    for cut in 1..HELLO.len() - 1 {
        assert_eq!(inflated(&HELLO[..cut]), None, "{cut}");
    }
}

#[test]
fn section_7_2_2_behind_the_end_of_a_payload_only_blocks_may_stand() {
    for garbage in
        [&[0x06][..], &[0x07], &[0xff, 0xff], &[0x00, 0x00, 0xff], &[0x01], b"\x00\x05\x00\x00\x00Hello"]
    {
        assert_eq!(inflated(&[&HELLO, garbage].concat()), None, "{garbage:x?}");
    }
    // What was left out, though it need not be there, is a block.
    let written_out = [&HELLO[..], &[0x00, 0x00, 0xff, 0xff, 0x00]].concat();
    assert_eq!(inflated(&written_out).as_deref(), Some(&b"Hello"[..]));
}

#[test]
fn rfc_1951_section_3_2_3_a_block_has_one_of_three_kinds_and_a_stored_one_says_its_length_twice() {
    assert_eq!(inflated(&[0x06, 0, 0]), None, "the fourth kind");
    assert_eq!(inflated(&[0x07, 0, 0]), None, "and final");
    let good = [stored(false, b"data"), vec![0]].concat();
    assert_eq!(inflated(&good).as_deref(), Some(&b"data"[..]));
    for place in 1..5 {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[place] ^= 1 << bit;
            assert_eq!(inflated(&bad), None, "{bad:x?}");
        }
    }
    // Longer than what comes.
    assert_eq!(inflated(&[0x00, 0x05, 0x00, 0xfa, 0xff, b'H']), None);
    assert_eq!(inflated(&[0x00, 0xff, 0xff, 0x00, 0x00, b'H', 0]), None);
}

#[test]
fn rfc_1951_section_3_2_5_symbols_without_a_meaning_and_distances_before_the_beginning_fail_with_1007() {
    for symbol in [286, 287] {
        assert_eq!(
            inflated(&Block::fixed(false).literals(b"abc").symbol(symbol).code(0, 5).end().payload()),
            None
        );
    }
    for code in [30, 31] {
        let block = Block::fixed(false).literals(b"abc").symbol(257).code(code, 5).bits(0, 13);
        assert_eq!(inflated(&block.end().payload()), None);
    }
    for (said, distance, is_good) in
        [(0, 1, false), (3, 3, true), (3, 4, false), (3, 1, true), (3, 32_768, false)]
    {
        let block = Block::fixed(false).literals(&b"abc"[..said]).back(distance).end();
        assert_eq!(inflated(&block.payload()).is_some(), is_good, "{distance} back of {said}");
    }
    // The farthest that there is, and one less said.
    for (said, is_good) in [(32_768, true), (32_767, false)] {
        let block = Block::fixed(false).literals(&vec![b'x'; said]).back(32_768).end();
        assert_eq!(inflated(&block.payload()).is_some(), is_good);
    }
}

/// A block with codes of its own: lengths for the literals and lengths 0 to 256 and for the distances, each as it stands.
fn dynamic(literals: &[(usize, usize)], distances: &[usize]) -> Block {
    // The lengths are themselves in a code: each of 0 to 15 in four bits.
    let block = Block::default().bits(0, 1).bits(2, 2).bits(0, 5).bits(distances.len() - 1, 5).bits(15, 4);
    let block = (0..19).fold(block, |block, place| block.bits(if place < 3 { 0 } else { 4 }, 3));
    let mut lengths = vec![0; 257];
    for (symbol, len) in literals {
        lengths[*symbol] = *len;
    }
    lengths.iter().chain(distances).fold(block, |block, len| block.code(*len, 4))
}

#[test]
fn rfc_1951_section_3_2_7_codes_must_be_complete_and_know_the_end() {
    // 'a' is 0, the end is 1.
    let two = dynamic(&[(b'a'.into(), 1), (256, 1)], &[0]);
    assert_eq!(inflated(&two.code(0, 1).code(0, 1).code(1, 1).payload()).as_deref(), Some(&b"aa"[..]));
    let no_end = dynamic(&[(b'a'.into(), 1), (b'b'.into(), 1)], &[0]);
    assert_eq!(inflated(&no_end.code(0, 1).payload()), None);
    let too_many = dynamic(&[(b'a'.into(), 1), (b'b'.into(), 1), (256, 1)], &[0]);
    assert_eq!(inflated(&too_many.code(0, 1).payload()), None);
    let too_few = dynamic(&[(b'a'.into(), 2), (b'b'.into(), 2), (256, 2)], &[0]);
    assert_eq!(inflated(&too_few.code(0, 2).payload()), None);
    for (distances, is_good) in [
        (&[0][..], true),
        (&[1], true),
        (&[1, 1], true),
        (&[2, 2], false),
        (&[1, 1, 1], false),
        (&[2], false),
    ] {
        let block = dynamic(&[(b'a'.into(), 1), (256, 1)], distances).code(1, 1);
        assert_eq!(inflated(&block.payload()).is_some(), is_good, "{distances:?}");
    }
    // A length that repeats what is not there.
    let block = Block::default().bits(0, 1).bits(2, 2).bits(0, 5).bits(0, 5).bits(0, 4);
    let block = block.bits(1, 3).bits(0, 3).bits(0, 3).bits(1, 3).code(1, 1).bits(0, 2);
    assert_eq!(inflated(&block.bits(0, 60).payload()), None);
}

// --- the window ----------------------------------------------------------------------------------------------------

#[test]
fn section_7_1_1_a_reference_to_an_earlier_message_needs_a_window_that_reaches_it() {
    for from in BOTH {
        let again = [compressed(from, TEXT, &HELLO), compressed(from, TEXT, &HELLO_AGAIN)].concat();
        let seen = agrees(from, Limits::NONE.with_deflate(0), again.clone());
        assert_eq!(seen.verdict, Verdict::Fault { code: 1007, rule: "not DEFLATE" });
        assert_eq!(seen.events, [Event::Text("Hello".into())], "what was good is told first");
        assert_eq!(agrees(from, Limits::NONE.with_deflate(256), again).verdict, Verdict::Open);

        for window in [256, 512, 4096, WINDOW] {
            for said in [window - 1, window, window + 1, 3 * window] {
                // In one message, and in two: the window slides.
                for parts in [vec![said], vec![said / 2, said - said / 2]] {
                    let data: Vec<u8> = (0..said).map(|i| (i % 251) as u8).collect();
                    let (mut bytes, mut start) = (Vec::new(), 0);
                    for part in parts {
                        bytes.extend(compressed(from, BINARY, &deflated(&data[start..start + part])));
                        start += part;
                    }
                    for (distance, is_near) in [(window - 1, true), (window, true), (window + 1, false)] {
                        if distance > 32_768 {
                            continue;
                        }
                        let looks_back = Block::fixed(false).back(distance).end().payload();
                        let bytes = [&bytes[..], &compressed(from, BINARY, &looks_back)].concat();
                        let stream = Stream::new(from, Limits::NONE.with_deflate(window), bytes);
                        stream.core_agrees(&[]);
                        stream.receive_agrees(vec![], usize::MAX);
                        let is_good = is_near && distance <= said;
                        assert_eq!(
                            stream.seen.verdict == Verdict::Open,
                            is_good,
                            "{distance}, {said} of {window}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn section_7_1_1_an_empty_message_leaves_the_window_as_it_is_and_so_does_a_final_block() {
    for from in BOTH {
        let last = Block::fixed(true).literals(b"Hello").end().bytes();
        for between in [vec![], vec![0], stored(true, b""), Block::fixed(true).end().bytes()] {
            for first in [&HELLO[..], &last] {
                let bytes = [first, &between, &HELLO_AGAIN].map(|payload| compressed(from, TEXT, payload));
                let seen = agrees(from, Limits::NONE.with_deflate(WINDOW), bytes.concat());
                assert_eq!(seen.events.last(), Some(&Event::Text("Hello".into())), "{between:x?}");
            }
        }
    }
}

// --- text ----------------------------------------------------------------------------------------------------------

#[test]
fn section_6_2_text_is_judged_after_it_was_inflated() {
    let texts: [&[u8]; 8] = [
        b"plain",
        "aé€😀".as_bytes(),
        b"\xff",
        b"a\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"\xe2\x82",
        b"a\x80",
    ];
    for from in BOTH {
        for text in texts {
            let is_good = std::str::from_utf8(text).is_ok();
            // In one block; with a block for each byte, so that characters are cut; stored, where the bytes stand for themselves.
            let single: Vec<u8> = text.iter().flat_map(|byte| stored(false, &[*byte])).chain([0]).collect();
            for payload in [deflated(text), single, [stored(false, text), vec![0]].concat()] {
                for cut in 0..payload.len() {
                    let bytes = [
                        slow::raw_frame(from, 0x41, &payload[..cut]),
                        slow::raw_frame(from, 0x80, &payload[cut..]),
                        slow::frame(from, true, TEXT, b"next"),
                    ];
                    let seen = agrees(from, Limits::NONE.with_deflate(0), bytes.concat());
                    match seen.verdict {
                        Verdict::Open => assert!(is_good, "{text:x?}"),
                        verdict => assert_eq!(
                            (verdict, is_good),
                            (Verdict::Fault { code: 1007, rule: "not UTF-8" }, false)
                        ),
                    }
                }
                // As binary data it is no text.
                let seen = agrees(from, Limits::NONE.with_deflate(0), compressed(from, BINARY, &payload));
                assert_eq!(seen.events, [Event::Binary(text.to_vec())]);
            }
        }
    }
}

// --- fragments and cuts --------------------------------------------------------------------------------------------

#[test]
fn section_6_1_a_compressed_message_in_any_fragments_with_control_frames_between_is_the_same_message() {
    let payload = deflated(b"a\xe2\x82\xac, and again a\xe2\x82\xac");
    assert!(payload.len() > 12);
    for from in BOTH {
        each_partition(12, |cuts| {
            let (mut bytes, mut start) = (Vec::new(), 0);
            for end in cuts.iter().copied().chain([payload.len()]) {
                let first =
                    if start == 0 { 0x41 } else { 0x00 } | if end == payload.len() { 0x80 } else { 0 };
                bytes.extend(slow::raw_frame(from, first, &payload[start..end]));
                bytes.extend(slow::frame(from, true, PING, &payload[..start]));
                start = end;
            }
            let stream = Stream::new(from, Limits::NONE.with_deflate(0), bytes);
            stream.core_agrees(&(1..stream.bytes.len()).collect::<Vec<_>>());
            stream.receive_agrees(cuts, 5);
            assert!(stream.seen.events.contains(&Event::Text("a€, and again a€".into())));
        });
    }
}

#[test]
fn a_stream_of_compressed_messages_is_read_the_same_wherever_it_is_cut_or_ends() {
    for from in BOTH {
        let text = b"again and again and again";
        let bytes = [
            compressed(from, TEXT, &deflated(text)),
            slow::raw_frame(from, 0x42, &HELLO[..2]),
            slow::frame(from, true, PING, b"?"),
            slow::raw_frame(from, 0x80, &HELLO[2..]),
            compressed(from, TEXT, &[]),
            slow::frame(from, true, TEXT, b"plain"),
            compressed(from, TEXT, &HELLO_AGAIN),
            slow::close(from, 1000, ""),
        ]
        .concat();
        for limits in [Limits::NONE.with_deflate(0), Limits::NONE.with_deflate(WINDOW)] {
            let stream = Stream::new(from, limits, bytes.clone());
            for cut in 0..bytes.len() {
                stream.core_agrees(&[cut]);
                stream.receive_agrees(vec![cut], 3);
                stream.receive_data_agrees(vec![cut]);
                // And where it just ends.
                let short = Stream::new(from, limits, bytes[..cut].to_vec());
                short.core_agrees(&[]);
                short.receive_agrees(vec![], 3);
            }
        }
    }
}

#[test]
fn section_5_5_1_a_close_inside_a_compressed_message_ends_the_connection_and_the_message_is_never_told() {
    for from in BOTH {
        let bytes = [slow::raw_frame(from, 0x41, &HELLO[..4]), slow::close(from, 1001, ""), vec![0x80, 0x00]];
        let seen = agrees(from, Limits::NONE.with_deflate(WINDOW), bytes.concat());
        assert_eq!(seen.events, [Event::Close(Some((1001, String::new())))]);
    }
}

// --- against the slow way, by chance -------------------------------------------------------------------------------

#[test]
fn compressed_messages_with_some_bits_turned_mean_what_the_slow_model_says() {
    let mut verdicts = [0; 3];
    let counts = std::cell::RefCell::new(&mut verdicts);
    each_seed("compressed_messages_with_some_bits_turned", 20_000, |run| {
        let choices = &run.choices;
        let from = choices.of(&BOTH);
        let mut bytes = Vec::new();
        let words: [&[u8]; 5] = [b"player", b"\"id\":", b"17", "€".as_bytes(), b"{},"];
        for _ in 0..choices.between(1, 3) {
            let count = choices.between(0, 40);
            let data: Vec<u8> = (0..count).flat_map(|_| choices.of(&words)).copied().collect();
            let mut payload = match choices.choose(3) {
                0 => [stored(choices.one_in(2), &data), vec![0]].concat(),
                1 => Block::fixed(choices.one_in(4))
                    .literals(&data)
                    .back(choices.between(1, 300))
                    .end()
                    .payload(),
                _ => deflated(&data),
            };
            for _ in 0..choices.choose(3) {
                let place = choices.choose(payload.len());
                match choices.choose(6) {
                    0 => payload.truncate(place + 1),
                    1 => payload.insert(place, choices.choose(256) as u8),
                    2 => drop(payload.remove(place)),
                    _ => payload[place] ^= 1 << choices.choose(8),
                }
                if payload.is_empty() {
                    break;
                }
            }
            bytes.extend(compressed(from, choices.of(&[TEXT, BINARY]), &payload));
        }
        let window = choices.of(&[0, 256, 1024, WINDOW]);
        let stream = Stream::new(from, Limits::NONE.with_deflate(window), bytes);
        stream.core_agrees(&[choices.choose(stream.bytes.len())]);
        counts.borrow_mut()[match stream.seen.verdict {
            Verdict::Open => 0,
            Verdict::Fault { rule: "not DEFLATE", .. } => 1,
            _ => 2,
        }] += 1;
    });
    println!("inflated, no DEFLATE, something else: {verdicts:?}");
    assert!(super::kit::runs::is_replay() || verdicts.iter().all(|count| *count > 500), "{verdicts:?}");
}

#[test]
fn what_is_received_into_a_buffer_stays_behind_what_was_there_when_a_message_fails() {
    let data = vec![b'a'; 5000];
    for (payload, code) in
        [(deflated(&data), 1009), (deflated(b"\xff"), 1007), ([&HELLO[..5], &[0xff]].concat(), 1007)]
    {
        let limits = protocol::Limits { max_message: 4000, ..protocol::Limits::default() };
        let mut inbound = Inbound::new(role_facing(From::Server), limits).with_deflate(&deflate(0));
        let mut kept = b"before".to_vec();
        let good = compressed(From::Server, TEXT, &HELLO);
        assert_eq!(
            inbound.receive_into(&mut &good[..], &mut kept),
            Ok(Some(protocol::Event::Message(MessageKind::Text)))
        );
        let bad = compressed(From::Server, TEXT, &payload);
        let error = inbound.receive_into(&mut &bad[..], &mut kept).unwrap_err();
        assert_eq!((error.close_code().get(), &kept[..]), (code, &b"beforeHello"[..]));
        assert_eq!(inbound.receive_into(&mut &good[..], &mut kept), Err(error), "an error stays");
    }
}
