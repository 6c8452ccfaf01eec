//! WebSockets ([RFC 6455]) for local executors.
//!
//! Both halves of a connection live on one thread and share their state through an `Rc`. So nothing here is `Send`, and nothing
//! needs a lock, a channel, a helper task or `'static` of anybody: a task may borrow what outlives its executor. When more cores
//! are needed, run one executor a thread and move the *socket* to the thread where its room lives: with its request
//! ([`ServerRequest::into_parts`]), or with all of an open connection ([`WebSocket::into_parts`]).
//!
//! # A server
//!
//! ```no_run
//! use std::net::{TcpListener, TcpStream};
//! use async_executor::LocalExecutor;
//! use async_io::Async;
//! use unsync_websocket::{Incoming, Server};
//!
//! async fn echo(stream: Async<TcpStream>) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut ws = Server::new(stream).accept().await?;
//!     loop {
//!         match ws.receiver.receive().await {
//!             Ok(Incoming::Message(message)) => ws.sender.send(message).await?,
//!             Ok(Incoming::Close(_)) | Err(_) => break,
//!             Ok(_) => {} // a Pong, which may come unasked
//!         }
//!     }
//!     Ok(ws.close().await?) // tells the peer, and says why it ended
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     let executor = LocalExecutor::new();
//!     async_io::block_on(executor.run(async {
//!         let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 9001))?;
//!         while let Ok((stream, _)) = listener.accept().await {
//!             executor.spawn(async { echo(stream).await.unwrap_or_else(|error| eprintln!("{error}")) }).detach();
//!         }
//!         Ok(())
//!     }))
//! }
//! ```
//!
//! # A client
//!
//! ```no_run
//! use unsync_websocket::{Incoming, Message, connect};
//!
//! async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut ws = connect("ws://localhost:9001/").await?;
//!     ws.sender.send("hello").await?;
//!     if let Incoming::Message(Message::Text(text)) = ws.receiver.receive().await? {
//!         println!("{text}");
//!     }
//!     Ok(ws.close().await?)
//! }
//! ```
//!
//! # Further
//!
//! `examples/echo_server.rs` is the server with limits, origins and a [cork](WebSocket::cork). `examples/battle` is a game that
//! is played in the browser; this function is its heart:
//!
//! ```
//! use std::cell::RefCell;
//! use std::rc::Rc;
//!
//! use futures_io::{AsyncRead, AsyncWrite};
//! use futures_lite::future::zip;
//! use unsync_websocket::{Server, new_shared};
//! # use unsync_websocket::BufWriter;
//! # #[derive(Default)]
//! # struct Battle { writers: Vec<BufWriter>, buffered: Vec<u8> }
//! # impl Battle {
//! #     fn join(&mut self, writer: BufWriter) -> usize { self.writers.push(writer); self.writers.len() - 1 }
//! #     fn leave(&mut self, cid: usize) { self.writers.remove(cid); }
//! #     fn handle_message(&mut self, _: usize, message: u8) { self.buffered.push(message); }
//! #     fn flush(&mut self) {
//! #         let buffered = std::mem::take(&mut self.buffered);
//! #         for writer in &self.writers { let _ = writer.write(&buffered); }
//! #     }
//! # }
//! # #[derive(Default)]
//! # struct BattleManager(Rc<RefCell<Battle>>);
//! # impl BattleManager { fn matchmake(&self) -> Rc<RefCell<Battle>> { Rc::clone(&self.0) } }
//! # mod wire {
//! #     pub struct Decoder;
//! #     impl Decoder { pub fn new(data: &[u8]) -> std::iter::Copied<std::slice::Iter<'_, u8>> { data.iter().copied() } }
//! # }
//! # type Error = Box<dyn std::error::Error>;
//!
//! // The manager outlives the executor, so tasks borrow it.
//! pub async fn battle<T>(stream: T, manager: &BattleManager) -> Result<(), Error>
//! where
//!     T: AsyncRead + AsyncWrite + Unpin + 'static,
//! {
//!     let (mut sender, mut receiver) = Server::new(stream).accept().await?.split();
//!
//!     let (writer, mut reader) = new_shared();          // !Sync halves of a quasi-ring buffer
//!     let battle = manager.matchmake();                 // Rc<RefCell<Battle>>
//!     let cid = battle.borrow_mut().join(writer);
//!
//!     let outgoing = async move {
//!         while let Some(mut buf) = reader.read().await {
//!             if let Err(err) = sender.send(&mut buf[..]).await { log::error!("{err}"); break; }
//!             // `buf` is dropped here, which advances the read head
//!         }
//!         let _ = sender.close().await;
//!     };
//!
//!     let incoming = async move {
//!         let mut data = Vec::new();
//!         loop {
//!             data.clear();
//!             if receiver.receive_data(&mut data).await.is_err() { battle.borrow_mut().leave(cid); break; }
//!             let mut battle = battle.borrow_mut();
//!             for message in wire::Decoder::new(&data) { battle.handle_message(cid, message); }
//!             battle.flush();                           // broadcast what is buffered for all clients
//!         }
//!     };
//!
//!     zip(incoming, outgoing).await;
//!     Ok(())
//! }
//! # let mut input = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//! #     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".to_vec();
//! # input.extend_from_slice(b"\x82\x82\0\0\0\0\x01\x02\x88\x80\0\0\0\0");
//! # let manager = BattleManager::default();
//! # futures_lite::future::block_on(battle(futures_lite::io::Cursor::new(input), &manager)).unwrap();
//! # assert!(manager.0.borrow().writers.is_empty());
//! ```
//!
//! # The rules
//!
//! 1. **Always receive.** The receiver answers Pings and the peer's Close, and writes what the sender left behind. A task that
//!    only sends, while nobody polls the receiver, answers nothing.
//! 2. **One thread.** The halves may live in two tasks, but of one thread. What moves between threads is the socket: before the
//!    handshake is answered, or as the parts of a whole connection.
//! 3. **Drop any future you like.** Nothing that matters lives in a future: a dropped `receive` resumes, a dropped `send` has sent
//!    nothing of its message or sends all of it. Every method says so under *Cancel safety*.
//! 4. **Close, whatever ended it.** `close` sees to it that the peer gets the Close that is due to it, and is over within
//!    [`Config::close_timeout`]. Dropping both halves drops the socket.
//!
//! # The map
//!
//! | | |
//! |---|---|
//! | [`Server`], [`ServerRequest`] | the opening handshake: look at the request, then accept, reject, or answer it as plain HTTP |
//! | [`Client`], [`Refusal`], `connect`, `ClientStream` | the same from the other side: ask, and learn why not; from a URL |
//! | [`WebSocket`], [`Sender`], [`Receiver`] | the connection, whole and in halves |
//! | [`Parts`], [`WebSocketParts`] | a request, and a connection, on the way to another thread |
//! | [`QueueHandle`], [`EncodedFrame`] | broadcast: encode once, queue without waiting, learn who is slow |
//! | [`WebSocket::cork`], [`CorkHandle`] | replies that leave together |
//! | [`batch()`] | what one tells many leaves at the end of its turn |
//! | [`new_shared`] | a buffer from one task of a thread to another |
//! | [`Config`] | limits and deadlines, and their defaults |
//! | [`Error`], [`HandshakeError`], [`ProtocolError`] | what went wrong: in a connection, before it, by the peer |
//! | [`protocol`] | the protocol without I/O, for other kinds of I/O |
//! | [`manual::local_executors`] | why one thread, what it costs, what was measured, and when work-stealing is right |
//! | [`Timer`] | the clock; with the feature `async-io`, on by default, you need not care; the feature `tokio` brings `on_tokio` |
//! | `local`, a feature | TCP sockets that belong to their thread; with a hundred of them an echo takes a quarter less CPU time than on async-io's |
//!
//! # Features
//!
//! | | | brings |
//! |---|---|---|
//! | `async-io` | on by default | the clock and sockets of async-io, and so of smol: `Server::new`, `Client::new`, `Client::open`, `connect` |
//! | `tokio` | | tokio's, for a `LocalSet` or a current-thread runtime: `Server::on_tokio`, `Client::on_tokio`; without `async-io`: `default-features = false` |
//! | `local` | Unix | `local::TcpStream` and its listener, under async-io |
//! | `rustls` | | `wss://` for `connect` and `Client::open`, and `Client::open_with_tls`; brings ring, and with it C and assembly |
//! | `deflate` | | compression; zlib in Rust, no C |
//!
//! Without any there are `with_timer` constructors, for every stream of [`futures_io`] and any [`Timer`].
//!
//! # Compression
//!
//! With the feature `deflate`, `Config::deflate` asks for permessage-deflate ([RFC 7692]); what the peer agrees to, `WebSocket::deflate`
//! tells. Everything else stays as it is: messages above a threshold go out compressed, an [`EncodedFrame`] is compressed once for all
//! connections that forget their context, and [`SendFuture::uncompressed`] leaves single messages alone.
//!
//! ```
//! # #[cfg(feature = "deflate")] {
//! use unsync_websocket::{Config, Deflate};
//!
//! let config = Config::new().deflate(Deflate::new()); // for `Server::config` and `Client::config`
//! # drop(config);
//! # }
//! ```
//!
//! # What peers cannot do
//!
//! Every limit has a default, none of which is "unlimited": see [`Config`]. Sizes and counts are charged before a payload is looked
//! at, and again while a message is inflated; memory follows received bytes, not announced ones, and is given back; what a peer makes us answer is bounded by the outbox and one
//! Pong; after 64 frames or 64 KiB (of one long payload, a mebibyte) other tasks get their turn; every handshake, opening or closing, has one deadline.
//!
//! [RFC 6455]: https://www.rfc-editor.org/rfc/rfc6455
//! [RFC 7692]: https://www.rfc-editor.org/rfc/rfc7692

