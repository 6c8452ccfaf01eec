//! permessage-deflate as a server negotiates it (RFC 7692, section 7), and the connection that comes of it (T12).

use futures_lite::future::block_on;
use unsync_websocket::{
    Config, Deflate, Error, HandshakeError, Incoming, Message, NoTimer, ProtocolError, Server, ServerRequest,
    WebSocket,
};
use unsync_websocket_test_alloc::Scope;

use crate::limits::{LINEAR, growth};
use crate::wire::{Read, Reply, Wire, upgrade};

/// "Hello", compressed (RFC 7692, section 7.2.3.1), in a masked text frame; and "!", plain.
const FRAMES: &[u8] = b"\xC1\x87\0\0\0\0\xF2\x48\xCD\xC9\xC9\x07\x00\x81\x81\0\0\0\0!";

/// Takes whatever it gets, and wants nothing.
fn anything() -> Deflate {
    Deflate::new().server_no_context_takeover(false).client_no_context_takeover(false)
}

fn wants(deflate: Deflate) -> Config {
    Config::new().deflate(deflate)
}

/// An upgrade with these values of `Sec-WebSocket-Extensions`.
fn offering(offers: &[impl AsRef<str>]) -> Vec<u8> {
    let line = |offer: &_| format!("Sec-WebSocket-Extensions: {}\r\n", AsRef::<str>::as_ref(offer));
    upgrade("/", &offers.iter().map(line).collect::<String>())
}

fn receive(wire: Wire, config: Config) -> Result<ServerRequest<Wire>, HandshakeError> {
    block_on(Server::with_timer(wire, NoTimer).config(config).receive_request())
}

/// What a server with `config` answers to `offers`, and what its connection has agreed on.
fn negotiate(config: Config, offers: &[impl AsRef<str>]) -> (Option<String>, Option<Deflate>) {
    let (wire, seen) = Wire::of(&offering(offers));
    let websocket = block_on(receive(wire, config).unwrap().accept()).unwrap();
    let reply = Reply::parse(&seen.lock().unwrap().written);
    assert_eq!(reply.status, 101);
    (reply.header("sec-websocket-extensions").map(str::to_owned), websocket.deflate())
}

/// "Hello" has to come out, and "!".
fn assert_hello(mut websocket: WebSocket<Wire>, what: &str) {
    block_on(async {
        for text in ["Hello", "!"] {
            let received = websocket.receiver.receive().await.unwrap();
            assert!(matches!(received, Incoming::Message(Message::Text(got)) if got == text), "{what}");
        }
    });
}

#[test]
fn what_is_answered_is_what_the_connection_has() {
    for (wanted, offers, answer, agreed) in [
        (anything(), &["permessage-deflate"][..], "", anything()),
        (
            Deflate::new(),
            &["permessage-deflate; client_max_window_bits"],
            "; server_no_context_takeover; client_no_context_takeover",
            Deflate::new(),
        ),
        (
            anything().level(9).threshold(7),
            &["permessage-deflate; server_max_window_bits=10; client_max_window_bits=\"8\""],
            "; server_max_window_bits=10; client_max_window_bits=8",
            anything().level(9).threshold(7).server_max_window_bits(10).client_max_window_bits(8),
        ),
        (
            anything().server_max_window_bits(9).client_max_window_bits(11),
            &[
                "foo, permessage-deflate",
                "permessage-deflate; client_no_context_takeover; client_max_window_bits",
            ],
            "; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=11",
            anything().server_max_window_bits(9).client_max_window_bits(11).client_no_context_takeover(true),
        ),
    ] {
        let answer = format!("permessage-deflate{answer}");
        assert_eq!(negotiate(wants(wanted), offers), (Some(answer), Some(agreed)), "{offers:?}");
    }
}

#[test]
fn what_cannot_be_met_is_declined_and_the_connection_opens_all_the_same() {
    for offer in [
        "x-webkit-deflate-frame",
        "permessage-bzip2; client_max_window_bits",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; client_no_context_takeover=1",
        "permessage-deflate; mux",
    ] {
        assert_eq!(negotiate(wants(anything()), &[offer]), (None, None), "{offer}");
    }
    let small = wants(anything().client_max_window_bits(12));
    assert_eq!(negotiate(small, &["permessage-deflate"]), (None, None));
    assert_eq!(negotiate(Config::new(), &["permessage-deflate"]), (None, None), "nothing is wanted");
    assert_eq!(negotiate(wants(Deflate::new()), &[""; 0]), (None, None), "nothing is offered");
}

