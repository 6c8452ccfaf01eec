//! The server's side, as users call it.
//!
//! [`Server`] reads one request and refuses a faulty one by itself; [`ServerRequest`] is what the user decides
//! about; [`Parts`] is that request on its way to another thread. Every path that does not end in a connection ends
//! the stream: nothing that follows a refused head is ever read as a request.
//!
//! The public futures are boxed: a handshake takes two kilobytes while it lasts, and a task that awaits it in place would carry
//! them for as long as its connection lives.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;

use futures_io::{AsyncRead, AsyncWrite};

use super::head::{HeadLimits, HeadReader};
use super::link::{Farewell, Link, Outgoing};
use super::origin::OriginPolicy;
use super::response::{Answer, BodyMode, ExtraHeaders, encode_switching_protocols};
use super::{HandshakeError, Request, Response, extensions};
use crate::connection::{Config, Socket, Timer, WebSocket};
use crate::protocol::Role;

/// The server's side of a handshake that has not begun: a stream on which a client is about to ask.
///
/// [`accept`](Self::accept) is the short way to a connection; [`receive_request`](Self::receive_request) shows the
/// request first. The request has to be whole within [`Config::handshake_timeout`], to the last byte of the answer;
/// that time runs from the first poll.
///
/// With the feature `async-io`, `Server::new(stream)` brings that runtime's clock.
///
/// # Examples
///
/// ```
/// # use futures_lite::io::Cursor;
/// use unsync_websocket::{NoTimer, Server};
///
/// # futures_lite::future::block_on(async {
/// # let stream = Cursor::new(b"GET /chat HTTP/1.1\r\nHost: example.com\r\n\r\n".to_vec());
/// let request = Server::with_timer(stream, NoTimer).same_origin().receive_request().await?;
/// assert_eq!(request.path(), "/chat");
/// # Ok::<(), unsync_websocket::HandshakeError>(())
/// # }).unwrap();
/// ```
pub struct Server<T> {
    link: Link<T>,
    config: Config,
    origins: OriginPolicy,
    /// The first thing wrong with what the caller set.
    fault: Option<HandshakeError>,
}

impl<T> Server<T> {
    /// The server's side on `stream`, with deadlines by `timer`.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_lite::io::Cursor;
    /// use unsync_websocket::{NoTimer, Server};
    ///
    /// let server = Server::with_timer(Cursor::new(Vec::<u8>::new()), NoTimer);
    /// # drop(server);
    /// ```
    pub fn with_timer(stream: T, timer: impl Timer) -> Self {
        Self {
            link: Link::new(stream, Box::new(timer)),
            config: Config::new(),
            origins: OriginPolicy::default(),
            fault: None,
        }
    }

