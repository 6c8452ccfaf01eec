//! RFC 6455, section 4.1, rule by rule, as far as no other file asks: above all which answers a client has to take. Those that it
//! must not take are in `answers`.

use futures_lite::future::block_on;
use unsync_websocket::{Client, HandshakeError, NoTimer, WebSocket};

use crate::server::{ACCEPT, Asked, Server, answered, client, switching};

/// The headers that an answer needs (section 4.1, points 2 to 4 on the server's response).
const REQUIRED: [(&str, &str); 3] =
    [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", ACCEPT)];

/// An answer with these lines, which have no ends yet.
fn answer(lines: &[impl AsRef<str>]) -> Vec<u8> {
    let lines: String = lines.iter().map(|line| format!("{}\r\n", line.as_ref())).collect();
    format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n").into_bytes()
}

#[track_caller]
fn assert_taken(bytes: &[u8]) -> WebSocket<Server> {
    answered(bytes).unwrap_or_else(|error| panic!("{}: {error}", bytes.escape_ascii()))
}

/// `text` in other cases, the first of which is its own.
fn cases(text: &str) -> [String; 3] {
    [text.to_owned(), text.to_ascii_lowercase(), text.to_ascii_uppercase()]
}

#[test]
fn section_4_1_headers_come_in_any_order() {
    for [first, second, third] in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let lines = [first, second, third].map(|at| format!("{}: {}", REQUIRED[at].0, REQUIRED[at].1));
        assert_taken(&answer(&lines));
    }
}

#[test]
fn section_4_1_names_and_tokens_are_in_any_case() {
    for case in 0..3 {
        assert_taken(&answer(&REQUIRED.map(|(name, value)| format!("{}: {value}", cases(name)[case]))));
        assert_taken(&answer(&REQUIRED.map(|(name, value)| match name {
            "Sec-WebSocket-Accept" => format!("{name}: {value}"),
            _ => format!("{name}: {}", cases(value)[case]),
        })));
    }
}

/// Point 4 has it for `Sec-WebSocket-Accept`: "ignoring any leading and trailing whitespace".
#[test]
fn section_4_1_blanks_around_a_value_mean_nothing() {
    for before in ["", " ", "\t", " \t  \t"] {
        for behind in ["", " ", "\t", "\t \t "] {
            let lines = REQUIRED.map(|(name, value)| format!("{name}:{before}{value}{behind}"));
            assert_taken(&answer(&lines));
            let line = format!("Sec-WebSocket-Protocol:{before}chat{behind}");
            let websocket = assert_taken(&answer(&[&lines[..], &[line]].concat()));
            assert_eq!(websocket.subprotocol(), Some("chat"));
        }
    }
}

#[test]
fn section_4_1_tokens_may_stand_in_lists_of_any_form() {
    for list in [
        "keep-alive, Upgrade",
        "Upgrade,close",
        ",Upgrade",
        "Upgrade,",
        " ,, \tUpgrade\t ,, ",
        "Upgrade, upgrade",
        "close\r\nConnection: Upgrade",
        "\r\nConnection: Upgrade\r\nConnection:",
    ] {
        let [upgrade, _, accept] = REQUIRED.map(|(name, value)| format!("{name}: {value}"));
        assert_taken(&answer(&[upgrade, format!("Connection: {list}"), accept]));
    }
    // `Upgrade` must not name anything but `websocket`; but the list may have the form of one.
    for list in ["websocket,", ",websocket", "websocket, WebSocket", "websocket\r\nUpgrade:"] {
        let [_, connection, accept] = REQUIRED.map(|(name, value)| format!("{name}: {value}"));
        assert_taken(&answer(&[format!("Upgrade: {list}"), connection, accept]));
    }
}

