//! Batches: what one piece of work queues on many connections is written at the end of its turn, by itself.
//!
//! Woken to write it themselves, a thousand members of a room are a thousand turns of the executor, each with cache lines that it
//! has not. Whoever queues is being polled at this moment, and will come to the end of that, whatever other tasks do: no member depends on
//! another. A turn is bounded all the same: past its budget those that are left are woken after all. So are they if something panics.
//!
//! What all are to hear is there once: frames that are queued in a turn go into a log, and a member that has nothing else to write only
//! notes from where to where it hears it ([`Span`]). Whatever else looks at its state before the turn ends puts that into its outbox.
//!
//! Tried and dropped: each cork scope as a batch. In a chat where many speak, what they said until a member's own task came up left in one
//! write; written at the end of each speaker's turn, a delivered message cost six times as much (`benches/run.sh claim`).

use std::cell::{Cell, OnceCell, Ref, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::rc::{Rc, Weak};

use crate::protocol::Outbound;

/// Connections that the end of one turn writes to, and bytes of them after which it writes no more.
const BUDGET: (usize, usize) = (1024, 1 << 20);
/// Bytes that a log holds. What comes after goes into each outbox.
const LOG: usize = (64 << 10) - 1;
/// Frames for which a log keeps room for the next turn.
const FRAMES: usize = 64;
/// Bytes of the longest frame that goes into the log. A longer one is shared as it is.
const LONGEST: usize = 16 << 10;
/// What a member hears and does not write in the turn is copied, up to so many bytes.
const COPY: usize = 4096;

/// A connection in a batch.
pub(crate) trait Member {
    /// Whether it is in one.
    fn is_batched(&self) -> &Cell<bool>;

    /// What it hears of the log.
    fn heard(&self) -> &Cell<Span>;

    /// Writes what was queued, as far as the stream takes it; tells how many bytes it took.
    fn write_queued(&self) -> usize;

    /// Wakes somebody who waits on the connection, to write what was queued or heard; tells whether anybody does.
    fn wake_one(&self) -> bool;
}

/// Those that something was queued on in this turn, the first first. Who drops a connection in the turn drops its socket.
type Members = VecDeque<Weak<dyn Member>>;

#[derive(Default)]
struct Batch {
    /// How many pieces of work are being polled, one inside the other.
    depth: Cell<u32>,
    members: Cell<Members>,
    /// Borrowed while a turn writes, so that nobody changes it then.
    log: RefCell<Log>,
}

thread_local! {
    static BATCH: Batch = Batch::default();
}

/// The frames of a turn, one behind the other.
#[derive(Default)]
struct Log {
    bytes: Vec<u8>,
    /// Each, and where it lies.
    frames: Vec<(Rc<[u8]>, Span)>,
    /// All of it, for those who do not write in the turn.
    shared: OnceCell<Rc<[u8]>>,
}

impl Log {
    /// Where `frame` lies, if it is the last or there is room for it.
    fn place(&mut self, frame: &Rc<[u8]>) -> Option<Span> {
        if let Some((last, span)) = self.frames.last()
            && Rc::ptr_eq(last, frame)
        {
            return Some(*span);
        }
        let start = self.bytes.len();
        let end = start.checked_add(frame.len()).filter(|end| frame.len() <= LONGEST && *end <= LOG)?;
        let span = Span { start: u16::try_from(start).ok()?, end: u16::try_from(end).ok()? };
        self.shared.take();
        self.bytes.extend_from_slice(frame);
        self.frames.push((Rc::clone(frame), span));
        Some(span)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
        self.frames.shrink_to(FRAMES);
        self.shared.take();
    }

    /// Queues a stretch of it: copied, if it is short; else shared, all of it where that does not keep much else there, or the long frames.
    fn queue(&self, span: Span, outbound: &mut Outbound) {
        if span.len() <= COPY {
            outbound.push_encoded(self.get(span));
        } else if span.len() >= self.bytes.len() / 2 {
            let all = self.shared.get_or_init(|| Rc::from(&*self.bytes));
            outbound.push_shared(Rc::clone(all), span.range());
        } else {
            let first = self.frames.partition_point(|(_, frame)| frame.start < span.start);
            let frames = self.frames.iter().skip(first).take_while(|(_, frame)| frame.end <= span.end);
            for (frame, _) in frames {
                outbound.push_whole(frame);
            }
        }
    }

    fn get(&self, span: Span) -> &[u8] {
        self.bytes.get(span.range()).unwrap_or_default()
    }
}

/// A stretch of the log; empty if it ends where that begins.
#[derive(Clone, Copy, Default)]
pub(crate) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    pub(crate) fn len(self) -> usize {
        let range = self.range();
        range.end.saturating_sub(range.start)
    }

    fn range(self) -> Range<usize> {
        usize::from(self.start)..usize::from(self.end)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.end == 0
    }

    /// With the one behind it.
    fn joined(self, next: Self) -> Option<Self> {
        match self {
            none if none.is_empty() => Some(next),
            _ if self.end == next.start => Some(Self { end: next.end, ..self }),
            _ => None,
        }
    }
}

