//! Over real sockets: the peer gets its answer, whatever it is still sending, and then the end of the stream.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use async_io::Async;
use futures_lite::future::block_on;
use unsync_websocket::{Config, HandshakeError, Server};

use crate::wire::{Reply, upgrade};

/// A connection: the server's end, and the peer's.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (listener.accept().unwrap().0, peer)
}

/// Sends `bytes`, and reads up to the end of the stream: what came.
fn converse(mut peer: TcpStream, bytes: Vec<u8>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        peer.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).unwrap();
        answer
    })
}

#[test]
fn a_refused_peer_gets_the_answer_and_the_end_though_much_of_its_input_is_unread() {
    for round in 0..50 {
        let (ours, peer) = pair();
        let body = vec![b'x'; 200_000];
        let request = [&upgrade("/", "Content-Length: 200000\r\n")[..], &body].concat();
        let talking = converse(peer, request);

        let started = Instant::now();
        let refused = block_on(Server::new(Async::new(ours).unwrap()).accept());

        assert!(matches!(refused, Err(HandshakeError::Body)), "round {round}");
        let reply = Reply::parse(&talking.join().unwrap());
        assert_eq!(reply.status, 400);
        reply.assert_last();
        assert!(started.elapsed() < Duration::from_secs(5), "the end of the stream was told, not waited for");
    }
}

#[test]
fn a_page_is_served_on_async_net_too() {
    let (ours, peer) = pair();
    let talking = converse(peer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    let page = "<p>".repeat(100_000);

    let stream = async_net::TcpStream::from(Async::new(ours).unwrap());
    block_on(async {
        let request = Server::new(stream).receive_request().await.unwrap();
        request.respond(200).header("Content-Type", "text/html").body(page.as_str()).await.unwrap();
    });

    let reply = Reply::parse(&talking.join().unwrap());
    assert_eq!(reply.body, page.as_bytes());
}

#[test]
fn frames_glued_to_the_head_are_the_first_messages() {
    let (ours, mut peer) = pair();
    let frames = b"\x81\x85\0\0\0\0hello\x82\x81\0\0\0\0!";
    peer.write_all(&[&upgrade("/", "")[..], frames].concat()).unwrap();

    block_on(async {
        let mut websocket = Server::new(Async::new(ours).unwrap()).accept().await.unwrap();
        let mut data = Vec::new();
        websocket.receiver.receive_data(&mut data).await.unwrap();
        websocket.receiver.receive_data(&mut data).await.unwrap();
        assert_eq!(data, b"hello!");
    });
}

#[test]
fn a_real_clock_ends_a_handshake_that_dribbles() {
    let (ours, mut peer) = pair();
    let config = Config::new().handshake_timeout(Duration::from_millis(200));
    let dribbling = std::thread::spawn(move || {
        for byte in upgrade("/", "") {
            if peer.write_all(&[byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });

    let started = Instant::now();
    let refused = block_on(Server::new(Async::new(ours).unwrap()).config(config).accept());

    assert!(matches!(refused, Err(HandshakeError::RequestTimeout)));
    assert!(started.elapsed() < Duration::from_millis(700), "{:?}", started.elapsed());
    dribbling.join().unwrap();
}

#[test]
fn a_hundred_slow_peers_do_not_hold_up_a_quick_one() {
    let executor = async_executor::LocalExecutor::new();
    let slow: Vec<_> = (0..100).map(|_| pair()).collect();
    let (peers, waiting): (Vec<_>, Vec<_>) = slow
        .into_iter()
        .map(|(ours, mut peer)| {
            peer.write_all(b"GET / HTTP/1.1\r\nHost: a").unwrap();
            (peer, executor.spawn(Server::new(Async::new(ours).unwrap()).accept()))
        })
        .unzip();
    let (ours, peer) = pair();
    let talking = converse(peer, upgrade("/", ""));

    let started = Instant::now();
    let quick = executor.spawn(async move {
        let accepted = Server::new(Async::new(ours).unwrap()).accept().await;
        (accepted.is_ok(), Instant::now())
    });
    let (accepted, at) = block_on(executor.run(quick));

    assert!(accepted);
    assert!(at - started < Duration::from_secs(1), "{:?}", at - started);
    assert!(talking.join().unwrap().starts_with(b"HTTP/1.1 101"));
    drop((peers, waiting));
}
