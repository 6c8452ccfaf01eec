//! Faults that a reading of the code with hostile eyes found, each kept here as what should have been true.

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

mod scripted;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use unsync_websocket::protocol::{Inbound, Limits, MessageKind, Outbound};
use unsync_websocket::{
    CloseCode, Config, EncodedFrame, Error, Incoming, NoTimer, QueueError, QueueHandle, Role, Sleep, Timer,
    WebSocket,
};
use unsync_websocket_test_alloc::{Counting, Scope};

use scripted::{Hand, masked, ready};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// --- a stream of which every call is scripted ---------------------------------------------------------------------

#[derive(Default)]
struct Script {
    /// What reads return, one entry a call; `Pending` when there is none.
    reads: RefCell<VecDeque<io::Result<Vec<u8>>>>,
    write_faults: RefCell<VecDeque<io::Error>>,
    written: RefCell<Vec<u8>>,
    /// Bytes that writes still take.
    room: Cell<usize>,
    read_calls: Cell<usize>,
    /// As TLS may: writes wait for something to be read.
    write_needs_read: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    dropped: Cell<bool>,
    /// A buffer for a read had something in it.
    soiled: Cell<bool>,
}

impl Script {
    fn new() -> Rc<Self> {
        let script = Self::default();
        script.room.set(usize::MAX);
        Rc::new(script)
    }

    fn say(&self, bytes: &[u8]) {
        self.reads.borrow_mut().push_back(Ok(bytes.to_vec()));
        self.wake();
    }

    fn give_room(&self, room: usize) {
        self.room.set(room);
        self.wake();
    }

