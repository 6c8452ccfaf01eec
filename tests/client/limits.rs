//! A head has a size, on this side too.

use futures_lite::future::block_on;
use unsync_websocket::{Config, HandshakeError};

use crate::server::{ACCEPT, Server, answered, client, switching};
use crate::wire::Read;

#[test]
fn a_hundred_headers_are_taken_and_one_more_is_not() {
    assert!(answered(&switching(&"a:\r\n".repeat(97))).is_ok());
    for count in [98, 200, 100_000] {
        let error = answered(&switching(&"a:\r\n".repeat(count))).map(drop).unwrap_err();
        assert!(matches!(error, HandshakeError::TooManyHeaders { max: 100 }), "{error:?}");
    }
}

#[test]
fn a_head_of_16_kib_is_taken_and_a_longer_one_is_not() {
    let lines = |len: usize| format!("X: {}\r\n", "x".repeat(len));
    let spare = (16 << 10) - (switching(&lines(0)).len() - ACCEPT.len() + 28);
    assert!(answered(&switching(&lines(spare))).is_ok());
    for len in [spare + 1, 1 << 20] {
        let error = answered(&switching(&lines(len))).map(drop).unwrap_err();
        assert!(matches!(error, HandshakeError::HeadTooLong { max: 16384 }), "{error:?}");
    }
}

#[test]
fn a_head_that_never_ends_is_given_up_and_no_more_is_read() {
    for endless in ["X: yyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", "x"] {
        let piece = endless.repeat(500).into_bytes();
        let (server, seen) = Server::new(move |_| {
            let line = Read::Bytes(b"HTTP/1.1 101 x\r\n".to_vec());
            std::iter::once(line).chain(std::iter::repeat_n(Read::Bytes(piece), 100_000)).collect()
        });
        let error = block_on(client(server).connect()).map(drop).unwrap_err();
        assert!(matches!(error, HandshakeError::HeadTooLong { .. } | HandshakeError::TooManyHeaders { .. }));
        assert!(seen.lock().unwrap().reads < 100);
    }
}

#[test]
fn answers_of_1xx_without_end_are_given_up() {
    let (server, seen) = Server::new(|_| {
        std::iter::repeat_n(Read::Bytes(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()), 100_000).collect()
    });
    let error = block_on(client(server).connect()).map(drop).unwrap_err();
    assert!(matches!(error, HandshakeError::HeadTooLong { max: 16384 }), "{error:?}");
    assert!(seen.lock().unwrap().reads < 1000);
}

#[test]
fn the_limits_can_be_set() {
    let (server, _) = Server::of(&switching("X: y\r\n"));
    let connected = block_on(client(server).config(Config::new().max_headers(3)).connect());
    assert!(matches!(connected, Err(HandshakeError::TooManyHeaders { max: 3 })));

    let (server, _) = Server::of(&switching(""));
    let connected = block_on(client(server).config(Config::new().max_head(0).max_headers(0)).connect());
    assert!(matches!(connected, Err(HandshakeError::HeadTooLong { .. })));
}
