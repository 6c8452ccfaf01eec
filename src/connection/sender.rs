//! The sending half.

use std::cell::Ref;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use super::close::{CloseFuture, Half, Request};
use super::hub::Slot;
use super::shared::{SendStage, Shared};
use super::{CorkHandle, Error, Message, QueueError};
use crate::protocol::{CloseCode, CloseFrame, Compress, EncodedFrame, MessageKind, Outbound, Role};

/// Bytes that a Ping or Pong may carry (RFC 6455, section 5.5).
const MAX_CONTROL: usize = 125;

/// The sending half of a connection.
///
/// Messages go into an outbox of whole frames and from there to the stream. Whoever is polled writes it on, so what
/// [`send`](Self::send) left behind on a full socket leaves while the receiver waits for input. Always receive: a connection of
/// which nobody polls the receiver answers no Ping and may stop sending.
///
/// When the sender is dropped, the receiver goes on and still answers Pings and the Close.
///
/// # Examples
///
/// ```
/// use unsync_websocket::{Config, NoTimer, Role, WebSocket};
///
/// let stream = futures_lite::io::Cursor::new(Vec::new());
/// let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
/// let (mut sender, receiver) = websocket.split();
/// futures_lite::future::block_on(async {
///     sender.send("hi").await?;
///     sender.send(&[1, 2, 3]).await?;
///     sender.ping(b"are you there?").await
/// })?;
/// assert_eq!(sender.get_ref().expect("still open").get_ref()[..4], *b"\x81\x02hi");
/// # drop(receiver);
/// # Ok::<(), unsync_websocket::Error>(())
/// ```
pub struct Sender<T> {
    pub(crate) shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// A handle that queues messages without ever waiting.
    ///
    /// # Examples
    ///
    /// See [`QueueHandle`].
    #[must_use]
    pub fn queue_handle(&self) -> QueueHandle<T> {
        QueueHandle { shared: Rc::downgrade(&self.shared) }
    }

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
    /// See [`Sender`].
    #[must_use]
    pub fn get_ref(&self) -> Option<Ref<'_, T>> {
        self.shared.get_ref()
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

    /// Bytes in the outbox, frame headers included: accepted, and not yet taken by the stream.
    ///
    /// # Examples
    ///
    /// See [`CorkHandle`].
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.shared.queued()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Sender<T> {
    /// Sends a message: waits until the outbox has room, puts it in, and writes at once as much as the stream takes.
    ///
    /// What the stream does not take leaves later, driven by whichever half is polled; if the receiver has been dropped,
    /// `send` waits for it. A message of 16 KiB and more is written from where it lies (a client masks 32 KiB of it for each
    /// write), and `send` waits until all of it has gone; unless something stands before it that the stream does not take just now, and
    /// it is no longer than [`max_message`](crate::Config::max_message): then it is copied behind that. Messages longer than
    /// [`fragment`](crate::Config::fragment) go out in fragments. Inside a [`cork`](crate::WebSocket::cork) scope, small messages are only
    /// put into the outbox, and so are those of less than 64 KiB where several are answered. Where compression was agreed on, a
    /// message is compressed whole when there is room for it, and copied; [`uncompressed`](SendFuture::uncompressed) prevents that.
    ///
    /// # Errors
    ///
    /// Why the connection ended, or [`Error::Closing`] after we closed it. What was accepted earlier may or may not have
    /// arrived.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future either sends nothing of the message or all of it: what has begun to leave is finished by
    /// whoever is polled next. (A rest longer than [`max_message`](crate::Config::max_message) is not kept: the frame
    /// is finished, and the connection closed with 1011, so that the message never looks whole.)
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// futures_lite::future::block_on(async {
    ///     websocket.sender.send("text").await?;
    ///     websocket.sender.send(&[1, 2, 3]).await?;
    ///     websocket.sender.send(&format!("{} more", 5)).await
    /// })?;
    /// let written = websocket.into_inner().expect("still open").into_inner();
    /// assert_eq!(written, b"\x81\x04text\x82\x03\x01\x02\x03\x81\x065 more");
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn send<'a>(&'a mut self, message: impl Into<Message<'a>>) -> SendFuture<'a, T> {
        let message = message.into();
        SendFuture {
            sender: self,
            kind: message.kind(),
            payload: message.as_bytes(),
            compress: Compress::IfAgreed,
            stage: SendStage::Waiting,
            written: 0,
        }
    }

    /// As [`send`](Self::send), but writes nothing: the message leaves with the next `send`, with [`flush`](Self::flush), or when a
    /// half next waits. It is copied, whatever its size.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready feeds nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// # let (mut sender, receiver) = websocket.split();
    /// # futures_lite::future::block_on(async {
    /// sender.feed("one").await?;
    /// sender.feed("two").await?;
    /// assert_eq!(sender.queued_bytes(), 10);
    /// sender.flush().await?;
    /// assert_eq!(sender.queued_bytes(), 0);
    /// # Ok::<(), unsync_websocket::Error>(())
    /// # })?;
    /// # drop(receiver);
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn feed<'a>(&'a mut self, message: impl Into<Message<'a>>) -> FeedFuture<'a, T> {
        FeedFuture {
            sender: self,
            content: Some(Content::Message(message.into(), Compress::IfAgreed)),
            drive: Drive::Later,
        }
    }

    /// Sends a Ping (RFC 6455, section 5.5.2), after what was accepted before. Its answer comes as
    /// [`Incoming::Pong`](crate::Incoming::Pong).
    ///
    /// # Errors
    ///
    /// [`Error::ControlTooLong`] for a payload of more than 125 bytes; else as [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Client, Config::new(), b"\x8A\x0Cstill there?".to_vec(), NoTimer);
    /// use unsync_websocket::Incoming;
    ///
    /// futures_lite::future::block_on(async {
    ///     websocket.sender.ping(b"still there?").await?;
    ///     // The answer comes among the messages.
    ///     assert_eq!(websocket.receiver.receive().await?, Incoming::Pong(b"still there?"));
    ///     Ok::<(), unsync_websocket::Error>(())
    /// })?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn ping<'a>(&'a mut self, payload: &'a [u8]) -> FeedFuture<'a, T> {
        FeedFuture { sender: self, content: Some(Content::Ping(payload)), drive: Drive::Now }
    }

