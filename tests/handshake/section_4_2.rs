//! RFC 6455, section 4.2, rule by rule, as far as no other file asks: above all what a server has to take, and what it answers.
//! What it must not take is in `smuggling`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_lite::future::block_on;
use sha1::{Digest, Sha1};
use unsync_websocket::{HandshakeError, NoTimer, Server, ServerRequest};

use crate::wire::{Read, Reply, Wire, upgrade};

/// The headers that make a request a handshake (section 4.2.1, points 2 to 6).
const REQUIRED: [(&str, &str); 5] = [
    ("Host", "example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

/// A request for `/chat` with these lines, which have no ends yet.
fn request(lines: &[impl AsRef<str>]) -> Vec<u8> {
    let lines: String = lines.iter().map(|line| format!("{}\r\n", line.as_ref())).collect();
    format!("GET /chat HTTP/1.1\r\n{lines}\r\n").into_bytes()
}

/// `REQUIRED`, with the line of `name` replaced.
fn with(name: &str, lines: &str) -> Vec<u8> {
    let line = |(given, value): (&str, &str)| match given == name {
        true => lines.to_owned(),
        false => format!("{given}: {value}"),
    };
    request(&REQUIRED.map(line))
}

fn receive(bytes: &[u8]) -> Result<ServerRequest<Wire>, HandshakeError> {
    block_on(Server::with_timer(Wire::of(bytes).0, NoTimer).receive_request())
}

/// The answer of a server that accepts whatever it can.
fn answer(bytes: &[u8]) -> Reply {
    let (wire, seen) = Wire::of(bytes);
    let _ = block_on(Server::with_timer(wire, NoTimer).accept());
    let written = &seen.lock().unwrap().written;
    Reply::parse(written)
}

/// Asserts that `bytes` are taken as the handshake of section 1.3.
#[track_caller]
fn assert_taken(bytes: &[u8]) {
    let reply = answer(bytes);
    assert_eq!(reply.status, 101, "{}", bytes.escape_ascii());
    assert_eq!(reply.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}

/// `items` in every order.
fn orders<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let places = 0..items.len();
    let orders = places.flat_map(|place| {
        let mut others = items.to_vec();
        let first = others.remove(place);
        orders(&others).into_iter().map(move |rest| [vec![first.clone()], rest].concat())
    });
    orders.collect()
}

/// `text` in other cases, the first of which is its own.
fn cases(text: &str) -> [String; 4] {
    let every_other = |at: usize, letter: char| match at % 2 {
        0 => letter.to_ascii_lowercase(),
        _ => letter.to_ascii_uppercase(),
    };
    let mixed = text.chars().enumerate().map(|(at, letter)| every_other(at, letter)).collect();
    [text.to_owned(), text.to_ascii_lowercase(), text.to_ascii_uppercase(), mixed]
}

#[test]
fn section_4_2_1_headers_come_in_any_order() {
    let lines = REQUIRED.map(|(name, value)| format!("{name}: {value}"));
    let orders = orders(&lines);
    assert_eq!(orders.len(), 120);
    for lines in orders {
        assert_taken(&request(&lines));
    }
}

#[test]
fn section_4_2_1_names_and_tokens_are_in_any_case() {
    for case in 0..4 {
        assert_taken(&request(&REQUIRED.map(|(name, value)| format!("{}: {value}", cases(name)[case]))));
        for name in ["Upgrade", "Connection"] {
            let token = REQUIRED.iter().find(|(given, _)| *given == name).unwrap().1;
            assert_taken(&with(name, &format!("{}: {}", cases(name)[case], cases(token)[case])));
        }
    }
    // A key is no token: in another case it is another key, and answered as such.
    let reply = answer(&with("Sec-WebSocket-Key", "Sec-WebSocket-Key: DGHLIHNHBXBSZSBUB25JZQ=="));
    assert_eq!(reply.status, 101);
    assert_ne!(reply.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}

#[test]
fn section_4_2_1_blanks_around_a_value_mean_nothing() {
    for before in ["", " ", "\t", " \t  \t"] {
        for behind in ["", " ", "\t", "\t \t "] {
            let line = |(name, value): (&str, &str)| format!("{name}:{before}{value}{behind}");
            assert_taken(&request(&REQUIRED.map(line)));
        }
    }
}

#[test]
fn section_4_2_1_tokens_may_stand_in_lists_of_any_form() {
    for (name, token) in [("Upgrade", "websocket"), ("Connection", "Upgrade")] {
        for list in [
            "{token}, other",
            "other, {token}",
            "other,{token},another",
            "other \t,\t {token} , another",
            ",{token}",
            "{token},",
            ", ,, {token} ,, ,",
            "{token}, {token}",
            "other\r\n{name}: {token}",
            "{token}\r\n{name}: other",
            "\r\n{name}: {token}\r\n{name}:",
            "other\r\nX: y\r\n{name}: another , {token}",
        ] {
            let list = list.replace("{token}", token).replace("{name}", name);
            assert_taken(&with(name, &format!("{name}: {list}")));
        }
    }
}

#[test]
fn section_4_2_1_an_unusual_request_is_taken_however_it_is_cut() {
    let bytes = request(&[
        "SEC-WEBSOCKET-VERSION:13\t",
        "sec-websocket-extensions:,a; b = \"c\\d\" ,,e\t",
        "x-empty:",
        "connection: \tkeep-alive ,,\tuPGRADE ,",
        "sEC-wEBSOCKET-kEY:\tdGhlIHNhbXBsZSBub25jZQ==  ",
        "SEC-WEBSOCKET-PROTOCOL:, chat ,,battle,",
        "host:example.com:80",
        "X-Bytes: \u{e9}\u{ff}",
        "upgrade:,WebSocket",
        "Sec-WebSocket-Extensions:",
    ]);
    let frames = b"\x81\x82\0\0\0\0hi";
    let whole = [&bytes[..], frames].concat();
    for cut in 1..whole.len() {
        let (head, tail) = whole.split_at(cut);
        let reads = [Read::Pending, Read::Bytes(head.to_vec()), Read::Pending, Read::Bytes(tail.to_vec())];
        let (wire, seen) = Wire::new(reads);
        block_on(async {
            let request = Server::with_timer(wire, NoTimer).receive_request().await.unwrap();
            assert_eq!(request.protocols().collect::<Vec<_>>(), ["chat", "battle"], "cut at {cut}");
            let mut websocket = request.accept().await.unwrap();
            let mut data = Vec::new();
            websocket.receiver.receive_data(&mut data).await.unwrap();
            assert_eq!(data, b"hi", "cut at {cut}");
        });
        let reply = Reply::parse(&seen.lock().unwrap().written);
        assert_eq!(reply.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }
}

#[test]
fn section_4_2_1_point_1_any_target_is_the_programs_to_judge() {
    for target in
        ["/", "/chat?a=b&c=%2F", "//", "/a;b=c", "/~a/'b'/(c)!*", "/?", "/a?b?c", "http://example.com"]
    {
        let bytes = upgrade(target, "");
        assert_taken(&bytes);
        assert_eq!(receive(&bytes).unwrap().target(), target);
    }
}

#[test]
fn section_4_2_1_point_7_an_origin_is_the_programs_to_judge() {
    for origin in
        [None, Some("http://example.com"), Some("null"), Some("chrome-extension://abc"), Some("x y")]
    {
        let line = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
        let bytes = upgrade("/", &line);
        assert_taken(&bytes);
        assert_eq!(receive(&bytes).unwrap().origin(), origin);
    }
}

#[test]
fn section_4_2_1_point_10_other_headers_are_ignored() {
    for line in [
        "Cookie: a=b; c=d",
        "Authorization: Basic YTpi",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5",
        "Sec-WebSocket-Origin: http://example.com",
        "Sec-WebSocket-Unheard-Of: ???",
        "Sec-WebSocket-Protocol:",
        "Sec-WebSocket-Extensions:",
        "Keep-Alive: timeout=5",
        "Pragma: no-cache\r\nPragma: no-cache",
        "!#$%&'*+-.^_`|~: a",
        "X: (\"<>@,;:\\/[]?={}\t",
        "X:",
    ] {
        assert_taken(&upgrade("/", &format!("{line}\r\n")));
    }
}

#[test]
fn section_4_2_2_the_answer_is_what_it_has_to_be_and_nothing_else() {
    let (wire, seen) = Wire::of(&upgrade(
        "/",
        "Origin: http://a\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: x\r\n",
    ));
    drop(block_on(Server::with_timer(wire, NoTimer).accept()).unwrap());
    let written = seen.lock().unwrap().written.clone();
    assert!(written.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
    let mut headers = Reply::parse(&written).headers;
    headers.sort();
    let expected = [
        ("connection", "Upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("upgrade", "websocket"),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn section_4_2_2_every_key_has_its_answer() {
    for byte in 0..=u8::MAX {
        let nonce: Vec<u8> = (0..16_u8).map(|at| byte.wrapping_mul(at | 1).wrapping_add(at)).collect();
        let key = STANDARD.encode(nonce);
        let accept = STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
        let reply = answer(&with("Sec-WebSocket-Key", &format!("Sec-WebSocket-Key: {key}")));
        assert_eq!((reply.status, reply.header("sec-websocket-accept")), (101, Some(&*accept)), "{key}");
    }
}

#[test]
fn section_4_2_2_a_subprotocol_is_one_of_the_offered_or_none() {
    let bytes = upgrade("/", "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n");
    assert_eq!(answer(&bytes).header("sec-websocket-protocol"), None);
    for protocol in ["a", "b", "c"] {
        let (wire, seen) = Wire::of(&bytes);
        let request = block_on(Server::with_timer(wire, NoTimer).receive_request()).unwrap();
        let websocket = block_on(request.protocol(protocol).accept()).unwrap();
        assert_eq!(websocket.subprotocol(), Some(protocol));
        let reply = Reply::parse(&seen.lock().unwrap().written);
        assert_eq!(reply.header("sec-websocket-protocol"), Some(protocol));
    }
    for protocol in ["A", "d", "a, b", ""] {
        let refused = block_on(receive(&bytes).unwrap().protocol(protocol).accept()).map(drop);
        assert!(matches!(refused, Err(HandshakeError::ProtocolNotOffered { .. })), "{protocol}");
    }
}

#[test]
fn section_4_4_every_version_but_13_is_told_which_one_is_spoken() {
    for version in (0..=300).map(|version: u16| version.to_string()).chain(["".to_owned(), "x".to_owned()]) {
        let bytes = with("Sec-WebSocket-Version", &format!("Sec-WebSocket-Version: {version}"));
        if version == "13" {
            assert_taken(&bytes);
            continue;
        }
        let reply = answer(&bytes);
        reply.assert_last();
        assert_eq!((reply.status, reply.header("sec-websocket-version")), (426, Some("13")), "{version}");
        assert_eq!(reply.header("upgrade"), Some("websocket"));
    }
}
