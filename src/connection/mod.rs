//! One connection after the handshake: two halves on one thread.
//!
//! | file | what it knows |
//! |---|---|
//! | `shared` | what both halves share, who writes, how it ends; the only one that borrows cells |
//! | `hub` | who is woken, and the waker that the stream sees |
//! | `reading` | the stream's bytes as events, fairly |
//! | `sender`, `receiver`, `close`, `cork` | thin futures over those |
//! | `batch` | who was queued on in a turn, to be written to at its end |
//! | `keepalive` | whether the peer is alive |
//! | `rest` | what is there only while there is something in it |
//! | `parts` | a connection on its way to another thread |
//! | `scratch` | the read buffer of a thread |

mod batch;
mod close;
mod config;
mod cork;
mod error;
mod hub;
mod keepalive;
mod keys;
mod message;
mod parts;
mod reading;
mod receiver;
mod rest;
mod scratch;
mod sender;
mod shared;
mod timer;

use std::cell::Ref;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

pub use batch::batch;
pub use close::CloseFuture;
pub use config::Config;
pub use cork::CorkHandle;
pub use error::{Error, QueueError};
pub use message::{Incoming, Message};
pub use parts::{WebSocketParts, WebSocketState};
pub use receiver::{ReceiveDataFuture, ReceiveFuture, Receiver};
pub use sender::{FeedFuture, FlushFuture, QueueHandle, SendFuture, Sender};
pub use timer::{NoTimer, Sleep, Timer};

pub(crate) use keys::OsSeededKeys;
#[cfg(test)]
pub(crate) use keys::without_randomness;
pub(crate) use shared::Socket;

use crate::protocol::{CloseCode, CloseFrame, Inbound, Limits, Role};
use keepalive::Pulse;
use reading::{Reading, Terms};
use rest::Resting;
use shared::Shared;

/// A connection after its handshake: the two halves, for as long as they are together.
///
/// The halves are public fields, so that a message borrowed from the receiver can be sent back.
///
/// # Examples
///
/// ```
/// use unsync_websocket::{Config, Incoming, NoTimer, Role, WebSocket};
///
/// let stream = futures_lite::io::Cursor::new(b"\x81\x02hi".to_vec());
/// let mut ws = WebSocket::with_timer(stream, Role::Client, Config::new(), Vec::new(), NoTimer);
/// futures_lite::future::block_on(async {
///     loop {
///         match ws.receiver.receive().await {
///             Ok(Incoming::Message(message)) => ws.sender.send(message).await?,
///             Ok(Incoming::Close(_)) | Err(_) => break,
///             Ok(_) => {} // a Pong, which may come unasked
///         }
///     }
///     Ok::<(), unsync_websocket::Error>(())
/// })?;
/// # Ok::<(), unsync_websocket::Error>(())
/// ```
#[non_exhaustive]
pub struct WebSocket<T> {
    /// The sending half.
    pub sender: Sender<T>,
    /// The receiving half.
    pub receiver: Receiver<T>,
}

impl<T> WebSocket<T> {
    /// What the handshakes, and whoever did the HTTP elsewhere, end in.
    pub(crate) fn new(
        stream: T,
        role: Role,
        config: &Config,
        read_ahead: Vec<u8>,
        timer: Box<dyn Timer>,
        socket: Option<Socket<T>>,
        subprotocol: Option<String>,
    ) -> Self {
        let limits = Limits {
            max_message: config.max_message,
            max_frame: config.max_frame.unwrap_or(config.max_message),
            max_fragments: config.max_fragments,
        };
        let shared = Rc::new(Shared::new(stream, role, config, timer, socket, subprotocol));
        let inbound = Inbound::new(role, limits).agree(config.deflate.as_ref());
        let terms = Terms::of(&inbound);
        let mut reading = Reading::new(inbound, read_ahead);
        if let Some((interval, timeout)) = config.keepalive {
            reading.keep_alive(Pulse::new(interval, timeout, shared.timer().now()));
        }
        let reading = Resting::new(reading, terms);
        Self { sender: Sender { shared: Rc::clone(&shared) }, receiver: Receiver { shared, reading } }
    }

    /// The halves, to be used side by side: in one task, or in two of the same thread.
    ///
    /// # Examples
    ///
    /// See [`Sender`] and [`Receiver`].
    #[must_use]
    pub fn split(self) -> (Sender<T>, Receiver<T>) {
        (self.sender, self.receiver)
    }

