//! Control frames, queues and flow control (RFC 6455, section 5.5); how long a Pong may take.

use std::time::Duration;

use futures_lite::AsyncReadExt;
use unsync_websocket::{CloseCode, Config, EncodedFrame, Error, Incoming, QueueError};
use unsync_websocket_test_alloc::Scope;

use crate::ends::talk::Talk;
use crate::ends::{FROM, socket};
use crate::kit::choices::Chooser;
use crate::kit::cut::yield_now;
use crate::kit::flood::{self, Flood, Then};
use crate::kit::ledger;
use crate::kit::net::{Config as Net, Model, SimNet};
use crate::kit::runs::{each_seed, each_seed_and_model, shared};
use crate::kit::sim::Sim;
use crate::kit::slow::{self, Event, From, PING, PONG, TEXT};
use crate::kit::wire;
use crate::{facing, server, tell, warm};

/// A client that sends so many Pings of 125 bytes, the last four of which tell their number.
fn pings(count: u64) -> (Flood, std::rc::Rc<flood::Seen>) {
    Flood::new(Then::Waits, move |n, chunk| {
        chunk.extend([0x89, 0xFD, 0, 0, 0, 0]);
        chunk.extend([0; 121]);
        chunk.extend((n as u32).to_be_bytes());
        n < count
    })
}

/// ws-rs (RUSTSEC-2020-0043): what is sent to a peer that does not read piles up.
#[test]
fn cve_2020_35896_the_outbox_has_a_limit() {
    let (socket, seen) = server(b"", Config::new());
    seen.room.set(0);
    let handle = socket.sender.queue_handle();
    let frame = EncodedFrame::binary(&[7; 1000]);
    let scope = Scope::new();
    let queued = (0..10_000).filter(|_| handle.queue(&frame).is_ok()).count();
    assert_eq!(handle.queue(&frame), Err(QueueError::Full));
    assert_eq!(queued, (64 << 10) / 1004 + 1);
    assert!(scope.live() <= 3 * (64 << 10), "{} bytes", scope.live());
    // Those who wait do so, and cost nothing either.
    let (mut sender, receiver) = socket.split();
    for _ in 0..100 {
        assert!(flood::run(sender.send(&[7; 1000])).is_none());
    }
    assert_eq!(sender.queued_bytes(), queued * 1004);
    drop(receiver);
}

/// tokio-tungstenite (its default is no limit at all), tokio-websockets: Pongs pile up: 47.8 MiB and 37.3 MiB for 200,000 Pings.
#[test]
fn tokio_tungstenite_286_and_tokio_websockets_pongs_do_not_pile_up() {
    warm();
    let (peer, seen) = pings(200_000);
    seen.room.set(0);
    let mut socket = facing(From::Client, peer, Config::new());
    let scope = Scope::new();
    assert!(tell(&mut socket).1.is_none());
    assert!(seen.silent.get());
    // The outbox takes a Pong as long as it is below its mark; and the thread keeps buffers of short reads.
    assert!(scope.live() <= (64 << 10) + 127 + 2048, "{} bytes", scope.live());
    assert!(socket.queued_bytes() <= (64 << 10) + 127);
}

/// Undertow: a buffer was lost for each Pong.
#[test]
fn cve_2021_3690_pongs_leave_nothing_behind() {
    warm();
    let pong = slow::frame(From::Client, true, PONG, &[7; 125]);
    let (peer, _) = Flood::of(Then::Waits, &pong, &pong, 100_000);
    let mut socket = facing(From::Client, peer, Config::new());
    let scope = Scope::new();
    let mut data = Vec::new();
    assert!(flood::run(socket.receiver.receive_data(&mut data)).is_none());
    assert!(scope.live() <= 1024, "{} bytes", scope.live());
}

/// HTTP/2's ping flood (and rapid reset, CVE-2023-44487, RUSTSEC-2023-0034; "made you reset", CVE-2025-9784; RUSTSEC-2024-0003): the
/// peer makes us queue answers faster than it reads them. Ours are one Pong, the newest, and one Close.
#[test]
fn cve_2019_9512_cve_2023_44487_and_cve_2025_9784_answers_do_not_outnumber_what_is_read() {
    let (peer, seen) = pings(100_000);
    seen.room.set(0);
    let mut socket = facing(From::Client, peer, Config::new());
    assert!(tell(&mut socket).1.is_none());
    seen.give_room(usize::MAX);
    assert!(tell(&mut socket).1.is_none());
    let written = seen.written.take();
    assert!(written.len() <= (64 << 10) + 2 * 127, "{} bytes", written.len());
    let answers = wire::check(From::Server, &written).events;
    let newest = [&[0; 121][..], &99_999_u32.to_be_bytes()].concat();
    assert!(answers.contains(&Event::Pong(newest)), "the newest Ping is answered");
}

