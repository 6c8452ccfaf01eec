//! The `async-io` runtime: its clock, and the end of stream that its sockets do not send by themselves.

use std::any::{Any, TypeId};
use std::io;
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Instant;

use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};

use crate::connection::{Config, HalfClose, Sleep, Timer, WebSocket};
use crate::handshake::{Parts, Server, ServerRequest};
use crate::protocol::Role;

/// The clock of async-io (and so of smol): what the constructors without a timer argument use.
///
/// # Examples
///
/// ```
/// use unsync_websocket::{AsyncIoTimer, Timer};
///
/// let timer = AsyncIoTimer;
/// let alarm = timer.sleep_until(timer.now()).expect("async-io has alarms");
/// async_io::block_on(alarm);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncIoTimer;

impl Timer for AsyncIoTimer {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, deadline: Instant) -> Option<Sleep> {
        Some(Box::pin(async move {
            async_io::Timer::at(deadline).await;
        }))
    }
}

impl<T: 'static> Server<T> {
    /// The server's side on `stream`, with the deadlines of async-io's clock.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::net::TcpListener;
    /// use async_io::Async;
    /// use unsync_websocket::Server;
    ///
    /// # futures_lite::future::block_on(async {
    /// let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 8080))?;
    /// let (stream, _) = listener.accept().await?;
    /// let websocket = Server::new(stream).accept().await?;
    /// # drop(websocket);
    /// # std::io::Result::Ok(())
    /// # });
    /// ```
    pub fn new(stream: T) -> Self {
        Self::with_timer(stream, AsyncIoTimer).half_close(half_close_of())
    }
}

impl<T: 'static> ServerRequest<T> {
    /// The request that `parts` were, with the deadlines of async-io's clock. The time for the handshake starts
    /// anew, with the answer.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// use futures_lite::future::block_on;
    /// use unsync_websocket::{Server, ServerRequest};
    ///
    /// # let stream = Cursor::new(b"GET /chat HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    /// let parts = block_on(Server::new(stream).receive_request())?.into_parts();
    /// std::thread::spawn(move || {
    ///     let request = ServerRequest::from_parts(parts);
    ///     block_on(request.reject(404).into_future())
    /// })
    /// .join()
    /// .unwrap()?;
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn from_parts(parts: Parts<T>) -> Self {
        Self::from_parts_with_timer(parts, AsyncIoTimer).half_close(half_close_of())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> WebSocket<T> {
    /// A connection whose handshake somebody else did, with the deadlines of async-io's clock. `read_ahead` is what was
    /// read behind the head.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{Config, Role, WebSocket};
    ///
    /// let stream = futures_lite::io::Cursor::new(Vec::new());
    /// let websocket = WebSocket::from_handshaken(stream, Role::Server, Config::new(), Vec::new());
    /// assert_eq!(websocket.role(), Role::Server);
    /// ```
    pub fn from_handshaken(stream: T, role: Role, config: Config, read_ahead: Vec<u8>) -> Self {
        Self::new(stream, role, &config, read_ahead, Box::new(AsyncIoTimer), half_close_of(), None)
    }
}

/// What sends FIN on a stream of type `T`, where `poll_close` does not.
///
/// `poll_close` of [`Async`] flushes and no more, so a peer that waits for the end of the stream waits for ever.
/// Streams of other types are asked by `poll_close` alone.
pub(crate) fn half_close_of<T: 'static>() -> Option<HalfClose<T>> {
    let wanted = TypeId::of::<T>();
    if wanted == TypeId::of::<Async<TcpStream>>() {
        return Some(|stream| {
            shut_down(stream, |tcp: &Async<TcpStream>| tcp.get_ref().shutdown(Shutdown::Write))
        });
    }
    #[cfg(unix)]
    if wanted == TypeId::of::<Async<UnixStream>>() {
        return Some(|stream| {
            shut_down(stream, |unix: &Async<UnixStream>| unix.get_ref().shutdown(Shutdown::Write))
        });
    }
    None
}

/// Runs `shutdown` on `stream` if that is an `S`.
fn shut_down<S: 'static>(stream: &mut dyn Any, shutdown: fn(&S) -> io::Result<()>) -> io::Result<()> {
    stream.downcast_ref::<S>().map_or(Ok(()), shutdown)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_half_close_of_an_async_tcp_stream_sends_fin() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut stream = Async::new(listener.accept().unwrap().0).unwrap();

        half_close_of::<Async<TcpStream>>().unwrap()(&mut stream).unwrap();

        assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "the peer sees the end while we hold the socket");
        drop(stream);
    }

    #[cfg(unix)]
    #[test]
    fn the_half_close_of_an_async_unix_stream_sends_fin() {
        let (ours, mut peer) = UnixStream::pair().unwrap();
        let mut stream = Async::new(ours).unwrap();

        half_close_of::<Async<UnixStream>>().unwrap()(&mut stream).unwrap();

        assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "the peer sees the end while we hold the socket");
        drop(stream);
    }

    #[test]
    fn other_streams_are_closed_by_poll_close() {
        assert!(half_close_of::<async_net::TcpStream>().is_none());
        assert!(half_close_of::<Vec<u8>>().is_none());
    }
}
