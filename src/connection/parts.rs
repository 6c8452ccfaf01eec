//! A connection on its way to another thread.
//!
//! Neither half of it can go: they share an `Rc`, their room holds a `Weak`, their alarms and wakers belong to an executor. What goes
//! is what these are made of, by value: the stream, what was read and not parsed, what was parsed of a message, what was
//! accepted and not written, what was agreed on. The rest is made anew on the other side.

use std::fmt;
use std::rc::Rc;

use futures_io::{AsyncRead, AsyncWrite};

use super::keepalive::Pulse;
use super::reading::{Reading, Terms};
use super::rest::Resting;
use super::shared::{Leaving, Shared, Socket};
use super::{Receiver, Sender, Timer, WebSocket};
use crate::protocol::Inbound;

/// An open connection on its way to another thread, from [`WebSocket::into_parts`].
///
/// `Send` when the stream is. The stream may be taken out and another put in, as long as that one gives the bytes that this one would
/// give, and brings to the peer what is written: a stream of tokio, or of `local`, goes from one thread to another as one of std. Dropped, it drops
/// the stream; what was accepted and not written is lost then.
///
/// # Examples
///
/// ```
/// use unsync_websocket::WebSocketParts;
///
/// fn assert_send<T: Send>() {}
/// assert_send::<WebSocketParts<std::net::TcpStream>>();
/// ```
pub struct WebSocketParts<T> {
    /// The stream.
    pub stream: T,
    /// All that the connection knows.
    pub state: WebSocketState,
}

/// All that a connection on its way to another thread knows: the part of [`WebSocketParts`] that is not the stream.
///
/// # Examples
///
/// ```
/// use unsync_websocket::{Config, NoTimer, Role, WebSocket, WebSocketParts};
///
/// # let stream = futures_lite::io::Cursor::new(Vec::new());
/// # let websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
/// let WebSocketParts { stream, state } = websocket.into_parts().expect("open, and nothing is wrong with it");
/// let stream = futures_lite::io::BufReader::new(stream); // in other clothes
/// let websocket = WebSocket::from_parts_with_timer(WebSocketParts { stream, state }, NoTimer);
/// # drop(websocket);
/// ```
pub struct WebSocketState {
    leaving: Leaving,
    inbound: Inbound,
    unread: Vec<u8>,
    pulse: Option<Pulse>,
}

impl<T> WebSocket<T> {
    /// All of an open connection, as one value that is `Send` when the stream is: for a player whose next battle is on another
    /// thread. [`from_parts`](Self::from_parts_with_timer) makes it a connection again.
    ///
    /// It need not be at the boundary of a message or a frame, on either side. Along go: half a message that was received, bytes read
    /// behind it, frames that were accepted and not written, be it by half (of a `send` that was dropped, too), the Pongs that are
    /// due, the subprotocol, the limits, compression with its context, the [`keepalive`](crate::Config::keepalive) and its
    /// [`latency`](Self::latency). What [`receive`](Receiver::receive) has returned is not received again. A message shared by
    /// [`EncodedFrame`](crate::EncodedFrame) that waits is copied.
    ///
    /// Behind stay timer and masking keys, which are the other thread's, and handles: a [`QueueHandle`](crate::QueueHandle) of
    /// here says [`Closed`](crate::QueueError::Closed), a [`CorkHandle`](crate::CorkHandle) just runs its work.
    ///
    /// A split connection is first [put together again](Self::reunite). Nobody reads or writes on the way, so Pings go unanswered: do
    /// not let it wait long.
    ///
    /// # Errors
    ///
    /// A connection that is closing, or over, is handed back as it is: [`close`](Self::close) ends it, here, and tells why. So
    /// is one that cannot be moved: its halves are of two connections, the future of a `send` was leaked in the middle of its message,
    /// or the stream is being polled further up the stack.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// use unsync_websocket::{Config, Incoming, NoTimer, Role, WebSocket};
    ///
    /// # let stream = Cursor::new(b"\x81\x03one\x81\x03two".to_vec());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Client, Config::new(), Vec::new(), NoTimer);
    /// // The peer's "one" and "two" come in one piece.
    /// block_on(async {
    ///     assert_eq!(websocket.receiver.receive().await?, Incoming::Message("one".into()));
    ///     websocket.sender.feed("not written yet").await
    /// })?;
    /// match websocket.into_parts() {
    ///     Ok(parts) => {
    ///         let there = std::thread::spawn(move || {
    ///             let mut websocket = WebSocket::from_parts_with_timer(parts, NoTimer);
    ///             assert_eq!(websocket.queued_bytes(), 21);
    ///             block_on(websocket.receiver.receive()).is_ok_and(|next| next == Incoming::Message("two".into()))
    ///         });
    ///         assert!(there.join().unwrap());
    ///     }
    ///     Err(mut websocket) => block_on(websocket.close())?,
    /// }
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn into_parts(self) -> Result<WebSocketParts<T>, Self> {
        if !Rc::ptr_eq(&self.sender.shared, &self.receiver.shared) {
            return Err(self);
        }
        let Some((stream, leaving)) = self.sender.shared.leave() else {
            return Err(self);
        };
        let Self { sender: _sender, mut receiver } = self;
        let (inbound, unread, pulse) = Resting::take(&mut receiver.reading).into_parts();
        Ok(WebSocketParts { stream, state: WebSocketState { leaving, inbound, unread, pulse } })
    }

