//! What the driver does with a request: shows it, accepts it, answers it, and lets nothing get lost.

use std::io;

use futures_lite::future::block_on;
use unsync_websocket::{HandshakeError, NoTimer, Server, ServerRequest};

use crate::wire::{Read, Reply, Wire, Write, upgrade};

const FRAMES: &[u8] = b"\x81\x85\0\0\0\0hello\r\n\r\n\x88\x80\0\0\0\0";

fn receive(wire: Wire) -> Result<ServerRequest<Wire>, HandshakeError> {
    block_on(Server::with_timer(wire, NoTimer).receive_request())
}

/// Whole requests, small and large, upgrades and others.
fn requests() -> Vec<Vec<u8>> {
    let filler = format!("X-Filler: {}\r\n", "x".repeat(3000));
    vec![
        upgrade("/", ""),
        upgrade("/chat?room=7", "Origin: https://example.com\r\nSec-WebSocket-Protocol: a, b\r\n"),
        upgrade("http://example.com/chat", "Cookie: \u{e9}\u{ff}\r\n"),
        upgrade("/", &filler),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 27\r\n\r\n".to_vec(),
    ]
}

#[test]
fn every_cut_of_a_request_is_the_same_request_and_frames_behind_it_are_kept() {
    for request in requests() {
        let whole = [&request[..], FRAMES].concat();
        for cut in 1..whole.len() {
            let (head, tail) = whole.split_at(cut);
            let script =
                [Read::Pending, Read::Bytes(head.to_vec()), Read::Pending, Read::Bytes(tail.to_vec())];
            let (wire, _) = Wire::new(script);

            let parts = receive(wire).unwrap().into_parts();

            assert_eq!([parts.read_ahead, parts.stream.unread()].concat(), FRAMES, "cut at {cut}");
        }
    }
}

#[test]
fn every_two_cuts_of_a_small_request_are_the_same_request() {
    let request = b"GET /a?b HTTP/1.1\r\nHost: c\r\nX: \xff\r\n\r\n";
    let whole = [&request[..], FRAMES].concat();
    for first in 1..whole.len() {
        for second in first + 1..whole.len() {
            let pieces = [&whole[..first], &whole[first..second], &whole[second..]];
            let (wire, _) = Wire::new(pieces.map(|piece| Read::Bytes(piece.to_vec())));

            let request = receive(wire).unwrap();

            assert_eq!((request.path(), request.query(), request.host()), ("/a", Some("b"), "c"));
            assert_eq!(request.headers().get("x"), Some(&b"\xff"[..]));
            let parts = request.into_parts();
            assert_eq!(
                [parts.read_ahead, parts.stream.unread()].concat(),
                FRAMES,
                "cut at {first}, {second}"
            );
        }
    }
}

#[test]
fn a_request_that_comes_byte_by_byte_is_taken() {
    for request in requests() {
        let (wire, _) = Wire::dribble(&[&request[..], FRAMES].concat(), 1);

        let parts = receive(wire).unwrap().into_parts();

        assert_eq!(parts.stream.unread(), FRAMES, "no byte behind the head was asked for");
        assert!(parts.read_ahead.is_empty());
    }
}

#[test]
fn accepting_answers_with_what_was_chosen() {
    let (wire, seen) = Wire::of(&upgrade("/", "Sec-WebSocket-Protocol: chat, battle\r\n"));

    let request = receive(wire).unwrap();
    let websocket = block_on(request.protocol("battle").header("X-Room", b"7\xff").accept()).unwrap();
    assert!(!seen.lock().unwrap().dropped);
    drop(websocket);

    let seen = seen.lock().unwrap();
    assert_eq!(
        seen.written,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: battle\r\n\
          X-Room: 7\xff\r\n\r\n"
    );
    assert!(seen.flushed && !seen.closed);
}

#[test]
fn the_first_fault_of_the_builder_is_answered_and_returned() {
    type Build = fn(ServerRequest<Wire>) -> ServerRequest<Wire>;
    let cases: [(Build, &str); 7] = [
        (
            |request| request.protocol("chat").header("a\r\n", "b"),
            "the client did not offer the subprotocol \"chat\"",
        ),
        (|request| request.protocol(""), "the client did not offer the subprotocol \"\""),
        (
            |request| request.header("a", "b\r\nSet-Cookie: c=d").protocol("chat"),
            "our header \"a\" may not be sent",
        ),
        (|request| request.header("a\r\nb", "c"), "our header \"a\\r\\nb\" may not be sent"),
        (|request| request.header("a", "b\0"), "our header \"a\" may not be sent"),
        (
            |request| request.header("Sec-WebSocket-Accept", "x"),
            "our header \"Sec-WebSocket-Accept\" may not be sent",
        ),
        (
            |request| request.header("sec-websocket-EXTENSIONS", "permessage-deflate"),
            "our header \"sec-websocket-EXTENSIONS\" may not be sent",
        ),
    ];
    for (build, expected) in cases {
        let (wire, seen) = Wire::of(&upgrade("/", ""));

        let error = block_on(build(receive(wire).unwrap()).accept()).map(drop).unwrap_err();

        assert_eq!(error.to_string(), expected);
        assert_eq!(error.status(), Some(500));
        assert_eq!(error.io_kind(), io::ErrorKind::InvalidInput);
        let seen = seen.lock().unwrap();
        let reply = Reply::parse(&seen.written);
        assert_eq!(reply.status, 500);
        reply.assert_last();
        assert!(seen.closed && seen.dropped);
    }
}

