//! The limits and deadlines of a connection: all visible, all changeable, none unlimited by accident.

use std::time::Duration;

use crate::protocol::{Deflate, DeflateParams};

/// Limits and deadlines of one connection.
///
/// | | default |
/// |---|---|
/// | [`max_message`](Self::max_message) | 1 MiB |
/// | [`max_frame`](Self::max_frame) | as the message |
/// | [`max_fragments`](Self::max_fragments) | 4,096 |
/// | [`outbox`](Self::outbox) | 64 KiB |
/// | [`fragment`](Self::fragment) | 64 KiB |
/// | [`max_head`](Self::max_head) | 16 KiB |
/// | [`max_headers`](Self::max_headers) | 100 |
/// | [`handshake_timeout`](Self::handshake_timeout) | 10 s |
/// | [`close_timeout`](Self::close_timeout) | 5 s |
/// | [`keepalive`](Self::keepalive) | off; 20 s + 20 s is usual |
#[cfg_attr(feature = "deflate", doc = "| [`deflate`](Self::deflate) | not offered, and declined |")]
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use unsync_websocket::Config;
///
/// let config = Config::new().max_message(16 << 20).close_timeout(Duration::from_secs(1));
/// # drop(config);
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) max_message: usize,
    pub(crate) max_frame: Option<usize>,
    pub(crate) max_fragments: u32,
    pub(crate) outbox: usize,
    pub(crate) fragment: usize,
    pub(crate) max_head: usize,
    pub(crate) max_headers: usize,
    pub(crate) handshake_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) keepalive: Option<(Duration, Duration)>,
    /// What is wanted; of a connection, what was agreed on.
    pub(crate) deflate: Option<Deflate>,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// The defaults.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::Config;
    ///
    /// let config = Config::new(); // the same as Config::default()
    /// # drop(config);
    /// ```
    pub const fn new() -> Self {
        Self {
            max_message: 1 << 20,
            max_frame: None,
            max_fragments: 4096,
            outbox: 64 << 10,
            fragment: 64 << 10,
            max_head: 16 << 10,
            max_headers: 100,
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            keepalive: None,
            deflate: None,
        }
    }

    /// Bytes a received message may have (default 1 MiB). A longer one ends the connection with close code 1009
    /// as soon as its headers tell, before its payload is read.
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// use unsync_websocket::{Error, ProtocolError};
    ///
    /// let config = Config::new().max_message(4);
    /// # let stream = futures_lite::io::Cursor::new(b"\x82\x05hello".to_vec());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Client, config, Vec::new(), NoTimer);
    /// // The peer sends "hello".
    /// let end = futures_lite::future::block_on(websocket.receiver.receive()).unwrap_err();
    /// assert!(matches!(end, Error::Protocol(ProtocolError::FrameTooBig { len: 5, max: 4 })));
    /// ```
    #[must_use]
    pub const fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Bytes the payload of one received frame may have (default: as a message).
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::Config;
    ///
    /// let config = Config::new().max_message(16 << 20).max_frame(1 << 20); // long messages only in fragments
    /// # drop(config);
    /// ```
    #[must_use]
    pub const fn max_frame(mut self, bytes: usize) -> Self {
        self.max_frame = Some(bytes);
        self
    }

    /// Frames a received message may come in, empty ones counted (default 4,096). One more ends the connection
    /// with close code 1009: each costs us work that the message's size does not show.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::Config;
    ///
    /// let config = Config::new().max_fragments(16); // no peer of ours makes more
    /// # drop(config);
    /// ```
    #[must_use]
    pub const fn max_fragments(mut self, frame_count: u32) -> Self {
        self.max_fragments = frame_count;
        self
    }

    /// The mark in bytes below which the outbox takes another message (default 64 KiB). Above it `send` waits
    /// and `queue` refuses; so what waits to be written is at most this and one message.
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// use unsync_websocket::{EncodedFrame, QueueError};
    ///
    /// let config = Config::new().outbox(8);
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let websocket = WebSocket::with_timer(stream, Role::Server, config, Vec::new(), NoTimer);
    /// let cork = websocket.cork_handle();
    /// let room = websocket.sender.queue_handle();
    /// futures_lite::future::block_on(cork.scope(async {
    ///     // Nothing is written before the scope waits.
    ///     assert_eq!(room.queue(&EncodedFrame::text("a long one")), Ok(())); // below the mark
    ///     assert_eq!(room.queue(&EncodedFrame::text("hi")), Err(QueueError::Full)); // above
    /// }));
    /// # drop(websocket);
    /// ```
    #[must_use]
    pub const fn outbox(mut self, bytes: usize) -> Self {
        self.outbox = bytes;
        self
    }

    /// Bytes of payload we put into one frame (default 64 KiB, at least 1). Longer messages go out in fragments,
    /// so that a PONG or a Close never has to wait for more than this, and what the stream has taken already.
    ///
    /// # Examples
    ///
    /// ```
    /// # use unsync_websocket::{Config, NoTimer, Role, WebSocket};
    /// let config = Config::new().fragment(3);
    /// # let stream = futures_lite::io::Cursor::new(Vec::new());
    /// # let mut websocket = WebSocket::with_timer(stream, Role::Server, config, Vec::new(), NoTimer);
    /// futures_lite::future::block_on(websocket.sender.send("Hello"))?;
    /// let stream = websocket.into_inner().expect("still open");
    /// assert_eq!(stream.into_inner(), b"\x01\x03Hel\x80\x02lo");
    /// # Ok::<(), unsync_websocket::Error>(())
    /// ```
    #[must_use]
    pub const fn fragment(mut self, bytes: usize) -> Self {
        self.fragment = if bytes == 0 { 1 } else { bytes };
        self
    }

    /// Bytes the head of a request, or of the answer to ours, may have (default 16 KiB). A server answers a longer one
    /// with status 431.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::Config;
    ///
    /// let config = Config::new().max_head(4 << 10); // no cookies here
    /// # drop(config);
    /// ```
    #[must_use]
    pub const fn max_head(mut self, bytes: usize) -> Self {
        self.max_head = if bytes == 0 { 1 } else { bytes };
        self
    }

    /// Headers a request, or the answer to ours, may have (default 100). A server answers one more with status 431.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::Config;
    ///
    /// let config = Config::new().max_headers(40); // browsers send about 15
    /// # drop(config);
    /// ```
    #[must_use]
    pub const fn max_headers(mut self, header_count: usize) -> Self {
        self.max_headers = header_count;
        self
    }

    /// Time for the whole opening handshake (default 10 s): reading the request, what the program does with it,
    /// writing the answer.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use unsync_websocket::Config;
    ///
    /// let config = Config::new().handshake_timeout(Duration::from_secs(3)); // a local network
    /// # drop(config);
    /// ```
    #[must_use]
    pub const fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// Time for the whole closing handshake (default 5 s; a part of a millisecond counts as a whole one): writing what was queued, our Close, the
    /// peer's, the end of the stream.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use unsync_websocket::Config;
    ///
    /// let config = Config::new().close_timeout(Duration::from_secs(1)); // nobody is waited for longer
    /// # drop(config);
    /// ```
    #[must_use]
    pub const fn close_timeout(mut self, limit: Duration) -> Self {
        self.close_timeout = limit;
        self
    }

    /// Sends a Ping when nothing was received for `interval`, and gives up with
    /// [`Error::KeepaliveTimeout`](crate::Error::KeepaliveTimeout) when nothing is for `timeout` after that (default: off; 20 s and
    /// 20 s are usual).
    ///
    /// Any received byte counts as life. It needs a receiver that is polled, and a [`Timer`](crate::Timer) with alarms. The Pongs to
    /// these Pings are not told of; [`latency`](crate::Receiver::latency) says how long the last one took.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use unsync_websocket::Config;
    ///
    /// let config = Config::new().keepalive(Duration::from_secs(20), Duration::from_secs(20)); // gone after 40 s of silence
    /// # drop(config);
    /// ```
    #[must_use]
    pub const fn keepalive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.keepalive = Some((interval, timeout));
        self
    }

    /// Compresses messages, if the peer agrees (permessage-deflate, RFC 7692; default: not offered, and declined).
    ///
    /// It is off unless asked for because it has a price: where secrets and an attacker's text share a message, or a context, the
    /// compressed size tells about the secret (CRIME, BREACH); and it costs time and memory.
    /// [`max_message`](Self::max_message) holds for the message as it is after inflation.
    ///
    /// # Negotiation
    ///
    /// A client offers what it wants. A server takes the first of a client's offers that it can meet. What they agree on:
    ///
    /// | | |
    /// |---|---|
    /// | context of the server, of the client | forgotten after each message if either side wants that |
    /// | window of the server, of the client | the smaller of what both sides want |
    ///
    /// It opens a connection that compresses nothing, and is no error,
    ///
    /// * on either side, if the other has no permessage-deflate, or does not want it;
    /// * on a server, if all offers are unknown to RFC 7692: other extensions, other parameters, a parameter twice, a value that it
    ///   cannot have;
    /// * on a server that wants a [`client_max_window_bits`](Deflate::client_max_window_bits) below 15, if the client does not offer
    ///   that parameter, for then it must not be asked for it (section 7.1.2.2).
    ///
    /// It fails a client's handshake if the server's answer is none to the offer:
    /// [`ForeignExtension`](crate::HandshakeError::ForeignExtension),
    /// [`DuplicateExtension`](crate::HandshakeError::DuplicateExtension),
    /// [`ForeignParameter`](crate::HandshakeError::ForeignParameter),
    /// [`DuplicateParameter`](crate::HandshakeError::DuplicateParameter),
    /// [`MissingParameterValue`](crate::HandshakeError::MissingParameterValue),
    /// [`ParameterValue`](crate::HandshakeError::ParameterValue); or if it is larger than what was asked of the server:
    /// [`MissingParameter`](crate::HandshakeError::MissingParameter), [`WindowTooLarge`](crate::HandshakeError::WindowTooLarge). What
    /// the client promised of itself it keeps, whether the server's answer asks for it or not.
    ///
    /// A header that breaks its grammar (RFC 6455, section 9.1) fails the handshake on both sides, wanted or not:
    /// [`ExtensionList`](crate::HandshakeError::ExtensionList).
    ///
    /// What a server wants may depend on the request: [`ServerRequest::config`](crate::ServerRequest::config) is what counts, also
    /// on the thread to which a request has moved. For a connection whose handshake was done elsewhere
    /// ([`WebSocket::with_timer`](crate::WebSocket::with_timer)), this has to be what was agreed on there.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{Config, Deflate};
    ///
    /// let config = Config::new().deflate(Deflate::new().threshold(200));
    /// # drop(config);
    /// ```
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn deflate(mut self, deflate: Deflate) -> Self {
        self.deflate = Some(deflate);
        self
    }

    /// What is to be negotiated of permessage-deflate.
    pub(crate) fn wanted(&self) -> Option<DeflateParams> {
        self.deflate.map(|deflate| deflate.params())
    }

    /// Takes note of what was agreed on: from here on, `deflate` is that.
    pub(crate) fn agree(&mut self, agreed: Option<DeflateParams>) {
        self.deflate = self.deflate.zip(agreed).map(|(deflate, params)| deflate.with_params(params));
    }
}
