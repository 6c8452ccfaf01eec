//! What the two halves of a connection share: the stream, the sending side, and why it all ended.
//!
//! This is the only file that borrows a connection's cells, and never across a call to something that is not ours: the stream
//! has a cell of its own and is polled with nothing else borrowed, the bytes that are being written are moved out for the poll,
//! and wakers are woken and values of other people dropped after the borrow has ended. So whatever a stream, a waker or a
//! timer calls back, it finds every cell free but the stream's own and the hub's waker, and those are only ever *tried*.
//!
//! Nobody owns the writing. Whoever is polled, or queues something while nobody is, *drives*: it writes what the outbox
//! holds as far as the stream takes it. Reading never waits for that. A half that waits has filled its slot in the
//! [`Hub`], is marked as parked, and is woken by whoever makes progress in its stead.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};

use super::batch::{self, Member, Span};
use super::error::plain;
use super::hub::{Hub, Slot, Slots};
use super::keys::OsSeededKeys;
use super::reading::{Budget, Reading};
use super::rest::{Resting, Sizes};
use super::scratch::ReadBuffer;
use super::{Config, Error, QueueError, Sleep, Timer};
use crate::protocol::{
    Batch, CloseFrame, Compress, Deflate, EncodedFrame, MessageKind, OpCode, Outbound, ProtocolError, Rest,
    Role, ShortFrame, Unsent,
};

/// What a runtime knows of a stream that is a bare socket: nothing is held back by it, and its two directions have nothing to do with
/// each other.
pub(crate) struct Socket<T> {
    /// Sends a FIN, where `poll_close` does not.
    pub(crate) half_close: fn(&mut T) -> io::Result<()>,
    /// Waits until there may be something to read, without a system call that tries.
    pub(crate) poll_readable: Option<PollReadable<T>>,
}

pub(crate) type PollReadable<T> = fn(&T, &mut Context<'_>) -> Poll<io::Result<()>>;

impl<T> Socket<T> {
    /// One whose `poll_close` sends the FIN.
    #[cfg_attr(
        not(any(feature = "async-io", feature = "tokio")),
        expect(dead_code, reason = "no runtime is compiled in")
    )]
    pub(crate) const BARE: Self = Self { half_close: |_| Ok(()), poll_readable: None };
}

impl<T> Clone for Socket<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Socket<T> {}

/// A stream that answers `Interrupted` is asked again this often, and then later.
const INTERRUPTIONS: usize = 16;
/// Writes from where a message lies that one poll makes, and bytes of it after which it makes no more, before other tasks get their
/// turn. (A stream may take a header, or a record of TLS, at a time.)
const DIRECT_BUDGET: (usize, usize) = (16, 1 << 20);

// In this order, for what a message needs lies in as few cache lines as it fits in.
#[repr(C)]
pub(crate) struct Shared<T> {
    /// How many cork scopes are polling their work at this moment.
    corked: Cell<u16>,
    /// Messages of fewer bytes go to the stream past the outbox, for nothing is in their way. Who may change that takes it back, to 0, and
    /// whoever sends next looks again.
    way: Cell<u8>,
    /// Whose future is waiting at this moment. A filled slot in the hub proves nothing; this does.
    parked: Slots,
    /// Set while the stream is being polled. Found set with the stream free, it tells of a panic that somebody caught.
    polling: Cell<bool>,
    /// Set by a send guard that could not hand over the rest of its message.
    spill_failed: Cell<bool>,
    /// Whether the work that is being polled writes what was queued.
    is_batched: Cell<bool>,
    /// Whether there is a countdown.
    is_closing: Cell<bool>,
    receiver_dropped: Cell<bool>,
    role: Role,
    nature: Nature,
    /// Whether what was heard is being written.
    is_heard_out: Cell<bool>,
    /// What is to be written at the end of a turn of a batch, and lies in its log: nothing else is queued then. Who looks at the state finds
    /// it in the outbox.
    heard: Cell<Span>,
    /// To be borrowed by [`state`](Self::state) and its like.
    cell: RefCell<State>,
    hub: Hub,
    /// Polled with nothing else borrowed; `None` once the connection is over.
    stream: RefCell<Option<T>>,
    socket: Option<Socket<T>>,

    /// When a closing connection is cut; only ever taken out and put back.
    countdown: Cell<Option<Box<Countdown>>>,
    /// The reading side of a dropped receiver.
    orphan: Cell<Option<Box<Reading>>>,
    timer: Box<dyn Timer>,
    /// What few connections agreed on.
    agreed: Option<Box<Agreed>>,
    max_message: usize,
    /// In milliseconds; `u32::MAX` is for ever.
    close_timeout: u32,
    /// Bytes that were read only to be thrown away.
    drained: Cell<u32>,
}

/// What is known of the stream: what `socket` says, beside what else a message needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nature {
    Unknown,
    /// It is one of the sockets that a runtime of ours knows.
    Socket,
    /// ... and can tell, without being asked for bytes, that there may be some.
    TellingSocket,
}

/// What the handshake agreed on.
struct Agreed {
    subprotocol: Option<String>,
    /// About compression.
    deflate: Option<Deflate>,
}

/// The sending side of a connection on its way to another thread, and what is to be known of all of it.
pub(crate) struct Leaving {
    role: Role,
    subprotocol: Option<String>,
    /// As far as it concerns what is shared; the rest of the limits is where it is held against something.
    config: Config,
    unsent: Unsent,
    unflushed: bool,
}

/// The end of a closing handshake's time.
struct Countdown {
    deadline: Instant,
    /// Made when somebody waits.
    alarm: Option<Sleep>,
}

struct State {
    outbound: Resting<Outbound>,
    /// Whether something was written and not flushed.
    unflushed: bool,
    /// Why the connection ended: the first reason there was. (Most have none yet.)
    cause: Option<Box<Error>>,
    input: Input,
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    /// The peer may still send.
    Open,
    /// A Close, the end, or a fault: nothing that comes now means anything.
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    Open,
    /// The stream's write side is shut: everything has gone, our Close last.
    Shut,
    /// Nothing can be written any more.
    Broken,
}

/// What waits to be written after a write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    Something,
}

/// Why there are no more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    OfStream,
    /// The connection is over; the reason is in the state.
    OfConnection,
}

/// How a message is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendStage {
    /// It waits for room.
    Waiting,
    /// It is being written from where it lies.
    Direct,
    /// All of it is in the outbox, or written.
    Accepted,
    Done,
}

/// Messages of this size and more are written from where they lie: below, copying costs less.
pub(crate) const DIRECT: usize = 16 << 10;

