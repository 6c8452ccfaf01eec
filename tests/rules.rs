//! The rules of a connection that hold whatever the weather: corks, queues, budgets, hostile streams, memory.
//!
//! Over a stream whose every call is scripted here. What needs chance (orders, cuts, cancelled futures) is tested in the
//! simulated world of `kit`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::as_conversions,
    reason = "a test fails by panicking, and counts small numbers"
)]

mod kit;
mod scripted;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_lite::future::zip;
use unsync_websocket::{
    CloseCode, Config, EncodedFrame, Error, Incoming, Message, NoTimer, ProtocolError, QueueError,
    QueueHandle, Role, Timer, WebSocket,
};
use unsync_websocket_test_alloc::{Counting, Scope};

use scripted::{Hand, Script, Stream, connect, masked, ready, text};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// --- cork (DESIGN.md, section 4) ----------------------------------------------------------------------------------

#[test]
fn replies_to_pipelined_input_leave_in_one_write_inside_a_cork_and_one_by_one_outside() {
    // Long ones too, though each by itself is written from where it lies.
    for (len, header, count) in [(10, 2, 16), (16 << 10, 4, 3), (20_000, 4, 3)] {
        for (corked, writes) in [(true, 1), (false, count)] {
            let (script, mut websocket) = connect(Role::Server, Config::new());
            script.say(&masked(0x82, &vec![7; len]).repeat(count));
            let echo = async |ws: &mut WebSocket<Stream>| {
                while let Incoming::Message(message) = ws.receiver.receive().await.unwrap() {
                    ws.sender.send(message).await.unwrap();
                }
            };
            let hand = Hand::new();
            if corked {
                assert!(hand.once(websocket.cork(echo)).is_pending());
            } else {
                assert!(hand.once(echo(&mut websocket)).is_pending());
            }
            assert_eq!(script.write_calls.get(), writes, "{len} bytes");
            assert_eq!(script.take_written().len(), count * (header + len));
        }
    }
}

#[test]
fn three_replies_with_a_sleep_after_each_arrive_at_0_300_and_600_ms() {
    kit::runs::each_seed("three_replies", 1, |run| {
        let sim = kit::sim::Sim::new(run);
        let (script, mut websocket) = connect(Role::Server, Config::new());
        for reply in ["one", "two", "three"] {
            script.say(&text(reply));
        }
        let (times, start) = (Rc::new(RefCell::new(Vec::new())), sim.timer().now());
        let (log, clock) = (Rc::clone(&times), sim.timer());
        *script.on_write.borrow_mut() =
            Some(Box::new(move || log.borrow_mut().push((clock.now() - start).as_millis())));
        let timer = sim.timer();
        sim.spawn("handler", async move {
            let replies = websocket.cork(async |ws| {
                for _ in 0..3 {
                    let Incoming::Message(message) = ws.receiver.receive().await.unwrap() else { panic!() };
                    ws.sender.send(message).await.unwrap();
                    timer.sleep_until(timer.now() + Duration::from_millis(300)).unwrap().await;
                }
            });
            replies.await;
        });
        sim.run();
        assert_eq!(*times.borrow(), [0, 300, 600]);
    });
}

#[test]
fn what_a_full_socket_left_behind_leaves_while_the_handler_awaits_something_else() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    script.room.set(3);
    let hand = Hand::new();
    let mut work = pin!(websocket.cork(async |ws| {
        ws.sender.send("hello").await.unwrap();
        std::future::pending::<()>().await;
    }));
    assert!(hand.poll(work.as_mut()).is_pending());
    assert_eq!(script.take_written(), b"\x81\x05h");
    hand.wakes();
    script.give_room(100);
    assert_eq!(hand.wakes(), 1, "the scope hears of the room");
    assert!(hand.poll(work.as_mut()).is_pending());
    assert_eq!(script.take_written(), b"ello");
}

#[test]
fn a_scope_whose_work_has_ended_keeps_nothing_of_it_and_one_that_is_dropped_takes_no_output_along() {
    struct Leaves(QueueHandle<Stream>);
    impl Drop for Leaves {
        fn drop(&mut self) {
            self.0.queue(&EncodedFrame::text("I left")).unwrap();
        }
    }
    let hand = Hand::new();
    for ends in [true, false] {
        let (script, websocket) = connect(Role::Server, Config::new());
        let leaves = Leaves(websocket.sender.queue_handle());
        // Not an async block, which would drop what it holds as it ends.
        let work = std::future::poll_fn(move |_| {
            let _held = &leaves;
            if ends { Poll::Ready(()) } else { Poll::Pending }
        });
        let cork = websocket.cork_handle();
        let mut scope = Box::pin(cork.scope(work));
        assert_eq!(hand.poll(scope.as_mut()).is_ready(), ends);
        if ends {
            assert_eq!(
                script.take_written(),
                b"\x81\x06I left",
                "the work is gone, though its future is kept"
            );
        }
        drop(scope);
        if !ends {
            assert_eq!(script.take_written(), b"\x81\x06I left", "it does not wait for a scope that is gone");
        }
    }
}

#[test]
fn a_cork_is_lifted_when_its_work_panics() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    let hand = Hand::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        hand.once(websocket.cork(async |ws| {
            ws.sender.feed("kept").await.unwrap();
            panic!("a bug in a handler");
        }))
    }));
    assert!(panicked.is_err());
    ready(hand.once(websocket.sender.send("sent"))).unwrap();
    assert_eq!(script.take_written(), b"\x81\x04kept\x81\x04sent");
}

// --- queue (rule 4) -----------------------------------------------------------------------------------------------

#[test]
fn frames_queued_in_one_turn_leave_in_one_write_of_the_receiver_that_waits() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    let (handle, hand) = (websocket.sender.queue_handle(), Hand::new());
    let mut receive = pin!(websocket.receiver.receive());
    assert!(hand.poll(receive.as_mut()).is_pending());
    for i in 0..16 {
        handle.queue(&EncodedFrame::text(&format!("tick {i:02}"))).unwrap();
    }
    assert_eq!((script.write_calls.get(), hand.wakes()), (0, 1), "the receiver is woken, once");
    assert!(hand.poll(receive.as_mut()).is_pending());
    assert_eq!((script.write_calls.get(), script.take_written().len()), (1, 16 * 9));
}

