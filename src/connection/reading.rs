//! The reading side of a connection: the stream's bytes through [`Inbound`], fairly.
//!
//! It belongs to the receiver, by value, so that a received message can be borrowed with no cell in the way; when the receiver
//! is dropped it moves to where the sender's `close` finds it. It answers pings as it meets them.
//!
//! One peer must not take the thread for itself: frames and bytes are counted since the last time that this side had to
//! wait, across calls, and past a budget it lets the other tasks run. (A budget a poll fails: each `receive` is a fresh
//! poll, and with a million messages buffered another task never ran.)

use std::cell::RefCell;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

use super::Error;
use super::hub::Slot;
use super::keepalive::{Action, Keepalive, Pulse};
use super::rest::{Boxes, Rests, Spare};
use super::scratch::ReadBuffer;
use super::shared::{ReadEnd, Shared};
use crate::protocol::spare::Hold;
use crate::protocol::{Event, Inbound, Inflater, Limits, MessageKind, ProtocolError, Role};

/// Frames after which other tasks get their turn.
const FRAME_BUDGET: usize = 64;
/// Bytes after which other tasks get their turn.
const BYTE_BUDGET: usize = 64 << 10;
/// Bytes that are read straight to where they stay cost so much less than others: a turn ends when it has read 1 MiB of them, or up to
/// half of that more with its last read.
const LONG_READ_SHARE: usize = 16;

pub(crate) struct Reading {
    inbound: Inbound,
    /// Bytes that were read and come after the last event.
    input: ReadBuffer,
    flow: Flow,
    budget: Budget,
    /// Bytes of messages that nobody wanted.
    discarded: usize,
    keepalive: Option<Box<Keepalive>>,
    /// Of a long message that waits for more.
    hold: Option<Hold>,
}

/// Work done since this side last had to wait.
#[derive(Default)]
pub(crate) struct Budget {
    frames: usize,
    bytes: usize,
}

impl Budget {
    /// Counts one more frame, or read, of so many bytes.
    pub(crate) const fn spend(&mut self, bytes: usize) {
        self.frames = self.frames.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(crate) const fn is_spent(&self) -> bool {
        self.frames >= FRAME_BUDGET || self.bytes >= BYTE_BUDGET
    }
}

/// What tells the reading side of one connection from that of another, while both wait.
pub(crate) struct Terms {
    role: Role,
    limits: Limits,
    inflater: Option<Box<Inflater>>,
}

/// What the last read says of the next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Unknown,
    /// It filled all the space it was given: there is more.
    More,
    /// It did not: there is nothing now.
    Dry,
}

impl Flow {
    const fn after(read: &Poll<Result<usize, ReadEnd>>, len: usize) -> Self {
        match read {
            Poll::Ready(Ok(count)) if *count == len => Self::More,
            Poll::Ready(_) | Poll::Pending => Self::Dry,
        }
    }
}

/// Where what was read lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Scratch,
    Message,
}

/// What a stretch of input came to.
enum Parsed {
    Event(Event),
    NeedMore,
    Failed(ProtocolError),
    /// The budget is spent.
    Yield,
}

impl Reading {
    pub(crate) const fn new(inbound: Inbound, read_ahead: Vec<u8>) -> Self {
        Self {
            inbound,
            input: ReadBuffer::of(read_ahead),
            flow: Flow::Unknown,
            budget: Budget { frames: 0, bytes: 0 },
            discarded: 0,
            keepalive: None,
            hold: None,
        }
    }

    /// Watches over the peer's life from now on.
    pub(crate) fn keep_alive(&mut self, pulse: Pulse) {
        self.keepalive = Some(Box::new(Keepalive::new(pulse)));
    }

    /// Gives back what a long message holds beyond what has come of it.
    #[cold]
    pub(crate) fn release(&mut self) {
        self.hold = None;
        self.inbound.release_memory();
    }

    /// All that another thread needs to read on: what has come of a message, what was read behind it, the peer's pulse.
    pub(crate) fn into_parts(mut self) -> (Inbound, Vec<u8>, Option<Pulse>) {
        self.release();
        (self.inbound, self.input.into_unread(), self.keepalive.as_deref().map(Keepalive::pulse))
    }

