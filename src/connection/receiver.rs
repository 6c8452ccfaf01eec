//! The receiving half.

use std::cell::Ref;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

use super::close::{CloseFuture, Half, Request};
use super::hub::Slot;
use super::reading::{self, Reading};
use super::rest::Resting;
use super::shared::Shared;
use super::{Error, Incoming, Message};
use crate::protocol::{CloseCode, CloseFrame, Event, MessageKind, Role};

/// The receiving half of a connection.
///
/// It answers Pings and the peer's Close itself, and writes what the sender left behind on a full socket: keep
/// receiving, and both happen in time. Reading never waits for writing.
///
/// When the receiver is dropped, the sender may go on, but nobody answers Pings any more; its
/// [`close`](crate::Sender::close) then reads what is left.
///
/// # Examples
///
/// ```
/// use unsync_websocket::{Config, Incoming, NoTimer, Role, WebSocket};
///
/// let stream = futures_lite::io::Cursor::new(b"\x81\x02hi\x88\x00".to_vec());
/// let websocket = WebSocket::with_timer(stream, Role::Client, Config::new(), Vec::new(), NoTimer);
/// let (sender, mut receiver) = websocket.split();
/// futures_lite::future::block_on(async {
///     assert_eq!(receiver.receive().await?, Incoming::Message("hi".into()));
///     assert_eq!(receiver.receive().await?, Incoming::Close(None));
///     assert!(receiver.receive().await.unwrap_err().is_clean_close());
///     Ok::<(), unsync_websocket::Error>(())
/// })?;
/// # drop(sender);
/// # Ok::<(), unsync_websocket::Error>(())
/// ```
pub struct Receiver<T> {
    pub(crate) shared: Rc<Shared<T>>,
    pub(crate) reading: Resting<Reading>,
}

impl<T> Receiver<T> {
    /// Whether we are the server or the client.
    ///
    /// # Examples
    ///
    /// See [`WebSocket::with_timer`](crate::WebSocket::with_timer).
    #[must_use]
    pub fn role(&self) -> Role {
        self.shared.role()
    }

