//! What goes wrong while a handshake lasts: one variant a rule, and the HTTP status that answers it.

use std::{fmt, io};

/// Why a handshake came to nothing.
///
/// Each variant is one rule. [`status`](Self::status) is the HTTP status the peer was answered with, where there
/// was anybody to answer; [`io_kind`](Self::io_kind) sorts the same faults the way [`std::io`] does. Neither
/// `Debug` nor `Display` shows what a peer sent, but for the origin of a page, which is escaped.
///
/// # Examples
///
/// ```
/// use std::io;
/// use unsync_websocket::HandshakeError;
///
/// let error = HandshakeError::BareLineFeed { at: 17 };
/// assert_eq!(error.status(), Some(400));
/// assert_eq!(error.to_string(), "a line ends without CR, at byte 17 of the head");
/// assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidData);
/// ```
#[non_exhaustive]
#[derive(Debug)]
pub enum HandshakeError {
    // The world's.
    /// The stream failed. Nothing was answered.
    Io(io::Error),
    /// The stream ended before the head did.
    EndOfStream {
        /** Bytes of the head that had come. */
        received: usize,
    },
    /// The deadline passed before the whole request was there.
    RequestTimeout,
    /// The deadline passed before the whole answer was written.
    ResponseTimeout,

    // The peer's: the bytes of the head.
    /// The head is longer than we take (`Config::max_head`).
    HeadTooLong {
        /** Bytes it may have. */
        max: usize,
    },
    /// The head has more headers than we take (`Config::max_headers`).
    TooManyHeaders {
        /** How many it may have. */
        max: usize,
    },
    /// A NUL or another control character (RFC 9110, section 5.5).
    ControlCharacter {
        /** Its place in the head. */
        at: usize,
    },
    /// A line that ends in LF alone: recipients disagree on it (RFC 9112, section 2.2).
    BareLineFeed {
        /** Its place in the head. */
        at: usize,
    },
    /// A CR that no LF follows (RFC 9112, section 2.2).
    BareCarriageReturn {
        /** The place of what follows it. */
        at: usize,
    },
    /// A header that goes on in the next line (RFC 9112, section 5.2).
    FoldedHeader {
        /** The place where the folded line begins. */
        at: usize,
    },
    /// The first line is not `method target HTTP/1.1` (RFC 9112, section 3).
    RequestLine,
    /// A header line that is not `name: value` (RFC 9112, section 5).
    HeaderLine,
    /// Another version than HTTP/1.1 (section 4.2.1).
    HttpVersion,
    /// A target that is neither a path, nor `http://host/path` and the like, nor `*` (RFC 9112, section 3.2).
    Target,
    /// No `Host` (RFC 9112, section 3.2).
    MissingHost,
    /// A `Host` that is no host with an optional port.
    Host,
    /// A header that may be there once is there more than once.
    DuplicateHeader {
        /** Which. */
        name: &'static str,
    },
    /// An `Origin` that is not visible ASCII.
    Origin,
    /// A `Content-Length` that is no number, or one beside a `Transfer-Encoding`: where the body would end is
    /// anybody's guess (RFC 9112, section 6.3).
    ContentLength,
    /// A member of `Sec-WebSocket-Protocol` is no token (section 11.3.4).
    ProtocolList,

    // The peer's: the upgrade.
    /// A plain HTTP request where a WebSocket was asked for.
    NotUpgrade,
    /// An upgrade by another method than GET (section 4.2.1).
    Method,
    /// Marks of a WebSocket handshake, and no `Upgrade: websocket` (section 4.2.1). A proxy may have taken it away.
    MissingUpgrade,
    /// `Connection` does not name `upgrade` (section 4.2.1). A proxy may have taken it away.
    MissingConnection,
    /// An upgrade request with a body: what follows the head could be read as a request of its own.
    Body,
    /// `Sec-WebSocket-Version` is not 13 (section 4.2.2).
    Version,
    /// `Sec-WebSocket-Key` is missing, or not 16 bytes in base64 (section 4.2.1).
    Key,
    /// The page that asks was not served from where we allow it (section 10.2).
    ForeignOrigin {
        /** Its `Origin`, if it sent one. */
        origin: Option<String>,
    },

    // The caller's.
    /// A header name that is no token, or a value with a control character; or a name that is not the caller's to
    /// set, such as `Content-Length` or `Sec-WebSocket-Accept`.
    InvalidHeader {
        /** The name, as given. */
        name: String,
    },
    /// A subprotocol that the client did not offer (section 4.2.2).
    ProtocolNotOffered {
        /** As given. */
        protocol: String,
    },
    /// A status outside 200..=599 for an answer.
    InvalidStatus {
        /** As given. */
        status: u16,
    },
    /// An entry of the list of allowed origins that is neither `scheme://host[:port]` nor `null`.
    InvalidAllowedOrigin {
        /** As given. */
        origin: String,
    },
}