impl<T> Shared<T> {
    pub(crate) fn new(
        stream: T,
        role: Role,
        config: &Config,
        timer: Box<dyn Timer>,
        socket: Option<Socket<T>>,
        subprotocol: Option<String>,
    ) -> Self {
        let keys = match role {
            Role::Server => Ok(None),
            Role::Client => OsSeededKeys::new().map(Some),
        };
        let cause = keys.as_ref().err().map(|_| Box::new(Error::NoRandomness));
        let outbound = match keys {
            Ok(Some(keys)) => Outbound::client(Box::new(keys)),
            _ => Outbound::server(),
        };
        let agreed = (subprotocol.is_some() || config.deflate.is_some())
            .then(|| Box::new(Agreed { subprotocol, deflate: config.deflate }));
        let sizes = Sizes { fragment: config.fragment, mark: config.outbox, deflater: None };
        let outbound = outbound.with_sizes(sizes.fragment, sizes.mark).agree(config.deflate.as_ref());
        Self {
            stream: RefCell::new(if cause.is_none() { Some(stream) } else { None }),
            cell: RefCell::new(State {
                outbound: Resting::new(outbound, sizes),
                unflushed: false,
                input: if cause.is_none() { Input::Open } else { Input::Over },
                output: if cause.is_none() { Output::Open } else { Output::Broken },
                cause,
            }),
            hub: Hub::default(),
            parked: Slots::default(),
            polling: Cell::new(false),
            spill_failed: Cell::new(false),
            corked: Cell::new(0),
            way: Cell::new(0),
            heard: Cell::default(),
            is_heard_out: Cell::new(false),
            is_batched: Cell::new(false),
            drained: Cell::new(0),
            countdown: Cell::new(None),
            is_closing: Cell::new(false),
            receiver_dropped: Cell::new(false),
            orphan: Cell::new(None),
            timer,
            nature: match &socket {
                None => Nature::Unknown,
                Some(Socket { poll_readable: None, .. }) => Nature::Socket,
                Some(_) => Nature::TellingSocket,
            },
            socket,
            agreed,
            role,
            close_timeout: u32::try_from(config.close_timeout.as_nanos().div_ceil(1_000_000))
                .unwrap_or(u32::MAX),
            max_message: config.max_message,
        }
    }

    // --- the state ---------------------------------------------------------------------------------------------