#[test]
fn a_fault_in_an_answer_is_answered_with_500_too() {
    let (wire, seen) = Wire::of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = receive(wire).unwrap().respond(200).header("x", "\n").header("y", "z").body("page");

    let error = block_on(answer.into_future()).unwrap_err();

    assert!(matches!(error, HandshakeError::InvalidHeader { name } if name == "x"));
    let reply = Reply::parse(&seen.lock().unwrap().written);
    assert_eq!(reply.status, 500);
    assert_eq!(reply.header("y"), None);
}

#[test]
fn a_plain_request_is_seen_and_answered() {
    let (wire, seen) = Wire::of(b"GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n");
    let request = receive(wire).unwrap();
    assert!(!request.is_upgrade());
    assert_eq!(request.path(), "/index.html");

    block_on(request.respond(200).header("content-type", "text/html").body("<p>Hi").into_future()).unwrap();

    let seen = seen.lock().unwrap();
    let reply = Reply::parse(&seen.written);
    reply.assert_last();
    assert_eq!((reply.status, &reply.body[..]), (200, &b"<p>Hi"[..]));
    assert_eq!(reply.header("content-type"), Some("text/html"));
    assert!(seen.closed && seen.dropped);
}

#[test]
fn the_answer_to_head_has_the_length_and_not_the_body() {
    let (wire, seen) = Wire::of(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");

    block_on(receive(wire).unwrap().respond(200).body("page").into_future()).unwrap();

    let reply = Reply::parse(&seen.lock().unwrap().written);
    assert_eq!((reply.header("content-length"), &reply.body[..]), (Some("4"), &b""[..]));
}

#[test]
fn a_refusal_of_head_has_no_body_either() {
    for request in [&b"HEAD / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"[..], b"HEAD / HTTP/1.1\r\nHost: a\n"] {
        let (wire, seen) = Wire::of(request);

        assert_eq!(receive(wire).unwrap_err().status(), Some(400));

        assert_eq!(Reply::parse(&seen.lock().unwrap().written).body, b"");
    }
}

#[test]
fn accept_answers_a_plain_request_with_426() {
    let (wire, seen) = Wire::of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");

    let error = block_on(Server::with_timer(wire, NoTimer).accept()).map(drop).unwrap_err();

    assert!(matches!(error, HandshakeError::NotUpgrade));
    let reply = Reply::parse(&seen.lock().unwrap().written);
    reply.assert_last();
    assert_eq!((reply.status, reply.header("upgrade")), (426, Some("websocket")));
    assert_eq!(reply.header("sec-websocket-version"), Some("13"));
}

#[test]
fn unread_input_is_drained_before_the_stream_is_dropped() {
    let (wire, seen) = Wire::new([
        Read::Bytes(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n".to_vec()),
        Read::Bytes(vec![b'x'; 300_000]),
        Read::Pending,
    ]);

    block_on(receive(wire).unwrap().reject(413).into_future()).unwrap();

    let seen = seen.lock().unwrap();
    assert_eq!(Reply::parse(&seen.written).status, 413);
    assert!(seen.drained > 300_000 - 2048, "{} bytes", seen.drained);
    assert!(seen.dropped);
}

#[test]
fn a_peer_that_never_stops_sending_is_dropped() {
    let flood = std::iter::repeat_n(Read::Bytes(vec![b'x'; 4096]), 10_000);
    let request = Read::Bytes(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n".to_vec());
    let (wire, seen) = Wire::new(std::iter::once(request).chain(flood));

    block_on(receive(wire).unwrap().reject(413).into_future()).unwrap();

    assert!(seen.lock().unwrap().drained < 2 << 20);
}

#[test]
fn streams_may_be_interrupted_but_not_for_nothing() {
    let interrupted = std::iter::repeat_n(Read::Fails(io::ErrorKind::Interrupted), 100);
    let (wire, _) = Wire::new(interrupted.chain([Read::Bytes(upgrade("/", ""))]));
    assert!(receive(wire).unwrap().is_upgrade());
}

#[test]
fn a_stream_that_is_always_interrupted_lets_others_run() {
    let (wire, seen) = Wire::new(std::iter::repeat_n(Read::Fails(io::ErrorKind::Interrupted), 1000));
    let mut receiving = Box::pin(Server::with_timer(wire, NoTimer).receive_request());

    assert!(crate::wire::poll(&mut receiving).is_pending());

    assert_eq!(seen.lock().unwrap().reads, 16);
}

#[test]
fn a_stream_that_fails_to_read_ends_the_handshake_unanswered() {
    use io::ErrorKind::{ConnectionReset, InvalidData, WouldBlock};
    for (read, kind) in [
        (Read::Fails(ConnectionReset), ConnectionReset),
        (Read::Fails(WouldBlock), WouldBlock),
        (Read::Miscounts, InvalidData),
    ] {
        let (wire, seen) = Wire::new([Read::Bytes(b"GET / HT".to_vec()), read]);

        let error = receive(wire).unwrap_err();

        assert!(matches!(error, HandshakeError::Io(_)), "{error:?}");
        assert_eq!((error.status(), error.io_kind()), (None, kind));
        assert_eq!(seen.lock().unwrap().written, b"");
    }
}

#[test]
fn a_stream_that_fails_to_write_ends_the_handshake() {
    use io::ErrorKind::{BrokenPipe, InvalidData, WouldBlock, WriteZero};
    for (writes, kind) in [
        (Write::Fails(BrokenPipe), BrokenPipe),
        (Write::Fails(WouldBlock), WouldBlock),
        (Write::Takes(0), WriteZero),
        (Write::Miscounts, InvalidData),
    ] {
        let (wire, _) = Wire::of(&upgrade("/", ""));
        let error =
            block_on(Server::with_timer(wire.writes(writes), NoTimer).accept()).map(drop).unwrap_err();
        assert_eq!((error.status(), error.io_kind()), (None, kind), "{writes:?}");

        let (wire, seen) = Wire::of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let error = block_on(receive(wire.writes(writes)).unwrap().respond(200).into_future()).unwrap_err();
        assert_eq!(error.io_kind(), kind, "{writes:?}");
        assert!(!seen.lock().unwrap().closed, "after a failed write the stream is only dropped");

        let (wire, seen) = Wire::of(b"GET / HTTP/1.1\r\n\r\n");
        let error = receive(wire.writes(writes)).unwrap_err();
        assert!(matches!(error, HandshakeError::MissingHost), "why it was refused is worth more: {error:?}");
        assert!(seen.lock().unwrap().dropped);
    }
}

#[test]
fn the_end_of_the_stream_inside_a_head_is_told() {
    let (wire, seen) = Wire::of(b"");
    let error = receive(wire).unwrap_err();
    assert!(matches!(error, HandshakeError::EndOfStream { received: 0 }));
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(seen.lock().unwrap().written, b"", "a port scan is not answered");

    let (wire, seen) = Wire::of(b"GET / HTTP/1.1\r\nHost: a\r\n");
    assert!(matches!(receive(wire).unwrap_err(), HandshakeError::EndOfStream { received: 25 }));
    assert_eq!(Reply::parse(&seen.lock().unwrap().written).status, 400);
}

#[test]
fn dropping_any_future_at_any_poll_drops_the_stream_and_nothing_else() {
    let (mut polls, mut done) = (0, false);
    while !done {
        polls += 1;
        let (wire, seen) = Wire::dribble(&upgrade("/", ""), 16);
        let mut accepting = Box::pin(Server::with_timer(wire, NoTimer).accept());
        done = (0..polls).any(|_| crate::wire::poll(&mut accepting).is_ready());
        drop(accepting);
        assert!(done || seen.lock().unwrap().dropped);
    }
    assert!(polls > 10);
}

#[test]
fn debug_and_display_show_nothing_of_what_a_peer_sent() {
    let secret = "c2VjcmV0IHNlY3JldCEhIQ==";
    let bytes = upgrade(&format!("/?token={secret}"), &format!("Cookie: {secret}\r\n"));
    let (wire, _) = Wire::of(&bytes);
    let server = Server::with_timer(wire, NoTimer);
    assert!(format!("{server:?}").starts_with("Server"));
    let request = block_on(server.receive_request()).unwrap().header("Set-Cookie", secret);
    assert!(!format!("{request:?}").contains(secret));
    let answer = request.reject(200).header("Set-Cookie", secret).body(secret);
    assert!(!format!("{answer:?}").contains(secret));
    assert!(!format!("{:?}", answer.into_future()).contains(secret));
}
