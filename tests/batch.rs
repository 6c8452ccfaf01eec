//! Batches: what a room tells many leaves at the end of its turn, whatever the streams of its members do.

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

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use kit::choices::Chooser;
use kit::runs;
use unsync_websocket::protocol::{FrameHeader, OpCode};
use unsync_websocket::{
    CloseCode, Config, EncodedFrame, Incoming, QueueError, QueueHandle, Receiver, Role, Sender, batch,
};
use unsync_websocket_test_alloc::{Counting, Scope};

use scripted::{Hand, Script, Stream, connect, masked, ready};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A member of a room: its receiver waits, as nearly always.
struct Seat {
    script: Rc<Script>,
    handle: QueueHandle<Stream>,
    /// Waits for what the member says.
    waiting: Pin<Box<dyn Future<Output = ()>>>,
    hand: Hand,
}

impl Seat {
    fn new() -> Self {
        let (script, websocket) = connect(Role::Server, Config::new());
        let handle = websocket.sender.queue_handle();
        let waiting = Box::pin(async move {
            // Both halves are in here.
            let (_sender, mut receiver) = websocket.split();
            while let Ok(Incoming::Message(_)) = receiver.receive().await {}
        });
        let mut seat = Self { script, handle, waiting, hand: Hand::new() };
        assert!(seat.turn());
        assert_eq!(seat.hand.wakes(), 0);
        seat
    }

    /// Polls its task; tells whether that waits.
    fn turn(&mut self) -> bool {
        self.hand.poll(self.waiting.as_mut()).is_pending()
    }

    fn written(&self) -> (usize, Vec<u8>) {
        (self.script.write_calls.replace(0), self.script.take_written())
    }
}

fn tell(seats: &[Seat], text: &str) {
    let frame = EncodedFrame::text(text);
    for seat in seats {
        seat.handle.queue(&frame).unwrap();
    }
}

#[test]
fn what_is_queued_in_a_batch_leaves_in_one_write_a_member_when_the_work_waits_or_ends() {
    let seats = [Seat::new(), Seat::new(), Seat::new()];
    let work = || async {
        tell(&seats, "one");
        tell(&seats, "two");
        assert!(seats.iter().all(|seat| seat.script.write_calls.get() == 0));
        kit::cut::yield_now().await;
        assert!(seats.iter().all(|seat| seat.written() == (1, b"\x81\x03one\x81\x03two".to_vec())));
        tell(&seats, "end");
    };
    // One inside the other, too.
    let works: [Pin<Box<dyn Future<Output = ()>>>; 2] =
        [Box::pin(batch(work())), Box::pin(batch(batch(work())))];
    for mut work in works {
        let hand = Hand::new();
        assert!(hand.poll(work.as_mut()).is_pending());
        ready(hand.poll(work.as_mut()));
        assert!(seats.iter().all(|seat| seat.written() == (1, b"\x81\x03end".to_vec())));
    }
}

#[test]
fn what_several_said_in_their_corks_leaves_in_one_write_of_the_member_that_hears_it() {
    let mut seats = [Seat::new(), Seat::new()];
    for text in ["one", "two"] {
        let (_script, speaker) = connect(Role::Server, Config::new());
        ready(Hand::new().once(speaker.cork_handle().scope(async { tell(&seats, text) })));
    }
    for seat in &mut seats {
        assert_eq!((seat.hand.wakes(), seat.script.write_calls.get()), (1, 0));
        assert!(seat.turn());
        assert_eq!(seat.written(), (1, b"\x81\x03one\x81\x03two".to_vec()));
    }
}

#[test]
fn a_full_socket_in_a_batch_keeps_nobody_waiting_and_its_rest_is_written_by_its_own_task() {
    let mut seats = [Seat::new(), Seat::new(), Seat::new()];
    seats[1].script.room.set(3);
    ready(Hand::new().once(batch(async { tell(&seats, "hello") })));
    assert_eq!(seats[0].written().1, b"\x81\x05hello");
    assert_eq!(seats[1].written().1, b"\x81\x05h");
    assert_eq!(seats[2].written().1, b"\x81\x05hello");
    assert!(seats[1].turn(), "it may read what it waits for, as the stream is none that is known");
    seats[1].hand.wakes();
    seats[1].script.give_room(100);
    assert_eq!(seats[1].hand.wakes(), 1);
    assert!(seats[1].turn());
    assert_eq!(seats[1].written().1, b"ello");
}