    #[inline]
    fn state(&self) -> Ref<'_, State> {
        self.keep_heard();
        self.cell.borrow()
    }

    #[inline]
    fn state_mut(&self) -> RefMut<'_, State> {
        self.keep_heard();
        self.way.set(0);
        self.cell.borrow_mut()
    }

    /// For a change that puts nothing in the way of a message.
    #[inline]
    fn state_mut_aside(&self) -> RefMut<'_, State> {
        self.keep_heard();
        self.cell.borrow_mut()
    }

    /// Puts what was heard into the outbox, for whoever looks at that.
    #[inline]
    fn keep_heard(&self) {
        if !self.heard.get().is_empty() {
            self.put_heard();
        }
    }

    #[cold]
    fn put_heard(&self) {
        if let Ok(mut state) = self.cell.try_borrow_mut() {
            self.way.set(0);
            let heard = self.heard.take();
            if self.is_heard_out.get() {
                state.outbound.lend(heard.len());
            } else {
                batch::queue_heard(heard, &mut state.outbound);
            }
        }
    }

    /// Looks whether a message of `len` bytes may go to the stream past the outbox.
    #[inline(never)]
    fn has_way(&self, len: usize) -> bool {
        if self.polling.get() || self.spill_failed.get() || self.receiver_dropped.get() {
            return false;
        }
        let state = self.state();
        let is_well = state.cause.is_none() && state.output == Output::Open && !state.unflushed;
        let way = match Resting::terms_at_rest(&state.outbound) {
            _ if !is_well => 0,
            Some(sizes) => sizes.way(),
            None => state.outbound.way(),
        };
        self.way.set(way);
        len < usize::from(way)
    }

    /// Whether one more frame of the log can be heard: nothing is queued, nothing needs to be compressed or masked, and there is room.
    fn hears(&self) -> bool {
        let is_quiet = self.way.get() > 0 && !self.polling.get() || self.has_way(0);
        let heard = self.heard.get();
        let Ok(state) = self.cell.try_borrow() else { return false };
        let sizes = Resting::terms_at_rest(&state.outbound).filter(|_| is_quiet && self.corked.get() == 0);
        sizes.is_some_and(|sizes| sizes.deflater.is_none() && (heard.is_empty() || heard.len() < sizes.mark))
    }

    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn timer(&self) -> &dyn Timer {
        &*self.timer
    }

    pub(crate) fn subprotocol(&self) -> Option<&str> {
        self.agreed.as_ref()?.subprotocol.as_deref()
    }

    #[cfg_attr(not(feature = "deflate"), expect(dead_code, reason = "there is nothing to be told"))]
    pub(crate) fn deflate(&self) -> Option<Deflate> {
        self.agreed.as_ref()?.deflate
    }

    pub(crate) fn get_ref(&self) -> Option<Ref<'_, T>> {
        Ref::filter_map(self.stream.try_borrow().ok()?, Option::as_ref).ok()
    }

    /// Takes the stream away; nothing is written any more.
    pub(crate) fn take_stream(&self) -> Option<T> {
        self.state_mut().output = Output::Broken;
        self.stream.try_borrow_mut().ok()?.take()
    }

    /// Takes out the stream and all that another thread needs to write on, unless the connection is closing, or over, or its
    /// stream is being polled further up the stack. What stays here is over.
    pub(crate) fn leave(&self) -> Option<(T, Leaving)> {
        self.check_poison();
        {
            let state = self.state();
            let is_open = state.cause.is_none() && state.output == Output::Open && state.outbound.is_open();
            // A message that is half written belongs to a future that was leaked.
            if !is_open || state.outbound.is_direct() {
                return None;
            }
        }
        let stream = self.stream.try_borrow_mut().ok()?.take()?;
        let leaving = {
            let mut state = self.state_mut();
            Leaving {
                role: self.role,
                subprotocol: self.subprotocol().map(Into::into),
                config: Config {
                    max_message: self.max_message,
                    close_timeout: self.close_timeout(),
                    deflate: self.agreed.as_ref().and_then(|agreed| agreed.deflate),
                    ..Config::new()
                },
                unsent: state.outbound.leave(),
                unflushed: state.unflushed,
            }
        };
        self.finish(Error::Closing);
        Some((stream, leaving))
    }

    /// A connection that [`leave`](Self::leave) took from another thread.
    pub(crate) fn arrive(
        stream: T,
        leaving: Leaving,
        timer: Box<dyn Timer>,
        socket: Option<Socket<T>>,
    ) -> Self {
        let Leaving { role, subprotocol, mut config, unsent, unflushed } = leaving;
        (config.fragment, config.outbox) = unsent.sizes();
        let shared = Self::new(stream, role, &config, timer, socket, subprotocol);
        {
            let mut state = shared.state_mut();
            state.outbound.arrive(unsent);
            state.unflushed = unflushed;
        }
        shared
    }

    /// The peer's Close, if that is how it ended.
    pub(crate) fn close_frame(&self) -> Option<CloseFrame> {
        self.state().cause.as_deref().and_then(Error::close_frame).cloned()
    }

    pub(crate) fn queued(&self) -> usize {
        self.state().outbound.queued()
    }

    /// Whether something waits to be written or flushed.
    pub(crate) fn has_output(&self) -> bool {
        self.state().has_output()
    }

    // --- who waits -------------------------------------------------------------------------------------------

    /// Begins a poll of the half in `slot`: it is not parked now.
    pub(crate) fn unpark(&self, slot: Slot) {
        self.parked.remove(slot);
        // Another scope may be waiting still.
        if slot != Slot::Scope {
            self.hub.begin(slot);
        }
    }

    /// Fills `slot`, before anything that might have to wake it.
    pub(crate) fn register(&self, slot: Slot, cx: &Context<'_>) {
        self.hub.register(slot, cx.waker());
    }

    /// Ends a poll of the half in `slot` with `Pending`. What is not needed while it waits is given back.
    pub(crate) fn park<R>(&self, slot: Slot) -> Poll<R> {
        Resting::rest(&mut self.state_mut_aside().outbound);
        self.parked.insert(slot);
        Poll::Pending
    }

    /// Wakes the other half, if it waits: something happened that it may be waiting for.
    fn hand_off(&self, me: Option<Slot>) {
        for slot in [Slot::Sender, Slot::Receiver] {
            if me != Some(slot) && self.parked.contains(slot) {
                self.hub.wake_slot(slot);
            }
        }
    }

    /// Bytes were written, or flushed: there may be room for a sender that waits. And on a stream of which we know nothing, what
    /// the receiver waits for may have been the very readiness that was used up now: TLS reads may write, and async-net forgets
    /// whoever waited when somebody else succeeds. The two directions of a bare socket have nothing to do with each other,
    /// and there a needless turn of the receiver would cost a system call; unless the connection is being closed, and it waits for
    /// just this.
    fn wrote(&self, me: Option<Slot>) {
        if me != Some(Slot::Sender) && self.parked.contains(Slot::Sender) {
            self.hub.wake_slot(Slot::Sender);
        }
        if me != Some(Slot::Receiver) && self.parked.contains(Slot::Receiver) {
            let only_reads = self.is_bare_socket() && self.state().outbound.is_open();
            if !only_reads {
                self.hub.wake_slot(Slot::Receiver);
            }
        }
    }

    /// Bytes were read. The same holds the other way round: TLS writes may wait for a read.
    fn read_some(&self) {
        if self.parked.contains(Slot::Sender) && !self.is_bare_socket() {
            self.hub.wake_slot(Slot::Sender);
        }
    }

    /// Whether the stream is one of the sockets that a runtime of ours knows.
    #[inline]
    fn is_bare_socket(&self) -> bool {
        self.nature != Nature::Unknown
    }

    /// Whether the stream can tell, without being asked for bytes, that there may be some.
    #[inline]
    fn is_told_of_bytes(&self) -> bool {
        self.nature == Nature::TellingSocket
    }

    /// Sees to it that what was queued is written, by somebody who waits anyway, or here and now.
    fn see_to_output(&self)
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        // In a cork scope, that writes it when the work that is running now has to wait.
        if self.corked.get() == 0 && !self.wake_one() {
            self.drive(None);
        }
    }

    /// Wakes somebody who waits, to write; tells whether anybody does.
    pub(crate) fn wake_one(&self) -> bool {
        let waiting = [Slot::Receiver, Slot::Scope].into_iter().find(|slot| self.parked.contains(*slot));
        if let Some(slot) = waiting {
            self.hub.wake_slot(slot);
        }
        waiting.is_some()
    }

    pub(crate) fn receiver_dropped(&self, reading: Box<Reading>) {
        self.receiver_dropped.set(true);
        self.way.set(0);
        self.unpark(Slot::Receiver);
        self.orphan.set(Some(reading));
        self.hub.wake_slot(Slot::Sender);
    }

    pub(crate) fn sender_dropped(&self) {
        self.unpark(Slot::Sender);
        self.hub.wake_slot(Slot::Receiver);
    }

    /// The count of cork scopes that are polling their work.
    pub(crate) const fn corked(&self) -> &Cell<u16> {
        &self.corked
    }

    // --- how it ends -----------------------------------------------------------------------------------------

    fn close_timeout(&self) -> Duration {
        match self.close_timeout {
            u32::MAX => Duration::MAX,
            milliseconds => Duration::from_millis(milliseconds.into()),
        }
    }

    /// Starts the clock of the closing handshake, once.
    fn arm(&self) {
        if !self.is_closing.get()
            && let Some(deadline) = self.timer.now().checked_add(self.close_timeout())
        {
            self.countdown.set(Some(Box::new(Countdown { deadline, alarm: None })));
            self.is_closing.set(true);
        }
    }

    /// Cuts the connection if its deadline has passed.
    pub(crate) fn poll_deadline(&self) {
        // Gone also while it is being polled further up the stack.
        let Some(mut countdown) = self.countdown.take() else {
            return;
        };
        if countdown.alarm.is_none() {
            countdown.alarm = self.timer.sleep_until(countdown.deadline);
        }
        let alarm = countdown.alarm.as_mut();
        let is_over = self.hub.with_waker(|waker| {
            alarm.is_some_and(|alarm| alarm.as_mut().poll(&mut Context::from_waker(waker)).is_ready())
        });
        if is_over {
            drop(countdown);
            self.finish(Error::CloseTimeout);
        } else if self.is_closing.get() {
            self.countdown.set(Some(countdown));
        }
    }

    /// The peer's Close was read: it is answered after what was accepted before (section 5.5.1).
    pub(crate) fn peer_closed(&self, frame: Option<&CloseFrame>, me: Slot) {
        {
            let mut state = self.state_mut();
            if state.input == Input::Open {
                // A write that failed meanwhile tells less.
                state.cause = None;
            }
            state.end_input(Error::Closed(frame.cloned()));
            state.outbound.close(frame);
        }
        self.arm();
        self.hand_off(Some(me));
    }

    /// The peer broke a rule: it is told so, after the answers to what it said before (section 7.1.7).
    pub(crate) fn peer_failed(&self, error: ProtocolError, me: Slot) {
        {
            let mut state = self.state_mut();
            state.end_input(Error::Protocol(error));
            state.outbound.close(Some(&CloseFrame::new(error.close_code(), &error.to_string())));
        }
        log::debug!("websocket: {error}");
        self.arm();
        self.hand_off(Some(me));
    }

    /// The stream ended without a Close. What was accepted still leaves, until the close deadline.
    pub(crate) fn stream_ended(&self, inside_message: bool, me: Slot) {
        self.state_mut().end_input(Error::EndOfStream { inside_message });
        self.arm();
        self.hand_off(Some(me));
    }

    /// Writing failed. What has arrived can still be read.
    fn write_failed(&self, error: io::Error) {
        log::debug!("websocket: write failed: {error}");
        let cause = Error::Io(plain(&error));
        {
            let mut state = self.state_mut();
            state.output = Output::Broken;
            state.cause.get_or_insert_with(|| Box::new(cause));
        }
        self.arm();
        self.hand_off(None);
    }

    /// The connection is over, for `cause` unless there was a reason before.
    pub(crate) fn finish(&self, cause: Error) {
        self.state_mut().end_input(cause);
        self.tear_down();
    }

    /// Nothing is left to be done: the stream is dropped.
    fn tear_down(&self) {
        self.state_mut().output = Output::Broken;
        self.is_closing.set(false);
        let countdown = self.countdown.take();
        let stream = self.stream.try_borrow_mut().ok().and_then(|mut stream| stream.take());
        drop((countdown, stream));
        self.hub.wake_all();
    }

    /// Why nothing can be sent, if so.
    pub(crate) fn send_error(&self) -> Option<Error> {
        self.check_poison();
        self.state().send_error()
    }

    /// Whether nothing is to be written here, and nothing has ended or gone wrong: the usual case, found out at once.
    #[inline]
    pub(crate) fn only_reads(&self) -> bool {
        self.is_quiet() || self.looks_quiet()
    }

    /// Whether nothing is in the way of a message, as whoever looked last has left word: so nothing is queued either, and nothing has ended
    /// or gone wrong.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.way.get() > 0 && !self.polling.get() && self.heard.get().is_empty()
    }

    fn looks_quiet(&self) -> bool {
        let state = self.state();
        let is_well = !self.is_closing.get() && !self.polling.get() && !self.spill_failed.get();
        is_well && state.input == Input::Open && (self.corked.get() > 0 || !state.has_output())
    }

    /// Why nothing more will be read, if so.
    pub(crate) fn read_error(&self) -> Option<Error> {
        self.check_poison();
        let state = self.state();
        match state.input {
            Input::Open => None,
            Input::Over => state.cause.as_deref().map(Error::duplicate),
        }
    }

    /// Why nothing more will be read though nothing says so but a failed write.
    pub(crate) fn broken(&self) -> Option<Error> {
        let state = self.state();
        match state.output {
            Output::Broken => state.cause.as_deref().map(Error::duplicate),
            Output::Open | Output::Shut => None,
        }
    }

    fn check_poison(&self) {
        if self.polling.get() && self.stream.try_borrow_mut().is_ok() {
            self.polling.set(false);
            self.finish(Error::StreamPanicked);
        }
        if self.spill_failed.replace(false) {
            self.finish(Error::SendLeaked);
        }
    }
}

