//! T21 and T5 on the sockets of async-io, async-net (smol's) and, with the feature `tokio`, tokio, over the loopback.
//!
//! What the simulated transports claim of real ones is shown here to hold for the real ones: a bare `Async<TcpStream>` wakes
//! the waker that it replaces, a `smol::net::TcpStream` unregisters it. Each test is bounded in time by a thread of its own,
//! so that a connection that spins is caught, too.
#![cfg(feature = "async-io")]
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

mod kit;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::net::{TcpListener, TcpStream};
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use async_executor::LocalExecutor;
use async_io::{Async, Timer};
use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::future::{or, zip};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use kit::ledger;
use kit::slow;
use unsync_websocket::{Config, Error, Incoming, Message, Receiver, Role, Sender, WebSocket};

/// A stream, as its user would make it.
trait Socket: AsyncRead + AsyncWrite + Unpin + 'static {
    /// The runtime that the socket needs, around `future`.
    fn block_on<F: Future>(future: F) -> F::Output {
        async_io::block_on(future)
    }

    fn of(stream: TcpStream) -> Self;

    fn websocket(self, role: Role, config: &Config) -> WebSocket<Self>
    where
        Self: Sized,
    {
        WebSocket::from_handshaken(self, role, config.clone(), Vec::new())
    }
}

impl Socket for Async<TcpStream> {
    fn of(stream: TcpStream) -> Self {
        Async::new(stream).unwrap()
    }
}

impl Socket for async_net::TcpStream {
    fn of(stream: TcpStream) -> Self {
        Async::new(stream).unwrap().into()
    }
}

#[cfg(feature = "tokio")]
impl Socket for unsync_websocket::TokioStream<tokio::net::TcpStream> {
    fn block_on<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, future)
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        Self::new(tokio::net::TcpStream::from_std(stream).unwrap())
    }

    fn websocket(self, role: Role, config: &Config) -> WebSocket<Self> {
        WebSocket::on_tokio(self.into_inner(), role, config.clone(), Vec::new())
    }
}

fn streams<T: Socket>() -> (T, T) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    for stream in [&server, &client] {
        stream.set_nodelay(true).unwrap();
    }
    (T::of(server), T::of(client))
}

fn websockets<T: Socket>(config: &Config) -> (WebSocket<T>, WebSocket<T>) {
    let (server, client) = streams::<T>();
    (server.websocket(Role::Server, config), client.websocket(Role::Client, config))
}

/// Runs `test` on a local executor of a thread of its own.
///
/// # Panics
///
/// When it does, and when it takes longer than `most`: the thread is then left to itself.
fn within<T: Socket, F: Future<Output = ()>>(
    most: Duration,
    test: impl FnOnce(Rc<LocalExecutor<'static>>) -> F + Send + 'static,
) {
    let (sender, receiver) = mpsc::channel::<()>();
    let worker = thread::spawn(move || {
        let executor = Rc::new(LocalExecutor::new());
        T::block_on(executor.run(async { test(executor.clone()).await }));
        drop(sender);
    });
    let timeout = receiver.recv_timeout(most) == Err(mpsc::RecvTimeoutError::Timeout);
    assert!(!timeout, "not finished after {most:?}");
    worker.join().unwrap();
}

/// Counts the polls of a future.
async fn counted<F: Future>(polls: Rc<Cell<usize>>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        polls.set(polls.get() + 1);
        future.as_mut().poll(cx)
    })
    .await
}

async fn send_all<T: Socket>(sender: &mut Sender<T>, lengths: &[usize]) {
    for (id, len) in lengths.iter().enumerate() {
        sender.ping(b"?").await.unwrap();
        sender.send(&ledger::binary(id as u32, *len)).await.unwrap();
    }
    sender.flush().await.unwrap();
}

