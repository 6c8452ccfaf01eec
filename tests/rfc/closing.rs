//! Sections 5.5.1 and 7: Close frames, their codes, and what may follow one.

use std::rc::Rc;

use unsync_websocket::protocol::{CloseFrame, MaskingKeys, Outbound, ProtocolError};
use unsync_websocket::{CloseCode, Error, Incoming};

use super::ends::agree::{config, role_facing};
use super::ends::reader_of;
use super::kit::script::{Script, drive};
use super::kit::slow::{self, BINARY, CLOSE, CONTINUATION, Event, From, Limits, PING, PONG, TEXT, Verdict};
use super::kit::wire;
use super::{BOTH, connection_agrees, connection_fails, fault, story};

struct Zeros;

impl MaskingKeys for Zeros {
    fn next_key(&mut self) -> [u8; 4] {
        [0; 4]
    }
}

/// The numbers of section 7.4, spelled out: 1004 is reserved, 1005, 1006 and 1015 only ever stand for a local event.
fn may_travel(code: u16) -> bool {
    match code {
        0..1000 => false,
        1000..=1003 => true,
        1004..=1006 => false,
        1007..=1011 => true,
        // Registered with IANA since: service restart, try again later, bad gateway.
        1012..=1014 => true,
        1015 => false,
        1016..3000 => false,
        3000..5000 => true,
        5000.. => false,
    }
}

/// What a connection writes that has read `bytes` (in one piece for each item) and closes.
fn answers(from: From, pieces: &[&[u8]]) -> Vec<u8> {
    let mut cuts = Vec::new();
    for piece in pieces {
        cuts.push(cuts.last().unwrap_or(&0) + piece.len());
    }
    let script = Script::new(Rc::from(pieces.concat()), cuts);
    let written = script.written();
    let mut socket = reader_of(from, script, config(Limits::NONE));
    drive(async {
        while socket.receiver.receive().await.is_ok() {}
        drop(socket.close().await);
    });
    written.take()
}

#[test]
fn section_7_4_1_codes_that_may_not_travel_fail_the_connection_and_all_others_end_it() {
    for from in BOTH {
        let us = if from == From::Client { From::Server } else { From::Client };
        for code in 0..=u16::MAX {
            let bytes = slow::close(from, code, "why");
            let (events, error) = story(from, &bytes);
            let answer = wire::check_closed(us, &answers(from, &[&bytes]));
            if may_travel(code) {
                assert_eq!((events, error), (vec![Event::Close(Some((code, "why".into())))], None));
                assert_eq!(wire::close_code(&answer), Some(code), "the same code comes back");
            } else {
                assert_eq!((events, error), (vec![], Some(ProtocolError::CloseCode { code })));
                assert_eq!(wire::close_code(&answer), Some(1002), "{code}");
            }
            assert_eq!(answer.frames.len(), 1);
        }
    }
}

#[test]
fn section_7_4_1_code_1015_may_not_travel() {
    // It stands for a failed TLS handshake, after which there is nobody to send it.
    for from in BOTH {
        connection_fails(from, slow::close(from, 1015, ""), 1002);
        connection_fails(
            from,
            [slow::frame(from, false, TEXT, b"a"), slow::close(from, 1015, "")].concat(),
            1002,
        );
    }
    assert_eq!(CloseCode::new(1015), None);
}

#[test]
fn section_7_4_1_codes_that_may_not_travel_cannot_be_sent_and_all_others_arrive() {
    for code in 0..=u16::MAX {
        let Some(made) = CloseCode::new(code) else {
            assert!(!may_travel(code), "{code}");
            continue;
        };
        assert!(may_travel(code), "{code}");
        for (mut outbound, from) in
            [(Outbound::server(), From::Server), (Outbound::client(Box::new(Zeros)), From::Client)]
        {
            outbound.close(Some(&CloseFrame::new(made, "")));
            let seen = slow::read(from, Limits::NONE, outbound.take().unwrap().first());
            assert_eq!(seen.events, [Event::Close(Some((code, String::new())))]);
        }
    }
}

#[test]
fn section_7_4_codes_are_sent_by_a_connection_as_they_were_given() {
    for from in BOTH {
        let us = if from == From::Client { From::Server } else { From::Client };
        for code in (1000..5000).filter_map(CloseCode::new) {
            let script = Script::new(slow::close(from, 1000, "").into(), []);
            let written = script.written();
            let mut socket = reader_of(from, script, config(Limits::NONE));
            drive(socket.close_with(code, "why")).unwrap();
            let seen = wire::check_closed(us, &written.borrow());
            assert_eq!(seen.events, [Event::Close(Some((code.get(), "why".into())))]);
        }
    }
}

