//! One peer cannot take a thread for itself (goal G10, test T26).
//!
//! smol has no budget for tasks: a task that finds work whenever it is polled, and never waits, keeps all others of its thread from
//! running. So a connection counts what it does and lets others run. Here are peers that send without end whatever costs a reader
//! most, beside a timer and a client that behaves.
//!
//! A machine with other things to do makes any task late, so wall-clock time proves little. First the work of a single poll is
//! counted, and timed as the least of several equal runs; then all the floods run on one executor at once, and the gap of a timer is
//! held against that of the same thread without floods.
#![cfg(feature = "async-io")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::mem_forget,
    reason = "tests say what they expect by failing"
)]

mod kit;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_executor::LocalExecutor;
use async_io::Timer;
use async_net::{TcpListener, TcpStream};
use futures_io::AsyncRead;
use kit::flood::{Flood, Hand, Seen, Then};
use kit::nowhere::Nowhere;
use unsync_websocket::{Client, Config, Error, Incoming, NoTimer, Role, Server, WebSocket};

/// A masked frame with a key of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..65_536 => {
            frame.push(0xFE);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0xFF);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// What a peer does.
struct Kind {
    name: &'static str,
    /// It says this once, and then the other for ever.
    first: Vec<u8>,
    then: Vec<u8>,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Receive,
    ReceiveData,
    /// Everything is thrown away, again and again.
    Close,
    Handshake,
}

fn kinds() -> Vec<Kind> {
    let plain = |name, first: Vec<u8>, then: Vec<u8>| Kind { name, first, then, what: What::Receive };
    #[cfg_attr(not(feature = "deflate"), expect(unused_mut, reason = "two kinds need `deflate`"))]
    let mut kinds = vec![
        plain("messages of a byte", Vec::new(), frame(0x81, b"x")),
        plain("pings", Vec::new(), frame(0x89, &[7; 125])),
        Kind { what: What::ReceiveData, ..plain("pongs", Vec::new(), frame(0x8A, b"")) },
        plain("empty fragments", frame(0x01, b""), frame(0x00, b"")),
        plain(
            "fragments of a byte",
            Vec::new(),
            [frame(0x01, b"x"), frame(0x00, b"x").repeat(4094), frame(0x80, b"")].concat(),
        ),
        plain("messages of 1 MiB", Vec::new(), frame(0x81, &vec![b'x'; 1 << 20])),
        Kind { what: What::Close, ..plain("messages after our Close", Vec::new(), frame(0x82, &[7; 125])) },
        Kind {
            what: What::Handshake,
            ..plain("heads", b"GET / HTTP/1.1\r\n".to_vec(), b"A: b\r\n".to_vec())
        },
    ];
    #[cfg(feature = "deflate")]
    {
        kinds.push(plain("bombs", Vec::new(), frame(0xC2, &packed(&vec![0; 1 << 20]))));
        kinds.push(plain("streams that end at once", Vec::new(), frame(0xC2, &[0x03, 0x00].repeat(1 << 19))));
        // Each of which takes a whole step of the decompressor, and is done with it.
        kinds.push(plain("short ones of that kind", Vec::new(), frame(0xC2, &[0x03, 0x00].repeat(8000))));
        kinds.push(plain("compressed talk", Vec::new(), frame(0xC1, &packed(TALK))));
    }
    kinds
}

/// What somebody may say in a chat.
#[cfg(feature = "deflate")]
const TALK: &[u8] =
    br#"{"from":"Ann","room":"lobby","at":1764374400,"text":"Is anybody there? I have been waiting for an hour."}"#;

/// `data` compressed as one message, without its end (RFC 7692, section 7.2.1).
#[cfg(feature = "deflate")]
fn packed(data: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(data.len() + 1000);
    flate2::Compress::new(flate2::Compression::best(), false)
        .compress_vec(data, &mut packed, flate2::FlushCompress::Sync)
        .unwrap();
    packed.truncate(packed.len() - 4);
    packed
}

