//! Lost wake-ups, dropped futures, closing (RFC 6455, section 7).

use std::cell::RefCell;
use std::io::ErrorKind;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use unsync_websocket::{CloseCode, Config, EncodedFrame, Incoming, ProtocolError};
use unsync_websocket_test_alloc::Scope;

use crate::ends::talk::Talk;
use crate::ends::{reader_of, socket};
use crate::kit::cut::cut;
use crate::kit::flood::{self, Flood, Hand, Then};
use crate::kit::net::{Config as Net, Fault, Model, Op, SimNet};
use crate::kit::runs::{each_seed, each_seed_and_model};
use crate::kit::script::{Script, drive};
use crate::kit::sim::Sim;
use crate::kit::slow::{self, BINARY, CONTINUATION, Event, From, Limits, TEXT};
use crate::kit::wire;
use crate::{BOTH, closed_with, facing, fault, server, tell, warm};

/// A conversation of two ends whose halves live in four tasks, over each kind of transport.
fn talk_in_four_tasks(name: &str, runs: u64, stalled: bool) {
    each_seed_and_model(name, runs, |run| {
        let sim = Sim::new(run);
        let talk = Talk {
            lengths: [vec![60, 200], vec![200, 60]],
            pings: [1, 1],
            one_task: [false, false],
            stalled,
            ..Talk::chosen(sim.choices(), 8)
        };
        talk.run(&sim, Net::new(run.model).capacity(8), [Config::new(), Config::new()]);
    });
}

/// tokio-websockets: a reader that flushed replaced the writer's waker, and later the reverse.
#[test]
fn tokio_websockets_92_and_106_each_half_is_woken() {
    talk_in_four_tasks("tokio_websockets_92_and_106_each_half_is_woken", 200, false);
}

/// rust-yamux 232 and 233, tentacle 424, tokio 3200, tokio-rs/tls 40, futures-rs 2292: split halves share the one slot that a
/// transport has for wakers. Both sockets are full before anybody reads.
#[test]
fn yamux_232_tentacle_424_tokio_3200_tls_40_and_futures_2292_two_halves_of_one_full_socket() {
    talk_in_four_tasks("yamux_232_tentacle_424_tokio_3200_tls_40", 200, true);
}

/// tungstenite 557 (a panic), h2 0.4.16 (a loop): a write that returns 0.
#[test]
fn tungstenite_557_and_h2_0_4_16_a_write_of_nothing_is_an_error() {
    each_seed("tungstenite_557_and_h2_0_4_16", 20, |run| {
        let sim = Sim::new(run);
        let (net, stream, _peer) = SimNet::new(&sim, Net::new(Model::KeepLast).quiet());
        net.fail(0, Op::Write, 0, Fault::Zero);
        let (mut sender, mut receiver) = socket(&sim, stream, Config::new()).split();
        sim.spawn("sends", async move {
            let error = sender.send("hi").await.unwrap_err();
            assert_eq!(error.io_kind(), Some(ErrorKind::WriteZero));
        });
        sim.spawn("receives", async move {
            assert_eq!(receiver.receive().await.unwrap_err().io_kind(), Some(ErrorKind::WriteZero));
        });
        sim.run();
        assert_eq!(net.calls(0, Op::Write), 1, "a stream that failed is left alone");
    });
}

/// soketto 59 and 110, fastwebsockets 64, imranmaj/websockets 6, axum 3282: a dropped receive loses bytes, or nobody knows.
#[test]
fn soketto_59_fastwebsockets_64_and_axum_3282_a_dropped_receive_loses_nothing() {
    for from in BOTH {
        let bytes: Rc<[u8]> = [
            slow::frame(from, false, TEXT, "né".as_bytes()),
            slow::frame(from, true, CONTINUATION, b"e"),
            slow::frame(from, true, BINARY, &[9; 300]),
        ]
        .concat()
        .into();
        for polls in 1..5 {
            let mut socket = reader_of(from, Script::new(bytes.clone(), 1..bytes.len()), Config::new());
            let heard = drive(async {
                let mut heard = Vec::new();
                loop {
                    match cut(socket.receiver.receive(), polls).await {
                        None => {}
                        Some(Ok(incoming)) => heard.push(crate::ends::event(incoming)),
                        Some(Err(_)) => return heard,
                    }
                }
            });
            assert_eq!(heard, [Event::Text("née".to_owned()), Event::Binary(vec![9; 300])]);
        }
    }
}