/// h2: answers to frames on closed streams were queued without end.
#[test]
fn rustsec_2024_0003_and_rustsec_2023_0034_one_close_whatever_comes() {
    for first in [slow::close(From::Client, 1000, ""), vec![0xFF; 20]] {
        let close = slow::close(From::Client, 1001, "again");
        let (peer, seen) = Flood::of(Then::Ends, &first, &close, 10_000);
        let mut socket = facing(From::Client, peer, Config::new());
        let handle = socket.sender.queue_handle();
        while !matches!(flood::run(socket.receiver.receive()), Some(Err(_))) {}
        for _ in 0..100 {
            let _closed = handle.queue_close(CloseCode::GOING_AWAY, "we too");
        }
        let _over = flood::run(socket.close());
        let answers = wire::check_closed(From::Server, &seen.written.borrow()).events;
        assert_eq!(answers.len(), 1, "{answers:?}");
    }
}

/// Both ends send 4 MiB over a small socket, with Pings before.
fn both_send(name: &str, pings: [usize; 2]) {
    each_seed_and_model(name, 2, |run| {
        let sim = Sim::new(run);
        sim.most_steps(5_000_000);
        let talk = Talk {
            lengths: [vec![4 << 20], vec![4 << 20]],
            pings,
            one_task: [false, false],
            receiver_first: [true, true],
            receive_data: [false, false],
            drop_sender: false,
            stalled: false,
        };
        let config = Config::new().max_message(4 << 20);
        let net = Net::new(run.model).capacity(64 << 10).quiet();
        talk.run(&sim, net, [config.clone(), config]);
    });
}

/// soketto: two ends that send and read at once stop for ever with one Ping a side.
#[test]
fn soketto_deadlock_one_ping_per_side() {
    both_send("soketto_deadlock_one_ping_per_side", [1, 1]);
}

/// gorilla/websocket 97, IXWebSocket 575, wstunnel 535, nv-websocket-client 99, tokio-rustls 32: the reader waits for its Pong to
/// be written, and the other side for the same.
#[test]
fn gorilla_97_ixwebsocket_575_wstunnel_535_nv_websocket_client_99_reading_waits_for_no_pong() {
    // No byte can be written, and all that was said is received.
    let bytes: Vec<u8> = (0..1000_u32)
        .flat_map(|n| {
            [
                slow::frame(From::Client, true, PING, &[1; 125]),
                slow::frame(From::Client, true, TEXT, n.to_string().as_bytes()),
            ]
        })
        .flatten()
        .collect();
    let (mut socket, seen) = server(&bytes, Config::new().outbox(1));
    seen.room.set(0);
    let (events, error) = tell(&mut socket);
    assert!(error.is_none());
    assert_eq!(events, (0..1000).map(|n| Event::Text(n.to_string())).collect::<Vec<_>>());
}

