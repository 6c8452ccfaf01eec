//! What the two halves of a connection share: the stream, the sending side, and why it all ended.
//!
//! The cells of a connection are borrowed here and in the modules below alone, and never across a call to something that is not ours:
//! the stream has a cell of its own and is polled with nothing else borrowed, the bytes that are being written are moved out for the
//! poll, and wakers are woken and values of other people dropped after the borrow has ended. So whatever a stream, a waker or a timer
//! calls back, it finds every cell free but the stream's own and the hub's waker, and those are only ever *tried*.
//!
//! Nobody owns the writing. Whoever is polled, or queues something while nobody is, *drives*: it writes what the outbox
//! holds as far as the stream takes it. Reading never waits for that. A half that waits has filled its slot in the
//! [`Hub`], is marked as parked, and is woken by whoever makes progress in its stead.

mod closing;
mod queueing;
mod sending;
mod stream;

pub(crate) use sending::SendStage;
pub(crate) use stream::ReadEnd;

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::fmt;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};

use super::batch::{self, Span};
use super::error::plain;
use super::hub::{Hub, Slot, Slots};
use super::keys::OsSeededKeys;
use super::reading::Reading;
use super::rest::{Resting, Sizes};
use super::{Config, Error, Sleep, Timer};
use crate::protocol::{CloseFrame, Deflate, Outbound, ProtocolError, Role, Unsent};

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
    /// Whether more had come behind what the receiver was told last: answers to it may leave together.
    has_more: Cell<bool>,
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
            has_more: Cell::new(false),
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

    pub(crate) fn receiver_dropped(&self, mut reading: Box<Reading>) {
        reading.release();
        self.more_came(false);
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

    /// Notes whether more has come behind what the receiver is told.
    #[inline]
    pub(crate) fn more_came(&self, has_more: bool) {
        self.has_more.set(has_more);
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
