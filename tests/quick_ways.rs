//! The quick ways, as a hostile reviewer saw them: what goes past the outbox, the log of a batch, and read buffers that stay lent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::as_conversions,
    clippy::await_holding_refcell_ref,
    missing_docs,
    reason = "a test fails by panicking, and counts small numbers"
)]

mod kit;
mod scripted;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use unsync_websocket::{
    CloseCode, Config, EncodedFrame, Error, Incoming, NoTimer, QueueError, QueueHandle, Role, WebSocket,
    batch,
};
use unsync_websocket_test_alloc::{Counting, Scope};

use scripted::{Hand, Script, Stream, connect, masked, ready, text};

type Task<R> = Pin<Box<dyn Future<Output = R>>>;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// --- the rest of a short write at the end of a turn ------------------------------------------------------------------

/// Tells a connection ten frames of so many bytes a turn until its socket is full, and returns how many bytes that were.
#[cfg(all(unix, any(feature = "tokio", feature = "async-io")))]
async fn tell_until_it_is_full<T>(handle: &QueueHandle<T>, len: usize) -> usize
where
    T: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin + 'static,
{
    let mut told = 0;
    while handle.queued_bytes() == 0 {
        batch(async {
            for _ in 0..10 {
                let frame = EncodedFrame::binary(&vec![7; len]);
                handle.queue(&frame).unwrap();
                told += frame.as_bytes().len();
            }
        })
        .await;
        futures_lite::future::yield_now().await;
    }
    told
}

#[cfg(all(unix, feature = "tokio"))]
#[test]
fn the_rest_of_a_batch_on_tokio_leaves_when_the_peer_reads() {
    use tokio::io::AsyncReadExt as _;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        for round in 0..20_usize {
            let (ours, mut peer) = tokio::net::UnixStream::pair().unwrap();
            let websocket = WebSocket::on_tokio(ours, Role::Server, Config::new(), Vec::new());
            let handle = websocket.sender.queue_handle();
            let (sender, mut receiver) = websocket.split();
            let waits = tokio::task::spawn_local(async move { while receiver.receive().await.is_ok() {} });
            tokio::task::yield_now().await;
            let mut data = vec![0; tell_until_it_is_full(&handle, 6000 + 137 * round).await];
            let read = tokio::time::timeout(Duration::from_secs(2), peer.read_exact(&mut data)).await;
            assert!(read.is_ok(), "round {round}: {} bytes never leave", handle.queued_bytes());
            waits.abort();
            drop(sender);
        }
    });
}

#[cfg(all(unix, feature = "async-io"))]
#[test]
fn the_rest_of_a_batch_on_async_io_leaves_when_the_peer_reads() {
    use futures_lite::{AsyncReadExt as _, FutureExt as _};
    use std::os::unix::net::UnixStream;
    let executor = async_executor::LocalExecutor::new();
    futures_lite::future::block_on(executor.run(async {
        for round in 0..20_usize {
            let (ours, peer) = UnixStream::pair().unwrap();
            let ours = async_io::Async::new(ours).unwrap();
            let mut peer = async_io::Async::new(peer).unwrap();
            let websocket = WebSocket::from_handshaken(ours, Role::Server, Config::new(), Vec::new());
            let handle = websocket.sender.queue_handle();
            let (sender, mut receiver) = websocket.split();
            let waits = executor.spawn(async move { while receiver.receive().await.is_ok() {} });
            futures_lite::future::yield_now().await;
            let mut data = vec![0; tell_until_it_is_full(&handle, 6000 + 137 * round).await];
            let read = async { peer.read_exact(&mut data).await.is_ok() }
                .or(async {
                    async_io::Timer::after(Duration::from_secs(2)).await;
                    false
                })
                .await;
            assert!(read, "round {round}: {} bytes never leave", handle.queued_bytes());
            drop((waits, sender));
        }
    }));
}

#[test]
fn where_nobody_waits_a_stream_of_short_writes_is_written_all_the_same() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    // Waited once, and does something else now.
    assert!(Hand::new().once(websocket.receiver.receive()).is_pending());
    let handle = websocket.sender.queue_handle();
    let short = Rc::clone(&script);
    *script.on_write.borrow_mut() = Some(Box::new(move || short.room.set(3)));
    ready(Hand::new().once(batch(async { handle.queue(&EncodedFrame::text("hello")).unwrap() })));
    assert_eq!(script.take_written(), b"\x81\x05hello");
    // As outside a batch.
}

#[test]
fn where_nobody_waits_a_stream_of_short_writes_is_written_outside_a_batch_too() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let handle = websocket.sender.queue_handle();
    let short = Rc::clone(&script);
    *script.on_write.borrow_mut() = Some(Box::new(move || short.room.set(3)));
    handle.queue(&EncodedFrame::text("hello")).unwrap();
    assert_eq!(script.take_written(), b"\x81\x05hello");
}

#[test]
fn what_the_stream_queues_while_a_turn_writes_leaves_though_nobody_waits() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    assert!(Hand::new().once(websocket.receiver.receive()).is_pending());
    let handle = websocket.sender.queue_handle();
    let (again, once) = (handle.clone(), Cell::new(true));
    *script.on_write.borrow_mut() = Some(Box::new(move || {
        if once.replace(false) {
            again.queue(&EncodedFrame::text("within")).unwrap();
        }
    }));
    ready(Hand::new().once(batch(async { handle.queue(&EncodedFrame::text("hello")).unwrap() })));
    assert_eq!(script.take_written(), b"\x81\x05hello\x81\x06within");
}

// --- lost by a close from within ------------------------------------------------------------------------------------

#[test]
fn what_was_queued_before_a_close_leaves_before_it_though_the_stream_closes_and_waits() {
    for batched in [false, true] {
        let (script, websocket) = connect(Role::Server, Config::new());
        let handle = websocket.sender.queue_handle();
        let (_sender, mut receiver) = websocket.split();
        let hand = Hand::new();
        assert!(hand.once(receiver.receive()).is_pending());
        let (again, once) = (handle.clone(), Cell::new(true));
        *script.on_write.borrow_mut() = Some(Box::new(move || {
            if once.replace(false) {
                again.queue_close(CloseCode::NORMAL, "").unwrap();
            }
        }));
        script.room.set(0);
        if batched {
            ready(hand.once(batch(async { handle.queue(&EncodedFrame::text("hello")).unwrap() })));
        } else {
            handle.queue(&EncodedFrame::text("hello")).unwrap();
        }
        *script.on_write.borrow_mut() = None;
        script.give_room(1000);
        assert!(hand.once(receiver.receive()).is_pending());
        assert_eq!(script.take_written(), b"\x81\x05hello\x88\x02\x03\xE8", "batched: {batched}");
    }
}