impl HandshakeError {
    /// The HTTP status we answered with; or tried to, where the peer was gone meanwhile.
    ///
    /// `None` says that nothing was answered: the stream failed, or the answer itself came too late.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::HandshakeError;
    ///
    /// assert_eq!(HandshakeError::HeadTooLong { max: 16384 }.status(), Some(431));
    /// assert_eq!(HandshakeError::ResponseTimeout.status(), None);
    /// ```
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Io(_) | Self::ResponseTimeout | Self::EndOfStream { received: 0 } => None,
            Self::EndOfStream { .. }
            | Self::ControlCharacter { .. }
            | Self::BareLineFeed { .. }
            | Self::BareCarriageReturn { .. }
            | Self::FoldedHeader { .. }
            | Self::RequestLine
            | Self::HeaderLine
            | Self::Target
            | Self::MissingHost
            | Self::Host
            | Self::DuplicateHeader { .. }
            | Self::Origin
            | Self::ContentLength
            | Self::ProtocolList
            | Self::MissingUpgrade
            | Self::MissingConnection
            | Self::Body
            | Self::Key => Some(400),
            Self::ForeignOrigin { .. } => Some(403),
            Self::Method => Some(405),
            Self::RequestTimeout => Some(408),
            Self::NotUpgrade | Self::Version => Some(426),
            Self::HeadTooLong { .. } | Self::TooManyHeaders { .. } => Some(431),
            Self::InvalidHeader { .. }
            | Self::ProtocolNotOffered { .. }
            | Self::InvalidStatus { .. }
            | Self::InvalidAllowedOrigin { .. } => Some(500),
            Self::HttpVersion => Some(505),
        }
    }

    /// The kind an [`io::Error`] made of this has.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use unsync_websocket::HandshakeError;
    ///
    /// assert_eq!(HandshakeError::RequestTimeout.io_kind(), io::ErrorKind::TimedOut);
    /// assert_eq!(HandshakeError::EndOfStream { received: 0 }.io_kind(), io::ErrorKind::UnexpectedEof);
    /// ```
    pub fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::Io(error) => error.kind(),
            Self::EndOfStream { .. } => io::ErrorKind::UnexpectedEof,
            Self::RequestTimeout | Self::ResponseTimeout => io::ErrorKind::TimedOut,
            Self::ForeignOrigin { .. } => io::ErrorKind::PermissionDenied,
            Self::InvalidHeader { .. }
            | Self::ProtocolNotOffered { .. }
            | Self::InvalidStatus { .. }
            | Self::InvalidAllowedOrigin { .. } => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::InvalidData,
        }
    }

    /// The text that goes into the body of our answer. Nothing that the peer sent is in it, and nothing about our
    /// own insides.
    pub(crate) fn answer(&self) -> String {
        match self {
            Self::ForeignOrigin { .. } => "pages from there may not connect here\n".to_owned(),
            error if error.status() == Some(500) => "the server's answer was not fit to be sent\n".to_owned(),
            error => format!("{error}\n"),
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the stream failed during the handshake: {error}"),
            Self::EndOfStream { received } => {
                write!(f, "the stream ended after {received} bytes of the request")
            }
            Self::RequestTimeout => f.write_str("the request did not come in time"),
            Self::ResponseTimeout => f.write_str("the answer could not be written in time"),
            Self::HeadTooLong { max } => write!(f, "the head is longer than {max} bytes"),
            Self::TooManyHeaders { max } => write!(f, "the head has more than {max} headers"),
            Self::ControlCharacter { at } => write!(f, "a control character, at byte {at} of the head"),
            Self::BareLineFeed { at } => write!(f, "a line ends without CR, at byte {at} of the head"),
            Self::BareCarriageReturn { at } => write!(f, "a CR without LF, before byte {at} of the head"),
            Self::FoldedHeader { at } => write!(f, "a folded header, at byte {at} of the head"),
            Self::RequestLine => f.write_str("the first line is no request"),
            Self::HeaderLine => f.write_str("a header line has no proper name or value"),
            Self::HttpVersion => f.write_str("the version is not HTTP/1.1"),
            Self::Target => f.write_str("the request target is neither a path nor a URL"),
            Self::MissingHost => f.write_str("there is no Host header"),
            Self::Host => f.write_str("the Host header is no host with an optional port"),
            Self::DuplicateHeader { name } => write!(f, "there is more than one {name} header"),
            Self::Origin => f.write_str("the Origin header is not visible ASCII"),
            Self::ContentLength => f.write_str("the length of the body is ambiguous"),
            Self::ProtocolList => f.write_str("Sec-WebSocket-Protocol is no list of tokens"),
            Self::NotUpgrade => f.write_str("this is for WebSocket handshakes, not for plain HTTP requests"),
            Self::Method => f.write_str("the method of an upgrade is not GET"),
            Self::MissingUpgrade => f.write_str("there is no Upgrade header that names websocket"),
            Self::MissingConnection => f.write_str("there is no Connection header that names upgrade"),
            Self::Body => f.write_str("an upgrade has no body"),
            Self::Version => f.write_str("Sec-WebSocket-Version is not 13"),
            Self::Key => f.write_str("Sec-WebSocket-Key is not 16 bytes in base64"),
            Self::ForeignOrigin { origin: Some(origin) } => {
                write!(f, "the origin \"{}\" is not allowed", origin.escape_default())
            }
            Self::ForeignOrigin { origin: None } => f.write_str("there is no Origin header"),
            Self::InvalidHeader { name } => {
                write!(f, "our header \"{}\" may not be sent", name.escape_default())
            }
            Self::ProtocolNotOffered { protocol } => {
                write!(f, "the client did not offer the subprotocol \"{}\"", protocol.escape_default())
            }
            Self::InvalidStatus { status } => write!(f, "{status} is no status for an answer"),
            Self::InvalidAllowedOrigin { origin } => {
                write!(f, "the allowed origin \"{}\" is not scheme://host[:port]", origin.escape_default())
            }
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The stream's own error comes out as it was; anything else is wrapped.
impl From<HandshakeError> for io::Error {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Io(error) => error,
            error => Self::new(error.io_kind(), error),
        }
    }
}
