//! Sections 5.1 to 5.5: the base framing protocol.

use unsync_websocket::protocol::{
    FrameHeader, Inbound, Limits, MaskingKeys, MessageKind, OpCode, Outbound, ProtocolError,
};
use unsync_websocket_test_alloc::Scope;

use super::ends::agree::{role_facing, tell};
use super::kit::script::each_partition;
use super::kit::slow::{self, BINARY, CLOSE, CONTINUATION, Event, From, PING, PONG, TEXT, Verdict};
use super::{BOTH, connection_agrees, connection_fails, fault, story};

const CONTROL: [u8; 3] = [CLOSE, PING, PONG];
const RESERVED: [u8; 10] = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15];

/// The header of a frame whose payload never comes, with its length in a form of our choice: 0, 2 or 8 bytes behind the first two.
fn announced(from: From, first: u8, form: usize, len: u64) -> Vec<u8> {
    let mask_bit = if from == From::Client { 0x80 } else { 0 };
    let short = match form {
        0 => len as u8,
        2 => 126,
        _ => 127,
    };
    let mut header = vec![first, mask_bit | short];
    header.extend(&len.to_be_bytes()[8 - form..]);
    if from == From::Client {
        header.extend([1, 2, 3, 4]);
    }
    header
}

/// What may stand before a frame, and whether a message is open then.
fn before(from: From) -> [(Vec<u8>, bool); 4] {
    [
        (vec![], false),
        (slow::frame(from, true, TEXT, b"whole"), false),
        (slow::frame(from, false, TEXT, b"begun"), true),
        ([slow::frame(from, false, BINARY, b""), slow::frame(from, true, PING, b"between")].concat(), true),
    ]
}

/// The opcodes that a frame may have there.
fn legal_next(is_inside: bool) -> Vec<u8> {
    [if is_inside { &[CONTINUATION][..] } else { &[TEXT, BINARY] }, &CONTROL].concat()
}

#[test]
fn section_5_1_a_frame_with_the_wrong_mask_bit_fails_the_connection_before_its_payload_comes() {
    for from in BOTH {
        let (other, expected) = match from {
            From::Client => (From::Server, ProtocolError::NotMasked),
            From::Server => (From::Client, ProtocolError::Masked),
        };
        for (start, is_inside) in before(from) {
            for opcode in legal_next(is_inside) {
                for len in [0, 2, 125] {
                    let bytes = [start.clone(), announced(other, 0x80 | opcode, 0, len)].concat();
                    assert_eq!(fault(from, &bytes), expected);
                }
                let frame = slow::frame(other, true, opcode, b"\x03\xe8");
                connection_fails(from, [start.clone(), frame].concat(), 1002);
            }
        }
    }
}

#[test]
fn section_5_2_a_reserved_bit_fails_the_connection_in_every_frame_of_a_message_and_between_its_frames() {
    for from in BOTH {
        for (start, is_inside) in before(from) {
            for opcode in legal_next(is_inside) {
                for rsv in 1..8 {
                    for fin in [0x80, 0] {
                        let first = fin | rsv << 4 | opcode;
                        let bytes = [start.clone(), slow::raw_frame(from, first, b"\x03\xe8")].concat();
                        let error = fault(from, &bytes);
                        let of_fin = fin == 0 && opcode >= CLOSE;
                        assert!(
                            error == ProtocolError::ReservedBit
                                || of_fin && error == ProtocolError::FragmentedControl,
                            "{first:x}: {error:?}"
                        );
                        connection_fails(from, bytes, 1002);
                    }
                }
            }
        }
    }
}

#[test]
fn section_5_2_a_reserved_opcode_fails_the_connection_between_messages_and_inside_one() {
    for from in BOTH {
        for (start, _) in before(from) {
            for opcode in RESERVED {
                for fin in [true, false] {
                    let bytes = [start.clone(), slow::frame(from, fin, opcode, b"")].concat();
                    assert_eq!(fault(from, &bytes), ProtocolError::ReservedOpCode { opcode });
                    connection_fails(from, bytes, 1002);
                }
            }
        }
    }
}

