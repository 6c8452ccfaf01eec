//! Section 8.1: text is UTF-8, over the whole message and however it is cut, and fails at the first octet that cannot be right.

use unsync_websocket::protocol::ProtocolError;

use super::ends::agree::{inbound_facing, tell};
use super::kit::script::each_partition;
use super::kit::slow::{self, BINARY, CONTINUATION, Event, From, Limits, PING, TEXT};
use super::{BOTH, connection_agrees, connection_fails, story};

/// How many octets the standard library reads before it knows that nothing can make the text right.
fn octets_until_wrong(text: &[u8]) -> Option<usize> {
    (1..=text.len())
        .find(|end| std::str::from_utf8(&text[..*end]).is_err_and(|error| error.error_len().is_some()))
}

/// Gives the octets to a fresh core one by one in one frame whose rest never comes, and says how many it took to fail.
fn octets_until_failed(from: From, text: &[u8]) -> Option<usize> {
    let mut inbound = inbound_facing(from, Limits::NONE);
    let mut frame = slow::frame(from, true, TEXT, &[text, &[b'.'; 10]].concat());
    let payload = frame.split_off(if from == From::Client { 6 } else { 2 });
    assert_eq!(tell(&mut inbound, &frame), (vec![], None));
    let failed = (0..text.len()).find(|at| match tell(&mut inbound, &payload[*at..=*at]) {
        (events, None) => {
            assert!(events.is_empty());
            false
        }
        (_, Some(error)) => {
            assert_eq!(error, ProtocolError::InvalidUtf8);
            true
        }
    });
    failed.map(|at| at + 1)
}

/// Asks the core about a text alone in its message: in one frame, and each octet in a frame of its own.
fn is_accepted(from: From, text: &[u8]) -> bool {
    let whole = slow::frame(from, true, TEXT, text);
    let mut single = Vec::new();
    for (at, octet) in text.iter().enumerate() {
        let opcode = if at == 0 { TEXT } else { CONTINUATION };
        single.extend(slow::frame(from, at + 1 == text.len(), opcode, &[*octet]));
    }
    let verdicts = [whole, single].map(|bytes| {
        let (events, error) = tell(&mut inbound_facing(from, Limits::NONE), &bytes);
        match error {
            None => assert_eq!(events, [Event::Text(String::from_utf8(text.to_vec()).unwrap())]),
            Some(error) => assert_eq!((error, events), (ProtocolError::InvalidUtf8, vec![])),
        }
        error.is_none()
    });
    assert_eq!(verdicts[0], verdicts[1], "{text:x?}");
    verdicts[0]
}

/// An octet of each kind that UTF-8 tells apart, and the ones around each border.
const OCTETS: [u8; 30] = [
    0x00, 0x41, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x91, 0x9f, 0xa0, 0xa1, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0,
    0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xfe, 0xff,
];

#[test]
fn section_8_1_every_sequence_of_up_to_four_octets_has_the_verdict_of_the_standard_library() {
    let from = From::Server;
    let mut texts: Vec<Vec<u8>> = (0..=u16::MAX).map(|pair| pair.to_be_bytes().to_vec()).collect();
    texts.extend((0..=u8::MAX).map(|octet| vec![octet]));
    for a in OCTETS {
        for b in OCTETS {
            for c in OCTETS {
                texts.push(vec![a, b, c]);
                texts.extend(OCTETS.iter().map(|d| vec![a, b, c, *d]));
            }
        }
    }
    for text in texts {
        assert_eq!(is_accepted(from, &text), std::str::from_utf8(&text).is_ok(), "{text:x?}");
    }
}

#[test]
fn section_8_1_every_character_is_accepted_and_no_surrogate_overlong_form_or_number_beyond() {
    /// The bits of `number` in the form of so many octets, legal or not.
    fn form(number: u32, octets: u32) -> Vec<u8> {
        let lead = [0xc0, 0xe0, 0xf0][octets as usize - 2] | (number >> (6 * (octets - 1))) as u8;
        let rest = (0..octets - 1).rev().map(|i| 0x80 | (number >> (6 * i) & 0x3f) as u8);
        std::iter::once(lead).chain(rest).collect()
    }
    let accepted = |number: u32, octets: u32| is_accepted(From::Server, &form(number, octets));
    for number in 0..0x80 {
        assert!(is_accepted(From::Server, &[number as u8]));
        assert!(!accepted(number, 2), "{number:x} in two octets");
    }
    for number in 0..0x800 {
        assert!(!accepted(number, 3), "{number:x} in three octets");
        assert!(number < 0x80 || accepted(number, 2), "{number:x}");
    }
    for number in 0..=0xffff {
        assert_eq!(
            number >= 0x800 && accepted(number, 3),
            number >= 0x800 && !(0xd800..0xe000).contains(&number)
        );
        assert!(number % 16 != 0 || !accepted(number, 4), "{number:x} in four octets");
    }
    // Of the other planes every 16th, with the last two of each, which are no characters and may travel all the same.
    for number in (0x10000..0x11_0000).filter(|number| number % 16 == 0 || number & 0xfffe == 0xfffe) {
        assert!(accepted(number, 4), "{number:x}");
    }
    for number in (0x11_0000..0x20_0000).filter(|number| number % 64 == 0) {
        assert!(!accepted(number, 4), "{number:x}");
    }
    for lead in 0xf5..=0xff_u8 {
        assert!(!is_accepted(From::Server, &[lead, 0x80, 0x80, 0x80]));
        assert!(!is_accepted(From::Server, &[lead, 0x80, 0x80, 0x80, 0x80, 0x80]));
    }
    // Neither is a byte order mark anything but a character, nor NUL an end.
    assert!(is_accepted(From::Server, b"\xef\xbb\xbfx"));
    assert!(is_accepted(From::Server, b"\0x\0"));
}

