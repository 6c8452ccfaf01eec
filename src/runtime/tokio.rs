//! The tokio runtime: its streams as `futures-io` ones, and its clock. For a `LocalSet` or a current-thread runtime.
//!
//! tokio-util has an adapter too, but that one knows no vectored writes, and a large message would cost two system calls a
//! fragment.

use std::any::TypeId;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use tokio::io::ReadBuf;

use crate::connection::{Config, Sleep, Socket, Timer, WebSocket, WebSocketParts};
use crate::handshake::{Client, Parts, Server, ServerRequest};
use crate::protocol::Role;

/// A tokio stream, as the `futures-io` stream that this crate takes.
///
/// # Examples
///
/// ```
/// use futures_lite::AsyncWriteExt;
/// use unsync_websocket::TokioStream;
///
/// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// runtime.block_on(async {
///     let (ours, mut peer) = tokio::io::duplex(64);
///     let mut stream = TokioStream::new(ours);
///     stream.write_all(b"hi").await?;
///     let mut buf = [0; 2];
///     tokio::io::AsyncReadExt::read_exact(&mut peer, &mut buf).await?;
///     assert_eq!(&buf, b"hi");
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct TokioStream<T> {
    inner: T,
}

impl<T> TokioStream<T> {
    /// Wraps a stream.
    ///
    /// # Examples
    ///
    /// See [`TokioStream`].
    pub const fn new(inner: T) -> Self {
        Self { inner }
    }

    /// The stream.
    ///
    /// # Examples
    ///
    /// ```
    /// let stream = unsync_websocket::TokioStream::new("anything");
    /// assert_eq!(*stream.get_ref(), "anything");
    /// ```
    pub const fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The stream again.
    ///
    /// # Examples
    ///
    /// ```
    /// let stream = unsync_websocket::TokioStream::new("anything");
    /// assert_eq!(stream.into_inner(), "anything");
    /// ```
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: tokio::io::AsyncRead + Unpin> AsyncRead for TokioStream<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }
}

impl<T: tokio::io::AsyncWrite + Unpin> AsyncWrite for TokioStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The clock of tokio. Its alarms need a runtime with its time driver on.
///
/// # Examples
///
/// ```
/// use unsync_websocket::{Timer, TokioTimer};
///
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// runtime.block_on(async {
///     let timer = TokioTimer;
///     timer.sleep_until(timer.now()).expect("tokio has alarms").await;
/// });
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioTimer;

impl Timer for TokioTimer {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep_until(&self, deadline: Instant) -> Option<Sleep> {
        Some(Box::pin(tokio::time::sleep_until(deadline.into())))
    }
}

impl<T: 'static> Server<TokioStream<T>> {
    /// The server's side on a tokio stream, with the deadlines of tokio's clock.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use unsync_websocket::Server;
    ///
    /// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    /// let (stream, _) = listener.accept().await?;
    /// let mut ws = Server::on_tokio(stream).accept().await?;
    /// let mut data = Vec::new();
    /// while ws.receiver.receive_data(&mut data).await.is_ok() {
    ///     ws.sender.send(&data).await?;
    ///     data.clear();
    /// }
    /// ws.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_tokio(stream: T) -> Self {
        Self::with_timer(TokioStream::new(stream), TokioTimer).socket(socket_of())
    }
}

impl<T: 'static> ServerRequest<TokioStream<T>> {
    /// The request that `parts` were, with the deadlines of tokio's clock. The time for the handshake starts anew, with the
    /// answer.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use unsync_websocket::{Parts, ServerRequest, TokioStream};
    ///
    /// async fn on_the_thread_of_its_room(parts: Parts<TokioStream<tokio::net::TcpStream>>) {
    ///     let websocket = ServerRequest::on_tokio(parts).accept().await;
    /// #   drop(websocket);
    /// }
    /// ```
    pub fn on_tokio(parts: Parts<TokioStream<T>>) -> Self {
        Self::from_parts_with_timer(parts, TokioTimer).socket(socket_of())
    }
}

