//! `wss://` without the feature `rustls`: types without values, so that nothing can ask for TLS, and the error that says so. The code that
//! uses them is the same.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};

use crate::handshake::HandshakeError;

/// What makes TLS of TCP.
pub(crate) enum Tls {}

impl Tls {
    pub(crate) fn by_default() -> Result<Self, HandshakeError> {
        let missing = "this was built without the feature `rustls`";
        Err(HandshakeError::Tls(io::Error::new(ErrorKind::Unsupported, missing)))
    }

    pub(crate) async fn over(self, _: Async<TcpStream>, _: String) -> Result<TlsStream, HandshakeError> {
        match self {}
    }
}

/// TLS over TCP.
#[derive(Debug)]
pub(crate) enum TlsStream {}

pub(crate) const fn socket_of(stream: &TlsStream) -> &Async<TcpStream> {
    match *stream {}
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}
