//! Two bounded pipes and the streams at their ends, as hostile as a legal transport may be.
//!
//! What happens at a poll is decided by the run: how many bytes move, whether a poll returns `Pending` although
//! it could have moved some, and when the event that makes up for it arrives. Readiness is level-triggered, as
//! with epoll: whoever is registered for a direction that is ready will get an event, some time later; an event
//! wakes whoever is registered *then*. What "registered" means is the [`Model`]'s matter.
//!
//! Closing is TCP's: `poll_close` sends a FIN (or does not: [`Config::close_sends_fin`]); dropping an end with
//! unread input resets the connection, and what it wrote and the peer had not read is lost; writing to an end
//! that is gone succeeds once, and the answer is a reset.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};

use super::choices::Chooser;
use super::sim::{Did, Item, Note, Queue, Sim, Trace};

/// How a transport keeps the wakers it is given (RELIABILITY.md, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// tokio: one slot a direction; a new waker overwrites the old one, silently.
    KeepLast,
    /// async-io: one slot a direction; a new waker replaces the old one, which is woken inside the poll.
    ReplaceAndWake,
    /// async-net: as `KeepLast`, and a read, write or flush that succeeds unregisters whoever was registered.
    DropOnSuccess,
    /// As `KeepLast`, but wakers are woken from inside polls, the caller's own too.
    WakeInline,
    /// As `KeepLast`, and now and then the registered waker is woken for nothing (and is no longer registered).
    Spurious,
    /// TLS: a read may have to wait for writability and a write for readability; and what was written is kept
    /// until a flush, or until there is too much of it.
    ReadMayWrite,
}

impl Model {
    pub const ALL: [Self; 6] = [
        Self::KeepLast,
        Self::ReplaceAndWake,
        Self::DropOnSuccess,
        Self::WakeInline,
        Self::Spurious,
        Self::ReadMayWrite,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::KeepLast => "keep-last",
            Self::ReplaceAndWake => "replace-and-wake",
            Self::DropOnSuccess => "drop-on-success",
            Self::WakeInline => "wake-inline",
            Self::Spurious => "spurious",
            Self::ReadMayWrite => "read-may-write",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Read,
    Write,
}

impl Direction {
    const BOTH: [Self; 2] = [Self::Read, Self::Write];

    const fn index(self) -> usize {
        match self {
            Self::Read => 0,
            Self::Write => 1,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Read => Self::Write,
            Self::Write => Self::Read,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Read,
    Write,
    Flush,
    Close,
}

/// What an operation does instead of its work.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Error(ErrorKind),
    /// `Ok(0)`: end of stream for a read, "wrote nothing" for a write.
    Zero,
    /// A count beyond the buffer.
    TooMany,
    /// `Pending`, with the waker thrown away.
    Hang,
    Panic,
}

/// The size and the manners of a connection.
#[derive(Clone, Debug)]
pub struct Config {
    pub model: Model,
    /// Bytes that the pipe out of end 0 and the one out of end 1 hold.
    pub capacity: [usize; 2],
    /// Whether operations move fewer bytes than they could, by the run's decisions.
    pub chop: bool,
    /// How often, in all, something happens that makes no progress: `Pending` for nothing, a spurious wake, a
    /// waker woken inline, a read that waits for writability. Bounded, so that every run ends.
    pub noise: u32,
    /// Once in how many occasions that happens.
    pub noise_one_in: usize,
    /// `async_io::Async<TcpStream>` does not.
    pub close_sends_fin: bool,
    /// Tasks that share an end do not tell each other what came of it, as the halves of a connection do.
    pub strangers: bool,
}

impl Config {
    pub fn new(model: Model) -> Self {
        Self {
            model,
            capacity: [64, 64],
            chop: true,
            noise: 200,
            noise_one_in: 4,
            close_sends_fin: true,
            strangers: false,
        }
    }

    #[must_use]
    pub fn strangers(mut self) -> Self {
        self.strangers = true;
        self
    }

    #[must_use]
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = [bytes, bytes];
        self
    }

    #[must_use]
    pub fn chop(mut self, chop: bool) -> Self {
        self.chop = chop;
        self
    }

    #[must_use]
    pub fn noise(mut self, noise: u32) -> Self {
        self.noise = noise;
        self
    }

