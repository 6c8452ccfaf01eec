//! One deadline for the whole handshake, however a peer spends it (T16).

use std::task::Poll;
use std::time::Duration;

use unsync_websocket::{Config, HandshakeError, Server};

use crate::wire::{Clock, Read, Reply, Wire, Write, poll, upgrade};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_peer_that_sends_nothing_is_told_after_ten_seconds() {
    let clock = Clock::new();
    let (wire, seen) = Wire::new([Read::Hang]);
    let mut receiving = Box::pin(Server::with_timer(wire, clock.clone()).receive_request());
    assert!(poll(&mut receiving).is_pending());

    clock.advance(10 * SECOND - Duration::from_millis(1));
    assert!(poll(&mut receiving).is_pending());
    clock.advance(Duration::from_millis(1));
    let Poll::Ready(Err(error)) = poll(&mut receiving) else { panic!("the deadline has passed") };

    assert!(matches!(error, HandshakeError::RequestTimeout));
    let seen = seen.lock().unwrap();
    let reply = Reply::parse(&seen.written);
    reply.assert_last();
    assert_eq!(reply.status, 408);
    assert!(seen.closed, "our side was ended; past the deadline nothing is waited for");
}

#[test]
fn a_byte_a_second_does_not_stretch_the_deadline() {
    let clock = Clock::new();
    let pauses = upgrade("/", "").into_iter().flat_map(|byte| [Read::Bytes(vec![byte]), Read::Pending]);
    let (wire, seen) = Wire::new(pauses);
    let config = Config::new().handshake_timeout(Duration::from_millis(200));
    let mut receiving = Box::pin(Server::with_timer(wire, clock.clone()).config(config).receive_request());

    let mut waited = Duration::ZERO;
    let error = loop {
        match poll(&mut receiving) {
            Poll::Ready(result) => break result.map(drop).unwrap_err(),
            Poll::Pending => clock.advance(Duration::from_millis(50)),
        }
        waited += Duration::from_millis(50);
    };

    assert!(matches!(error, HandshakeError::RequestTimeout));
    assert_eq!(waited, Duration::from_millis(200));
    assert_eq!(Reply::parse(&seen.lock().unwrap().written).status, 408);
}

#[test]
fn a_peer_that_does_not_read_its_answer_is_given_up() {
    let clock = Clock::new();
    let (wire, seen) = Wire::new([Read::Bytes(upgrade("/", "")), Read::Hang]);
    let mut accepting = Box::pin(Server::with_timer(wire.writes(Write::Hangs), clock.clone()).accept());
    assert!(poll(&mut accepting).is_pending());

    clock.advance(10 * SECOND);

    let Poll::Ready(Err(error)) = poll(&mut accepting) else { panic!("the deadline has passed") };
    assert!(matches!(error, HandshakeError::ResponseTimeout));
    assert_eq!(error.status(), None);
    drop(accepting);
    assert!(seen.lock().unwrap().dropped);
}

#[test]
fn a_refused_peer_that_neither_reads_nor_goes_is_given_up() {
    for writes in [Write::Hangs, Write::Takes(1000)] {
        let clock = Clock::new();
        let (wire, seen) = Wire::new([Read::Bytes(b"GET / HTTP/1.1\r\n\r\n".to_vec()), Read::Hang]);
        let mut receiving =
            Box::pin(Server::with_timer(wire.writes(writes), clock.clone()).receive_request());
        assert!(poll(&mut receiving).is_pending());
        clock.advance(9 * SECOND);
        assert!(poll(&mut receiving).is_pending(), "it may still read, or send what we drain");
        clock.advance(SECOND);

        let Poll::Ready(Err(error)) = poll(&mut receiving) else { panic!("the deadline has passed") };

        assert!(matches!(error, HandshakeError::MissingHost));
        drop(receiving);
        assert!(seen.lock().unwrap().dropped);
    }
}

#[test]
fn an_answered_peer_that_stays_is_left_at_the_deadline_without_an_error() {
    let clock = Clock::new();
    let (wire, seen) = Wire::new([Read::Bytes(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()), Read::Hang]);
    let mut receiving = Box::pin(Server::with_timer(wire, clock.clone()).receive_request());
    let Poll::Ready(Ok(request)) = poll(&mut receiving) else { panic!("the request was there") };
    clock.advance(6 * SECOND);
    let mut responding = request.respond(200).body("page").into_future();
    assert!(poll(&mut responding).is_pending());
    assert_eq!(
        Reply::parse(&seen.lock().unwrap().written).body,
        b"page",
        "the answer does not wait for the end"
    );

    clock.advance(4 * SECOND);

    assert!(
        matches!(poll(&mut responding), Poll::Ready(Ok(()))),
        "ten seconds in all, not ten for the answer"
    );
    assert!(seen.lock().unwrap().closed);
}

#[test]
fn an_answer_that_can_be_written_at_once_is_never_too_late() {
    let clock = Clock::new();
    let (wire, seen) = Wire::of(&upgrade("/", ""));
    let mut receiving = Box::pin(Server::with_timer(wire, clock.clone()).receive_request());
    let Poll::Ready(Ok(request)) = poll(&mut receiving) else { panic!("the request was there") };

    clock.advance(60 * SECOND);

    assert!(matches!(poll(&mut Box::pin(request.accept())), Poll::Ready(Ok(_))));
    assert!(seen.lock().unwrap().written.starts_with(b"HTTP/1.1 101"));
}

#[test]
fn a_clock_that_runs_out_of_instants_is_no_panic() {
    let (wire, _) = Wire::of(&upgrade("/", ""));
    let config = Config::new().handshake_timeout(Duration::MAX);
    let mut accepting = Box::pin(Server::with_timer(wire, Clock::new()).config(config).accept());
    assert!(matches!(poll(&mut accepting), Poll::Ready(Ok(_))));
}
