//! The `async-io` runtime: its clock, the end of stream that its sockets do not send by themselves, and the way from a URL
//! to a connection.

use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};

use super::client_stream::ClientStream;
use super::rustls::Tls;
use crate::connection::{Config, Sleep, Socket, Timer, WebSocket, WebSocketParts};
use crate::handshake::{Client, HandshakeError, Parts, Scheme, Server, ServerRequest, Url};
use crate::protocol::Role;

/// The first pause, and the longest, between two looks at whether a name has been looked up.
const RESOLVE_PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

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
        let socket = socket_of(&stream);
        Self::with_timer(stream, AsyncIoTimer).socket(socket)
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
        let socket = socket_of(&parts.stream);
        Self::from_parts_with_timer(parts, AsyncIoTimer).socket(socket)
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
        let socket = socket_of(&stream);
        Self::new(stream, role, &config, read_ahead, Box::new(AsyncIoTimer), socket, None)
    }

    /// The connection that `parts` were, with the deadlines of async-io's clock. See
    /// [`from_parts_with_timer`](Self::from_parts_with_timer).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::{TcpListener, TcpStream};
    /// use async_io::{Async, block_on};
    /// use unsync_websocket::{Config, Incoming, Role, WebSocket};
    ///
    /// # let listener = TcpListener::bind("127.0.0.1:0")?;
    /// # let client = Async::new(TcpStream::connect(listener.local_addr()?)?)?;
    /// # let server = Async::new(listener.accept()?.0)?;
    /// # let mut client = WebSocket::from_handshaken(client, Role::Client, Config::new(), Vec::new());
    /// # let server = WebSocket::from_handshaken(server, Role::Server, Config::new(), Vec::new());
    /// // The battle of this player is on another thread.
    /// let parts = server.into_parts().expect("open, and nothing is wrong with it");
    /// let thread = std::thread::spawn(move || {
    ///     let mut server = WebSocket::from_parts(parts);
    ///     block_on(async {
    ///         server.sender.send("welcome").await?;
    ///         server.sender.flush().await
    ///     })
    /// });
    /// assert_eq!(block_on(client.receiver.receive())?, Incoming::Message("welcome".into()));
    /// thread.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_parts(parts: WebSocketParts<T>) -> Self {
        let socket = socket_of(&parts.stream);
        Self::arrive(parts, Box::new(AsyncIoTimer), socket)
    }
}

impl<T: 'static> Client<T> {
    /// The client's side on `stream`, with the deadlines of async-io's clock. What `host` and `target` are is told at
    /// [`with_timer`](Self::with_timer).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::net::TcpStream;
    /// use async_io::Async;
    /// use unsync_websocket::Client;
    ///
    /// # futures_lite::future::block_on(async {
    /// let stream = Async::<TcpStream>::connect(([127, 0, 0, 1], 9001)).await?;
    /// stream.get_ref().set_nodelay(true)?;
    /// let websocket = Client::new(stream, "localhost:9001", "/chat").protocol("chat").connect().await?;
    /// # drop(websocket);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # });
    /// ```
    pub fn new(stream: T, host: impl AsRef<str>, target: impl AsRef<str>) -> Self {
        let socket = socket_of(&stream);
        Self::with_timer(stream, host, target, AsyncIoTimer).socket(socket)
    }
}