    /// Sends a Pong that nobody asked for, a one-way heartbeat (RFC 6455, section 5.5.3). Pings are answered without
    /// this.
    ///
    /// # Errors
    ///
    /// [`Error::ControlTooLong`] for a payload of more than 125 bytes; else as [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// futures_lite::future::block_on(websocket.sender.pong(b"I am"))?;
    /// assert_eq!(websocket.into_inner().expect("still open").into_inner(), b"\x8A\x04I am");
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn pong<'a>(&'a mut self, payload: &'a [u8]) -> FeedFuture<'a, T> {
        FeedFuture { sender: self, content: Some(Content::Pong(payload)), drive: Drive::Now }
    }

    /// Waits until everything accepted has been taken by the stream, and flushes that.
    ///
    /// # Errors
    ///
    /// Why the stream cannot be written any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// futures_lite::future::block_on(async {
    ///     websocket.sender.feed("one").await?;
    ///     websocket.sender.feed("two").await?;
    ///     assert_eq!(websocket.queued_bytes(), 10);
    ///     websocket.sender.flush().await?;
    ///     assert_eq!(websocket.queued_bytes(), 0);
    ///     Ok::<(), unsync_websocket::Error>(())
    /// })?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub const fn flush(&mut self) -> FlushFuture<'_, T> {
        FlushFuture { sender: self }
    }

    /// Closes the connection with code 1000 (RFC 6455, section 7.1): sends what was accepted and our Close, waits for the peer's
    /// and for the end of the stream, and drops the stream. It is over within
    /// [`close_timeout`](crate::Config::close_timeout).
    ///
    /// Call it too when the connection has ended by an error or by the peer's Close: it sees to it that the peer gets the
    /// Close that is due to it. Whoever polls the receiver meanwhile gets the messages that still come. If nobody does
    /// though it still exists, the peer's Close is not read and the deadline cuts the connection; if it has been
    /// dropped, what comes is read here and thrown away.
    ///
    /// # Errors
    ///
    /// Why the connection ended, if not by the peer's Close: [`Error::CloseTimeout`] if that did not come in time,
    /// [`Error::EndOfStream`] if the stream ended without one.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the Close is on its way and is not taken back. Calling `close` again goes on waiting.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    ///
    /// // The peer has sent its Close already.
    /// let read_ahead = b"\x88\x80\0\0\0\0".to_vec();
    /// let stream = futures_lite::io::Cursor::new(Vec::new());
    /// let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), read_ahead, NoTimer);
    /// let (mut sender, receiver) = websocket.split();
    /// drop(receiver);
    /// futures_lite::future::block_on(sender.close())?;
    /// assert!(sender.get_ref().is_none());
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
    /// let (mut sender, receiver) = websocket.split();
    /// # drop(receiver);
    /// futures_lite::future::block_on(sender.close_with(CloseCode::GOING_AWAY, "the server restarts"))?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn close_with(&mut self, code: CloseCode, reason: &str) -> CloseFuture<'_, T> {
        CloseFuture::new(Half::Sender(self), Request::Close(CloseFrame::new(code, reason)))
    }

    /// As [`close_with`](Self::close_with), but drops everything that has not begun to leave: for a peer that reads too slowly.
    /// It is told if it reads again within the close deadline, and cut off otherwise.
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
    /// let (mut sender, receiver) = websocket.split();
    /// # drop(receiver);
    /// futures_lite::future::block_on(sender.close_now(CloseCode::TRY_AGAIN_LATER, "too slow"))?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn close_now(&mut self, code: CloseCode, reason: &str) -> CloseFuture<'_, T> {
        CloseFuture::new(Half::Sender(self), Request::CloseNow(CloseFrame::new(code, reason)))
    }

    /// Waits until the outbox has room for a message, for [`start_send`](Self::start_send).
    ///
    /// A task that stops polling after `Pending` should drop the sender or poll it again in time: it counts as waiting.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// # let (mut sender, receiver) = websocket.split();
    /// # futures_lite::future::block_on(async {
    /// poll_fn(|cx| sender.poll_ready(cx)).await?;
    /// sender.start_send("hi")?;
    /// poll_fn(|cx| sender.poll_flush(cx)).await?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// # })?;
    /// # drop(receiver);
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.shared.enter_sender();
        self.shared.poll_ready(cx)
    }

    /// Puts a message into the outbox, whether it has room or not: ask [`poll_ready`](Self::poll_ready) first. Writes nothing.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Examples
    ///
    /// See [`poll_ready`](Self::poll_ready).
    pub fn start_send<'a>(&mut self, message: impl Into<Message<'a>>) -> Result<(), Error> {
        self.shared.enter_sender();
        self.shared.send_error().map_or(Ok(()), Err)?;
        let message = message.into();
        self.shared.append(|outbound| outbound.push(message.kind(), message.as_bytes()));
        Ok(())
    }

    /// The poll form of [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    ///
    /// # Examples
    ///
    /// See [`poll_ready`](Self::poll_ready).
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.shared.enter_sender();
        self.shared.poll_flush(cx)
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
    /// # let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), b"\x88\x80\0\0\0\0".to_vec(), NoTimer);
    /// use std::future::poll_fn;
    ///
    /// // The peer has sent its Close already.
    /// let (mut sender, receiver) = websocket.split();
    /// # drop(receiver);
    /// futures_lite::future::block_on(poll_fn(|cx| sender.poll_close(cx)))?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.shared.enter_sender();
        self.shared.request_close(Some(&CloseFrame::new(CloseCode::NORMAL, "")));
        self.shared.poll_close_sender(cx)
    }

    /// A handle that corks this connection's halves.
    ///
    /// # Examples
    ///
    /// See [`CorkHandle`].
    #[must_use]
    pub fn cork_handle(&self) -> CorkHandle<T> {
        CorkHandle::new(&self.shared)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.sender_dropped();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.shared).finish()
    }
}