    /// No chopping, no noise: what is left are the order of tasks and events, and the model's slots.
    #[must_use]
    pub fn quiet(self) -> Self {
        self.chop(false).noise(0)
    }
}

/// A handle to both pipes: looks at them, and does to them what networks do.
#[derive(Clone)]
pub struct SimNet {
    core: Rc<NetCore>,
}

/// One end of a connection.
pub struct SimStream {
    core: Rc<NetCore>,
    end: usize,
}

pub struct NetCore {
    id: usize,
    config: Config,
    choices: Chooser,
    trace: Trace,
    queue: Arc<Queue>,
    state: RefCell<State>,
    /// Called from inside polls, if set: re-enters whatever the test likes.
    hook: RefCell<Option<Hook>>,
    polls: Cell<usize>,
    progress: Cell<usize>,
}

/// Is told from which operation at which end it is called.
type Hook = Box<dyn FnMut(usize, Op)>;

struct State {
    /// `pipes[e]` carries what end `e` writes.
    pipes: [Pipe; 2],
    ends: [End; 2],
    noise: u32,
    /// The wakers of all tasks that were polled.
    tasks: Vec<Waker>,
}

#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// Everything that ever went in.
    recorded: Vec<u8>,
    fin: bool,
}

#[derive(Default)]
struct End {
    slots: [Slot; 2],
    dropped: bool,
    /// The connection was reset under this end.
    reset: bool,
    /// Reads see nothing: a peer that does not read, or a network that does not deliver.
    stalled: bool,
    /// Written, not yet in the pipe (`ReadMayWrite` only).
    staged: VecDeque<u8>,
    calls: [usize; 4],
    faults: Vec<(Op, usize, Fault)>,
}

/// Who waits for a direction of an end.
#[derive(Default)]
struct Slot {
    registered: Option<Waker>,
    /// An event for this slot is on its way.
    queued: bool,
    /// Send an event even if the direction is not ready.
    forced: bool,
    /// Wakers of operations in this direction that returned `Pending`, and which nobody has woken since.
    wanting: Vec<Waker>,
}

/// Wakers to call when nothing is borrowed.
type Wakes = Vec<Waker>;

/// What a TLS layer keeps before it writes.
const STAGED_MOST: usize = 48;

impl SimNet {
    /// A connection in `sim`, and its two ends.
    pub fn new(sim: &Sim, config: Config) -> (Self, SimStream, SimStream) {
        let core = sim.add_net(|id| {
            let state = State {
                pipes: Default::default(),
                ends: Default::default(),
                noise: config.noise,
                tasks: Vec::new(),
            };
            Rc::new(NetCore {
                id,
                config,
                choices: sim.choices().clone(),
                trace: sim.trace().clone(),
                queue: sim.queue(),
                state: RefCell::new(state),
                hook: RefCell::new(None),
                polls: Cell::new(0),
                progress: Cell::new(0),
            })
        });
        let net = Self { core: core.clone() };
        (net, SimStream { core: core.clone(), end: 0 }, SimStream { core, end: 1 })
    }

    /// All bytes that end `end` ever put on the wire.
    pub fn recorded(&self, end: usize) -> Vec<u8> {
        self.core.state.borrow().pipes[end].recorded.clone()
    }

    pub fn recorded_len(&self, end: usize) -> usize {
        self.core.state.borrow().pipes[end].recorded.len()
    }

    /// Bytes from `end` that the other end has not read.
    pub fn in_flight(&self, end: usize) -> usize {
        self.core.state.borrow().pipes[end].bytes.len()
    }

    pub fn sent_fin(&self, end: usize) -> bool {
        self.core.state.borrow().pipes[end].fin
    }

    pub fn is_dropped(&self, end: usize) -> bool {
        self.core.state.borrow().ends[end].dropped
    }

    pub fn was_reset(&self, end: usize) -> bool {
        self.core.state.borrow().ends[end].reset
    }

    /// Polls of either stream, all operations.
    pub fn polls(&self) -> usize {
        self.core.polls.get()
    }

    /// Reads and writes of either stream that moved bytes.
    pub fn progress(&self) -> usize {
        self.core.progress.get()
    }

    /// Noise that was made so far.
    pub fn noise_made(&self) -> usize {
        (self.core.config.noise - self.core.state.borrow().noise) as usize
    }

    /// Puts bytes into the pipe out of `end`, however full it is.
    pub fn inject(&self, end: usize, bytes: &[u8]) {
        self.change(|state| state.pipes[end].put(bytes));
    }

