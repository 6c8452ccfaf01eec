//! Batches: what one piece of work queues on many connections is written at the end of its turn, by itself.
//!
//! Woken to write it themselves, a thousand members of a room would be a thousand turns of the executor, each with cache lines that it
//! has not. Whoever queues is being polled at this moment, and will come to the end of that, whatever other tasks do: no member depends on
//! another. A turn is bounded all the same: past its budget, and if the work panics, those that are left are woken after all.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;

/// Connections that the end of one turn writes to, and bytes of them after which it writes no more, before other tasks get theirs.
const BUDGET: (usize, usize) = (1024, 1 << 20);

/// A connection in a batch.
pub(crate) trait Member {
    /// Whether it is in one.
    fn is_batched(&self) -> &Cell<bool>;

    /// Writes what was queued, as far as the stream takes it; tells how many bytes it took.
    fn write_queued(&self) -> usize;

    /// Leaves it to whoever waits on the connection.
    fn leave_queued(&self);
}

/// Those that something was queued on in this turn, the first first.
type Members = VecDeque<Rc<dyn Member>>;

/// Does some work.
type Around = fn(&mut dyn FnMut());

struct Batch {
    /// How many pieces of work are being polled, one inside the other.
    depth: Cell<u32>,
    members: RefCell<Members>,
    /// What the thread's runtime wants to be around the writes of a turn.
    around: Cell<Around>,
}

thread_local! {
    static BATCH: Batch =
        const { Batch { depth: Cell::new(0), members: RefCell::new(VecDeque::new()), around: Cell::new(|work| work()) } };
}

/// Has `around` do the writes of each turn on this thread: to tokio, for one, they are all the work of the one task that is being polled,
/// which has had enough after 128.
#[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "no other runtime counts"))]
pub(crate) fn write_in(around: Around) {
    let _ended = BATCH.try_with(|batch| batch.around.set(around));
}

/// Runs `work` so that what it queues with [`QueueHandle`](crate::QueueHandle)s leaves when it next waits, or ends: for a room that tells
/// many members something. So does [`WebSocket::cork`](crate::WebSocket::cork), for what is queued on any connection of the thread.
///
/// Each connection's messages leave in as few writes as they can, and its task is not woken for it. After 1,024 connections, or
/// 1 MiB, other tasks get their turn: the connections that are left are woken, and write themselves.
///
/// # Cancel safety
///
/// Dropping the future drops `work`, and nothing else: what was queued has left, or leaves when the connection is next polled.
///
/// # Examples
///
/// ```
/// use std::future::poll_fn;
/// use std::task::Poll;
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
///     # let mut waited = false;
///     # poll_fn(|cx| {
///     #     cx.waker().wake_by_ref();
///     #     if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
///     # }).await; // the next tick
///     assert_eq!(members[1].queued_bytes(), 0);
///     Ok::<(), QueueError>(())
/// }))?;
/// # Ok::<(), QueueError>(())
/// ```
pub async fn batch<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|cx| {
        let _turn = Turn::begin();
        work.as_mut().poll(cx)
    })
    .await
}

/// Adds a connection that something was queued on; tells whether there is a batch to add it to.
pub(crate) fn add<M: Member + 'static>(member: &Rc<M>) -> bool {
    // At the end of a thread, when its locals are gone, a connection may still be used.
    let added = BATCH.try_with(|batch| {
        let is_open = batch.depth.get() > 0;
        if is_open {
            member.is_batched().set(true);
            let member: Rc<M> = Rc::clone(member);
            batch.members.borrow_mut().push_back(member);
        }
        is_open
    });
    added.unwrap_or(false)
}

/// One poll of a piece of work. Ends by writing what was queued, unless it is inside another.
pub(crate) struct Turn(());

impl Turn {
    pub(crate) fn begin() -> Self {
        let _ended = BATCH.try_with(|batch| batch.depth.update(|depth| depth.saturating_add(1)));
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let members = BATCH.try_with(|batch| {
            batch.depth.update(|depth| depth.saturating_sub(1));
            let is_over = batch.depth.get() == 0 && !batch.members.borrow().is_empty();
            is_over.then(|| batch.members.take())
        });
        if let Ok(Some(members)) = members {
            Unwritten(members).write();
        }
    }
}

/// Those that have not been written to. Left by a panic, of the work or of a stream, or by a turn that was over, they are woken.
struct Unwritten(Members);

impl Unwritten {
    fn write(mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Ok(around) = BATCH.try_with(|batch| batch.around.get()) {
            around(&mut || self.write_some());
        }
    }

    fn write_some(&mut self) {
        let (most, mut bytes) = BUDGET;
        for _ in 0..most {
            if bytes == 0 {
                return;
            }
            let Some(member) = self.0.pop_front() else { return };
            member.is_batched().set(false);
            bytes = bytes.saturating_sub(member.write_queued());
        }
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        let mut members = std::mem::take(&mut self.0);
        for member in members.drain(..) {
            member.is_batched().set(false);
            member.leave_queued();
        }
        // Kept for the next turn, as large as it has become.
        let _ended = BATCH.try_with(|batch| batch.members.replace(members));
    }
}