#[test]
fn section_5_2_every_length_has_one_form() {
    for from in BOTH {
        for len in 0..=u64::from(u16::MAX) + 1 {
            let longer = match len {
                0..=125 => &[2, 8][..],
                126..=0xffff => &[8],
                _ => &[],
            };
            for form in longer {
                let header = announced(from, 0x82, *form, len);
                assert_eq!(
                    FrameHeader::decode(&header),
                    Err(ProtocolError::LengthNotMinimal),
                    "{len} in {form}"
                );
            }
            let form = match len {
                0..=125 => 0,
                126..=0xffff => 2,
                _ => 8,
            };
            let header = announced(from, 0x82, form, len);
            let (decoded, header_len) = FrameHeader::decode(&header).unwrap().unwrap();
            assert_eq!((decoded.payload_len, header_len), (len, header.len()));
            assert_eq!(decoded.encode().as_slice(), header, "and it is the one we write");
        }
        for (form, len) in [(2, 0), (2, 125), (8, 0), (8, 125), (8, 126), (8, 65535)] {
            connection_fails(from, [announced(from, 0x82, form, len), vec![0; len as usize]].concat(), 1002);
            connection_fails(
                from,
                [slow::frame(from, false, TEXT, b"a"), announced(from, 0x80, form, len)].concat(),
                1002,
            );
        }
    }
}

#[test]
fn section_5_2_a_length_of_2_to_the_63_and_above_fails_the_connection() {
    for from in BOTH {
        for len in [1 << 63, 1 << 63 | 1, 1 << 63 | 1 << 32, u64::MAX - 14, u64::MAX - 1, u64::MAX] {
            let header = announced(from, 0x82, 8, len);
            assert_eq!(fault(from, &header), ProtocolError::LengthTopBit);
            connection_fails(from, header, 1002);
        }
    }
}

/// The longest that the RFC allows, and what is around the places where a count of bytes overflows somewhere.
const LARGE: [u64; 9] = [
    1 << 20,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    (1 << 32) + 1,
    1 << 53,
    (1 << 63) - 15,
    (1 << 63) - 1,
];

#[test]
fn section_10_4_a_length_that_is_only_announced_costs_nothing_and_is_refused_at_once_above_the_limit() {
    for from in BOTH {
        for (first, start) in [(0x82, vec![]), (0x80, slow::frame(from, false, TEXT, b"abc"))] {
            for len in LARGE {
                let bytes = [start.clone(), announced(from, first, 8, len)].concat();
                let unlimited =
                    Limits { max_message: usize::MAX, max_frame: usize::MAX, max_fragments: u32::MAX };
                let mut inbound = Inbound::new(role_facing(from), unlimited);
                let scope = Scope::new();
                assert!(inbound.receive(&mut &start[..]).is_ok());
                assert_eq!(inbound.receive(&mut &bytes[start.len()..]), Ok(None), "it waits for the payload");
                for _ in 0..100 {
                    assert_eq!(inbound.receive(&mut &b"abcdefghij"[..]), Ok(None));
                }
                assert!(scope.peak() <= 4096, "{} bytes for {len}", scope.peak());

                let mut inbound = Inbound::new(role_facing(from), Limits::default());
                let error = tell(&mut inbound, &bytes).1;
                let is_over = first == 0x80 || len > 1 << 20;
                assert_eq!(error.map(|error| error.close_code().get()), is_over.then_some(1009), "{len}");
            }
        }
    }
}

#[test]
fn section_5_3_any_key_unmasks_the_key_of_zeros_too() {
    for key in [[0; 4], [0xff; 4], [0, 0, 0, 1], [0x80, 0, 0, 0], *b"Hell", [0x37, 0xfa, 0x21, 0x3d]] {
        for payload in [&b""[..], b"H", b"Hello", b"Hello, and more of it than one key or word"] {
            let mut bytes = vec![0x81, 0x80 | payload.len() as u8];
            bytes.extend(key);
            bytes.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
            let text = Event::Text(String::from_utf8(payload.to_vec()).unwrap());
            assert_eq!(story(From::Client, &bytes), (vec![text], None), "{key:x?}");
        }
    }
}

