//! What the driver does with the stream: asks once, takes the answer however it is cut, and loses nothing behind it.

use std::collections::HashSet;
use std::io;
use std::task::Poll;

use futures_lite::future::block_on;
use unsync_websocket::{HandshakeError, Incoming, Message, WebSocket};

use crate::server::{ACCEPT, Asked, Server, client, switching};
use crate::wire::{Read, Write, poll};

/// Two messages of a server.
const FRAMES: &[u8] = b"\x81\x05hello\x82\x03\r\n\r";

/// What was sent behind the answer has to come out as messages.
fn assert_frames(mut websocket: WebSocket<Server>, what: &str) {
    block_on(async {
        let first = websocket.receiver.receive().await.unwrap();
        assert!(matches!(first, Incoming::Message(Message::Text("hello"))), "{what}");
        let second = websocket.receiver.receive().await.unwrap();
        assert!(matches!(second, Incoming::Message(Message::Binary(b"\r\n\r"))), "{what}");
        assert!(websocket.receiver.receive().await.is_err(), "{what}");
    });
}

/// Bytes of `answer` once the accept value is in it.
fn len_of(answer: &[u8]) -> usize {
    answer.len() - ACCEPT.len() + 28
}

fn answers() -> Vec<Vec<u8>> {
    let filler = format!("X-Filler: {}\r\n", "x".repeat(3000));
    let early = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    vec![
        switching(""),
        switching("Sec-WebSocket-Protocol: chat\r\nCookie: \u{e9}\u{ff}\r\n"),
        switching(&filler),
        [&early[..], &switching("")].concat(),
    ]
}

#[test]
fn every_cut_of_an_answer_is_the_same_answer_and_frames_behind_it_are_kept() {
    for answer in answers() {
        let whole = [&answer[..], FRAMES].concat();
        for cut in 1..len_of(&whole) {
            let (server, _) = Server::cut(&whole, &[cut]);

            let websocket = block_on(client(server).protocol("chat").connect()).unwrap();

            assert_frames(websocket, &format!("cut at {cut}"));
        }
    }
}

#[test]
fn every_two_cuts_of_a_small_answer_are_the_same_answer() {
    let whole = [&switching("")[..], b"\x81\x02hi"].concat();
    let len = len_of(&whole);
    for first in 1..len {
        for second in first + 1..len {
            let (server, _) = Server::cut(&whole, &[first, second]);
            let mut websocket = block_on(client(server).connect()).unwrap();
            let mut data = Vec::new();
            block_on(websocket.receiver.receive_data(&mut data)).unwrap();
            assert_eq!(data, b"hi", "cut at {first}, {second}");
        }
    }
}

#[test]
fn an_answer_that_comes_byte_by_byte_is_taken() {
    for answer in answers() {
        let (server, _) = Server::dribble(&[&answer[..], FRAMES].concat(), 1);
        let websocket = block_on(client(server).protocol("chat").connect()).unwrap();
        assert_eq!(websocket.get_ref().unwrap().unread(), FRAMES, "no byte behind the head was asked for");
        assert_frames(websocket, "byte by byte");
    }
}

#[test]
fn the_request_is_that_of_section_4_1_and_has_what_was_set() {
    let (server, seen) = Server::of(&switching("Sec-WebSocket-Protocol: battle\r\n"));
    let client = client(server)
        .protocol("chat")
        .protocol("battle")
        .origin("https://example.com:8443")
        .header("Cookie", "a=1")
        .header("cookie", b"b=\xff");

    let websocket = block_on(client.connect()).unwrap();

    assert_eq!(websocket.subprotocol(), Some("battle"));
    let seen = seen.lock().unwrap();
    assert!(seen.flushed && !seen.closed && !seen.dropped);
    let asked = Asked::parse(&seen.written);
    asked.assert_upgrade();
    assert_eq!(asked.target, "/chat");
    assert_eq!(asked.header("host"), Some("example.com"));
    assert_eq!(asked.header("sec-websocket-protocol"), Some("chat, battle"));
    assert_eq!(asked.header("origin"), Some("https://example.com:8443"));
    let cookies: Vec<_> =
        asked.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie")).collect();
    assert_eq!(cookies[0].1, b"a=1");
    assert_eq!(cookies[1].1, b"b=\xff");
}

#[test]
fn every_handshake_has_a_key_of_its_own() {
    let key = || {
        let (server, seen) = Server::of(&switching(""));
        drop(block_on(client(server).connect()).unwrap());
        Asked::parse(&seen.lock().unwrap().written).header("sec-websocket-key").unwrap().to_owned()
    };
    let keys: HashSet<String> = (0..200).map(|_| key()).collect();
    assert_eq!(keys.len(), 200);
    assert!(!keys.contains(&std::thread::spawn(key).join().unwrap()));
}