#[test]
fn what_is_queued_while_nobody_waits_is_written_at_once() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    let (handle, hand) = (websocket.sender.queue_handle(), Hand::new());
    assert!(hand.once(websocket.receiver.receive()).is_pending());
    // The future of `receive` has been dropped: its slot is full and proves nothing.
    handle.queue(&EncodedFrame::text("tick")).unwrap();
    assert_eq!(script.take_written(), b"\x81\x04tick");
}

#[test]
fn large_frames_queued_in_one_turn_leave_in_one_vectored_write() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    let (handle, hand) = (websocket.sender.queue_handle(), Hand::new());
    let mut receive = pin!(websocket.receiver.receive());
    assert!(hand.poll(receive.as_mut()).is_pending());
    let frame = EncodedFrame::binary(&[7; 5000]);
    for _ in 0..8 {
        handle.queue(&frame).unwrap();
        handle.queue(&EncodedFrame::text("small")).unwrap();
    }
    assert!(hand.poll(receive.as_mut()).is_pending());
    assert_eq!((script.write_calls.get(), script.take_written().len()), (1, 8 * (5004 + 7)));
}

#[test]
fn queue_says_full_above_the_mark_and_an_empty_outbox_takes_any_message() {
    let (script, websocket) = connect(Role::Server, Config::new().outbox(1000));
    let handle = websocket.sender.queue_handle();
    script.room.set(0);
    handle.queue(&EncodedFrame::binary(&[1; 100_000])).unwrap();
    assert_eq!(handle.queue(&EncodedFrame::text("x")), Err(QueueError::Full));
    assert_eq!(handle.queued_bytes(), 100_010);
    script.give_room(usize::MAX);
    let (mut sender, receiver) = websocket.split();
    ready(Hand::new().once(sender.flush())).unwrap();
    handle.queue(&EncodedFrame::text("x")).unwrap();
    drop(receiver);
}

#[test]
fn a_queue_handle_keeps_no_socket_open() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let handle = websocket.sender.queue_handle();
    drop(websocket);
    assert!(script.dropped.get());
    assert_eq!(handle.queue(&EncodedFrame::text("x")), Err(QueueError::Closed));
    assert_eq!(handle.queue_close(CloseCode::NORMAL, ""), Err(QueueError::Closed));
}

#[test]
fn what_is_queued_while_a_large_send_is_under_way_comes_behind_it_and_a_pong_between_its_fragments() {
    let (script, websocket) = connect(Role::Server, Config::new().fragment(20_000));
    let (mut sender, mut receiver) = websocket.split();
    let (handle, hand) = (sender.queue_handle(), Hand::new());
    let large = vec![5; 50_000];
    script.room.set(10_000);
    {
        let mut send = pin!(sender.send(&large));
        assert!(hand.poll(send.as_mut()).is_pending());
        handle.queue(&EncodedFrame::text("behind")).unwrap();
        script.say(&[masked(0x89, b"1"), masked(0x89, b"2"), text("hi")].concat());
        assert_eq!(ready(hand.once(receiver.receive())).unwrap(), Incoming::Message("hi".into()));
        script.give_room(usize::MAX);
        ready(hand.poll(send)).unwrap();
    }
    let wire = script.take_written();
    let fragment = 4 + 20_000;
    assert_eq!(wire[..4], [0x02, 126, 0x4E, 0x20]);
    assert_eq!(wire[fragment..fragment + 3], *b"\x8A\x012", "the newest ping, at the first boundary");
    assert_eq!(wire[fragment + 3..fragment + 7], [0x00, 126, 0x4E, 0x20]);
    assert_eq!(wire[2 * fragment + 3..2 * fragment + 7], [0x80, 126, 0x27, 0x10]);
    assert_eq!(wire[2 * fragment + 3 + 4 + 10_000..], *b"\x81\x06behind");
}

#[test]
fn a_room_that_never_stops_queueing_does_not_keep_a_large_send_waiting() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let (mut sender, receiver) = websocket.split();
    let (handle, hand) = (sender.queue_handle(), Hand::new());
    script.room.set(0);
    handle.queue(&EncodedFrame::binary(&[1; 1000])).unwrap();
    let large = vec![5; 20_000];
    let mut send = pin!(sender.send(&large));
    let mut polls = 0;
    while hand.poll(send.as_mut()).is_pending() {
        polls += 1;
        assert!(polls < 100, "it waits for an outbox that is never empty");
        // As much comes in as goes out.
        handle.queue(&EncodedFrame::binary(&[1; 1000])).unwrap();
        script.give_room(1004);
    }
    drop(receiver);
}

// --- fairness (rule 9) --------------------------------------------------------------------------------------------

#[test]
fn a_peer_with_everything_buffered_does_not_keep_other_tasks_from_running() {
    // The least number of turns that each takes; a long payload is read a mebibyte a turn, for there is nothing to do with it.
    let floods: [(&str, Vec<u8>, usize); 4] = [
        ("messages", text("x").repeat(100_000), 1_400),
        ("pings", masked(0x89, b"").repeat(100_000), 1_400),
        ("empty fragments", [masked(0x01, b""), masked(0x00, b"").repeat(100_000)].concat(), 1_400),
        ("one large message", masked(0x82, &vec![0; 64 << 20]), 60),
    ];
    for (name, flood, least) in floods {
        let (script, mut websocket) =
            connect(Role::Server, Config::new().max_message(64 << 20).max_fragments(u32::MAX));
        script.forget.set(true);
        script.say(&flood);
        let (hand, messages, mut turns) = (Hand::new(), Cell::new(0), 0);
        // A task that takes all it can get in each of its turns.
        while !script.reads.borrow().is_empty() {
            turns += 1;
            let before = messages.get();
            let mut work = pin!(async {
                loop {
                    websocket.receiver.receive().await.unwrap();
                    messages.set(messages.get() + 1);
                }
            });
            assert!(hand.poll(work.as_mut()).is_pending());
            assert!(messages.get() - before <= 64, "{name}: at most 64 in one turn");
            assert!(turns < 200_000, "{name}: it makes progress");
        }
        assert!(turns >= least, "{name}: other tasks had {turns} turns");
        assert!(hand.wakes() >= turns - 1, "{name}: it asks for its next turn itself");
    }
}