/// Runs `work` so that what it queues with [`QueueHandle::queue`](crate::QueueHandle::queue) leaves when it next waits, or ends: for whoever has
/// all to say that many members are to hear, as the tick of a game has. One inside another counts as part of that.
///
/// Leave it out where many speak, as in a chat: without it, what all have said until a member's own task comes up leaves in one write.
///
/// Each connection's messages leave in as few writes as they can, and if its stream is a socket of a runtime that this crate knows, its task
/// is not woken for it. After 1,024 connections, or 1 MiB, a turn writes no more: the connections that are left are woken, and
/// write themselves; where nobody waits, they are written all the same. (Work that never waits gives other tasks no turn.)
///
/// # Panics
///
/// If the stream of a connection does; that connection is over then, and the others are woken to write themselves.
///
/// # Cancel safety
///
/// Dropping the future drops `work`, and nothing else: what was queued has left, or leaves when the connection is next polled.
///
/// # Examples
///
/// ```
/// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
/// use unsync_websocket::{EncodedFrame, QueueError, batch};
///
/// # let member = || {
/// #     let stream = futures_lite::io::Cursor::new(Vec::new());
/// #     WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer)
/// # };
/// let connections = [member(), member()];
/// let members = connections.each_ref().map(|connection| connection.sender.queue_handle());
/// futures_lite::future::block_on(batch(async {
///     for tick in ["tick", "tock"] {
///         let frame = EncodedFrame::text(tick);
///         for member in &members {
///             member.queue(&frame)?;
///         }
///     }
///     assert_eq!(members[1].queued_bytes(), 12); // both leave in one write
///     futures_lite::future::yield_now().await; // the next tick
///     assert_eq!(members[1].queued_bytes(), 0);
///     Ok::<(), QueueError>(())
/// }))?;
/// # Ok::<(), QueueError>(())
/// ```
pub fn batch<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let mut work = Box::pin(work);
    poll_fn(move |cx| {
        let _turn = Turn::begin();
        work.as_mut().poll(cx)
    })
}

/// Lets `member`, which has nothing else to write, hear `frame` at the end of this turn, if there is one, and the frame comes right behind
/// what it hears already. Tells whether it will.
pub(crate) fn hear<M: Member + 'static>(member: &Rc<M>, frame: &Rc<[u8]>) -> bool {
    let heard = with_open(|batch| {
        let span = batch.log.try_borrow_mut().ok()?.place(frame)?;
        let heard = member.heard().get().joined(span)?;
        batch.add(member);
        member.heard().set(heard);
        Some(())
    });
    heard.flatten().is_some()
}

/// Calls `work` with what was heard.
pub(crate) fn with_heard(span: Span, work: impl FnOnce(&[u8])) {
    with_log(|log| work(log.get(span)));
}

/// Queues what was heard.
pub(crate) fn queue_heard(span: Span, outbound: &mut Outbound) {
    with_log(|log| log.queue(span, outbound));
}