    fn wake(&self) {
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn take_written(&self) -> Vec<u8> {
        self.written.take()
    }
}

struct Stream(Rc<Script>);

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let script = &self.0;
        script.read_calls.set(script.read_calls.get() + 1);
        if buf.iter().any(|byte| *byte != 0) {
            script.soiled.set(true);
        }
        let next = script.reads.borrow_mut().pop_front();
        match next {
            None => {
                *script.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(Err(error)) => Poll::Ready(Err(error)),
            Some(Ok(bytes)) => {
                script.write_needs_read.set(false);
                // Like async-net's: whoever waited is forgotten when somebody succeeds.
                *script.waker.borrow_mut() = None;
                buf[..bytes.len()].copy_from_slice(&bytes);
                Poll::Ready(Ok(bytes.len()))
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let script = &self.0;
        if let Some(fault) = script.write_faults.borrow_mut().pop_front() {
            return Poll::Ready(Err(fault));
        }
        let mut taken = 0;
        if !script.write_needs_read.get() {
            for buf in bufs {
                let len = buf.len().min(script.room.get() - taken);
                script.written.borrow_mut().extend_from_slice(&buf[..len]);
                taken += len;
            }
        }
        script.room.set(script.room.get() - taken);
        if taken == 0 {
            *script.waker.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.dropped.set(true);
    }
}

fn connect(config: Config) -> (Rc<Script>, WebSocket<Stream>) {
    connect_at(config, NoTimer)
}

fn connect_at(config: Config, timer: impl Timer) -> (Rc<Script>, WebSocket<Stream>) {
    connect_as(Role::Server, config, timer)
}

fn connect_as(role: Role, config: Config, timer: impl Timer) -> (Rc<Script>, WebSocket<Stream>) {
    let script = Script::new();
    let stream = Stream(Rc::clone(&script));
    let websocket = WebSocket::with_timer(stream, role, config, Vec::new(), timer);
    (script, websocket)
}

/// First byte and payload length of each frame; panics if it does not parse to its end.
fn frames(mut wire: &[u8]) -> Vec<(u8, usize)> {
    let mut found = Vec::new();
    while !wire.is_empty() {
        let mask = if wire[1] < 128 { 0 } else { 4 };
        let (len, header) = match wire[1] & 127 {
            126 => (usize::from(u16::from_be_bytes([wire[2], wire[3]])), 4),
            127 => (u64::from_be_bytes(wire[2..10].try_into().unwrap()) as usize, 10),
            len => (usize::from(len), 2),
        };
        found.push((wire[0], len));
        wire = &wire[header + mask + len..];
    }
    found
}

/// A clock that is set by hand.
#[derive(Clone)]
struct Clock(Rc<(Cell<Instant>, RefCell<Vec<Waker>>)>);

impl Clock {
    fn new() -> Self {
        Self(Rc::new((Cell::new(Instant::now()), RefCell::default())))
    }

    fn pass(&self, time: Duration) {
        self.0.0.set(self.0.0.get() + time);
        self.0.1.take().into_iter().for_each(Waker::wake);
    }
}

impl Timer for Clock {
    fn now(&self) -> Instant {
        self.0.0.get()
    }

    fn sleep_until(&self, deadline: Instant) -> Option<Sleep> {
        let clock = self.clone();
        Some(Box::pin(std::future::poll_fn(move |cx| {
            if clock.now() >= deadline {
                return Poll::Ready(());
            }
            clock.0.1.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })))
    }
}

// --- frames --------------------------------------------------------------------------------------------------------

#[test]
fn a_pong_that_is_half_written_between_fragments_is_finished_before_the_rest_of_a_dropped_send() {
    for sent_of_pong in 1..5 {
        let (script, websocket) = connect(Config::new().fragment(20_000));
        let (mut sender, mut receiver) = websocket.split();
        let (hand, large) = (Hand::new(), vec![5; 50_000]);
        script.room.set(10);
        {
            let mut send = pin!(sender.send(&large));
            assert!(hand.poll(send.as_mut()).is_pending());
            script.say(&masked(0x89, b"???"));
            assert!(hand.once(receiver.receive()).is_pending());
            script.give_room(20_004 - 10 + sent_of_pong);
            assert!(hand.poll(send.as_mut()).is_pending());
        }
        script.give_room(usize::MAX);
        assert!(hand.once(receiver.receive()).is_pending());
        let wire = script.take_written();
        assert_eq!(frames(&wire), [(0x02, 20_000), (0x8A, 3), (0x00, 20_000), (0x80, 10_000)]);
    }
}

#[test]
fn close_now_lets_out_the_frame_that_has_begun_and_not_the_rest_of_a_large_message() {
    for dropped in [false, true] {
        let (script, websocket) = connect(Config::new().fragment(20_000));
        let (mut sender, mut receiver) = websocket.split();
        let (hand, large) = (Hand::new(), vec![5; 50_000]);
        script.room.set(10_000);
        {
            let mut send = pin!(sender.send(&large));
            assert!(hand.poll(send.as_mut()).is_pending());
            assert!(hand.once(receiver.close_now(CloseCode::TRY_AGAIN_LATER, "")).is_pending());
            script.give_room(usize::MAX);
            if !dropped {
                assert!(matches!(ready(hand.poll(send)), Err(Error::Closing)), "it was not sent");
            }
        }
        assert!(hand.once(receiver.close()).is_pending());
        let wire = script.take_written();
        assert_eq!(frames(&wire), [(0x02, 20_000), (0x88, 2)]);
        assert_eq!(wire[wire.len() - 2..], 1013_u16.to_be_bytes());
    }
}

#[test]
fn one_batch_is_out_at_a_time() {
    let mut outbound = Outbound::server();
    outbound.push(MessageKind::Text, b"one");
    outbound.push(MessageKind::Text, b"two");
    let batch = outbound.take().unwrap();
    // All of this happens while the stream is being written.
    outbound.push(MessageKind::Text, b"three");
    assert!(outbound.take().is_none());
    outbound.close_now(None);
    outbound.put_back(batch, 2);
    assert_eq!(outbound.queued(), 3, "the rest of the frame that had begun");
    let mut wire = Vec::new();
    while let Some(batch) = outbound.take() {
        wire.extend_from_slice(batch.first());
        let written = batch.first().len();
        outbound.put_back(batch, written);
    }
    assert_eq!(wire, b"one\x88\0");
}

#[test]
fn close_now_lets_out_the_frame_that_has_begun_wherever_that_lies() {
    // Two frames in one buffer, and one that is shared with others.
    let frame = EncodedFrame::binary(&[7; 2000]);
    let all = [&b"\x81\x03one\x81\x03two"[..], frame.as_bytes()].concat();
    for (written, end) in [(0, 0), (3, 5), (5, 5), (6, 10), (10, 10), (11, 2014), (2013, 2014), (2014, 2014)]
    {
        for is_out in [false, true] {
            let mut outbound = Outbound::server();
            outbound.push(MessageKind::Text, b"one");
            outbound.push(MessageKind::Text, b"two");
            outbound.push_frame(&frame);
            let batch = outbound.take().unwrap();
            if is_out {
                outbound.close_now(None);
                outbound.put_back(batch, written);
            } else {
                outbound.put_back(batch, written);
                outbound.close_now(None);
            }
            let mut wire = Vec::new();
            while let Some(batch) = outbound.take() {
                wire.extend_from_slice(batch.first());
                let written = batch.first().len();
                outbound.put_back(batch, written);
            }
            assert_eq!(wire, [&all[written..end], b"\x88\0"].concat(), "{written} bytes had left: {is_out}");
        }
    }
}

#[test]
fn a_pong_that_waits_goes_behind_the_frame_that_has_begun_and_before_all_others() {
    let frames = [1, 2].map(|byte| EncodedFrame::binary(&[byte; 2000]));
    let mut outbound = Outbound::server().with_sizes(64 << 10, 1);
    frames.iter().for_each(|frame| outbound.push_frame(frame));
    let batch = outbound.take().unwrap();
    outbound.put_back(batch, 1);
    outbound.answer_ping(b"?");
    let mut wire = Vec::new();
    while let Some(batch) = outbound.take() {
        batch.with_slices(|slices| slices.iter().for_each(|slice| wire.extend_from_slice(slice)));
        let written = batch.with_slices(|slices| slices.iter().map(|slice| slice.len()).sum());
        outbound.put_back(batch, written);
    }
    assert!(wire == [&frames[0].as_bytes()[1..], b"\x8A\x01?", frames[1].as_bytes()].concat());
}

/// A binary frame of `len` bytes from a server, as far as `come` bytes of it.
fn begun(len: usize, come: usize) -> Vec<u8> {
    let header = [&[0x82, 127][..], &(len as u64).to_be_bytes()].concat();
    [header, vec![7; come]].concat()
}

#[test]
fn a_message_on_its_way_has_no_more_room_than_it_can_come_to() {
    let scope = Scope::new();
    let mut inbound = Inbound::new(Role::Client, Limits::default());
    for mut piece in begun(70_000, 69_000).chunks(1000) {
        assert_eq!(inbound.receive(&mut piece).unwrap(), None);
    }
    assert!(scope.live() < 75_000, "{} bytes for 69,000 of 70,000", scope.live());
}

#[test]
fn a_message_that_stalls_gives_back_room_that_was_made_for_a_longer_one() {
    let mut inbound = Inbound::new(Role::Client, Limits::default());
    let scope = Scope::new();
    let whole = begun(1 << 20, 1 << 20);
    for mut piece in whole.chunks(10_000) {
        inbound.receive(&mut piece).unwrap();
    }
    drop(whole);
    inbound.release_memory();
    // The thread keeps that buffer for whoever needs one next.
    for mut piece in begun(1 << 20, 100_000).chunks(10_000) {
        assert_eq!(inbound.receive(&mut piece).unwrap(), None);
    }
    inbound.release_memory();
    assert!(scope.live() < 300_000, "{} bytes for 100,000", scope.live());
}

#[test]
fn an_outbox_that_has_come_to_its_mark_has_no_room() {
    for (mark, has_room) in [(10, false), (11, false), (12, true)] {
        let mut outbound = Outbound::server().with_sizes(64 << 10, mark);
        outbound.push(MessageKind::Text, b"a message");
        assert_eq!((outbound.queued(), outbound.has_room()), (11, has_room), "{mark}");
    }
}

#[test]
fn a_room_cuts_off_a_member_that_is_too_slow_without_waiting_for_it() {
    let clock = Clock::new();
    let (script, websocket) = connect_at(Config::new().outbox(1000), clock.clone());
    let (sender, mut receiver) = websocket.split();
    let (handle, hand) = (sender.queue_handle(), Hand::new());
    script.room.set(3);
    let mut receive = pin!(receiver.receive());
    assert!(hand.poll(receive.as_mut()).is_pending());
    while handle.queue(&EncodedFrame::text("tick")).is_ok() {
        assert!(hand.poll(receive.as_mut()).is_pending());
    }
    handle.queue_close(CloseCode::NORMAL, "").unwrap();
    handle.close_now(CloseCode::TRY_AGAIN_LATER, "").unwrap();
    assert_eq!(handle.queued_bytes(), 3, "the rest of the frame that has begun");
    assert!(hand.wakes() > 0);
    assert!(hand.poll(receive.as_mut()).is_pending());
    script.give_room(usize::MAX);
    assert!(hand.poll(receive.as_mut()).is_pending());
    assert_eq!(script.take_written(), b"\x81\x04tick\x88\x02\x03\xF5");
    assert_eq!(handle.close_now(CloseCode::NORMAL, ""), Err(QueueError::Closed), "it has been told");
    clock.pass(Duration::from_secs(6));
    assert!(hand.poll(receive.as_mut()).is_ready());
    assert!(script.dropped.get());
    assert_eq!(handle.close_now(CloseCode::NORMAL, ""), Err(QueueError::Closed));
}

#[test]
fn a_room_cuts_off_a_member_of_which_no_half_waits() {
    let (script, websocket) = connect(Config::new());
    let handle = websocket.sender.queue_handle();
    handle.close_now(CloseCode::TRY_AGAIN_LATER, "").unwrap();
    assert_eq!(script.take_written(), b"\x88\x02\x03\xF5");
}

/// Does anything in any order to a sending side whose stream takes bytes as it likes, and looks at what was written.
#[test]
fn whatever_is_sent_dropped_queued_and_closed_the_wire_is_whole_frames_in_order() {
    for seed in 1..4000_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut below = move |n: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as usize % n
        };
        let fragment = [7_000, 20_000, 70_000][below(3)];
        let max = [10_000, 1 << 20][below(2)];
        let role = [Role::Server, Role::Server, Role::Client][below(3)];
        let config = Config::new().fragment(fragment).outbox(9_000).max_message(max);
        let (script, websocket) = connect_as(role, config, NoTimer);
        let ping = match role {
            Role::Server => masked(0x89, &[1; 100]),
            Role::Client => [&[0x89, 100][..], &[1; 100]].concat(),
        };
        script.room.set(0);
        let (mut sender, mut receiver) = websocket.split();
        let (handle, hand, mut closed) = (sender.queue_handle(), Hand::new(), false);
        let payload = vec![0; 60_000];
        for _ in 0..below(40) {
            let len = [0, 1, 500, 2_000, 17_000, 30_000, 60_000][below(7)];
            let mut send = Some(Box::pin(sender.send(&payload[..len])));
            for _ in 0..below(6) {
                script.room.set(script.room.get() + [0, 1, 2, 5, 130, 3_000, 7_000, 20_010][below(8)]);
                match below(12) {
                    0..=4 => {
                        if let Some(future) = &mut send
                            && hand.poll(future.as_mut()).is_ready()
                        {
                            send = None;
                        }
                    }
                    5 | 6 => {
                        script.reads.borrow_mut().push_back(Ok(ping.clone()));
                        let _ended = hand.once(receiver.receive());
                    }
                    7 | 8 => {
                        let _full = handle.queue(&EncodedFrame::binary(&payload[..[3, 3_000][below(2)]]));
                    }
                    9 => drop(send.take()),
                    10 if below(30) == 0 => {
                        closed |= handle.close_now(CloseCode::TRY_AGAIN_LATER, "").is_ok();
                    }
                    11 if below(30) == 0 => closed |= handle.queue_close(CloseCode::NORMAL, "").is_ok(),
                    _ => {}
                }
            }
        }
        script.room.set(usize::MAX);
        for _ in 0..3 {
            let _ended = hand.once(receiver.receive());
        }
        assert_eq!(sender.queued_bytes(), 0, "seed {seed}");
        let (mut inside, mut over) = (false, false);
        for (first, len) in frames(&script.take_written()) {
            assert!(!over, "seed {seed}: nothing follows a Close");
            match first {
                0x81 | 0x82 | 0x01 | 0x02 => {
                    assert!(!std::mem::replace(&mut inside, first < 0x80), "seed {seed}")
                }
                0x00 | 0x80 => assert!(std::mem::replace(&mut inside, first < 0x80), "seed {seed}"),
                0x8A => assert_eq!(len, 100, "seed {seed}"),
                0x88 => over = true,
                _ => panic!("seed {seed}: {first:x}"),
            }
        }
        assert!(over || !inside, "seed {seed}: a message that was cut is followed by a Close");
        assert!(over || !closed, "seed {seed}");
    }
}

// --- corks ---------------------------------------------------------------------------------------------------------

#[test]
fn what_was_sent_in_a_cork_leaves_though_the_halves_end_with_the_work() {
    let (script, websocket) = connect(Config::new());
    let cork = websocket.cork_handle();
    let (mut sender, mut receiver) = websocket.split();
    script.say(&masked(0x88, b"\x03\xE8"));
    let work = async move {
        sender.send("bye").await.unwrap();
        assert!(matches!(receiver.receive().await.unwrap(), Incoming::Close(_)));
    };
    ready(Hand::new().once(cork.scope(work)));
    assert_eq!(script.take_written(), b"\x81\x03bye\x88\x02\x03\xE8");
    assert!(script.dropped.get());
}

#[test]
fn a_parked_scope_writes_the_rest_of_a_send_that_another_task_dropped() {
    let (script, websocket) = connect(Config::new().fragment(100));
    let cork = websocket.cork_handle();
    let (mut sender, receiver) = websocket.split();
    let (work, other, large) = (Hand::new(), Hand::new(), vec![5; 20_000]);
    let mut scope = pin!(cork.scope(std::future::pending::<()>()));
    assert!(work.poll(scope.as_mut()).is_pending());
    {
        let mut send = pin!(sender.send(&large));
        // It yields, for it has written many fragments, and waits for nothing.
        assert!(other.poll(send.as_mut()).is_pending());
    }
    assert_eq!(work.wakes(), 1, "somebody has to write the rest");
    assert!(work.poll(scope.as_mut()).is_pending());
    assert_eq!(frames(&script.take_written()).len(), 200);
    drop(receiver);
}

#[test]
fn a_stream_is_taken_back_inside_a_cork_too() {
    let (script, websocket) = connect(Config::new());
    let cork = websocket.cork_handle();
    let stream = ready(Hand::new().once(cork.scope(async { websocket.into_inner() })));
    assert!(stream.is_some() && !script.dropped.get());
}

// --- wakes ---------------------------------------------------------------------------------------------------------

#[test]
fn the_poll_form_of_close_wakes_nobody_once_the_close_is_asked_for() {
    let (_script, websocket) = connect(Config::new());
    let (mut sender, mut receiver) = websocket.split();
    let (one, two) = (Hand::new(), Hand::new());
    let poll_receiver = |receiver: &mut unsync_websocket::Receiver<Stream>| {
        receiver.poll_close(&mut Context::from_waker(&two.waker)).is_pending()
    };
    for _ in 0..3 {
        assert!(sender.poll_close(&mut Context::from_waker(&one.waker)).is_pending());
        assert!(poll_receiver(&mut receiver));
    }
    one.wakes();
    two.wakes();
    assert!(poll_receiver(&mut receiver));
    assert_eq!((one.wakes(), two.wakes()), (0, 0), "nothing has happened");
    assert!(sender.poll_close(&mut Context::from_waker(&one.waker)).is_pending());
    assert_eq!((one.wakes(), two.wakes()), (0, 0), "nothing has happened");
}

#[test]
fn a_read_that_lets_writes_go_on_wakes_a_large_send() {
    let (script, websocket) = connect(Config::new());
    let (mut sender, mut receiver) = websocket.split();
    let (sends, receives, large) = (Hand::new(), Hand::new(), vec![5; 50_000]);
    script.room.set(10_000);
    let mut send = pin!(sender.send(&large));
    assert!(sends.poll(send.as_mut()).is_pending());
    script.write_needs_read.set(true);
    script.give_room(usize::MAX);
    assert!(sends.poll(send.as_mut()).is_pending());
    // What was written before is flushed by the first poll of the receiver.
    assert!(receives.once(receiver.receive()).is_pending());
    assert!(sends.poll(send.as_mut()).is_pending());
    sends.wakes();
    script.reads.borrow_mut().push_back(Ok(masked(0x81, b"hi")));
    assert_eq!(ready(receives.once(receiver.receive())).unwrap(), Incoming::Message("hi".into()));
    assert!(sends.wakes() > 0, "the read has used up what the write waited for");
    ready(sends.poll(send)).unwrap();
}

/// The same over a socket of async-io, whose directions are independent: there the receiver is not woken by every write.
#[cfg(unix)]
#[test]
fn a_receiver_that_closes_hears_at_once_that_the_sender_has_written_everything() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use async_io::{Async, block_on};
    use futures_lite::future::zip;