#[test]
fn section_5_5_1_an_empty_close_is_told_and_answered_without_a_code() {
    for from in BOTH {
        let bytes = slow::frame(from, true, CLOSE, b"");
        assert_eq!(story(from, &bytes), (vec![Event::Close(None)], None));
        connection_agrees(from, bytes);
    }
}

#[test]
fn section_5_5_1_a_close_with_one_byte_fails_the_connection() {
    for from in BOTH {
        for byte in 0..=u8::MAX {
            let bytes = slow::frame(from, true, CLOSE, &[byte]);
            assert_eq!(fault(from, &bytes), ProtocolError::CloseTooShort);
            connection_fails(from, bytes, 1002);
        }
    }
}

#[test]
fn section_5_5_1_a_reason_cut_inside_a_character_fails_the_connection_with_1007() {
    let reason = "aé€😀";
    for from in BOTH {
        for cut in 0..=reason.len() {
            let payload = [b"\x03\xe8", &reason.as_bytes()[..cut]].concat();
            let bytes = slow::frame(from, true, CLOSE, &payload);
            if reason.is_char_boundary(cut) {
                let close = Event::Close(Some((1000, reason[..cut].into())));
                assert_eq!(story(from, &bytes), (vec![close], None));
                connection_agrees(from, bytes);
            } else {
                assert_eq!(fault(from, &bytes), ProtocolError::InvalidUtf8);
                connection_fails(from, bytes, 1007);
            }
        }
        for bad in
            [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ok\x80", b"\xe2\x28\xa1"]
        {
            connection_fails(from, slow::frame(from, true, CLOSE, &[b"\x03\xe8", bad].concat()), 1007);
        }
        // The code is looked at first.
        connection_fails(from, slow::frame(from, true, CLOSE, b"\x03\xed\xff"), 1002);
    }
}

#[test]
fn section_5_5_1_a_reason_of_123_bytes_is_the_longest() {
    for from in BOTH {
        for (reason, fits) in [("é".repeat(61) + "x", true), ("é".repeat(62), false)] {
            let bytes = slow::close(from, 1000, &reason);
            if fits {
                assert_eq!(story(from, &bytes).0, [Event::Close(Some((1000, reason)))]);
            } else {
                assert_eq!(fault(from, &bytes), ProtocolError::ControlTooLong);
            }
            connection_agrees(from, bytes);
        }
    }
    // Of ours, what fits is sent, in whole characters.
    let mut outbound = Outbound::server();
    outbound.close(Some(&CloseFrame::new(CloseCode::NORMAL, &"é".repeat(70))));
    let seen = slow::read(From::Server, Limits::NONE, outbound.take().unwrap().first());
    assert_eq!(seen.events, [Event::Close(Some((1000, "é".repeat(61))))]);
}

/// What a peer may still say after its Close: nothing of it is looked at.
fn afterwards(from: From) -> Vec<Vec<u8>> {
    let f = |opcode, payload: &[u8]| slow::frame(from, true, opcode, payload);
    vec![
        slow::close(from, 1000, ""),
        slow::close(from, 4000, "another"),
        slow::close(from, 1015, ""),
        f(CLOSE, b""),
        f(TEXT, b"text"),
        f(TEXT, b"\xff"),
        f(BINARY, &[7; 300]),
        f(CONTINUATION, b"of nothing"),
        f(PING, b"are you there?"),
        f(PONG, b""),
        slow::raw_frame(from, 0xff, b"garbage"),
        vec![0xff; 40],
        vec![0x82],
    ]
}

#[test]
fn section_5_5_1_of_two_closes_and_of_all_that_follows_a_close_only_the_first_counts() {
    for from in BOTH {
        let us = if from == From::Client { From::Server } else { From::Client };
        for start in
            [vec![], slow::frame(from, false, TEXT, b"begun"), slow::frame(from, true, PING, b"before")]
        {
            for after in afterwards(from) {
                let close = [start.clone(), slow::close(from, 1001, "first")].concat();
                let seen = connection_agrees(from, [close.clone(), after.clone()].concat());
                assert_eq!(seen.verdict, Verdict::Closed { rest: after.len() });
                // What comes in a later read is not answered either.
                let together = answers(from, &[&close, &after]);
                assert_eq!(wire::close_code(&wire::check_closed(us, &together)), Some(1001));
                let pings = usize::from(start.first() == Some(&0x89));
                assert_eq!(slow::read(us, Limits::NONE, &together).frames.len(), pings + 1);
            }
        }
    }
}

#[test]
fn section_5_5_1_a_close_inside_a_fragmented_message_ends_the_connection_and_the_message_is_never_told() {
    for from in BOTH {
        for (opcode, fragment) in [(TEXT, &b"half \xe2\x82"[..]), (TEXT, b""), (BINARY, b"half")] {
            let bytes = [
                slow::frame(from, false, opcode, fragment),
                slow::frame(from, false, CONTINUATION, b""),
                slow::close(from, 1000, ""),
                slow::frame(from, true, CONTINUATION, b"\xac"),
            ];
            let seen = connection_agrees(from, bytes.concat());
            assert_eq!(seen.events, [Event::Close(Some((1000, String::new())))]);
            // ... and with its header cut off from the Close.
            connection_agrees(from, bytes[..3].concat());
        }
    }
}

#[test]
fn section_7_1_7_a_failed_connection_tells_why_once_and_what_was_answered_before_stays() {
    for from in BOTH {
        let us = if from == From::Client { From::Server } else { From::Client };
        let ping = slow::frame(from, true, PING, b"before");
        for after in afterwards(from) {
            for (fault, code) in [
                (slow::raw_frame(from, 0x83, b""), 1002),
                (slow::frame(from, true, TEXT, b"\xff"), 1007),
                (slow::close(from, 1005, ""), 1002),
                (slow::frame(from, true, CLOSE, b"\x03\xe8\xff"), 1007),
            ] {
                // The ping in a read of its own, so that its pong is on the wire when the fault comes.
                let together = [fault.clone(), after.clone()].concat();
                for pieces in [vec![&ping, &together], vec![&ping, &fault, &after]] {
                    let pieces: Vec<&[u8]> = pieces.into_iter().map(Vec::as_slice).collect();
                    let seen = wire::check_closed(us, &answers(from, &pieces));
                    assert_eq!(seen.events[0], Event::Pong(b"before".to_vec()));
                    assert_eq!((seen.events.len(), wire::close_code(&seen)), (2, Some(code)));
                }
            }
        }
    }
}

#[test]
fn section_7_1_7_a_message_that_was_sent_before_the_fault_arrives_whole_and_before_the_close() {
    for from in BOTH {
        let us = if from == From::Client { From::Server } else { From::Client };
        for sent in [&b"short"[..], &[7; 100_000]] {
            let bytes = [slow::frame(from, true, TEXT, b"question"), slow::raw_frame(from, 0xf1, b"")];
            let script = Script::new(Rc::from(bytes.concat()), [bytes[0].len()]).write_most(977);
            let written = script.written();
            let mut socket = reader_of(from, script, config(Limits::NONE));
            drive(async {
                assert_eq!(socket.receiver.receive().await.unwrap(), Incoming::Message("question".into()));
                socket.sender.send(sent).await.unwrap();
                let error = socket.receiver.receive().await.unwrap_err();
                assert!(matches!(error, Error::Protocol(ProtocolError::ReservedBit)));
                assert!(socket.sender.send("too late").await.is_err());
                drop(socket.close().await);
            });
            let seen = wire::check_closed(us, &written.borrow());
            assert!(seen.events[0] == Event::Binary(sent.to_vec()));
            assert_eq!((seen.events.len(), wire::close_code(&seen)), (2, Some(1002)));
            assert_eq!(role_facing(from), socket.role());
        }
    }
}

#[test]
fn section_7_1_2_after_our_close_we_send_nothing_and_what_the_peer_said_before_its_own_still_comes() {
    for from in BOTH {
        let us = if from == From::Client { From::Server } else { From::Client };
        let bytes = [
            slow::frame(from, true, TEXT, b"on its way"),
            slow::frame(from, true, PING, b"on its way, too"),
            slow::frame(from, true, BINARY, b"late"),
            slow::close(from, 1001, "its own"),
        ];
        let script = Script::new(Rc::from(bytes.concat()), []);
        let written = script.written();
        let mut socket = reader_of(from, script, config(Limits::NONE));
        let handle = socket.sender.queue_handle();
        let mut events = Vec::new();
        let error = drive(async {
            handle.queue_close(CloseCode::GOING_AWAY, "ours").unwrap();
            loop {
                match socket.receiver.receive().await {
                    Ok(incoming) => events.push(super::ends::event(incoming)),
                    Err(error) => break error,
                }
            }
        });
        assert_eq!(events[..2], [Event::Text("on its way".into()), Event::Binary(b"late".to_vec())]);
        assert_eq!(error.close_frame().map(CloseFrame::reason), Some("its own"));
        drop(drive(socket.close()));
        let seen = wire::check_closed(us, &written.borrow());
        assert_eq!(seen.events, [Event::Close(Some((1001, "ours".into())))]);
    }
}