    /// The pipe out of `end` ends after what is in it.
    pub fn fin(&self, end: usize) {
        self.change(|state| state.pipes[end].fin = true);
    }

    /// A reset, as when `end`'s machine went away and came back.
    pub fn reset(&self, end: usize) {
        self.change(|state| state.reset_by(end));
    }

    /// Whether `end` reads nothing for now.
    pub fn stall(&self, end: usize, stalled: bool) {
        self.change(|state| state.ends[end].stalled = stalled);
    }

    /// Call number `nth` (from 0) of `op` at `end` does this instead of its work.
    pub fn fail(&self, end: usize, op: Op, nth: usize, fault: Fault) {
        self.core.state.borrow_mut().ends[end].faults.push((op, nth, fault));
    }

    /// How often `op` was called at `end`.
    pub fn calls(&self, end: usize, op: Op) -> usize {
        self.core.state.borrow().ends[end].calls[op as usize]
    }

    /// Calls `hook` now and then from inside a poll of either stream, by the run's decisions and within its noise.
    pub fn reenter(&self, mut hook: impl FnMut() + 'static) {
        self.reenter_from(move |_, _| hook());
    }

    /// As [`reenter`](Self::reenter), and tells the hook from which operation at which end it is called.
    pub fn reenter_from(&self, hook: impl FnMut(usize, Op) + 'static) {
        *self.core.hook.borrow_mut() = Some(Box::new(hook));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut wakes = Wakes::new();
        {
            let mut state = self.core.state.borrow_mut();
            change(&mut state);
            self.core.settle(&mut state, &mut wakes, None);
        }
        wake_all(wakes);
    }
}

fn wake_all(wakes: Wakes) {
    for waker in wakes {
        waker.wake();
    }
}

impl Pipe {
    fn put(&mut self, bytes: &[u8]) {
        self.recorded.extend_from_slice(bytes);
        self.bytes.extend(bytes);
    }
}

impl State {
    /// End `end` is gone with a reset: what it wrote and the other had not read is lost.
    fn reset_by(&mut self, end: usize) {
        self.pipes[end].bytes.clear();
        self.pipes[1 - end].bytes.clear();
        self.ends[1 - end].reset = true;
    }
}

