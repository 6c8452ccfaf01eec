//! One deadline for the whole handshake, however a server spends it.

use std::task::Poll;
use std::time::Duration;

use unsync_websocket::{Client, Config, HandshakeError};

use crate::server::{Server, fill, switching};
use crate::wire::{Clock, Read, Write, poll};

const SECOND: Duration = Duration::from_secs(1);

fn client(server: Server, clock: &Clock) -> Client<Server> {
    Client::with_timer(server, "example.com", "/", clock.clone())
}

#[test]
fn a_server_that_says_nothing_is_given_up_after_ten_seconds() {
    let clock = Clock::new();
    let (server, seen) = Server::new(|_| vec![Read::Hang]);
    let mut connecting = Box::pin(client(server, &clock).connect());
    assert!(poll(&mut connecting).is_pending());

    clock.advance(10 * SECOND - Duration::from_millis(1));
    assert!(poll(&mut connecting).is_pending());
    clock.advance(Duration::from_millis(1));

    assert!(matches!(poll(&mut connecting), Poll::Ready(Err(HandshakeError::ResponseTimeout))));
    assert!(seen.lock().unwrap().dropped);
}

#[test]
fn a_byte_a_second_does_not_stretch_the_deadline() {
    let clock = Clock::new();
    let (server, _) = Server::new(|accept| {
        let answer = fill(&switching(""), accept);
        answer.into_iter().flat_map(|byte| [Read::Bytes(vec![byte]), Read::Pending]).collect()
    });
    let config = Config::new().handshake_timeout(Duration::from_millis(200));
    let mut connecting = Box::pin(client(server, &clock).config(config).connect());

    let mut waited = Duration::ZERO;
    let error = loop {
        match poll(&mut connecting) {
            Poll::Ready(result) => break result.map(drop).unwrap_err(),
            Poll::Pending => clock.advance(Duration::from_millis(50)),
        }
        waited += Duration::from_millis(50);
    };

    assert!(matches!(error, HandshakeError::ResponseTimeout));
    assert_eq!(waited, Duration::from_millis(200));
}

#[test]
fn a_server_that_does_not_read_is_given_up() {
    let clock = Clock::new();
    let (server, seen) = Server::of(&switching(""));
    let mut connecting = Box::pin(client(server.writes(Write::Hangs), &clock).connect());
    assert!(poll(&mut connecting).is_pending());
    clock.advance(10 * SECOND);
    assert!(matches!(poll(&mut connecting), Poll::Ready(Err(HandshakeError::RequestTimeout))));
    assert!(seen.lock().unwrap().dropped);
}

#[test]
fn a_refusal_whose_body_does_not_end_is_told_at_the_deadline_with_what_came() {
    let clock = Clock::new();
    let (server, _) = Server::new(|_| {
        vec![Read::Bytes(b"HTTP/1.1 503 x\r\nContent-Length: 9\r\n\r\nplease".to_vec()), Read::Hang]
    });
    let mut connecting = Box::pin(client(server, &clock).connect());
    assert!(poll(&mut connecting).is_pending());
    clock.advance(10 * SECOND);
    let Poll::Ready(Err(HandshakeError::Refused(refusal))) = poll(&mut connecting) else {
        panic!("the status had come");
    };
    assert_eq!((refusal.status(), refusal.body(), refusal.is_whole()), (503, &b"please"[..], false));
}

#[test]
fn an_answer_that_is_there_is_never_too_late() {
    let clock = Clock::new();
    let (server, _) = Server::new(|accept| vec![Read::Pending, Read::Bytes(fill(&switching(""), accept))]);
    let mut connecting = Box::pin(client(server, &clock).connect());
    assert!(poll(&mut connecting).is_pending());
    clock.advance(60 * SECOND);
    assert!(matches!(poll(&mut connecting), Poll::Ready(Ok(_))));
}

#[test]
fn a_clock_that_runs_out_of_instants_is_no_panic() {
    let (server, _) = Server::new(|accept| vec![Read::Bytes(fill(&switching(""), accept))]);
    let config = Config::new().handshake_timeout(Duration::MAX);
    let mut connecting = Box::pin(client(server, &Clock::new()).config(config).connect());
    assert!(matches!(poll(&mut connecting), Poll::Ready(Ok(_))));
}