impl State {
    #[inline]
    fn has_output(&self) -> bool {
        self.output == Output::Open && (!self.outbound.is_empty() || self.unflushed)
    }

    fn end_input(&mut self, cause: Error) {
        self.input = Input::Over;
        self.cause.get_or_insert_with(|| Box::new(cause));
    }

    fn send_error(&self) -> Option<Error> {
        match self.cause.as_deref() {
            // The peer has stopped sending; it may still be listening.
            Some(Error::EndOfStream { .. }) if self.output == Output::Open && self.outbound.is_open() => None,
            Some(cause) => Some(cause.duplicate()),
            None if self.outbound.is_open() => None,
            None => Some(Error::Closing),
        }
    }

    fn left(&self) -> Left {
        if self.outbound.is_empty() { Left::Nothing } else { Left::Something }
    }

    fn take_batch(&mut self, is_bare_socket: bool) -> Option<Batch> {
        if self.output != Output::Open {
            return None;
        }
        let batch = self.outbound.take();
        // A socket holds nothing back.
        self.unflushed |= batch.is_some() && !is_bare_socket;
        batch
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Shared<T> {
    // --- the stream, taken to be hostile ---------------------------------------------------------------------

    /// Polls the stream, with the waker of those who wait.
    ///
    /// `Interrupted` is tried again, then left for later. A stream that is busy, because it is being polled further up
    /// the stack or somebody holds on to `get_ref`, is tried again too. One that has panicked ends the connection.
    #[inline(always)]
    fn poll_stream<R>(
        &self,
        mut poll: impl FnMut(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let Ok(mut guard) = self.stream.try_borrow_mut() else {
            self.hub.wake_all();
            return Poll::Pending;
        };
        let Some(stream) = guard.as_mut() else {
            return not_connected();
        };
        if self.polling.replace(true) {
            drop(guard);
            self.check_poison();
            return not_connected();
        }
        let result = self.hub.with_waker(|waker| {
            let mut cx = Context::from_waker(waker);
            match poll(Pin::new(&mut *stream), &mut cx) {
                result if !is_interrupted(&result) => Some(result),
                _ => poll_again(stream, &mut cx, poll),
            }
        });
        drop(guard);
        self.polling.set(false);
        result.unwrap_or_else(|| {
            self.hub.wake_all();
            Poll::Pending
        })
    }

    /// Asks the stream for bytes; there is at least one if it has any.
    #[inline]
    pub(crate) fn poll_read(&self, space: &mut [u8]) -> Poll<Result<usize, ReadEnd>> {
        let len = space.len();
        let result = match self.poll_stream(|stream, cx| stream.poll_read(cx, space)) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(result) => result.and_then(|count| checked(count, len)),
        };
        Poll::Ready(match result {
            Ok(0) => Err(ReadEnd::OfStream),
            Ok(count) => {
                self.read_some();
                Ok(count)
            }
            Err(error) => Err(self.read_failed(&error)),
        })
    }

    /// Waits until there may be bytes, if the stream can tell without being asked for them.
    #[inline]
    pub(crate) fn poll_readable(&self) -> Poll<Result<(), ReadEnd>> {
        if self.is_told_of_bytes() { self.poll_told() } else { Poll::Ready(Ok(())) }
    }

    #[inline(never)]
    fn poll_told(&self) -> Poll<Result<(), ReadEnd>> {
        let Some(poll_readable) = self.socket.and_then(|socket| socket.poll_readable) else {
            return Poll::Ready(Ok(()));
        };
        let result = std::task::ready!(self.poll_stream(|stream, cx| poll_readable(&stream, cx)));
        Poll::Ready(result.map_err(|error| self.read_failed(&error)))
    }

    /// Waits on for bytes, for a receiver whose reading side is at rest, if the stream can tell of them; ready when he has to look himself. One
    /// of a thousand that were told something has been woken to write it, or not even that.
    pub(crate) fn poll_at_rest(&self, slot: Slot, cx: &Context<'_>) -> Poll<()> {
        if !self.is_told_of_bytes() || self.broken().is_some() {
            return Poll::Ready(());
        }
        self.register(slot, cx);
        match self.poll_told() {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.park(slot),
        }
    }

    /// There is nothing to read: lets out what was answered. Returns why there never will be, if so.
    #[inline]
    pub(crate) fn nothing_came(&self, slot: Slot) -> Option<Error> {
        if self.is_quiet() {
            return None;
        }
        self.drive_uncorked(slot);
        // What had arrived before the fault has been delivered; nothing more is to be hoped for.
        let error = self.broken()?;
        self.finish(error.duplicate());
        Some(error)
    }

    fn read_failed(&self, error: &io::Error) -> ReadEnd {
        log::debug!("websocket: read failed: {error}");
        self.finish(Error::Io(plain(error)));
        ReadEnd::OfConnection
    }

    /// Writes what the outbox holds, as far as the stream takes it, and flushes. Never waits.
    pub(crate) fn drive(&self, me: Option<Slot>) {
        let mut progress = false;
        loop {
            let written = match self.take_frames() {
                Some(frames) => self.write_frames(frames),
                None => match self.write_batch() {
                    Some(written) => written,
                    None => break,
                },
            };
            match written {
                Poll::Ready(Ok(Left::Nothing)) => {
                    progress = true;
                    break;
                }
                Poll::Ready(Ok(Left::Something)) => progress = true,
                Poll::Ready(Err(error)) => return self.write_failed(error),
                Poll::Pending => break,
            }
        }
        progress |= self.flush();
        if progress {
            self.wrote(me);
        }
    }

    fn take_frames(&self) -> Option<Vec<u8>> {
        let mut state = self.state_mut();
        if state.output == Output::Open { state.outbound.take_frames() } else { None }
    }

    /// Writes what was taken from the outbox, and puts back what is left of it.
    #[inline]
    fn write_frames(&self, frames: Vec<u8>) -> Poll<io::Result<Left>> {
        let len = frames.len();
        let written = self.poll_stream(|stream, cx| {
            stream.poll_write(cx, &frames).map(|result| checked_write(result?, len))
        });
        let count = if let Poll::Ready(Ok(count)) = &written { *count } else { 0 };
        let mut state = self.state_mut();
        // A socket holds nothing back.
        state.unflushed |= !self.is_bare_socket();
        state.outbound.put_back_frames(frames, count);
        written.map_ok(|_| state.left())
    }

    /// The same of whatever else waits; `None` if nothing does.
    #[inline(never)]
    fn write_batch(&self) -> Option<Poll<io::Result<Left>>> {
        // Left where it is while it is written: moving it the moment it is made costs a tenth of a short message.
        let taken = self.state_mut().take_batch(self.is_bare_socket());
        let batch = taken.as_ref()?;
        let written = self.poll_stream(|stream, cx| poll_write_batch(stream, cx, batch));
        let count = if let Poll::Ready(Ok(count)) = &written { *count } else { 0 };
        let mut state = self.state_mut();
        state.outbound.put_back(taken?, count);
        Some(written.map_ok(|_| state.left()))
    }

    /// Flushes if nothing waits and there is something to flush. Tells whether that succeeded.
    ///
    /// What waits, in a slot or directly, may wait for the stream, and a flush that succeeds makes async-net forget that.
    fn flush(&self) -> bool {
        {
            let state = self.state();
            if !state.unflushed || !state.outbound.is_empty() || state.output != Output::Open {
                return false;
            }
        }
        match self.poll_stream(AsyncWrite::poll_flush) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => self.state_mut().unflushed = false,
            Poll::Ready(Err(error)) => self.write_failed(error),
        }
        true
    }

    /// As [`drive`](Self::drive), but inside a cork scope that is left to the scope.
    pub(crate) fn drive_uncorked(&self, me: Slot) {
        if self.wants_drive() {
            self.drive(Some(me));
        }
    }

    /// Whether there is something to write, and no cork scope to do it.
    pub(crate) fn wants_drive(&self) -> bool {
        self.corked.get() == 0 && self.has_output()
    }

    /// Whether the closing handshake has begun, so that its deadline has to be watched.
    pub(crate) const fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    // --- what the receiver puts in -----------------------------------------------------------------------------

    /// A Ping of the keepalive. Where there is no room for it, a peer that reads nothing has been told enough.
    pub(crate) fn keepalive_ping(&self, payload: &[u8]) {
        let mut state = self.state_mut();
        if state.outbound.has_room() {
            state.outbound.ping(payload);
        }
    }

    /// Answers a Ping: at once if it is the last of what was read, or together with whatever else that calls for.
    pub(crate) fn answer_ping(&self, payload: &[u8], me: Slot, is_last: bool) {
        let at_once = is_last && self.corked.get() == 0;
        if !at_once || self.write_past(OpCode::Pong, payload, me) == SendStage::Waiting {
            self.state_mut().outbound.answer_ping(payload);
        }
    }

    // --- what handles put in -----------------------------------------------------------------------------------

    pub(crate) fn queue(self: Rc<Self>, frame: &EncodedFrame) -> Result<(), QueueError>
    where
        T: 'static,
    {
        if batch::is_open() && self.hears() && batch::hear(&self, frame.shared()) {
            return Ok(());
        }
        if self.is_batched.get() && !self.state().outbound.has_room() {
            // Its socket has not been asked yet.
            self.write_queued();
        }
        {
            let mut state = self.state_mut();
            if state.send_error().is_some() {
                return Err(QueueError::Closed);
            }
            if !state.outbound.has_room() {
                return Err(QueueError::Full);
            }
            state.outbound.push_frame(frame);
        }
        if self.corked.get() == 0 && !batch::add(&self) {
            self.see_to_output();
        }
        Ok(())
    }

    pub(crate) fn queue_close(&self, frame: &CloseFrame) -> Result<(), QueueError> {
        if self.state().send_error().is_some() {
            return Err(QueueError::Closed);
        }
        self.request_close(Some(frame));
        self.see_to_output();
        Ok(())
    }

    pub(crate) fn queue_close_now(&self, frame: &CloseFrame) -> Result<(), QueueError> {
        {
            let state = self.state();
            if state.output != Output::Open || state.outbound.is_close_sent() {
                return Err(QueueError::Closed);
            }
        }
        self.request_close_now(frame);
        self.see_to_output();
        Ok(())
    }

    // --- what the sender puts in -------------------------------------------------------------------------------

    /// Begins a poll of the sender. A message that is half written belongs to a future that was leaked, unless that is the
    /// one being polled.
    pub(crate) fn enter_sender(&self) {
        self.unpark(Slot::Sender);
        if self.state().outbound.is_direct() {
            self.finish(Error::SendLeaked);
        }
    }

    /// Waits for room in the outbox.
    pub(crate) fn poll_ready(&self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(error) = self.send_error() {
            return Poll::Ready(Err(error));
        }
        if self.state().outbound.has_room() {
            return Poll::Ready(Ok(()));
        }
        self.register(Slot::Sender, cx);
        self.poll_deadline();
        self.drive(Some(Slot::Sender));
        if let Some(error) = self.send_error() {
            return Poll::Ready(Err(error));
        }
        if self.state().outbound.has_room() { Poll::Ready(Ok(())) } else { self.park(Slot::Sender) }
    }

    /// Appends to the outbox; there must be room.
    pub(crate) fn append(&self, append: impl FnOnce(&mut Outbound)) {
        append(&mut self.state_mut().outbound);
    }

    /// Waits until everything accepted has been written and flushed, inside a cork scope too.
    pub(crate) fn poll_flush(&self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        self.register(Slot::Sender, cx);
        self.poll_deadline();
        self.drive(Some(Slot::Sender));
        if self.has_output() {
            return self.park(Slot::Sender);
        }
        Poll::Ready(self.broken().map_or(Ok(()), Err))
    }

    /// Sends a message if it is short and nothing is in its way: the usual case, found out at once. Returns how far that went, for
    /// [`poll_send`](Self::poll_send) to go on with.
    #[inline]
    pub(crate) fn send_at_once(&self, kind: MessageKind, payload: &[u8], compress: Compress) -> SendStage {
        if self.corked.get() > 0 {
            let accepts = !self.receiver_dropped.get() && self.accepts(compress, kind, payload);
            return if accepts { SendStage::Done } else { SendStage::Waiting };
        }
        self.write_past(kind.opcode(), payload, Slot::Sender)
    }

    /// Writes a short frame past the outbox, if nothing is in its way. Returns how far that went.
    #[inline]
    fn write_past(&self, opcode: OpCode, payload: &[u8], me: Slot) -> SendStage {
        let is_next = self.heard.get().is_empty() && payload.len() < usize::from(self.way.get());
        if !is_next && !self.has_way(payload.len()) {
            return SendStage::Waiting;
        }
        let mut frame = ShortFrame::new();
        let encoded = match self.role {
            Role::Server => frame.encode(opcode, payload),
            Role::Client => self.state_mut_aside().outbound.encode_short(opcode, payload, &mut frame),
        };
        let Some(len) = encoded else {
            return SendStage::Waiting;
        };
        let frame = frame.get(len);
        let written = self.poll_stream(|stream, cx| stream.poll_write(cx, frame));
        if !matches!(&written, Poll::Ready(Ok(count)) if *count == frame.len()) {
            return self.is_stuck(frame, written, me);
        }
        self.flush_past();
        self.wrote(Some(me));
        // Unless something came in the way of the next: the stream may have queued it.
        if self.way.get() > 0 { SendStage::Done } else { SendStage::Accepted }
    }

    /// Flushes what went past the outbox. A socket holds nothing back.
    #[inline]
    fn flush_past(&self) {
        if self.is_bare_socket() {
            return;
        }
        match self.poll_stream(AsyncWrite::poll_flush) {
            Poll::Pending => self.state_mut().unflushed = true,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.write_failed(error),
        }
    }

    /// Writes what was heard from where it lies.
    fn write_heard(&self, heard: Span) {
        self.is_heard_out.set(true);
        let mut written = Poll::Pending;
        batch::with_heard(heard, |frames| {
            written = self.poll_stream(|stream, cx| {
                stream.poll_write(cx, frames).map(|result| checked_write(result?, frames.len()))
            });
        });
        self.is_heard_out.set(false);
        // If anybody has looked, the outbox knows that it is out.
        let is_known = self.heard.take().is_empty();
        if !is_known && matches!(written, Poll::Ready(Ok(count)) if count == heard.len()) {
            self.flush_past();
            return self.wrote(None);
        }
        let count = if let Poll::Ready(Ok(count)) = written { count } else { 0 };
        {
            let mut state = self.state_mut();
            state.unflushed |= !self.is_bare_socket();
            if !is_known {
                state.outbound.lend(heard.len());
            }
            let mut rest = Outbound::server();
            batch::queue_heard(heard, &mut rest);
            if let Some(frames) = rest.take() {
                state.outbound.put_back(frames, count);
            }
        }
        match written {
            Poll::Pending => {}
            Poll::Ready(Ok(_)) => self.wrote(None),
            Poll::Ready(Err(error)) => self.write_failed(error),
        }
    }

    /// The stream did not take all of a short message: the rest goes through the outbox.
    #[cold]
    fn is_stuck(&self, frame: &[u8], written: Poll<io::Result<usize>>, me: Slot) -> SendStage {
        let written = written.map(|result| checked_write(result?, frame.len()));
        let count = if let Poll::Ready(Ok(count)) = written { count } else { 0 };
        {
            let mut state = self.state_mut();
            if count == 0 && !state.outbound.is_open() {
                // The stream has closed the connection meanwhile.
                return SendStage::Waiting;
            }
            state.unflushed = !self.is_bare_socket();
            state.outbound.put_back_short(frame, count);
        }
        match written {
            // Nobody else would see to the rest.
            Poll::Pending if self.receiver_dropped.get() => {}
            Poll::Pending => return SendStage::Done,
            Poll::Ready(Ok(_)) => self.wrote(Some(me)),
            Poll::Ready(Err(error)) => self.write_failed(error),
        }
        SendStage::Accepted
    }

    /// Sends a message: into the outbox and on, or straight from where it lies.
    #[inline(never)]
    pub(crate) fn poll_send(
        &self,
        cx: &Context<'_>,
        kind: MessageKind,
        payload: &[u8],
        compress: Compress,
        stage: &mut SendStage,
        written: &mut usize,
    ) -> Poll<Result<(), Error>> {
        loop {
            match stage {
                SendStage::Waiting if self.accepts(compress, kind, payload) => *stage = SendStage::Accepted,
                SendStage::Waiting => {
                    self.enter_sender();
                    if payload.len() >= DIRECT && !self.compresses(payload.len(), compress) {
                        *stage = std::task::ready!(self.poll_begin_direct(cx, kind, payload))?;
                    } else {
                        std::task::ready!(self.poll_ready(cx))?;
                        self.append(|outbound| outbound.push_with(compress, kind, payload));
                        *stage = SendStage::Accepted;
                    }
                }
                SendStage::Direct => {
                    self.unpark(Slot::Sender);
                    let result = std::task::ready!(self.poll_direct(cx, payload, written));
                    // What was queued behind it, and the flush, as after any message.
                    *stage = if result.is_ok() { SendStage::Accepted } else { SendStage::Done };
                    result?;
                }
                SendStage::Accepted => {
                    self.unpark(Slot::Sender);
                    std::task::ready!(self.poll_accepted(cx))?;
                    *stage = SendStage::Done;
                    return Poll::Ready(Ok(()));
                }
                SendStage::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Puts a short message into the outbox, if nothing is in its way: the usual case, found out at once.
    fn accepts(&self, compress: Compress, kind: MessageKind, payload: &[u8]) -> bool {
        let mut state = self.state_mut();
        let State { outbound, cause, .. } = &mut *state;
        let outbound: &mut Outbound = outbound;
        let is_well = cause.is_none() && !self.polling.get() && !self.spill_failed.get();
        let accepts = is_well
            && payload.len() < DIRECT
            && outbound.is_open()
            && !outbound.is_direct()
            && outbound.has_room();
        if accepts {
            outbound.push_with(compress, kind, payload);
        }
        accepts
    }

    /// Whether a message is to be compressed, so that it cannot be written from where it lies.
    fn compresses(&self, len: usize, compress: Compress) -> bool {
        compress == Compress::IfAgreed && self.state().outbound.compresses(len)
    }

    /// Writes what was accepted at once, unless a cork scope will. Nobody would see to the rest if the receiver were gone, so
    /// then it is waited for.
    pub(crate) fn poll_accepted(&self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        if self.receiver_dropped.get() {
            return self.poll_flush(cx);
        }
        self.drive_uncorked(Slot::Sender);
        Poll::Ready(self.broken().map_or(Ok(()), Err))
    }

    /// Begins a message that is to be written from where it lies, once the outbox is empty. If the stream does not take that much just
    /// now, the message is copied behind it like any other: a room that goes on queueing could keep it waiting for ever. Only one
    /// that is longer than we would receive does wait.
    fn poll_begin_direct(
        &self,
        cx: &Context<'_>,
        kind: MessageKind,
        payload: &[u8],
    ) -> Poll<Result<SendStage, Error>> {
        if let Some(error) = self.send_error() {
            return Poll::Ready(Err(error));
        }
        if self.has_output() {
            self.register(Slot::Sender, cx);
            self.poll_deadline();
            self.drive(Some(Slot::Sender));
            if let Some(error) = self.send_error() {
                return Poll::Ready(Err(error));
            }
        }
        let is_stuck = self.has_output();
        let mut state = self.state_mut();
        if !is_stuck {
            state.outbound.begin_direct(kind, payload.len());
            return Poll::Ready(Ok(SendStage::Direct));
        }
        if payload.len() <= self.max_message && state.outbound.has_room() {
            state.outbound.push_uncompressed(kind, payload);
            return Poll::Ready(Ok(SendStage::Accepted));
        }
        drop(state);
        self.park(Slot::Sender)
    }

    /// Writes on at a message from where it lies.
    fn poll_direct(&self, cx: &Context<'_>, payload: &[u8], written: &mut usize) -> Poll<Result<(), Error>> {
        self.register(Slot::Sender, cx);
        self.poll_deadline();
        let enough = written.saturating_add(DIRECT_BUDGET.1);
        for _ in 0..DIRECT_BUDGET.0 {
            if let Some(error) = self.direct_error() {
                self.end_direct(payload.get(*written..).unwrap_or_default(), Rest::Frame);
                self.drive(Some(Slot::Sender));
                return Poll::Ready(Err(error));
            }
            if !self.state().outbound.direct_goes_next() {
                // A Pong waits for this frame boundary.
                self.drive(Some(Slot::Sender));
                // Writing may have failed, or the stream have called `close_now`.
                if self.direct_error().is_some() {
                    continue;
                }
                if !self.state().outbound.direct_goes_next() {
                    return self.park(Slot::Sender);
                }
            }
            let left = payload.get(*written..).unwrap_or_default();
            let frames = self.state_mut().outbound.take_direct(left);
            let result =
                self.poll_stream(|stream, cx| frames.with_slices(|it| poll_write_slices(stream, cx, it)));
            let count = if let Poll::Ready(Ok(count)) = &result { *count } else { 0 };
            let of_payload = self.state_mut().outbound.put_back_direct(frames, count);
            *written = written.saturating_add(of_payload);
            match result {
                Poll::Pending => return self.park(Slot::Sender),
                Poll::Ready(Err(error)) => self.write_failed(error),
                Poll::Ready(Ok(_)) => {
                    self.state_mut().unflushed |= !self.is_bare_socket();
                    self.wrote(Some(Slot::Sender));
                    // A message that lacks its end was cut by `close_now`: that is an error, found above.
                    if !self.state().outbound.is_direct() && *written == payload.len() {
                        return Poll::Ready(Ok(()));
                    }
                    if *written >= enough {
                        break;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Why a message that has begun cannot go on. A Close that is merely asked for, by the peer or by us, waits for it.
    fn direct_error(&self) -> Option<Error> {
        self.check_poison();
        let state = self.state();
        let over = match state.cause.as_deref() {
            None | Some(Error::Closed(_) | Error::EndOfStream { .. }) => state.output != Output::Open,
            Some(_) => true,
        };
        // `close_now` may have ended it, between two of its fragments or at the end of one.
        if over || !state.outbound.is_direct() {
            Some(state.cause.as_deref().map_or(Error::Closing, Error::duplicate))
        } else {
            None
        }
    }

    // --- closing -----------------------------------------------------------------------------------------------

    /// Queues our Close after everything accepted so far. The first one counts.
    pub(crate) fn request_close(&self, frame: Option<&CloseFrame>) {
        let is_first = {
            let outbound = &mut self.state_mut().outbound;
            let is_first = outbound.is_open();
            outbound.close(frame);
            is_first
        };
        self.arm();
        if is_first {
            self.hand_off(None);
        }
    }

    /// Drops what has not begun to leave, and queues our Close.
    pub(crate) fn request_close_now(&self, frame: &CloseFrame) {
        self.state_mut().outbound.close_now(Some(frame));
        self.arm();
        self.hand_off(None);
    }

    /// Goes on with the closing handshake, to its end: what is queued, our Close, the peer's, the end of the stream
    /// (section 7.1). `reading` is the reading side, if it is at hand; without it, somebody else reads the peer's Close.
    pub(crate) fn poll_close(
        &self,
        slot: Slot,
        cx: &mut Context<'_>,
        reading: Option<&mut Reading>,
    ) -> Poll<Result<(), Error>> {
        self.unpark(slot);
        self.register(slot, cx);
        self.check_poison();
        self.poll_deadline();
        self.drive(Some(slot));
        let is_open = self.state().input == Input::Open;
        let is_reading = reading.is_some();
        if let Some(reading) = reading.filter(|_| is_open) {
            // Also while our own bytes are stuck: the peer may be waiting for us to read before it reads.
            let is_over = reading.poll_discard(self, slot, cx, self.max_message).is_ready();
            // It was a poll of its own.
            self.register(slot, cx);
            if is_over {
                self.drive(Some(slot));
            }
        }
        let (input, output) = {
            let state = self.state();
            (state.input, state.output)
        };
        if output == Output::Broken && (input == Input::Over || !is_reading) {
            // A receiver that is still there may read what came before the fault.
            if input == Input::Over || self.receiver_dropped.get() {
                self.tear_down();
            }
            return Poll::Ready(self.verdict());
        }
        if self.has_output() || input == Input::Open {
            return self.park(slot);
        }
        std::task::ready!(self.poll_shut_down(slot, cx));
        Poll::Ready(self.verdict())
    }

    /// Ends the stream once both Closes are through, or the peer's will never come. A server shuts down its write side and
    /// waits for the client to do the same; a client lets the server go first (section 7.1.1). What is still unread is thrown
    /// away, for a socket dropped with unread input takes our Close with it.
    fn poll_shut_down(&self, slot: Slot, cx: &Context<'_>) -> Poll<()> {
        let is_clean = matches!(self.state().cause.as_deref(), Some(Error::Closed(_)));
        let server_goes_first = self.role == Role::Client && is_clean;
        if !server_goes_first && self.poll_shut().is_pending() {
            return self.park(slot);
        }
        let mut budget = Budget::default();
        while !budget.is_spent() {
            let mut buffer = ReadBuffer::default();
            let outcome = self.poll_read(buffer.space());
            match outcome {
                Poll::Ready(Ok(count)) => {
                    buffer.filled(count);
                    budget.spend(count);
                    let count = u32::try_from(count).unwrap_or(u32::MAX);
                    self.drained.update(|drained| drained.saturating_add(count));
                    let is_full = self.drained.get() == u32::MAX;
                    if !is_full && usize::try_from(self.drained.get()).is_ok_and(|it| it <= self.max_message)
                    {
                        continue;
                    }
                }
                // The server has gone, and we go, too. A bare socket ends by being dropped; other streams may have a last word, as TLS has.
                Poll::Ready(Err(_)) if !self.is_bare_socket() && self.poll_shut().is_pending() => {
                    return self.park(slot);
                }
                Poll::Ready(Err(_)) => {}
                // The peer has had our Close and said all it has to say; a server need not wait for more.
                Poll::Pending if is_clean && self.role == Role::Server => {}
                Poll::Pending => {
                    buffer.untouched();
                    return self.park(slot);
                }
            }
            self.tear_down();
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Shuts down the write side.
    fn poll_shut(&self) -> Poll<()> {
        if self.state().output != Output::Open {
            return Poll::Ready(());
        }
        let closed = std::task::ready!(self.poll_stream(AsyncWrite::poll_close));
        let socket = self.socket;
        let shut = closed.and_then(|()| {
            let mut stream = self.stream.try_borrow_mut().map_err(io::Error::other)?;
            match (socket, stream.as_mut()) {
                (Some(socket), Some(stream)) => (socket.half_close)(stream),
                _ => Ok(()),
            }
        });
        if let Err(error) = shut {
            // The peer was quicker; there is nobody left to tell.
            log::debug!("websocket: shutdown failed: {error}");
        }
        self.state_mut().output = Output::Shut;
        Poll::Ready(())
    }

    /// How the closing handshake went.
    fn verdict(&self) -> Result<(), Error> {
        match self.state().cause.as_deref() {
            None | Some(Error::Closed(_)) => Ok(()),
            Some(cause) => Err(cause.duplicate()),
        }
    }

    /// `close` of a sender: if the receiver is gone, its reading side is at hand.
    pub(crate) fn poll_close_sender(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut orphan = self.orphan.take();
        let result = self.poll_close(Slot::Sender, cx, orphan.as_deref_mut());
        self.orphan.set(orphan);
        result
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Member for Shared<T> {
    fn is_batched(&self) -> &Cell<bool> {
        &self.is_batched
    }

    fn heard(&self) -> &Cell<Span> {
        &self.heard
    }

    fn write_queued(&self) -> usize {
        let heard = self.heard.get();
        let before = if heard.is_empty() { self.queued() } else { heard.len() };
        if !heard.is_empty() {
            self.write_heard(heard);
            if self.is_quiet() {
                return before;
            }
        }
        if self.wants_drive() {
            self.drive(None);
        }
        let mut state = self.state_mut();
        Resting::rest(&mut state.outbound);
        before.saturating_sub(state.outbound.queued())
    }

    fn wake_one(&self) -> bool {
        self.keep_heard();
        Self::wake_one(self)
    }
}

impl<T> Shared<T> {
    /// A message that was being written from where it lies goes on from the outbox, or ends.
    fn end_direct(&self, unwritten: &[u8], rest: Rest) {
        self.state_mut().outbound.end_direct(unwritten, rest);
    }

    /// The same, from the `Drop` of its future: whoever waits goes on writing it. A rest above the message limit is not kept:
    /// the frame is finished, and a Close tells the peer that the message is not, if it has begun and now lacks its end.
    pub(crate) fn abandon_direct(&self, unwritten: &[u8]) {
        self.way.set(0);
        self.keep_heard();
        let Ok(mut state) = self.cell.try_borrow_mut() else {
            return self.spill_failed.set(true);
        };
        let rest = if unwritten.len() <= self.max_message { Rest::Message } else { Rest::Frame };
        let is_cut = state.outbound.end_direct(unwritten, rest);
        if is_cut {
            let frame = CloseFrame::new(crate::protocol::CloseCode::INTERNAL_ERROR, "message not finished");
            state.outbound.close_now(Some(&frame));
        }
        drop(state);
        if is_cut {
            self.arm();
        }
        self.hand_off(Some(Slot::Sender));
        if self.parked.contains(Slot::Scope) {
            self.hub.wake_slot(Slot::Scope);
        }
    }
}

fn is_interrupted<R>(result: &Poll<io::Result<R>>) -> bool {
    matches!(result, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted)
}

/// Polls a stream that was interrupted; `None` if it is so again and again.
#[cold]
fn poll_again<T: Unpin, R>(
    stream: &mut T,
    cx: &mut Context<'_>,
    mut poll: impl FnMut(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
) -> Option<Poll<io::Result<R>>> {
    (1..INTERRUPTIONS).map(|_| poll(Pin::new(&mut *stream), cx)).find(|result| !is_interrupted(result))
}

#[cold]
fn not_connected<R>() -> Poll<io::Result<R>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

/// A stream that claims to have moved more than it was given is broken.
fn checked(count: usize, len: usize) -> io::Result<usize> {
    if count > len {
        Err(io::Error::new(io::ErrorKind::InvalidData, "the stream counts more bytes than it was given"))
    } else {
        Ok(count)
    }
}

fn checked_write(count: usize, len: usize) -> io::Result<usize> {
    if count == 0 && len > 0 { Err(io::ErrorKind::WriteZero.into()) } else { checked(count, len) }
}

fn poll_write_batch<T: AsyncWrite>(
    stream: Pin<&mut T>,
    cx: &mut Context<'_>,
    batch: &Batch,
) -> Poll<io::Result<usize>> {
    if !batch.is_vectored() {
        let len = batch.first().len();
        return stream.poll_write(cx, batch.first()).map(|result| checked_write(result?, len));
    }
    batch.with_slices(|slices| poll_write_slices(stream, cx, slices))
}

fn poll_write_slices<T: AsyncWrite>(
    stream: Pin<&mut T>,
    cx: &mut Context<'_>,
    slices: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let len = slices.iter().fold(0_usize, |sum, slice| sum.saturating_add(slice.len()));
    stream.poll_write_vectored(cx, slices).map(|result| checked_write(result?, len))
}

impl fmt::Debug for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaving")
            .field("role", &self.role)
            .field("unsent", &self.unsent)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Connection");
        debug.field("role", &self.role);
        if let Ok(state) = self.cell.try_borrow() {
            debug.field("queued", &state.outbound.queued()).field("cause", &state.cause);
        }
        debug.finish_non_exhaustive()
    }
}