/// Receives `count` messages in order, then whatever comes; returns the pongs, and why it ended.
async fn receive_all<T: Socket>(
    receiver: &mut Receiver<T>,
    count: usize,
    got_all: &kit::signal::Signal,
) -> (usize, Error) {
    let (mut received, mut pongs) = (0, 0);
    loop {
        if received == count {
            got_all.set();
        }
        match receiver.receive().await {
            Ok(Incoming::Message(Message::Binary(data))) => {
                assert_eq!(ledger::binary_id(data) as usize, received);
                received += 1;
            }
            Ok(Incoming::Pong(_)) => pongs += 1,
            Ok(Incoming::Close(_)) => assert_eq!(received, count),
            Ok(other) => panic!("{other:?}"),
            Err(error) => return (pongs, error),
        }
    }
}

/// Both ends send everything to each other; the server closes when it has everything.
async fn talk<T: Socket>(
    executor: Rc<LocalExecutor<'static>>,
    lengths: Vec<usize>,
    one_task: bool,
    receiver_first: bool,
) {
    let config = Config::new().max_message(128 << 20);
    let (server, client) = websockets::<T>(&config);
    let mut tasks = Vec::new();
    for socket in [server, client] {
        let role = socket.role();
        let (mut sender, mut receiver) = socket.split();
        let got_all = kit::signal::Signal::default();
        let (count, lengths, got) = (lengths.len(), lengths.clone(), got_all.clone());
        let sends = async move {
            send_all(&mut sender, &lengths).await;
            if role == Role::Server {
                got.wait().await;
                sender.close().await.unwrap();
            }
        };
        let receives = async move {
            let (pongs, error) = receive_all(&mut receiver, count, &got_all).await;
            assert!(error.is_clean_close(), "{error:?}");
            assert!(pongs > 0);
            receiver.close().await.unwrap();
        };
        match (one_task, receiver_first) {
            (true, false) => tasks.push(executor.spawn(async {
                let ((), ()) = zip(sends, receives).await;
            })),
            (true, true) => tasks.push(executor.spawn(async {
                let ((), ()) = zip(receives, sends).await;
            })),
            (false, false) => tasks.extend([executor.spawn(sends), executor.spawn(receives)]),
            (false, true) => tasks.extend([executor.spawn(receives), executor.spawn(sends)]),
        }
    }
    for task in tasks {
        task.await;
    }
}

fn halves_finish<T: Socket>(lengths: &[usize], rounds: usize) {
    for one_task in [false, true] {
        for receiver_first in [false, true] {
            let lengths = lengths.to_vec();
            within::<T, _>(Duration::from_secs(20), move |executor| async move {
                for _ in 0..rounds {
                    talk::<T>(executor.clone(), lengths.clone(), one_task, receiver_first).await;
                }
            });
        }
    }
}

