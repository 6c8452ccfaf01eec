//! permessage-deflate as a client negotiates it (RFC 7692, section 7), and the connection that comes of it (T12).

use futures_lite::future::{block_on, zip};
use unsync_websocket::{
    Client, Config, Deflate, Error, HandshakeError, Incoming, Message, NoTimer, ProtocolError,
    Server as OurServer, WebSocket,
};

use crate::ours::{echo, pipe};
use crate::server::{ACCEPT, Asked, Server, client, switching};

/// "Hello", compressed (RFC 7692, section 7.2.3.1), in a text frame; and "!", plain.
const FRAMES: &[u8] = b"\xC1\x07\xF2\x48\xCD\xC9\xC9\x07\x00\x81\x01!";

/// Takes whatever it gets, and wants nothing.
fn anything() -> Deflate {
    Deflate::new().server_no_context_takeover(false).client_no_context_takeover(false)
}

fn wants(deflate: Deflate) -> Config {
    Config::new().deflate(deflate)
}

/// Connects with `config` to a server that answers with these values of `Sec-WebSocket-Extensions`.
fn answered(config: Config, answers: &[impl AsRef<str>]) -> Result<WebSocket<Server>, HandshakeError> {
    let line = |answer: &_| format!("Sec-WebSocket-Extensions: {}\r\n", AsRef::<str>::as_ref(answer));
    let (server, seen) = Server::of(&switching(&answers.iter().map(line).collect::<String>()));
    let connected = block_on(client(server).config(config).connect());
    assert_eq!(seen.lock().unwrap().dropped, connected.is_err(), "a failed handshake ends the stream");
    connected
}

#[test]
fn what_is_wanted_is_offered() {
    let offer = |config| {
        let (server, seen) = Server::of(&switching(""));
        let websocket = block_on(client(server).config(config).connect()).unwrap();
        assert_eq!(websocket.deflate(), None, "the server agreed to nothing");
        let seen = seen.lock().unwrap();
        Asked::parse(&seen.written).header("sec-websocket-extensions").map(str::to_owned)
    };
    for (wanted, expected) in [
        (anything(), "client_max_window_bits"),
        (Deflate::new(), "server_no_context_takeover; client_no_context_takeover; client_max_window_bits"),
        (anything().server_max_window_bits(15).client_max_window_bits(15), "client_max_window_bits"),
        (
            anything().server_max_window_bits(10).client_max_window_bits(8),
            "server_max_window_bits=10; client_max_window_bits=8",
        ),
        // There are no smaller windows, and no larger ones.
        (
            anything().server_max_window_bits(7).client_max_window_bits(0),
            "server_max_window_bits=8; client_max_window_bits=8",
        ),
        (anything().server_max_window_bits(16).client_max_window_bits(255), "client_max_window_bits"),
        (
            anything().server_no_context_takeover(true).server_max_window_bits(14),
            "server_no_context_takeover; server_max_window_bits=14; client_max_window_bits",
        ),
        (
            anything().client_no_context_takeover(true).client_max_window_bits(9),
            "client_no_context_takeover; client_max_window_bits=9",
        ),
    ] {
        assert_eq!(offer(wants(wanted)).unwrap(), format!("permessage-deflate; {expected}"));
    }
    assert_eq!(offer(Config::new()), None);
}

#[test]
fn what_the_server_answers_is_what_the_connection_has() {
    let small = anything().server_max_window_bits(12).client_max_window_bits(11);
    for (wanted, answers, agreed) in [
        (anything(), &[""; 0][..], None),
        (anything(), &["", " , "], None),
        (anything(), &["permessage-deflate"], Some(anything())),
        (anything().level(9).threshold(7), &["permessage-deflate"], Some(anything().level(9).threshold(7))),
        (
            anything(),
            &["permessage-deflate; client_no_context_takeover; server_max_window_bits=\"9\""],
            Some(anything().client_no_context_takeover(true).server_max_window_bits(9)),
        ),
        (small, &["permessage-deflate; server_max_window_bits=12"], Some(small)),
        (
            small,
            &["", ",permessage-deflate; server_max_window_bits=8; client_max_window_bits=15"],
            Some(small.server_max_window_bits(8)),
        ),
        (Deflate::new(), &["permessage-deflate;server_no_context_takeover"], Some(Deflate::new())),
    ] {
        assert_eq!(answered(wants(wanted), answers).unwrap().deflate(), agreed, "{answers:?}");
    }
}

