//! The client's side, as users call it.
//!
//! [`Client`] is put together, writes one request, and judges the answer. Whatever is not the answer that was asked for
//! ends the handshake, and with it the stream: nothing is tried twice, nobody is followed elsewhere.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use super::HandshakeError;
use super::answer::Answered;
use super::head::{HeadLimits, HeadReader};
use super::key::Key;
use super::link::{Link, Outgoing, poll_or_deadline};
use super::offer::{Chosen, Offer};
use super::refusal::{BodyEnd, RefusalReader};
use crate::connection::{Config, OsSeededKeys, Socket, Timer, WebSocket};
use crate::protocol::Role;

/// Bytes of a refusal's body that are asked of the stream at once.
const BODY_READ: usize = 2048;

/// The client's side of a handshake that has not begun: a stream to a server, and what to ask of it.
///
/// [`protocol`](Self::protocol), [`header`](Self::header) and [`origin`](Self::origin) cannot fail: the first fault is
/// kept, and [`connect`](Self::connect) returns it before anything is sent. The handshake has to be over within
/// [`Config::handshake_timeout`]; that time runs from the first poll.
///
/// With the feature `async-io`, `Client::new(stream, host, target)` brings that runtime's clock, and
/// `connect("ws://..")` makes the stream too.
///
/// # Examples
///
/// Our client asks our server, over a pipe:
///
/// ```
/// # mod pipe {
/// #     use std::{cell::RefCell, collections::VecDeque, io, pin::Pin, rc::Rc, task::{Context, Poll}};
/// #     use futures_lite::{AsyncRead, AsyncWrite};
/// #     type Queue = Rc<RefCell<VecDeque<u8>>>;
/// #     pub struct End { from: Queue, to: Queue }
/// #     pub fn pipe() -> (End, End) {
/// #         let (a, b) = (Queue::default(), Queue::default());
/// #         (End { from: a.clone(), to: b.clone() }, End { from: b, to: a })
/// #     }
/// #     impl AsyncRead for End {
/// #         fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
/// #             if self.from.borrow().is_empty() { cx.waker().wake_by_ref(); return Poll::Pending; }
/// #             Poll::Ready(io::Read::read(&mut *self.from.borrow_mut(), space))
/// #         }
/// #     }
/// #     impl AsyncWrite for End {
/// #         fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
/// #             self.to.borrow_mut().extend(bytes);
/// #             Poll::Ready(Ok(bytes.len()))
/// #         }
/// #         fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> { Poll::Ready(Ok(())) }
/// #         fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> { Poll::Ready(Ok(())) }
/// #     }
/// # }
/// # use pipe::pipe;
/// # use futures_lite::future::{block_on, zip};
/// use unsync_websocket::{Client, NoTimer, Server};
///
/// let (ours, theirs) = pipe();
/// let client = Client::with_timer(ours, "example.com", "/chat?room=7", NoTimer).protocol("chat");
/// let server = async {
///     let request = Server::with_timer(theirs, NoTimer).receive_request().await?;
///     assert_eq!((request.path(), request.query()), ("/chat", Some("room=7")));
///     request.protocol("chat").accept().await
/// };
/// let (connected, accepted) = block_on(zip(client.connect(), server));
/// assert_eq!(connected?.subprotocol(), Some("chat"));
/// # accepted?;
/// # Ok::<(), unsync_websocket::HandshakeError>(())
/// ```
#[must_use = "it asks nothing until `connect` is awaited"]
pub struct Client<T> {
    link: Link<T>,
    config: Config,
    offer: Offer,
    /// The first thing wrong with what the caller set.
    fault: Option<HandshakeError>,
    /// Never `Send`, whatever the timer is.
    local: PhantomData<Rc<()>>,
}