/// The headline, on a real socket: a large send is stuck, one PING comes, and the receiver goes on.
fn a_stuck_send_does_not_stop_the_receiver<T: Socket>() {
    const LEN: usize = 64 << 20;
    within::<T, _>(Duration::from_secs(30), |executor| async move {
        let (server, mut peer) = streams::<T>();
        let socket = server.websocket(Role::Server, &Config::new());
        let (mut sender, mut receiver) = socket.split();
        let sent = Rc::new(Cell::new(false));
        let (flag, [sends, receives]) = (sent.clone(), [Rc::new(Cell::new(0)), Rc::new(Cell::new(0))]);
        let sending = executor.spawn(counted(sends.clone(), async move {
            sender.send(&ledger::binary(1, LEN)).await.unwrap();
            sender.flush().await.unwrap();
            flag.set(true);
        }));
        let received = Rc::new(Cell::new(0));
        let count = received.clone();
        let receiving = executor.spawn(counted(receives.clone(), async move {
            loop {
                match receiver.receive().await {
                    Ok(Incoming::Message(Message::Binary(data))) => {
                        assert_eq!(ledger::binary_id(data), count.get());
                        count.set(count.get() + 1);
                    }
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => return error,
                }
            }
        }));

        // The peer reads nothing. Its socket fills; then it asks once, and talks on.
        Timer::after(Duration::from_millis(100)).await;
        peer.write_all(&slow::frame(slow::From::Client, true, slow::PING, b"the one")).await.unwrap();
        for id in 0..500 {
            let frame = slow::frame(slow::From::Client, true, slow::BINARY, &ledger::binary(id, 1000));
            peer.write_all(&frame).await.unwrap();
        }
        let begun = Instant::now();
        while received.get() < 500 {
            assert!(begun.elapsed() < Duration::from_secs(5), "received {} of 500", received.get());
            Timer::after(Duration::from_millis(1)).await;
        }
        assert!(!sent.get(), "64 MiB do not fit into the socket");

        // Both halves wait now, and do not keep each other awake.
        Timer::after(Duration::from_millis(50)).await;
        let before = sends.get() + receives.get();
        Timer::after(Duration::from_millis(500)).await;
        let polls = sends.get() + receives.get() - before;
        assert!(polls <= 50, "{polls} polls in half a second in which nothing happened");

        // Then the peer reads: the pong is behind the fragment that had begun.
        let mut wire = Vec::new();
        let mut buf = vec![0; 1 << 18];
        while !sent.get() || wire.len() < LEN {
            let more = or(async { Some(peer.read(&mut buf).await.unwrap()) }, async {
                Timer::after(Duration::from_millis(200)).await;
                None
            });
            match more.await {
                Some(count) => wire.extend_from_slice(&buf[..count]),
                None => assert!(sent.get(), "nothing comes any more after {} bytes", wire.len()),
            }
        }
        sending.await;
        peer.close().await.unwrap();
        drop(peer);
        drop(receiving.await);
        let seen = slow::read(slow::From::Server, slow::Limits::NONE, &wire);
        let pong_at = seen.frames.iter().position(|frame| frame.opcode == slow::PONG).unwrap();
        let bytes_before: usize = seen.frames[..pong_at].iter().map(|frame| frame.payload.len()).sum();
        assert_eq!(seen.frames[pong_at].payload, b"the one");
        assert!(bytes_before < LEN / 2, "the pong waited for {bytes_before} bytes");
    });
}

/// T20 on a real socket: unread input does not take our Close with it (the kernel would answer with a reset).
fn the_peer_gets_our_close<T: Socket>() {
    within::<T, _>(Duration::from_secs(30), |_| async move {
        for round in 0..200 {
            let (server, mut peer) = streams::<T>();
            let mut socket = server.websocket(Role::Server, &Config::new());
            let unread = slow::frame(slow::From::Client, true, slow::BINARY, &[7; 3000]);
            let closes = async {
                socket.close().await.unwrap();
                drop(socket);
            };
            let peer = async {
                for _ in 0..3 {
                    peer.write_all(&unread).await.unwrap();
                }
                let mut heard = Vec::new();
                let mut buf = [0; 100];
                while slow::read(slow::From::Server, slow::Limits::NONE, &heard).events.is_empty() {
                    let count = peer.read(&mut buf).await.unwrap();
                    assert!(count > 0, "round {round}: the stream ended before the Close");
                    heard.extend_from_slice(&buf[..count]);
                }
                peer.write_all(&slow::close(slow::From::Client, 1000, "")).await.unwrap();
                assert_eq!(peer.read(&mut buf).await.unwrap(), 0, "round {round}: a FIN, and no reset");
            };
            zip(closes, peer).await;
        }
    });
}

macro_rules! on {
    ($name:ident, $socket:ty) => {
        mod $name {
            use super::*;

            #[test]
            fn two_halves_never_lose_a_wake_up() {
                halves_finish::<$socket>(&[8, 100, 70_000, 20_000, 9], 40);
            }

            #[test]
            fn both_ends_send_16_mib_with_pings_in_flight_and_finish() {
                halves_finish::<$socket>(&[16 << 20, 4 << 20], 1);
            }

            #[test]
            fn a_64_mib_send_stuck_in_the_socket_does_not_stop_the_receiver() {
                a_stuck_send_does_not_stop_the_receiver::<$socket>();
            }

            #[test]
            fn the_peer_gets_our_close_and_a_fin_despite_unread_input() {
                the_peer_gets_our_close::<$socket>();
            }
        }
    };
}

on!(async_io_tcp, Async<TcpStream>);
on!(async_net_tcp, async_net::TcpStream);
#[cfg(feature = "tokio")]
on!(tokio_tcp, unsync_websocket::TokioStream<tokio::net::TcpStream>);