#[test]
fn closed_now_from_within_drops_the_frames_that_have_not_begun() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let handle = websocket.sender.queue_handle();
    let (_sender, mut receiver) = websocket.split();
    let hand = Hand::new();
    assert!(hand.once(receiver.receive()).is_pending());
    let (again, once) = (handle.clone(), Cell::new(true));
    *script.on_write.borrow_mut() = Some(Box::new(move || {
        if once.replace(false) {
            again.close_now(CloseCode::NORMAL, "").unwrap();
        }
    }));
    script.room.set(3);
    ready(hand.once(batch(async {
        for text in ["one", "two", "three"] {
            handle.queue(&EncodedFrame::text(text)).unwrap();
        }
    })));
    *script.on_write.borrow_mut() = None;
    script.give_room(1000);
    let _ = hand.once(receiver.receive());
    assert_eq!(script.take_written(), b"\x81\x03one\x88\x02\x03\xE8");
}

// --- memory of many that are stuck -----------------------------------------------------------------------------------

#[test]
fn a_frame_that_many_slow_members_hear_is_there_once() {
    let mut seats: Vec<_> = (0..60).map(|_| connect(Role::Server, Config::new())).collect();
    for (_, websocket) in &mut seats {
        assert!(Hand::new().once(websocket.receiver.receive()).is_pending());
    }
    seats.iter().for_each(|(script, _)| script.room.set(0));
    let handles: Vec<_> = seats.iter().map(|(_, websocket)| websocket.sender.queue_handle()).collect();
    let frame = EncodedFrame::binary(&[1; 16_000]);
    let scope = Scope::new();
    ready(Hand::new().once(batch(async {
        for handle in &handles {
            handle.queue(&frame).unwrap();
        }
    })));
    assert!(handles.iter().all(|handle| handle.queued_bytes() == 16_004));
    let batched = scope.live();
    assert!(batched < 200_000, "{batched} bytes for one frame of 16 KB that 60 were told");
}

#[test]
fn a_frame_that_many_slow_connections_are_told_outside_a_batch_is_there_once_too() {
    let mut seats: Vec<_> = (0..60).map(|_| connect(Role::Server, Config::new())).collect();
    for (_, websocket) in &mut seats {
        assert!(Hand::new().once(websocket.receiver.receive()).is_pending());
    }
    seats.iter().for_each(|(script, _)| script.room.set(0));
    let handles: Vec<_> = seats.iter().map(|(_, websocket)| websocket.sender.queue_handle()).collect();
    let frame = EncodedFrame::binary(&[1; 16_000]);
    let scope = Scope::new();
    for handle in &handles {
        handle.queue(&frame).unwrap();
    }
    let held = scope.live();
    assert!(held < 200_000, "{held} bytes for one frame of 16 KB that 60 were told");
}

// --- a send that has ended still waits -------------------------------------------------------------------------------

#[test]
fn a_send_that_has_ended_does_not_wait_any_more() {
    for corked in [false, true] {
        let (script, websocket) = connect(Role::Server, Config::new().outbox(4));
        let cork = websocket.cork_handle();
        let (mut sender, mut receiver) = websocket.split();
        let [sends, receives] = [Hand::new(), Hand::new()];
        script.room.set(0);
        assert!(receives.once(receiver.receive()).is_pending());
        ready(sends.once(sender.send("first"))).unwrap();
        {
            let mut second = pin!(sender.send("second"));
            assert!(sends.poll(second.as_mut()).is_pending());
            script.give_room(1000);
            // The other half makes room.
            assert!(receives.once(receiver.receive()).is_pending());
            if corked {
                ready(sends.once(cork.scope(std::future::poll_fn(|cx| second.as_mut().poll(cx))))).unwrap();
            } else {
                ready(sends.poll(second.as_mut())).unwrap();
            }
        }
        sends.wakes();
        // Nobody sends any more: nothing concerns that task.
        script.say(&text("hi"));
        sends.wakes();
        ready(receives.once(receiver.receive())).unwrap();
        assert_eq!(sends.wakes(), 0, "corked: {corked}: the task of a send that has ended is woken again");
    }
}

// --- sizes after a move ----------------------------------------------------------------------------------------------

#[test]
fn sizes_hold_after_a_move() {
    let (script, websocket) = connect(Role::Server, Config::new().fragment(3).outbox(10));
    let parts = websocket.into_parts().unwrap();
    let mut websocket = WebSocket::from_parts_with_timer(parts, NoTimer);
    let hand = Hand::new();
    ready(hand.once(websocket.sender.send("Hello"))).unwrap();
    assert_eq!(script.take_written(), b"\x01\x03Hel\x80\x02lo");
    assert!(hand.once(websocket.receiver.receive()).is_pending());
    ready(hand.once(websocket.sender.send("Hello"))).unwrap();
    assert_eq!(script.take_written(), b"\x01\x03Hel\x80\x02lo");
}

// --- buffers lent ----------------------------------------------------------------------------------------------------

/// A connection that has read two messages, and shows the first.
fn shows_a_little() -> (Rc<Script>, WebSocket<Stream>) {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    script.say(&[text("one"), text("two")].concat());
    ready(Hand::new().once(websocket.receiver.receive())).unwrap();
    (script, websocket)
}

#[test]
fn memory_follows_what_has_come_though_full_buffers_were_read_ahead() {
    let foreign = || {
        let script = Script::new();
        script.brought.set(64 << 10);
        // 64 KiB of small frames, exactly.
        let mut ahead = Vec::new();
        while ahead.len() + 1006 <= (64 << 10) - 6 {
            ahead.extend_from_slice(&masked(0x82, &vec![0; 998]));
        }
        let left = (64 << 10) - ahead.len();
        ahead.extend_from_slice(&masked(0x82, &vec![0; left - if left - 6 < 126 { 6 } else { 8 }]));
        assert_eq!(ahead.len(), 64 << 10);
        let mut websocket =
            WebSocket::with_timer(Stream(script), Role::Server, Config::new(), ahead, NoTimer);
        let hand = Hand::new();
        let mut data = Vec::new();
        for _ in 0..200 {
            let _ = hand.once(websocket.receiver.receive_data(&mut data));
            data.clear();
        }
        websocket
    };
    let mut held = Vec::new();
    let scope = Scope::new();
    for _ in 0..10 {
        for _ in 0..8 {
            drop(foreign());
        }
        for _ in 0..8 {
            held.push(shows_a_little());
        }
    }
    let live = scope.live();
    assert!(live < 20 * (64 << 10), "{live} bytes for 80 connections that have read 20 bytes each");
}