/// fastwebsockets: one receive buffer for all connections; bytes of the one came out of the other.
#[test]
fn fastwebsockets_42_connections_of_a_thread_do_not_mix() {
    let script = |id: u8| -> Rc<[u8]> {
        let halves = [
            slow::frame(From::Client, false, BINARY, &[id; 70]),
            slow::frame(From::Client, true, CONTINUATION, &[id; 500]),
        ];
        halves.concat().repeat(20).into()
    };
    for piece in [1, 3, 50, 577, 5000] {
        let sockets: Vec<_> = (0..3)
            .map(|id| {
                let bytes = script(id);
                let cuts: Vec<_> = (1..bytes.len()).filter(|at| at % piece == 0).collect();
                reader_of(From::Client, Script::new(bytes, cuts), Config::new())
            })
            .collect();
        // Each is polled once in turn.
        let hand = Hand::new();
        let mut tasks: Vec<_> = (0_u8..)
            .zip(sockets)
            .map(|(id, mut socket)| {
                Box::pin(async move {
                    let mut count = 0;
                    while let Ok(Incoming::Message(message)) = socket.receiver.receive().await {
                        assert!(message.as_bytes() == [id; 570], "bytes of another connection");
                        count += 1;
                        crate::kit::cut::yield_now().await;
                    }
                    count
                })
            })
            .collect();
        let mut counts = Vec::new();
        while !tasks.is_empty() {
            tasks.retain_mut(|task| match hand.poll(task.as_mut()) {
                std::task::Poll::Ready(count) => {
                    counts.push(count);
                    false
                }
                std::task::Poll::Pending => true,
            });
        }
        assert_eq!(counts, [20, 20, 20]);
    }
}

/// tokio-websockets 2024: an empty close reason was read from beyond the frame; 2025: with many messages queued, writes went out of
/// bounds.
#[test]
fn tokio_websockets_2024_and_2025_empty_reasons_and_many_queued_messages() {
    for from in BOTH {
        let (peer, _) = Flood::saying(&slow::close(from, 1000, ""));
        assert_eq!(
            tell(&mut facing(from, peer, Config::new())).0,
            [Event::Close(Some((1000, String::new())))]
        );
    }
    let (mut socket, seen) = server(b"", Config::new().outbox(usize::MAX));
    seen.room.set(0);
    let handle = socket.sender.queue_handle();
    let messages: Vec<Vec<u8>> = (0..5000_usize).map(|n| vec![n as u8; n % 300]).collect();
    for message in &messages {
        handle.queue(&EncodedFrame::binary(message)).unwrap();
    }
    for step in [1, 7, 1000, 100_000].into_iter().cycle() {
        seen.give_room(step);
        assert!(tell(&mut socket).1.is_none());
        if socket.queued_bytes() == 0 {
            break;
        }
    }
    assert!(
        wire::check(From::Server, &seen.written.borrow()).events
            == messages.into_iter().map(Event::Binary).collect::<Vec<_>>()
    );
}

/// What a peer may be like when we close.
#[derive(Clone, Copy, Debug)]
enum Peer {
    Silent,
    DoesNotRead,
    Talks,
    ClosesToo,
    IsReset,
}

/// python websockets 11.0.2 and 15.0, coder/websocket 2023 and 2024, ws b434b9f1, h2 0.4.5: closing that hangs over unread messages,
/// full buffers, errors at both ends at once, a network that is gone.
#[test]
fn python_websockets_15_0_coder_2024_ws_b434b9f1_and_h2_0_4_5_closing_ends() {
    for peer in [Peer::Silent, Peer::DoesNotRead, Peer::Talks, Peer::ClosesToo, Peer::IsReset] {
        each_seed_and_model("closing_ends", 10, |run| {
            let sim = Sim::new(run);
            let (net, stream, theirs) = SimNet::new(&sim, Net::new(run.model).capacity(100));
            let mut websocket = socket(&sim, stream, Config::new());
            let (clock, other) = (sim.clone(), net.clone());
            sim.spawn("we", async move {
                if matches!(peer, Peer::DoesNotRead) {
                    // A full socket, and a message half way through it.
                    assert!(cut(websocket.sender.send(&[1; 20_000]), 1).await.is_none());
                }
                let closed = websocket.close().await;
                assert!(clock.elapsed() <= Duration::from_secs(5), "{peer:?}: after {:?}", clock.elapsed());
                assert_eq!(closed.is_ok(), matches!(peer, Peer::ClosesToo), "{peer:?}: {closed:?}");
            });
            match peer {
                Peer::Talks => {
                    let talk = slow::frame(From::Client, true, BINARY, &[1; 50]);
                    net.inject(1, &talk.repeat(1000));
                }
                Peer::ClosesToo => {
                    net.inject(1, &slow::close(From::Client, 1001, "bye"));
                    net.fin(1);
                }
                Peer::IsReset => net.reset(1),
                Peer::Silent | Peer::DoesNotRead => {}
            }
            sim.run();
            assert!(other.is_dropped(0), "{peer:?}: the stream is let go");
            wire::check_broken(From::Server, &other.recorded(0));
            drop(theirs);
        });
    }
}