    /// What `parts` were, on this thread.
    pub(crate) fn arrive(parts: WebSocketParts<T>, timer: Box<dyn Timer>, socket: Option<Socket<T>>) -> Self {
        let WebSocketParts { stream, state: WebSocketState { leaving, inbound, unread, pulse } } = parts;
        let shared = Rc::new(Shared::arrive(stream, leaving, timer, socket));
        let terms = Terms::of(&inbound);
        let mut reading = Reading::new(inbound, unread);
        if let Some(pulse) = pulse {
            reading.keep_alive(pulse);
        }
        let reading = Resting::new(reading, terms);
        Self { sender: Sender { shared: Rc::clone(&shared) }, receiver: Receiver { shared, reading } }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> WebSocket<T> {
    /// The connection that `parts` were, with deadlines by `timer`, which has to tell the same time as the one before.
    ///
    /// Nothing is read or written by this: what was accepted before leaves when a half is polled, before anything that is sent
    /// here. The time on the way counts for the [`keepalive`](crate::Config::keepalive); what arrived meanwhile is read before
    /// anything is made of it.
    ///
    /// With the feature `async-io`, `WebSocket::from_parts(parts)` brings that runtime's clock; with `tokio`,
    /// `WebSocket::from_parts_on_tokio(parts)` that one's. A client for which this thread's operating system gives no masking keys
    /// is over, with [`Error::NoRandomness`](crate::Error::NoRandomness).
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    ///
    /// # let stream = Cursor::new(Vec::new());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Server, Config::new(), Vec::new(), NoTimer);
    /// block_on(websocket.sender.feed("before"))?;
    /// let parts = websocket.into_parts().expect("open, and nothing is wrong with it");
    /// let mut websocket = WebSocket::from_parts_with_timer(parts, NoTimer);
    /// block_on(websocket.sender.send("after"))?;
    /// let stream = websocket.into_inner().expect("still open");
    /// assert_eq!(stream.into_inner(), b"\x81\x06before\x81\x05after");
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    pub fn from_parts_with_timer(parts: WebSocketParts<T>, timer: impl Timer) -> Self {
        Self::arrive(parts, Box::new(timer), None)
    }
}

impl<T> fmt::Debug for WebSocketParts<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketParts").field("state", &self.state).finish_non_exhaustive()
    }
}

impl fmt::Debug for WebSocketState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketState")
            .field("leaving", &self.leaving)
            .field("unread", &self.unread.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use futures_lite::future::block_on;
    use futures_lite::io::Cursor;

    use super::*;
    use crate::connection::keys::without_randomness;
    use crate::connection::{Config, Error, NoTimer};
    use crate::protocol::Role;

    #[test]
    fn a_client_on_a_thread_without_randomness_is_over() {
        let stream = Cursor::new(b"\x81\x01a".to_vec());
        let client = WebSocket::with_timer(stream, Role::Client, Config::new(), Vec::new(), NoTimer);
        let parts = client.into_parts().unwrap();
        without_randomness(|| {
            let mut client = WebSocket::from_parts_with_timer(parts, NoTimer);
            assert!(matches!(block_on(client.sender.send("not masked")), Err(Error::NoRandomness)));
            assert!(matches!(block_on(client.receiver.receive()), Err(Error::NoRandomness)));
            assert!(matches!(client.into_parts().map(drop), Err(client) if client.get_ref().is_none()));
        });
    }
}