#[test]
fn without_an_agreement_a_compressed_message_is_a_fault() {
    for (config, offer) in [(Config::new(), "permessage-deflate"), (wants(Deflate::new()), "x-deflate")] {
        let (wire, _) = Wire::of(&[&offering(&[offer]), FRAMES].concat());
        let mut websocket = block_on(receive(wire, config).unwrap().accept()).unwrap();
        let received = block_on(websocket.receiver.receive()).map(drop);
        assert!(matches!(received, Err(Error::Protocol(ProtocolError::ReservedBit))), "{received:?}");
    }
}

#[test]
fn every_cut_of_a_request_with_offers_comes_to_the_same_agreement() {
    let offers =
        ["foo; a=\"b\" , permessage-deflate; x", "permessage-deflate;server_max_window_bits=\"\\1\\2\",bar"];
    let whole = [&offering(&offers), FRAMES].concat();
    for cut in 1..whole.len() {
        let (head, tail) = whole.split_at(cut);
        let (wire, _) = Wire::new([Read::Bytes(head.to_vec()), Read::Pending, Read::Bytes(tail.to_vec())]);
        let websocket = block_on(receive(wire, wants(anything())).unwrap().accept()).unwrap();
        assert_eq!(websocket.deflate(), Some(anything().server_max_window_bits(12)), "cut at {cut}");
        assert_hello(websocket, &format!("cut at {cut}"));
    }
}

#[test]
fn the_config_that_counts_is_the_one_at_the_time_of_the_answer() {
    let bytes = [&offering(&["permessage-deflate"]), FRAMES].concat();
    let accept = |request: ServerRequest<Wire>| block_on(request.accept()).unwrap();

    let (wire, _) = Wire::of(&bytes);
    let request = receive(wire, Config::new()).unwrap();
    let websocket = accept(request.config(wants(anything())));
    assert_eq!(websocket.deflate(), Some(anything()));
    assert_hello(websocket, "turned on by what the request says");

    let (wire, seen) = Wire::of(&bytes);
    let request = receive(wire, wants(anything())).unwrap();
    assert_eq!(accept(request.config(Config::new())).deflate(), None);
    assert_eq!(Reply::parse(&seen.lock().unwrap().written).header("sec-websocket-extensions"), None);
}

#[test]
fn on_another_thread_its_config_decides() {
    for (config, agreed) in [(Config::new(), None), (wants(anything()), Some(anything()))] {
        let (wire, seen) = Wire::of(&[&offering(&["permessage-deflate"]), FRAMES].concat());
        let parts = receive(wire, wants(Deflate::new())).unwrap().into_parts();
        let room = std::thread::spawn(move || {
            let request = ServerRequest::from_parts_with_timer(parts, NoTimer).config(config);
            let websocket = block_on(request.accept()).unwrap();
            assert_eq!(websocket.deflate(), agreed);
            if agreed.is_some() {
                assert_hello(websocket, "on another thread");
            }
        });
        room.join().unwrap();
        let reply = Reply::parse(&seen.lock().unwrap().written);
        let told = agreed.map(|_| "permessage-deflate");
        assert_eq!(reply.header("sec-websocket-extensions"), told);
    }
}

#[test]
fn a_refusal_negotiates_nothing() {
    let (wire, seen) = Wire::of(&offering(&["permessage-deflate"]));
    let request = receive(wire, wants(Deflate::new())).unwrap();
    block_on(request.reject(404).into_future()).unwrap();
    let reply = Reply::parse(&seen.lock().unwrap().written);
    reply.assert_last();
    assert_eq!(reply.header("sec-websocket-extensions"), None);
}

#[test]
fn any_number_of_offers_costs_what_its_bytes_cost() {
    let accept = |request: &[u8]| {
        let (wire, _) = Wire::of(request);
        let config = wants(anything()).max_head(usize::MAX);
        let websocket = block_on(receive(wire, config).unwrap().accept()).unwrap();
        assert_eq!(websocket.deflate(), Some(anything()));
    };
    let last = "permessage-deflate";
    for declined in
        ["a,", "permessage-deflate;x,", "permessage-deflate;server_max_window_bits=\"\\1\\6\",", ",", " "]
    {
        let offers = |len: usize| offering(&[declined.repeat(len / declined.len()) + last]);
        let best = growth(offers, accept);
        assert!(best < LINEAR, "eight times the offers {declined:?} cost {best:.1} times as much");
    }
    // Nothing of them is kept: a head of offers takes the memory of any other of its length.
    let peak = |request: &[u8]| {
        let scope = Scope::new();
        accept(request);
        scope.peak()
    };
    let long = "x".repeat(15_000);
    let of_nothing = upgrade("/", &format!("X: {long}\r\nSec-WebSocket-Extensions: {last}\r\n"));
    let of_offers = offering(&["permessage-deflate;x,".repeat(15_000 / 21) + last]);
    let (nothing, offers) = (peak(&of_nothing), peak(&of_offers));
    assert!(offers < nothing + 1024, "{offers} bytes for offers, {nothing} for a header of their length");
}