// --- answers (rules 3 and 7) --------------------------------------------------------------------------------------

#[test]
fn ten_pings_get_ten_pongs_in_order() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    script.say(&(0..10).flat_map(|i| masked(0x89, &[i])).collect::<Vec<_>>());
    assert!(Hand::new().once(websocket.receiver.receive()).is_pending());
    assert_eq!(script.take_written(), (0..10).flat_map(|i| [0x8A, 1, i]).collect::<Vec<_>>());
    assert_eq!(script.write_calls.get(), 1);
}

#[test]
fn a_ping_flood_of_a_peer_that_never_reads_costs_the_outbox_and_one_pong() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    script.room.set(0);
    let hand = Hand::new();
    let ping = |i: u32| masked(0x89, &[&i.to_be_bytes()[..], &[0; 121]].concat());
    let mut i = 0;
    let scope = Scope::new();
    while i < 100_000 {
        script.say(&(i..i + 400).flat_map(ping).collect::<Vec<_>>());
        i += 400;
        while !script.reads.borrow().is_empty() {
            assert!(hand.once(websocket.receiver.receive()).is_pending());
        }
    }
    for _ in 0..10 {
        assert!(hand.once(websocket.receiver.receive()).is_pending());
    }
    // The script's own input is gone by now; what lives is ours, and the scratch buffer of the thread.
    assert!(scope.live() < 3 * (64 << 10) + 4096, "{} bytes", scope.live());
    assert!(websocket.queued_bytes() <= (64 << 10) + 127);
    script.give_room(usize::MAX);
    assert!(hand.once(websocket.receiver.receive()).is_pending());
    assert_eq!(script.take_written()[2..6], 99_999_u32.to_be_bytes(), "the newest is answered first");
}

/// Whether they came together in a read that fills a buffer, or in one that does not, or alone.
#[test]
fn text_that_is_no_utf_8_fails_where_it_stands_among_messages_that_came_together() {
    for filling in [0, 40_000] {
        let (script, mut websocket) = connect(Role::Server, Config::new());
        let bad = masked(0x81, b"caf\xE9");
        script.say(&[text("one"), bad, text("two"), masked(0x82, &vec![0; filling])].concat());
        let hand = Hand::new();
        assert_eq!(ready(hand.once(websocket.receiver.receive())).unwrap(), Incoming::Message("one".into()));
        for _ in 0..2 {
            let error = ready(hand.once(websocket.receiver.receive())).unwrap_err();
            assert!(matches!(error, Error::Protocol(ProtocolError::InvalidUtf8)), "{error:?}");
            let error = ready(hand.once(websocket.sender.send("x"))).unwrap_err();
            assert!(matches!(error, Error::Protocol(ProtocolError::InvalidUtf8)), "{error:?}");
        }
        assert_eq!(script.take_written()[2..4], 1007_u16.to_be_bytes(), "and the peer is told at once");
    }
}

#[test]
fn text_that_is_no_utf_8_is_told_also_by_close() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    script.say(&[text("one"), masked(0x81, b"caf\xE9"), masked(0x88, b"")].concat());
    script.say(b"");
    let error = ready(Hand::new().once(websocket.close())).unwrap_err();
    assert!(matches!(error, Error::Protocol(ProtocolError::InvalidUtf8)), "{error:?}");
}

// --- hostile streams (rules 6, 10 and 11) -------------------------------------------------------------------------

#[test]
fn a_stream_that_panicked_ends_the_connection_for_both_halves() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let (mut sender, mut receiver) = websocket.split();
    *script.on_write.borrow_mut() = Some(Box::new(|| panic!("a bug in a stream")));
    let hand = Hand::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| hand.once(sender.send("cut"))));
    assert!(panicked.is_err());
    for _ in 0..2 {
        assert!(matches!(ready(hand.once(sender.send("more"))), Err(Error::StreamPanicked)));
        assert!(matches!(ready(hand.once(receiver.receive())), Err(Error::StreamPanicked)));
    }
    assert!(script.dropped.get());
    assert!(matches!(ready(hand.once(sender.close())), Err(Error::StreamPanicked)));
}

#[test]
fn a_stream_that_calls_back_into_its_own_connection_finds_it_usable() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    let handle = websocket.sender.queue_handle();
    let calls = Cell::new(0);
    *script.on_write.borrow_mut() = Some(Box::new(move || {
        if calls.replace(calls.get() + 1) < 3 {
            handle.queue(&EncodedFrame::text("inner")).unwrap();
        }
    }));
    ready(Hand::new().once(websocket.sender.send("outer"))).unwrap();
    assert_eq!(script.take_written(), [&b"\x81\x05outer"[..], &b"\x81\x05inner".repeat(3)].concat());
}

#[test]
fn a_stream_that_somebody_looks_at_is_polled_later() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let (sender, mut receiver) = websocket.split();
    script.say(&text("hi"));
    let hand = Hand::new();
    {
        let _looking = sender.get_ref().unwrap();
        assert!(hand.once(receiver.receive()).is_pending());
        assert_eq!(hand.wakes(), 1, "it asks for another turn");
    }
    assert_eq!(ready(hand.once(receiver.receive())).unwrap(), Incoming::Message("hi".into()));
}

#[test]
fn interrupted_is_tried_again_and_not_for_ever() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    for _ in 0..3 {
        script.fail_read(ErrorKind::Interrupted);
        script.write_faults.borrow_mut().push_back(Err(ErrorKind::Interrupted.into()));
    }
    script.say(&text("hi"));
    let hand = Hand::new();
    assert_eq!(ready(hand.once(websocket.receiver.receive())).unwrap(), Incoming::Message("hi".into()));
    ready(hand.once(websocket.sender.send("hi"))).unwrap();
    assert_eq!(script.take_written(), b"\x81\x02hi");

    for _ in 0..1000 {
        script.fail_read(ErrorKind::Interrupted);
    }
    let before = script.read_calls.get();
    assert!(hand.once(websocket.receiver.receive()).is_pending());
    assert!(script.read_calls.get() - before <= 16);
    assert!(hand.wakes() > 0, "it asks for another turn");
}

