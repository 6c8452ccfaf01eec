//! Batches: what one piece of work queues on many connections is written at the end of its turn, by itself.
//!
//! Woken to write it themselves, a thousand members of a room are a thousand turns of the executor, each with cache lines that it
//! has not. Whoever queues is being polled at this moment, and will come to the end of that, whatever other tasks do: no member depends on
//! another. A turn is bounded all the same: past its budget those that are left are woken after all. So are they if something panics.
//!
//! Tried and dropped: each cork scope as a batch. In a chat where many speak, what they said until a member's own task came up left in one
//! write; written at the end of each speaker's turn, a delivered message cost six times as much (`benches/run.sh claim`).

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::rc::{Rc, Weak};

/// Connections that the end of one turn writes to, and bytes of them after which it writes no more.
const BUDGET: (usize, usize) = (1024, 1 << 20);

/// A connection in a batch.
pub(crate) trait Member {
    /// Whether it is in one.
    fn is_batched(&self) -> &Cell<bool>;

    /// Writes what was queued, as far as the stream takes it; tells how many bytes it took.
    fn write_queued(&self) -> usize;

    /// Wakes somebody who waits on the connection, to write what was queued; tells whether anybody does.
    fn wake_one(&self) -> bool;
}

/// Those that something was queued on in this turn, the first first. Who drops a connection in the turn drops its socket.
type Members = VecDeque<Weak<dyn Member>>;

#[derive(Default)]
struct Batch {
    /// How many pieces of work are being polled, one inside the other.
    depth: Cell<u32>,
    members: Cell<Members>,
}

thread_local! {
    static BATCH: Batch = Batch::default();
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

/// Sees to it that what was queued on `member` is written at the end of this turn; tells whether there is one.
pub(crate) fn add<M: Member + 'static>(member: &Rc<M>) -> bool {
    if member.is_batched().get() {
        return true;
    }
    // At the end of a thread, when its locals are gone, a connection may still be used.
    let added = BATCH.try_with(|batch| {
        let is_open = batch.depth.get() > 0;
        if is_open {
            member.is_batched().set(true);
            let member: Weak<M> = Rc::downgrade(member);
            let mut members = batch.members.take();
            members.push_back(member);
            batch.members.set(members);
        }
        is_open
    });
    added.unwrap_or(false)
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
        let members = BATCH.try_with(|batch| {
            batch.depth.update(|depth| depth.saturating_sub(1));
            if batch.depth.get() == 0 { batch.members.take() } else { Members::new() }
        });
        let mut unwritten = Unwritten(members.unwrap_or_default());
        if !std::thread::panicking() {
            unconstrained(|| unwritten.write());
        }
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