    /// Puts two halves together again.
    ///
    /// # Errors
    ///
    /// They are not halves of the same connection; both are in the error.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    ///
    /// let stream = futures_lite::io::Cursor::new(Vec::new());
    /// let websocket = WebSocket::with_timer(stream, Role::Client, Config::new(), Vec::new(), NoTimer);
    /// let (sender, receiver) = websocket.split();
    /// let websocket = WebSocket::reunite(sender, receiver)?;
    /// assert!(websocket.into_inner().is_some());
    /// # Ok::<(), unsync_websocket::ReuniteError<futures_lite::io::Cursor<Vec<u8>>>>(())
    /// ```
    pub fn reunite(sender: Sender<T>, receiver: Receiver<T>) -> Result<Self, ReuniteError<T>> {
        if Rc::ptr_eq(&sender.shared, &receiver.shared) {
            Ok(Self { sender, receiver })
        } else {
            Err(ReuniteError { sender, receiver })
        }
    }

    /// What was agreed on about compression (RFC 7692), if it was.
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let ws = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// assert_eq!(ws.deflate(), None);
    /// ```
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(&self) -> Option<crate::protocol::Deflate> {
        self.sender.shared.deflate()
    }

    /// The stream, unless the connection is over. What was accepted and not written, or read and not received, is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// futures_lite::future::block_on(websocket.sender.send("hi"))?;
    /// let stream = websocket.into_inner().expect("still open");
    /// assert_eq!(stream.into_inner(), b"\x81\x02hi");
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    #[must_use]
    pub fn into_inner(self) -> Option<T> {
        let shared = Rc::clone(&self.sender.shared);
        drop(self);
        shared.take_stream()
    }

    /// Whether we are the server or the client.
    ///
    /// # Examples
    ///
    /// See [`with_timer`](Self::with_timer).
    #[must_use]
    pub fn role(&self) -> Role {
        self.sender.role()
    }