/// Tomcat (and CVE-2024-23672, bug 64848): what belonged to a connection stayed after it.
#[test]
fn cve_2021_42340_and_cve_2024_23672_nothing_stays_after_the_close() {
    warm();
    for last in [
        slow::close(From::Client, 1000, ""),
        vec![0xFF; 10],
        Vec::new(),
        slow::frame(From::Client, false, TEXT, &[b'a'; 9000]),
    ] {
        let bytes = [slow::frame(From::Client, true, TEXT, &[b'a'; 9000]), last].concat();
        let (peer, seen) = Flood::of(Then::Ends, &bytes, b"", 0);
        let scope = Scope::new();
        let mut socket = facing(From::Client, peer, Config::new());
        let handle = socket.sender.queue_handle();
        while !matches!(flood::run(socket.receiver.receive()), Some(Err(_))) {}
        let _over = flood::run(socket.close());
        assert!(seen.dropped.get(), "the stream is let go by `close`, not when the halves are dropped");
        drop(socket);
        // The peer's own chunk was there before the scope, and is gone with it.
        assert!(handle.queue(&EncodedFrame::text("x")).is_err());
        drop(handle);
        let kept = seen.written.take();
        drop(kept);
        assert!(scope.live() <= 0, "{} bytes", scope.live());
    }
}

/// soketto: a second Close after our own; 1015 taken from the wire; a reason that is no UTF-8 ended without 1007; a message over the
/// limit without 1009, and not before all of it had been read.
#[test]
fn soketto_0_8_1_closing_by_the_letter() {
    let (mut socket, seen) = server(&slow::close(From::Client, 1000, ""), Config::new());
    socket.sender.queue_handle().queue_close(CloseCode::GOING_AWAY, "").unwrap();
    assert!(matches!(flood::run(socket.receiver.receive()), Some(Ok(Incoming::Close(_)))));
    let _waits = flood::run(socket.close());
    assert_eq!(closed_with(From::Client, &seen), 1001, "and no second one");

    for code in [1004, 1005, 1006, 1015, 999, 1016, 2999, 5000] {
        let (error, told) = fault(From::Client, Limits::NONE, &slow::close(From::Client, code, ""));
        assert_eq!((error, told), (ProtocolError::CloseCode { code }, 1002));
    }
    let reason = slow::frame(From::Client, true, slow::CLOSE, &[0x03, 0xE8, 0xC3]);
    assert_eq!(fault(From::Client, Limits::NONE, &reason), (ProtocolError::InvalidUtf8, 1007));

    // The header alone, of a message that never comes.
    let header = crate::declares(From::Client, 0x82, 1 << 30);
    let (error, told) = fault(From::Client, Limits { max_message: 1 << 20, ..Limits::NONE }, &header);
    assert_eq!(crate::announced(error), 1 << 30);
    assert_eq!(told, 1009);
}

thread_local! {
    /// What the logger calls on this thread.
    static HOOK: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
}

struct Reentrant;

impl log::Log for Reentrant {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {
        HOOK.with_borrow(|hook| {
            if let Some(hook) = hook {
                hook();
            }
        });
    }

    fn flush(&self) {}
}

/// rand: the user's logger was called while the generator was in use, and used it again.
#[test]
fn rustsec_2026_0097_a_logger_may_use_the_connection_and_the_generator() {
    log::set_logger(&Reentrant).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    for (op, fault) in
        [(Op::Write, Fault::Error(ErrorKind::BrokenPipe)), (Op::Read, Fault::Error(ErrorKind::TimedOut))]
    {
        for end in [0, 1] {
            let calls = Rc::new(std::cell::Cell::new(0));
            each_seed("rustsec_2026_0097", 1, |run| {
                let sim = Sim::new(run);
                let (net, server, client) = SimNet::new(&sim, Net::new(Model::KeepLast).quiet());
                net.fail(end, op, 0, fault);
                let (ours, _theirs) = if end == 0 { (server, client) } else { (client, server) };
                let (mut sender, mut receiver) = socket(&sim, ours, Config::new()).split();
                let (handle, count) = (sender.queue_handle(), calls.clone());
                let hook = move || {
                    count.set(count.get() + 1);
                    let _closed = handle.queue(&EncodedFrame::text("from the logger"));
                    assert_eq!(handle.queued_bytes(), handle.queued_bytes());
                    // Another client, with a key of the same generator.
                    let (peer, _) = Flood::saying(b"");
                    let mut other = facing(From::Server, peer, Config::new());
                    assert!(flood::run(pin!(other.sender.send("masked"))).unwrap().is_ok());
                };
                HOOK.set(Some(Box::new(hook)));
                sim.spawn("receives", async move { assert!(receiver.receive().await.is_err()) });
                sim.spawn("sends", async move { while sender.send("x").await.is_ok() {} });
                sim.run_unjudged();
                HOOK.set(None);
            });
            assert!(calls.get() > 0, "{op:?}: the logger was called");
        }
    }
}