    /// The subprotocol that was agreed on in the handshake (RFC 6455, section 1.9).
    ///
    /// # Examples
    ///
    /// See [`WebSocket::subprotocol`](crate::WebSocket::subprotocol).
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.shared.subprotocol()
    }

    /// The stream, unless the connection is over. Do not hold on to it across an `await`: neither half can use the stream
    /// meanwhile.
    ///
    /// # Examples
    ///
    /// See [`close`](Self::close).
    #[must_use]
    pub fn get_ref(&self) -> Option<Ref<'_, T>> {
        self.shared.get_ref()
    }

    /// How long the last answered Ping of the [`keepalive`](crate::Config::keepalive) took; `None` before the first.
    ///
    /// # Examples
    ///
    /// See [`WebSocket::latency`](crate::WebSocket::latency).
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.reading.latency()
    }

    /// The peer's Close, once it has been read and had a code.
    ///
    /// # Examples
    ///
    /// See [`WebSocket::close_frame`](crate::WebSocket::close_frame).
    #[must_use]
    pub fn close_frame(&self) -> Option<CloseFrame> {
        self.shared.close_frame()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Receiver<T> {
    /// Waits for the next message, Pong or Close.
    ///
    /// A message is borrowed from the connection until the next call. Pings are answered and not told of. After
    /// 64 frames or 64 KiB without a wait, other tasks get a turn first.
    ///
    /// # Errors
    ///
    /// Why the connection ended; everything that came before has been returned by then. From then on every call returns
    /// the same. [`Error::is_clean_close`] tells the end of a conversation from a fault. Call `close` in
    /// any case: it sends the Close that is still due to the peer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the next call goes on where it stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Client, Config::new(), b"\x81\x02hi\x89\x00\x88\x00".to_vec(), NoTimer);
    /// use unsync_websocket::{Incoming, Message};
    ///
    /// futures_lite::future::block_on(async {
    ///     // The peer says "hi", sends a Ping and closes.
    ///     assert_eq!(websocket.receiver.receive().await?, Incoming::Message(Message::Text("hi")));
    ///     assert!(matches!(websocket.receiver.receive().await?, Incoming::Close(None)));
    ///     assert!(websocket.receiver.receive().await.unwrap_err().is_clean_close());
    ///     Ok::<(), unsync_websocket::Error>(())
    /// })?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub const fn receive(&mut self) -> ReceiveFuture<'_, T> {
        ReceiveFuture { receiver: Some(self) }
    }

    /// Waits for the next message, appends its data to `data`, and returns whether they are text or binary. Skips Pongs.
    ///
    /// A message in one frame is unmasked straight into `data`; one in fragments is swapped in if `data` is empty.
    ///
    /// # Errors
    ///
    /// Why the connection ended, [`Error::Closed`] after the peer's Close; `data` is as it was.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing, and leaves `data` as it was: a message is appended by the poll that is ready, or
    /// not yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{Config, MessageKind, NoTimer, Role, WebSocket};
    ///
    /// let stream = futures_lite::io::Cursor::new(b"\x01\x01h\x89\x00\x80\x01i\x88\x00".to_vec());
    /// let mut websocket = WebSocket::with_timer(stream, Role::Client, Config::new(), Vec::new(), NoTimer);
    /// futures_lite::future::block_on(async {
    ///     let mut data = Vec::new();
    ///     let kind = websocket.receiver.receive_data(&mut data).await?;
    ///     assert_eq!((kind, &data[..]), (MessageKind::Text, &b"hi"[..]));
    ///     let end = websocket.receiver.receive_data(&mut data).await.unwrap_err();
    ///     assert!(end.is_clean_close());
    ///     Ok::<(), unsync_websocket::Error>(())
    /// })?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub const fn receive_data<'a>(&'a mut self, data: &'a mut Vec<u8>) -> ReceiveDataFuture<'a, T> {
        ReceiveDataFuture { receiver: self, data }
    }

    /// Closes the connection with code 1000, as [`Sender::close`](crate::Sender::close) does. Messages that still come are
    /// thrown away, up to [`max_message`](crate::Config::max_message) bytes of them, then the connection is cut.
    ///
    /// # Errors
    ///
    /// As [`Sender::close`](crate::Sender::close).
    ///
    /// # Cancel safety
    ///
    /// As [`Sender::close`](crate::Sender::close).
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), b"\x88\x80\0\0\0\0".to_vec(), NoTimer);
    /// // The peer has sent its Close already.
    /// let (sender, mut receiver) = websocket.split();
    /// futures_lite::future::block_on(receiver.close())?;
    /// assert!(receiver.get_ref().is_none());
    /// # drop(sender);
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn close(&mut self) -> CloseFuture<'_, T> {
        self.close_with(CloseCode::NORMAL, "")
    }

    /// As [`close`](Self::close), with a code and a reason of at most 123 bytes (a longer one is cut).
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    ///
    /// # Cancel safety
    ///
    /// As [`close`](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), b"\x88\x80\0\0\0\0".to_vec(), NoTimer);
    /// use unsync_websocket::CloseCode;
    ///
    /// // The peer has sent its Close already.
    /// let (sender, mut receiver) = websocket.split();
    /// # drop(sender);
    /// futures_lite::future::block_on(receiver.close_with(CloseCode::GOING_AWAY, "the server restarts"))?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn close_with(&mut self, code: CloseCode, reason: &str) -> CloseFuture<'_, T> {
        CloseFuture::new(Half::Receiver(self), Request::Close(CloseFrame::new(code, reason)))
    }

    /// As [`close_with`](Self::close_with), but drops everything that has not begun to leave.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    ///
    /// # Cancel safety
    ///
    /// As [`close`](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), b"\x88\x80\0\0\0\0".to_vec(), NoTimer);
    /// use unsync_websocket::CloseCode;
    ///
    /// // The peer has sent its Close already.
    /// let (sender, mut receiver) = websocket.split();
    /// # drop(sender);
    /// futures_lite::future::block_on(receiver.close_now(CloseCode::TRY_AGAIN_LATER, "too slow"))?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn close_now(&mut self, code: CloseCode, reason: &str) -> CloseFuture<'_, T> {
        CloseFuture::new(Half::Receiver(self), Request::CloseNow(CloseFrame::new(code, reason)))
    }

    /// The poll form of [`receive`](Self::receive).
    ///
    /// A task that stops polling after `Pending` should drop the receiver or poll it again in time: it counts as waiting, and what
    /// is queued meanwhile is left for it to write.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(b"\x81\x02hi".to_vec());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Client, Config::new(), Vec::new(), NoTimer);
    /// # futures_lite::future::block_on(async {
    /// let length = poll_fn(|cx| {
    ///     websocket.receiver.poll_receive(cx).map_ok(|incoming| format!("{incoming:?}"))
    /// });
    /// assert_eq!(length.await?, "Message(Text(2 bytes))");
    /// # Ok::<(), unsync_websocket::Error>(())
    /// # })?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming<'_>, Error>> {
        match self.poll_next(cx) {
            Poll::Ready(event) => Poll::Ready(event.and_then(|event| self.incoming(event))),
            Poll::Pending => self.wait(),
        }
    }

    /// The poll form of [`receive_data`](Self::receive_data).
    ///
    /// # Errors
    ///
    /// As [`receive_data`](Self::receive_data).
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Client, Config::new(), b"\x81\x02hi".to_vec(), NoTimer);
    /// use std::future::poll_fn;
    ///
    /// let mut data = Vec::new();
    /// futures_lite::future::block_on(poll_fn(|cx| websocket.receiver.poll_receive_data(cx, &mut data)))?;
    /// assert_eq!(data, b"hi");
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn poll_receive_data(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Vec<u8>,
    ) -> Poll<Result<MessageKind, Error>> {
        let mut event = if self.shared.only_reads() {
            self.shared.unpark(Slot::Receiver);
            ready!(self.poll_at_rest(cx));
            if let Some(kind) = self.reading.next_message_into(data) {
                return Poll::Ready(Ok(kind));
            }
            self.reading.poll_on(&self.shared, Slot::Receiver, cx, Some(data))
        } else {
            self.reading.poll_event(&self.shared, Slot::Receiver, cx, Some(data))
        };
        loop {
            let Poll::Ready(ready) = event else { return self.wait() };
            if let Event::Message(kind) = ready? {
                return Poll::Ready(Ok(kind));
            }
            // A Close: the next call says so as an error.
            event = self.reading.poll_event(&self.shared, Slot::Receiver, cx, Some(data));
        }
    }

    /// The poll form of [`close`](Self::close).
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), b"\x88\x80\0\0\0\0".to_vec(), NoTimer);
    /// use std::future::poll_fn;
    ///
    /// // The peer has sent its Close already.
    /// futures_lite::future::block_on(poll_fn(|cx| websocket.receiver.poll_close(cx)))?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.shared.request_close(Some(&CloseFrame::new(CloseCode::NORMAL, "")));
        self.shared.poll_close(Slot::Receiver, cx, Some(&mut self.reading))
    }

    /// There is nothing yet: while it is waited for, the reading side is not held.
    fn wait<R>(&mut self) -> Poll<R> {
        Resting::rest(&mut self.reading);
        Poll::Pending
    }

    /// The next event. A message that has been read already, as nearly always, is found out at once.
    #[inline]
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        if !self.shared.only_reads() {
            return self.reading.poll_event(&self.shared, Slot::Receiver, cx, None);
        }
        self.shared.unpark(Slot::Receiver);
        ready!(self.poll_at_rest(cx));
        let reading: &mut Reading = &mut self.reading;
        match reading.next_message() {
            Some(kind) => Poll::Ready(Ok(Event::Message(kind))),
            None => reading.poll_on(&self.shared, Slot::Receiver, cx, None),
        }
    }

    /// If the reading side is at rest, waits on without it, if that can be.
    #[inline]
    fn poll_at_rest(&mut self, cx: &Context<'_>) -> Poll<()> {
        if Resting::is_at_rest(&self.reading) {
            ready!(self.shared.poll_at_rest(Slot::Receiver, cx));
            self.reading.may_read();
        }
        Poll::Ready(())
    }

    /// An event as the user sees it.
    #[inline]
    fn incoming(&self, event: Event) -> Result<Incoming<'_>, Error> {
        let payload = self.reading.payload();
        Ok(match event {
            Event::Message(MessageKind::Binary) => Incoming::Message(Message::Binary(payload)),
            Event::Message(MessageKind::Text) => match reading::text(payload) {
                Ok(text) => Incoming::Message(Message::Text(text)),
                Err(error) => return Err(reading::fail(&self.shared, error, Slot::Receiver)),
            },
            Event::Close(frame) => Incoming::Close(frame),
            Event::Pong | Event::Ping | Event::Fragment => Incoming::Pong(payload),
        })
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receiver_dropped(Resting::take(&mut self.reading));
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&self.shared).finish()
    }
}