#[test]
fn section_4_1_an_unusual_answer_is_taken_however_it_is_cut() {
    let accept = format!("sEC-wEBSOCKET-aCCEPT:\t{ACCEPT} \t ");
    let bytes = answer(&[
        "x-empty:",
        &accept,
        "SEC-WEBSOCKET-EXTENSIONS:\t, ,",
        "connection:,keep-alive\t, uPGRADE ,,",
        "X-Bytes: \u{e9}\u{ff}",
        "SEC-WEBSOCKET-PROTOCOL:\tbattle ",
        "upgrade:,WEBSOCKET ,",
    ]);
    let text = String::from_utf8(bytes).unwrap().replace(" Switching Protocols", "");
    let whole = [text.as_bytes(), b"\x81\x02hi"].concat();
    for cut in 1..whole.len() - ACCEPT.len() + 28 {
        let (server, _) = Server::cut(&whole, &[cut]);
        block_on(async {
            let mut websocket = client(server).protocol("battle").connect().await.unwrap();
            assert_eq!(websocket.subprotocol(), Some("battle"), "cut at {cut}");
            let mut data = Vec::new();
            websocket.receiver.receive_data(&mut data).await.unwrap();
            assert_eq!(data, b"hi", "cut at {cut}");
        });
    }
}

#[test]
fn section_4_1_point_1_no_status_but_101_opens_a_connection() {
    for status in 100..=999 {
        let text = String::from_utf8(switching("")).unwrap().replace("101", &status.to_string());
        match answered(text.as_bytes()) {
            Ok(_) => assert_eq!(status, 101),
            // The answer that counts did not come.
            Err(HandshakeError::EndOfStream { .. }) => assert!((100..200).contains(&status), "{status}"),
            Err(HandshakeError::Refused(refusal)) => {
                assert_eq!((refusal.status(), status >= 200), (status, true));
            }
            Err(error) => panic!("{status}: {error:?}"),
        }
    }
}

#[test]
fn section_4_1_other_headers_are_ignored() {
    for line in [
        "Date: x",
        "Server: (a) <b>",
        "Set-Cookie: a=b; Path=/",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Origin: http://example.com",
        "Sec-WebSocket-Unheard-Of: ???",
        "Access-Control-Allow-Origin: *",
        "Location: ws://example.com/",
        "!#$%&'*+-.^_`|~: a",
        "X:",
    ] {
        assert_taken(&switching(&format!("{line}\r\n")));
    }
}

#[test]
fn section_4_1_the_request_has_each_header_once_and_no_other() {
    let (server, seen) = Server::of(&switching(""));
    drop(block_on(client(server).connect()).unwrap());
    let asked = Asked::parse(&seen.lock().unwrap().written);
    let mut names: Vec<_> = asked.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    assert_eq!(names, ["connection", "host", "sec-websocket-key", "sec-websocket-version", "upgrade"]);
}

#[test]
fn section_4_1_what_is_asked_for_is_what_was_given() {
    for host in [
        "example.com",
        "EXAMPLE.com:8080",
        "127.0.0.1",
        "[::1]",
        "[2001:db8::1]:443",
        "xn--bcher-kva.example",
    ] {
        for target in ["/", "/chat", "/?a=b", "/a%20b;c/~d?e=f/g?h&i='(j)'*", "//"] {
            let (server, seen) = Server::of(&switching(""));
            drop(block_on(Client::with_timer(server, host, target, NoTimer).connect()).unwrap());
            let asked = Asked::parse(&seen.lock().unwrap().written);
            assert_eq!((asked.header("host"), &*asked.target), (Some(host), target));
        }
    }
}

#[test]
fn section_4_1_the_server_need_not_choose_a_subprotocol() {
    for (lines, chosen) in [
        ("", None),
        ("Sec-WebSocket-Protocol: chat\r\n", Some("chat")),
        ("Sec-WebSocket-Protocol: battle\r\n", Some("battle")),
    ] {
        assert_eq!(assert_taken(&switching(lines)).subprotocol(), chosen);
    }
}

#[test]
fn section_4_4_versions_that_a_server_speaks_are_told() {
    let refused = answered(
        b"HTTP/1.1 400 Bad Request\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8, 7\r\n\r\n",
    );
    let Err(HandshakeError::Refused(refusal)) = refused else { panic!("{refused:?}") };
    let versions: Vec<_> = refusal.headers().get_all("sec-websocket-version").collect();
    assert_eq!(versions, [&b"13"[..], b"8, 7"]);
}
