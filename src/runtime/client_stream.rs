//! The stream from a URL: TCP, or TLS over it. Which of them it is the URL says, not the type, so that programs are the same for both, and
//! with and without the feature `rustls`.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};

use super::rustls::{TlsStream, socket_of};

/// What [`Client::open`](crate::Client::open) and [`connect`](crate::connect) make: a TCP connection, with TLS over it for `wss://`.
///
/// [`AsyncWrite::poll_close`] ends the writing side: with TLS's own words for it, if it is that, and with FIN. An end of TCP without these
/// words is read as an end like any other, since many servers end so: a WebSocket tells by its Close what was cut off, and a protocol of
/// your own on this stream has to do the same.
///
/// # Examples
///
/// ```no_run
/// use unsync_websocket::{ClientStream, WebSocket, connect};
///
/// # futures_lite::future::block_on(async {
/// let websocket: WebSocket<ClientStream> = connect("ws://localhost:9001/").await?;
/// let stream = websocket.get_ref().expect("still open");
/// println!("connected to {}", stream.get_ref().get_ref().peer_addr()?);
/// # Ok::<(), unsync_websocket::HandshakeError>(())
/// # });
/// ```
pub struct ClientStream(Kind);

enum Kind {
    Tcp(Async<TcpStream>),
    Tls(TlsStream),
}

impl ClientStream {
    pub(crate) const fn tcp(stream: Async<TcpStream>) -> Self {
        Self(Kind::Tcp(stream))
    }

    pub(crate) const fn tls(stream: TlsStream) -> Self {
        Self(Kind::Tls(stream))
    }

    /// The socket, to be asked for its addresses, or told its options. What is read from it, or written to it, past this stream
    /// breaks the connection.
    ///
    /// # Examples
    ///
    /// See [`ClientStream`].
    #[must_use]
    pub fn get_ref(&self) -> &Async<TcpStream> {
        match &self.0 {
            Kind::Tcp(stream) => stream,
            Kind::Tls(stream) => socket_of(stream),
        }
    }

    /// Whether this is a bare socket, whose directions are independent. Those of TLS are not: reading may have to write.
    pub(crate) const fn is_bare_socket(&self) -> bool {
        matches!(self.0, Kind::Tcp(_))
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Kind::Tls(stream) => match ready!(Pin::new(stream).poll_read(cx, buf)) {
                // Many end TCP without a word of TLS's. Whether something was cut off is told by the WebSocket's own Close.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
                read => Poll::Ready(read),
            },
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Kind::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Kind::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Kind::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(match &mut self.0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_close(cx),
            Kind::Tls(stream) => Pin::new(stream).poll_close(cx),
        })?;
        // That of `Async` flushes and no more.
        Poll::Ready(self.get_ref().get_ref().shutdown(Shutdown::Write))
    }
}

impl fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.is_bare_socket() { "Tcp" } else { "Tls" };
        f.debug_tuple("ClientStream").field(&format_args!("{name}")).field(self.get_ref().get_ref()).finish()
    }
}