/// The future of [`Receiver::receive`].
///
/// # Examples
///
/// See [`Receiver::receive`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct ReceiveFuture<'a, T> {
    /// Gone when the future is ready: what it returns borrows from it.
    receiver: Option<&'a mut Receiver<T>>,
}

impl<'a, T: AsyncRead + AsyncWrite + Unpin> Future for ReceiveFuture<'a, T> {
    type Output = Result<Incoming<'a>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(receiver) = self.receiver.as_deref_mut() else {
            return Poll::Pending;
        };
        let Poll::Ready(event) = receiver.poll_next(cx) else { return receiver.wait() };
        let Some(receiver) = self.receiver.take() else {
            return Poll::Pending;
        };
        Poll::Ready(event.and_then(|event| receiver.incoming(event)))
    }
}

impl<T> Drop for ReceiveFuture<'_, T> {
    fn drop(&mut self) {
        if let Some(receiver) = &self.receiver {
            receiver.shared.unpark(Slot::Receiver);
        }
    }
}

impl<T> fmt::Debug for ReceiveFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveFuture").finish_non_exhaustive()
    }
}

/// The future of [`Receiver::receive_data`].
///
/// # Examples
///
/// See [`Receiver::receive_data`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct ReceiveDataFuture<'a, T> {
    receiver: &'a mut Receiver<T>,
    data: &'a mut Vec<u8>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for ReceiveDataFuture<'_, T> {
    type Output = Result<MessageKind, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { receiver, data } = &mut *self;
        receiver.poll_receive_data(cx, data)
    }
}

impl<T> Drop for ReceiveDataFuture<'_, T> {
    fn drop(&mut self) {
        self.receiver.shared.unpark(Slot::Receiver);
    }
}

impl<T> fmt::Debug for ReceiveDataFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveDataFuture").finish_non_exhaustive()
    }
}