    let (ours, mut peer) = UnixStream::pair().unwrap();
    let stream = Async::new(ours).unwrap();
    let websocket = WebSocket::from_handshaken(stream, Role::Server, Config::new(), Vec::new());
    let (mut sender, mut receiver) = websocket.split();
    peer.write_all(&masked(0x88, b"\x03\xE8")).unwrap();
    let reading = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        all
    });
    let large = vec![5; 4 << 20];
    let closing = async {
        async_io::Timer::after(Duration::from_millis(50)).await;
        assert!(matches!(receiver.receive().await.unwrap(), Incoming::Close(_)));
        receiver.close().await
    };
    let start = Instant::now();
    let (closed, sent) = block_on(zip(closing, sender.send(&large)));
    sent.unwrap();
    closed.unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "it closed after {:?}", start.elapsed());
    assert!(reading.join().unwrap().ends_with(b"\x88\x02\x03\xE8"));
}

#[test]
fn without_a_receiver_a_ping_waits_until_it_is_written() {
    let (script, websocket) = connect(Config::new());
    let (mut sender, receiver) = websocket.split();
    drop(receiver);
    script.room.set(1);
    let hand = Hand::new();
    let mut ping = pin!(sender.ping(b"!"));
    assert!(hand.poll(ping.as_mut()).is_pending(), "nobody else would write the rest");
    script.give_room(usize::MAX);
    assert!(hand.wakes() > 0);
    ready(hand.poll(ping)).unwrap();
    assert_eq!(script.take_written(), b"\x89\x01!");
}