#[test]
fn what_we_send_afterwards_is_masked_with_fresh_keys() {
    let (server, seen) = Server::of(&switching(""));
    let mut websocket = block_on(client(server).connect()).unwrap();
    let begin = seen.lock().unwrap().written.len();
    for _ in 0..100 {
        block_on(websocket.sender.send("zero")).unwrap();
    }
    let seen = seen.lock().unwrap();
    let frames = seen.written[begin..].chunks(10);
    let keys: HashSet<&[u8]> = frames
        .map(|frame| {
            assert_eq!(frame[..2], [0x81, 0x84]);
            let text: Vec<u8> = (0..4).map(|i| frame[2 + i] ^ frame[6 + i]).collect();
            assert_eq!(text, b"zero");
            &frame[2..6]
        })
        .collect();
    assert_eq!(keys.len(), 100);
}

#[test]
fn streams_may_be_interrupted_but_not_for_nothing() {
    let (server, _) = Server::new(|accept| {
        let answer = Read::Bytes(crate::server::fill(&switching(""), accept));
        std::iter::repeat_n(Read::Fails(io::ErrorKind::Interrupted), 100).chain([answer]).collect()
    });
    assert!(block_on(client(server).connect()).is_ok());
}

#[test]
fn a_stream_that_is_always_interrupted_lets_others_run() {
    let (server, seen) = Server::new(|_| vec![Read::Fails(io::ErrorKind::Interrupted); 1000]);
    let mut connecting = Box::pin(client(server).connect());
    assert!(poll(&mut connecting).is_pending());
    assert_eq!(seen.lock().unwrap().reads, 16);
}

#[test]
fn a_stream_that_fails_ends_the_handshake_with_its_error() {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, InvalidData, WouldBlock, WriteZero};
    for (read, kind) in [
        (Read::Fails(ConnectionReset), ConnectionReset),
        (Read::Fails(WouldBlock), WouldBlock),
        (Read::Miscounts, InvalidData),
    ] {
        let (server, seen) = Server::new(|_| vec![Read::Bytes(b"HTTP/1.1 1".to_vec()), read]);
        let error = block_on(client(server).connect()).map(drop).unwrap_err();
        assert!(matches!(error, HandshakeError::Io(_)), "{error:?}");
        assert_eq!((error.status(), error.io_kind()), (None, kind));
        assert!(seen.lock().unwrap().dropped);
    }
    for (writes, kind) in [
        (Write::Fails(BrokenPipe), BrokenPipe),
        (Write::Fails(WouldBlock), WouldBlock),
        (Write::Takes(0), WriteZero),
        (Write::Miscounts, InvalidData),
    ] {
        let (server, seen) = Server::of(&switching(""));
        let error = block_on(client(server.writes(writes)).connect()).map(drop).unwrap_err();
        assert_eq!((error.status(), error.io_kind()), (None, kind), "{writes:?}");
        let seen = seen.lock().unwrap();
        assert!(seen.dropped && seen.reads == 0);
    }
}

#[test]
fn dropping_the_future_at_any_poll_drops_the_stream_and_nothing_else() {
    let (mut polls, mut done) = (0, false);
    while !done {
        polls += 1;
        let (server, seen) = Server::dribble(&switching(""), 16);
        let mut connecting = Box::pin(client(server).connect());
        done = (0..polls).any(|_| poll(&mut connecting).is_ready());
        drop(connecting);
        assert!(done || seen.lock().unwrap().dropped);
    }
    assert!(polls > 8);
}

#[test]
fn nothing_is_asked_before_the_future_is_polled() {
    let (server, seen) = Server::of(&switching(""));
    let connecting = client(server).connect();
    assert_eq!(seen.lock().unwrap().written, b"");
    drop(connecting);
    assert!(seen.lock().unwrap().dropped);
}

#[test]
fn debug_shows_nothing_that_is_secret() {
    let secret = "c2VjcmV0";
    let (server, _) = Server::of(&switching(&format!("Set-Cookie: {secret}\r\n")));
    let client = client(server).header("Authorization", secret);
    assert!(!format!("{client:?}").contains(secret), "{client:?}");
    let mut connecting = Box::pin(client.connect());
    let connected = loop {
        if let Poll::Ready(connected) = poll(&mut connecting) {
            break connected.unwrap();
        }
    };
    assert!(!format!("{connected:?}").contains(secret));
}