impl NetCore {
    /// An event arrives: whoever is registered now is woken.
    pub(super) fn deliver(&self, end: usize, direction: Direction) {
        let waker = {
            let mut state = self.state.borrow_mut();
            let slot = &mut state.ends[end].slots[direction.index()];
            slot.queued = false;
            slot.forced = false;
            let registered = slot.registered.take();
            if let Some(waker) = &registered {
                self.woken(&mut state, end, waker);
            }
            registered
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Interest that could be served, whose waker was lost.
    pub(super) fn starved(&self) -> Vec<String> {
        let state = self.state.borrow();
        let mut starved = Vec::new();
        for end in 0..2 {
            for direction in Direction::BOTH {
                let wanting = &state.ends[end].slots[direction.index()].wanting;
                if !wanting.is_empty() && self.ready(&state, end, direction) {
                    let how_many = wanting.len();
                    starved.push(format!(
                        "end {end} is ready to {direction:?}, {how_many} waker(s) waited for it and were lost"
                    ));
                }
            }
        }
        starved
    }

    /// The task that `waker` is of is polled: what it waited for before, it asks for again if it still wants it. (It may have been woken
    /// by another waker than the one that it once handed in.)
    pub(super) fn looks_again(&self, waker: &Waker) {
        let state = &mut *self.state.borrow_mut();
        for end in 0..2 {
            self.woken(state, end, waker);
        }
        if !state.tasks.iter().any(|task| task.will_wake(waker)) {
            state.tasks.push(waker.clone());
        }
    }

    fn ready(&self, state: &State, end: usize, direction: Direction) -> bool {
        let this = &state.ends[end];
        match direction {
            Direction::Read => {
                let incoming = &state.pipes[1 - end];
                this.reset || (!this.stalled && (!incoming.bytes.is_empty() || incoming.fin))
            }
            Direction::Write => {
                let other = &state.ends[1 - end];
                this.reset || other.dropped || state.pipes[end].bytes.len() < self.config.capacity[end]
            }
        }
    }

    /// Sends events to all who are registered for what is ready. Within a poll of `polling`, the model may wake
    /// them inline.
    fn settle(&self, state: &mut State, wakes: &mut Wakes, polling: Option<usize>) {
        for end in 0..2 {
            for direction in Direction::BOTH {
                let slot = &state.ends[end].slots[direction.index()];
                if slot.registered.is_none() || slot.queued {
                    continue;
                }
                if !slot.forced && !self.ready(state, end, direction) {
                    let for_nothing = self.config.model == Model::Spurious && self.noise(state);
                    if !for_nothing {
                        continue;
                    }
                    state.ends[end].slots[direction.index()].forced = true;
                }
                let inline = self.config.model == Model::WakeInline && polling.is_some() && self.noise(state);
                if inline {
                    self.unregister(state, end, direction, wakes);
                } else {
                    state.ends[end].slots[direction.index()].queued = true;
                    self.queue.push(Item::Event { net: self.id, end, direction });
                }
            }
        }
    }

    fn noise(&self, state: &mut State) -> bool {
        if state.noise == 0 || !self.choices.one_in(self.config.noise_one_in) {
            return false;
        }
        state.noise -= 1;
        true
    }

    /// Takes whoever is registered out, to be woken.
    fn unregister(&self, state: &mut State, end: usize, direction: Direction, wakes: &mut Wakes) {
        if let Some(waker) = state.ends[end].slots[direction.index()].registered.take() {
            self.woken(state, end, &waker);
            wakes.push(waker);
        }
    }

    /// The waker is woken: whatever it waited for, its owner can look again. (Where it is still registered it will
    /// be woken again, so nothing is overlooked.)
    fn woken(&self, state: &mut State, end: usize, waker: &Waker) {
        for direction in Direction::BOTH {
            self.forget(state, end, direction, waker);
        }
    }

    fn forget(&self, state: &mut State, end: usize, direction: Direction, waker: &Waker) {
        state.ends[end].slots[direction.index()].wanting.retain(|wanting| !wanting.will_wake(waker));
    }

    /// The operation returns `Pending`: keeps the waker in the model's way.
    fn register(
        &self,
        state: &mut State,
        end: usize,
        of: Direction,
        slot: Direction,
        waker: &Waker,
        wakes: &mut Wakes,
    ) {
        let wanting = &mut state.ends[end].slots[of.index()].wanting;
        // Who hands in the one that does nothing does not wait. (It is not the same one in each crate.)
        if !waker.data().is_null() && !wanting.iter().any(|known| known.will_wake(waker)) {
            wanting.push(waker.clone());
        }
        let old = state.ends[end].slots[slot.index()].registered.replace(waker.clone());
        if self.config.model == Model::ReplaceAndWake
            && let Some(old) = old
            && !old.will_wake(waker)
        {
            self.woken(state, end, &old);
            wakes.push(old);
        }
    }

    /// What every operation begins with: the model's bad manners.
    fn begin(&self, state: &mut State, end: usize, op: Op, wakes: &mut Wakes) -> Option<Fault> {
        self.polls.set(self.polls.get() + 1);
        let this = &mut state.ends[end];
        let nth = this.calls[op as usize];
        this.calls[op as usize] += 1;
        let fault =
            this.faults.iter().find(|(of, at, _)| *of == op && *at == nth).map(|(_, _, fault)| *fault);
        if self.config.model == Model::WakeInline {
            for direction in Direction::BOTH {
                let registered = state.ends[end].slots[direction.index()].registered.is_some();
                if registered && self.noise(state) {
                    self.unregister(state, end, direction, wakes);
                }
            }
        }
        fault
    }

    /// Whether the operation returns `Pending` although it need not, and on whose slot it then waits.
    fn balk(&self, state: &mut State, direction: Direction) -> Option<Direction> {
        if !self.noise(state) {
            return None;
        }
        let elsewhere = self.config.model == Model::ReadMayWrite && self.choices.choose(2) == 0;
        Some(if elsewhere { direction.other() } else { direction })
    }

    fn amount(&self, most: usize) -> usize {
        if !self.config.chop || most <= 1 {
            return most;
        }
        match self.choices.choose(3) {
            0 => most,
            1 => 1,
            _ => self.choices.between(1, most),
        }
    }

    /// The whole of one operation: manners, fault, work, registration, events; then, with nothing borrowed, the
    /// wakes and the hook.
    fn operate(
        &self,
        end: usize,
        op: Op,
        asked: usize,
        cx: &mut Context<'_>,
        work: impl FnOnce(&mut State) -> Option<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let direction = if op == Op::Read { Direction::Read } else { Direction::Write };
        let mut wakes = Wakes::new();
        let result = {
            let mut state = self.state.borrow_mut();
            let state = &mut *state;
            let result = match self.begin(state, end, op, &mut wakes) {
                Some(Fault::Panic) => None,
                Some(Fault::Hang) => Some(Poll::Pending),
                Some(Fault::Error(kind)) => Some(Poll::Ready(Err(kind.into()))),
                Some(Fault::Zero) => Some(Poll::Ready(Ok(0))),
                Some(Fault::TooMany) => Some(Poll::Ready(Ok(asked + 1))),
                None => Some(self.work(state, end, op, direction, cx.waker(), &mut wakes, work)),
            };
            self.settle(state, &mut wakes, Some(end));
            result
        };
        wake_all(wakes);
        self.call_hook(end, op);
        let result = result.expect("this operation was told to panic");
        let did = match &result {
            Poll::Pending => Did::Pending,
            Poll::Ready(Err(error)) => Did::Error(error.kind()),
            Poll::Ready(Ok(_)) if matches!(op, Op::Flush | Op::Close) => Did::Done,
            Poll::Ready(Ok(count)) => Did::Bytes(*count),
        };
        self.trace.note(Note::Io { end, op, asked, did });
        result
    }

    #[expect(clippy::too_many_arguments, reason = "the leaf of `operate`, cut out to be read alone")]
    fn work(
        &self,
        state: &mut State,
        end: usize,
        op: Op,
        direction: Direction,
        waker: &Waker,
        wakes: &mut Wakes,
        work: impl FnOnce(&mut State) -> Option<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        // A plain flush or close of a socket never waits.
        let may_balk = matches!(op, Op::Read | Op::Write) || self.config.model == Model::ReadMayWrite;
        if may_balk && let Some(slot) = self.balk(state, direction) {
            self.register(state, end, direction, slot, waker, wakes);
            state.ends[end].slots[slot.index()].forced = true;
            return Poll::Pending;
        }
        let Some(result) = work(state) else {
            self.register(state, end, direction, direction, waker, wakes);
            return Poll::Pending;
        };
        if matches!(result, Ok(1..)) {
            self.progress.set(self.progress.get() + 1);
        }
        self.forget(state, end, direction, waker);
        // A task that waits for what another has done now in its stead is told so by that one; if it is not, it never ends. (The waker of
        // a hub is another matter: whoever may be behind it, it has to be woken.)
        let State { ends, tasks, .. } = &mut *state;
        if !self.config.strangers {
            let wanting = &mut ends[end].slots[direction.index()].wanting;
            wanting.retain(|wanting| !tasks.iter().any(|task| task.will_wake(wanting)));
        }
        if self.config.model == Model::DropOnSuccess && op != Op::Close {
            let dropped = state.ends[end].slots[direction.index()].registered.take();
            drop(dropped);
        }
        Poll::Ready(result)
    }

    fn call_hook(&self, end: usize, op: Op) {
        let call = self.hook.borrow().is_some() && self.noise(&mut self.state.borrow_mut());
        if !call {
            return;
        }
        let hook = self.hook.borrow_mut().take();
        if let Some(mut hook) = hook {
            hook(end, op);
            let mut place = self.hook.borrow_mut();
            if place.is_none() {
                *place = Some(hook);
            }
        }
    }

    fn read(&self, state: &mut State, end: usize, buf: &mut [u8]) -> Option<io::Result<usize>> {
        if state.ends[end].reset {
            return Some(Err(ErrorKind::ConnectionReset.into()));
        }
        if buf.is_empty() {
            return Some(Ok(0));
        }
        if !self.ready(state, end, Direction::Read) {
            return None;
        }
        let bytes = &mut state.pipes[1 - end].bytes;
        let count = self.amount(bytes.len().min(buf.len()));
        Some(bytes.read_exact(&mut buf[..count]).map(|()| count))
    }

    fn write(&self, state: &mut State, end: usize, bufs: &[&[u8]]) -> Option<io::Result<usize>> {
        if state.ends[end].reset {
            return Some(Err(ErrorKind::ConnectionReset.into()));
        }
        if state.pipes[end].fin {
            return Some(Err(ErrorKind::BrokenPipe.into()));
        }
        let asked: usize = bufs.iter().map(|buf| buf.len()).sum();
        if asked == 0 {
            return Some(Ok(0));
        }
        if state.ends[1 - end].dropped {
            // The kernel takes it; the answer is a reset, and what had not been read is lost.
            state.ends[end].reset = true;
            state.pipes[1 - end].bytes.clear();
            let staged = std::mem::take(&mut state.ends[end].staged);
            state.pipes[end].recorded.extend(staged);
            state.pipes[end].recorded.extend(bufs.concat());
            return Some(Ok(asked));
        }
        let room = if self.config.model == Model::ReadMayWrite {
            if state.ends[end].staged.len() >= STAGED_MOST {
                self.unstage(state, end);
            }
            STAGED_MOST.saturating_sub(state.ends[end].staged.len())
        } else {
            self.config.capacity[end].saturating_sub(state.pipes[end].bytes.len())
        };
        if room == 0 {
            return None;
        }
        let count = self.amount(asked.min(room));
        let mut left = count;
        for buf in bufs {
            let part = &buf[..left.min(buf.len())];
            left -= part.len();
            if self.config.model == Model::ReadMayWrite {
                state.ends[end].staged.extend(part);
            } else {
                state.pipes[end].put(part);
            }
        }
        Some(Ok(count))
    }

    /// Moves staged bytes into the pipe, as far as it has room; `true` if none is left.
    fn unstage(&self, state: &mut State, end: usize) -> bool {
        if state.ends[1 - end].dropped {
            // It leaves, and nobody gets it.
            let staged = std::mem::take(&mut state.ends[end].staged);
            state.pipes[end].recorded.extend(staged);
        }
        let room = self.config.capacity[end].saturating_sub(state.pipes[end].bytes.len());
        let State { pipes, ends, .. } = state;
        let staged = &mut ends[end].staged;
        let count = room.min(staged.len());
        pipes[end].put(&staged.make_contiguous()[..count]);
        staged.drain(..count);
        staged.is_empty()
    }

    fn flush(&self, state: &mut State, end: usize) -> Option<io::Result<usize>> {
        if state.ends[end].reset {
            return Some(Err(ErrorKind::ConnectionReset.into()));
        }
        self.unstage(state, end).then_some(Ok(0))
    }

    fn close(&self, state: &mut State, end: usize) -> Option<io::Result<usize>> {
        let flushed = self.flush(state, end);
        if self.config.close_sends_fin && matches!(flushed, Some(Ok(_))) {
            state.pipes[end].fin = true;
        }
        flushed
    }
}

impl SimStream {
    pub fn end(&self) -> usize {
        self.end
    }
}

impl AsyncRead for SimStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let end = self.end;
        self.core.operate(end, Op::Read, buf.len(), cx, |state| self.core.read(state, end, buf))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let end = self.end;
        self.core.operate(end, Op::Write, buf.len(), cx, |state| self.core.write(state, end, &[buf]))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let end = self.end;
        let mut all: Vec<&[u8]> = bufs.iter().map(|buf| &**buf).collect();
        let asked = all.iter().map(|buf| buf.len()).sum();
        if self.core.config.chop && self.core.choices.choose(2) == 1 {
            // As the trait's own default does.
            all.retain(|buf| !buf.is_empty());
            all.truncate(1);
        }
        self.core.operate(end, Op::Write, asked, cx, |state| self.core.write(state, end, &all))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let end = self.end;
        let result = self.core.operate(end, Op::Flush, 0, cx, |state| self.core.flush(state, end));
        result.map(|result| result.map(drop))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let end = self.end;
        let result = self.core.operate(end, Op::Close, 0, cx, |state| self.core.close(state, end));
        result.map(|result| result.map(drop))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let end = self.end;
        let mut wakes = Wakes::new();
        let slots = {
            let mut state = self.core.state.borrow_mut();
            let state = &mut *state;
            state.ends[end].dropped = true;
            if state.pipes[1 - end].bytes.is_empty() {
                state.pipes[end].fin = true;
            } else {
                state.reset_by(end);
            }
            let slots = std::mem::take(&mut state.ends[end].slots);
            self.core.settle(state, &mut wakes, None);
            slots
        };
        // Wakers are dropped with nothing borrowed, as they may own anything.
        drop(slots);
        wake_all(wakes);
    }
}
