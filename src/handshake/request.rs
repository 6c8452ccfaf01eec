//! What a client asks for: a head, parsed once into a [`Request`] that owns it, and the rules it has to keep.
//!
//! Two sets of rules. Those for every request keep out what two readers may understand differently (RFC 9112,
//! section 11.2), so a plain request is as safe to look at as an upgrade. Those of RFC 6455, section 4.2.1 are for
//! requests that are meant as an upgrade, which is any with a mark of one: see [`Request::is_upgrade`].
//!
//! Knows no stream and no policy: whether an origin may connect is asked elsewhere.

use std::fmt;

use super::headers::{Headers, is_token};
use super::key::Key;
use super::origin::{self, Authority};
use super::{HandshakeError, extensions, head::HeadLimits};

/// Headers that may be there once at most: with two, it depends on the reader which one counts.
const SINGLE_VALUED: [&str; 5] =
    ["Host", "Content-Length", "Origin", "Sec-WebSocket-Key", "Sec-WebSocket-Version"];

/// A request as a client sent it, WebSocket handshake or not.
///
/// Its bytes are parsed once, when it is received, and by then it has kept the rules of HTTP/1.1 that all readers
/// agree on; an upgrade has kept those of RFC 6455, section 4.2.1 too. `Debug` shows method, path and the names of
/// headers, but no values.
///
/// # Examples
///
/// ```
/// # use futures_lite::io::Cursor;
/// # futures_lite::future::block_on(async {
/// # let stream = Cursor::new(b"GET /room/7?as=spectator HTTP/1.1\r\nHost: example.com:8080\r\n\r\n".to_vec());
/// # let server = unsync_websocket::Server::with_timer(stream, unsync_websocket::NoTimer);
/// let request = server.receive_request().await?;
/// assert!(!request.is_upgrade());
/// assert_eq!(request.method(), "GET");
/// assert_eq!(request.path(), "/room/7");
/// assert_eq!(request.query(), Some("as=spectator"));
/// assert_eq!(request.host(), "example.com:8080");
/// assert_eq!(request.origin(), None);
/// # Ok::<(), unsync_websocket::HandshakeError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Headers,
    /// Present exactly if this is an upgrade, and nothing is wrong with it.
    key: Option<Key>,
}