    /// The time that the last answered Ping of the keepalive took.
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.keepalive.as_deref().and_then(Keepalive::latency)
    }

    /// The stream has been asked whether there may be something to read: there may.
    pub(crate) const fn may_read(&mut self) {
        self.flow = Flow::Unknown;
    }

    /// The payload of the last event.
    pub(crate) fn payload(&self) -> &[u8] {
        payload(&self.input, &self.inbound)
    }

    /// The message that is next, if it is one frame and all of it has been read before, as nearly always: unmasked where it lies. If it is
    /// text, whoever shows it has to see whether it is UTF-8. Whatever is odd, [`poll_event`](Self::poll_event) has to say.
    #[inline]
    pub(crate) fn next_message(&mut self) -> Option<MessageKind> {
        if self.input.is_empty() || self.budget.is_spent() { None } else { self.take_message() }
    }

    fn take_message(&mut self) -> Option<MessageKind> {
        let (kind, start, len) = self.inbound.unmask_message(self.input.unread())?;
        self.input.take(start, len);
        self.budget.spend(len);
        Some(kind)
    }

    /// The next event that concerns the user. With `data`, messages are appended there, and pongs do not concern him; without, whoever
    /// shows a text has to see whether it is UTF-8.
    // Not inlined, nor the next: beside them, what finds out the usual case would have to save and restore as much as they need.
    #[inline(never)]
    pub(crate) fn poll_event<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        shared: &Shared<T>,
        slot: Slot,
        cx: &mut Context<'_>,
        data: Option<&mut Vec<u8>>,
    ) -> Poll<Result<Event, Error>> {
        shared.unpark(slot);
        if !shared.only_reads() {
            if shared.is_closing() || shared.wants_drive() {
                shared.register(slot, cx);
                shared.poll_deadline();
                shared.drive_uncorked(slot);
            }
            if let Some(error) = shared.read_error() {
                self.input.release();
                return Poll::Ready(Err(error));
            }
        }
        self.poll_on(shared, slot, cx, data)
    }

    /// The same, once it is clear that there is nothing to be written before.
    #[inline(never)]
    pub(crate) fn poll_on<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        shared: &Shared<T>,
        slot: Slot,
        cx: &mut Context<'_>,
        mut data: Option<&mut Vec<u8>>,
    ) -> Poll<Result<Event, Error>> {
        let mut parsed =
            if self.is_dry() { Parsed::NeedMore } else { self.parse(shared, slot, data.as_deref_mut()) };
        loop {
            match parsed {
                Parsed::Event(event) => {
                    if let Event::Close(frame) = &event {
                        shared.peer_closed(frame.as_ref(), slot);
                    }
                    shared.more_came(!self.input.is_empty());
                    shared.drive_uncorked(slot);
                    return Poll::Ready(Ok(event));
                }
                Parsed::Failed(error) => return Poll::Ready(Err(fail(shared, error, slot))),
                Parsed::NeedMore if !self.budget.is_spent() => {}
                Parsed::NeedMore | Parsed::Yield => {
                    self.budget = Budget::default();
                    if self.input.is_empty() {
                        self.input.release();
                    }
                    shared.drive_uncorked(slot);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            shared.register(slot, cx);
            let (read, place) = self.poll_read(shared);
            parsed = match read {
                Poll::Ready(Ok(count)) => {
                    if let Some(keepalive) = &mut self.keepalive {
                        keepalive.heard(shared.timer().now());
                    }
                    let parsed = self.parse(shared, slot, data.as_deref_mut());
                    self.input.settle();
                    if place == Place::Message {
                        self.budget.spend(count / LONG_READ_SHARE);
                    }
                    parsed
                }
                Poll::Ready(Err(end)) => {
                    self.input.release();
                    if end == ReadEnd::OfStream {
                        shared.stream_ended(!self.inbound.is_between_messages(), slot);
                    }
                    return Poll::Ready(Err(shared.read_error().unwrap_or(Error::Closing)));
                }
                Poll::Pending => return self.wait(shared, slot, cx),
            }
        }
    }

    /// Reads into the thread's buffer; or, if more of a long payload is known to be there, straight to where that stays.
    fn poll_read<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        shared: &Shared<T>,
    ) -> (Poll<Result<usize, ReadEnd>>, Place) {
        match self.flow {
            Flow::More => {
                if let Some(read) = self.read_long(shared) {
                    return (read, Place::Message);
                }
            }
            Flow::Dry => match shared.poll_readable() {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(end)) => return (Poll::Ready(Err(end)), Place::Scratch),
                Poll::Pending => return (Poll::Pending, Place::Scratch),
            },
            Flow::Unknown => {}
        }
        let space = self.input.space();
        let read = shared.poll_read(space);
        self.flow = Flow::after(&read, space.len());
        match read {
            Poll::Ready(Ok(count)) => self.input.filled(count),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.input.untouched(),
        }
        (read, Place::Scratch)
    }

    /// Reads payload to where it stays; `None` if there is not much to come.
    #[cold]
    fn read_long<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        shared: &Shared<T>,
    ) -> Option<Poll<Result<usize, ReadEnd>>> {
        let (read, len) = self.inbound.read_long(|space| {
            let read = shared.poll_read(space);
            let count = if let Poll::Ready(Ok(count)) = read { count } else { 0 };
            (count, (read, space.len()))
        })?;
        self.flow = Flow::after(&read, len);
        Some(read)
    }

    /// Nothing has arrived: gives back what is not needed meanwhile, and lets out what was answered.
    fn wait<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        shared: &Shared<T>,
        slot: Slot,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Event, Error>> {
        self.poll_keepalive(shared, cx);
        self.budget = Budget::default();
        self.inbound.wait(&mut self.hold);
        shared.more_came(false);
        self.input.release();
        match shared.nothing_came(slot) {
            Some(error) => Poll::Ready(Err(error)),
            None => shared.park(slot),
        }
    }

    /// Sends a Ping when it is time, and ends the connection when that was not answered.
    fn poll_keepalive<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        shared: &Shared<T>,
        cx: &mut Context<'_>,
    ) {
        // A connection that is being closed has its own deadline.
        let Some(keepalive) = self.keepalive.as_deref_mut().filter(|_| !shared.is_closing()) else { return };
        while let Poll::Ready(action) = keepalive.poll(shared.timer(), cx) {
            match action {
                Action::Ping(payload) => shared.keepalive_ping(&payload),
                Action::GiveUp => return shared.finish(Error::KeepaliveTimeout),
            }
        }
    }

    /// Whether a Pong concerns only us.
    fn is_keepalive_pong<T: AsyncRead + AsyncWrite + Unpin>(&mut self, shared: &Shared<T>) -> bool {
        let payload = payload(&self.input, &self.inbound);
        self.keepalive
            .as_deref_mut()
            .is_some_and(|keepalive| keepalive.takes_pong(payload, shared.timer().now()))
    }

    /// Takes events from what has been read until there is one that concerns the user.
    fn parse<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        shared: &Shared<T>,
        slot: Slot,
        mut data: Option<&mut Vec<u8>>,
    ) -> Parsed {
        loop {
            if self.budget.is_spent() {
                return Parsed::Yield;
            }
            let in_place = if self.input.stays() { self.next_in_place(data.is_none()) } else { None };
            let event = match in_place {
                Some(event) => Ok(Some(event)),
                None => self.step(data.as_deref_mut()),
            };
            match event {
                Ok(None | Some(Event::Fragment)) => {}
                Ok(Some(Event::Ping)) => shared.answer_ping(self.payload(), slot, self.is_dry()),
                Ok(Some(Event::Pong)) if self.is_keepalive_pong(shared) || data.is_some() => {}
                Ok(Some(event)) => return Parsed::Event(event),
                Err(error) => return Parsed::Failed(error),
            }
            if self.is_dry() {
                return Parsed::NeedMore;
            }
        }
    }

    /// Whether there is nothing to be done before more is read.
    const fn is_dry(&self) -> bool {
        self.input.is_empty() && !self.inbound.has_more()
    }

    /// The same, unmasked straight to the end of `data`; and text is judged.
    #[inline]
    pub(crate) fn next_message_into(&mut self, data: &mut Vec<u8>) -> Option<MessageKind> {
        if self.input.is_empty() || self.budget.is_spent() {
            return None;
        }
        let mut input = &*self.input.unread();
        let before = input.len();
        let kind = self.inbound.copy_message(&mut input, data)?;
        let taken = before.saturating_sub(input.len());
        self.input.skip(taken);
        self.budget.spend(taken);
        Some(kind)
    }

    /// The Ping or Pong that is next, or the message if it may be shown where it lies, if all of it has been read.
    #[inline]
    fn next_in_place(&mut self, shows_messages: bool) -> Option<Event> {
        if let Some((event, start, len)) = self.inbound.unmask_control(self.input.unread()) {
            self.input.take(start, len);
            self.budget.spend(len);
            return Some(event);
        }
        if shows_messages { self.take_message().map(Event::Message) } else { None }
    }

    /// Has the next piece of input copied to where it stays.
    fn step(&mut self, data: Option<&mut Vec<u8>>) -> Result<Option<Event>, ProtocolError> {
        let inflates = self.inbound.has_more();
        let mut input = &*self.input.unread();
        let before = input.len();
        let event = self.inbound.step(&mut input, data);
        let taken = before.saturating_sub(input.len());
        self.input.skip(taken);
        self.budget.spend(if inflates { self.inbound.inflating_cost() } else { taken });
        event
    }

    /// Reads on, throwing away what comes, until the peer has nothing more to say. A peer that goes on for more than `max`
    /// bytes is cut off.
    pub(crate) fn poll_discard<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        shared: &Shared<T>,
        slot: Slot,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<()> {
        loop {
            match std::task::ready!(self.poll_event(shared, slot, cx, None)) {
                Ok(Event::Close(_)) | Err(_) => return Poll::Ready(()),
                Ok(Event::Message(MessageKind::Text)) if text(self.payload()).is_err() => {
                    fail(shared, ProtocolError::InvalidUtf8, slot);
                    return Poll::Ready(());
                }
                Ok(_) => {
                    self.discarded = self.discarded.saturating_add(self.payload().len());
                    if self.discarded > max {
                        shared.finish(Error::CloseTimeout);
                        return Poll::Ready(());
                    }
                }
            }
        }
    }
}