#[test]
fn every_fault_of_a_write_is_told_and_stays_and_what_had_arrived_is_still_delivered() {
    let faults: [(io::Result<usize>, ErrorKind); 4] = [
        (Ok(0), ErrorKind::WriteZero),
        (Ok(1000), ErrorKind::InvalidData),
        (Err(ErrorKind::WouldBlock.into()), ErrorKind::WouldBlock),
        (Err(ErrorKind::BrokenPipe.into()), ErrorKind::BrokenPipe),
    ];
    for (fault, kind) in faults {
        let (script, websocket) = connect(Role::Server, Config::new());
        let (mut sender, mut receiver) = websocket.split();
        script.write_faults.borrow_mut().push_back(fault);
        script.say(&[text("one"), text("two")].concat());
        let hand = Hand::new();
        assert_eq!(ready(hand.once(sender.send("x"))).unwrap_err().io_kind(), Some(kind));
        for good in ["one", "two"] {
            assert_eq!(ready(hand.once(receiver.receive())).unwrap(), Incoming::Message(good.into()));
        }
        for _ in 0..2 {
            assert_eq!(ready(hand.once(receiver.receive())).unwrap_err().io_kind(), Some(kind));
            assert_eq!(ready(hand.once(sender.send("x"))).unwrap_err().io_kind(), Some(kind));
        }
        assert_eq!(script.write_calls.get(), 1, "a stream that failed is left alone");
        assert_eq!(ready(hand.once(sender.close())).unwrap_err().io_kind(), Some(kind));
        assert!(script.dropped.get());
    }
}

#[test]
fn every_fault_of_a_read_is_told_and_stays() {
    for kind in [ErrorKind::WouldBlock, ErrorKind::ConnectionReset, ErrorKind::Other] {
        let (script, websocket) = connect(Role::Server, Config::new());
        let (mut sender, mut receiver) = websocket.split();
        script.say(&text("one"));
        script.fail_read(kind);
        let hand = Hand::new();
        assert_eq!(ready(hand.once(receiver.receive())).unwrap(), Incoming::Message("one".into()));
        for _ in 0..2 {
            assert_eq!(ready(hand.once(receiver.receive())).unwrap_err().io_kind(), Some(kind));
            assert_eq!(ready(hand.once(sender.send("x"))).unwrap_err().io_kind(), Some(kind));
        }
        assert!(script.dropped.get());
    }
}

// --- the end of the stream, and halves that are gone (rule 13) ----------------------------------------------------

#[test]
fn after_the_end_of_the_stream_answers_still_leave() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let (mut sender, mut receiver) = websocket.split();
    script.say(&text("question"));
    script.say(b"");
    let hand = Hand::new();
    assert_eq!(ready(hand.once(receiver.receive())).unwrap(), Incoming::Message("question".into()));
    for _ in 0..2 {
        let end = ready(hand.once(receiver.receive())).unwrap_err();
        assert!(matches!(end, Error::EndOfStream { inside_message: false }));
    }
    ready(hand.once(sender.send("answer"))).unwrap();
    assert_eq!(script.take_written(), b"\x81\x06answer");
    script.say(b"");
    assert!(matches!(ready(hand.once(sender.close())), Err(Error::EndOfStream { .. })));
    assert_eq!(script.take_written(), b"\x88\x02\x03\xE8");
    assert!(script.dropped.get());
}

#[test]
fn an_end_inside_a_message_is_told_from_one_between_messages() {
    let cuts = [
        (text("x"), false),
        (text("x")[..1].to_vec(), true),
        (text("x")[..6].to_vec(), true),
        (masked(0x01, b"x"), true),
    ];
    for (bytes, inside) in cuts {
        let (script, mut websocket) = connect(Role::Server, Config::new());
        script.say(&bytes);
        script.say(b"");
        let hand = Hand::new();
        let end = loop {
            if let Err(end) = ready(hand.once(websocket.receiver.receive())) {
                break end;
            }
        };
        assert!(matches!(end, Error::EndOfStream { inside_message } if inside_message == inside), "{end:?}");
    }
}

#[test]
fn a_message_that_is_stuck_leaves_with_the_next_turn_of_the_receiver() {
    for room in 0..9 {
        let (script, websocket) = connect(Role::Server, Config::new());
        let (mut sender, mut receiver) = websocket.split();
        script.room.set(room);
        let hand = Hand::new();
        let mut receive = pin!(receiver.receive());
        assert!(hand.poll(receive.as_mut()).is_pending());
        ready(Hand::new().once(sender.send("hello"))).unwrap();
        ready(Hand::new().once(sender.send("more"))).unwrap();
        assert_eq!(sender.queued_bytes(), 13 - room);
        script.give_room(100);
        // By the stream, or before that by the send that had made progress.
        assert!(hand.wakes() > 0);
        assert!(hand.poll(receive.as_mut()).is_pending());
        assert_eq!(script.take_written(), b"\x81\x05hello\x81\x04more");
    }
}

