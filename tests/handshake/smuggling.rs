//! Heads that two readers may understand differently, and handshakes that are none (G25, T15).
//!
//! Each is answered completely, the answer says that it is the last, the stream is closed, and what follows the
//! head is never read as a request.

use futures_lite::future::block_on;
use unsync_websocket::{NoTimer, Server};

use crate::wire::{Reply, UPGRADE, Wire, upgrade};

/// An upgrade in which `from` reads `to`.
fn with(from: &str, to: &str) -> Vec<u8> {
    let request = String::from_utf8(upgrade("/chat", "")).unwrap();
    assert!(request.contains(from), "{from}");
    request.replacen(from, to, 1).into_bytes()
}

/// An upgrade with one more line.
fn and(line: &str) -> Vec<u8> {
    upgrade("/chat", &format!("{line}\r\n"))
}

/// What is wrong, the request, the status of its answer.
fn table() -> Vec<(&'static str, Vec<u8>, u16)> {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    vec![
        ("a body", and("Content-Length: 5"), 400),
        ("a body of unknown length", and("Content-Length: -1"), 400),
        ("a signed length", and("Content-Length: +0"), 400),
        ("a list of lengths", and("Content-Length: 0, 5"), 400),
        ("an empty length", and("Content-Length:"), 400),
        ("a length in hex", and("Content-Length: 0x0"), 400),
        ("two lengths", and("Content-Length: 0\r\nContent-Length: 5"), 400),
        ("twice the same length", and("Content-Length: 0\r\nContent-Length: 0"), 400),
        ("a transfer coding", and("Transfer-Encoding: chunked"), 400),
        ("a transfer coding with a stray blank", and("Transfer-Encoding:  chunked "), 400),
        ("an unknown transfer coding", and("Transfer-Encoding: xchunked"), 400),
        ("identity is a transfer coding too", and("Transfer-Encoding: identity"), 400),
        ("length and transfer coding", and("Content-Length: 0\r\nTransfer-Encoding: chunked"), 400),
        ("a folded header", and("X: a\r\n b"), 400),
        ("a folded header with a tab", and("X: a\r\n\tb"), 400),
        ("a fold before the first header", with("HTTP/1.1\r\n", "HTTP/1.1\r\n "), 400),
        ("a line of a blank", and("X: a\r\n "), 400),
        ("bare LF after the first line", with("HTTP/1.1\r\n", "HTTP/1.1\n"), 400),
        ("bare LF after a header", with("Upgrade: websocket\r\n", "Upgrade: websocket\n"), 400),
        ("bare LF at the end", [&b"GET / HTTP/1.1\r\nHost: a\r\n\n"[..]].concat(), 400),
        ("only bare LF", b"GET / HTTP/1.1\nHost: a\n\n".to_vec(), 400),
        ("bare CR in a value", and("X: a\rb"), 400),
        ("bare CR in the first line", with("/chat", "/chat\r"), 400),
        ("two CR before LF", and("X: a\r"), 400),
        ("NUL in a value", and("X: a\0b"), 400),
        ("NUL in a name", and("X\0: a"), 400),
        ("NUL in the target", with("/chat", "/chat\0"), 400),
        ("a control character in a value", and("X: a\x01b"), 400),
        ("DEL in a value", and("X: a\x7fb"), 400),
        ("vertical tab in a value", and("X: a\x0bb"), 400),
        ("a blank before the colon", and("X : a"), 400),
        ("a blank before the colon of a length", and("Content-Length : 5"), 400),
        ("no colon", and("X"), 400),
        ("no name", and(": a"), 400),
        ("a name that is no token", and("X(Y): a"), 400),
        ("a name outside ASCII", and("X\u{e9}: a"), 400),
        ("an empty line first", [b"\r\n".to_vec(), upgrade("/", "")].concat(), 400),
        ("no Host", with("Host: example.com\r\n", ""), 400),
        ("two Hosts", and("Host: evil.example"), 400),
        ("twice the same Host", and("host: example.com"), 400),
        ("an empty Host", with("Host: example.com", "Host:"), 400),
        ("a list of Hosts", with("Host: example.com", "Host: example.com, evil.example"), 400),
        ("a list of Hosts without a blank", with("Host: example.com", "Host: example.com,evil.example"), 400),
        ("a Host with a path", with("Host: example.com", "Host: example.com/x"), 400),
        ("a Host with a scheme", with("Host: example.com", "Host: http://example.com"), 400),
        ("a Host with a user", with("Host: example.com", "Host: a@example.com"), 400),
        ("a Host with a port that is none", with("Host: example.com", "Host: example.com:http"), 400),
        ("a Host with a port past the last", with("Host: example.com", "Host: example.com:65536"), 400),
        ("a Host with two ports", with("Host: example.com", "Host: example.com:80:81"), 400),
        ("a Host with half a bracket", with("Host: example.com", "Host: [::1"), 400),
        ("a Host of a naked IPv6 address", with("Host: example.com", "Host: ::1"), 400),
        ("a Host with a blank inside", with("Host: example.com", "Host: exam ple.com"), 400),
        ("a Host outside ASCII", with("Host: example.com", "Host: ex\u{e4}mple.com"), 400),
        ("two keys", and("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), 400),
        ("twice the same key", and(key.trim_end()), 400),
        ("two versions", and("Sec-WebSocket-Version: 8"), 400),
        ("twice the same version", and("Sec-WebSocket-Version: 13"), 400),
        ("two origins", and("Origin: http://a\r\nOrigin: http://b"), 400),
        ("an origin outside ASCII", and("Origin: http://\u{e9}"), 400),
        ("a protocol outside ASCII", and("Sec-WebSocket-Protocol: \u{e9}"), 400),
        ("a protocol that is no token", and("Sec-WebSocket-Protocol: a b"), 400),
        ("an extension that is no token", and("Sec-WebSocket-Extensions: a b"), 400),
        ("an extension outside ASCII", and("Sec-WebSocket-Extensions: \u{e9}"), 400),
        ("an extension with a value", and("Sec-WebSocket-Extensions: a=b"), 400),
        ("a semicolon and nothing", and("Sec-WebSocket-Extensions: permessage-deflate;"), 400),
        ("an equals sign and nothing", and("Sec-WebSocket-Extensions: a; b="), 400),
        ("an empty quoted parameter", and("Sec-WebSocket-Extensions: a; b=\"\""), 400),
        ("a quoted parameter that is no token", and("Sec-WebSocket-Extensions: a; b=\"c, d\""), 400),
        ("a quoted parameter without an end", and("Sec-WebSocket-Extensions: a; b=\"c"), 400),
        (
            "a quoted parameter without an end, twice",
            { and("Sec-WebSocket-Extensions: a; b=\"c\r\nSec-WebSocket-Extensions: d\"") },
            400,
        ),
        (
            "bad extensions behind good ones",
            { and("Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Extensions: ;") },
            400,
        ),
        ("HTTP/1.0", with("HTTP/1.1", "HTTP/1.0"), 505),
        ("HTTP/0.9", b"GET /\r\n\r\n".to_vec(), 400),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 505),
        ("HTTP/1.2", with("HTTP/1.1", "HTTP/1.2"), 505),
        ("HTTP/1.10", with("HTTP/1.1", "HTTP/1.10"), 400),
        ("http in lower case", with("HTTP/1.1", "http/1.1"), 400),
        ("POST", with("GET", "POST"), 405),
        ("HEAD", with("GET", "HEAD"), 405),
        ("CONNECT", with("GET", "CONNECT"), 405),
        ("get in lower case", with("GET", "get"), 405),
        ("a method that is no token", with("GET", "G(ET"), 400),
        ("two blanks in the first line", with("GET ", "GET  "), 400),
        ("a blank after the version", with("HTTP/1.1", "HTTP/1.1 "), 400),
        ("a blank in the target", with("/chat", "/ch at"), 400),
        ("a fragment in the target", with("/chat", "/chat#x"), 400),
        ("a target of an authority", with("/chat", "example.com:80"), 400),
        ("a target outside ASCII", with("/chat", "/ch\u{e4}t"), 400),
        ("a target of another scheme", with("/chat", "file://example.com/chat"), 400),
        ("a target with a user", with("/chat", "http://a@example.com/chat"), 400),
        ("an asterisk", with("/chat", "*"), 400),
        ("no Connection", with("Connection: Upgrade\r\n", ""), 400),
        (
            "a Connection that only contains the word",
            with("Connection: Upgrade", "Connection: no-upgrade"),
            400,
        ),
        (
            "a Connection that begins with the word",
            with("Connection: Upgrade", "Connection: upgrade-insecure"),
            400,
        ),
        ("a Connection of a quoted word", with("Connection: Upgrade", "Connection: \"Upgrade\""), 400),
        ("a Connection of close", with("Connection: Upgrade", "Connection: close"), 400),
        ("no Upgrade", with("Upgrade: websocket\r\n", ""), 400),
        ("an Upgrade to something else", with("Upgrade: websocket", "Upgrade: h2c"), 400),
        ("an Upgrade that only contains the word", with("Upgrade: websocket", "Upgrade: websockets"), 400),
        ("an Upgrade with a version", with("Upgrade: websocket", "Upgrade: websocket/13"), 400),
        ("no key", with(key, ""), 400),
        ("an empty key", with(key, "Sec-WebSocket-Key:\r\n"), 400),
        ("a key of 15 bytes", with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"), 400),
        ("a key of 17 bytes", with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSE="), 400),
        ("a key without padding", with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"), 400),
        ("a key that is no base64", with("dGhlIHNhbXBsZSBub25jZQ==", "!!!!!!!!!!!!!!!!!!!!!!=="), 400),
        ("no version", with("Sec-WebSocket-Version: 13\r\n", ""), 426),
        ("an old version", with("Version: 13", "Version: 8"), 426),
        ("a newer version", with("Version: 13", "Version: 14"), 426),
        ("a list of versions", with("Version: 13", "Version: 13, 8"), 426),
        ("a version with a zero in front", with("Version: 13", "Version: 013"), 426),
        ("a version past all numbers", with("Version: 13", "Version: 99999999999999999999"), 426),
        ("no request at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 400),
        ("an answer", b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), 400),
    ]
}

#[test]
fn what_could_be_smuggled_is_refused_and_the_stream_is_closed() {
    let second = b"GET /admin HTTP/1.1\r\nHost: example.com\r\n\r\n";
    for (what, request, status) in table() {
        for behind in [&b""[..], second] {
            for step in [1, 5, usize::MAX] {
                let (wire, seen) = Wire::dribble(&[&request[..], behind].concat(), step.min(4096));

                let refused = block_on(Server::with_timer(wire, NoTimer).accept()).map(drop);

                let error = refused.expect_err(what);
                assert_eq!(error.status(), Some(status), "{what}: {error}");
                let seen = seen.lock().unwrap();
                let reply = Reply::parse(&seen.written);
                assert_eq!(reply.status, status, "{what}");
                if reply.body.is_empty() {
                    assert_eq!(what, "HEAD", "only the answer to HEAD has no body");
                } else {
                    reply.assert_last();
                }
                assert!(seen.written.len() < 400, "{what}: a short answer, and one alone: {reply:?}");
                assert!(seen.flushed && seen.closed && seen.dropped, "{what}");
            }
        }
    }
}

#[test]
fn answers_say_what_would_have_done() {
    for (what, request, status) in table() {
        let (wire, seen) = Wire::of(&request);
        assert!(block_on(Server::with_timer(wire, NoTimer).accept()).is_err());
        let reply = Reply::parse(&seen.lock().unwrap().written);
        assert_eq!(reply.header("allow"), (status == 405).then_some("GET"), "{what}");
        assert_eq!(reply.header("sec-websocket-version"), (status == 426).then_some("13"), "{what}");
        assert_eq!(reply.header("upgrade"), (status == 426).then_some("websocket"), "{what}");
    }
}

#[test]
fn proper_handshakes_in_unusual_dress_are_taken() {
    for (what, request) in [
        ("as usual", upgrade("/chat", "")),
        ("an absolute target", with("/chat", "http://example.com/chat")),
        ("an absolute target of the protocol's own scheme", with("/chat", "wss://example.com/chat")),
        (
            "names in upper case",
            format!("GET / HTTP/1.1\r\n{UPGRADE}\r\n").replace("Host", "HOST").into_bytes(),
        ),
        ("tokens in any case", with("Connection: Upgrade", "Connection: uPGRADE")),
        ("the protocol in any case", with("Upgrade: websocket", "Upgrade: WebSocket")),
        ("Connection with more in it", with("Connection: Upgrade", "Connection: keep-alive , Upgrade")),
        (
            "Connection in two lines",
            with("Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade"),
        ),
        ("Upgrade with a choice", with("Upgrade: websocket", "Upgrade: h2c, websocket")),
        ("blanks around values", with("Version: 13", "Version: \t 13 \t ")),
        ("no blank after the colon", with("Host: example.com", "Host:example.com")),
        ("an IPv6 host", with("Host: example.com", "Host: [::1]:8080")),
        ("an empty port", with("Host: example.com", "Host: example.com:")),
        ("a length of nothing", and("Content-Length: 0")),
        ("an empty header", and("X:")),
        (
            "extensions we do not know, or did not ask for",
            and("Sec-WebSocket-Extensions: ,a; b ; c=\"\\d\" , permessage-deflate; client_max_window_bits ,"),
        ),
        ("a list of no extensions", and("Sec-WebSocket-Extensions:\r\nSec-WebSocket-Extensions: ,")),
        ("bytes from 0x80 on in a value", and("X: \u{e9}\u{ffff}")),
    ] {
        let (wire, seen) = Wire::of(&request);
        assert!(block_on(Server::with_timer(wire, NoTimer).accept()).is_ok(), "{what}");
        let written = String::from_utf8(seen.lock().unwrap().written.clone()).unwrap();
        assert!(written.starts_with("HTTP/1.1 101 "), "{what}");
        assert!(written.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{what}");
        assert!(!written.contains("Extensions"), "{what}");
    }
}

#[test]
fn plain_requests_keep_the_rules_of_http_too() {
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", 505),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
    ] {
        let (wire, seen) = Wire::of(request.as_bytes());
        let error = block_on(Server::with_timer(wire, NoTimer).receive_request()).unwrap_err();
        assert_eq!(error.status(), Some(status), "{request:?}");
        Reply::parse(&seen.lock().unwrap().written).assert_last();
    }
}