#[test]
fn a_batch_writes_to_1024_members_in_a_turn_and_the_others_are_woken_to_write_themselves() {
    let mut seats: Vec<_> = (0..1030).map(|_| Seat::new()).collect();
    ready(Hand::new().once(batch(async { tell(&seats, "hello") })));
    for (at, seat) in seats.iter_mut().enumerate() {
        if at >= 1024 {
            assert_eq!((seat.written().0, seat.hand.wakes()), (0, 1), "{at}");
            assert!(seat.turn());
        }
        assert_eq!(seat.written(), (1, b"\x81\x05hello".to_vec()), "{at}");
    }
}

#[test]
fn a_batch_writes_a_mebibyte_in_a_turn() {
    let seats: Vec<_> = (0..40).map(|_| Seat::new()).collect();
    let text = "x".repeat(60_000);
    ready(Hand::new().once(batch(async { tell(&seats, &text) })));
    let written = seats.iter().filter(|seat| seat.written().0 > 0).count();
    assert_eq!(written, (1 << 20) / 60_000 + 1);
    assert!(seats[written..].iter().all(|seat| seat.hand.wakes() == 1));
}

#[test]
fn a_panic_in_a_batch_or_in_the_stream_of_a_member_costs_the_others_nothing() {
    for in_the_work in [true, false] {
        let mut seats = [Seat::new(), Seat::new(), Seat::new()];
        if !in_the_work {
            *seats[0].script.on_write.borrow_mut() = Some(Box::new(|| panic!("a bug in a stream")));
        }
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            Hand::new().once(batch(async {
                tell(&seats, "hello");
                assert!(!in_the_work, "a bug in a room");
            }))
        }));
        assert!(panicked.is_err());
        assert_eq!(seats[0].hand.wakes(), 1, "it hears of it itself, too");
        for seat in &mut seats[1..] {
            assert_eq!((seat.hand.wakes(), seat.written().0), (1, 0));
            assert!(seat.turn());
            assert_eq!(seat.written(), (1, b"\x81\x05hello".to_vec()));
        }
        // There is no batch any more.
        tell(&seats[1..], "again");
        assert!(seats[1..].iter().all(|seat| (seat.hand.wakes(), seat.written().0) == (1, 0)));
    }
}

/// Tells a member more than a turn writes, then somebody who is bad, then somebody else.
fn panics_among_those_that_are_left(bad: &QueueHandle<Stream>, other: &mut Seat) {
    let (script, websocket) = connect(Role::Server, Config::new());
    script.forget.set(true);
    let much = websocket.sender.queue_handle();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        Hand::new().once(batch(async {
            much.queue(&EncodedFrame::text(&"x".repeat(2 << 20))).unwrap();
            bad.queue(&EncodedFrame::text("bad")).unwrap();
            other.handle.queue(&EncodedFrame::text("hello")).unwrap();
        }))
    }));
    assert!(panicked.is_err());
    assert_eq!(other.hand.wakes(), 1);
    assert!(other.turn());
    assert_eq!(other.written().1, b"\x81\x05hello");
    other.handle.queue(&EncodedFrame::text("again")).unwrap();
    assert_eq!(other.hand.wakes(), 1);
}

#[test]
fn a_panic_among_those_that_a_turn_has_left_costs_the_others_nothing() {
    // Of a stream on which nobody waits, so that it is written to.
    let (script, websocket) = connect(Role::Server, Config::new());
    *script.on_write.borrow_mut() = Some(Box::new(|| panic!("a bug in a stream")));
    panics_among_those_that_are_left(&websocket.sender.queue_handle(), &mut Seat::new());

    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("a bug in a waker");
        }
    }
    let (_script, websocket) = connect(Role::Server, Config::new());
    let handle = websocket.sender.queue_handle();
    let (_sender, mut receiver) = websocket.split();
    let bomb = Waker::from(Arc::new(Bomb));
    assert!(receiver.poll_receive(&mut Context::from_waker(&bomb)).is_pending());
    panics_among_those_that_are_left(&handle, &mut Seat::new());
}

