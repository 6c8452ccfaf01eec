//! What section 4.1 demands of an answer: each rule broken, one at a time.

use unsync_websocket::HandshakeError;

use crate::server::{ACCEPT, answered, switching};

type Expected = fn(&HandshakeError) -> bool;

/// The usual answer with `from` replaced, which must be in it.
fn changed(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(switching("")).unwrap();
    assert!(text.contains(from), "{from}");
    text.replace(from, to).into_bytes()
}

#[test]
fn the_answer_that_was_asked_for_opens_the_connection() {
    for lines in [
        "",
        "Sec-WebSocket-Protocol: battle\r\n",
        "Server: \u{e9}\r\nDate: x\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Sec-WebSocket-Extensions:\r\n",
    ] {
        let websocket = answered(&switching(lines)).unwrap();
        assert_eq!(websocket.subprotocol(), lines.contains("battle").then_some("battle"));
    }
}

#[test]
fn names_and_tokens_may_be_in_any_case_and_lists_be_long() {
    for (from, to) in [
        ("Upgrade: websocket", "UPGRADE:WebSocket"),
        ("Connection: Upgrade", "connection:  keep-alive , uPGRADE\t"),
        ("Connection: Upgrade", "Connection: keep-alive\r\nConnection: upgrade"),
        ("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: WEBSOCKET"),
        ("Sec-WebSocket-Accept", "sec-websocket-accept"),
        ("101 Switching Protocols", "101"),
        ("101 Switching Protocols", "101 "),
        ("101 Switching Protocols", "101 Web Socket Protocol Handshake"),
    ] {
        assert!(answered(&changed(from, to)).is_ok(), "{to}");
    }
}