/// A short message goes past the outbox, as long as nothing has come in its way.
#[test]
fn a_short_message_comes_behind_all_that_came_in_its_way_since_the_last() {
    let hand = Hand::new();
    let (script, websocket) = connect(Role::Server, Config::new());
    let (mut sender, mut receiver) = websocket.split();
    let handle = sender.queue_handle();
    ready(hand.once(sender.send("1"))).unwrap();

    script.give_room(0);
    handle.queue(&EncodedFrame::text("2")).unwrap();
    script.give_room(usize::MAX);
    ready(hand.once(sender.send("3"))).unwrap();
    assert_eq!(script.take_written(), b"\x81\x011\x81\x012\x81\x013");

    // Out of the very write of the one before.
    ready(hand.once(sender.send("4"))).unwrap();
    let (from_within, mut once) = (handle.clone(), Some(()));
    *script.on_write.borrow_mut() = Some(Box::new(move || {
        if once.take().is_some() {
            from_within.queue(&EncodedFrame::text("6")).unwrap();
        }
    }));
    ready(hand.once(sender.send("5"))).unwrap();
    *script.on_write.borrow_mut() = None;
    ready(hand.once(sender.send("7"))).unwrap();
    assert_eq!(script.take_written(), b"\x81\x014\x81\x015\x81\x016\x81\x017");

    // A Ping that came alone is answered in the same way.
    script.give_room(0);
    handle.queue(&EncodedFrame::text("8")).unwrap();
    script.say(&masked(0x89, b"?"));
    assert!(hand.once(receiver.receive()).is_pending());
    script.give_room(usize::MAX);
    assert!(hand.once(receiver.receive()).is_pending());
    assert_eq!(script.take_written(), b"\x81\x018\x8A\x01?");
}

#[test]
fn a_short_message_during_whose_write_the_stream_closes_the_connection_is_not_sent() {
    let hand = Hand::new();
    let (script, mut websocket) = connect(Role::Server, Config::new());
    ready(hand.once(websocket.sender.send("1"))).unwrap();
    let (handle, mut once) = (websocket.sender.queue_handle(), Some(()));
    script.give_room(0);
    *script.on_write.borrow_mut() = Some(Box::new(move || {
        if once.take().is_some() {
            handle.close_now(CloseCode::GOING_AWAY, "").unwrap();
        }
    }));
    assert!(matches!(ready(hand.once(websocket.sender.send("2"))), Err(Error::Closing)));
    script.give_room(usize::MAX);
    assert!(hand.once(websocket.receiver.receive()).is_pending());
    assert_eq!(script.take_written(), b"\x81\x011\x88\x02\x03\xE9");
}

#[test]
fn without_a_receiver_a_send_waits_until_all_is_written() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let (mut sender, receiver) = websocket.split();
    drop(receiver);
    script.room.set(4);
    let hand = Hand::new();
    let mut send = pin!(sender.send("hello"));
    assert!(hand.poll(send.as_mut()).is_pending());
    script.give_room(100);
    assert!(hand.wakes() > 0);
    ready(hand.poll(send)).unwrap();
    assert_eq!(script.take_written(), b"\x81\x05hello");
}

#[test]
fn without_a_receiver_a_send_inside_a_cork_waits_until_all_is_written_too() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let cork = websocket.cork_handle();
    let (mut sender, receiver) = websocket.split();
    drop(receiver);
    script.room.set(4);
    let hand = Hand::new();
    let mut work = pin!(cork.scope(sender.send("hello")));
    assert!(hand.poll(work.as_mut()).is_pending());
    script.give_room(100);
    assert!(hand.wakes() > 0);
    ready(hand.poll(work)).unwrap();
    assert_eq!(script.take_written(), b"\x81\x05hello");
}

#[test]
fn without_a_receiver_close_reads_what_is_left_and_cuts_off_a_peer_that_never_ends() {
    let (script, websocket) = connect(Role::Server, Config::new().max_message(1000));
    let (mut sender, receiver) = websocket.split();
    drop(receiver);
    let hand = Hand::new();
    let mut close = pin!(sender.close());
    assert!(hand.poll(close.as_mut()).is_pending());
    script.say(&text(&"x".repeat(500)));
    assert!(hand.poll(close.as_mut()).is_pending());
    script.say(&text(&"x".repeat(501)));
    assert!(matches!(ready(hand.poll(close)), Err(Error::CloseTimeout)));
    assert!(script.dropped.get());
}

#[test]
fn without_a_sender_the_receiver_answers_and_closes() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let (sender, mut receiver) = websocket.split();
    drop(sender);
    script.say(&masked(0x89, b"?"));
    let hand = Hand::new();
    assert!(hand.once(receiver.receive()).is_pending());
    assert_eq!(script.take_written(), b"\x8A\x01?");
    script.say(&masked(0x88, b"\x03\xE9"));
    assert!(matches!(ready(hand.once(receiver.receive())).unwrap(), Incoming::Close(Some(_))));
    assert_eq!(script.take_written(), b"\x88\x02\x03\xE9", "the code is echoed");
    ready(hand.once(receiver.close())).unwrap();
    assert!(script.dropped.get());
}

/// A close is waited for, and given up, as a `select` does; whoever gave it up waits for nothing any more.
#[test]
fn a_half_that_gave_up_its_close_is_not_woken_for_what_the_other_half_writes() {
    for is_given_up in [false, true] {
        let (script, websocket) = connect(Role::Server, Config::new());
        let (mut sender, mut receiver) = websocket.split();
        script.room.set(1);
        let (closes, receives) = (Hand::new(), Hand::new());
        let mut close = Box::pin(sender.close());
        assert!(closes.poll(close.as_mut()).is_pending());
        let kept = (!is_given_up).then_some(close);
        script.room.set(100);
        assert!(receives.once(receiver.receive()).is_pending());
        assert_eq!(script.take_written(), b"\x88\x02\x03\xE8");
        assert_eq!(closes.wakes(), usize::from(!is_given_up));
        drop(kept);
    }
    for is_given_up in [false, true] {
        let (script, websocket) = connect(Role::Server, Config::new());
        let (mut sender, mut receiver) = websocket.split();
        script.room.set(1);
        let (closes, sends) = (Hand::new(), Hand::new());
        let mut close = Box::pin(receiver.close());
        assert!(closes.poll(close.as_mut()).is_pending());
        let kept = (!is_given_up).then_some(close);
        script.room.set(100);
        ready(sends.once(sender.flush())).unwrap();
        assert_eq!(script.take_written(), b"\x88\x02\x03\xE8");
        assert_eq!(closes.wakes(), usize::from(!is_given_up));
        drop(kept);
    }
}

// --- memory (rules 7 and 8, section 4) ----------------------------------------------------------------------------