fn config() -> Config {
    let config = Config::new().max_fragments(u32::MAX).max_message(1 << 20);
    #[cfg(feature = "deflate")]
    let config = config.deflate(unsync_websocket::Deflate::new());
    config
}

impl Kind {
    fn peer(&self) -> (Flood, Rc<Seen>) {
        // An end, so that a reader without a budget fails instead of reading for ever.
        let (peer, seen) =
            Flood::of(Then::Waits, &self.first, &self.then, (1 << 30) / self.then.len() as u64);
        seen.forget.set(true);
        (peer, seen)
    }

    fn socket(&self) -> WebSocket<Flood> {
        WebSocket::with_timer(self.peer().0, Role::Server, config(), Vec::new(), NoTimer)
    }

    /// What a server does about it, for ever; `said` counts the bytes that the peer has said.
    async fn serve(&self, said: &Cell<u64>) {
        let counted = |seen: &Seen, from: u64| said.set(from + seen.said.get());
        loop {
            let from = said.get();
            let (peer, seen) = self.peer();
            let counting = std::pin::pin!(async {
                if self.what == What::Handshake {
                    assert!(Server::with_timer(peer, NoTimer).accept().await.is_err());
                    return;
                }
                let mut socket = WebSocket::with_timer(peer, Role::Server, config(), Vec::new(), NoTimer);
                let mut data = Vec::new();
                match self.what {
                    What::Receive => while socket.receiver.receive().await.is_ok() {},
                    What::ReceiveData => {
                        while socket.receiver.receive_data(&mut data).await.is_ok() {
                            data.clear();
                        }
                    }
                    What::Close => assert!(matches!(socket.close().await, Err(Error::CloseTimeout))),
                    What::Handshake => {}
                }
            });
            let mut counting: Pin<&mut dyn Future<Output = ()>> = counting;
            std::future::poll_fn(|cx| {
                let poll = counting.as_mut().poll(cx);
                counted(&seen, from);
                poll
            })
            .await;
            // Whoever serves one after the other lets others run in between.
            futures_lite::future::yield_now().await;
        }
    }
}

/// Polls that are looked at.
const POLLS: usize = 400;
/// Equal runs at the most, of which the least time of each poll counts.
const RUNS: usize = 40;
/// What a poll takes at the most, in a build that is not optimised, on a machine that others use.
const POLL: Duration = Duration::from_millis(5);

#[test]
fn no_poll_does_more_than_its_share() {
    for kind in kinds() {
        let mut times = [Duration::MAX; POLLS];
        let mut most = 0;
        for _ in 0..RUNS {
            if times.iter().all(|time| *time < POLL) {
                break;
            }
            let (hand, said) = (Hand::new(), Cell::new(0));
            let mut serving = std::pin::pin!(kind.serve(&said));
            for time in &mut times {
                let (before, start) = (said.get(), Instant::now());
                assert!(hand.poll(serving.as_mut()).is_pending());
                *time = (*time).min(start.elapsed());
                most = most.max(said.get().saturating_sub(before));
                assert!(hand.wakes() > 0, "{}: it asks for its next turn", kind.name);
            }
        }
        let worst = times.into_iter().max().unwrap();
        println!("{:26} {most:7} bytes read in a poll at most, {worst:?}", kind.name);
        // A turn of 64 KiB may begin near the end of a read of 64 KiB; a handshake takes a head and the next drain. A long payload,
        // with which nothing is to be done but to take it, has turns of 1 MiB, and its longest read is half of that.
        let share = if kind.then.len() > 1 << 20 { 3 << 19 } else { 64 << 10 };
        assert!(most <= share + (64 << 10), "{}: {most} bytes in one poll", kind.name);
        assert!(worst < POLL, "{}: {worst:?} in one poll", kind.name);
    }
}

/// Receives until others have their turn, and says how many messages and Pongs that were.
fn told_in_a_turn(hand: &Hand, socket: &mut WebSocket<Flood>) -> usize {
    let mut told = 0;
    let polled = hand.poll(std::pin::pin!(async {
        while socket.receiver.receive().await.is_ok() {
            told += 1;
        }
    }));
    assert!(polled.is_pending());
    told
}

