//! What goes wrong while a handshake lasts: one variant a rule, and the HTTP status that answers it.

use std::{fmt, io};

use super::Refusal;

/// Why a handshake came to nothing.
///
/// Each variant is one rule, kept by the server, by the client or by both. [`status`](Self::status) is the HTTP status
/// that goes with it; [`io_kind`](Self::io_kind) sorts the same faults the way [`std::io`] does. Neither `Debug` nor
/// `Display` shows what a peer sent, but for the origin of a page and the target of a redirect, which are escaped.
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
    /// The stream failed, or could not be opened.
    Io(io::Error),
    /// The stream ended before the head did.
    EndOfStream {
        /** Bytes of the head that had come. */
        received: usize,
    },
    /// The deadline passed before the whole request was read, or written.
    RequestTimeout,
    /// The deadline passed before the whole answer was written, or read.
    ResponseTimeout,
    /// The deadline passed before there was a stream (`connect`, `Client::open`).
    ConnectTimeout,
    /// The operating system gave no randomness for the key (section 10.3).
    NoRandomness,

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
    /// Another version than HTTP/1.1 (sections 4.1 and 4.2.1).
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
    /// `Sec-WebSocket-Extensions` breaks its grammar (section 9.1).
    ExtensionList,

    // The peer's: the upgrade.
    /// A plain HTTP request where a WebSocket was asked for.
    NotUpgrade,
    /// An upgrade by another method than GET (section 4.2.1).
    Method,
    /// Marks of a WebSocket handshake, and no `Upgrade: websocket` (sections 4.1 and 4.2.1). A proxy may have taken it
    /// away.
    MissingUpgrade,
    /// `Connection` does not name `upgrade` (sections 4.1 and 4.2.1). A proxy may have taken it away.
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

    // The peer's: a server's answer to us (section 4.1).
    /// The first line of the answer is not `HTTP/1.1 status` (RFC 9112, section 4).
    StatusLine,
    /// The server answered with a status other than 101: a page, or why it does not want us.
    Refused(Box<Refusal>),
    /// The server sends us elsewhere: a status 3xx with a `Location`. It was not followed, for whatever was meant for
    /// this server, cookies and passwords, would have gone there too.
    Redirected(Box<Refusal>),
    /// The server switches to another protocol than `websocket`, or to one more.
    OtherUpgrade,
    /// No `Sec-WebSocket-Accept`.
    MissingAccept,
    /// `Sec-WebSocket-Accept` does not answer our key: from a cache, or by something that is no WebSocket server.
    Accept,
    /// The server uses an extension that we did not offer.
    ForeignExtension,
    /// The server uses an extension twice.
    DuplicateExtension,
    /// A parameter of permessage-deflate that there is not (RFC 7692, section 7.1).
    ForeignParameter,
    /// A parameter of permessage-deflate that is there more than once (RFC 7692, section 7.1).
    DuplicateParameter {
        /** Which. */
        name: &'static str,
    },
    /// A parameter of permessage-deflate that has no value, and needs one (RFC 7692, section 7.1.2).
    MissingParameterValue {
        /** Which. */
        name: &'static str,
    },
    /// A parameter of permessage-deflate with a value that it cannot have: a window outside 8..=15, or any value where none may
    /// be (RFC 7692, section 7.1).
    ParameterValue {
        /** Which. */
        name: &'static str,
    },
    /// The server agrees to permessage-deflate, but not to something that was asked of it (RFC 7692, sections 7.1.1.1 and
    /// 7.1.2.1).
    MissingParameter {
        /** Which. */
        name: &'static str,
    },
    /// The server is to compress with a larger window than it was asked to (RFC 7692, section 7.1.2.1).
    WindowTooLarge {
        /** `server_max_window_bits` of its answer. */
        bits: u8,
        /** `server_max_window_bits` of our offer. */
        max: u8,
    },
    /// The server chose a subprotocol that we did not offer, or more than one.
    ForeignProtocol,

    // The caller's.
    /// A header name that is no token, or a value with a control character; or a name that is not the caller's to
    /// set, such as `Content-Length` or `Sec-WebSocket-Key`.
    InvalidHeader {
        /** The name, as given. */
        name: String,
    },
    /// A subprotocol that the client did not offer (section 4.2.2).
    ProtocolNotOffered {
        /** As given. */
        protocol: String,
    },
    /// A subprotocol to be offered that is no token, or is offered already (section 4.1).
    InvalidProtocol {
        /** As given. */
        protocol: String,
    },
    /// A host to be asked for that is no name or address with an optional port.
    InvalidHost {
        /** As given. */
        host: String,
    },
    /// A target to be asked for that does not begin with `/`, or has a `#`, a blank or something outside ASCII: such
    /// have to be escaped, as in `%20`.
    InvalidTarget {
        /** As given, but for the query, in which a token may be. */
        target: String,
    },
    /// Not `ws://host[:port][/path][?query]`, nor the same with `wss` (section 3). It may hold a password, so it is not shown.
    InvalidUrl,
    /// TLS did not come about, which `wss://` asks for. What is in it says why: the certificate is not to be trusted, or not for
    /// this host; or ([`Unsupported`](io::ErrorKind::Unsupported)) this crate was built without the feature `rustls`, and then a TLS
    /// stream that you make, and that verifies both, can be given to `Client::new`.
    Tls(io::Error),
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
    /// The HTTP status that goes with this: on the server's side the one we answered with, or tried to, where the peer
    /// was gone meanwhile; on the client's side, of [`Refused`](Self::Refused) and [`Redirected`](Self::Redirected), the
    /// one the server answered with.
    ///
    /// `None` says that nothing was answered: the stream failed, or the answer itself came too late, or it is an error
    /// that only a client has.
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
            Self::Refused(refusal) | Self::Redirected(refusal) => Some(refusal.status()),
            Self::Io(_)
            | Self::ResponseTimeout
            | Self::ConnectTimeout
            | Self::NoRandomness
            | Self::EndOfStream { received: 0 }
            | Self::StatusLine
            | Self::OtherUpgrade
            | Self::MissingAccept
            | Self::Accept
            | Self::ForeignExtension
            | Self::DuplicateExtension
            | Self::ForeignParameter
            | Self::DuplicateParameter { .. }
            | Self::MissingParameterValue { .. }
            | Self::ParameterValue { .. }
            | Self::MissingParameter { .. }
            | Self::WindowTooLarge { .. }
            | Self::ForeignProtocol
            | Self::InvalidProtocol { .. }
            | Self::InvalidHost { .. }
            | Self::InvalidTarget { .. }
            | Self::InvalidUrl
            | Self::Tls(_) => None,
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
            | Self::ExtensionList
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
            Self::Io(error) | Self::Tls(error) => error.kind(),
            Self::EndOfStream { .. } => io::ErrorKind::UnexpectedEof,
            Self::RequestTimeout | Self::ResponseTimeout | Self::ConnectTimeout => io::ErrorKind::TimedOut,
            Self::NoRandomness => io::ErrorKind::Other,
            Self::Refused(_) | Self::Redirected(_) => io::ErrorKind::ConnectionRefused,
            Self::ForeignOrigin { .. } => io::ErrorKind::PermissionDenied,
            Self::InvalidHeader { .. }
            | Self::ProtocolNotOffered { .. }
            | Self::InvalidProtocol { .. }
            | Self::InvalidHost { .. }
            | Self::InvalidTarget { .. }
            | Self::InvalidUrl
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
                write!(f, "the stream ended after {received} bytes of the head")
            }
            Self::RequestTimeout => f.write_str("the request was not through in time"),
            Self::ResponseTimeout => f.write_str("the answer was not through in time"),
            Self::ConnectTimeout => f.write_str("the connection was not made in time"),
            Self::NoRandomness => f.write_str("the operating system gives no randomness"),
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
            Self::ExtensionList => f.write_str("Sec-WebSocket-Extensions is no list of extensions"),
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
            Self::StatusLine => f.write_str("the first line of the answer is no status line"),
            Self::Refused(refusal) => write!(f, "the server answered with status {}", refusal.status()),
            Self::Redirected(refusal) => {
                let location = refusal.location().unwrap_or_default();
                write!(f, "the server redirects ({}) to \"{}\"", refusal.status(), location.escape_ascii())
            }
            Self::OtherUpgrade => f.write_str("the server switches to another protocol than websocket"),
            Self::MissingAccept => f.write_str("there is no Sec-WebSocket-Accept header"),
            Self::Accept => f.write_str("Sec-WebSocket-Accept does not answer our key"),
            Self::ForeignExtension => f.write_str("the server uses an extension that was not offered"),
            Self::DuplicateExtension => f.write_str("the server uses an extension twice"),
            Self::ForeignParameter => f.write_str("permessage-deflate has a parameter that there is not"),
            Self::DuplicateParameter { name } => write!(f, "permessage-deflate has more than one {name}"),
            Self::MissingParameterValue { name } => write!(f, "{name} of permessage-deflate has no value"),
            Self::ParameterValue { name } => {
                write!(f, "{name} of permessage-deflate has a value that it cannot have")
            }
            Self::MissingParameter { name } => {
                write!(f, "the server agrees to permessage-deflate without {name}, which was asked of it")
            }
            Self::WindowTooLarge { bits, max } => {
                write!(f, "server_max_window_bits of permessage-deflate is {bits}, and {max} was asked for")
            }
            Self::ForeignProtocol => f.write_str("the server chose a subprotocol that was not offered"),
            Self::InvalidHeader { name } => {
                write!(f, "our header \"{}\" may not be sent", name.escape_default())
            }
            Self::ProtocolNotOffered { protocol } => {
                write!(f, "the client did not offer the subprotocol \"{}\"", protocol.escape_default())
            }
            Self::InvalidProtocol { protocol } => {
                write!(f, "the subprotocol \"{}\" cannot be offered", protocol.escape_default())
            }
            Self::InvalidHost { host } => {
                write!(f, "\"{}\" is no host with an optional port", host.escape_default())
            }
            Self::InvalidTarget { target } => {
                write!(f, "\"{}\" is no path with an optional query", target.escape_default())
            }
            Self::InvalidUrl => f.write_str("the URL is not ws://host[:port][/path][?query], nor wss://"),
            Self::Tls(error) => write!(f, "no TLS: {error}"),
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
            Self::Io(error) | Self::Tls(error) => Some(error),
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