/// Queues messages on a connection without ever waiting, and without keeping it open: what a room holds of each of its members.
///
/// # Examples
///
/// ```
/// use unsync_websocket::{Config, EncodedFrame, NoTimer, QueueError, Role, WebSocket};
///
/// let stream = futures_lite::io::Cursor::new(Vec::new());
/// let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
/// let members = [websocket.sender.queue_handle()];
///
/// let frame = EncodedFrame::text("tick"); // encoded once
/// for member in &members {
///     member.queue(&frame)?;
/// }
/// drop(websocket);
/// assert_eq!(members[0].queue(&frame), Err(QueueError::Closed));
/// # Ok::<(), QueueError>(())
/// ```
pub struct QueueHandle<T> {
    shared: Weak<Shared<T>>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> QueueHandle<T> {
    /// Queues a message. If the receiver or a cork scope waits, it is woken and writes what was queued until then together (if its
    /// future is dropped before that, whoever is polled next does); else the message is written now, as far as the stream takes it. Inside
    /// a [`batch`](crate::batch), it leaves at the end of that work's turn.
    ///
    /// May be called at any time, also while the connection's own task is inside `send`.
    ///
    /// # Errors
    ///
    /// [`QueueError::Full`] if the outbox is above its mark, [`QueueError::Closed`] if the connection is over or closing.
    /// Nothing of the message was taken then.
    ///
    /// # Examples
    ///
    /// See [`QueueHandle`].
    pub fn queue(&self, frame: &EncodedFrame) -> Result<(), QueueError>
    where
        T: 'static,
    {
        self.shared.upgrade().ok_or(QueueError::Closed)?.queue(frame)
    }

    /// Queues our Close, after everything accepted before it. The connection's own task sees the end of it, within
    /// [`close_timeout`](crate::Config::close_timeout).
    ///
    /// # Errors
    ///
    /// [`QueueError::Closed`] if the connection is over or closing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// use unsync_websocket::{CloseCode, EncodedFrame, QueueError};
    ///
    /// let member = websocket.sender.queue_handle();
    /// member.queue(&EncodedFrame::text("the last word"))?;
    /// member.queue_close(CloseCode::GOING_AWAY, "the room closes")?; // behind it
    /// assert_eq!(member.queue(&EncodedFrame::text("one more")), Err(QueueError::Closed));
    /// # Ok::<(), QueueError>(())
    /// ```
    pub fn queue_close(&self, code: CloseCode, reason: &str) -> Result<(), QueueError> {
        self.shared.upgrade().ok_or(QueueError::Closed)?.queue_close(&CloseFrame::new(code, reason))
    }

    /// As [`queue_close`](Self::queue_close), but drops everything that has not begun to leave: for a peer that reads too slowly. It
    /// is told if it reads again within [`close_timeout`](crate::Config::close_timeout). Takes the place of a Close that
    /// still waits.
    ///
    /// # Errors
    ///
    /// [`QueueError::Closed`] if the connection is over or our Close has begun to leave.
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// use unsync_websocket::{CloseCode, EncodedFrame, QueueError};
    ///
    /// # let frame = EncodedFrame::text("tick");
    /// let member = websocket.sender.queue_handle();
    /// if member.queue(&frame) == Err(QueueError::Full) {
    ///     member.close_now(CloseCode::TRY_AGAIN_LATER, "too slow")?;
    /// }
    /// # member.close_now(CloseCode::TRY_AGAIN_LATER, "too slow")?;
    /// # Ok::<(), QueueError>(())
    /// ```
    pub fn close_now(&self, code: CloseCode, reason: &str) -> Result<(), QueueError> {
        self.shared.upgrade().ok_or(QueueError::Closed)?.queue_close_now(&CloseFrame::new(code, reason))
    }

    /// Bytes in the outbox; 0 if the connection is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// let member = websocket.sender.queue_handle();
    /// assert_eq!(member.queued_bytes(), 0);
    /// ```
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.shared.upgrade().map_or(0, |shared| shared.queued())
    }
}