#[test]
fn a_pong_that_comes_in_the_same_instant_as_its_ping_is_life() {
    let clock = Clock::new();
    let config = Config::new().keepalive(Duration::from_secs(20), Duration::from_secs(20));
    let (script, mut websocket) = connect_at(config, clock.clone());
    let hand = Hand::new();
    let mut receive = pin!(websocket.receiver.receive());
    for _ in 0..5 {
        assert!(hand.poll(receive.as_mut()).is_pending());
        let ping = script.take_written();
        if let Some(payload) = ping.get(2..) {
            script.say(&masked(0x8A, payload));
            assert!(hand.poll(receive.as_mut()).is_pending());
        }
        clock.pass(Duration::from_secs(20));
    }
}

#[test]
fn without_a_receiver_a_large_send_waits_for_what_was_queued_behind_it_too() {
    let (script, websocket) = connect(Config::new());
    let (mut sender, receiver) = websocket.split();
    let (handle, hand, large) = (sender.queue_handle(), Hand::new(), vec![5; 20_000]);
    drop(receiver);
    script.room.set(10_000);
    let mut send = pin!(sender.send(&large));
    assert!(hand.poll(send.as_mut()).is_pending());
    handle.queue(&EncodedFrame::text("behind")).unwrap();
    script.give_room(10_004 + 3);
    assert!(hand.poll(send.as_mut()).is_pending(), "nobody else would write the rest");
    script.give_room(usize::MAX);
    ready(hand.poll(send)).unwrap();
    assert_eq!(frames(&script.take_written()), [(0x82, 20_000), (0x81, 6)]);
}

