//! Any bytes at all for an answer: no panic, and a connection only for the one that was asked for (T1).

use futures_lite::future::block_on;
use proptest::collection::vec;
use proptest::prelude::*;
use unsync_websocket::{Client, HandshakeError, NoTimer};

use crate::server::{ACCEPT, Asked, Server, client, switching};

/// Connects to a server that answers with `bytes`, cut into pieces of `step`.
fn check(bytes: &[u8], step: usize) -> Result<(), TestCaseError> {
    let (server, seen) = Server::dribble(bytes, step);
    let connected = block_on(client(server).protocol("chat").connect());
    Asked::parse(&seen.lock().unwrap().written).assert_upgrade();
    prop_assert_eq!(seen.lock().unwrap().dropped, connected.is_err());
    match connected {
        Ok(websocket) => {
            prop_assert!(bytes.windows(ACCEPT.len()).any(|window| window == ACCEPT.as_bytes()));
            prop_assert!(matches!(websocket.subprotocol(), None | Some("chat")));
        }
        Err(HandshakeError::Refused(refusal) | HandshakeError::Redirected(refusal)) => {
            prop_assert_ne!(refusal.status(), 101);
            prop_assert!(refusal.body().len() <= 16 << 10);
        }
        Err(error) => prop_assert!(!error.to_string().is_empty()),
    }
    Ok(())
}

/// Lines that a hostile answer is made of.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::sample::select(vec![
        "Upgrade",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "Location",
        "Sec-WebSocket-Accept",
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
    fn any_bytes_are_judged(bytes in vec(any::<u8>(), 0..300), step in 1_usize..300) {
        check(&bytes, step)?;
        check(&[&bytes[..], b"\r\n\r\n"].concat(), step)?;
        check(&[b"HTTP/1.1 101 x\r\n", &bytes[..], b"\r\n\r\n"].concat(), step)?;
        check(&[b"HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n", &bytes[..]].concat(), step)?;
    }

    #[test]
    fn an_answer_with_bytes_changed_is_judged(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        step in 1_usize..300,
    ) {
        let mut bytes = switching("Sec-WebSocket-Protocol: chat\r\n");
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        check(&bytes, step)?;
    }

    #[test]
    fn an_answer_with_lines_added_is_judged(
        status in prop::sample::select(vec![100_u16, 101, 103, 200, 302, 404]),
        added in vec(lines(), 0..6),
        step in 1_usize..300,
    ) {
        let mut bytes = switching("");
        bytes.truncate(bytes.len() - 2);
        let bytes = [&bytes[..], &added.concat(), b"\r\n", &switching("")].concat();
        let line = format!("HTTP/1.1 {status}");
        check(&[line.as_bytes(), &bytes["HTTP/1.1 101".len()..]].concat(), step)?;
    }

    #[test]
    fn whatever_is_put_into_a_builder_comes_out_as_one_header_or_not_at_all(
        host in any::<String>(),
        target in any::<String>(),
        name in any::<String>(),
        value in vec(any::<u8>(), 0..50),
        protocol in any::<String>(),
        origin in any::<String>(),
    ) {
        let builds: [&dyn Fn(Server) -> Client<Server>; 5] = [
            &|server| Client::with_timer(server, &host, "/", NoTimer),
            &|server| Client::with_timer(server, "a", format!("/{target}"), NoTimer),
            &|server| client(server).header(&name, &value),
            &|server| client(server).protocol(&protocol),
            &|server| client(server).origin(&origin),
        ];
        for (field, build) in builds.into_iter().enumerate() {
            let (server, seen) = Server::of(&switching(""));
            let connected = block_on(build(server).connect());
            let seen = seen.lock().unwrap();
            prop_assert_eq!(connected.is_err(), seen.written.is_empty());
            if connected.is_ok() {
                let asked = Asked::parse(&seen.written);
                asked.assert_upgrade();
                prop_assert_eq!(asked.headers.len(), if field < 2 { 5 } else { 6 });
            }
        }
    }
}