mod connection;
mod handshake;
pub mod protocol;
mod ring;
mod runtime;

pub use connection::{
    CloseFuture, Config, CorkHandle, Error, FeedFuture, FlushFuture, Incoming, Message, NoTimer, QueueError,
    QueueHandle, ReceiveDataFuture, ReceiveFuture, Receiver, ReuniteError, SendFuture, Sender, Sleep, Timer,
    WebSocket, WebSocketParts, WebSocketState, batch,
};
pub use handshake::{
    Client, HandshakeError, Headers, Parts, Refusal, Request, Responding, Response, Server, ServerRequest,
};
#[cfg(feature = "deflate")]
pub use protocol::Deflate;
pub use protocol::{CloseCode, CloseFrame, EncodedFrame, MessageKind, ProtocolError, Role};
pub use ring::{BufReader, BufWriter, ReadGuard, RingError, new_shared, new_shared_with_capacity};
#[cfg(feature = "async-io")]
pub use runtime::async_io::{AsyncIoTimer, connect};
#[cfg(feature = "async-io")]
pub use runtime::client_stream::ClientStream;
#[cfg(all(feature = "local", unix))]
pub use runtime::local;
#[cfg(feature = "tokio")]
pub use runtime::tokio::{TokioStream, TokioTimer};

/// What is longer than the documentation of an item.
#[cfg(doc)]
pub mod manual {
    #[doc = include_str!("../manual/local-executors.md")]
    pub mod local_executors {}
}

