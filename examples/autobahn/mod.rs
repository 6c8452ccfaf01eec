//! What both testees of the Autobahn|Testsuite share: the command line, the limits, the echo, and a stream that goes a
//! byte at a time.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll};

use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
use unsync_websocket::{Config, Deflate, Incoming, WebSocket};

/// What the command line says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) address: SocketAddr,
    pub(crate) one_byte: bool,
    takeover: bool,
}

impl Options {
    /// Reads the command line; `Err` is what there is to say about it.
    pub(crate) fn parse(usage: &str, default_address: &str) -> Result<Self, String> {
        let (mut address, mut one_byte, mut takeover) = (default_address.to_owned(), false, false);
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--one-byte" => one_byte = true,
                "--takeover" => takeover = true,
                option if option.starts_with('-') => return Err(usage.to_owned()),
                other => other.clone_into(&mut address),
            }
        }
        let address = address.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        Ok(Self { address: address.ok_or("the address is HOST:PORT")?, one_byte, takeover })
    }

    /// The limits are raised for two sections of the suite: the messages of 9.1 and 9.2 have up to 16 MiB, and those of 9.3
    /// and 9.4 come in up to 65,536 fragments. The library's defaults, 1 MiB and 4,096, are what a server should have.
    ///
    /// Compression has no threshold, for some messages of section 12 are 16 bytes long and shall be compressed too.
    pub(crate) fn config(self) -> Config {
        let deflate = Deflate::new()
            .threshold(0)
            .server_no_context_takeover(!self.takeover)
            .client_no_context_takeover(!self.takeover);
        Config::new().max_message(32 << 20).max_fragments(100_000).deflate(deflate)
    }
}

/// Sends back all messages until the end. How it ends is the suite's to judge: much of what it sends breaks some rule.
pub(crate) async fn echo<T: AsyncRead + AsyncWrite + Unpin>(mut websocket: WebSocket<T>) {
    websocket
        .cork(async |websocket| {
            while let Ok(incoming) = websocket.receiver.receive().await {
                if let Incoming::Message(message) = incoming
                    && websocket.sender.send(message).await.is_err()
                {
                    break;
                }
            }
        })
        .await;
    let _ = websocket.close().await;
}

/// A socket that gives and takes one byte at a time, so that everything is cut everywhere.
#[derive(Debug)]
pub(crate) struct OneByte(pub(crate) Async<TcpStream>);

impl AsyncRead for OneByte {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let first = buf.len().min(1);
        Pin::new(&mut self.0).poll_read(cx, buf.get_mut(..first).unwrap_or_default())
    }
}

impl AsyncWrite for OneByte {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf.get(..1).unwrap_or_default())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    /// `Async<TcpStream>` sends no end of stream from here; the library does so by itself, but only for streams it knows.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.get_ref().shutdown(std::net::Shutdown::Write))
    }
}