/// Runs `work` once, so that what is made only once, the thread's scratch buffer, is there.
fn warm(hand: &Hand) {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    script.say(&text("warm"));
    ready(hand.once(websocket.receiver.receive())).unwrap();
}

#[test]
fn an_idle_connection_holds_half_a_kibibyte_also_after_a_large_message() {
    let hand = Hand::new();
    // What the thread keeps for all its connections grows with the first.
    echo_and_idle(&hand, |_, _| {});
    echo_and_idle(&hand, |fresh, after| {
        println!("idle: {fresh} bytes; after messages: {after}");
        // The README says 568. Whoever changes that says so there, and here (goal G13: 5 % more at the most).
        assert!(fresh <= 568 * 105 / 100, "{fresh} bytes");
        assert_eq!(after, fresh, "nothing is kept");
    });
}

/// Shows `judge` the bytes that a connection holds, in all: at its beginning; and when it waits again after messages of 20 B to 18 KB.
fn echo_and_idle(hand: &Hand, judge: impl FnOnce(isize, isize)) {
    let script = Script::new();
    script.forget.set(true);
    let scope = Scope::new();
    let stream = Stream(Rc::clone(&script));
    let mut websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    assert!(hand.once(websocket.receiver.receive()).is_pending());
    let fresh = scope.live() + size_of_val(&websocket) as isize;

    script.say(&text(&"x".repeat(20)));
    script.say(&masked(0x82, &[1; 16 << 10]));
    script.say(&[masked(0x02, &[1; 9000]), masked(0x80, &[1; 9000])].concat());
    for _ in 0..3 {
        let Incoming::Message(message) = ready(hand.once(websocket.receiver.receive())).unwrap() else {
            panic!("a message")
        };
        let copy = message.as_bytes().to_vec();
        ready(hand.once(websocket.sender.send(&copy))).unwrap();
    }
    assert!(hand.once(websocket.receiver.receive()).is_pending());
    script.reads.borrow_mut().shrink_to_fit();
    let after = scope.live() + size_of_val(&websocket) as isize;
    judge(fresh, after);
}

/// Goal G13, in memory. The streams' own bytes are among those counted.
#[test]
fn fifty_thousand_idle_connections_hold_a_kibibyte_each_and_leave_nothing() {
    const COUNT: usize = 50_000;
    let hand = Hand::new();
    warm(&hand);
    let all = Scope::new();
    let scripts: Vec<_> = (0..COUNT).map(|_| Script::new()).collect();
    let scope = Scope::new();
    let mut websockets = Vec::with_capacity(COUNT);
    for script in &scripts {
        let stream = Stream(Rc::clone(script));
        websockets.push(WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer));
    }
    for (websocket, script) in websockets.iter_mut().zip(&scripts) {
        script.say(&text("hi"));
        ready(hand.once(websocket.receiver.receive())).unwrap();
        assert!(hand.once(websocket.receiver.receive()).is_pending());
        script.reads.borrow_mut().shrink_to_fit();
    }
    let each = scope.live() / COUNT as isize;
    println!("{each} bytes each of {COUNT}");
    assert!(each <= 1024, "{each} bytes");
    drop(websockets);
    drop(scripts);
    // Of 50,000 connections nothing, and what a thread keeps for all: small buffers, and what 1,024 at rest do without (`connection/rest.rs`).
    assert!(all.live() <= 384 << 10, "{} bytes are left", all.live());
}

#[test]
fn what_the_thread_lends_has_the_role_and_the_limits_of_whoever_wakes() {
    let hand = Hand::new();
    let (small_script, mut small) = connect(Role::Server, Config::new().max_message(10).fragment(3));
    let (large_script, mut large) = connect(Role::Server, Config::new().max_message(1000));
    let (client_script, mut client) = connect(Role::Client, Config::new());
    for _ in 0..3 {
        // All wait, in turn: what they had is the thread's now, and the next gets it.
        assert!(hand.once(small.receiver.receive()).is_pending());
        assert!(hand.once(client.receiver.receive()).is_pending());
        assert!(hand.once(large.receiver.receive()).is_pending());

        client_script.say(b"\x82\x01a");
        assert!(matches!(ready(hand.once(client.receiver.receive())), Ok(Incoming::Message(_))));
        large_script.say(&text(&"x".repeat(500)));
        assert!(matches!(ready(hand.once(large.receiver.receive())), Ok(Incoming::Message(_))));
        small_script.say(&text(&"x".repeat(10)));
        assert!(matches!(ready(hand.once(small.receiver.receive())), Ok(Incoming::Message(_))));

        ready(hand.once(large.sender.send("Hello"))).unwrap();
        ready(hand.once(small.sender.send("Hello"))).unwrap();
        assert_eq!(large_script.take_written(), b"\x81\x05Hello");
        assert_eq!(small_script.take_written(), b"\x01\x03Hel\x80\x02lo");
    }
    assert!(hand.once(large.receiver.receive()).is_pending());
    assert!(hand.once(small.receiver.receive()).is_pending());
    small_script.say(&text(&"x".repeat(11)));
    assert!(matches!(ready(hand.once(small.receiver.receive())), Err(Error::Protocol(_))));
}

/// Each looks at the buffer that it is given, also while others keep theirs for what is left in it.
#[test]
fn no_stream_sees_what_another_connection_received() {
    let hand = Hand::new();
    // A yield to other tasks may come between.
    let receive = |websocket: &mut WebSocket<Stream>| {
        let came =
            std::iter::repeat_with(|| hand.once(websocket.receiver.receive()).map(|came| came.is_ok()));
        assert!(came.take(2).any(|came| came == Poll::Ready(true)));
    };
    let mut connections: Vec<_> = (0..5).map(|_| (connect(Role::Server, Config::new()), 0)).collect();
    for turn in 0..40 {
        for (place, ((script, websocket), left)) in connections.iter_mut().enumerate() {
            // A read that fills its buffer, one that fills half of it, one that brings some messages, and one that brings a few bytes.
            let size = [3000, 1400, 200, 10][(turn + place) % 4];
            script.say(&masked(0x82, &vec![0xFF; size]).repeat(24));
            *left += 24;
            // Some read on to the end, and some leave what is left for the next turn.
            for _ in 0..*left - (turn + place) % 3 {
                receive(websocket);
            }
            *left = (turn + place) % 3;
            if *left == 0 {
                assert!(hand.once(websocket.receiver.receive()).is_pending());
            }
        }
    }
}