#[test]
fn memory_follows_what_has_come_where_nothing_was_read_ahead_too() {
    let mut held = Vec::new();
    let scope = Scope::new();
    for _ in 0..80 {
        held.push(shows_a_little());
    }
    let live = scope.live();
    assert!(live < 20 * (64 << 10), "{live} bytes for 80 connections that have read 20 bytes each");
}

// --- what was accepted is not in sight while a turn writes it ---------------------------------------------------------

#[test]
fn what_was_queued_before_a_long_message_leaves_before_it() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let handle = websocket.sender.queue_handle();
    let (sender, mut receiver) = websocket.split();
    let sender = Box::leak(Box::new(sender));
    let hand = Hand::new();
    assert!(hand.once(receiver.receive()).is_pending());
    let big = vec![1; 20_000].leak();
    let send: Rc<RefCell<Task<Result<(), Error>>>> = Rc::new(RefCell::new(Box::pin(sender.send(&*big))));
    let (within, once) = (Rc::clone(&send), Cell::new(true));
    *script.on_write.borrow_mut() = Some(Box::new(move || {
        if once.replace(false) {
            let _ = Hand::new().poll(within.borrow_mut().as_mut());
        }
    }));
    script.room.set(0);
    ready(hand.once(batch(async { handle.queue(&EncodedFrame::text("hello")).unwrap() })));
    *script.on_write.borrow_mut() = None;
    script.give_room(usize::MAX);
    for _ in 0..3 {
        let _ = hand.poll(send.borrow_mut().as_mut());
        assert!(hand.once(receiver.receive()).is_pending());
    }
    let written = script.take_written();
    assert_eq!(written.len(), 7 + 20_004);
    assert_eq!(written[..7], b"\x81\x05hello"[..], "accepted first");
}

#[test]
fn a_flush_waits_for_what_a_turn_is_writing() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let handle = websocket.sender.queue_handle();
    let (mut sender, mut receiver) = websocket.split();
    let hand = Hand::new();
    assert!(hand.once(receiver.receive()).is_pending());
    let flushed = Rc::new(Cell::new(false));
    let (seen, queued) = (Rc::clone(&flushed), Rc::new(Cell::new(0)));
    let (counts, also) = (Rc::clone(&queued), handle.clone());
    *script.on_write.borrow_mut() = Some(Box::new(move || {
        counts.set(also.queued_bytes());
        seen.set(Hand::new().once(sender.flush()).is_ready());
    }));
    script.room.set(0);
    ready(hand.once(batch(async { handle.queue(&EncodedFrame::text("hello")).unwrap() })));
    assert!(!flushed.get(), "flush says that all is taken; {} bytes are not", handle.queued_bytes());
    assert_eq!(queued.get(), 7, "accepted, and not yet taken by the stream");
    *script.on_write.borrow_mut() = None;
}

// --- a Pong behind what is stuck --------------------------------------------------------------------------------------

#[test]
fn a_pong_that_found_the_outbox_full_leaves_at_the_next_frame_boundary() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let handle = websocket.sender.queue_handle();
    let (_sender, mut receiver) = websocket.split();
    let hand = Hand::new();
    assert!(hand.once(receiver.receive()).is_pending());
    script.room.set(10);
    let frames = [1, 2, 3, 4, 5].map(|number| EncodedFrame::binary(&[number; 15_000]));
    ready(hand.once(batch(async {
        for frame in &frames {
            handle.queue(frame).unwrap();
        }
    })));
    script.say(&masked(0x89, b"?"));
    assert!(hand.once(receiver.receive()).is_pending());
    script.give_room(usize::MAX);
    assert!(hand.once(receiver.receive()).is_pending());
    let written = script.take_written();
    assert_eq!(written.len(), 5 * 15_004 + 3);
    let at = written.windows(3).position(|it| it == b"\x8A\x01?");
    assert_eq!(at, Some(15_004), "the Pong waits for the frame that has begun, and no more");
}

// --- the budget of a turn ---------------------------------------------------------------------------------------------

#[test]
fn sockets_that_take_nothing_do_not_use_up_what_a_turn_writes() {
    let mut seats: Vec<_> = (0..40).map(|_| connect(Role::Server, Config::new())).collect();
    let hand = Hand::new();
    for (_, websocket) in &mut seats {
        assert!(hand.once(websocket.receiver.receive()).is_pending());
    }
    // The last is well, and waits.
    let (last, others) = seats.split_last_mut().unwrap();
    others.iter().for_each(|(script, _)| script.room.set(0));
    let handles: Vec<_> = others.iter().map(|(_, ws)| ws.sender.queue_handle()).collect();
    let well = last.1.sender.queue_handle();
    let mut waiting = Box::pin(last.1.receiver.receive());
    assert!(hand.poll(waiting.as_mut()).is_pending());
    let frames = [1, 2, 3, 4].map(|number| EncodedFrame::binary(&[number; 15_000]));
    ready(Hand::new().once(batch(async {
        for frame in &frames {
            handles.iter().for_each(|handle| handle.queue(frame).unwrap());
            well.queue(frame).unwrap();
        }
    })));
    assert_eq!(last.0.write_calls.get(), 1, "the turn has written nothing yet");
}

// --- moved in the turn, dropped in the turn -----------------------------------------------------------------------------

#[test]
fn a_member_that_moves_in_the_turn_takes_along_what_it_heard() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    let hand = Hand::new();
    assert!(hand.once(websocket.receiver.receive()).is_pending());
    let handle = websocket.sender.queue_handle();
    let mut moved = ready(hand.once(batch(async {
        handle.queue(&EncodedFrame::text("hello")).unwrap();
        let parts = websocket.into_parts().unwrap();
        assert_eq!(handle.queue(&EncodedFrame::text("late")), Err(QueueError::Closed));
        WebSocket::from_parts_with_timer(parts, NoTimer)
    })));
    assert_eq!(moved.queued_bytes(), 7);
    ready(hand.once(moved.sender.send("x"))).unwrap();
    assert_eq!(script.take_written(), b"\x81\x05hello\x81\x01x");
}