impl Request {
    /// Parses `head`, which ends with its empty line.
    pub(crate) fn parse(head: &[u8], limits: HeadLimits) -> Result<Self, HandshakeError> {
        let line_count = head.iter().filter(|&&byte| byte == b'\n').count();
        let mut slots = vec![httparse::EMPTY_HEADER; limits.max_headers.min(line_count)];
        let mut parsed = httparse::Request::new(&mut slots);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(len)) if len == head.len() => {}
            Ok(_) => return Err(HandshakeError::RequestLine),
            Err(error) => return Err(fault(error, head)),
        }
        let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
            return Err(HandshakeError::RequestLine);
        };
        // httparse knows 1.0 and 1.1 and refuses others.
        if parsed.version != Some(1) {
            return Err(HandshakeError::HttpVersion);
        }
        let headers = Headers::from_parsed(parsed.headers);
        let mut request = Self { method: method.to_owned(), target: target.to_owned(), headers, key: None };
        request.check_target()?;
        request.check_headers()?;
        request.key = request.check_upgrade()?;
        Ok(request)
    }

    /// Whether this is a WebSocket handshake: one that may be accepted, for a faulty one has been refused before
    /// anybody sees it.
    ///
    /// Any mark of a handshake (`Upgrade: websocket`, `Sec-WebSocket-Key` or `Sec-WebSocket-Version`) makes a
    /// request one, so that a handshake from which a proxy took `Upgrade` away is told so, and not answered with
    /// a page. An `Upgrade` to something else is ignored, as a server may (RFC 9110, section 7.8).
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server};
    /// # let stream = Cursor::new(b"GET /chat HTTP/1.1\r\nHost: example.com\r\n\
    /// #     Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    /// #     \r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// assert!(request.is_upgrade());
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn is_upgrade(&self) -> bool {
        self.key.is_some()
    }

    /// The method, in the case it came in, as in `GET`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server};
    /// # let stream = Cursor::new(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// assert_eq!(request.method(), "POST");
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The request target as it came: `/chat?x=1`, `http://example.com/chat?x=1`, or `*`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server};
    /// # let stream = Cursor::new(b"GET /chat?room=7 HTTP/1.1\r\nHost: example.com\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// assert_eq!(request.target(), "/chat?room=7");
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path, up to the query, as it came: `%2F` and `..` are still in it.
    ///
    /// A target in absolute form without a path has `/` (RFC 9110, section 4.2.3). `*` is its own path.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// # futures_lite::future::block_on(async {
    /// # let stream = Cursor::new(b"GET http://a.example/chat?x=1 HTTP/1.1\r\nHost: a.example\r\n\r\n".to_vec());
    /// # let server = unsync_websocket::Server::with_timer(stream, unsync_websocket::NoTimer);
    /// let request = server.receive_request().await?;
    /// assert_eq!(request.target(), "http://a.example/chat?x=1");
    /// assert_eq!(request.path(), "/chat");
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// # }).unwrap();
    /// ```
    pub fn path(&self) -> &str {
        let path = self.path_and_query().split('?').next().unwrap_or_default();
        if path.is_empty() { "/" } else { path }
    }

    /// What follows the first `?`, as it came; `None` if there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server};
    /// # let stream = Cursor::new(b"GET /chat?room=7 HTTP/1.1\r\nHost: example.com\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// assert_eq!(request.query(), Some("room=7"));
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn query(&self) -> Option<&str> {
        self.path_and_query().split_once('?').map(|(_, query)| query)
    }

    /// The host the client means, with the port if it named one: that of a target in absolute form, else that of
    /// `Host` (RFC 9112, section 3.2.2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server};
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: example.com:8080\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// assert_eq!(request.host(), "example.com:8080");
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn host(&self) -> &str {
        match self.absolute() {
            Some((authority, _)) => authority,
            None => self.headers.get_str("host").unwrap_or_default(),
        }
    }

    /// The `Origin`: where the page was served from that asks, or `null`. `None` comes from a client that is no
    /// browser, or from a plain request.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server};
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://a\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// assert_eq!(request.origin(), Some("https://a"));
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn origin(&self) -> Option<&str> {
        self.headers.get_str("origin")
    }

    /// Whether the page that asks was served by the very host it asks: the same name, without regard to case, and
    /// the same port, where a missing one is the default of the page's scheme. `null`, and a missing `Origin`, are
    /// not.
    ///
    /// This is for programs that decide by path; [`Server::same_origin`](crate::Server::same_origin) refuses
    /// others before the request is seen.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// # futures_lite::future::block_on(async {
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: Example.com\r\nOrigin: https://example.com:443\r\n\r\n".to_vec());
    /// # let server = unsync_websocket::Server::with_timer(stream, unsync_websocket::NoTimer);
    /// let request = server.receive_request().await?;
    /// assert_eq!(request.host(), "Example.com");
    /// assert_eq!(request.origin(), Some("https://example.com:443"));
    /// assert!(request.is_same_origin());
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// # }).unwrap();
    /// ```
    pub fn is_same_origin(&self) -> bool {
        self.origin().is_some_and(|origin| origin::is_same_origin(origin, self.host()))
    }

    /// All headers.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server};
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: session=7\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// assert_eq!(request.headers().get_str("cookie"), Some("session=7"));
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The subprotocols the client offers, best liked first, from any number of `Sec-WebSocket-Protocol` lines
    /// (section 11.3.4). They are compared with regard to case.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// # futures_lite::future::block_on(async {
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Protocol: chat, battle\r\n\r\n".to_vec());
    /// # let server = unsync_websocket::Server::with_timer(stream, unsync_websocket::NoTimer);
    /// let request = server.receive_request().await?;
    /// let known = request.protocols().find(|offered| ["battle", "board"].contains(offered));
    /// assert_eq!(known, Some("battle"));
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// # }).unwrap();
    /// ```
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        self.headers.members("sec-websocket-protocol").filter_map(|member| std::str::from_utf8(member).ok())
    }

    /// The checked key of an upgrade.
    pub(crate) fn key(&self) -> Option<Key> {
        self.key
    }

    /// Authority and the rest of a target in absolute form.
    fn absolute(&self) -> Option<(&str, &str)> {
        let (scheme, rest) = self.target.split_once("://")?;
        let known = ["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        known.then(|| rest.split_at_checked(end))?
    }

    fn path_and_query(&self) -> &str {
        self.absolute().map_or(&self.target, |(_, path_and_query)| path_and_query)
    }

    /// The forms of RFC 9112, section 3.2, but for that of CONNECT: we are no proxy. No fragment (section 3).
    fn check_target(&self) -> Result<(), HandshakeError> {
        let form = match self.target.as_str() {
            "*" => self.method == "OPTIONS",
            path if path.starts_with('/') => true,
            _ => self.absolute().is_some_and(|(authority, _)| Authority::parse(authority).is_some()),
        };
        let clean = self.target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if form && clean { Ok(()) } else { Err(HandshakeError::Target) }
    }

    fn check_headers(&self) -> Result<(), HandshakeError> {
        for name in SINGLE_VALUED {
            if self.headers.get_all(name).count() > 1 {
                return Err(HandshakeError::DuplicateHeader { name });
            }
        }
        let host = self.headers.get("host").ok_or(HandshakeError::MissingHost)?;
        if std::str::from_utf8(host).ok().and_then(Authority::parse).is_none() {
            return Err(HandshakeError::Host);
        }
        // An origin that could not be shown as text would look like none at all.
        if self.headers.get("origin").is_some_and(|origin| !origin.iter().all(|b| matches!(b, b' '..=b'~'))) {
            return Err(HandshakeError::Origin);
        }
        if !self.headers.members("sec-websocket-protocol").all(is_token) {
            return Err(HandshakeError::ProtocolList);
        }
        extensions::check_grammar(&self.headers)?;
        self.check_content_length()
    }

    /// A request may say once how long its body is, in digits, and not say that it comes in chunks as well.
    fn check_content_length(&self) -> Result<(), HandshakeError> {
        let Some(length) = self.headers.get("content-length") else {
            return Ok(());
        };
        let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
        match digits && self.headers.get("transfer-encoding").is_none() {
            true => Ok(()),
            false => Err(HandshakeError::ContentLength),
        }
    }

    /// The key, if this is a proper handshake; `None`, if it is none at all (section 4.2.1).
    fn check_upgrade(&self) -> Result<Option<Key>, HandshakeError> {
        let named = self.headers.names("upgrade", "websocket");
        let marks = ["sec-websocket-key", "sec-websocket-version"];
        if !named && marks.iter().all(|mark| self.headers.get(mark).is_none()) {
            return Ok(None);
        }
        if self.method != "GET" {
            return Err(HandshakeError::Method);
        }
        if !named {
            return Err(HandshakeError::MissingUpgrade);
        }
        if !self.headers.names("connection", "upgrade") {
            return Err(HandshakeError::MissingConnection);
        }
        if self.has_body() {
            return Err(HandshakeError::Body);
        }
        if self.headers.get("sec-websocket-version") != Some(b"13") {
            return Err(HandshakeError::Version);
        }
        let key = self.headers.get("sec-websocket-key").and_then(Key::parse);
        key.ok_or(HandshakeError::Key).map(Some)
    }

    /// A length of 0 is no body, and some devices send it.
    fn has_body(&self) -> bool {
        let length = self.headers.get("content-length").unwrap_or(b"0");
        self.headers.get("transfer-encoding").is_some() || length.iter().any(|&digit| digit != b'0')
    }
}

