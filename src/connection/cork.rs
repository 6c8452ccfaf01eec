//! Cork scopes: replies to pipelined input leave together.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::hub::Slot;
use super::shared::Shared;

/// Runs work on a connection so that what it sends leaves together, taken with
/// [`cork_handle`](crate::WebSocket::cork_handle) before the connection is split.
///
/// `send` writes at once; inside a scope it only fills the outbox, which is written whenever the work returns `Pending`. So
/// replies to messages that arrived together leave together, and none waits for anything your code awaits. What a full socket
/// left behind goes on leaving while the work waits for something else.
///
/// # Examples
///
/// ```
/// use unsync_websocket::{NoTimer, WebSocket, Config, Role};
///
/// let stream = futures_lite::io::Cursor::new(Vec::new());
/// let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
/// let cork = websocket.cork_handle();
/// let (mut sender, receiver) = websocket.split();
/// futures_lite::future::block_on(cork.scope(async {
///     sender.send("one").await?;
///     sender.send("two").await?;
///     assert_eq!(sender.queued_bytes(), 10); // both leave together, when the scope ends
///     Ok::<(), unsync_websocket::Error>(())
/// }))?;
/// assert_eq!(sender.queued_bytes(), 0);
/// # drop(receiver);
/// # Ok::<(), unsync_websocket::Error>(())
/// ```
pub struct CorkHandle<T> {
    shared: Weak<Shared<T>>,
}

impl<T> Clone for CorkHandle<T> {
    fn clone(&self) -> Self {
        Self { shared: Weak::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for CorkHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CorkHandle").finish_non_exhaustive()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> CorkHandle<T> {
    pub(crate) fn new(shared: &Rc<Shared<T>>) -> Self {
        Self { shared: Rc::downgrade(shared) }
    }

    /// Runs `work`, which uses the connection's halves, corked.
    ///
    /// One scope a connection is enough, around whatever uses its halves: of two that wait, only the later is woken to write what a full
    /// socket left behind.
    ///
    /// It may run anything else beside. A message that finds the outbox full is written at once, and so is a long one (see
    /// [`Sender::send`](crate::Sender::send)). The future borrows nothing of the handle, so it can be spawned.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops `work`, and nothing else: what was accepted leaves when a half is next polled.
    ///
    /// # Examples
    ///
    /// See [`CorkHandle`].
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<T, F> {
        scope(Weak::clone(&self.shared), work)
    }
}

/// Polls `work` corked. It is boxed, so that it takes its place once: an async fn would keep what it was given beside what it pins.
pub(super) fn scope<T, F>(shared: Weak<Shared<T>>, work: F) -> impl Future<Output = F::Output>
where
    T: AsyncRead + AsyncWrite + Unpin,
    F: Future,
{
    Scope { work: Some(Box::pin(work)), shared }
}

/// The future of a scope.
struct Scope<T, F> {
    /// When it has ended it is dropped, however long somebody keeps this future.
    work: Option<Pin<Box<F>>>,
    shared: Weak<Shared<T>>,
}

impl<T: AsyncRead + AsyncWrite + Unpin, F: Future> Future for Scope<T, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { work: place, shared } = &mut *self;
        let Some(work) = place else { return Poll::Pending };
        // Held over the write: the work may end with both halves in it.
        let shared = shared.upgrade();
        if let Some(shared) = &shared {
            shared.unpark(Slot::Scope);
        }
        let result = {
            let _corked = shared.as_deref().map(Corked::new);
            work.as_mut().poll(cx)
        };
        if let Some(shared) = shared {
            if result.is_pending() {
                shared.register(Slot::Scope, cx);
            }
            shared.drive_uncorked(Slot::Scope);
            if result.is_pending() {
                return shared.park(Slot::Scope);
            }
        }
        if result.is_ready() {
            *place = None;
        }
        result
    }
}

/// A scope that is gone does not wait.
impl<T, F> Drop for Scope<T, F> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade().filter(|_| self.work.is_some()) {
            shared.unpark(Slot::Scope);
        }
    }
}

/// Counts a scope in while it polls its work, and out even if the work panics.
struct Corked<'a, T>(&'a Shared<T>);

impl<'a, T> Corked<'a, T> {
    fn new(shared: &'a Shared<T>) -> Self {
        shared.corked().update(|scopes| scopes.saturating_add(1));
        Self(shared)
    }
}

impl<T> Drop for Corked<'_, T> {
    fn drop(&mut self) {
        self.0.corked().update(|scopes| scopes.saturating_sub(1));
        if std::thread::panicking() {
            // What it has queued is written by whoever waits beside it.
            self.0.wake_one();
        }
    }
}