#[test]
fn no_poll_tells_or_takes_more_than_64_frames() {
    for (name, piece, per_frame) in
        [("pongs", frame(0x8A, b""), 6), ("messages", frame(0x82, b"x"), 7), ("empty", frame(0x82, b""), 6)]
    {
        let kind = Kind { name, first: Vec::new(), then: piece, what: What::Receive };
        let mut socket = kind.socket();
        let (hand, mut told) = (Hand::new(), 0);
        for _ in 0..1000 {
            let turn = told_in_a_turn(&hand, &mut socket);
            told += turn;
            assert!(turn <= 64, "{name}: {turn} in one turn, of {per_frame} bytes each");
        }
        assert!(told >= 60_000, "{name}: {told} in a thousand turns");
    }
}

/// What a compressed message costs of a turn is what inflating it takes: one that is as slow as can be has a turn for itself, and of what
/// people say to each other a turn has dozens.
#[cfg(feature = "deflate")]
#[test]
fn a_turn_has_one_slow_stream_or_dozens_of_compressed_words() {
    for kind in kinds() {
        let few_and_many = match kind.name {
            "short ones of that kind" => 1..=1,
            "compressed talk" => 24..=32,
            _ => continue,
        };
        let mut socket = kind.socket();
        let hand = Hand::new();
        for _ in 0..100 {
            let turn = told_in_a_turn(&hand, &mut socket);
            assert!(few_and_many.contains(&turn), "{}: {turn} in one turn", kind.name);
        }
    }
}

/// What came of the timer and of the client.
#[derive(Debug)]
struct Lateness {
    timer_p99: Duration,
    timer_worst: Duration,
    client_p99: Duration,
}

fn p99(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() * 99 / 100], times[times.len() - 1])
}

/// A timer of 5 ms, and a client that sends and waits for its echo over TCP, beside these floods on one thread, for a second.
fn run(floods: &[Kind]) -> Lateness {
    let said: Vec<_> = floods.iter().map(|_| Cell::new(0)).collect();
    let executor = LocalExecutor::new();
    let tasks: Vec<_> =
        floods.iter().zip(&said).map(|(kind, said)| executor.spawn(kind.serve(said))).collect();
    let late = async_io::block_on(executor.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let echo = executor.spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut websocket = Server::new(stream).accept().await.unwrap();
            while let Ok(Incoming::Message(message)) = websocket.receiver.receive().await {
                websocket.sender.send(message).await.unwrap();
            }
        });
        let end = Instant::now() + Duration::from_secs(1);
        let timer = executor.spawn(async move {
            let mut late = Vec::new();
            while Instant::now() < end {
                let due = Instant::now() + Duration::from_millis(5);
                Timer::at(due).await;
                late.push(due.elapsed());
            }
            late
        });
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client::new(stream, address.to_string(), "/").connect().await.unwrap();
        let mut rounds = Vec::new();
        while Instant::now() < end {
            let start = Instant::now();
            client.sender.send("are you there?").await.unwrap();
            assert!(matches!(client.receiver.receive().await.unwrap(), Incoming::Message(_)));
            rounds.push(start.elapsed());
        }
        drop(client);
        echo.await;
        let (timer_p99, timer_worst) = p99(timer.await);
        Lateness { timer_p99, timer_worst, client_p99: p99(rounds).0 }
    }));
    for (kind, said) in floods.iter().zip(&said) {
        assert!(said.get() > 1000, "{} went on: {} bytes", kind.name, said.get());
    }
    drop(tasks);
    late
}