/// The README's code is compiled.
#[cfg(all(doctest, feature = "async-io"))]
#[doc = include_str!("../README.md")]
mod readme {}

/// Nothing but [`Parts`] and [`WebSocketParts`] leaves its thread. `compile_fail` would pass on any error; here, if one of these types were `Send`, two
/// implementations would fit, and which is meant could not be told.
const _: fn() = || {
    trait AmbiguousIfSend<A> {
        fn assert_not_send() {}
    }
    struct IsSend;
    impl<T: ?Sized> AmbiguousIfSend<()> for T {}
    impl<T: ?Sized + Send> AmbiguousIfSend<IsSend> for T {}

    type Stream = std::net::TcpStream;
    <Client<Stream> as AmbiguousIfSend<_>>::assert_not_send();
    <Server<Stream> as AmbiguousIfSend<_>>::assert_not_send();
    <ServerRequest<Stream> as AmbiguousIfSend<_>>::assert_not_send();
    <Response<Stream> as AmbiguousIfSend<_>>::assert_not_send();
    <Responding<Stream> as AmbiguousIfSend<_>>::assert_not_send();
    <WebSocket<Stream> as AmbiguousIfSend<_>>::assert_not_send();
    <Sender<Stream> as AmbiguousIfSend<_>>::assert_not_send();
    <Receiver<Stream> as AmbiguousIfSend<_>>::assert_not_send();
    <QueueHandle<Stream> as AmbiguousIfSend<_>>::assert_not_send();
    <CorkHandle<Stream> as AmbiguousIfSend<_>>::assert_not_send();
    <EncodedFrame as AmbiguousIfSend<_>>::assert_not_send();
    <BufWriter as AmbiguousIfSend<_>>::assert_not_send();
    <BufReader as AmbiguousIfSend<_>>::assert_not_send();
    <ReadGuard<'_> as AmbiguousIfSend<_>>::assert_not_send();

    const fn assert_send<T: Send>() {}
    assert_send::<Parts<Stream>>();
    assert_send::<WebSocketParts<Stream>>();
};