    /// What ends the writing side, for streams whose `poll_close` does not: a runtime knows its own.
    #[cfg_attr(
        not(any(feature = "async-io", feature = "tokio")),
        expect(dead_code, reason = "no runtime is compiled in")
    )]
    pub(crate) fn socket(mut self, socket: Option<Socket<T>>) -> Self {
        self.link.socket = socket;
        self
    }

    /// Limits and deadlines, of the handshake and of the connection after it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// use std::time::Duration;
    /// use unsync_websocket::{Config, NoTimer, Server};
    ///
    /// # let stream = Cursor::new(Vec::<u8>::new());
    /// let server = Server::with_timer(stream, NoTimer)
    ///     .config(Config::new().handshake_timeout(Duration::from_secs(3)));
    /// # drop(server);
    /// ```
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Lets pages connect that were served by the very host they connect to, and answers other pages with 403.
    ///
    /// A browser lets any page connect to any server, with that server's cookies; this is what keeps strangers'
    /// pages out (section 10.2). The host has to be the same, without regard to case, and the port, where a
    /// missing one is the default of the page's scheme. `Origin: null` is no page of ours. A request *without*
    /// `Origin` is let through, since no browser sends one: see [`require_origin`](Self::require_origin). Plain
    /// requests are not judged. Together with [`allow_origins`](Self::allow_origins), either suffices.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// use unsync_websocket::{HandshakeError, NoTimer, Server};
    ///
    /// # futures_lite::future::block_on(async {
    /// # let stream = Cursor::new(b"GET /chat HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://example.com.evil.org\r\n\r\n".to_vec());
    /// let refused = Server::with_timer(stream, NoTimer).same_origin().receive_request().await;
    /// assert!(matches!(refused, Err(HandshakeError::ForeignOrigin { .. })));
    /// # });
    /// ```
    #[must_use]
    pub fn same_origin(mut self) -> Self {
        self.origins.allow_same();
        self
    }

    /// Lets pages of these origins connect, and answers other pages with 403. An entry is `scheme://host[:port]`
    /// as browsers send it, or `null` for pages that have no origin; there are no patterns. An empty list lets no
    /// page connect. Calls add up. What [`same_origin`](Self::same_origin) says of requests without `Origin` holds
    /// here too.
    ///
    /// An entry that is none is answered with 500 when a request comes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// use unsync_websocket::{NoTimer, Server};
    ///
    /// # let stream = Cursor::new(Vec::<u8>::new());
    /// let server = Server::with_timer(stream, NoTimer)
    ///     .same_origin()
    ///     .allow_origins(["https://example.com", "http://localhost:3000"]);
    /// # drop(server);
    /// ```
    #[must_use]
    pub fn allow_origins(mut self, origins: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.origins.restrict();
        for origin in origins {
            if let Err(fault) = self.origins.allow(origin.as_ref()) {
                self.fault.get_or_insert(fault);
            }
        }
        self
    }

    /// Answers a handshake without `Origin` with 403: then only browsers connect, and programs that act like one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// use unsync_websocket::{NoTimer, Server};
    ///
    /// # let stream = Cursor::new(Vec::<u8>::new());
    /// let server = Server::with_timer(stream, NoTimer).same_origin().require_origin();
    /// # drop(server);
    /// ```
    #[must_use]
    pub fn require_origin(mut self) -> Self {
        self.origins.require();
        self
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Server<T> {
    /// Accepts whatever proper handshake comes: any path, no subprotocol.
    ///
    /// # Errors
    ///
    /// As [`receive_request`](Self::receive_request); a plain HTTP request is answered with 426.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the stream: the client sees it end.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// use unsync_websocket::{HandshakeError, NoTimer, Server};
    ///
    /// # futures_lite::future::block_on(async {
    /// let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n".to_vec());
    /// let refused = Server::with_timer(stream, NoTimer).accept().await;
    /// assert!(matches!(refused, Err(HandshakeError::NotUpgrade)));
    /// # });
    /// ```
    pub fn accept(self) -> impl Future<Output = Result<WebSocket<T>, HandshakeError>> {
        Box::pin(async move { self.receive().await?.open().await })
    }

    /// Receives the request, to be looked at before it is accepted, rejected, or answered as plain HTTP.
    ///
    /// What comes back has kept all the rules of a handshake or, where it is a plain request
    /// ([`Request::is_upgrade`] tells), those of HTTP. Bytes that the client sent after it are kept for the
    /// connection.
    ///
    /// # Errors
    ///
    /// A request that breaks a rule has been answered with [`HandshakeError::status`] and the stream was closed,
    /// when the error is returned. With [`HandshakeError::Io`] nobody was there to be answered.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the stream: the client sees it end.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// use unsync_websocket::{NoTimer, Server};
    ///
    /// # futures_lite::future::block_on(async {
    /// let stream = Cursor::new(b"GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n".to_vec());
    /// let request = Server::with_timer(stream, NoTimer).receive_request().await?;
    /// match request.path() {
    ///     "/chat" => drop(request.accept().await?),
    ///     "/page" => request.respond(200).header("Content-Type", "text/html").body("<p>Hi").await?,
    ///     _ => request.reject(404).await?,
    /// }
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// # }).unwrap();
    /// ```
    pub fn receive_request(self) -> impl Future<Output = Result<ServerRequest<T>, HandshakeError>> {
        Box::pin(self.receive())
    }

    async fn receive(self) -> Result<ServerRequest<T>, HandshakeError> {
        let Self { mut link, config, origins, fault } = self;
        link.start(config.handshake_timeout);
        let limits = HeadLimits { max_head: config.max_head, max_headers: config.max_headers };
        let mut reader = HeadReader::new(limits);
        let received =
            match poll_fn(|cx| link.poll_head(&mut reader, HandshakeError::RequestTimeout, cx)).await {
                Ok(len) => {
                    let mode = BodyMode::for_head(reader.bytes());
                    let (head, read_ahead) = reader.into_head_and_rest(len);
                    judge(&head, limits, &origins, fault)
                        .map(|request| (request, read_ahead))
                        .map_err(|fault| (fault, mode))
                }
                Err(fault) => Err((fault, BodyMode::for_head(reader.bytes()))),
            };
        match received {
            Ok((request, read_ahead)) => Ok(ServerRequest::new(link, config, request, read_ahead)),
            Err((fault, mode)) => Err(refuse(link, fault, mode).await),
        }
    }
}

/// The request that `head` is, if it keeps all rules, and `fault` is not in the way.
fn judge(
    head: &[u8],
    limits: HeadLimits,
    origins: &OriginPolicy,
    fault: Option<HandshakeError>,
) -> Result<Request, HandshakeError> {
    let request = Request::parse(head, limits)?;
    if let Some(fault) = fault {
        return Err(fault);
    }
    if request.is_upgrade() {
        origins.check(&request)?;
    }
    Ok(request)
}

/// Answers `fault`, closes the stream, and hands the fault back. That the answer could not be written is worth less
/// than why there was one.
async fn refuse<T: AsyncRead + AsyncWrite + Unpin>(
    mut link: Link<T>,
    fault: HandshakeError,
    mode: BodyMode,
) -> HandshakeError {
    if let Some(answer) = Answer::to_fault(&fault) {
        let mut farewell = Farewell::new(answer.encode(mode));
        if let Err(error) = poll_fn(|cx| farewell.poll(&mut link, cx)).await {
            log::debug!("a refused handshake ({fault}) could not be answered: {error}");
        }
    }
    fault
}

/// A received request, and the stream to answer on.
///
/// Derefs to the [`Request`]. [`accept`](Self::accept) opens the connection, [`reject`](Self::reject) and
/// [`respond`](Self::respond) answer with something else; dropped without an answer, the client sees the stream end.
///
/// [`protocol`](Self::protocol) and [`header`](Self::header) cannot fail: the first fault is kept, and
/// [`accept`](Self::accept) answers with an error response and returns it.
///
/// It stays on its thread, as does everything later; [`into_parts`](Self::into_parts) is the way to another.
///
/// # Examples
///
/// ```
/// # use futures_lite::io::Cursor;
/// use unsync_websocket::{NoTimer, Server};
///
/// # futures_lite::future::block_on(async {
/// # let stream = Cursor::new(b"GET /chat HTTP/1.1\r\nHost: example.com\r\n\
/// #     Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
/// #     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\n\r\n".to_vec());
/// let request = Server::with_timer(stream, NoTimer).receive_request().await?;
/// assert!(request.is_upgrade());
/// let websocket = request.protocol("chat").header("x-room", "7").accept().await?;
/// # drop(websocket);
/// # Ok::<(), unsync_websocket::HandshakeError>(())
/// # }).unwrap();
/// ```
pub struct ServerRequest<T> {
    link: Link<T>,
    config: Config,
    request: Request,
    read_ahead: Vec<u8>,
    /// The subprotocol to be agreed on, one of those offered.
    protocol: Option<String>,
    extra: ExtraHeaders,
    /// The first thing wrong with what the caller set.
    fault: Option<HandshakeError>,
    /// Never `Send`, whatever the timer is.
    local: PhantomData<Rc<()>>,
}

impl<T> ServerRequest<T> {
    fn new(link: Link<T>, config: Config, request: Request, read_ahead: Vec<u8>) -> Self {
        Self {
            link,
            config,
            request,
            read_ahead,
            protocol: None,
            extra: ExtraHeaders::default(),
            fault: None,
            local: PhantomData,
        }
    }

    /// Everything that another thread needs, as one value that is `Send` when the stream is.
    ///
    /// Configuration and timer stay behind, as does what [`protocol`](Self::protocol) and
    /// [`header`](Self::header) have set; the other thread says them anew. The policy on origins has been applied.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// use futures_lite::future::block_on;
    /// use unsync_websocket::{NoTimer, Server, ServerRequest};
    ///
    /// # let stream = Cursor::new(b"GET /chat HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// let parts = request.into_parts();
    /// std::thread::spawn(move || {
    ///     let request = ServerRequest::from_parts_with_timer(parts, NoTimer);
    ///     block_on(request.reject(404).into_future())
    /// })
    /// .join()
    /// .unwrap()?;
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn into_parts(self) -> Parts<T> {
        Parts { stream: self.link.stream, request: self.request, read_ahead: self.read_ahead }
    }

    /// The request that `parts` were, with deadlines by `timer`. The time for the handshake starts anew, with the
    /// answer.
    ///
    /// With the feature `async-io`,
    /// `ServerRequest::from_parts(parts)` brings that runtime's clock.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server, ServerRequest};
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// let parts = request.into_parts();
    /// let request = ServerRequest::from_parts_with_timer(parts, NoTimer);
    /// assert_eq!(request.path(), "/");
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn from_parts_with_timer(parts: Parts<T>, timer: impl Timer) -> Self {
        let link = Link::new(parts.stream, Box::new(timer));
        Self::new(link, Config::new(), parts.request, parts.read_ahead)
    }

    /// What ends the writing side, for streams whose `poll_close` does not: a runtime knows its own.
    #[cfg_attr(
        not(any(feature = "async-io", feature = "tokio")),
        expect(dead_code, reason = "no runtime is compiled in")
    )]
    pub(crate) fn socket(mut self, socket: Option<Socket<T>>) -> Self {
        self.link.socket = socket;
        self
    }

    /// Limits and deadlines of the connection, in place of those the request was received with. The time for the handshake, which
    /// has begun, stays as it is; on another thread, where it [starts anew](Self::from_parts_with_timer), this one counts.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server, Config};
    /// # let stream = Cursor::new(b"GET /chat HTTP/1.1\r\nHost: example.com\r\n\
    /// #     Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    /// #     \r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// let config = Config::new().max_message(16 << 20); // by what the request says
    /// let websocket = block_on(request.config(config).accept())?;
    /// # drop(websocket);
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The stream.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server};
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// let stream: &Cursor<Vec<u8>> = request.get_ref();
    /// # assert!(stream.position() > 0);
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn get_ref(&self) -> &T {
        &self.link.stream
    }

    /// Agrees on a subprotocol, one of [`Request::protocols`]; another is a fault, for the client would fail the
    /// connection over it (section 4.1). Of several calls the last one counts; without one there is no subprotocol, which the
    /// client has to take or leave.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server};
    /// # let stream = Cursor::new(b"GET /chat HTTP/1.1\r\nHost: example.com\r\n\
    /// #     Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    /// #     Sec-WebSocket-Protocol: chat, battle\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// // Which of those that the client offers is one of ours?
    /// let known = request.protocols().find(|offered| ["battle", "board"].contains(offered)).map(String::from);
    /// let request = match known {
    ///     Some(protocol) => request.protocol(protocol),
    ///     None => request, // or `reject` it
    /// };
    /// let websocket = block_on(request.accept())?;
    /// assert_eq!(websocket.subprotocol(), Some("battle"));
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    #[must_use]
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        let protocol = protocol.into();
        let offered = self.request.protocols().any(|offered| offered == protocol);
        match offered {
            true => self.protocol = Some(protocol),
            false => self.keep(HandshakeError::ProtocolNotOffered { protocol }),
        }
        self
    }

    /// Adds a header to the answer that opens the connection, a cookie say.
    ///
    /// A name that is no token, a control character in the value, and the headers that the handshake itself
    /// consists of (`Connection`, `Sec-WebSocket-Accept` and the like) are faults.
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
    /// let websocket = block_on(request.header("Set-Cookie", "seen=1").accept())?;
    /// # drop(websocket);
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    #[must_use]
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        if let Err(fault) = self.extra.push(name.as_ref(), value.as_ref()) {
            self.keep(fault);
        }
        self
    }

    fn keep(&mut self, fault: HandshakeError) {
        self.fault.get_or_insert(fault);
    }

    /// Refuses the request with `status`: the builder of an answer, sent when it is awaited. Nothing of what
    /// [`protocol`](Self::protocol) and [`header`](Self::header) have set goes with it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// # use unsync_websocket::{NoTimer, Server};
    /// # futures_lite::future::block_on(async {
    /// # let stream = Cursor::new(b"GET /chat/9 HTTP/1.1\r\nHost: example.com\r\n\r\n".to_vec());
    /// let request = Server::with_timer(stream, NoTimer).receive_request().await?;
    /// request.reject(404).header("x-rooms", "1-8").body("no such room").await?;
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// # }).unwrap();
    /// ```
    pub fn reject(self, status: u16) -> Response<T> {
        self.respond(status)
    }

    /// Answers a plain request with `status`, and headers and a body: a page, say. The same as
    /// [`reject`](Self::reject), by the name it has where nothing is rejected.
    ///
    /// The stream is closed after it. The answer to `HEAD` has no body, but tells its length.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// # use unsync_websocket::{NoTimer, Server};
    /// # futures_lite::future::block_on(async {
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n".to_vec());
    /// let request = Server::with_timer(stream, NoTimer).receive_request().await?;
    /// request.respond(200).header("Content-Type", "text/html; charset=utf-8").body("<h1>Hello</h1>").await?;
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// # }).unwrap();
    /// ```
    pub fn respond(self, status: u16) -> Response<T> {
        let mut link = self.link;
        link.start(self.config.handshake_timeout);
        let mode = match self.request.method() {
            "HEAD" => BodyMode::Announced,
            _ => BodyMode::Sent,
        };
        Response::new(link, status, mode)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> ServerRequest<T> {
    /// Opens the connection (section 4.2.2). What the client sent ahead is the connection's first input.
    ///
    /// # Errors
    ///
    /// A plain request is answered with 426. The first fault of [`protocol`](Self::protocol) or
    /// [`header`](Self::header) is answered with 500 and returned. [`HandshakeError::Io`] and
    /// [`HandshakeError::ResponseTimeout`]: the answer could not be written. The stream is closed in any case.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the stream; the client may have been told that the connection is open.
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
    /// match request.path() {
    ///     "/chat" => drop(block_on(request.accept())?),
    ///     _ => block_on(request.reject(404).into_future())?,
    /// }
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn accept(self) -> impl Future<Output = Result<WebSocket<T>, HandshakeError>> {
        Box::pin(self.open())
    }

    async fn open(self) -> Result<WebSocket<T>, HandshakeError> {
        let Self { mut link, mut config, request, read_ahead, protocol, extra, fault, local: _ } = self;
        link.start(config.handshake_timeout);
        let key = match (request.key(), fault) {
            (Some(key), None) => key,
            (Some(_), Some(fault)) => return Err(refuse(link, fault, BodyMode::Sent).await),
            (None, _) => {
                let mode = BodyMode::for_head(format!("{} ", request.method()).as_bytes());
                return Err(refuse(link, HandshakeError::NotUpgrade, mode).await);
            }
        };
        let (deflate, extensions) = extensions::accept(request.headers(), config.wanted()).unzip();
        config.agree(deflate);
        drop(request);
        let answer =
            encode_switching_protocols(&key.accept(), protocol.as_deref(), extensions.as_deref(), &extra);
        let mut outgoing = Outgoing::new(answer);
        poll_fn(|cx| outgoing.poll(&mut link, HandshakeError::ResponseTimeout, cx)).await?;
        let Link { stream, timer, socket, .. } = link;
        Ok(WebSocket::new(stream, Role::Server, &config, read_ahead, timer, socket, protocol))
    }
}

impl<T> Deref for ServerRequest<T> {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.request
    }
}

/// A request on its way to the thread that will answer it, from [`ServerRequest::into_parts`].
///
/// `Send` when the stream is. What is in it may be looked at and changed, as long as `read_ahead` stays the bytes
/// that came before those that `stream` will give.
///
/// # Examples
///
/// ```
/// use unsync_websocket::Parts;
///
/// fn assert_send<T: Send>() {}
/// assert_send::<Parts<std::net::TcpStream>>();
/// ```
#[derive(Debug)]
pub struct Parts<T> {
    /// The stream, read up to the end of the request, or past it.
    pub stream: T,
    /// The request.
    pub request: Request,
    /// What was read past the end of the request: the first frames.
    pub read_ahead: Vec<u8>,
}

impl<T> fmt::Debug for Server<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .field("origins", &self.origins)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ServerRequest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerRequest")
            .field("request", &self.request)
            .field("config", &self.config)
            .field("protocol", &self.protocol)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}