/// Our word for what httparse found. Not that there are too many headers: who read the head has counted them.
fn fault(error: httparse::Error, head: &[u8]) -> HandshakeError {
    match error {
        httparse::Error::Version if names_a_version(head) => HandshakeError::HttpVersion,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => HandshakeError::HeaderLine,
        _ => HandshakeError::RequestLine,
    }
}

/// Whether the first line has the three parts of a request line, the last being some version of HTTP (RFC 9112,
/// sections 2.3 and 3).
fn names_a_version(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let version = line.splitn(3, |&byte| byte == b' ').nth(2).unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'])
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path())
            .field("headers", &self.headers)
            .field("is_upgrade", &self.is_upgrade())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { max_head: 16 << 10, max_headers: 100 };

    fn parse(head: &str) -> Result<Request, HandshakeError> {
        Request::parse(head.as_bytes(), LIMITS)
    }

    /// An upgrade of `target`, with `lines` after the headers it needs.
    fn upgrade(target: &str, lines: &str) -> Result<Request, HandshakeError> {
        parse(&format!(
            "GET {target} HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
        ))
    }

    #[test]
    fn targets_are_paths_or_whole_urls() {
        for (target, path, query, host) in [
            ("/", "/", None, "example.com"),
            ("/chat?x=1?y", "/chat", Some("x=1?y"), "example.com"),
            ("/?", "/", Some(""), "example.com"),
            ("//chat", "//chat", None, "example.com"),
            ("/to?u=http://b/c", "/to", Some("u=http://b/c"), "example.com"),
            ("http://a.example/chat?x", "/chat", Some("x"), "a.example"),
            ("HTTPS://a.example:8443", "/", None, "a.example:8443"),
            ("ws://a.example?x", "/", Some("x"), "a.example"),
            ("wss://[::1]:9/", "/", None, "[::1]:9"),
        ] {
            let request = upgrade(target, "").unwrap();
            assert_eq!((request.path(), request.query(), request.host()), (path, query, host), "{target}");
            assert_eq!(request.target(), target);
        }
    }

    #[test]
    fn other_targets_are_refused() {
        for target in [
            "chat",
            "*",
            "/a#b",
            "example.com:443",
            "ftp://a/b",
            "http:///b",
            "http://u@a/",
            "http://a:b/",
            "/\u{e9}",
        ] {
            assert!(matches!(upgrade(target, ""), Err(HandshakeError::Target)), "{target}");
        }
    }

    #[test]
    fn an_asterisk_is_for_options() {
        assert_eq!(parse("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().path(), "*");
        assert!(matches!(parse("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"), Err(HandshakeError::Target)));
    }

    #[test]
    fn protocols_come_from_all_lines_in_order() {
        let lines = "Sec-WebSocket-Protocol: chat , battle\r\nsec-websocket-protocol:,Chat\r\n";

        let request = upgrade("/", lines).unwrap();

        assert_eq!(request.protocols().collect::<Vec<_>>(), ["chat", "battle", "Chat"]);
    }

    #[test]
    fn a_protocol_that_is_no_token_is_refused() {
        for value in ["a b", "a/b", "\u{e9}", "a,(b)", "\"a\""] {
            let refused = upgrade("/", &format!("Sec-WebSocket-Protocol: {value}\r\n"));
            assert!(matches!(refused, Err(HandshakeError::ProtocolList)), "{value}");
        }
    }

    #[test]
    fn values_keep_their_bytes() {
        let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
        head.extend(0x80..=0xff);
        head.extend_from_slice(b"\r\n\r\n");

        let request = Request::parse(&head, LIMITS).unwrap();

        assert_eq!(request.headers().get("x"), Some(&(0x80..=0xff).collect::<Vec<u8>>()[..]));
        assert_eq!(request.headers().get_str("x"), None);
    }

    #[test]
    fn an_upgrade_to_something_else_is_a_plain_request() {
        let request =
            parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n");
        assert!(!request.unwrap().is_upgrade());
    }

    #[test]
    fn a_handshake_whose_upgrade_a_proxy_took_is_told_so() {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        assert!(matches!(parse(head), Err(HandshakeError::MissingUpgrade)));
    }

    #[test]
    fn a_length_of_zero_is_no_body() {
        assert!(upgrade("/", "Content-Length: 0\r\n").unwrap().is_upgrade());
        assert!(matches!(upgrade("/", "Content-Length: 1\r\n"), Err(HandshakeError::Body)));
    }

    #[test]
    fn debug_shows_no_values() {
        let text = format!("{:?}", upgrade("/chat?token=secret", "Cookie: secret\r\n").unwrap());
        assert!(!text.contains("secret"), "{text}");
    }
}