/// All floods at once on one thread. The goal: a timer of 5 ms is later by 5 ms at most in 99 of 100 cases, and never by more than
/// 20 ms, than without floods, which is measured right before. A busy machine has ten tries. (The client's way is longer: async-io looks for
/// readiness every 10 ms or so while a thread is never idle, and an echo takes four such looks.)
#[test]
fn a_timer_and_a_client_beside_every_flood_at_once() {
    let floods = kinds();
    let mut told = Vec::new();
    let kept = (0..10).any(|_| {
        let (quiet, flooded) = (run(&[]), run(&floods));
        let machine = 3 * quiet.timer_worst;
        let kept = flooded.timer_p99 <= machine + Duration::from_millis(5)
            && flooded.timer_worst <= machine + Duration::from_millis(20)
            && flooded.client_p99 <= machine + Duration::from_millis(200);
        told.push(format!("without floods: {quiet:?}\nwith {}: {flooded:?}", floods.len()));
        kept
    });
    println!("{}", told.join("\n"));
    assert!(kept, "ten times too late:\n{}", told.join("\n"));
}

/// Says a byte of a good request each second.
struct Slow {
    next: Timer,
    said: usize,
    ended: Rc<Cell<usize>>,
}

impl AsyncRead for Slow {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(Pin::new(&mut self.next).poll(cx));
        self.next.set_after(Duration::from_secs(1));
        buf[0] = b"GET / HTTP/1.1\r\nHost: a\r\n"[self.said];
        self.said += 1;
        Poll::Ready(Ok(1))
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.ended.set(self.ended.get() + 1);
    }
}

/// How long clients take to connect over TCP, to say something and to hear it back, one after the other for a second and a half: 99 of
/// 100 of them, and the longest. Beside them so many slow peers on the same thread, all of which are given up meanwhile.
fn beside_slow_handshakes(count: usize) -> (Duration, Duration) {
    let (ended, accepted) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let executor = LocalExecutor::new();
    let begun = Instant::now();
    for number in 0..count {
        // Not all in the same moment, and nor are they given up so.
        let first = Duration::from_micros(1_000_000 * number as u64 / count as u64);
        let peer = Nowhere(Slow { next: Timer::after(first), said: 0, ended: ended.clone() });
        let config = Config::new().handshake_timeout(Duration::from_millis(200) + first);
        let (accept, accepted) = (Server::new(peer).config(config).accept(), accepted.clone());
        let serving = async move { accepted.set(accepted.get() + usize::from(accept.await.is_ok())) };
        executor.spawn(serving).detach();
    }
    let rounds = async_io::block_on(executor.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = executor.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut websocket = Server::new(stream).accept().await.unwrap();
                while let Ok(Incoming::Message(message)) = websocket.receiver.receive().await {
                    websocket.sender.send(message).await.unwrap();
                }
                let _ = websocket.close().await;
            }
        });
        let mut rounds = Vec::new();
        while begun.elapsed() < Duration::from_millis(1500) {
            let start = Instant::now();
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut client = Client::new(stream, address.to_string(), "/").connect().await.unwrap();
            client.sender.send("are you there?").await.unwrap();
            assert!(matches!(client.receiver.receive().await.unwrap(), Incoming::Message(_)));
            rounds.push(start.elapsed());
            client.close().await.unwrap();
        }
        serving.cancel().await;
        rounds
    }));
    drop(executor);
    assert_eq!((accepted.get(), ended.get()), (0, count), "accepted, and given up");
    p99(rounds)
}

/// Goal G11: ten thousand slow handshakes on the thread, and clients that are not slow are served in 50 ms, 99 of 100 of them. (What the
/// slow ones hold meanwhile, `limits.rs` counts.)
#[test]
fn clients_beside_ten_thousand_slow_handshakes_are_served_in_50_ms() {
    let mut told = Vec::new();
    let kept = (0..10).any(|_| {
        let (quiet, beside) = (beside_slow_handshakes(0), beside_slow_handshakes(10_000));
        told.push(format!("p99 and longest: {quiet:?} without slow peers, {beside:?} beside 10,000"));
        beside.0 <= 3 * quiet.1 + Duration::from_millis(50)
    });
    println!("{}", told.join("\n"));
    assert!(kept, "ten times too late:\n{}", told.join("\n"));
}