// --- endings -------------------------------------------------------------------------------------------------------

#[test]
fn a_send_dropped_with_too_long_a_rest_starts_the_clock_of_its_close() {
    let clock = Clock::new();
    let (script, websocket) = connect_at(Config::new().max_message(1000), clock.clone());
    let (mut sender, mut receiver) = websocket.split();
    let (hand, large) = (Hand::new(), vec![5; 100_000]);
    let mut receive = pin!(receiver.receive());
    assert!(hand.poll(receive.as_mut()).is_pending());
    script.room.set(10);
    assert!(hand.once(sender.send(&large)).is_pending());
    script.give_room(usize::MAX);
    assert!(hand.poll(receive.as_mut()).is_pending());
    assert_eq!(frames(&script.take_written()), [(0x02, 65_536), (0x88, 22)]);
    // The peer says nothing.
    hand.wakes();
    clock.pass(Duration::from_secs(6));
    assert!(hand.wakes() > 0);
    assert!(matches!(ready(hand.poll(receive)), Err(Error::CloseTimeout)));
    assert!(script.dropped.get());
}

#[test]
fn a_close_that_had_arrived_before_a_write_failed_is_how_the_connection_ended() {
    let (script, websocket) = connect(Config::new());
    let (mut sender, mut receiver) = websocket.split();
    let hand = Hand::new();
    script.write_faults.borrow_mut().push_back(ErrorKind::BrokenPipe.into());
    script.say(&[masked(0x81, b"hi"), masked(0x88, b"\x03\xE9")].concat());
    assert_eq!(ready(hand.once(sender.send("x"))).unwrap_err().io_kind(), Some(ErrorKind::BrokenPipe));
    assert_eq!(ready(hand.once(receiver.receive())).unwrap(), Incoming::Message("hi".into()));
    assert!(matches!(ready(hand.once(receiver.receive())).unwrap(), Incoming::Close(Some(_))));
    assert!(ready(hand.once(receiver.receive())).unwrap_err().is_clean_close());
    assert!(ready(hand.once(sender.send("x"))).unwrap_err().is_clean_close());
    assert_eq!(receiver.close_frame().unwrap().code(), CloseCode::GOING_AWAY);
    ready(hand.once(receiver.close())).unwrap();
}

