//! What callers put into the builder: it comes out as what it is, or not at all (T12b).

use futures_lite::future::block_on;
use unsync_websocket::{Client, HandshakeError, NoTimer};

use crate::server::{Asked, Server, client, switching};

type Build = fn(Client<Server>) -> Client<Server>;

/// The error of a client that was built badly, of which nothing may have been written.
fn fault(build: impl FnOnce(Server) -> Client<Server>) -> HandshakeError {
    let (server, seen) = Server::of(&switching(""));
    let error = block_on(build(server).connect()).map(drop).unwrap_err();
    let seen = seen.lock().unwrap();
    assert!(seen.written.is_empty() && seen.reads == 0 && seen.dropped);
    assert_eq!((error.io_kind(), error.status().unwrap_or(500)), (std::io::ErrorKind::InvalidInput, 500));
    error
}

#[test]
fn the_first_fault_is_kept_and_nothing_is_sent() {
    let cases: [(Build, &str); 12] = [
        (|client| client.protocol("a b").header("\n", "b"), "the subprotocol \"a b\" cannot be offered"),
        (|client| client.header("a\r\nb", "c").protocol(""), "our header \"a\\r\\nb\" may not be sent"),
        (|client| client.protocol(""), "the subprotocol \"\" cannot be offered"),
        (|client| client.protocol("chat").protocol("chat"), "the subprotocol \"chat\" cannot be offered"),
        (|client| client.protocol("chat,x"), "the subprotocol \"chat,x\" cannot be offered"),
        (|client| client.header("a", "b\r\nSet-Cookie: c=d"), "our header \"a\" may not be sent"),
        (|client| client.header("a", "b\0"), "our header \"a\" may not be sent"),
        (|client| client.header("", "b"), "our header \"\" may not be sent"),
        (|client| client.origin("http://a\r\nX: y"), "our header \"Origin\" may not be sent"),
        (|client| client.origin("http://a/\u{e9}"), "our header \"Origin\" may not be sent"),
        (|client| client.origin(""), "our header \"Origin\" may not be sent"),
        (
            |client| client.header("X", "y").header("Origin", "http://a"),
            "our header \"Origin\" may not be sent",
        ),
    ];
    for (build, expected) in cases {
        assert_eq!(fault(|server| build(client(server))).to_string(), expected);
    }
}

#[test]
fn the_headers_of_the_handshake_are_not_the_callers() {
    for name in [
        "Host",
        "Connection",
        "upgrade",
        "SEC-WEBSOCKET-KEY",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Accept",
        "Content-Length",
        "Transfer-Encoding",
        "Expect",
    ] {
        let error = fault(|server| client(server).header(name, "1"));
        assert!(matches!(error, HandshakeError::InvalidHeader { name: given } if given == name));
    }
}

#[test]
fn hosts_and_targets_are_checked_first() {
    for host in
        ["", "a b", "a\r\nX: y", "a/b", "a:b", "a:99999", "u@a", "\u{e9}", "a,b", "[::1", "::1", "a\0"]
    {
        let error = fault(|server| Client::with_timer(server, host, "/", NoTimer).protocol(""));
        assert!(matches!(error, HandshakeError::InvalidHost { host: given } if given == host));
    }
    for target in ["", "chat", "/a b", "/a\r\nX: y", "/#a", "/\u{e9}", "*", "http://a/", "?a", "/\0", "/\x7f"]
    {
        let error = fault(|server| Client::with_timer(server, "a", target, NoTimer).header("", ""));
        let path = target.split('?').next().unwrap();
        assert!(matches!(error, HandshakeError::InvalidTarget { target: shown } if shown == path));
    }
}

#[test]
fn every_byte_at_every_field_comes_out_as_it_is_or_not_at_all() {
    for byte in 0..=u8::MAX {
        let text = format!("x{}y", char::from(byte));
        let builds: [&dyn Fn(Server) -> Client<Server>; 6] = [
            &|server| Client::with_timer(server, &text, "/", NoTimer),
            &|server| Client::with_timer(server, "a", format!("/{text}"), NoTimer),
            &|server| client(server).protocol(&text),
            &|server| client(server).origin(&text),
            &|server| client(server).header(&text, "v"),
            &|server| client(server).header("X", [b'x', byte, b'y']),
        ];
        for (field, build) in builds.into_iter().enumerate() {
            let (server, seen) = Server::of(&switching(""));
            let connected = block_on(build(server).connect());
            let seen = seen.lock().unwrap();
            if connected.is_err() {
                assert_eq!(seen.written, b"", "{text:?} in field {field}");
                continue;
            }
            // Panics unless every line is a header in its strictest form.
            let asked = Asked::parse(&seen.written);
            asked.assert_upgrade();
            assert_eq!(asked.headers.len(), if field < 2 { 5 } else { 6 }, "{text:?} in field {field}");
        }
    }
}