impl<T> Client<T> {
    /// The client's side on `stream`, with deadlines by `timer`.
    ///
    /// `host` is who is asked, as in `example.com` or `example.com:9001`: it goes into the `Host` header, nothing is
    /// looked up. `target` is what is asked for, a path with an optional query, as in `/chat?room=7`. Both are sent as
    /// given, so blanks, `#` and all beyond ASCII have to be escaped already (a host: in its `xn--` form).
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_lite::{future::block_on, io::Cursor};
    /// use unsync_websocket::{Client, HandshakeError, NoTimer};
    ///
    /// let client = Client::with_timer(Cursor::new(Vec::<u8>::new()), "example.com:9001", "/chat?room=7", NoTimer);
    /// # drop(client);
    /// let client = Client::with_timer(Cursor::new(Vec::<u8>::new()), "example.com", "/a b\r\n", NoTimer);
    /// assert!(matches!(block_on(client.connect()), Err(HandshakeError::InvalidTarget { .. })));
    /// ```
    pub fn with_timer(stream: T, host: impl AsRef<str>, target: impl AsRef<str>, timer: impl Timer) -> Self {
        let (offer, fault) = Offer::new(host.as_ref(), target.as_ref());
        let link = Link::new(stream, Box::new(timer));
        Self { link, config: Config::new(), offer, fault, local: PhantomData }
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

    /// Starts the clock of the handshake now, with `left` of its time.
    #[cfg(feature = "async-io")]
    pub(crate) fn start(mut self, left: std::time::Duration) -> Self {
        self.link.start(left);
        self
    }

    /// Limits and deadlines, of the handshake and of the connection after it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// use unsync_websocket::{Client, Config, NoTimer};
    ///
    /// # let stream = Cursor::new(Vec::<u8>::new());
    /// let client = Client::with_timer(stream, "example.com", "/", NoTimer).config(Config::new().max_message(64 << 20));
    /// # drop(client);
    /// ```
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Offers a subprotocol (section 1.9). Several calls offer several, best liked first, each once.
    ///
    /// The server may choose one of them, or none: [`WebSocket::subprotocol`] tells. If it chooses any other,
    /// the handshake fails with [`HandshakeError::ForeignProtocol`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// use unsync_websocket::{Client, NoTimer};
    ///
    /// # let stream = Cursor::new(Vec::<u8>::new());
    /// let client = Client::with_timer(stream, "example.com", "/", NoTimer).protocol("chat.v2").protocol("chat");
    /// # drop(client);
    /// ```
    pub fn protocol(mut self, protocol: impl AsRef<str>) -> Self {
        let pushed = self.offer.push_protocol(protocol.as_ref());
        self.keep(pushed)
    }

    /// Adds a header to the request, a cookie say, or `Authorization`.
    ///
    /// A name that is no token, a control character in the value, and the headers that the handshake itself consists of
    /// (`Host`, `Connection`, `Sec-WebSocket-Key` and the like) are faults.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// use unsync_websocket::{Client, HandshakeError, NoTimer};
    ///
    /// # let stream = || Cursor::new(Vec::<u8>::new());
    /// let client = Client::with_timer(stream(), "example.com", "/", NoTimer).header("Cookie", "session=7");
    /// # drop(client);
    /// let client = Client::with_timer(stream(), "example.com", "/", NoTimer).header("X", "7\r\nCookie: stolen");
    /// assert!(matches!(block_on(client.connect()), Err(HandshakeError::InvalidHeader { .. })));
    /// ```
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        let pushed = self.offer.push_header(name.as_ref(), value.as_ref());
        self.keep(pushed)
    }

    /// Says whose page asks, as a browser would; of several calls the last one counts. Servers that let only their own
    /// pages in (section 10.2) may ask this of a program too.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// use unsync_websocket::{Client, NoTimer};
    ///
    /// # let stream = Cursor::new(Vec::<u8>::new());
    /// let client = Client::with_timer(stream, "example.com", "/", NoTimer).origin("https://example.com");
    /// # drop(client);
    /// ```
    pub fn origin(mut self, origin: impl AsRef<str>) -> Self {
        let set = self.offer.set_origin(origin.as_ref());
        self.keep(set)
    }

