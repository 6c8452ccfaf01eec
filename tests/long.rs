//! Long messages: read to where they stay, and written from where they lie, over a stream that gives and takes much at a time.
//!
//! The pipes of the other simulations hold less than the 64 KiB from which on a payload is read straight into its message, so these
//! have a stream of their own, whose every read fills what it is given, unless the run decides otherwise.
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

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ends::talk::Talk;
use futures_io::{AsyncRead, AsyncWrite};
use kit::choices::Chooser;
use kit::flood::{self, Hand};
use kit::ledger;
use kit::net::Config as Net;
use kit::nowhere::Nowhere;
use kit::runs::{each_seed, each_seed_and_model, is_replay};
use kit::sim::Sim;
use kit::slow::{self, BINARY, CONTINUATION, Event, From, PING, PONG, TEXT};
use kit::wire;
use unsync_websocket::{
    CloseCode, Config, EncodedFrame, Error, Incoming, MessageKind, NoTimer, ProtocolError, Role, WebSocket,
};

const KIB: usize = 1 << 10;

/// What passes through a [`Stream`], and how.
struct Tube {
    choices: Chooser,
    said: RefCell<(Vec<u8>, usize)>,
    written: RefCell<Vec<u8>>,
    /// Bytes that writes still take.
    room: Cell<usize>,
    /// Whether reads and writes are cut, put off and interrupted.
    is_moody: Cell<bool>,
    /// Whether a write takes the first piece alone, as that of a stream that knows no other.
    is_plain: Cell<bool>,
    /// The longest space that a read was given, the most that it brought, and the most pieces that a write was given.
    most_asked: Cell<usize>,
    brought: Cell<usize>,
    most_pieces: Cell<usize>,
    /// Called in a write, before it takes anything.
    hook: RefCell<Option<Box<dyn FnMut()>>>,
    waker: RefCell<Option<Waker>>,
}

struct Stream(Rc<Tube>);

impl Tube {
    fn connect(choices: &Chooser, role: Role, config: Config) -> (Rc<Self>, WebSocket<Stream>) {
        let tube = Rc::new(Self {
            choices: choices.clone(),
            said: RefCell::default(),
            written: RefCell::default(),
            room: Cell::new(usize::MAX),
            is_moody: Cell::new(false),
            is_plain: Cell::new(false),
            most_asked: Cell::default(),
            brought: Cell::default(),
            most_pieces: Cell::default(),
            hook: RefCell::default(),
            waker: RefCell::default(),
        });
        let socket = WebSocket::with_timer(Stream(tube.clone()), role, config, Vec::new(), NoTimer);
        (tube, socket)
    }