#[test]
fn a_receiver_that_closes_after_a_failed_write_drops_the_stream_whatever_the_peer_goes_on_to_say() {
    let (script, websocket) = connect(Config::new());
    let (mut sender, mut receiver) = websocket.split();
    let hand = Hand::new();
    script.write_faults.borrow_mut().push_back(ErrorKind::BrokenPipe.into());
    script.say(&masked(0x81, b"x").repeat(1000));
    assert!(ready(hand.once(sender.send("x"))).is_err());
    let mut close = pin!(receiver.close());
    let end = loop {
        match hand.poll(close.as_mut()) {
            Poll::Ready(end) => break end,
            Poll::Pending => assert!(hand.wakes() > 0),
        }
    };
    assert_eq!(end.unwrap_err().io_kind(), Some(ErrorKind::BrokenPipe));
    assert!(script.dropped.get());
}

#[test]
fn draining_lets_other_tasks_run_and_keeps_nothing_in_the_thread_s_buffer() {
    let (script, mut websocket) = connect(Config::new());
    let hand = Hand::new();
    script.say(&masked(0xF1, b"a bad frame"));
    assert!(matches!(ready(hand.once(websocket.receiver.receive())), Err(Error::Protocol(_))));
    script.say(&[7; 1000]);
    for _ in 0..500 {
        script.say(b"x");
    }
    let mut close = pin!(websocket.close());
    let mut polls = 0;
    while !script.reads.borrow().is_empty() {
        let before = script.read_calls.get();
        assert!(hand.poll(close.as_mut()).is_pending());
        assert!(hand.wakes() > 0 || script.reads.borrow().is_empty());
        let reads = script.read_calls.get() - before;
        assert!(reads <= 65, "{reads} reads in one poll");
        polls += 1;
    }
    assert!(polls > 5);
    assert!(!script.soiled.get(), "each read finds a clean buffer");
    let (next, mut other) = connect(Config::new());
    assert!(hand.once(other.receiver.receive()).is_pending());
    assert!(!next.soiled.get(), "so does another connection");
}