/// T18, and wstunnel 537 (32 MB in one frame kept Pongs waiting for minutes): a Pong leaves after one fragment at most, and what the
/// socket holds. The peer pings again and again while it is sent a large message.
fn pong_latency(end: usize, len: usize) {
    const SOCKET: usize = 64 << 10;
    const FRAGMENT: usize = 64 << 10;
    each_seed("pong_latency", 1, |run| {
        let sim = Sim::with(Chooser::seeded(run.seed), run.trace.clone());
        sim.most_steps(1_000_000);
        let net = Net::new(Model::KeepLast).capacity(SOCKET).quiet();
        let (net, of_server, of_client) = SimNet::new(&sim, net);
        let (ours, mut theirs) = if end == 0 { (of_server, of_client) } else { (of_client, of_server) };
        let config = Config::new().max_message(len).fragment(FRAGMENT);
        let (mut sender, mut receiver) = socket(&sim, ours, config).split();
        let large = ledger::binary(1, len);
        sim.spawn("sends", async move {
            sender.send(&large).await.unwrap();
            sender.flush().await.unwrap();
        });
        sim.spawn_idle("receives", async move { drop(receiver.receive().await) });
        let (watched, pings) = (net.clone(), shared(0_u32));
        let count = pings.clone();
        sim.spawn_idle("peer", async move {
            let mut buf = vec![0; SOCKET];
            loop {
                let at = watched.recorded_len(end) as u64;
                watched.inject(1 - end, &slow::frame(FROM[1 - end], true, PING, &at.to_be_bytes()));
                *count.borrow_mut() += 1;
                // Nothing more is taken from the socket before the Ping has been read.
                while watched.in_flight(1 - end) > 0 {
                    yield_now().await;
                }
                for _ in 0..4 {
                    if theirs.read(&mut buf).await.unwrap() == 0 {
                        return;
                    }
                }
            }
        });
        sim.run_in_no_time();

        let recorded = net.recorded(end);
        let seen = wire::check(FROM[end], &recorded);
        let mut at = 0;
        let (mut pongs, mut worst) = (0, 0);
        for frame in &seen.frames {
            if frame.opcode == PONG {
                let asked = u64::from_be_bytes(frame.payload[..].try_into().unwrap());
                worst = worst.max(at as u64 - asked);
                pongs += 1;
            }
            let header = [2, 4, 10]
                [usize::from(frame.payload.len() > 125) + usize::from(frame.payload.len() > 0xFFFF)];
            at += header + if end == 1 { 4 } else { 0 } + frame.payload.len();
        }
        assert_eq!(at, recorded.len());
        println!("{len} bytes: {pongs} Pongs for {} Pings, each after {worst} bytes at most", pings.borrow());
        assert!(pongs > 100 && pongs == *pings.borrow(), "{pongs} of {}", pings.borrow());
        assert!(worst as usize <= SOCKET + FRAGMENT + 14, "a Pong came after {worst} bytes");
    });
}

/// See `pong_latency`.
#[test]
fn wstunnel_537_a_pong_waits_for_one_fragment_of_64_mib_at_most() {
    pong_latency(0, 64 << 20);
}

/// As a client, whose message is masked a piece at a time.
#[test]
fn wstunnel_537_a_client_s_pong_waits_for_one_fragment_at_most() {
    pong_latency(1, 32 << 20);
}

/// sockudo-ws 8, tungstenite before 0.21: a Pong was flushed when the user wrote something.
#[test]
fn sockudo_ws_8_and_tungstenite_0_21_who_only_reads_answers_pings() {
    for receive_data in [false, true] {
        let (mut socket, seen) = server(&slow::frame(From::Client, true, PING, b"?"), Config::new());
        let mut data = Vec::new();
        let waits = if receive_data {
            flood::run(socket.receiver.receive_data(&mut data)).is_none()
        } else {
            flood::run(socket.receiver.receive()).is_none()
        };
        assert!(waits);
        assert_eq!(seen.written.take(), b"\x8A\x01?");
    }
    // And with the other half gone.
    let (socket, seen) = server(&slow::frame(From::Client, true, PING, b"?"), Config::new());
    let (sender, mut receiver) = socket.split();
    drop(sender);
    assert!(flood::run(receiver.receive()).is_none());
    assert_eq!(seen.written.take(), b"\x8A\x01?");
}

/// django-websocket-redis: a receive stood still when there was only a Ping to read.
#[test]
fn django_websocket_redis_172_a_ping_before_a_message_holds_up_nothing() {
    let bytes =
        [slow::frame(From::Client, true, PING, b""), slow::frame(From::Client, true, TEXT, b"hi")].concat();
    let (mut socket, _) = server(&bytes, Config::new());
    assert!(
        matches!(flood::run(socket.receiver.receive()), Some(Ok(Incoming::Message(message))) if message == "hi".into())
    );
}

/// Jetty 4781 and 272: a write to a peer that had gone waited for a day.
#[test]
fn jetty_4781_a_write_that_gets_nowhere_ends() {
    each_seed("jetty_4781_a_write_that_gets_nowhere_ends", 20, |run| {
        let sim = Sim::new(run);
        let (_net, stream, peer) = SimNet::new(&sim, Net::new(run.model).capacity(100));
        let config = Config::new().keepalive(Duration::from_secs(20), Duration::from_secs(20));
        let (mut sender, mut receiver) = socket(&sim, stream, config).split();
        let (clock, ended) = (sim.clone(), shared(Duration::ZERO));
        let told = ended.clone();
        sim.spawn("sends", async move {
            let error = sender.send(&[1; 100_000]).await.unwrap_err();
            assert!(matches!(error, Error::KeepaliveTimeout), "{error:?}");
            *told.borrow_mut() = clock.elapsed();
        });
        sim.spawn("receives", async move { assert!(receiver.receive().await.is_err()) });
        sim.run();
        assert!(*ended.borrow() <= Duration::from_secs(40), "after {:?}", ended.borrow());
        drop(peer);
    });
}