impl<T> Clone for QueueHandle<T> {
    fn clone(&self) -> Self {
        Self { shared: Weak::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for QueueHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueHandle").field("is_open", &(self.shared.strong_count() > 0)).finish()
    }
}

/// The future of [`Sender::send`].
///
/// # Examples
///
/// See [`Sender::send`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendFuture<'a, T> {
    sender: &'a mut Sender<T>,
    // In pieces, that they pack: a task that echoes keeps room for it.
    kind: MessageKind,
    payload: &'a [u8],
    compress: Compress,
    stage: SendStage,
    /// Of a message that is written from where it lies.
    written: usize,
}

impl<T> SendFuture<'_, T> {
    /// Sends this message as it is, though compression was agreed on: one that holds a secret beside what a stranger wrote, or
    /// that is compressed already. To be called before the future is polled.
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let mut ws = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// # futures_lite::future::block_on(async {
    /// ws.sender.send("token=73a1").uncompressed().await?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// # })?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn uncompressed(mut self) -> Self {
        self.compress = Compress::Never;
        self
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for SendFuture<'_, T> {
    type Output = Result<(), Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { sender, kind, payload, compress, stage, written } = &mut *self;
        if *stage == SendStage::Waiting {
            *stage = sender.shared.send_at_once(*kind, payload, *compress);
            if *stage == SendStage::Done {
                return Poll::Ready(Ok(()));
            }
        }
        sender.shared.poll_send(cx, *kind, payload, *compress, stage, written)
    }
}