    /// The subprotocol that was agreed on in the handshake (RFC 6455, section 1.9).
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{NoTimer, Server};
    ///
    /// # let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    /// #     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: superchat, chat\r\n\r\n";
    /// # let stream = futures_lite::io::Cursor::new(request.to_vec());
    /// # futures_lite::future::block_on(async {
    /// // The client offers "superchat" and "chat".
    /// let request = Server::with_timer(stream, NoTimer).receive_request().await?;
    /// let websocket = request.protocol("chat").accept().await?;
    /// assert_eq!(websocket.subprotocol(), Some("chat"));
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// # })?;
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.sender.subprotocol()
    }

    /// The stream, unless the connection is over. Do not hold on to it across an `await`: neither half can use the stream
    /// meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// let position = websocket.get_ref().expect("still open").position();
    /// assert_eq!(position, 0);
    /// ```
    #[must_use]
    pub fn get_ref(&self) -> Option<Ref<'_, T>> {
        self.sender.get_ref()
    }

    /// The peer's Close, once it has been read and had a code.
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), b"\x88\x82\0\0\0\0\x03\xE9".to_vec(), NoTimer);
    /// use unsync_websocket::CloseCode;
    ///
    /// // The peer closes with 1001.
    /// futures_lite::future::block_on(websocket.close())?;
    /// assert_eq!(websocket.close_frame().map(|frame| frame.code()), Some(CloseCode::GOING_AWAY));
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    #[must_use]
    pub fn close_frame(&self) -> Option<CloseFrame> {
        self.sender.close_frame()
    }

    /// How long the last answered Ping of the [`keepalive`](Config::keepalive) took; `None` before the first.
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// assert_eq!(websocket.latency(), None); // no keepalive was asked for
    /// ```
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.receiver.latency()
    }

    /// Bytes in the outbox, frame headers included: accepted, and not yet taken by the stream.
    ///
    /// # Examples
    ///
    /// See [`Sender::flush`].
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.sender.queued_bytes()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> WebSocket<T> {
    /// A connection whose handshake somebody else did. `read_ahead` is what was read behind the head.
    ///
    /// `timer` keeps the deadline of the closing handshake; with [`NoTimer`] there is none. Compression that is set in `config` counts
    /// as agreed on.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    ///
    /// let stream = futures_lite::io::Cursor::new(Vec::new());
    /// let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// assert_eq!(websocket.role(), Role::Server);
    /// ```
    pub fn with_timer(stream: T, role: Role, config: Config, read_ahead: Vec<u8>, timer: impl Timer) -> Self {
        Self::new(stream, role, &config, read_ahead, Box::new(timer), None, None)
    }

    /// A handle that corks this connection, for use after it has been split.
    ///
    /// # Examples
    ///
    /// See [`CorkHandle`].
    #[must_use]
    pub fn cork_handle(&self) -> CorkHandle<T> {
        self.sender.cork_handle()
    }

    /// Runs `work` corked: what it sends leaves together, whenever it has to wait. See [`CorkHandle::scope`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops `work`, and nothing else.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{Config, Incoming, NoTimer, Role, WebSocket};
    ///
    /// let stream = futures_lite::io::Cursor::new(b"\x81\x01a\x81\x01b".to_vec());
    /// let mut ws = WebSocket::with_timer(stream, Role::Client, Config::new(), Vec::new(), NoTimer);
    /// futures_lite::future::block_on(ws.cork(async |ws| {
    ///     loop {
    ///         match ws.receiver.receive().await {
    ///             Ok(Incoming::Message(message)) => ws.sender.send(message).await?, // both echoes leave in one write
    ///             Ok(Incoming::Close(_)) | Err(_) => return Ok::<(), unsync_websocket::Error>(()),
    ///             Ok(_) => {} // a Pong, which may come unasked
    ///         }
    ///     }
    /// }))?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn cork<R>(&mut self, work: impl AsyncFnOnce(&mut Self) -> R) -> impl Future<Output = R> {
        let shared = Rc::downgrade(&self.sender.shared);
        cork::scope(shared, work(self))
    }

    /// Closes the connection with code 1000. See [`Receiver::close`].
    ///
    /// # Errors
    ///
    /// As [`Sender::close`].
    ///
    /// # Cancel safety
    ///
    /// As [`Sender::close`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), b"\x88\x80\0\0\0\0".to_vec(), NoTimer);
    /// // The peer has sent its Close already.
    /// futures_lite::future::block_on(websocket.close())?;
    /// assert!(websocket.get_ref().is_none());
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn close(&mut self) -> CloseFuture<'_, T> {
        self.receiver.close()
    }

    /// As [`close`](Self::close), with a code and a reason of at most 123 bytes (a longer one is cut).
    ///
    /// # Errors
    ///
    /// As [`Sender::close`].
    ///
    /// # Cancel safety
    ///
    /// As [`Sender::close`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), b"\x88\x80\0\0\0\0".to_vec(), NoTimer);
    /// use unsync_websocket::CloseCode;
    ///
    /// // The peer has sent its Close already.
    /// futures_lite::future::block_on(websocket.close_with(CloseCode::GOING_AWAY, "the server restarts"))?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn close_with(&mut self, code: CloseCode, reason: &str) -> CloseFuture<'_, T> {
        self.receiver.close_with(code, reason)
    }

    /// As [`close_with`](Self::close_with), but drops everything that has not begun to leave.
    ///
    /// # Errors
    ///
    /// As [`Sender::close`].
    ///
    /// # Cancel safety
    ///
    /// As [`Sender::close`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), b"\x88\x80\0\0\0\0".to_vec(), NoTimer);
    /// use unsync_websocket::CloseCode;
    ///
    /// // The peer has sent its Close already.
    /// futures_lite::future::block_on(websocket.close_now(CloseCode::TRY_AGAIN_LATER, "too slow"))?;
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn close_now(&mut self, code: CloseCode, reason: &str) -> CloseFuture<'_, T> {
        self.receiver.close_now(code, reason)
    }
}

impl<T> fmt::Debug for WebSocket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WebSocket").field(&self.sender.shared).finish()
    }
}

/// Two halves of different connections, given to [`WebSocket::reunite`].
///
/// # Examples
///
/// See [`WebSocket::reunite`].
#[derive(Debug)]
pub struct ReuniteError<T> {
    /// The sender that was given.
    pub sender: Sender<T>,
    /// The receiver that was given.
    pub receiver: Receiver<T>,
}

impl<T> fmt::Display for ReuniteError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sender and receiver belong to different connections")
    }
}

impl<T: fmt::Debug> std::error::Error for ReuniteError<T> {}