#[test]
fn every_rule_that_an_answer_breaks_has_its_error() {
    let accept = format!("Sec-WebSocket-Accept: {ACCEPT}");
    let upper = format!("Sec-WebSocket-Accept: {ACCEPT}x");
    let twice = format!("{accept}\r\n{accept}");
    let listed = format!("{accept}, {ACCEPT}");
    let quoted = format!("Sec-WebSocket-Accept: \"{ACCEPT}\"");
    let cases: Vec<(&str, &str, Expected)> = vec![
        ("HTTP/1.1 101", "HTTP/1.0 101", |e| matches!(e, HandshakeError::HttpVersion)),
        ("HTTP/1.1 101", "HTTP/2.0 101", |e| matches!(e, HandshakeError::HttpVersion)),
        ("HTTP/1.1 101", "ICY 101", |e| matches!(e, HandshakeError::StatusLine)),
        ("HTTP/1.1 101", "HTTP/1.1 1010", |e| matches!(e, HandshakeError::StatusLine)),
        ("HTTP/1.1 101", "HTTP/1.1 099", |e| matches!(e, HandshakeError::StatusLine)),
        ("HTTP/1.1 101", "HTTP/1.1 200", |e| matches!(e, HandshakeError::Refused(_))),
        ("Upgrade: websocket\r\n", "", |e| matches!(e, HandshakeError::MissingUpgrade)),
        ("Upgrade: websocket", "Upgrade: websockets", |e| matches!(e, HandshakeError::MissingUpgrade)),
        ("Upgrade: websocket", "Upgrade: h2c", |e| matches!(e, HandshakeError::MissingUpgrade)),
        ("Upgrade: websocket", "Upgrade: websocket, h2c", |e| matches!(e, HandshakeError::OtherUpgrade)),
        ("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket", |e| {
            matches!(e, HandshakeError::OtherUpgrade)
        }),
        ("Connection: Upgrade\r\n", "", |e| matches!(e, HandshakeError::MissingConnection)),
        ("Connection: Upgrade", "Connection: close", |e| matches!(e, HandshakeError::MissingConnection)),
        ("Connection: Upgrade", "Connection: Upgrade2", |e| matches!(e, HandshakeError::MissingConnection)),
        (&accept, "X: y", |e| matches!(e, HandshakeError::MissingAccept)),
        (&accept, "Sec-WebSocket-Accept:", |e| matches!(e, HandshakeError::Accept)),
        (&accept, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", |e| {
            matches!(e, HandshakeError::Accept)
        }),
        (&accept, &upper, |e| matches!(e, HandshakeError::Accept)),
        (&accept, &quoted, |e| matches!(e, HandshakeError::Accept)),
        (&accept, &listed, |e| matches!(e, HandshakeError::Accept)),
        (&accept, &twice, |e| matches!(e, HandshakeError::DuplicateHeader { name: "Sec-WebSocket-Accept" })),
    ];
    for (from, to, expected) in cases {
        let error = answered(&changed(from, to)).map(drop).unwrap_err();
        assert!(expected(&error), "{to}: {error:?}");
        assert!(!error.to_string().is_empty());
    }
    let cases: [(&str, Expected); 13] = [
        ("Sec-WebSocket-Extensions: permessage-deflate", |e| matches!(e, HandshakeError::ForeignExtension)),
        ("Sec-WebSocket-Extensions: ,x-webkit-deflate-frame;a=b", |e| {
            matches!(e, HandshakeError::ForeignExtension)
        }),
        ("Sec-WebSocket-Extensions: \u{e9}", |e| matches!(e, HandshakeError::ExtensionList)),
        ("Sec-WebSocket-Extensions: permessage-deflate;", |e| matches!(e, HandshakeError::ExtensionList)),
        ("Sec-WebSocket-Protocol: superchat", |e| matches!(e, HandshakeError::ForeignProtocol)),
        ("Sec-WebSocket-Protocol: Chat", |e| matches!(e, HandshakeError::ForeignProtocol)),
        ("Sec-WebSocket-Protocol: chat, battle", |e| matches!(e, HandshakeError::ForeignProtocol)),
        ("Sec-WebSocket-Protocol:", |e| matches!(e, HandshakeError::ForeignProtocol)),
        ("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat", |e| {
            matches!(e, HandshakeError::DuplicateHeader { name: "Sec-WebSocket-Protocol" })
        }),
        ("no colon", |e| matches!(e, HandshakeError::HeaderLine)),
        ("X: a\r\n folded", |e| matches!(e, HandshakeError::FoldedHeader { .. })),
        ("X: a\0", |e| matches!(e, HandshakeError::ControlCharacter { .. })),
        ("X: a\nY: b", |e| matches!(e, HandshakeError::BareLineFeed { .. })),
    ];
    for (line, expected) in cases {
        let error = answered(&switching(&format!("{line}\r\n"))).map(drop).unwrap_err();
        assert!(expected(&error), "{line}: {error:?}");
    }
}

#[test]
fn the_accept_value_of_every_other_length_or_case_is_refused() {
    let whole = switching("");
    let changes: [fn(&str) -> String; 3] =
        [str::to_ascii_lowercase, |text| text.chars().take(27).collect(), |text| format!("={text}")];
    for change in changes {
        let (server, _) = crate::server::Server::new({
            let whole = whole.clone();
            move |accept| vec![crate::wire::Read::Bytes(crate::server::fill(&whole, &change(accept)))]
        });
        let connected = futures_lite::future::block_on(crate::server::client(server).connect());
        assert!(matches!(connected, Err(HandshakeError::Accept)));
    }
}

#[test]
fn answers_before_the_one_that_counts_are_passed_over() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    let websocket = answered(&[early.as_bytes(), &switching("")].concat());
    assert!(websocket.is_ok());

    let refused = answered(&[early.as_bytes(), b"HTTP/1.1 404 x\r\n\r\n"].concat());
    assert!(matches!(refused, Err(HandshakeError::Refused(refusal)) if refusal.headers().is_empty()));
}

#[test]
fn a_stream_that_ends_inside_the_answer_says_where() {
    let whole = switching("");
    for len in [0, 1, 16, 100] {
        let error = answered(&whole[..len]).map(drop).unwrap_err();
        assert!(matches!(error, HandshakeError::EndOfStream { received } if received == len), "{error:?}");
    }
}