#[test]
fn section_5_3_each_frame_of_ours_has_a_key_of_its_own_and_a_server_has_none() {
    struct Counting(u32);
    impl MaskingKeys for Counting {
        fn next_key(&mut self) -> [u8; 4] {
            self.0 += 1;
            self.0.to_be_bytes()
        }
    }
    for (mut outbound, from) in
        [(Outbound::client(Box::new(Counting(0))), From::Client), (Outbound::server(), From::Server)]
    {
        outbound = outbound.with_sizes(3, 1 << 20);
        outbound.push(MessageKind::Text, b"four fragments");
        outbound.ping(b"?");
        outbound.pong(b"!");
        outbound.push(MessageKind::Binary, b"");
        outbound.close(None);
        let bytes = wire_of(outbound);
        let (mut rest, mut keys) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let (header, len) = FrameHeader::decode(rest).unwrap().unwrap();
            keys.extend(header.mask.map(u32::from_be_bytes));
            rest = &rest[len + header.payload_len as usize..];
        }
        let expected: Vec<_> = if from == From::Client { (1..=9).collect() } else { vec![] };
        assert_eq!(keys, expected);
        assert!(matches!(slow::read(from, slow::Limits::NONE, &bytes).verdict, Verdict::Closed { rest: 0 }));
    }
}

/// All that an outbox hands out.
fn wire_of(mut outbound: Outbound) -> Vec<u8> {
    let mut wire = Vec::new();
    while let Some(batch) = outbound.take() {
        wire.extend_from_slice(batch.first());
        let written = batch.first().len();
        outbound.put_back(batch, written);
    }
    wire
}

#[test]
fn section_5_4_a_message_of_ours_in_any_fragments_is_read_as_it_was_with_lengths_in_their_shortest_form() {
    let lengths = [0, 1, 2, 124, 125, 126, 127, 128, 250, 65534, 65535, 65536, 65537, 131_072];
    for len in lengths {
        let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
        for fragment in lengths.into_iter().chain([3, 1000]).filter(|fragment| len / (fragment + 1) < 5000) {
            let mut outbound = Outbound::server().with_sizes(fragment, 1 << 20);
            outbound.push(MessageKind::Binary, &payload);
            let bytes = wire_of(outbound);
            let seen = slow::read(From::Server, slow::Limits::NONE, &bytes);
            assert_eq!((&seen.verdict, seen.events.len()), (&Verdict::Open, 1));
            assert!(seen.events[0] == Event::Binary(payload.clone()), "{len} in {fragment}");
            assert!(seen.frames.iter().all(|frame| frame.payload.len() <= fragment.max(1)));
            assert_eq!(seen.frames.len(), len.div_ceil(fragment.max(1)).max(1));
        }
    }
}

#[test]
fn section_5_4_empty_fragments_and_empty_messages_are_legal() {
    for from in BOTH {
        for (opcode, empty, full) in [
            (TEXT, Event::Text(String::new()), Event::Text("ab".into())),
            (BINARY, Event::Binary(vec![]), Event::Binary(b"ab".to_vec())),
        ] {
            let first = |payload: &[u8]| slow::frame(from, false, opcode, payload);
            let next = |fin, payload: &[u8]| slow::frame(from, fin, CONTINUATION, payload);
            let all = [
                (vec![slow::frame(from, true, opcode, b"")], &empty),
                (vec![first(b""), next(true, b"")], &empty),
                (vec![first(b""), next(false, b""), next(false, b""), next(true, b"")], &empty),
                (vec![first(b""), next(false, b"a"), next(false, b""), next(true, b"b")], &full),
                (vec![first(b"a"), next(false, b""), next(false, b"b"), next(true, b"")], &full),
                (vec![first(b"ab"), next(true, b"")], &full),
                (vec![first(b""), next(true, b"ab")], &full),
            ];
            for (frames, expected) in all {
                // Twice, for what the first leaves behind.
                let bytes = frames.concat().repeat(2);
                assert_eq!(story(from, &bytes), (vec![expected.clone(); 2], None));
                connection_agrees(from, bytes);
            }
        }
    }
}

#[test]
fn section_5_4_a_message_cut_into_fragments_in_every_way_with_control_frames_between_is_the_same_message() {
    let text = "aé€😀";
    for from in BOTH {
        each_partition(text.len(), |cuts| {
            let (mut bytes, mut expected, mut start) = (Vec::new(), Vec::new(), 0);
            for end in cuts.iter().copied().chain([text.len()]) {
                let opcode = if start == 0 { TEXT } else { CONTINUATION };
                bytes.extend(slow::frame(from, end == text.len(), opcode, &text.as_bytes()[start..end]));
                if end < text.len() {
                    let payload = text.as_bytes()[..end].to_vec();
                    bytes.extend(slow::frame(from, true, PING, &payload));
                    bytes.extend(slow::frame(from, true, PONG, b"\xff"));
                    expected.push(Event::Ping(payload));
                    expected.push(Event::Pong(b"\xff".to_vec()));
                }
                start = end;
            }
            expected.push(Event::Text(text.into()));
            assert_eq!(story(from, &bytes), (expected, None));
            bytes.extend(slow::close(from, 1000, ""));
            connection_agrees(from, bytes);
        });
    }
}