#[test]
fn in_the_steady_state_no_message_costs_an_allocation() {
    let hand = Hand::new();
    for (role, corked) in [(Role::Server, false), (Role::Server, true), (Role::Client, false)] {
        let (script, mut websocket) = connect(role, Config::new());
        script.forget.set(true);
        let frame = match role {
            Role::Server => text("hello, world"),
            Role::Client => b"\x81\x0Chello, world".to_vec(),
        };
        let mut counts = Vec::new();
        for _ in 0..20 {
            script.say(&frame.repeat(16));
            let (echoed, scope) = (Cell::new(0), Scope::new());
            let echo = async |ws: &mut WebSocket<Stream>| {
                while let Incoming::Message(message) = ws.receiver.receive().await.unwrap() {
                    ws.sender.send(message).await.unwrap();
                    echoed.set(echoed.get() + 1);
                }
            };
            if corked {
                assert!(hand.once(websocket.cork(echo)).is_pending());
            } else {
                assert!(hand.once(echo(&mut websocket)).is_pending());
            }
            assert_eq!(echoed.get(), 16);
            counts.push(scope.allocations());
        }
        // One for the bytes behind the first of sixteen messages; none for a message.
        assert!(counts[10..].iter().all(|count| *count <= 2), "{role:?} {counts:?}");
    }
}

#[test]
fn a_long_frame_is_read_in_large_pieces() {
    let (script, mut websocket) = connect(Role::Server, Config::new().max_message(4 << 20));
    script.say(&masked(0x82, &vec![7; 4 << 20]));
    let hand = Hand::new();
    let mut data = Vec::new();
    while hand.once(websocket.receiver.receive_data(&mut data)).is_pending() {
        assert!(hand.wakes() > 0, "it goes on when others have had their turn");
    }
    assert!(data.len() == 4 << 20 && data.iter().all(|byte| *byte == 7));
    assert!(script.read_calls.get() < 32, "{} reads of 64 KiB would be 64", script.read_calls.get());
}

#[test]
fn a_declared_length_costs_nothing() {
    let hand = Hand::new();
    warm(&hand);
    for len in [1000_u64, 1 << 20, 1 << 30, (1 << 63) - 1] {
        let max = usize::try_from(len).unwrap();
        let (script, mut websocket) = connect(Role::Server, Config::new().max_message(max));
        assert!(hand.once(websocket.receiver.receive()).is_pending());
        let mut header = vec![0x82];
        match u16::try_from(len) {
            Ok(len) => {
                header.push(0xFE);
                header.extend_from_slice(&len.to_be_bytes());
            }
            Err(_) => {
                header.push(0xFF);
                header.extend_from_slice(&len.to_be_bytes());
            }
        }
        header.extend_from_slice(&[0; 4]);
        script.say(&header);
        let scope = Scope::new();
        assert!(hand.once(websocket.receiver.receive()).is_pending());
        assert!(scope.peak() <= 1024, "{} bytes for a header that announces {len}", scope.peak());
    }
}

// --- what is shown (rule 6 of the API) --------------------------------------------------------------------

#[test]
fn debug_shows_no_payload() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    script.room.set(0);
    let hand = Hand::new();
    ready(hand.once(websocket.sender.send("secret"))).unwrap();
    let frame = EncodedFrame::text("secret");
    let shown = [
        format!("{websocket:?}"),
        format!("{:?} {:?}", websocket.sender, websocket.receiver),
        format!("{:?} {:?}", Message::Text("secret"), Incoming::Pong(b"secret")),
        format!("{frame:?} {:?}", websocket.sender.send("secret")),
    ]
    .concat();
    assert!(!shown.contains("secret") && !shown.contains("115, 101"), "{shown}");
}

#[test]
fn a_ping_of_more_than_125_bytes_is_refused_and_the_connection_goes_on() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    let hand = Hand::new();
    assert!(matches!(
        ready(hand.once(websocket.sender.ping(&[0; 126]))),
        Err(Error::ControlTooLong { len: 126 })
    ));
    ready(hand.once(websocket.sender.ping(&[0; 125]))).unwrap();
    assert_eq!(script.take_written().len(), 127);
}

#[test]
fn two_halves_of_different_connections_are_handed_back() {
    let (one, two) = (connect(Role::Server, Config::new()).1, connect(Role::Server, Config::new()).1);
    let ((sender, _), (_, receiver)) = (one.split(), two.split());
    let error = WebSocket::reunite(sender, receiver).unwrap_err();
    assert_eq!(error.to_string(), "sender and receiver belong to different connections");
}

#[test]
fn the_essay_s_two_loops_run_side_by_side() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let (mut sender, mut receiver) = websocket.split();
    let (writer, mut reader) = unsync_websocket::new_shared();
    script.say(&[text("one"), masked(0x02, b"t"), masked(0x89, b""), masked(0x80, b"wo")].concat());
    let (peer, writes) = (Rc::downgrade(&script), Cell::new(0));
    *script.on_write.borrow_mut() = Some(Box::new(move || {
        writes.set(writes.get() + 1);
        if writes.get() == 2 {
            let peer = peer.upgrade().unwrap();
            peer.say(&masked(0x88, b"\x03\xE8"));
            peer.say(b"");
        }
    }));
    let outgoing = async move {
        while let Some(mut buf) = reader.read().await {
            sender.send(&mut buf[..]).await.unwrap();
        }
        sender.close().await.unwrap();
    };
    let incoming = async move {
        let mut data = Vec::new();
        loop {
            data.clear();
            if receiver.receive_data(&mut data).await.is_err() {
                break;
            }
            writer.write(&data).unwrap();
        }
    };
    futures_lite::future::block_on(zip(incoming, outgoing));
    assert!(script.dropped.get());
    let wire = script.take_written();
    assert_eq!(wire, b"\x8A\x00\x82\x06onetwo\x88\x02\x03\xE8");
}

