//! The poll forms, for those who write futures by hand, and the constructors of each runtime, from the request to the Close.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::await_holding_refcell_ref,
    clippy::mem_forget,
    reason = "tests say what they expect by failing"
)]

mod ends;
mod kit;

use std::future::poll_fn;

use ends::{FROM, pair};
use kit::ledger::{Ledger, Sent, binary};
use kit::net::Config as Net;
use kit::runs::{Run, each_seed_and_model, shared};
use kit::sim::Sim;
use kit::wire;
use unsync_websocket::{CloseCode, Config, Error, Incoming};

#[test]
fn what_is_sent_and_received_by_polls_comes_whole_and_waits_for_room() {
    each_seed_and_model("what_is_sent_and_received_by_polls", 50, |run| {
        const MESSAGES: u32 = 20;
        let sim = Sim::new(run);
        let choices = sim.choices().clone();
        let (outbox, len) = (choices.of(&[1, 300, 5000]), choices.of(&[8, 100, 1000]));
        let config = Config::new().outbox(outbox);
        let (net, [server, client]) = pair(&sim, Net::new(run.model).capacity(50), [config.clone(), config]);
        let book = shared(Ledger::default());
        let (book_too, most) = (book.clone(), shared(0));
        let most_too = most.clone();
        sim.spawn("sends", async move {
            let (mut sender, receiver) = client.split();
            // Whoever waits for the peer's Close is not needed: `poll_close` reads by itself.
            drop(receiver);
            for id in 0..MESSAGES {
                poll_fn(|cx| sender.poll_ready(cx)).await.unwrap();
                book_too.borrow_mut().begins(id);
                sender.start_send(&binary(id, len)).unwrap();
                book_too.borrow_mut().became(id, Sent::Certainly);
                let mut most = most_too.borrow_mut();
                *most = sender.queued_bytes().max(*most);
            }
            poll_fn(|cx| sender.poll_flush(cx)).await.unwrap();
            assert_eq!(sender.queued_bytes(), 0);
            poll_fn(|cx| sender.poll_close(cx)).await.unwrap();
            assert!(matches!(sender.start_send("more"), Err(Error::Closing | Error::Closed(_))));
        });
        let book_too = book.clone();
        sim.spawn("receives", async move {
            let (mut sender, mut receiver) = server.split();
            let error = loop {
                let received = poll_fn(|cx| {
                    receiver.poll_receive(cx).map_ok(|incoming| match incoming {
                        Incoming::Message(message) => ends::enter(&mut book_too.borrow_mut(), message),
                        Incoming::Close(_) => {}
                        other => panic!("{other:?}"),
                    })
                });
                if let Err(error) = received.await {
                    break error;
                }
            };
            assert!(error.is_clean_close(), "{error:?}");
            let _ = poll_fn(|cx| sender.poll_close(cx)).await;
        });
        sim.run_in_no_time();
        book.borrow().settle();
        let room = outbox.max(1) + len + 14;
        assert!(*most.borrow() <= room, "{} bytes where there is room for {room}", most.borrow());
        for (end, from) in FROM.into_iter().enumerate() {
            wire::check_closed(from, &net.recorded(end));
        }
    });
}

#[test]
fn a_sender_that_closes_at_once_leaves_out_what_waits() {
    each_seed_and_model("a_sender_that_closes_at_once", 20, |run: &Run| {
        let sim = Sim::new(run);
        let (net, [server, mut client]) =
            pair(&sim, Net::new(run.model).capacity(50), [Config::new(), Config::new()]);
        sim.spawn("sends", async move {
            for id in 0..5 {
                client.sender.feed(&binary(id, 1000)).await.unwrap();
            }
            let (mut sender, receiver) = client.split();
            drop(receiver);
            let _ = sender.close_now(CloseCode::TRY_AGAIN_LATER, "too slow").await;
        });
        let seen = shared(None);
        let seen_too = seen.clone();
        sim.spawn("receives", async move {
            let mut server = server;
            let mut data = Vec::new();
            let error = loop {
                if let Err(error) = server.receiver.receive_data(&mut data).await {
                    break error;
                }
            };
            *seen_too.borrow_mut() = Some((data.len(), error));
            let _ = server.close().await;
        });
        sim.run_in_no_time();
        let (len, error) = seen.borrow_mut().take().unwrap();
        assert!(len < 5000, "{len} bytes came before the Close");
        assert_eq!(error.close_frame().map(|frame| frame.code()), Some(CloseCode::TRY_AGAIN_LATER));
        wire::check_closed(FROM[1], &net.recorded(1));
    });
}

/// Says what it hears until the peer closes.
async fn echo<T: ends::Stream>(mut websocket: unsync_websocket::WebSocket<T>) {
    let mut data = Vec::new();
    while websocket.receiver.receive_data(&mut data).await.is_ok() {
        websocket.sender.send(&data).await.unwrap();
        data.clear();
    }
    websocket.close().await.unwrap();
}

/// Asks for an echo, and closes.
async fn ask<T: ends::Stream>(mut websocket: unsync_websocket::WebSocket<T>) {
    websocket.sender.send(b"hello").await.unwrap();
    let mut data = Vec::new();
    websocket.receiver.receive_data(&mut data).await.unwrap();
    assert_eq!(data, b"hello");
    websocket.close().await.unwrap();
}

#[cfg(feature = "async-io")]
#[test]
fn a_request_goes_to_the_thread_of_its_room_on_async_io() {
    use std::net::{TcpListener, TcpStream};

    use async_io::{Async, block_on};
    use unsync_websocket::{Client, Server, ServerRequest};

    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
    let address = listener.get_ref().local_addr().unwrap();
    let client = std::thread::spawn(move || {
        block_on(async {
            let stream = Async::<TcpStream>::connect(address).await.unwrap();
            ask(Client::new(stream, "localhost", "/room/7").connect().await.unwrap()).await;
        });
    });
    block_on(async {
        let (stream, peer) = listener.accept().await.unwrap();
        let request = Server::new(stream).receive_request().await.unwrap();
        assert_eq!(request.get_ref().get_ref().peer_addr().unwrap(), peer);
        let parts = request.into_parts();
        let room = std::thread::spawn(move || {
            block_on(async { echo(ServerRequest::from_parts(parts).accept().await.unwrap()).await });
        });
        room.join().unwrap();
    });
    client.join().unwrap();
}

#[cfg(feature = "tokio")]
#[test]
fn a_request_is_taken_apart_and_accepted_on_tokio() {
    use tokio::net::{TcpListener, TcpStream};
    use unsync_websocket::{Client, Server, ServerRequest};

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = tokio::task::spawn_local(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            ask(Client::on_tokio(stream, "localhost", "/room/7").connect().await.unwrap()).await;
        });
        let (stream, peer) = listener.accept().await.unwrap();
        let request = Server::on_tokio(stream).receive_request().await.unwrap();
        assert_eq!(request.get_ref().get_ref().peer_addr().unwrap(), peer);
        let parts = request.into_parts();
        echo(ServerRequest::on_tokio(parts).accept().await.unwrap()).await;
        client.await.unwrap();
    });
}