/// Texts that go wrong somewhere, and some that do not.
const TEXTS: [&[u8]; 22] = [
    b"plain",
    b"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited",
    b"\x80",
    b"a\xbf",
    b"a\xc0\xaf",
    b"a\xc1\xbf",
    b"a\xe0\x80\xaf",
    b"a\xe0\x9f\xbf",
    b"a\xf0\x80\x80\xaf",
    b"a\xf0\x8f\xbf\xbf",
    b"a\xed\xa0\x80",
    b"a\xed\xbf\xbf",
    b"a\xed\xa0\x80\xed\xb0\x80",
    b"a\xf4\x90\x80\x80",
    b"a\xf5\x80\x80\x80",
    b"a\xff",
    b"a\xe2\x28\xa1",
    b"a\xe2\x82\x28",
    b"a\xf0\x9f\x98\x28",
    b"a\xf0\x9f\xe2\x82\xac",
];

#[test]
fn section_8_1_text_fails_at_its_first_wrong_octet_even_if_the_rest_of_its_frame_never_comes() {
    for from in BOTH {
        for text in TEXTS {
            assert_eq!(octets_until_failed(from, text), octets_until_wrong(text), "{text:x?}");
            // Behind what fills a vector register or two.
            for before in [15, 31, 32, 33, 63, 64, 65] {
                let text = [&vec![b'a'; before][..], text].concat();
                assert_eq!(
                    octets_until_failed(from, &text[..text.len().min(110)]),
                    octets_until_wrong(&text)
                );
            }
        }
    }
}

#[test]
fn section_8_1_text_is_judged_over_the_whole_message_however_it_is_cut_into_fragments() {
    for from in BOTH {
        for text in TEXTS.into_iter().filter(|text| text.len() <= 11) {
            each_partition(text.len(), |cuts| {
                let (mut bytes, mut start) = (Vec::new(), 0);
                for end in cuts.iter().copied().chain([text.len()]) {
                    let opcode = if start == 0 { TEXT } else { CONTINUATION };
                    bytes.extend(slow::frame(from, end == text.len(), opcode, &text[start..end]));
                    bytes.extend(slow::frame(from, true, PING, b"\xff"));
                    start = end;
                }
                let (events, error) = story(from, &bytes);
                match std::str::from_utf8(text) {
                    Ok(text) => assert!(events.contains(&Event::Text(text.into())) && error.is_none()),
                    Err(_) => {
                        assert_eq!(error, Some(ProtocolError::InvalidUtf8), "{text:x?} cut at {cuts:?}")
                    }
                }
                connection_agrees(from, bytes);
            });
        }
    }
}

#[test]
fn section_8_1_a_message_that_ends_inside_a_character_fails() {
    let text = "aé€😀";
    for from in BOTH {
        for cut in (0..text.len()).filter(|cut| !text.is_char_boundary(*cut)) {
            let part = &text.as_bytes()[..cut];
            connection_fails(from, slow::frame(from, true, TEXT, part), 1007);
            let fragments =
                [slow::frame(from, false, TEXT, part), slow::frame(from, true, CONTINUATION, b"")];
            connection_fails(from, fragments.concat(), 1007);
            // The next message does not complete it.
            let next = slow::frame(from, true, TEXT, &text.as_bytes()[cut..]);
            connection_fails(from, [slow::frame(from, true, TEXT, part), next].concat(), 1007);
        }
    }
}

#[test]
fn section_5_6_binary_data_and_the_payload_of_a_ping_may_be_anything() {
    for from in BOTH {
        for text in TEXTS {
            let bytes = [slow::frame(from, true, BINARY, text), slow::frame(from, true, PING, text)].concat();
            let expected = vec![Event::Binary(text.to_vec()), Event::Ping(text.to_vec())];
            assert_eq!(story(from, &bytes), (expected, None));
            connection_agrees(from, bytes);
        }
    }
}