impl<T: 'static> Client<TokioStream<T>> {
    /// The client's side on a tokio stream, with the deadlines of tokio's clock. What `host` and `target` are is told at
    /// [`with_timer`](Self::with_timer).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use unsync_websocket::Client;
    ///
    /// # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
    /// let stream = tokio::net::TcpStream::connect("localhost:9001").await?;
    /// stream.set_nodelay(true)?;
    /// let mut ws = Client::on_tokio(stream, "localhost:9001", "/chat").connect().await?;
    /// ws.sender.send("hello").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_tokio(stream: T, host: impl AsRef<str>, target: impl AsRef<str>) -> Self {
        Self::with_timer(TokioStream::new(stream), host, target, TokioTimer).socket(socket_of())
    }
}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static> WebSocket<TokioStream<T>> {
    /// A connection on a tokio stream whose handshake somebody else did, with the deadlines of tokio's clock. `read_ahead` is what was
    /// read behind the head.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{Config, Role, WebSocket};
    ///
    /// let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// runtime.block_on(async {
    ///     let (server, client) = tokio::io::duplex(4096);
    ///     let mut server = WebSocket::on_tokio(server, Role::Server, Config::new(), Vec::new());
    ///     let mut client = WebSocket::on_tokio(client, Role::Client, Config::new(), Vec::new());
    ///     client.sender.send("hi").await?;
    ///     let mut data = Vec::new();
    ///     server.receiver.receive_data(&mut data).await?;
    ///     assert_eq!(data, b"hi");
    ///     Ok::<(), unsync_websocket::Error>(())
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_tokio(stream: T, role: Role, config: Config, read_ahead: Vec<u8>) -> Self {
        let stream = TokioStream::new(stream);
        Self::new(stream, role, &config, read_ahead, Box::new(TokioTimer), socket_of(), None)
    }

    /// The connection that `parts` were, with the deadlines of tokio's clock. See
    /// [`from_parts_with_timer`](Self::from_parts_with_timer).
    ///
    /// A tokio stream belongs to the runtime that made it. Between two runtimes it goes as a stream of std:
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio::net::TcpStream;
    /// use tokio::runtime::Builder;
    /// use unsync_websocket::{Config, Role, TokioStream, WebSocket, WebSocketParts};
    ///
    /// # let runtime = Builder::new_current_thread().enable_all().build()?;
    /// # let (websocket, mut client) = runtime.block_on(async {
    /// #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// #     let client = TcpStream::connect(listener.local_addr()?).await?;
    /// #     let client = WebSocket::on_tokio(client, Role::Client, Config::new(), Vec::new());
    /// #     let (server, _) = listener.accept().await?;
    /// #     std::io::Result::Ok((WebSocket::on_tokio(server, Role::Server, Config::new(), Vec::new()), client))
    /// # })?;
    /// let WebSocketParts { stream, state } = websocket.into_parts().expect("open, and nothing is wrong with it");
    /// let parts = WebSocketParts { stream: stream.into_inner().into_std()?, state };
    /// let thread = std::thread::spawn(move || {
    ///     let runtime = Builder::new_current_thread().enable_all().build()?;
    ///     runtime.block_on(async {
    ///         let WebSocketParts { stream, state } = parts;
    ///         let parts = WebSocketParts { stream: TokioStream::new(TcpStream::from_std(stream)?), state };
    ///         let mut websocket = WebSocket::from_parts_on_tokio(parts);
    ///         websocket.sender.send("welcome").await?;
    ///         websocket.sender.flush().await?;
    ///         std::io::Result::Ok(())
    ///     })
    /// });
    /// # let mut data = Vec::new();
    /// # runtime.block_on(client.receiver.receive_data(&mut data))?;
    /// # assert_eq!(data, b"welcome");
    /// # thread.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_parts_on_tokio(parts: WebSocketParts<TokioStream<T>>) -> Self {
        Self::arrive(parts, Box::new(TokioTimer), socket_of())
    }
}

/// What tells that a stream is a bare socket, whose directions are independent. Nothing is left to be done for its FIN, which
/// `poll_shutdown` sends.
fn socket_of<T: 'static>() -> Option<Socket<TokioStream<T>>> {
    let sockets = [
        TypeId::of::<tokio::net::TcpStream>(),
        #[cfg(unix)]
        TypeId::of::<tokio::net::UnixStream>(),
    ];
    // tokio knows of a socket that it has nothing, and need not be asked before each read.
    sockets.contains(&TypeId::of::<T>()).then_some(Socket::BARE)
}
