//! Sockets in a poller of their thread's own (feature `local`): what is theirs alone. How connections do on them, is in
//! `sockets.rs`.
#![cfg(all(feature = "local", unix))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests say what they expect by failing"
)]

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{self, Shutdown};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use async_executor::LocalExecutor;
use async_io::{Timer, block_on};
use futures_lite::future::{or, poll_once, yield_now, zip};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use socket2::SockRef;
use unsync_websocket::local::{self, TcpListener, TcpStream};

/// Runs a test, for no more than half a minute.
fn within_run<R>(test: impl Future<Output = R>) -> R {
    let too_long = async {
        Timer::after(Duration::from_secs(30)).await;
        panic!("not finished after 30 s")
    };
    block_on(local::run(or(test, too_long))).unwrap()
}

/// A socket of ours, and its peer, which blocks.
fn pair() -> (TcpStream, net::TcpStream) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (TcpStream::new(listener.accept().unwrap().0).unwrap(), peer)
}

#[test]
fn a_socket_that_would_have_to_wait_outside_of_run_says_so() {
    let (mut ours, mut peer) = pair();
    let error = block_on(ours.read(&mut [0])).unwrap_err();
    assert_eq!(error.to_string(), "a local socket is waited for outside of `local::run`");
    peer.write_all(b"x").unwrap();
    within_run(async { assert_eq!(ours.read(&mut [0]).await.unwrap(), 1) });
    drop(peer);
    // What need not wait, works; and a run that is over, or was dropped, looks after nobody.
    drop(local::run(async {}));
    assert_eq!(block_on(ours.read(&mut [0])).unwrap(), 0);
}

#[test]
fn a_socket_is_shown_as_the_one_in_it() {
    let (ours, _peer) = pair();
    assert_eq!(format!("{ours:?}"), format!("{:?}", ours.get_ref()));
    let listener = TcpListener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    assert!(format!("{listener:?}").contains("127.0.0.1"), "{listener:?}");
}

#[test]
fn the_end_is_seen_though_it_came_with_less_than_was_asked_for() {
    for wait_for_both in [true, false] {
        let (mut ours, mut peer) = pair();
        within_run(async {
            assert!(poll_once(ours.read(&mut [0; 8])).await.is_none());
            peer.write_all(b"abc").unwrap();
            if wait_for_both {
                // Data and end are one event.
                peer.shutdown(Shutdown::Write).unwrap();
                Timer::after(Duration::from_millis(20)).await;
            }
            let mut buf = [0; 8];
            assert_eq!(ours.read(&mut buf).await.unwrap(), 3);
            assert_eq!(&buf[..3], b"abc");
            if !wait_for_both {
                assert!(poll_once(ours.read(&mut buf)).await.is_none());
                peer.shutdown(Shutdown::Write).unwrap();
            }
            assert_eq!(ours.read(&mut buf).await.unwrap(), 0);
            assert_eq!(ours.read(&mut buf).await.unwrap(), 0, "and again");
        });
    }
}

