//! Why a connection ended, or why a message could not be sent.

use std::{fmt, io};

use crate::protocol::{CloseFrame, ProtocolError};

/// Why a connection ended, or why a message could not be sent.
///
/// A connection ends for one reason: once there is one, both halves return it for ever. (Only a failed write, which is told at
/// once, gives way to a Close of the peer that had arrived before.)
///
/// # Examples
///
/// ```
/// use unsync_websocket::{CloseCode, CloseFrame, Error};
///
/// let error = Error::Closed(Some(CloseFrame::new(CloseCode::GOING_AWAY, "restart")));
/// assert!(error.is_clean_close());
/// assert_eq!(error.close_frame().map(CloseFrame::reason), Some("restart"));
/// assert!(!Error::CloseTimeout.is_clean_close());
/// ```
#[non_exhaustive]
#[derive(Debug)]
pub enum Error {
    /// The peer closed the connection, and said so (RFC 6455, section 7.1.5). `None` is a Close without a code.
    Closed(Option<CloseFrame>),
    /// We have closed the connection: nothing more can be sent.
    Closing,
    /// The peer broke the protocol. The Close that tells it so is sent by `close`.
    Protocol(ProtocolError),
    /// The stream ended without a Close (code 1006 in other libraries).
    EndOfStream {
        /// Whether it ended inside a frame or a message.
        inside_message: bool,
    },
    /// The stream failed.
    Io(io::Error),
    /// The closing handshake took longer than [`close_timeout`](crate::Config::close_timeout).
    CloseTimeout,
    /// Nothing was received for too long, and nothing after a Ping ([`keepalive`](crate::Config::keepalive)).
    KeepaliveTimeout,
    /// A Ping or Pong of ours with more than 125 bytes; nothing was sent, and the connection goes on.
    ControlTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A future of `send` was leaked (`mem::forget`) with its message half written, so the stream is inside a frame
    /// that cannot be finished.
    SendLeaked,
    /// The stream panicked while it was polled, so nobody knows what was written.
    StreamPanicked,
    /// The operating system gave no randomness for masking keys.
    NoRandomness,
}

impl Error {
    /// Whether the peer ended the connection as the protocol asks: with a Close, whatever its code.
    ///
    /// # Examples
    ///
    /// See [`Error`].
    #[must_use]
    pub const fn is_clean_close(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// The peer's Close, if it sent one with a code.
    ///
    /// # Examples
    ///
    /// See [`Error`].
    #[must_use]
    pub const fn close_frame(&self) -> Option<&CloseFrame> {
        match self {
            Self::Closed(frame) => frame.as_ref(),
            _ => None,
        }
    }

    /// The kind of the stream's error, if that is what ended the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use unsync_websocket::Error;
    ///
    /// let error = Error::Io(io::ErrorKind::ConnectionReset.into());
    /// assert_eq!(error.io_kind(), Some(io::ErrorKind::ConnectionReset));
    /// assert_eq!(Error::CloseTimeout.io_kind(), None);
    /// ```
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io(error) => Some(error.kind()),
            _ => None,
        }
    }

    /// The same error again, for the other half and for later calls.
    pub(crate) fn duplicate(&self) -> Self {
        match self {
            Self::Closed(frame) => Self::Closed(frame.clone()),
            Self::Closing => Self::Closing,
            Self::Protocol(error) => Self::Protocol(*error),
            Self::EndOfStream { inside_message } => Self::EndOfStream { inside_message: *inside_message },
            Self::Io(error) => Self::Io(plain(error)),
            Self::CloseTimeout => Self::CloseTimeout,
            Self::KeepaliveTimeout => Self::KeepaliveTimeout,
            Self::ControlTooLong { len } => Self::ControlTooLong { len: *len },
            Self::SendLeaked => Self::SendLeaked,
            Self::StreamPanicked => Self::StreamPanicked,
            Self::NoRandomness => Self::NoRandomness,
        }
    }
}

/// The same error, without what a stream may have put into it: that is other people's code, and must not be run or dropped while
/// something of ours is borrowed.
pub(crate) fn plain(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(None) => f.write_str("the peer closed the connection"),
            Self::Closed(Some(frame)) => {
                write!(f, "the peer closed the connection with {}", frame.code())?;
                if frame.reason().is_empty() { Ok(()) } else { write!(f, " ({:?})", frame.reason()) }
            }
            Self::Closing => f.write_str("the connection has been closed on this side"),
            Self::Protocol(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::EndOfStream { inside_message: false } => f.write_str("the stream ended without a close"),
            Self::EndOfStream { inside_message: true } => f.write_str("the stream ended inside a message"),
            Self::Io(error) => write!(f, "the stream failed: {error}"),
            Self::CloseTimeout => f.write_str("the closing handshake took too long"),
            Self::KeepaliveTimeout => f.write_str("the peer has fallen silent"),
            Self::ControlTooLong { len } => write!(f, "a ping or pong of {len} bytes, 125 are allowed"),
            Self::SendLeaked => f.write_str("a send future was leaked inside a frame"),
            Self::StreamPanicked => f.write_str("the stream panicked"),
            Self::NoRandomness => f.write_str("the operating system gives no randomness"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Protocol(error) => Some(error),
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error,
            Error::Closed(_) | Error::Closing => Self::new(io::ErrorKind::ConnectionAborted, error),
            Error::EndOfStream { .. } => Self::new(io::ErrorKind::UnexpectedEof, error),
            Error::Protocol(_) => Self::new(io::ErrorKind::InvalidData, error),
            Error::CloseTimeout | Error::KeepaliveTimeout => Self::new(io::ErrorKind::TimedOut, error),
            Error::ControlTooLong { .. } => Self::new(io::ErrorKind::InvalidInput, error),
            Error::SendLeaked | Error::StreamPanicked | Error::NoRandomness => Self::other(error),
        }
    }
}

/// Why [`queue`](crate::QueueHandle::queue) took nothing.
///
/// # Examples
///
/// ```
/// use unsync_websocket::QueueError;
///
/// assert_eq!(QueueError::Full.to_string(), "the outbox is full: the peer reads too slowly");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// The outbox is full: the peer reads too slowly.
    Full,
    /// The connection is closed, or closing.
    Closed,
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the outbox is full: the peer reads too slowly",
            Self::Closed => "the connection is closed",
        })
    }
}

impl std::error::Error for QueueError {}