impl<T> SendFuture<'_, T> {
    #[cold]
    fn give_up(&self) {
        self.sender.shared.unpark(Slot::Sender);
        if self.stage == SendStage::Direct {
            self.sender.shared.abandon_direct(self.payload.get(self.written..).unwrap_or_default());
        }
    }
}

impl<T> Drop for SendFuture<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.stage != SendStage::Done {
            self.give_up();
        }
    }
}

impl<T> fmt::Debug for SendFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFuture")
            .field("kind", &self.kind)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

/// The future of [`Sender::feed`], [`Sender::ping`] and [`Sender::pong`].
///
/// # Examples
///
/// See [`Sender::feed`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct FeedFuture<'a, T> {
    sender: &'a mut Sender<T>,
    /// Gone when it is in the outbox.
    content: Option<Content<'a>>,
    drive: Drive,
}

#[derive(Clone, Copy, Debug)]
enum Content<'a> {
    Message(Message<'a>, Compress),
    Ping(&'a [u8]),
    Pong(&'a [u8]),
}

impl Content<'_> {
    fn append(self, outbound: &mut Outbound) {
        match self {
            Content::Message(message, compress) => {
                outbound.push_with(compress, message.kind(), message.as_bytes());
            }
            Content::Ping(payload) => outbound.ping(payload),
            Content::Pong(payload) => outbound.pong(payload),
        }
    }
}

impl<T> FeedFuture<'_, T> {
    /// Feeds this message as it is, though compression was agreed on, as [`SendFuture::uncompressed`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let mut ws = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// # futures_lite::future::block_on(async {
    /// ws.sender.feed("token=73a1").uncompressed().await?;
    /// ws.sender.flush().await?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// # })?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn uncompressed(mut self) -> Self {
        if let Some(Content::Message(_, compress)) = &mut self.content {
            *compress = Compress::Never;
        }
        self
    }
}

/// Whether what was appended is written at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drive {
    Now,
    Later,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for FeedFuture<'_, T> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { sender, content, drive } = &mut *self;
        if let Some(Content::Ping(payload) | Content::Pong(payload)) = content
            && payload.len() > MAX_CONTROL
        {
            return Poll::Ready(Err(Error::ControlTooLong { len: payload.len() }));
        }
        let shared = &sender.shared;
        shared.enter_sender();
        if let Some(new) = *content {
            ready!(shared.poll_ready(cx))?;
            *content = None;
            shared.append(|outbound| new.append(outbound));
        }
        match drive {
            Drive::Now => shared.poll_accepted(cx),
            Drive::Later => Poll::Ready(Ok(())),
        }
    }
}

impl<T> Drop for FeedFuture<'_, T> {
    fn drop(&mut self) {
        self.sender.shared.unpark(Slot::Sender);
    }
}

impl<T> fmt::Debug for FeedFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedFuture").finish_non_exhaustive()
    }
}

/// The future of [`Sender::flush`].
///
/// # Examples
///
/// See [`Sender::feed`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct FlushFuture<'a, T> {
    sender: &'a mut Sender<T>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for FlushFuture<'_, T> {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.sender.shared.enter_sender();
        self.sender.shared.poll_flush(cx)
    }
}

impl<T> Drop for FlushFuture<'_, T> {
    fn drop(&mut self) {
        self.sender.shared.unpark(Slot::Sender);
    }
}

impl<T> fmt::Debug for FlushFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlushFuture").finish_non_exhaustive()
    }
}