    /// Keeps the first fault.
    fn keep(mut self, result: Result<(), HandshakeError>) -> Self {
        self.fault = self.fault.or(result.err());
        self
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Client<T> {
    /// Asks, and opens the connection if the answer is all that section 4.1 demands. What the server sent right behind
    /// it is the connection's first input.
    ///
    /// Up to the limits for heads, answers of status 1xx before the one that counts are passed over. A redirect is
    /// reported, not followed.
    ///
    /// # Errors
    ///
    /// The first fault of the builder, before anything is sent. [`HandshakeError::Refused`] and
    /// [`HandshakeError::Redirected`], with what the server said. One variant for each rule that the answer broke.
    /// [`HandshakeError::RequestTimeout`] and [`HandshakeError::ResponseTimeout`]: the request could not be written, or
    /// the answer did not come in time. The stream has been dropped in any case.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the stream; the server may have accepted meanwhile.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::net::TcpStream;
    /// use async_io::Async;
    /// use unsync_websocket::{Client, HandshakeError};
    ///
    /// # futures_lite::future::block_on(async {
    /// let stream = Async::<TcpStream>::connect(([127, 0, 0, 1], 9001)).await?;
    /// match Client::new(stream, "localhost:9001", "/chat").connect().await {
    ///     Ok(mut websocket) => websocket.sender.send("hello").await?,
    ///     Err(HandshakeError::Refused(refusal)) => println!("{}", String::from_utf8_lossy(refusal.body())),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn connect(self) -> impl Future<Output = Result<WebSocket<T>, HandshakeError>> {
        // Boxed, as the server's futures are, so that no task carries a handshake for as long as it lives.
        Box::pin(self.open_connection())
    }

    async fn open_connection(self) -> Result<WebSocket<T>, HandshakeError> {
        let Self { mut link, mut config, offer, fault, local: _ } = self;
        if let Some(fault) = fault {
            return Err(fault);
        }
        link.start(config.handshake_timeout);
        let mut random = OsSeededKeys::new().map_err(|_| HandshakeError::NoRandomness)?;
        let key = Key::from_nonce(random.next_nonce());
        let mut request = Outgoing::new(offer.encode(&key, config.wanted()));
        poll_fn(|cx| request.poll(&mut link, HandshakeError::RequestTimeout, cx)).await?;

        let limits = HeadLimits { max_head: config.max_head, max_headers: config.max_headers };
        let mut reader = HeadReader::new(limits);
        let (answer, len) = poll_fn(|cx| poll_answer(&mut link, &mut reader, limits, cx)).await?;
        let (_head, read_ahead) = reader.into_head_and_rest(len);
        if answer.status != 101 {
            return Err(receive_refusal(link, answer, &read_ahead).await);
        }
        let Chosen { protocol, deflate } = offer.check(key, config.wanted(), &answer)?;
        config.agree(deflate);
        let Link { stream, timer, socket, .. } = link;
        Ok(WebSocket::new(stream, Role::Client, &config, read_ahead, timer, socket, protocol))
    }
}

/// Ready with the answer that counts, and where it ends.
fn poll_answer<T: AsyncRead + Unpin>(
    link: &mut Link<T>,
    reader: &mut HeadReader,
    limits: HeadLimits,
    cx: &mut Context<'_>,
) -> Poll<Result<(Answered, usize), HandshakeError>> {
    let mut end = ready!(link.poll_head(reader, HandshakeError::ResponseTimeout, cx))?;
    loop {
        let answer = Answered::parse(reader.head(), limits)?;
        if !answer.is_interim() {
            return Poll::Ready(Ok((answer, end)));
        }
        reader.pass_over();
        end = match reader.fill(0)? {
            Some(end) => end,
            None => ready!(link.poll_head(reader, HandshakeError::ResponseTimeout, cx))?,
        };
    }
}

/// Reads the body of `answer`, which begins with `bytes`, as far as it comes.
async fn receive_refusal<T: AsyncRead + Unpin>(
    mut link: Link<T>,
    answer: Answered,
    bytes: &[u8],
) -> HandshakeError {
    let mut reader = RefusalReader::new(answer);
    reader.take(bytes);
    let end = poll_fn(|cx| poll_refusal(&mut link, &mut reader, cx)).await;
    let refusal = Box::new(reader.end(end));
    match refusal.is_redirect() {
        true => HandshakeError::Redirected(refusal),
        false => HandshakeError::Refused(refusal),
    }
}

/// Ready once no more of the body is wanted, or to be had. That the rest cannot be read is worth less than what is
/// known already.
fn poll_refusal<T: AsyncRead + Unpin>(
    link: &mut Link<T>,
    reader: &mut RefusalReader,
    cx: &mut Context<'_>,
) -> Poll<BodyEnd> {
    let mut space = [0; BODY_READ];
    while !reader.is_finished() {
        match ready!(poll_or_deadline(link, cx, |link, cx| link.poll_read(cx, &mut space))) {
            Some(Ok(0)) => return Poll::Ready(BodyEnd::EndOfStream),
            Some(Ok(count)) => reader.take(space.get(..count).unwrap_or_default()),
            Some(Err(_)) | None => return Poll::Ready(BodyEnd::GivenUp),
        }
    }
    Poll::Ready(BodyEnd::GivenUp)
}

impl<T> fmt::Debug for Client<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.config)
            .field("offer", &self.offer)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::Waker;

    use super::*;
    use crate::connection::{Error, NoTimer, without_randomness};

    /// A stream that must not be touched.
    struct Untouched;

    impl AsyncRead for Untouched {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            panic!("nothing may be read");
        }
    }

    impl AsyncWrite for Untouched {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            panic!("nothing may be written");
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            panic!("nothing may be written");
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
        std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn without_randomness_nothing_is_asked() {
        without_randomness(|| {
            let connecting = Client::with_timer(Untouched, "a", "/", NoTimer).connect();
            assert!(matches!(poll_once(connecting), Poll::Ready(Err(HandshakeError::NoRandomness))));
        });
    }

    #[test]
    fn without_randomness_a_client_whose_handshake_was_done_elsewhere_ends_at_once() {
        without_randomness(|| {
            let mut client = WebSocket::with_timer(
                Untouched,
                Role::Client,
                Config::new(),
                b"\x81\x02hi".to_vec(),
                NoTimer,
            );
            for _ in 0..2 {
                assert!(matches!(poll_once(client.sender.send("x")), Poll::Ready(Err(Error::NoRandomness))));
                assert!(matches!(
                    poll_once(client.receiver.receive()),
                    Poll::Ready(Err(Error::NoRandomness))
                ));
            }
            assert!(matches!(poll_once(client.close()), Poll::Ready(Err(Error::NoRandomness))));
            let server = WebSocket::with_timer(Untouched, Role::Server, Config::new(), Vec::new(), NoTimer);
            assert!(server.sender.get_ref().is_some(), "a server masks nothing, so it needs none");
            drop(server.sender.queue_handle());
        });
    }
}