impl Client<ClientStream> {
    /// Makes the stream that `url` asks for, and sets `TCP_NODELAY` on it. What comes back may be told more before it
    /// [`connect`](Self::connect)s.
    ///
    /// The URL is `ws://host[:port][/path][?query]`, or the same with `wss`, which is TLS, and needs the feature `rustls`. With it the
    /// server's certificate has to be one that Mozilla's authorities vouch for, and made for this host; `Client::open_with_tls` takes
    /// others. [`Config::handshake_timeout`] holds for everything from here to the end of the handshake. Of the addresses of a name each
    /// is tried in turn, with an equal share of the time that is left.
    ///
    /// A name is looked up by the operating system, which blocks; so that happens on a thread made for it, which is the
    /// only one this crate ever makes. (A pool of such threads would be a dependency, and a resolver of our own would not
    /// know what the system knows.) Programs that connect often to names do better to look them up themselves, and to
    /// use [`new`](Self::new); addresses need no thread.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::InvalidUrl`]. [`HandshakeError::Tls`]: the certificate is not to be trusted, or the feature `rustls` is
    /// missing. [`HandshakeError::Io`]: the name is not known, or the last of its addresses did not answer.
    /// [`HandshakeError::ConnectTimeout`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the stream. A look-up that has begun goes on, on its thread, and is forgotten.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use unsync_websocket::{Client, Config};
    ///
    /// # futures_lite::future::block_on(async {
    /// let config = Config::new().max_message(64 << 20);
    /// let client = Client::open("ws://localhost:9001/chat?room=7", config).await?;
    /// let websocket = client.protocol("chat").header("Cookie", "session=7").connect().await?;
    /// # drop(websocket);
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// # });
    /// ```
    pub async fn open(url: impl AsRef<str>, config: Config) -> Result<Self, HandshakeError> {
        let url = Url::parse(url.as_ref())?;
        let tls = match url.scheme {
            Scheme::Ws => None,
            Scheme::Wss => Some(Tls::by_default()?),
        };
        Self::dial(url, config, tls).await
    }

    /// Connects, with `tls` on top if there is some.
    pub(super) async fn dial(url: Url, config: Config, tls: Option<Tls>) -> Result<Self, HandshakeError> {
        let Url { scheme: _, host, port, authority, target } = url;
        let deadline = Instant::now().checked_add(config.handshake_timeout);
        let addresses = within(deadline, resolve(host.clone(), port)).await??;
        let stream = connect_to_one_of(&addresses, deadline).await?;
        stream.get_ref().set_nodelay(true)?;
        let stream = match tls {
            None => ClientStream::tcp(stream),
            Some(tls) => ClientStream::tls(within(deadline, tls.over(stream, host)).await??),
        };
        let left = left_until(deadline).unwrap_or(Duration::MAX);
        Ok(Self::new(stream, authority, target).config(config).start(left))
    }
}

/// Connects to `ws://host[:port][/path][?query]`, or to `wss://..` (feature `rustls`), with everything at its default.
///
/// It is `Client::open(url, Config::new()).await?.connect().await`: see [`Client::open`] and [`Client::connect`].
///
/// # Errors
///
/// As both of these.
///
/// # Cancel safety
///
/// Dropping the future drops the stream.
///
/// # Examples
///
/// ```no_run
/// use unsync_websocket::connect;
///
/// # futures_lite::future::block_on(async {
/// let mut websocket = connect("ws://localhost:9001/chat").await?;
/// websocket.sender.send("hello").await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # });
/// ```
pub async fn connect(url: impl AsRef<str>) -> Result<WebSocket<ClientStream>, HandshakeError> {
    Client::open(url, Config::new()).await?.connect().await
}