impl Rests for Reading {
    type Terms = Terms;

    const AT_REST: &'static Self = &Self::new(
        Inbound::new(Role::Server, Limits { max_message: 0, max_frame: 0, max_fragments: 0 }),
        Vec::new(),
    );

    fn new() -> Self {
        let limits = Limits { max_message: 0, max_frame: 0, max_fragments: 0 };
        Self { flow: Flow::Dry, ..Self::new(Inbound::new(Role::Server, limits), Vec::new()) }
    }

    fn take_on(&mut self, terms: &mut Terms) {
        self.inbound.take_on(terms.role, terms.limits);
        *self.inbound.inflater() = terms.inflater.take();
    }

    fn leave(&mut self, terms: &mut Terms) {
        if self.hold.is_some() || self.inbound.holds_memory() {
            self.release();
        }
        terms.inflater = self.inbound.inflater().take();
    }

    /// Whether it has come to nothing but waiting: for bytes of a message of which there are none yet.
    fn is_at_rest(&self) -> bool {
        self.flow == Flow::Dry
            && self.input.is_released()
            && self.keepalive.is_none()
            && self.discarded == 0
            && self.inbound.is_at_rest()
    }

    fn spare() -> &'static Spare<Self> {
        thread_local! {
            static SPARE: Boxes<Reading> = const { RefCell::new(Vec::new()) };
        }
        &SPARE
    }
}