#[test]
fn no_stream_is_polled_while_a_panic_of_the_work_unwinds() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let handle = websocket.sender.queue_handle();
    *script.on_write.borrow_mut() = Some(Box::new(|| assert!(!std::thread::panicking())));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        Hand::new().once(batch(async {
            handle.queue(&EncodedFrame::text("hello")).unwrap();
            panic!("a bug in a room");
        }))
    }));
    assert!(panicked.is_err());
    let (mut sender, _receiver) = websocket.split();
    ready(Hand::new().once(sender.flush())).unwrap();
    assert_eq!(script.take_written(), b"\x81\x05hello");
}

#[test]
fn a_panic_in_a_cork_wakes_who_waits_beside_it_to_write() {
    let mut seat = Seat::new();
    let (script, websocket) = connect(Role::Server, Config::new());
    (seat.script, seat.handle) = (script, websocket.sender.queue_handle());
    let cork = websocket.cork_handle();
    let (_sender, mut receiver) = websocket.split();
    seat.waiting = Box::pin(async move { drop(receiver.receive().await) });
    assert!(seat.turn());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        Hand::new().once(cork.scope(async {
            seat.handle.queue(&EncodedFrame::text("hello")).unwrap();
            panic!("a bug in a handler");
        }))
    }));
    assert!(panicked.is_err());
    assert_eq!(seat.hand.wakes(), 1);
    assert!(seat.turn());
    assert_eq!(seat.written().1, b"\x81\x05hello");
}

#[test]
fn a_member_that_goes_while_a_batch_holds_something_for_it_is_gone_and_closed_at_once() {
    let seat = Seat::new();
    let (script, websocket) = connect(Role::Server, Config::new());
    let handle = websocket.sender.queue_handle();
    ready(Hand::new().once(batch(async {
        handle.queue(&EncodedFrame::text("hello")).unwrap();
        tell(std::slice::from_ref(&seat), "hello");
        drop(websocket);
        assert!(script.dropped.get());
        assert_eq!(handle.queue(&EncodedFrame::text("again")), Err(QueueError::Closed));
        assert_eq!(handle.queued_bytes(), 0);
    })));
    assert_eq!(script.take_written(), b"");
    assert_eq!(seat.written().1, b"\x81\x05hello");
}

#[test]
fn a_member_is_full_in_a_batch_only_if_its_socket_is() {
    let (script, websocket) = connect(Role::Server, Config::new());
    let other = websocket.sender.queue_handle();
    let frame = EncodedFrame::text(&"x".repeat(1000));
    let refused = || async { (0..200).filter(|_| other.queue(&frame).is_err()).count() };
    assert_eq!(ready(Hand::new().once(batch(refused()))), 0);
    script.room.set(100_000);
    assert_eq!(ready(Hand::new().once(batch(refused()))), 200 - (100_000 + (64 << 10)) / 1004 - 1);
}

#[test]
fn on_whom_nobody_waits_a_turn_writes_though_it_is_over() {
    let seats: Vec<_> = (0..40).map(|_| connect(Role::Server, Config::new())).collect();
    let frame = EncodedFrame::text(&"x".repeat(60_000));
    ready(Hand::new().once(batch(async {
        for (_, websocket) in &seats {
            websocket.sender.queue_handle().queue(&frame).unwrap();
        }
    })));
    assert!(seats.iter().all(|(script, _)| script.write_calls.get() == 1));
}

#[test]
fn what_a_room_needs_is_kept_by_the_thread_and_no_more() {
    let seats: Vec<_> = (0..3000).map(|_| connect(Role::Server, Config::new())).collect();
    seats.iter().for_each(|(script, _)| script.forget.set(true));
    let handles: Vec<_> = seats.iter().map(|(_, websocket)| websocket.sender.queue_handle()).collect();
    let tell = |count: usize, frame: &EncodedFrame| {
        let scope = Scope::new();
        ready(Hand::new().once(batch(async {
            handles.iter().take(count).for_each(|handle| _ = handle.queue(frame));
        })));
        (scope.allocations(), scope.live())
    };
    let frame = EncodedFrame::text(&"x".repeat(500));
    // Into their outboxes, and from then on from the log.
    (0..2).for_each(|_| _ = tell(1000, &frame));
    // The task that polls it, and the work.
    let few = tell(1000, &frame).0;
    assert!(few <= 3, "{few}");
    // Ten sockets are full for a while.
    seats[..10].iter().for_each(|(script, _)| script.room.set(0));
    (0..110).for_each(|_| _ = tell(10, &frame));
    seats[..10].iter().for_each(|(script, _)| script.room.set(usize::MAX));
    tell(1000, &frame);
    let after = tell(1000, &frame).0;
    assert!(after <= few + 2, "{after}");
    let (_, kept) = tell(3000, &frame);
    assert!(kept <= 0, "{kept} bytes more");
}