// --- memory --------------------------------------------------------------------------------------------------------

#[test]
fn tiny_frames_that_come_one_by_one_cost_no_more_than_the_outbox() {
    let (script, websocket) = connect(Config::new());
    let (mut sender, mut receiver) = websocket.split();
    let (handle, hand) = (sender.queue_handle(), Hand::new());
    script.room.set(0);
    assert!(hand.once(receiver.receive()).is_pending());
    let (ping, frame) = (masked(0x89, b""), EncodedFrame::text(""));
    for turn in 0..3 {
        let scope = Scope::new();
        let before = sender.queued_bytes();
        for _ in 0..5000 {
            match turn {
                0 => {
                    script.say(&ping);
                    assert!(hand.once(receiver.receive()).is_pending());
                }
                1 => handle.queue(&frame).unwrap(),
                _ => ready(hand.once(sender.send(""))).unwrap(),
            }
        }
        assert_eq!(sender.queued_bytes() - before, 10_000);
        assert!(scope.live() < 3 * 10_000 + 4096, "{} bytes for 10,000", scope.live());
    }
    script.give_room(usize::MAX);
    assert!(hand.once(receiver.receive()).is_pending());
    let wire = script.take_written();
    let expected = [&b"\x8A\0".repeat(5000)[..], &b"\x81\0".repeat(10_000)].concat();
    assert!(wire == expected, "in order");
}