/// What `host` is called by addresses: itself, or what the operating system says.
async fn resolve(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let look_up = move || (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
    let looking = std::thread::Builder::new().name("resolver".to_owned()).spawn(look_up)?;
    // A thread can say that it has ended, but wakes nobody; and what it could set for us before would need a lock. So it
    // is looked at, less often as time goes by: a look-up takes milliseconds, and there is one a connection at most.
    let (mut pause, longest) = RESOLVE_PAUSES;
    while !looking.is_finished() {
        async_io::Timer::after(pause).await;
        pause = pause.saturating_mul(2).min(longest);
    }
    looking.join().unwrap_or_else(|_| Err(io::Error::other("the resolver panicked")))
}

/// Tries one address after the other; the error is that of the last.
async fn connect_to_one_of(
    addresses: &[SocketAddr],
    deadline: Option<Instant>,
) -> Result<Async<TcpStream>, HandshakeError> {
    let mut failure = HandshakeError::Io(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for (address, left) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let share = left_until(deadline).and_then(|time| time.checked_div(u32::try_from(left).ok()?));
        let until = share.and_then(|share| Instant::now().checked_add(share));
        match within(until, Async::<TcpStream>::connect(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error.into(),
            Err(late) => failure = late,
        }
    }
    Err(failure)
}

/// `None` says that there is no deadline.
fn left_until(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

/// Runs `future` until the deadline, if there is one.
async fn within<F: Future>(deadline: Option<Instant>, future: F) -> Result<F::Output, HandshakeError> {
    let mut future = pin!(future);
    let mut alarm = pin!(deadline.map(async_io::Timer::at));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        match alarm.as_mut().as_pin_mut().map(|alarm| alarm.poll(cx)) {
            Some(Poll::Ready(_)) => Poll::Ready(Err(HandshakeError::ConnectTimeout)),
            Some(Poll::Pending) | None => Poll::Pending,
        }
    })
    .await
}

/// What is known of `stream`, if it is a bare socket.
///
/// `poll_close` of [`Async`] flushes and no more, so a peer that waits for the end of the stream waits for ever. Its `poll_read` asks the
/// system twice for nothing before it waits; `poll_readable` waits at once.
pub(crate) fn socket_of<T: 'static>(stream: &T) -> Option<Socket<T>> {
    let stream: &dyn Any = stream;
    if stream.is::<Async<TcpStream>>() {
        return Some(Socket {
            half_close: |stream| {
                shut_down(stream, |tcp: &Async<TcpStream>| tcp.get_ref().shutdown(Shutdown::Write))
            },
            poll_readable: Some(poll_readable::<_, TcpStream>),
        });
    }
    #[cfg(unix)]
    if stream.is::<Async<UnixStream>>() {
        return Some(Socket {
            half_close: |stream| {
                shut_down(stream, |unix: &Async<UnixStream>| unix.get_ref().shutdown(Shutdown::Write))
            },
            poll_readable: Some(poll_readable::<_, UnixStream>),
        });
    }
    if stream.downcast_ref::<ClientStream>().is_some_and(ClientStream::is_bare_socket) {
        return Some(Socket::BARE);
    }
    #[cfg(all(feature = "local", unix))]
    if stream.is::<super::local::TcpStream>() {
        return Some(Socket::BARE);
    }
    None
}

/// Runs `shutdown` on `stream` if that is an `S`.
fn shut_down<S: 'static>(stream: &mut dyn Any, shutdown: fn(&S) -> io::Result<()>) -> io::Result<()> {
    stream.downcast_ref::<S>().map_or(Ok(()), shutdown)
}

/// Waits for `stream`, an `Async<S>`.
fn poll_readable<T: 'static, S: 'static>(stream: &T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let stream: &dyn Any = stream;
    stream.downcast_ref::<Async<S>>().map_or(Poll::Ready(Ok(())), |stream| stream.poll_readable(cx))
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

        (socket_of(&stream).unwrap().half_close)(&mut stream).unwrap();

        assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "the peer sees the end while we hold the socket");
        drop(stream);
    }

    #[cfg(unix)]
    #[test]
    fn the_half_close_of_an_async_unix_stream_sends_fin() {
        let (ours, mut peer) = UnixStream::pair().unwrap();
        let mut stream = Async::new(ours).unwrap();

        (socket_of(&stream).unwrap().half_close)(&mut stream).unwrap();

        assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "the peer sees the end while we hold the socket");
        drop(stream);
    }

    #[test]
    fn other_streams_are_closed_by_poll_close() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(socket_of(&async_net::TcpStream::try_from(stream).unwrap()).is_none());
        assert!(socket_of(&Vec::<u8>::new()).is_none());
    }
}