#[test]
fn an_answer_that_is_none_to_the_offer_fails_the_handshake() {
    let small = anything().server_max_window_bits(10);
    let value = "ParameterValue { name: \"server_max_window_bits\" }";
    for (wanted, answer, expected) in [
        (anything(), "permessage-bzip2", "ForeignExtension"),
        (anything(), "permessage-deflate, mux", "ForeignExtension"),
        (anything(), "permessage-deflate, permessage-deflate", "DuplicateExtension"),
        (anything(), "permessage-deflate; mux", "ForeignParameter"),
        (anything(), "permessage-deflate; server_max_window_bits=1000", value),
        (anything(), "permessage-deflate; server_max_window_bits=08", value),
        (
            anything(),
            "permessage-deflate; client_max_window_bits",
            "MissingParameterValue { name: \"client_max_window_bits\" }",
        ),
        (
            anything(),
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "DuplicateParameter { name: \"server_no_context_takeover\" }",
        ),
        (
            Deflate::new(),
            "permessage-deflate; client_no_context_takeover",
            "MissingParameter { name: \"server_no_context_takeover\" }",
        ),
        (small, "permessage-deflate", "MissingParameter { name: \"server_max_window_bits\" }"),
        (small, "permessage-deflate; server_max_window_bits=11", "WindowTooLarge { bits: 11, max: 10 }"),
        (anything(), "permessage-deflate;", "ExtensionList"),
    ] {
        let error = answered(wants(wanted), &[answer]).map(drop).unwrap_err();
        assert_eq!(format!("{error:?}"), expected, "{answer}");
    }
    let unasked = answered(Config::new(), &["permessage-deflate"]).map(drop).unwrap_err();
    assert!(matches!(unasked, HandshakeError::ForeignExtension));
    let two_lines = answered(wants(anything()), &["permessage-deflate"; 2]).map(drop).unwrap_err();
    assert!(matches!(two_lines, HandshakeError::DuplicateExtension));
}

#[test]
fn every_cut_of_an_answer_that_agrees_is_the_same_answer() {
    let lines = "Sec-WebSocket-Extensions: ,permessage-deflate ; client_max_window_bits=\"\\9\" ,\r\n";
    let whole = [&switching(lines), FRAMES].concat();
    for cut in 1..whole.len() - ACCEPT.len() + 28 {
        let (server, _) = Server::cut(&whole, &[cut]);
        block_on(async {
            let mut websocket = client(server).config(wants(anything())).connect().await.unwrap();
            assert_eq!(websocket.deflate(), Some(anything().client_max_window_bits(9)), "cut at {cut}");
            for text in ["Hello", "!"] {
                let received = websocket.receiver.receive().await.unwrap();
                assert!(
                    matches!(received, Incoming::Message(Message::Text(got)) if got == text),
                    "cut at {cut}"
                );
            }
        });
    }
}

#[test]
fn without_an_agreement_a_compressed_message_is_a_fault() {
    for config in [Config::new(), wants(anything())] {
        let (server, _) = Server::of(&[&switching(""), FRAMES].concat());
        let mut websocket = block_on(client(server).config(config).connect()).unwrap();
        let received = block_on(websocket.receiver.receive()).map(drop);
        assert!(matches!(received, Err(Error::Protocol(ProtocolError::ReservedBit))), "{received:?}");
    }
}

#[test]
fn our_client_and_our_server_agree_and_talk_whatever_they_want() {
    let contexts = [(false, false), (true, false), (false, true), (true, true)];
    let settings = contexts.into_iter().flat_map(|(server, client)| {
        [(15, 15), (8, 15), (15, 8), (9, 12)].map(|(server_bits, client_bits)| {
            Deflate::new()
                .server_no_context_takeover(server)
                .client_no_context_takeover(client)
                .server_max_window_bits(server_bits)
                .client_max_window_bits(client_bits)
                .threshold(0)
        })
    });
    let settings: Vec<_> = settings.map(Some).chain([None]).collect();
    let config = |deflate: Option<Deflate>| deflate.map_or(Config::new(), wants);
    for wanted in &settings {
        for theirs in &settings {
            let (near, far) = pipe(1000);
            let client = async {
                let client = Client::with_timer(near, "a", "/", NoTimer).config(config(*wanted));
                let mut client = client.connect().await.unwrap();
                for text in ["", "hello hello hello hello", &"hello, world; ".repeat(1000)] {
                    client.sender.send(text).await.unwrap();
                    let echoed = client.receiver.receive().await.unwrap();
                    assert!(matches!(echoed, Incoming::Message(Message::Text(echoed)) if echoed == text));
                }
                let agreed = client.deflate();
                client.close().await.unwrap();
                agreed
            };
            let server = async {
                let server =
                    OurServer::with_timer(far, NoTimer).config(config(*theirs)).accept().await.unwrap();
                let agreed = server.deflate();
                echo(server).await;
                agreed
            };
            let (at_client, at_server) = block_on(zip(client, server));
            assert_eq!(at_client, at_server, "{wanted:?} {theirs:?}");
            assert_eq!(at_client.is_some(), wanted.is_some() && theirs.is_some());
        }
    }
}