impl Terms {
    pub(crate) const fn of(inbound: &Inbound) -> Self {
        let (role, limits) = inbound.terms();
        Self { role, limits, inflater: None }
    }
}

/// The payload of the last event, wherever it lies.
fn payload<'a>(input: &'a ReadBuffer, inbound: &'a Inbound) -> &'a [u8] {
    match input.shown() {
        [] => inbound.payload(),
        shown => shown,
    }
}

/// A payload as text.
pub(super) fn text(payload: &[u8]) -> Result<&str, ProtocolError> {
    simdutf8::basic::from_utf8(payload).map_err(|_| ProtocolError::InvalidUtf8)
}

/// The peer broke a rule: tells it so, and what the receiver returns.
#[cold]
pub(super) fn fail<T: AsyncRead + AsyncWrite + Unpin>(
    shared: &Shared<T>,
    error: ProtocolError,
    slot: Slot,
) -> Error {
    shared.peer_failed(error, slot);
    shared.drive_uncorked(slot);
    shared.read_error().unwrap_or(Error::Protocol(error))
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("unread", &self.input.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::spare;

    /// A message of 64 short frames in one read ends a turn, and its side may be put to rest without having waited.
    #[test]
    fn what_a_message_held_does_not_go_to_the_thread_s_pool_with_the_side_that_read_it() {
        std::thread::spawn(|| {
            let mut reading = <Reading as Rests>::new();
            reading.inbound = Inbound::new(Role::Client, Limits::default());
            let message = reading.inbound.receive(&mut &b"\x82\x02hi"[..]);
            assert_eq!(message, Ok(Some(Event::Message(MessageKind::Binary))));
            reading.hold = spare::hold(1 << 20);
            assert!(reading.hold.is_some() && reading.inbound.holds_memory());
            reading.leave(&mut Terms::of(&Inbound::new(Role::Client, Limits::default())));
            assert!(reading.hold.is_none() && !reading.inbound.holds_memory());
        })
        .join()
        .unwrap();
    }
}
