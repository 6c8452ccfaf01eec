//! The future of the closing handshake, the same for both halves.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::hub::Slot;
use super::shared::Shared;
use super::{Error, Receiver, Sender};
use crate::protocol::CloseFrame;

/// The future of `close`, `close_with` and `close_now`.
///
/// # Examples
///
/// See [`Sender::close`](crate::Sender::close).
#[must_use = "futures do nothing unless they are awaited"]
pub struct CloseFuture<'a, T> {
    half: Half<'a, T>,
    /// What is still to be asked for.
    request: Option<Request>,
}

pub(crate) enum Half<'a, T> {
    Sender(&'a mut Sender<T>),
    Receiver(&'a mut Receiver<T>),
}

pub(crate) enum Request {
    /// After everything accepted before.
    Close(CloseFrame),
    /// Dropping what has not begun to leave.
    CloseNow(CloseFrame),
}

impl Request {
    pub(crate) fn apply<T>(self, shared: &Shared<T>)
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        match self {
            Self::Close(frame) => shared.request_close(Some(&frame)),
            Self::CloseNow(frame) => shared.request_close_now(&frame),
        }
    }
}

impl<'a, T> CloseFuture<'a, T> {
    pub(crate) const fn new(half: Half<'a, T>, request: Request) -> Self {
        Self { half, request: Some(request) }
    }

    fn shared(&self) -> &Shared<T> {
        match &self.half {
            Half::Sender(sender) => &sender.shared,
            Half::Receiver(receiver) => &receiver.shared,
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for CloseFuture<'_, T> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(request) = this.request.take() {
            if matches!(this.half, Half::Sender(_)) {
                this.shared().enter_sender();
            }
            request.apply(this.shared());
        }
        match &mut this.half {
            Half::Sender(sender) => sender.shared.poll_close_sender(cx),
            Half::Receiver(receiver) => {
                receiver.shared.poll_close(Slot::Receiver, cx, Some(&mut receiver.reading))
            }
        }
    }
}

impl<T> Drop for CloseFuture<'_, T> {
    fn drop(&mut self) {
        let slot = match self.half {
            Half::Sender(_) => Slot::Sender,
            Half::Receiver(_) => Slot::Receiver,
        };
        self.shared().unpark(slot);
    }
}

impl<T> fmt::Debug for CloseFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloseFuture").finish_non_exhaustive()
    }
}