#[test]
fn a_reset_is_an_error_for_who_reads_and_who_writes() {
    let (mut ours, peer) = pair();
    within_run(async {
        assert!(poll_once(ours.read(&mut [0])).await.is_none());
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        assert_eq!(ours.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(ours.write(&[0]).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn closing_sends_fin_and_reading_goes_on() {
    let (mut ours, mut peer) = pair();
    within_run(async {
        ours.close().await.unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        peer.write_all(b"later").unwrap();
        drop(peer);
        let mut all = Vec::new();
        ours.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"later");
    });
}

#[test]
fn nobody_there_is_an_error() {
    // Bound, and so nobody else's, and not listened to.
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    bound.bind(&net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = bound.local_addr().unwrap().as_socket().unwrap();
    let error = within_run(TcpStream::connect(address)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

/// The read that takes all that there is, and the write that fills all that there is, are the last before the next event: here
/// each of them happens thousands of times, at either end, with reader and writer in tasks of their own.
#[test]
fn megabytes_both_ways_through_small_buffers() {
    const BYTES: usize = 4 << 20;
    let byte = |at: usize| u8::try_from(at % 251).unwrap();
    within_run(async {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (accepted, connected) = zip(listener.accept(), connecting).await;
        let streams = [accepted.unwrap().0, connected.unwrap()];
        let executor = Rc::new(LocalExecutor::new());
        let tasks = streams.map(|stream| {
            SockRef::from(&stream).set_send_buffer_size(32 << 10).unwrap();
            SockRef::from(&stream).set_recv_buffer_size(32 << 10).unwrap();
            let (mut reading, mut writing) = futures_lite::io::split(stream);
            let receiving = executor.spawn(async move {
                let (mut buf, mut received) = ([0; 3000], 0);
                while received < BYTES {
                    // As much as it can, or a little.
                    let most = 1 + received % buf.len();
                    let count = reading.read(&mut buf[..most]).await.unwrap();
                    assert!(count > 0, "{received} received");
                    for (at, &got) in (received..).zip(&buf[..count]) {
                        assert_eq!(got, byte(at), "{at}");
                    }
                    received += count;
                }
                reading
            });
            let sending = executor.spawn(async move {
                let bytes: Vec<u8> = (0..BYTES).map(byte).collect();
                for piece in bytes.chunks(7000) {
                    writing.write_all(piece).await.unwrap();
                }
                writing
            });
            (receiving, sending)
        });
        executor
            .run(async {
                for (receiving, sending) in tasks {
                    drop(zip(receiving, sending).await);
                }
            })
            .await;
    });
}

#[test]
fn a_thousand_come_at_once_and_each_is_served() {
    const CLIENTS: usize = 1000;
    within_run(async {
        let executor = Rc::new(LocalExecutor::new());
        let listener = TcpListener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = executor.spawn({
            let executor = Rc::clone(&executor);
            async move {
                for _ in 0..CLIENTS {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let echo = async move {
                        let mut buf = [0; 8];
                        while let Ok(count @ 1..) = stream.read(&mut buf).await {
                            stream.write_all(&buf[..count]).await.unwrap();
                        }
                    };
                    executor.spawn(echo).detach();
                }
            }
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                executor.spawn(async move {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    for round in 0..10 {
                        let said = (number * 10 + round).to_le_bytes();
                        stream.write_all(&said).await.unwrap();
                        let mut heard = [0; 8];
                        stream.read_exact(&mut heard).await.unwrap();
                        assert_eq!(heard, said);
                        yield_now().await;
                    }
                })
            })
            .collect();
        executor
            .run(async {
                for client in clients {
                    client.await;
                }
                serving.await;
            })
            .await;
    });
}

#[test]
fn a_socket_goes_to_another_thread_and_back() {
    let (mut ours, mut peer) = pair();
    for round in 0..10_u8 {
        peer.write_all(&[round; 3]).unwrap();
        within_run(async {
            let mut buf = [0; 2];
            ours.read_exact(&mut buf).await.unwrap();
            assert_eq!(buf, [round; 2]);
        });
        let socket = ours.into_inner();
        let there = thread::spawn(move || {
            let mut ours = TcpStream::new(socket).unwrap();
            within_run(async {
                // What was there before it came here.
                let mut buf = [0; 1];
                ours.read_exact(&mut buf).await.unwrap();
                assert_eq!(buf, [round]);
                assert!(poll_once(ours.read(&mut buf)).await.is_none());
                ours.write_all(&buf).await.unwrap();
            });
            ours.into_inner()
        });
        ours = TcpStream::new(there.join().unwrap()).unwrap();
        let mut buf = [0; 1];
        peer.read_exact(&mut buf).unwrap();
        assert_eq!(buf, [round]);
    }
}

/// An event for a socket that is gone, whose place another has already.
#[test]
fn a_socket_that_takes_the_place_of_another_is_not_harmed_by_its_events() {
    for _ in 0..100 {
        within_run(async {
            let (mut gone, mut noisy) = pair();
            assert!(poll_once(gone.read(&mut [0])).await.is_none());
            noisy.write_all(b"x").unwrap();
            drop(noisy);
            drop(gone);
            let (mut ours, mut peer) = pair();
            assert!(poll_once(ours.read(&mut [0])).await.is_none());
            Timer::after(Duration::from_micros(100)).await;
            assert!(poll_once(ours.read(&mut [0])).await.is_none());
            peer.write_all(b"y").unwrap();
            let mut buf = [0];
            ours.read_exact(&mut buf).await.unwrap();
            assert_eq!(&buf, b"y");
        });
    }
}

/// Timers are async-io's, which the sockets must not starve.
#[test]
fn a_timer_beside_sockets_that_are_always_ready_is_not_late_for_long() {
    within_run(async {
        let executor = Rc::new(LocalExecutor::new());
        let mut peers = Vec::new();
        for _ in 0..8 {
            let (mut ours, peer) = pair();
            peers.push(thread::spawn(move || {
                let mut peer = peer;
                let mut buf = [0; 64];
                while peer.write_all(&buf).is_ok() && peer.read_exact(&mut buf).is_ok() {}
            }));
            let echo = async move {
                let mut buf = [0; 64];
                while let Ok(count @ 1..) = ours.read(&mut buf).await {
                    ours.write_all(&buf[..count]).await.unwrap();
                }
            };
            executor.spawn(echo).detach();
        }
        let alarms = async {
            for _ in 0..20 {
                Timer::after(Duration::from_millis(5)).await;
            }
        };
        // Half a minute is what `within_run` allows.
        executor.run(alarms).await;
        drop(executor);
        for peer in peers {
            peer.join().unwrap();
        }
    });
}