fn with_log(work: impl FnOnce(&Log)) {
    // It is changed with nothing else called.
    let _ended = BATCH.try_with(|batch| batch.log.try_borrow().map(|log| work(&log)));
}

/// Sees to it that what was queued on `member` is written at the end of this turn; tells whether there is one.
pub(crate) fn add<M: Member + 'static>(member: &Rc<M>) -> bool {
    member.is_batched().get() || with_open(|batch| batch.add(member)).is_some()
}

/// Whether a piece of work is being polled.
pub(crate) fn is_open() -> bool {
    with_open(|_| ()).is_some()
}

/// Calls `work` with the batch, if one is open.
fn with_open<R>(work: impl FnOnce(&Batch) -> R) -> Option<R> {
    // At the end of a thread, when its locals are gone, a connection may still be used.
    BATCH.try_with(|batch| (batch.depth.get() > 0).then(|| work(batch))).ok().flatten()
}

impl Batch {
    fn add<M: Member + 'static>(&self, member: &Rc<M>) {
        if member.is_batched().replace(true) {
            return;
        }
        let member: Weak<M> = Rc::downgrade(member);
        let mut members = self.members.take();
        members.push_back(member);
        self.members.set(members);
    }

    /// Ends a turn.
    fn write(&self) {
        // Whatever a stream does that is written to, it says nothing here.
        let log: Option<Ref<'_, Log>> = self.log.try_borrow().ok();
        let mut unwritten = Unwritten(self.members.take());
        if !unwritten.0.is_empty() && !std::thread::panicking() {
            unconstrained(|| unwritten.write());
        }
        drop((unwritten, log));
        if let Ok(mut log) = self.log.try_borrow_mut() {
            log.clear();
        }
    }
}

/// One poll of a piece of work. Ends by writing what was queued, unless it is inside another.
struct Turn(());

impl Turn {
    fn begin() -> Self {
        let _ended = BATCH.try_with(|batch| batch.depth.update(|depth| depth.saturating_add(1)));
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ended = BATCH.try_with(|batch| {
            batch.depth.update(|depth| depth.saturating_sub(1));
            if batch.depth.get() == 0 {
                batch.write();
            }
        });
    }
}

/// To tokio, all that a turn writes is the work of the one task that is being polled, which has had enough after 128 writes.
#[cfg(feature = "tokio")]
fn unconstrained(work: impl FnOnce()) {
    let work = tokio::task::unconstrained(async { work() });
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let _ready = std::pin::pin!(work).poll(&mut cx);
}

#[cfg(not(feature = "tokio"))]
fn unconstrained(work: impl FnOnce()) {
    work();
}

/// Those that have not been written to. What a panic leaves here, of the work, a stream or a waker, is woken.
struct Unwritten(Members);

impl Unwritten {
    fn write(&mut self) {
        let (mut members, mut bytes) = BUDGET;
        while let Some(member) = self.next() {
            let is_spent = members == 0 || bytes == 0;
            if is_spent && member.wake_one() {
                continue;
            }
            let _panic = WakesOnPanic(&*member);
            bytes = bytes.saturating_sub(member.write_queued());
            members = members.saturating_sub(1);
        }
    }

    /// The next that is still there.
    fn next(&mut self) -> Option<Rc<dyn Member>> {
        let member = std::iter::from_fn(|| self.0.pop_front()).find_map(|member| member.upgrade())?;
        member.is_batched().set(false);
        Some(member)
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        while let Some(member) = self.next() {
            member.wake_one();
        }
        if self.0.capacity() > 0 {
            // Kept for the next turn.
            let mut members = std::mem::take(&mut self.0);
            members.shrink_to(BUDGET.0);
            let _ended = BATCH.try_with(|batch| batch.members.set(members));
        }
    }
}

/// Somebody has to hear of it when a stream panics.
struct WakesOnPanic<'a>(&'a dyn Member);

impl Drop for WakesOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.wake_one();
        }
    }
}