#[test]
fn a_work_that_owns_both_halves_is_woken_for_the_rest() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let handle = websocket.sender.queue_handle();
    let (_sender, mut receiver) = websocket.split();
    let hand = Hand::new();
    let mut work = Box::pin(batch(async {
        let mut receive = Box::pin(receiver.receive());
        std::future::poll_fn(|cx| {
            assert!(receive.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        handle.queue(&EncodedFrame::text("hello")).unwrap();
        receive.await.map(drop)
    }));
    script.room.set(0);
    assert!(hand.poll(work.as_mut()).is_pending());
    hand.wakes();
    script.give_room(2);
    assert_eq!(hand.wakes(), 1);
    assert!(hand.poll(work.as_mut()).is_pending());
    hand.wakes();
    script.give_room(100);
    assert_eq!(hand.wakes(), 1);
    assert!(hand.poll(work.as_mut()).is_pending());
    assert_eq!(script.take_written(), b"\x81\x05hello");
}

#[test]
fn cork_in_batch_and_batch_in_cork() {
    for kind in 0..3 {
        let (script, mut websocket) = connect(Role::Server, Config::new());
        let hand = Hand::new();
        assert!(hand.once(websocket.receiver.receive()).is_pending());
        let handle = websocket.sender.queue_handle();
        let cork = websocket.cork_handle();
        let (mut sender, _receiver) = websocket.split();
        let frame = |text: &str| EncodedFrame::text(text);
        let work = async {
            handle.queue(&frame("a")).unwrap();
            cork.scope(async {
                handle.queue(&frame("b")).unwrap();
                sender.send("c").await.unwrap();
                batch(async { handle.queue(&frame("d")).unwrap() }).await;
                sender.send("e").await.unwrap();
            })
            .await;
            handle.queue(&frame("f")).unwrap();
            sender.send("g").await.unwrap();
            handle.queue(&frame("h")).unwrap();
        };
        match kind {
            0 => ready(hand.once(batch(work))),
            1 => ready(hand.once(batch(batch(work)))),
            _ => ready(hand.once(work)),
        }
        let letters: String = script.take_written().chunks(3).map(|frame| char::from(frame[2])).collect();
        assert_eq!(letters, "abcdefgh", "{kind}");
    }
}

#[test]
fn teams_that_are_left_by_a_turn_share_what_each_was_told() {
    let mut seats: Vec<_> = (0..300).map(|_| connect(Role::Server, Config::new())).collect();
    let hand = Hand::new();
    let handles: Vec<_> = seats.iter().map(|(_, ws)| ws.sender.queue_handle()).collect();
    seats.iter().for_each(|(script, _)| script.forget.set(true));
    let mut waiting: Vec<_> = seats.iter_mut().map(|(_, ws)| Box::pin(ws.receiver.receive())).collect();
    waiting.iter_mut().for_each(|one| assert!(hand.poll(one.as_mut()).is_pending()));
    let frames = [1, 2, 3, 4].map(|number| EncodedFrame::binary(&[number; 15_000]));
    let scope = Scope::new();
    ready(Hand::new().once(batch(async {
        for (team, frame) in frames.iter().enumerate() {
            handles.iter().skip(team).step_by(4).for_each(|handle| handle.queue(frame).unwrap());
        }
    })));
    let left = handles.iter().filter(|handle| handle.queued_bytes() > 0).count();
    let held = scope.live();
    assert!(left > 150, "{left}");
    assert!(held < 500_000, "{held} bytes for four frames of 15 KB that wait on {left} connections");
}

/// Fills all of a buffer, and says that it was more.
struct Liar;
impl futures_io::AsyncRead for Liar {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<std::io::Result<usize>> {
        buf.fill(b'S');
        Poll::Ready(Ok(buf.len() + 1))
    }
}
impl futures_io::AsyncWrite for Liar {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn what_a_stream_filled_and_miscounted_is_seen_by_no_other() {
    let mut liar = WebSocket::with_timer(Liar, Role::Server, Config::new(), Vec::new(), NoTimer);
    assert!(ready(Hand::new().once(liar.receiver.receive())).is_err());
    drop(liar);
    let (_script, mut websocket) = connect(Role::Server, Config::new());
    // The stream looks whether the buffer is zeroed.
    assert!(Hand::new().once(websocket.receiver.receive()).is_pending());
}

#[test]
fn a_connection_is_used_while_its_thread_ends() {
    struct Last(Option<(Rc<Script>, WebSocket<Stream>)>, Arc<std::sync::Mutex<Vec<u8>>>);
    impl Drop for Last {
        fn drop(&mut self) {
            let Some((script, mut websocket)) = self.0.take() else { return };
            let hand = Hand::new();
            script.say(&text("hi"));
            let handle = websocket.sender.queue_handle();
            ready(hand.once(batch(async { handle.queue(&EncodedFrame::text("last")).unwrap() })));
            assert_eq!(
                ready(hand.once(websocket.receiver.receive())).unwrap(),
                Incoming::Message("hi".into())
            );
            assert!(hand.once(websocket.receiver.receive()).is_pending());
            ready(hand.once(websocket.sender.send("x"))).unwrap();
            ready(hand.once(batch(async { handle.queue(&EncodedFrame::text("more")).unwrap() })));
            *self.1.lock().unwrap() = script.take_written();
        }
    }
    thread_local! {
        static EARLY: RefCell<Option<Last>> = const { RefCell::new(None) };
        static LATE: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    let written: [Arc<std::sync::Mutex<Vec<u8>>>; 2] = Default::default();
    let also = written.clone();
    std::thread::spawn(move || {
        EARLY.with(|_| ());
        EARLY.with(|it| *it.borrow_mut() = None);
        let used = || {
            let (script, mut websocket) = connect(Role::Server, Config::new());
            assert!(Hand::new().once(websocket.receiver.receive()).is_pending());
            let handle = websocket.sender.queue_handle();
            ready(Hand::new().once(batch(async { handle.queue(&EncodedFrame::text("first")).unwrap() })));
            (script, websocket)
        };
        EARLY.with(|it| *it.borrow_mut() = Some(Last(Some(used()), also[0].clone())));
        LATE.with(|it| *it.borrow_mut() = Some(Last(Some(used()), also[1].clone())));
    })
    .join()
    .unwrap();
    for written in written {
        assert_eq!(*written.lock().unwrap(), b"\x81\x05first\x81\x04last\x81\x01x\x81\x04more",);
    }
}

fn frame_of(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut frame = masked(first, payload);
    let at = frame.len() - payload.len();
    frame[at - 4..at].copy_from_slice(&key);
    for (i, byte) in frame[at..].iter_mut().enumerate() {
        *byte ^= key[i % 4];
    }
    frame
}

#[test]
fn many_that_read_a_little_hear_all_of_it_and_nothing_of_others() {
    kit::runs::each_seed("h19", 1500, |run| {
        let choices = &run.choices;
        let hand = Hand::new();
        struct One {
            script: Rc<Script>,
            websocket: WebSocket<Stream>,
            expected: std::collections::VecDeque<Vec<u8>>,
            pongs: Vec<u8>,
            number: u8,
        }
        let mut all: Vec<_> = (0..choices.between(1, 14))
            .map(|_| {
                let fragment = choices.of(&[3, 64 << 10]);
                let outbox = 64 << 10;
                let (script, websocket) =
                    connect(Role::Server, Config::new().fragment(fragment).outbox(outbox));
                One { script, websocket, expected: Default::default(), pongs: Vec::new(), number: 0 }
            })
            .collect();
        for _ in 0..choices.between(10, 120) {
            let at = choices.choose(all.len());
            let one = &mut all[at];
            match choices.choose(4) {
                0 => {
                    let mut bytes = Vec::new();
                    for _ in 0..choices.between(1, 5) {
                        one.number = one.number.wrapping_add(1);
                        let len = choices.of(&[0, 1, 50, 125, 126, 400, 600, 3000, 40_000, 70_000]);
                        let payload = vec![one.number; len];
                        let key = [one.number, 77, 3, 200];
                        let pong = choices.of(&[0_usize, 1, 2, 125]);
                        let ping = frame_of(0x89, &vec![b'p'; pong], key);
                        let answer = [&[0x8A, pong as u8][..], &vec![b'p'; pong]].concat();
                        match choices.choose(4) {
                            0 => {
                                bytes.extend_from_slice(&ping);
                                one.pongs.extend_from_slice(&answer);
                            }
                            1 if len > 1 => {
                                let cut = len / 2;
                                bytes.extend_from_slice(&frame_of(0x02, &payload[..cut], key));
                                bytes.extend_from_slice(&ping);
                                one.pongs.extend_from_slice(&answer);
                                bytes.extend_from_slice(&frame_of(0x80, &payload[cut..], key));
                                one.expected.push_back(payload);
                            }
                            _ => {
                                bytes.extend_from_slice(&frame_of(0x82, &payload, key));
                                one.expected.push_back(payload);
                            }
                        }
                    }
                    while !bytes.is_empty() {
                        let len = choices.of(&[1, 2, 7, 130, 511, 513, 5000, 100_000]).min(bytes.len());
                        let rest = bytes.split_off(len);
                        one.script.say(&bytes);
                        bytes = rest;
                    }
                }
                1 | 2 => {
                    for _ in 0..choices.between(1, 8) {
                        if choices.one_in(2) {
                            match hand.once(one.websocket.receiver.receive()) {
                                Poll::Ready(Ok(Incoming::Message(it))) => {
                                    assert!(Some(it.as_bytes()) == one.expected.pop_front().as_deref())
                                }
                                Poll::Pending => {}
                                other => panic!("{other:?}"),
                            }
                        } else {
                            let mut data = b"xy".to_vec();
                            match hand.once(one.websocket.receiver.receive_data(&mut data)) {
                                Poll::Ready(Ok(_)) => {
                                    assert!(data[2..] == one.expected.pop_front().unwrap()[..])
                                }
                                Poll::Pending => assert_eq!(data, b"xy"),
                                other => panic!("{other:?}"),
                            }
                        }
                    }
                }
                _ if choices.one_in(6) => {
                    if let Ok(parts) = all.swap_remove(at).websocket.into_parts() {
                        drop(parts);
                    }
                    if all.is_empty() {
                        return;
                    }
                }
                _ => {}
            }
        }
        for one in &mut all {
            let mut rounds = 0;
            while !one.script.reads.borrow().is_empty() || !one.expected.is_empty() {
                rounds += 1;
                assert!(rounds < 5000);
                if let Poll::Ready(it) = hand.once(one.websocket.receiver.receive()) {
                    let Incoming::Message(it) = it.unwrap() else { panic!() };
                    assert!(Some(it.as_bytes()) == one.expected.pop_front().as_deref());
                }
            }
            for _ in 0..3 {
                assert!(hand.once(one.websocket.receiver.receive()).is_pending());
            }
            assert_eq!(one.websocket.queued_bytes(), 0);
            let written = one.script.take_written();
            assert!(written == one.pongs, "{written:?} {:?}", one.pongs);
        }
    });
}

// --- who waits is woken, on a stream that keeps the last waker of each direction, and holds back until it is flushed --------

struct Wire {
    choices: kit::choices::Chooser,
    calm: Cell<bool>,
    input: RefCell<std::collections::VecDeque<Vec<u8>>>,
    written: RefCell<Vec<u8>>,
    flushed: Cell<usize>,
    wakers: RefCell<[Option<Waker>; 2]>,
    hook: RefCell<Option<Box<dyn FnMut()>>>,
}

impl Wire {
    fn wait<R>(&self, direction: usize, cx: &Context<'_>) -> Poll<R> {
        self.wakers.borrow_mut()[direction] = Some(cx.waker().clone());
        Poll::Pending
    }
    fn hook(&self) {
        let hook = self.hook.borrow_mut().take();
        if let Some(mut hook) = hook {
            hook();
            *self.hook.borrow_mut() = Some(hook);
        }
    }
    /// Readiness of a direction.
    fn wake(&self, direction: usize) {
        let waker = self.wakers.borrow_mut()[direction].take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

struct WireStream(Rc<Wire>);
impl futures_io::AsyncRead for WireStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<std::io::Result<usize>> {
        self.0.hook();
        let Some(bytes) = self.0.input.borrow_mut().pop_front() else { return self.0.wait(0, cx) };
        buf[..bytes.len()].copy_from_slice(&bytes);
        Poll::Ready(Ok(bytes.len()))
    }
}
impl futures_io::AsyncWrite for WireStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let wire = &self.0;
        wire.hook();
        let len = match wire.choices.choose(if wire.calm.get() { 1 } else { 5 }) {
            0 => buf.len(),
            1 => return wire.wait(1, cx),
            2 => return Poll::Ready(Err(std::io::ErrorKind::Interrupted.into())),
            _ => wire.choices.of(&[1, 2, 5, 200]).min(buf.len()),
        };
        wire.written.borrow_mut().extend_from_slice(&buf[..len]);
        Poll::Ready(Ok(len))
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let wire = &self.0;
        wire.hook();
        if !wire.calm.get() && wire.choices.one_in(3) {
            return wire.wait(1, cx);
        }
        wire.flushed.set(wire.written.borrow().len());
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Party {
    wire: Rc<Wire>,
    handle: QueueHandle<WireStream>,
    orders: Rc<RefCell<std::collections::VecDeque<usize>>>,
    tasks: [(Hand, Task<()>); 2],
    /// Accepted, by source: the handles, the sender.
    told: [usize; 2],
}

fn labelled(source: u8, number: usize, len: usize) -> Vec<u8> {
    let mut payload = vec![source, (number >> 8) as u8, number as u8];
    payload.resize(len.max(3), source);
    payload
}

impl Party {
    fn new(choices: &kit::choices::Chooser, role: Role) -> Self {
        let wire = Rc::new(Wire {
            choices: choices.clone(),
            calm: Cell::new(false),
            input: RefCell::default(),
            written: RefCell::default(),
            flushed: Cell::new(0),
            wakers: RefCell::default(),
            hook: RefCell::default(),
        });
        let config =
            Config::new().outbox(choices.of(&[1, 300, 64 << 10])).fragment(choices.of(&[50, 64 << 10]));
        let websocket = WebSocket::with_timer(WireStream(wire.clone()), role, config, Vec::new(), NoTimer);
        let handle = websocket.sender.queue_handle();
        let cork = websocket.cork_handle();
        let (mut sender, mut receiver) = websocket.split();
        let orders: Rc<RefCell<std::collections::VecDeque<usize>>> = Rc::default();
        let (todo, count) = (orders.clone(), Cell::new(0));
        let corked = choices.one_in(3);
        let send = async move {
            loop {
                let next = todo.borrow_mut().pop_front();
                let Some(len) = next else {
                    let mut once = false;
                    std::future::poll_fn(|_| {
                        if std::mem::replace(&mut once, true) { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .await;
                    continue;
                };
                let number = count.get();
                count.set(number + 1);
                if sender.send(&labelled(1, number, len)[..]).await.is_err() {
                    break;
                }
            }
        };
        let receive = async move {
            loop {
                if receiver.receive().await.is_err() {
                    break;
                }
            }
        };
        let wrap = |work: Pin<Box<dyn Future<Output = ()>>>| -> Pin<Box<dyn Future<Output = ()>>> {
            if corked {
                let cork = cork.clone();
                Box::pin(async move { cork.scope(work).await })
            } else {
                work
            }
        };
        let tasks = [(Hand::new(), wrap(Box::pin(receive))), (Hand::new(), Box::pin(send) as _)];
        let mut party = Self { wire, handle, orders, tasks, told: [0; 2] };
        for (hand, task) in &mut party.tasks {
            assert!(hand.poll(task.as_mut()).is_pending());
        }
        party
    }
    /// Polls whoever was woken.
    fn turn(&mut self) -> bool {
        let mut any = false;
        for (hand, task) in &mut self.tasks {
            if hand.wakes() > 0 {
                any = true;
                assert!(hand.poll(task.as_mut()).is_pending());
            }
        }
        any
    }
}

#[test]
fn who_waits_is_woken_and_all_leaves_once_and_in_order() {
    kit::runs::each_seed("h20", 20_000, |run| {
        let choices = &run.choices;
        let role = choices.of(&[Role::Server, Role::Server, Role::Client]);
        let mut parties: Vec<_> = (0..choices.between(1, 3)).map(|_| Party::new(choices, role)).collect();
        let within = choices.one_in(2);
        let extra = Rc::new(Cell::new(0_usize));
        if within {
            let (handle, choices, extra) = (parties[0].handle.clone(), choices.clone(), extra.clone());
            *parties.last().unwrap().wire.hook.borrow_mut() = Some(Box::new(move || {
                if choices.one_in(20) {
                    let frame = EncodedFrame::binary(&labelled(2, extra.get(), 30));
                    let done = || handle.queue(&frame).is_ok();
                    let done = if choices.one_in(2) {
                        ready(Hand::new().once(batch(async { done() })))
                    } else {
                        done()
                    };
                    if done {
                        extra.set(extra.get() + 1);
                    }
                }
            }));
        }
        for _ in 0..choices.between(5, 40) {
            let at = choices.choose(parties.len());
            match choices.choose(7) {
                0 | 1 => {
                    let lens: Vec<_> =
                        (0..choices.between(1, 4)).map(|_| choices.of(&[3, 100, 1500, 9000])).collect();
                    let mixed = choices.one_in(4);
                    ready(Hand::new().once(batch(async {
                        for len in lens {
                            for party in parties.iter_mut() {
                                let frame = EncodedFrame::binary(&labelled(0, party.told[0], len));
                                if party.handle.queue(&frame).is_ok() {
                                    party.told[0] += 1;
                                }
                            }
                            if mixed {
                                parties[at].turn();
                            }
                        }
                    })));
                }
                2 => {
                    let party = &mut parties[at];
                    let frame = EncodedFrame::binary(&labelled(0, party.told[0], 10));
                    if party.handle.queue(&frame).is_ok() {
                        party.told[0] += 1;
                    }
                }
                3 => {
                    let party = &mut parties[at];
                    party.told[1] += 1;
                    party.orders.borrow_mut().push_back(choices.of(&[3, 49, 100, 126, 20_000]));
                    party.tasks[1].0.wakes();
                    let (hand, task) = &mut party.tasks[1];
                    assert!(hand.poll(task.as_mut()).is_pending());
                }
                4 => {
                    let bytes = match role {
                        Role::Server => [masked(0x89, b"?"), masked(0x82, b"m")],
                        Role::Client => [b"\x89\x01?".to_vec(), b"\x82\x01m".to_vec()],
                    };
                    let some =
                        choices.of(&[0..1, 0..2, 1..2].map(|it: std::ops::Range<usize>| (it.start, it.end)));
                    parties[at].wire.input.borrow_mut().push_back(bytes[some.0..some.1].concat());
                    parties[at].wire.wake(0);
                }
                5 => parties[at].wire.wake(choices.choose(2)),
                _ => {
                    parties[at].turn();
                }
            }
        }
        for party in &parties {
            party.wire.calm.set(true);
            *party.wire.hook.borrow_mut() = None;
        }
        let mut idle = 0;
        let mut rounds = 0;
        while idle < 3 {
            rounds += 1;
            assert!(rounds < 1000, "a busy loop");
            idle += 1;
            for party in &mut parties {
                // The stream may be written to: it says so to whom it has told to wait, and to nobody else.
                party.wire.wake(1);
                if party.turn() {
                    idle = 0;
                }
            }
        }
        for (i, party) in parties.iter().enumerate() {
            assert_eq!(party.handle.queued_bytes(), 0, "party {i}");
            let written = party.wire.written.borrow();
            assert_eq!(party.wire.flushed.get(), written.len(), "all is flushed");
            let mut next = [0_usize; 3];
            let (mut wire, mut message) = (&written[..], Vec::new());
            while !wire.is_empty() {
                let (header, len) = unsync_websocket::protocol::FrameHeader::decode(wire).unwrap().unwrap();
                let (frame, rest) = wire.split_at(len + header.payload_len as usize);
                wire = rest;
                if header.opcode == unsync_websocket::protocol::OpCode::Pong {
                    continue;
                }
                assert_eq!(
                    message.is_empty(),
                    header.opcode != unsync_websocket::protocol::OpCode::Continuation
                );
                let key = header.mask.unwrap_or_default();
                assert_eq!(header.mask.is_some(), role == Role::Client);
                message.extend(frame[len..].iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
                if header.fin {
                    let (source, number) =
                        (usize::from(message[0]), usize::from(message[1]) << 8 | usize::from(message[2]));
                    assert_eq!(number, next[source], "of source {source}");
                    next[source] += 1;
                    message.clear();
                }
            }
            let extra = if within && i == 0 { extra.get() } else { 0 };
            assert_eq!(next, [party.told[0], party.told[1], extra]);
        }
    });
}

#[test]
fn who_polls_a_receiver_in_a_turn_drives() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    let hand = Hand::new();
    assert!(hand.once(websocket.receiver.receive()).is_pending());
    let handle = websocket.sender.queue_handle();
    ready(Hand::new().once(batch(async {
        handle.queue(&EncodedFrame::text("hello")).unwrap();
        // As an executor does that is run in here.
        assert!(hand.once(websocket.receiver.receive()).is_pending());
        assert_eq!(script.take_written(), b"\x81\x05hello");
    })));
}

#[test]
fn closed_cancelled_moved_and_dropped_in_the_midst_of_turns_nothing_is_cut_or_lost() {
    use unsync_websocket::protocol::{FrameHeader, OpCode};
    kit::runs::each_seed("h22", 60_000, |run| {
        let choices = &run.choices;
        let hand = Hand::new();
        let wire = Rc::new(Wire {
            choices: choices.clone(),
            calm: Cell::new(false),
            input: RefCell::default(),
            written: RefCell::default(),
            flushed: Cell::new(0),
            wakers: RefCell::default(),
            hook: RefCell::default(),
        });
        let config =
            Config::new().outbox(choices.of(&[1, 300, 64 << 10])).fragment(choices.of(&[50, 4000, 64 << 10]));
        let mut websocket =
            Some(WebSocket::with_timer(WireStream(wire.clone()), Role::Server, config, Vec::new(), NoTimer));
        let mut handle = websocket.as_ref().unwrap().sender.queue_handle();
        let (mut told, mut sent, mut maybe) = (0, 0, Vec::new());
        let (mut closed, mut now) = (false, false);
        for _ in 0..choices.between(3, 30) {
            let mut act = |choices: &kit::choices::Chooser| {
                let Some(mut ws) = websocket.take() else { return };
                match choices.choose(12) {
                    0..5 => {
                        let len = choices.of(&[3, 30, 1500, 9000]);
                        match handle.queue(&EncodedFrame::binary(&labelled(0, told, len))) {
                            Ok(()) => {
                                assert!(!closed);
                                told += 1;
                            }
                            Err(QueueError::Closed) => assert!(closed),
                            Err(_) => {}
                        }
                    }
                    5 | 6 => {
                        let len = choices.of(&[3, 30, 49, 125, 126, 3000, 17_000, 40_000]);
                        let payload = labelled(1, sent, len);
                        let mut send = Box::pin(ws.sender.send(&payload[..]));
                        let mut polls = choices.between(1, 4);
                        let result = loop {
                            let result = hand.poll(send.as_mut());
                            polls -= 1;
                            if result.is_ready() || polls == 0 {
                                break result;
                            }
                        };
                        match result {
                            Poll::Ready(Ok(())) => sent += 1,
                            Poll::Ready(Err(_)) => assert!(closed),
                            Poll::Pending => {
                                // All of it or nothing.
                                maybe.push(sent);
                                sent += 1;
                                drop(send);
                            }
                        }
                    }
                    7 => {
                        wire.input.borrow_mut().push_back(masked(0x89, b"?"));
                        let _ = hand.once(ws.receiver.receive());
                    }
                    8 | 9 => {
                        let _ = hand.once(ws.receiver.receive());
                    }
                    10 if choices.one_in(3) => {
                        if choices.one_in(3) {
                            if handle.close_now(CloseCode::GOING_AWAY, "").is_ok() {
                                now = true;
                                closed = true;
                            }
                        } else if handle.queue_close(CloseCode::GOING_AWAY, "").is_ok() {
                            closed = true;
                        }
                    }
                    11 => match ws.into_parts() {
                        Ok(parts) => {
                            ws = WebSocket::from_parts_with_timer(parts, NoTimer);
                            handle = ws.sender.queue_handle();
                        }
                        Err(same) => ws = same,
                    },
                    _ => {}
                }
                websocket = Some(ws);
            };
            if choices.one_in(2) {
                let depth = choices.one_in(3);
                let work = async {
                    for _ in 0..choices.between(1, 6) {
                        act(choices);
                    }
                };
                if depth {
                    ready(Hand::new().once(batch(batch(work))))
                } else {
                    ready(Hand::new().once(batch(work)))
                }
            } else {
                act(choices);
            }
        }
        wire.calm.set(true);
        let mut ws = websocket.unwrap();
        for _ in 0..5 {
            let _ = hand.once(ws.receiver.receive());
        }
        assert_eq!(ws.queued_bytes(), 0);
        let written = wire.written.borrow();
        let (mut rest, mut message, mut seen, mut is_closed) =
            (&written[..], Vec::new(), [Vec::new(), Vec::new()], false);
        while !rest.is_empty() {
            assert!(!is_closed, "nothing after our Close");
            let (header, len) = FrameHeader::decode(rest).unwrap().unwrap();
            assert!(rest.len() - len >= header.payload_len as usize, "cut");
            let (frame, after) = rest.split_at(len + header.payload_len as usize);
            rest = after;
            match header.opcode {
                OpCode::Pong => continue,
                OpCode::Close => {
                    is_closed = true;
                    continue;
                }
                _ => {}
            }
            assert_eq!(message.is_empty(), header.opcode != OpCode::Continuation);
            message.extend_from_slice(&frame[len..]);
            if header.fin {
                let source = usize::from(message[0]);
                assert!(message[3..].iter().all(|byte| usize::from(*byte) == source));
                seen[source].push(usize::from(message[1]) << 8 | usize::from(message[2]));
                message.clear();
            }
        }
        assert!(seen.iter().all(|seen| seen.is_sorted_by(|a, b| a < b)), "{seen:?}");
        assert_eq!(closed, is_closed);
        if !now {
            assert!(message.is_empty());
            assert_eq!(seen[0], (0..told).collect::<Vec<_>>());
            let certain: Vec<_> = (0..sent).filter(|it| !maybe.contains(it)).collect();
            let heard: Vec<_> = seen[1].iter().copied().filter(|it| !maybe.contains(it)).collect();
            assert_eq!(heard, certain);
        }
    });
}

#[test]
fn a_scope_that_waits_is_woken_for_the_rest_of_a_turn() {
    let (script, mut websocket) = connect(Role::Server, Config::new());
    let hand = Hand::new();
    assert!(hand.once(websocket.receiver.receive()).is_pending());
    let handle = websocket.sender.queue_handle();
    let cork = websocket.cork_handle();
    // A handler that waits for something else, and has not asked the stream for bytes.
    script.waker.take();
    let mut scope = Box::pin(cork.scope(std::future::pending::<()>()));
    assert!(hand.poll(scope.as_mut()).is_pending());
    script.room.set(3);
    ready(Hand::new().once(batch(async { handle.queue(&EncodedFrame::text("hello")).unwrap() })));
    script.give_room(100);
    if hand.wakes() > 0 {
        assert!(hand.poll(scope.as_mut()).is_pending());
    }
    assert_eq!(script.take_written(), b"\x81\x05hello", "nobody is ever woken for the rest");
}

#[test]
fn a_send_waits_if_its_stream_drops_the_receiver_and_takes_nothing() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let (mut sender, receiver) = websocket.split();
    let mut receiver = Some(receiver);
    *script.on_write.borrow_mut() = Some(Box::new(move || drop(receiver.take())));
    script.room.set(0);
    assert!(Hand::new().once(sender.send("hello")).is_pending());
}

#[test]
fn after_a_panic_of_the_stream_that_was_caught_all_says_so() {
    for how in 0..3 {
        let (script, mut websocket) = connect(Role::Server, Config::new());
        let hand = Hand::new();
        assert!(hand.once(websocket.receiver.receive()).is_pending());
        ready(hand.once(websocket.sender.send("one"))).unwrap();
        *script.on_write.borrow_mut() = Some(Box::new(|| panic!("a bug in a stream")));
        let handle = websocket.sender.queue_handle();
        assert!(
            catch_unwind(AssertUnwindSafe(|| match how {
                0 => drop(hand.once(websocket.sender.send("two"))),
                1 => {
                    script.say(&masked(0x89, b"?"));
                    drop(hand.once(websocket.receiver.receive()));
                }
                _ => ready(hand.once(batch(async { handle.queue(&EncodedFrame::text("two")).unwrap() }))),
            }))
            .is_err()
        );
        *script.on_write.borrow_mut() = None;
        ready(hand.once(batch(async { _ = handle.queue(&EncodedFrame::text("three")) })));
        assert!(matches!(ready(hand.once(websocket.sender.send("x"))), Err(Error::StreamPanicked)));
        assert!(matches!(ready(hand.once(websocket.receiver.receive())), Err(Error::StreamPanicked)));
        assert_eq!(script.take_written(), b"\x81\x03one");
        assert!(script.dropped.get());
    }
}

#[test]
fn hostile_counts_past_the_outbox() {
    for fault in [Ok(0), Ok(1000), Err(std::io::ErrorKind::BrokenPipe)] {
        for how in 0..3 {
            let (script, mut websocket) = connect(Role::Server, Config::new());
            let hand = Hand::new();
            assert!(hand.once(websocket.receiver.receive()).is_pending());
            let handle = websocket.sender.queue_handle();
            script.write_faults.borrow_mut().push_back(fault.map_err(Into::into));
            match how {
                0 => assert!(ready(hand.once(websocket.sender.send("two"))).is_err()),
                1 => {
                    script.say(&[masked(0x82, b"m"), masked(0x89, b"?")].concat());
                    assert!(ready(hand.once(websocket.receiver.receive())).is_ok());
                    assert!(ready(hand.once(websocket.receiver.receive())).is_err());
                }
                _ => ready(hand.once(batch(async { handle.queue(&EncodedFrame::text("two")).unwrap() }))),
            }
            assert!(ready(hand.once(websocket.sender.send("x"))).is_err());
            assert!(ready(hand.once(websocket.receiver.receive())).is_err());
            assert_eq!(script.take_written(), b"");
        }
    }
}