#[test]
fn section_5_4_a_continuation_needs_a_message_and_a_message_its_end() {
    for from in BOTH {
        let f = |fin, opcode| slow::frame(from, fin, opcode, b"x");
        for start in
            [vec![], f(true, TEXT), [f(false, BINARY), f(true, CONTINUATION)].concat(), f(true, PING)]
        {
            for fin in [true, false] {
                let bytes = [start.clone(), f(fin, CONTINUATION)].concat();
                assert_eq!(fault(from, &bytes), ProtocolError::UnexpectedContinuation);
                connection_fails(from, bytes, 1002);
            }
        }
        for begun in [TEXT, BINARY] {
            for (next, found) in [(TEXT, OpCode::Text), (BINARY, OpCode::Binary)] {
                for fin in [true, false] {
                    for between in [vec![], f(true, PONG), f(false, CONTINUATION)] {
                        let bytes = [f(false, begun), between, f(fin, next)].concat();
                        assert_eq!(fault(from, &bytes), ProtocolError::ExpectedContinuation { found });
                        connection_fails(from, bytes, 1002);
                    }
                }
            }
        }
    }
}

#[test]
fn section_5_5_a_control_frame_has_at_most_125_bytes_and_is_never_in_fragments() {
    for from in BOTH {
        for (start, _) in before(from) {
            let then = |frame: Vec<u8>| [start.clone(), frame].concat();
            for opcode in CONTROL {
                let payload = [b"\x03\xe8", &[b'r'; 123][..]].concat();
                for len in [2, 3, 124, 125] {
                    let bytes = then(slow::frame(from, true, opcode, &payload[..len]));
                    assert!(story(from, &bytes).1.is_none());
                    connection_agrees(from, bytes);
                }
                for len in [126, 127, 65535, 65536] {
                    let bytes = then(slow::frame(from, true, opcode, &vec![0; len]));
                    assert_eq!(fault(from, &bytes), ProtocolError::ControlTooLong);
                    connection_fails(from, bytes, 1002);
                }
                let bytes = then(slow::frame(from, false, opcode, &payload[..2]));
                assert_eq!(fault(from, &bytes), ProtocolError::FragmentedControl);
                connection_fails(from, bytes, 1002);
                // 5 bytes, in a form that control frames do not have.
                connection_fails(from, then(announced(from, 0x80 | opcode, 2, 5)), 1002);
                connection_fails(from, then(announced(from, 0x80 | opcode, 8, 1 << 63)), 1002);
            }
        }
    }
}

#[test]
fn section_5_5_2_every_ping_is_answered_with_its_payload_and_a_pong_with_nothing() {
    for from in BOTH {
        let payload: Vec<u8> = (0..125).map(|i| i ^ 0xa5).collect();
        let mut bytes = Vec::new();
        for len in 0..=125 {
            bytes.extend(slow::frame(from, true, PING, &payload[..len]));
            bytes.extend(slow::frame(from, true, PONG, &payload[..len]));
        }
        bytes.extend(slow::close(from, 1000, ""));
        let seen = connection_agrees(from, bytes);
        assert_eq!(seen.events.len(), 2 * 126 + 1);
    }
}

#[test]
fn section_5_5_of_a_long_control_payload_of_ours_only_what_fits_is_sent() {
    let mut outbound = Outbound::server();
    outbound.ping(&[7; 300]);
    outbound.pong(&[8; 126]);
    outbound.answer_ping(&[9; 125]);
    let seen = slow::read(From::Server, slow::Limits::NONE, &wire_of(outbound));
    let payloads = [Event::Ping(vec![7; 125]), Event::Pong(vec![8; 125]), Event::Pong(vec![9; 125])];
    assert_eq!(seen.events, payloads);
}