    fn wake(&self) {
        let waker = self.waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    fn say(&self, bytes: &[u8]) {
        self.said.borrow_mut().0.extend_from_slice(bytes);
        self.wake();
    }

    fn give_room(&self, bytes: usize) {
        self.room.set(bytes);
        self.wake();
    }

    fn is_read(&self) -> bool {
        let said = self.said.borrow();
        said.0.len() == said.1
    }

    /// How much of `most` moves now, or why nothing does.
    fn amount(&self, most: usize, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        if most == 0 {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if !self.is_moody.get() {
            return Poll::Ready(Ok(most));
        }
        match self.choices.choose(12) {
            0..8 => Poll::Ready(Ok(most)),
            8 => Poll::Ready(Ok(self.choices.between(1, most))),
            9 => Poll::Ready(Ok(self.choices.between(1, most.min(20)))),
            10 => Poll::Ready(Err(ErrorKind::Interrupted.into())),
            _ => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let tube = &self.0;
        // What it brought itself may still be there.
        let others = buf.get(tube.brought.get()..).unwrap_or_default();
        assert!(others.iter().all(|byte| *byte == 0), "nothing of anybody else's is in the space");
        tube.most_asked.set(tube.most_asked.get().max(buf.len()));
        let left = {
            let said = tube.said.borrow();
            said.0.len() - said.1
        };
        let count = std::task::ready!(tube.amount(left.min(buf.len()), cx))?;
        let (bytes, at) = &mut *tube.said.borrow_mut();
        buf[..count].copy_from_slice(&bytes[*at..*at + count]);
        *at += count;
        tube.brought.set(tube.brought.get().max(count));
        Poll::Ready(Ok(count))
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
        let tube = &self.0;
        tube.most_pieces.set(tube.most_pieces.get().max(bufs.len()));
        let bufs = if tube.is_plain.get() { &bufs[..1] } else { bufs };
        if let Some(hook) = tube.hook.borrow_mut().as_mut() {
            hook();
        }
        let asked: usize = bufs.iter().map(|buf| buf.len()).sum();
        let count = std::task::ready!(tube.amount(asked.min(tube.room.get()), cx))?;
        tube.room.set(tube.room.get() - count);
        let mut left = count;
        for buf in bufs {
            let part = &buf[..left.min(buf.len())];
            left -= part.len();
            tube.written.borrow_mut().extend_from_slice(part);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

// --- reading ------------------------------------------------------------------------------------------------------

/// Lengths around those at which something changes: a read, a payload that counts as long, a growth.
fn length(choices: &Chooser) -> usize {
    let around = choices.of(&[0, 64, 128, 192, 256, 512, 700]) * KIB;
    (around + choices.between(0, 40)).saturating_sub(20) + choices.of(&[0, 0, 5000])
}

/// A message as its frames, with a Ping between two of them at times.
fn frames(choices: &Chooser, from: From, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let piece = choices.of(&[usize::MAX, usize::MAX, 150 * KIB, 65_536, 20_000]);
    let mut rest = payload;
    let mut opcode = opcode;
    loop {
        let (now, after) = rest.split_at(piece.min(rest.len()));
        bytes.extend(slow::frame(from, after.is_empty(), opcode, now));
        if after.is_empty() {
            return bytes;
        }
        if choices.one_in(4) {
            bytes.extend(slow::frame(from, true, PING, b"there?"));
        }
        (rest, opcode) = (after, CONTINUATION);
    }
}

#[test]
fn long_messages_come_whole_however_they_are_read_dropped_and_moved() {
    let (most_asked, messages) = (Cell::new(0), Cell::new(0));
    each_seed("long_messages_come_whole_however_they_are_read_dropped_and_moved", 150, |run| {
        let choices = &run.choices;
        let (role, from) = choices.of(&[(Role::Server, From::Client), (Role::Client, From::Server)]);
        let (tube, socket) = Tube::connect(choices, role, Config::new());
        let mut socket = Some(socket);
        tube.is_moody.set(choices.one_in(2));
        let mut expected = Vec::new();
        for id in 1..=choices.between(1, 3) as u32 {
            let (opcode, payload) = if choices.one_in(2) {
                (TEXT, ledger::text(id, length(choices).max(8)).into_bytes())
            } else {
                (BINARY, ledger::binary(id, length(choices).max(8)))
            };
            tube.say(&frames(choices, from, opcode, &payload));
            expected.push((if opcode == TEXT { MessageKind::Text } else { MessageKind::Binary }, payload));
        }
        let (appends, drops, moves) = (choices.one_in(2), choices.one_in(3), choices.one_in(4));
        let hand = Hand::new();
        let mut data = b"so far".to_vec();
        for (kind, payload) in &expected {
            if !appends || choices.one_in(2) {
                data.clear();
            }
            let start = data.len();
            // Nothing more is said: whatever it needs to get there, it wakes itself for.
            let came = loop {
                let it = socket.as_mut().unwrap();
                if !drops {
                    break hand.run(pin!(it.receiver.receive_data(&mut data))).expect("it waits").unwrap();
                }
                if let Poll::Ready(came) = hand.poll(pin!(it.receiver.receive_data(&mut data))) {
                    break came.unwrap();
                }
                assert!(hand.wakes() > 0, "it waits, and {} is all that was said", tube.said.borrow().1);
                if moves && choices.one_in(4) {
                    let parts = socket.take().unwrap().into_parts().unwrap();
                    socket = Some(WebSocket::from_parts_with_timer(parts, NoTimer));
                }
            };
            assert!(came == *kind && data[start..] == *payload, "a message of {} bytes", payload.len());
            messages.set(messages.get() + 1);
        }
        assert!(tube.is_read());
        most_asked.set(most_asked.get().max(tube.most_asked.get()));
    });
    println!("{} messages, up to {} bytes a read", messages.get(), most_asked.get());
    assert!(is_replay() || most_asked.get() > 64 * KIB, "nothing was read straight to where it stays");
}

/// Messages that come together lie where they were read, and the next may begin anywhere.
#[test]
fn messages_that_come_together_are_told_one_by_one_in_whatever_way_they_are_asked_for() {
    let (lent, pings) = (Cell::new(0), Cell::new(0));
    each_seed(
        "messages_that_come_together_are_told_one_by_one_in_whatever_way_they_are_asked_for",
        300,
        |run| {
            let choices = &run.choices;
            let (role, from) = choices.of(&[(Role::Server, From::Client), (Role::Client, From::Server)]);
            let (tube, socket) = Tube::connect(choices, role, Config::new());
            let mut socket = Some(socket);
            tube.is_moody.set(choices.one_in(2));
            let longest = choices.of(&[20, 130, 600, 3000, 20_000, 70_000]);
            let mut expected = Vec::new();
            let mut said = Vec::new();
            for id in 1..=choices.between(1, 100) as u32 {
                let len = choices.between(8, longest);
                let (opcode, payload) = if choices.one_in(2) {
                    (TEXT, ledger::text(id, len).into_bytes())
                } else {
                    (BINARY, ledger::binary(id, len))
                };
                if choices.one_in(4) {
                    said.extend(slow::frame(from, true, choices.of(&[PING, PONG]), &payload[..8]));
                    pings.set(pings.get() + 1);
                }
                said.extend(frames(choices, from, opcode, &payload));
                expected
                    .push((if opcode == TEXT { MessageKind::Text } else { MessageKind::Binary }, payload));
            }
            tube.say(&said);
            let (appends, drops, moves) = (choices.one_in(4), choices.one_in(3), choices.one_in(4));
            let hand = Hand::new();
            for (kind, payload) in &expected {
                let mut data = b"so far".to_vec();
                let appends = appends ^ choices.one_in(8);
                loop {
                    let it = socket.as_mut().unwrap();
                    let poll = if appends {
                        let poll = hand.poll(pin!(it.receiver.receive_data(&mut data)));
                        poll.map(|came| {
                            assert!(came.unwrap() == *kind && data[6..] == *payload);
                            true
                        })
                    } else {
                        let mut receive = pin!(it.receiver.receive());
                        let mut polls = if drops { 1 } else { usize::MAX };
                        loop {
                            let poll = hand.poll(receive.as_mut());
                            polls -= 1;
                            if poll.is_ready() || polls == 0 {
                                break poll;
                            }
                            assert!(hand.wakes() > 0, "it waits");
                        }
                        .map(|came| match came.unwrap() {
                            Incoming::Message(message) => {
                                assert!(message.kind() == *kind && message.as_bytes() == payload);
                                lent.set(lent.get() + 1);
                                true
                            }
                            other => {
                                assert!(matches!(other, Incoming::Pong(payload) if payload.len() == 8));
                                false
                            }
                        })
                    };
                    match poll {
                        Poll::Ready(true) => break,
                        Poll::Ready(false) => {}
                        Poll::Pending => assert!(hand.wakes() > 0, "it waits"),
                    }
                    if moves && choices.one_in(8) {
                        let parts = socket.take().unwrap().into_parts().unwrap();
                        socket = Some(WebSocket::from_parts_with_timer(parts, NoTimer));
                    }
                }
            }
            assert!(tube.is_read());
        },
    );
    println!("{} messages lent, {} pings and pongs between them", lent.get(), pings.get());
}

#[test]
fn bad_utf_8_in_a_long_frame_is_told_by_the_read_that_brings_it() {
    for at in [0, 65_521, 65_522, 65_536, 131_043, 131_044, 131_058, 200_000, 299_999] {
        let (tube, mut socket) = Tube::connect(&Chooser::seeded(0), Role::Server, Config::new());
        let mut payload = vec![b'x'; 1 << 20];
        payload[at] = 0xFF;
        // Of the frame this much comes, and then no more.
        tube.say(&slow::frame(From::Client, true, TEXT, &payload)[..14 + 300_000]);
        let error = flood::run(socket.receiver.receive()).expect("it is told").unwrap_err();
        assert!(matches!(error, Error::Protocol(ProtocolError::InvalidUtf8)), "at {at}: {error:?}");
        let read = tube.said.borrow().1;
        assert!(read <= (2 * at).max(128 * KIB) + 14, "at {at}, of which {read} bytes were read");
    }
}

#[test]
fn a_stream_that_fails_inside_a_long_read_ends_the_connection_and_shows_nothing() {
    type Fault = fn(&mut [u8]) -> Poll<io::Result<usize>>;
    struct Faulty(Vec<u8>, Fault);
    impl AsyncRead for Faulty {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            if self.0.is_empty() {
                return (self.1)(buf);
            }
            let rest = self.0.split_off(buf.len());
            buf.copy_from_slice(&self.0);
            self.0 = rest;
            Poll::Ready(Ok(buf.len()))
        }
    }
    type Told = fn(&Error) -> bool;
    let faults: [(Fault, Told); 4] = [
        (|buf| Poll::Ready(Ok(buf.len() + 1)), |error| matches!(error, Error::Io(_))),
        (|_| Poll::Ready(Ok(0)), |error| matches!(error, Error::EndOfStream { inside_message: true })),
        (|_| Poll::Ready(Err(ErrorKind::ConnectionReset.into())), |error| matches!(error, Error::Io(_))),
        (|_| panic!("inside a read"), |error| matches!(error, Error::StreamPanicked)),
    ];
    for (i, (fault, is_it)) in faults.into_iter().enumerate() {
        let mut bytes = slow::frame(From::Client, true, BINARY, &vec![7; 512 * KIB]);
        bytes.truncate(64 * KIB);
        let stream = Nowhere(Faulty(bytes, fault));
        let mut socket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
        let mut data = Vec::new();
        for _ in 0..3 {
            let receive =
                std::panic::AssertUnwindSafe(|| flood::run(socket.receiver.receive_data(&mut data)));
            match std::panic::catch_unwind(receive) {
                Err(_) => assert!(matches!(i, 3), "only the last one panics"),
                Ok(result) => {
                    let error = result.expect("it does not wait").unwrap_err();
                    assert!(is_it(&error), "fault {i}: {error:?}");
                }
            }
            assert!(data.is_empty());
        }
    }
}

#[test]
fn a_space_for_a_long_read_is_no_longer_than_what_has_come() {
    let frame = slow::frame(From::Client, true, BINARY, &vec![7; 1 << 20]);
    for start in [14, 14 + 64 * KIB, 14 + 300 * KIB] {
        let (tube, mut socket) = Tube::connect(&Chooser::seeded(0), Role::Server, Config::new());
        tube.say(&frame[..start + 64 * KIB]);
        assert!(flood::run(socket.receiver.receive()).is_none());
        let most = (start + 64 * KIB).max(64 * KIB);
        assert!(tube.most_asked.get() <= most, "{} bytes with {most} there", tube.most_asked.get());
    }
}

/// One end: its role, who it is to the slow model, and who its peer is.
fn side(is_client: bool) -> (Role, From, From) {
    if is_client {
        (Role::Client, From::Client, From::Server)
    } else {
        (Role::Server, From::Server, From::Client)
    }
}

// --- writing ------------------------------------------------------------------------------------------------------

#[test]
fn of_the_fragments_in_a_write_none_is_lost_doubled_or_cut() {
    let (most_pieces, cut) = (Cell::new(0), Cell::new(0));
    each_seed("of_the_fragments_in_a_write_none_is_lost_doubled_or_cut", 800, |run| {
        let choices = &run.choices;
        let fragment = choices.of(&[1000, 7000, 64 * KIB]);
        let (role, from, peer) = side(choices.one_in(2));
        let (tube, socket) = Tube::connect(choices, role, Config::new().fragment(fragment));
        tube.is_moody.set(true);
        tube.is_plain.set(choices.one_in(6));
        let (mut sender, mut receiver) = socket.split();
        let closes = choices.one_in(3);
        if closes {
            // In one write, or in all from that one on.
            let again = if choices.one_in(2) { usize::MAX } else { 1 };
            let (handle, mut left) = (sender.queue_handle(), choices.between(1, 12));
            *tube.hook.borrow_mut() = Some(Box::new(move || {
                left -= 1;
                if left == 0 {
                    left = again;
                    let _refused = handle.close_now(CloseCode::TRY_AGAIN_LATER, "slow");
                }
            }));
        }
        let payload = ledger::binary(1, choices.of(&[16, 17, 40, 130, 600]) * KIB + choices.between(0, 9));
        let mut sent = None;
        {
            let (hand, mut send, drops) = (Hand::new(), pin!(sender.send(&payload)), choices.one_in(4));
            for polls in 0.. {
                assert!(polls < 100_000, "it makes progress");
                if let Poll::Ready(result) = hand.poll(send.as_mut()) {
                    sent = Some(result.is_ok());
                    break;
                }
                assert!(hand.wakes() > 0, "it waits for a stream that is there");
                if choices.one_in(3) {
                    tube.say(&slow::frame(peer, true, PING, b"there?"));
                    let _nothing = flood::run(receiver.receive());
                }
                if drops && choices.one_in(4) {
                    break;
                }
            }
        }
        // Whatever is left, the receiver writes as it waits.
        let _nothing = flood::run(receiver.receive());
        let seen = wire::check(from, &tube.written.borrow());
        let whole: Vec<_> =
            seen.events.iter().filter(|event| matches!(event, Event::Binary(_))).cloned().collect();
        let is_whole = whole == [Event::Binary(payload)];
        let is_closed = wire::close_code(&seen).is_some();
        let begun = seen.frames.iter().any(|frame| frame.opcode == BINARY);
        match sent {
            Some(true) => assert!(is_whole, "sent, and not there: {:?}", wire::brief(&seen.events)),
            Some(false) => assert!(is_closed && whole.is_empty(), "{:?}", wire::brief(&seen.events)),
            None => assert!(is_whole || is_closed || !begun, "{:?}", wire::brief(&seen.events)),
        }
        assert!(closes || !is_closed);
        cut.set(cut.get() + usize::from(begun && !is_whole));
        most_pieces.set(most_pieces.get().max(tube.most_pieces.get()));
    });
    println!("up to {} pieces a write, {} messages cut by a Close", most_pieces.get(), cut.get());
    assert!(is_replay() || (most_pieces.get() == 16 && cut.get() > 10));
}

/// A Pong waits for what the stream has taken, and for the rest of the one fragment that it has taken a part of.
#[test]
fn a_pong_goes_behind_the_fragment_that_has_begun_of_those_that_were_handed_out() {
    for (is_client, header) in [(false, 4), (true, 8)] {
        let (role, from, peer) = side(is_client);
        let fragment = header + 1000;
        let begun = [0, 1, 3, header, 5, fragment - 1, fragment, fragment + 1, fragment + header - 1];
        let later =
            [fragment + header, fragment + header + 1, 3 * fragment, 3 * fragment + 1, 8 * fragment - 2];
        for taken in begun.into_iter().chain(later) {
            let (tube, socket) = Tube::connect(&Chooser::seeded(0), role, Config::new().fragment(1000));
            let (mut sender, mut receiver) = socket.split();
            let payload = ledger::binary(1, 20_000);
            let (hand, mut send) = (Hand::new(), pin!(sender.send(&payload)));
            tube.room.set(taken);
            assert!(hand.poll(send.as_mut()).is_pending());
            tube.say(&slow::frame(peer, true, PING, b"there?"));
            assert!(flood::run(receiver.receive()).is_none());
            tube.give_room(usize::MAX);
            hand.run(send).expect("there is room").unwrap();
            let seen = wire::check(from, &tube.written.borrow());
            let place = seen.frames.iter().position(|frame| frame.opcode == PONG);
            assert_eq!(place, Some(taken.div_ceil(fragment)), "{taken} bytes were taken");
            assert!(seen.events.contains(&Event::Binary(payload.clone())));
        }
    }
}

/// The wake-up that tells a sender of `close_now` is for one who waits, and this one is being polled.
#[test]
fn a_send_whose_stream_gives_it_up_in_the_middle_of_a_pong_does_not_wait_for_ever() {
    let (tube, socket) = Tube::connect(&Chooser::seeded(0), Role::Server, Config::new().fragment(1000));
    let (mut sender, mut receiver) = socket.split();
    let (handle, payload) = (sender.queue_handle(), ledger::binary(1, 20_000));
    let (hand, mut send) = (Hand::new(), pin!(sender.send(&payload)));
    tube.room.set(1004);
    assert!(hand.poll(send.as_mut()).is_pending());
    tube.say(&slow::frame(From::Client, true, PING, b"there?"));
    assert!(flood::run(receiver.receive()).is_none());
    *tube.hook.borrow_mut() = Some(Box::new(move || {
        let _refused = handle.close_now(CloseCode::TRY_AGAIN_LATER, "slow");
    }));
    tube.give_room(usize::MAX);
    assert!(matches!(hand.poll(send.as_mut()), Poll::Ready(Err(Error::Closing))));
    let seen = wire::check_closed(From::Server, &tube.written.borrow());
    assert_eq!(seen.frames.iter().map(|frame| frame.opcode).collect::<Vec<_>>(), [BINARY, PONG, 8]);
}

/// Found by tests/reentry.rs.
#[test]
fn what_was_queued_behind_the_last_frame_of_a_dropped_send_arrives_though_more_was_left_than_is_kept() {
    let (tube, socket) = Tube::connect(&Chooser::seeded(0), Role::Server, Config::new().max_message(1000));
    let (mut sender, mut receiver) = socket.split();
    let (handle, payload, queued) = (sender.queue_handle(), ledger::binary(1, 20_000), ledger::binary(2, 20));
    {
        let (hand, mut send) = (Hand::new(), pin!(sender.send(&payload)));
        tube.room.set(500);
        assert!(hand.poll(send.as_mut()).is_pending());
        handle.queue(&EncodedFrame::binary(&queued)).unwrap();
    }
    tube.give_room(usize::MAX);
    assert!(flood::run(receiver.receive()).is_none());
    let seen = wire::check(From::Server, &tube.written.borrow());
    assert!(
        seen.events == [Event::Binary(payload), Event::Binary(queued)],
        "{:?}",
        wire::brief(&seen.events)
    );
}

/// Found by tests/reentry.rs.
#[test]
fn a_receiver_dropped_by_the_stream_while_the_sender_closes_leaves_it_the_peer_s_close() {
    let (tube, socket) = Tube::connect(&Chooser::seeded(0), Role::Server, Config::new());
    let (mut sender, receiver) = socket.split();
    let mut receiver = Some(receiver);
    *tube.hook.borrow_mut() = Some(Box::new(move || drop(receiver.take())));
    let (hand, mut close) = (Hand::new(), pin!(sender.close()));
    assert!(hand.poll(close.as_mut()).is_pending());
    wire::check_closed(From::Server, &tube.written.borrow());
    tube.say(&slow::close(From::Client, 1000, ""));
    hand.run(close).expect("the peer has closed, too").unwrap();
}

#[test]
fn a_turn_writes_eight_fragments_also_where_each_write_takes_one_piece() {
    for (is_client, is_plain, most) in [(false, false, 9), (false, true, 17), (true, true, 17)] {
        let (role, ..) = side(is_client);
        let (tube, mut socket) = Tube::connect(&Chooser::seeded(0), role, Config::new());
        tube.is_plain.set(is_plain);
        let payload = vec![7_u8; 8 << 20];
        let (hand, mut send, mut turns) = (Hand::new(), pin!(socket.sender.send(&payload)), 1);
        while hand.poll(send.as_mut()).is_pending() {
            assert!(hand.wakes() > 0);
            turns += 1;
        }
        assert!((8..=most).contains(&turns), "{turns} turns for 8 MiB");
    }
}

/// Each fragment has a key of its own (section 5.3), and keeps it however often a piece of it is masked.
#[test]
fn a_client_masks_each_fragment_with_one_key_however_little_a_write_takes() {
    const FRAGMENT: usize = 40_000;
    let payload = ledger::binary(1, 2 * FRAGMENT + 1);
    for room in [1, 3, 6, 1001, 32 * KIB, FRAGMENT] {
        let config = Config::new().fragment(FRAGMENT);
        let (tube, mut socket) = Tube::connect(&Chooser::seeded(0), Role::Client, config);
        tube.room.set(room);
        let (hand, mut send) = (Hand::new(), pin!(socket.sender.send(&payload)));
        while hand.poll(send.as_mut()).map(Result::unwrap).is_pending() {
            if tube.room.get() == 0 {
                tube.give_room(room);
            }
        }
        let written = tube.written.borrow();
        let seen = wire::check(From::Client, &written);
        assert!(seen.events == [Event::Binary(payload.clone())], "{room} bytes a write");
        // Two bytes, a length in two or none, the key, the payload.
        let keys = [4, 12 + FRAGMENT, 18 + 2 * FRAGMENT].map(|at| written[at..at + 4].to_vec());
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2], "{keys:?}");
    }
}

// --- both ---------------------------------------------------------------------------------------------------------

#[test]
fn both_ends_of_wide_pipes_talk_in_long_messages() {
    each_seed_and_model("both_ends_of_wide_pipes_talk_in_long_messages", 6, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices();
        let lengths = || (0..choices.between(1, 2)).map(|_| length(choices).max(8)).collect();
        let talk = Talk {
            lengths: [lengths(), lengths()],
            pings: [choices.between(0, 2), choices.between(0, 2)],
            stalled: false,
            ..Talk::chosen(choices, 8)
        };
        let config = Config::new().fragment(choices.of(&[7000, 64 * KIB, 1 << 20]));
        let net = Net::new(run.model).capacity(choices.of(&[70 * KIB, 400 * KIB])).chop(choices.one_in(3));
        talk.run(&sim, net, [config.clone(), config]);
    });
}