// --- other people's code ---------------------------------------------------------------------------------------------

thread_local! {
    static HANDLE: RefCell<Option<QueueHandle<Stream>>> = const { RefCell::new(None) };
}

/// A stream's error that uses the connection while it is printed and while it is dropped.
#[derive(Debug)]
struct Meddler;

impl Meddler {
    fn meddle() {
        HANDLE.with_borrow(|handle| {
            if let Some(handle) = handle {
                let _refused = handle.queue(&EncodedFrame::text("x"));
            }
        });
    }
}

impl fmt::Display for Meddler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::meddle();
        f.write_str("meddler")
    }
}

impl std::error::Error for Meddler {}

impl Drop for Meddler {
    fn drop(&mut self) {
        Self::meddle();
    }
}

#[test]
fn an_error_that_uses_the_connection_while_it_is_printed_or_dropped_does_no_harm() {
    let (script, websocket) = connect(Config::new());
    let (mut sender, mut receiver) = websocket.split();
    HANDLE.set(Some(sender.queue_handle()));
    let hand = Hand::new();
    script.write_faults.borrow_mut().push_back(io::Error::other(Meddler));
    script.reads.borrow_mut().push_back(Err(io::Error::other(Meddler)));
    for _ in 0..2 {
        let error = ready(hand.once(sender.send("x"))).unwrap_err();
        assert_eq!(error.to_string(), "the stream failed: meddler");
    }
    for _ in 0..2 {
        let error = ready(hand.once(receiver.receive())).unwrap_err();
        assert_eq!(error.to_string(), "the stream failed: meddler");
    }
    ready(hand.once(sender.close())).unwrap_err();
    HANDLE.set(None);
}