#[test]
fn a_batch_takes_no_place_beside_its_work() {
    let large = [1; 4096];
    let work = batch(async move {
        kit::cut::yield_now().await;
        std::hint::black_box(large);
    });
    assert!(size_of_val(&work) < 64);
}

// --- the log that a turn keeps of what many are told ----------------------------------------------------------------------

/// A connection both halves of which are at hand, and what it was told, frame by frame.
struct Listener {
    script: Rc<Script>,
    sender: Sender<Stream>,
    receiver: Receiver<Stream>,
    told: Told,
}

type Told = Rc<RefCell<Vec<Vec<u8>>>>;

impl Listener {
    fn new(choices: &Chooser) -> Self {
        let mark = choices.of(&[10, 3000, 20_000, 64 << 10]);
        let (script, websocket) = connect(Role::Server, Config::new().outbox(mark));
        let (sender, receiver) = websocket.split();
        let mut listener = Self { script, sender, receiver, told: Told::default() };
        if !choices.one_in(4) {
            listener.wait(&Hand::new());
        }
        listener
    }

    /// Polls the receiver once.
    fn wait(&mut self, hand: &Hand) {
        assert!(hand.once(self.receiver.receive()).is_pending());
    }

    fn tell(&self, frame: &EncodedFrame) {
        tell_one(&self.sender.queue_handle(), &self.told, frame);
    }
}

fn tell_one(handle: &QueueHandle<Stream>, told: &Told, frame: &EncodedFrame) {
    match handle.queue(frame) {
        Ok(()) => told.borrow_mut().push(frame.as_bytes().to_vec()),
        Err(error) => assert_eq!(error, QueueError::Full),
    }
}

/// The frames of a server, but for its Pongs.
fn frames_of(mut wire: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while !wire.is_empty() {
        let (header, len) = FrameHeader::decode(wire).unwrap().expect("a whole header");
        let (frame, rest) = wire.split_at(len + header.payload_len as usize);
        if header.opcode != OpCode::Pong {
            frames.push(frame.to_vec());
        }
        wire = rest;
    }
    frames
}

/// Does one thing that may come between.
fn act(choices: &Chooser, hand: &Hand, listeners: &mut [Listener], frames: &mut Vec<EncodedFrame>) {
    let one = choices.choose(listeners.len());
    match choices.choose(12) {
        kind @ 0..6 => {
            let frame = if frames.is_empty() || choices.one_in(2) {
                let number = u8::try_from(frames.len() % 251).unwrap();
                let len = choices.of(&[1, 20, 125, 1000, 1500, 5000, 17_000]);
                frames.push(EncodedFrame::binary(&vec![number; len]));
                frames.last().unwrap()
            } else {
                &frames[frames.len().saturating_sub(choices.between(1, 2))]
            };
            let some = if kind == 0 { one..one + 1 } else { 0..listeners.len() };
            for listener in &listeners[some] {
                listener.tell(frame);
            }
        }
        6 => {
            let listener = &mut listeners[one];
            if hand.once(listener.sender.send("own")).is_ready() {
                listener.told.borrow_mut().push(b"\x81\x03own".to_vec());
            }
        }
        7 => {
            listeners[one].script.say(&masked(0x89, b"?"));
            listeners[one].wait(hand);
        }
        8 => listeners[one].wait(hand),
        9 => listeners[one].script.give_room(choices.of(&[0, 1, 30, 3000, 100_000])),
        10 => ready(hand.once(batch(async { act(choices, hand, listeners, frames) }))),
        _ => assert!(listeners[one].sender.queued_bytes() < 1 << 20),
    }
}

