//! Any bytes at all: no panic, one strict answer or none, and nothing of the input in it (T1).

use futures_lite::future::block_on;
use proptest::collection::vec;
use proptest::prelude::*;
use unsync_websocket::{NoTimer, Server};

use crate::wire::{Reply, Wire, upgrade};

/// Receives and accepts `bytes`, cut into pieces of `step`, and checks what came back.
fn check(bytes: &[u8], step: usize) -> Result<(), TestCaseError> {
    let (wire, seen) = Wire::dribble(bytes, step);
    let accepted = block_on(Server::with_timer(wire, NoTimer).same_origin().accept());
    let seen = seen.lock().unwrap();
    if seen.written.is_empty() {
        prop_assert!(accepted.is_err());
        return Ok(());
    }
    // Panics unless every line is a header in its strictest form.
    let reply = Reply::parse(&seen.written);
    match accepted {
        Ok(_) => {
            prop_assert_eq!(reply.status, 101);
            prop_assert_eq!(reply.body, b"");
        }
        Err(error) => {
            prop_assert_eq!(Some(reply.status), error.status());
            if !bytes.starts_with(b"HEAD ") {
                reply.assert_last();
            }
            prop_assert!(seen.closed);
        }
    }
    Ok(())
}

/// Lines that a hostile header is made of.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::sample::select(vec![
        "Host",
        "Origin",
        "Upgrade",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "X",
        "",
    ]);
    (names, vec(any::<u8>(), 0..24), prop::sample::select(vec![": ", ":", "", " : "]))
        .prop_map(|(name, value, colon)| [name.as_bytes(), colon.as_bytes(), &value, b"\r\n"].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered_strictly(bytes in vec(any::<u8>(), 0..300), step in 1_usize..300) {
        check(&bytes, step)?;
        check(&[&bytes[..], b"\r\n\r\n"].concat(), step)?;
        check(&[b"GET / HTTP/1.1\r\n", &bytes[..], b"\r\n\r\n"].concat(), step)?;
    }

    #[test]
    fn a_handshake_with_bytes_changed_is_answered_strictly(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        step in 1_usize..300,
    ) {
        let mut bytes = upgrade("/chat?x", "Origin: http://example.com\r\nSec-WebSocket-Protocol: a, b\r\n");
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        check(&bytes, step)?;
    }

    #[test]
    fn a_handshake_with_lines_added_is_answered_strictly(added in vec(lines(), 0..6), step in 1_usize..300) {
        let mut bytes = upgrade("/", "");
        bytes.truncate(bytes.len() - 2);
        check(&[&bytes[..], &added.concat(), b"\r\n"].concat(), step)?;
    }

    #[test]
    fn whatever_is_put_into_a_builder_comes_out_as_one_header_or_not_at_all(
        name in any::<String>(),
        value in vec(any::<u8>(), 0..50),
        protocol in any::<String>(),
        status in any::<u16>(),
        body in vec(any::<u8>(), 0..50),
    ) {
        let (wire, seen) = Wire::of(&upgrade("/", ""));
        let request = block_on(Server::with_timer(wire, NoTimer).receive_request()).unwrap();
        let accepted = block_on(request.header(&name, value.iter().map(|b| b & 0x7f).collect::<Vec<_>>()).accept());
        let reply = Reply::parse(&seen.lock().unwrap().written);
        prop_assert_eq!(reply.status, if accepted.is_ok() { 101 } else { 500 });
        prop_assert_eq!(reply.headers.len(), if accepted.is_ok() { 4 } else { 3 });

        let (wire, seen) = Wire::of(&upgrade("/", "Sec-WebSocket-Protocol: chat\r\n"));
        let request = block_on(Server::with_timer(wire, NoTimer).receive_request()).unwrap();
        let accepted = block_on(request.protocol(protocol.as_str()).accept());
        prop_assert_eq!(accepted.is_ok(), protocol == "chat");
        Reply::parse(&seen.lock().unwrap().written);

        let (wire, seen) = Wire::of(&upgrade("/", ""));
        let request = block_on(Server::with_timer(wire, NoTimer).receive_request()).unwrap();
        let answered = block_on(request.reject(status).body(body.clone()).into_future());
        let reply = Reply::parse(&seen.lock().unwrap().written);
        prop_assert_eq!(reply.status, if answered.is_ok() { status } else { 500 });
        if answered.is_ok() && !matches!(status, 204 | 304) {
            prop_assert_eq!(reply.body, body);
        }
    }
}