#[test]
fn answers_to_good_messages_leave_before_the_close_over_a_bad_one() {
    for corked in [true, false] {
        let (script, mut websocket) = connect(Role::Server, Config::new());
        script.say(&[text("good"), masked(0xA1, b"bad"), masked(0x89, b"")].concat());
        let hand = Hand::new();
        let echo = async |ws: &mut WebSocket<Stream>| {
            loop {
                match ws.receiver.receive().await {
                    Ok(Incoming::Message(message)) => ws.sender.send(message).await.unwrap(),
                    Ok(_) => {}
                    Err(error) => break error,
                }
            }
        };
        let end = if corked {
            ready(hand.once(websocket.cork(echo)))
        } else {
            ready(hand.once(echo(&mut websocket)))
        };
        assert!(matches!(end, Error::Protocol(_)));
        let wire = script.take_written();
        assert_eq!(wire[..6], *b"\x81\x04good");
        assert_eq!((wire[6], wire[8..10].to_vec()), (0x88, vec![0x03, 0xEA]));
    }
}

// --- keepalive ----------------------------------------------------------------------------------------------------

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What came of a connection with a keepalive of 20 s + 20 s.
#[derive(Default)]
struct Life {
    /// What `receive` returned.
    seen: Vec<String>,
    /// When something was written.
    writes: Vec<Duration>,
    ended: Duration,
    latency: Option<Duration>,
}

/// A receiver in a simulated world, and a peer that says something at given times (the bytes; empty for the end).
fn kept_alive(script_of_peer: &[(u64, Vec<u8>)]) -> Life {
    let life = Rc::new(RefCell::new(Life::default()));
    kit::runs::each_seed("keepalive", 1, |run| {
        let sim = kit::sim::Sim::new(run);
        let start = sim.timer().now();
        let script = Script::new();
        let config = Config::new().keepalive(seconds(20), seconds(20));
        let stream = Stream(Rc::clone(&script));
        let mut websocket = WebSocket::with_timer(stream, Role::Server, config, Vec::new(), sim.timer());
        let (log, clock) = (Rc::clone(&life), sim.timer());
        *script.on_write.borrow_mut() =
            Some(Box::new(move || log.borrow_mut().writes.push(clock.now() - start)));

        let (log, clock) = (Rc::clone(&life), sim.timer());
        sim.spawn("receiver", async move {
            loop {
                let next = websocket.receiver.receive().await.map(|incoming| format!("{incoming:?}"));
                let ended = next.is_err();
                log.borrow_mut().seen.push(next.unwrap_or_else(|error| format!("{error:?}")));
                if ended {
                    break;
                }
            }
            let mut log = log.borrow_mut();
            (log.ended, log.latency) = (clock.now() - start, websocket.latency());
        });
        let (says, timer) = (script_of_peer.to_vec(), sim.timer());
        sim.spawn("peer", async move {
            for (time, bytes) in says {
                timer.sleep_until(start + seconds(time)).unwrap().await;
                script.say(&bytes);
            }
        });
        sim.run();
    });
    life.take()
}

/// The Pong to our `number`th Ping.
fn keepalive_pong(number: u8) -> Vec<u8> {
    masked(0x8A, &[0, b'k', b'a', 0, 0, 0, 0, number])
}

#[test]
fn a_silent_peer_is_pinged_after_20_s_and_given_up_after_40() {
    let life = kept_alive(&[]);
    assert_eq!(life.writes, [seconds(20)]);
    assert_eq!(
        (life.seen, life.ended, life.latency),
        (vec!["KeepaliveTimeout".to_owned()], seconds(40), None)
    );
}

#[test]
fn any_received_byte_counts_as_life() {
    // The first byte of a frame, a ping of the peer's, half a pong, a message.
    let bytes = text("late");
    let life = kept_alive(&[(19, bytes[..1].to_vec()), (38, bytes[1..].to_vec()), (57, masked(0x8A, b""))]);
    assert_eq!(life.writes, [seconds(77)], "a peer that is heard every 19 s is not pinged");
    assert_eq!(life.ended, seconds(97));
    assert_eq!(life.seen, ["Message(Text(4 bytes))", "Pong(0 bytes)", "KeepaliveTimeout"]);
}

#[test]
fn a_pong_to_a_keepalive_ping_is_not_told_of_and_measures_the_latency() {
    let life = kept_alive(&[(23, keepalive_pong(1)), (24, Vec::new())]);
    assert_eq!(life.latency, Some(seconds(3)));
    assert_eq!(life.seen, ["EndOfStream { inside_message: false }"]);
}

#[test]
fn a_late_pong_is_life_too_and_not_told_of() {
    // It answers the first ping after the second was sent.
    let life =
        kept_alive(&[(39, text("x")), (60, keepalive_pong(1)), (81, keepalive_pong(3)), (82, Vec::new())]);
    assert_eq!(life.writes, [seconds(20), seconds(59), seconds(80)]);
    assert_eq!(life.latency, Some(seconds(1)), "of the third ping, the last");
    assert_eq!(life.seen, ["Message(Text(1 bytes))", "EndOfStream { inside_message: false }"]);
}

#[test]
fn a_closing_connection_goes_by_its_close_deadline_alone() {
    kit::runs::each_seed("keepalive_close", 1, |run| {
        let sim = kit::sim::Sim::new(run);
        let (script, start) = (Script::new(), sim.timer().now());
        let config = Config::new().keepalive(seconds(1), seconds(1));
        let stream = Stream(Rc::clone(&script));
        let mut websocket = WebSocket::with_timer(stream, Role::Server, config, Vec::new(), sim.timer());
        let clock = sim.timer();
        sim.spawn("closer", async move {
            assert!(matches!(websocket.close().await, Err(Error::CloseTimeout)));
            assert_eq!(clock.now() - start, seconds(5));
        });
        sim.run();
        assert_eq!(script.take_written(), b"\x88\x02\x03\xE8", "no ping after the Close");
    });
}