#[test]
fn whatever_comes_between_each_member_hears_all_that_it_was_told_once_and_in_order() {
    runs::each_seed("whatever_comes_between", 3000, |run| {
        let (choices, hand) = (&run.choices, Hand::new());
        let mut listeners: Vec<_> = (0..3).map(|_| Listener::new(choices)).collect();
        // The stream of the first is not quiet when it is written to.
        let (handle, told, chooser) =
            (listeners[1].sender.queue_handle(), Rc::clone(&listeners[1].told), choices.clone());
        *listeners[0].script.on_write.borrow_mut() = Some(Box::new(move || {
            let frame = EncodedFrame::text("from within");
            match chooser.choose(6) {
                0 => tell_one(&handle, &told, &frame),
                1 => ready(Hand::new().once(batch(async { tell_one(&handle, &told, &frame) }))),
                _ => {}
            }
        }));
        let mut frames = Vec::new();
        for _ in 0..choices.between(1, 6) {
            ready(hand.once(batch(async {
                for _ in 0..choices.between(1, 12) {
                    act(choices, &hand, &mut listeners, &mut frames);
                }
            })));
        }
        for listener in &mut listeners {
            *listener.script.on_write.borrow_mut() = None;
            listener.script.give_room(usize::MAX);
            listener.wait(&hand);
            assert_eq!(listener.sender.queued_bytes(), 0);
            let brief = |frames: &[Vec<u8>]| {
                frames.iter().map(|frame| (frame.len(), *frame.last().unwrap())).collect::<Vec<_>>()
            };
            let heard = frames_of(&listener.script.take_written());
            assert_eq!(brief(&heard), brief(&listener.told.borrow()));
            assert!(heard == *listener.told.borrow());
        }
    });
}

#[test]
fn a_member_that_is_closed_in_the_turn_hears_what_it_was_told_before_or_nothing_if_it_is_closed_now() {
    for (now, expected) in [(false, &b"\x81\x03one\x88\x02\x03\xE9"[..]), (true, b"\x88\x02\x03\xE9")] {
        let seats = [Seat::new(), Seat::new()];
        ready(Hand::new().once(batch(async {
            tell(&seats, "one");
            let handle = &seats[0].handle;
            let code = CloseCode::GOING_AWAY;
            if now { handle.close_now(code, "") } else { handle.queue_close(code, "") }.unwrap();
            assert_eq!(handle.queue(&EncodedFrame::text("two")), Err(QueueError::Closed));
        })));
        let mut seats = seats;
        seats[0].turn();
        assert_eq!(seats[0].script.take_written(), expected);
        assert_eq!(seats[1].script.take_written(), b"\x81\x03one");
    }
}

#[test]
fn who_does_not_write_in_the_turn_shares_what_all_were_told() {
    let mut seats: Vec<_> = (0..200).map(|_| Seat::new()).collect();
    seats.iter().for_each(|seat| seat.script.forget.set(true));
    let mut say = || {
        let scope = Scope::new();
        ready(Hand::new().once(batch(async {
            for number in 0..30 {
                let frame = EncodedFrame::binary(&[number; 1000]);
                for seat in &seats {
                    seat.handle.queue(&frame).unwrap();
                }
            }
        })));
        let woken: Vec<_> = seats.iter().map(|seat| seat.handle.queued_bytes()).collect();
        let held = scope.live();
        for seat in &mut seats {
            seat.turn();
        }
        (woken.iter().filter(|queued| **queued == 30 * 1004).count(), held)
    };
    // What the thread keeps for the next time.
    say();
    let (woken, held) = say();
    assert!(woken > 150, "{woken} are left when the turn has written a mebibyte");
    assert!(held < 100_000, "{held} bytes for what would be {woken} times 30 KB");
}

#[test]
fn a_member_closed_now_in_the_middle_of_what_all_were_told_finishes_one_frame() {
    let mut seats: Vec<_> = (0..200).map(|_| Seat::new()).collect();
    let frames = [1, 2, 3, 4, 5, 6, 7, 8].map(|number| EncodedFrame::binary(&[number; 1000]));
    ready(Hand::new().once(batch(async {
        for frame in &frames {
            seats.iter().for_each(|seat| seat.handle.queue(frame).unwrap());
        }
    })));
    let last = seats.last_mut().unwrap();
    assert_eq!((last.handle.queued_bytes(), last.written()), (8 * 1004, (0, Vec::new())));
    last.script.give_room(1500);
    assert!(last.turn());
    last.handle.close_now(CloseCode::TRY_AGAIN_LATER, "").unwrap();
    last.script.give_room(usize::MAX);
    last.turn();
    let expected = [frames[0].as_bytes(), frames[1].as_bytes(), b"\x88\x02\x03\xF5"].concat();
    assert!(last.script.take_written() == expected);
}
