//! Servers that do not want us: what they said is told, and nobody is followed.

use std::io;

use futures_lite::future::block_on;
use unsync_websocket::{HandshakeError, Refusal};

use crate::server::{Server, answered, client};
use crate::wire::Read;

fn refusal(bytes: &[u8]) -> Box<Refusal> {
    match answered(bytes) {
        Err(HandshakeError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn status_headers_and_body_are_told() {
    let bytes =
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 3\r\n\r\nno!HTTP/1.1";

    let error = answered(bytes).map(drop).unwrap_err();

    assert_eq!(error.to_string(), "the server answered with status 401");
    assert_eq!((error.status(), error.io_kind()), (Some(401), io::ErrorKind::ConnectionRefused));
    let HandshakeError::Refused(refusal) = error else { panic!("{error:?}") };
    assert_eq!(refusal.headers().get_str("www-authenticate"), Some("Basic"));
    assert_eq!((refusal.body(), refusal.is_whole()), (&b"no!"[..], true));
}

#[test]
fn any_status_but_101_is_a_refusal_in_http_1_0_too() {
    for status in [200, 204, 300, 304, 400, 404, 426, 500, 599, 600, 999] {
        for version in ["HTTP/1.0", "HTTP/1.1"] {
            let told = refusal(format!("{version} {status} x\r\n\r\nbody").as_bytes());
            assert_eq!(told.status(), status);
            assert_eq!(told.body(), if [204, 304].contains(&status) { &b""[..] } else { b"body" });
        }
    }
}

#[test]
fn redirects_are_told_and_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let head = format!(
            "HTTP/1.1 {status} x\r\nLocation: ws://evil.example/?\u{e9}\r\nContent-Length: 0\r\n\r\n"
        );
        let error = answered(head.as_bytes()).map(drop).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the server redirects ({status}) to \"ws://evil.example/?\\xc3\\xa9\"")
        );
        assert_eq!(error.status(), Some(status));
        let HandshakeError::Redirected(refusal) = error else { panic!("{error:?}") };
        assert_eq!(refusal.location(), Some("ws://evil.example/?\u{e9}".as_bytes()));
    }
}

#[test]
fn a_body_is_read_however_it_is_cut_and_as_far_as_it_says() {
    for (lines, body) in [
        ("Content-Length: 11\r\n", "hello world"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
        ("", "hello world"),
    ] {
        let bytes = format!("HTTP/1.1 404 x\r\n{lines}\r\n{body}").into_bytes();
        for cut in 1..bytes.len() {
            let (server, _) = Server::cut(&bytes, &[cut]);
            let Err(HandshakeError::Refused(refusal)) = block_on(client(server).connect()) else {
                panic!("cut at {cut}");
            };
            assert_eq!((refusal.body(), refusal.is_whole()), (&b"hello world"[..], true), "cut at {cut}");
        }
    }
}

#[test]
fn a_body_without_end_is_cut_at_16_kib_and_no_more_is_read() {
    for lines in ["", "Content-Length: 99999999\r\n", "Transfer-Encoding: chunked\r\n"] {
        let (server, seen) = Server::new(move |_| {
            let head = format!("HTTP/1.1 404 x\r\n{lines}\r\n");
            let chunk = if lines.starts_with('T') { "ffffffffff\r\n" } else { "" };
            let head = Read::Bytes(format!("{head}{chunk}").into_bytes());
            std::iter::once(head).chain(std::iter::repeat_n(Read::Bytes(vec![b'x'; 4096]), 10_000)).collect()
        });
        let Err(HandshakeError::Refused(refusal)) = block_on(client(server).connect()) else {
            panic!("{lines}");
        };
        assert_eq!((refusal.body().len(), refusal.is_whole()), (16 << 10, false));
        assert!(seen.lock().unwrap().reads < 50);
    }
}

#[test]
fn a_chunk_line_without_end_is_the_end_of_a_body() {
    for (len, body, is_whole) in [(200, &b"a"[..], true), (300, b"", false)] {
        let head = "HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n1;";
        let bytes = format!("{head}{}\r\na\r\n0\r\n\r\n", "x".repeat(len));
        // So much of the line, and it is not over; and all of it at once (a fuzzer found that taken).
        for cuts in [&[head.len() + len][..], &[]] {
            let (server, _) = Server::cut(bytes.as_bytes(), cuts);
            let Err(HandshakeError::Refused(refusal)) = block_on(client(server).connect()) else { panic!() };
            assert_eq!((refusal.body(), refusal.is_whole()), (body, is_whole), "{len} bytes of a line");
        }
    }
}

#[test]
fn a_body_that_cannot_be_read_does_not_hide_the_refusal() {
    for read in
        [Read::Fails(io::ErrorKind::ConnectionReset), Read::Miscounts, Read::Bytes(b"zz\r\n".to_vec())]
    {
        let (server, _) = Server::new(move |_| {
            let head = b"HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno!\r\n".to_vec();
            vec![Read::Bytes(head), read]
        });
        let Err(HandshakeError::Refused(refusal)) = block_on(client(server).connect()) else { panic!() };
        assert_eq!((refusal.status(), refusal.body(), refusal.is_whole()), (403, &b"no!"[..], false));
    }
}
