//! Every variant of the public errors is produced here, by what a peer, a network or a caller does (goal G27); and the variants are
//! read in the sources, so that none is missing.
//!
//! Two cannot be produced from outside: `Error::NoRandomness` and `HandshakeError::NoRandomness` need an operating system that gives
//! none. The tests beside `src/connection/keys.rs`, `src/connection/mod.rs` and `src/handshake/client.rs` make it fail.
#![cfg(all(feature = "async-io", feature = "deflate"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::mem_forget,
    clippy::string_slice,
    reason = "tests say what they expect by failing"
)]

mod kit;
#[path = "client/server.rs"]
mod server;
#[path = "handshake/wire.rs"]
mod wire;

use std::fmt::Debug;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::future::block_on;
use kit::cut::cut_and_leak;
use kit::flood::{self, Flood, Then};
use kit::slow::{self, BINARY, From, PING, TEXT};
use server::{Server as Answers, switching};
use unsync_websocket::{
    Client, CloseCode, Config, Deflate, EncodedFrame, Error, HandshakeError, NoTimer, ProtocolError,
    QueueError, RingError, Role, Server, ServerRequest, WebSocket, new_shared_with_capacity,
};
use wire::{Clock, Read, Wire, Write, poll, upgrade};

/// The variants of an enum, as its source has them.
fn variants(file: &str, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file)).unwrap();
    let body = text.split(&format!("pub enum {name} {{\n")).nth(1).unwrap().split("\n}").next().unwrap();
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let names = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    names.map(|line| line.split([' ', '(', ',']).next().unwrap().to_owned()).collect()
}

/// A server that answers whatever comes, be it TLS, with a page.
fn plain_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Without TLS nobody comes; then it goes with the process.
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = io::Read::read_to_end(&mut stream, &mut Vec::new());
    });
    address
}

/// The variant that a value is.
fn variant(error: &impl Debug) -> String {
    let shown = format!("{error:?}");
    shown.split([' ', '(', '{']).next().unwrap().to_owned()
}

/// Every one of `expected` was produced, and by the case that has its name.
#[track_caller]
fn all_produced(file: &str, name: &str, produced: &[(&str, String)], elsewhere: &[&str]) {
    for (case, is) in produced {
        assert_eq!(is, case, "the case for {name}::{case}");
    }
    let expected = variants(file, name);
    assert!(expected.len() > 1, "the variants of {name} are found");
    for variant in expected {
        let is_here = produced.iter().any(|(case, _)| *case == variant);
        assert!(is_here != elsewhere.contains(&variant.as_str()), "{name}::{variant}");
    }
}

// --- a rule of the protocol that the peer broke ----------------------------------------------------------------------

fn broken(from: From, bytes: &[u8]) -> ProtocolError {
    let role = if from == From::Client { Role::Server } else { Role::Client };
    let config = Config::new().max_message(100).max_frame(60).max_fragments(3).deflate(Deflate::new());
    let mut socket = WebSocket::with_timer(Flood::saying(bytes).0, role, config, Vec::new(), NoTimer);
    loop {
        match flood::run(socket.receiver.receive()).expect("a rule is broken") {
            Ok(_) => {}
            Err(Error::Protocol(error)) => return error,
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_protocol_error() {
    let client = |first, payload: &[u8]| slow::raw_frame(From::Client, first, payload);
    let cases: [(&str, Vec<u8>); 16] = [
        ("ReservedBit", client(0xA1, b"")),
        ("ReservedOpCode", client(0x83, b"")),
        ("LengthNotMinimal", vec![0x82, 0xFE, 0, 125, 0, 0, 0, 0]),
        ("LengthTopBit", vec![0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("FragmentedControl", client(PING, b"")),
        ("ControlTooLong", client(0x80 | PING, &[0; 126])),
        ("NotMasked", slow::frame(From::Server, true, TEXT, b"")),
        ("UnexpectedContinuation", client(0x80, b"")),
        ("ExpectedContinuation", [client(TEXT, b""), client(0x80 | TEXT, b"")].concat()),
        ("InvalidUtf8", client(0x80 | TEXT, b"\xFF")),
        ("InvalidDeflate", client(0xC1, b"\xFF")),
        ("CloseTooShort", client(0x88, b"\x03")),
        ("CloseCode", slow::close(From::Client, 1005, "")),
        ("FrameTooBig", client(0x80 | BINARY, &[0; 61])),
        ("MessageTooBig", [client(BINARY, &[0; 60]), client(0x80, &[0; 41])].concat()),
        ("TooManyFragments", [client(BINARY, b""), client(0, b"").repeat(3)].concat()),
    ];
    let mut produced: Vec<_> =
        cases.iter().map(|(case, bytes)| (*case, broken(From::Client, bytes))).collect();
    produced.push(("Masked", broken(From::Server, &client(0x80 | TEXT, b""))));
    let produced: Vec<_> = produced.iter().map(|(case, error)| (*case, variant(error))).collect();
    all_produced("protocol/error.rs", "ProtocolError", &produced, &[]);
}

// --- why a connection ended --------------------------------------------------------------------------------------

type Socket = WebSocket<Flood>;

fn socket(peer: Flood, config: Config) -> Socket {
    WebSocket::with_timer(peer, Role::Server, config, Vec::new(), NoTimer)
}

fn received(mut socket: Socket) -> Error {
    loop {
        if let Err(error) = flood::run(socket.receiver.receive()).expect("it ends") {
            return error;
        }
    }
}

/// A stream with a bug in it.
struct Panics;

impl AsyncRead for Panics {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        panic!("a bug in a stream")
    }
}

impl AsyncWrite for Panics {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        panic!("a bug in a stream")
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The error of a connection that does this, on a clock that is moved on by `steps` of 20 seconds.
fn in_time<F>(config: Config, steps: u32, work: impl FnOnce(Socket) -> F) -> Error
where
    F: Future<Output = Error>,
{
    let clock = Clock::new();
    let peer = Flood::saying(b"").0;
    let mut working =
        Box::pin(work(WebSocket::with_timer(peer, Role::Server, config, Vec::new(), clock.clone())));
    for _ in 0..steps {
        assert!(poll(&mut working).is_pending());
        clock.advance(Duration::from_secs(20));
    }
    match poll(&mut working) {
        Poll::Ready(error) => error,
        Poll::Pending => panic!("it still waits"),
    }
}

#[test]
fn every_error_of_a_connection() {
    let ends = |bytes: &[u8]| Flood::of(Then::Ends, bytes, b"", 0).0;
    let leaks = || {
        let (peer, seen) = Flood::saying(b"");
        seen.room.set(10);
        let mut socket = socket(peer, Config::new());
        assert!(flood::run(cut_and_leak(socket.sender.send(&[0; 20_000]), 1)).unwrap().is_none());
        flood::run(socket.sender.send("x")).unwrap().unwrap_err()
    };
    let panics = || {
        let mut socket = WebSocket::with_timer(Panics, Role::Server, Config::new(), Vec::new(), NoTimer);
        let panicked = catch_unwind(AssertUnwindSafe(|| flood::run(socket.receiver.receive()).map(drop)));
        assert!(panicked.is_err());
        flood::run(socket.receiver.receive()).unwrap().map(drop).unwrap_err()
    };
    let closing = || {
        let mut socket = socket(Flood::saying(b"").0, Config::new());
        assert!(flood::run(socket.close()).is_none());
        flood::run(socket.sender.send("x")).unwrap().unwrap_err()
    };
    let (wire, _) = Wire::new([Read::Fails(ErrorKind::ConnectionReset)]);
    let mut failing = WebSocket::with_timer(wire, Role::Server, Config::new(), Vec::new(), NoTimer);
    let second = Duration::from_secs(1);
    let produced = [
        ("Closed", received(socket(ends(&slow::close(From::Client, 1000, "")), Config::new()))),
        ("Closing", closing()),
        ("Protocol", received(socket(ends(&[0xFF; 10]), Config::new()))),
        ("EndOfStream", received(socket(ends(b""), Config::new()))),
        ("Io", block_on(failing.receiver.receive()).map(drop).unwrap_err()),
        ("CloseTimeout", in_time(Config::new(), 1, async |mut socket| socket.close().await.unwrap_err())),
        (
            "KeepaliveTimeout",
            in_time(Config::new().keepalive(second, second), 2, async |mut socket| {
                socket.receiver.receive().await.map(drop).unwrap_err()
            }),
        ),
        ("ControlTooLong", {
            let mut socket = socket(Flood::saying(b"").0, Config::new());
            flood::run(socket.sender.ping(&[0; 126])).unwrap().unwrap_err()
        }),
        ("SendLeaked", leaks()),
        ("StreamPanicked", panics()),
    ];
    let produced = produced.map(|(case, error)| (case, variant(&error)));
    all_produced("connection/error.rs", "Error", &produced, &["NoRandomness"]);
}

#[test]
fn every_error_of_a_queue_and_of_a_ring() {
    let (peer, seen) = Flood::saying(b"");
    seen.room.set(0);
    let socket = socket(peer, Config::new().outbox(1));
    let handle = socket.sender.queue_handle();
    handle.queue(&EncodedFrame::text("first")).unwrap();
    let full = handle.queue(&EncodedFrame::text("second")).unwrap_err();
    drop(socket);
    let closed = handle.queue_close(CloseCode::NORMAL, "").unwrap_err();
    assert_eq!((full, closed), (QueueError::Full, QueueError::Closed));
    let produced = [("Full", variant(&full)), ("Closed", variant(&closed))];
    all_produced("connection/error.rs", "QueueError", &produced, &[]);

    let (writer, reader) = new_shared_with_capacity(8);
    let long = writer.write(&[0; 9]).unwrap_err();
    writer.write(&[0; 5]).unwrap();
    let full = writer.write(&[0; 4]).unwrap_err();
    drop(reader);
    let gone = writer.write(&[0; 1]).unwrap_err();
    assert_eq!(gone, RingError::ReaderGone);
    let produced = [("TooLong", variant(&long)), ("Full", variant(&full)), ("ReaderGone", variant(&gone))];
    all_produced("ring.rs", "RingError", &produced, &[]);
}

// --- why a handshake came to nothing -------------------------------------------------------------------------------

/// What a server says of `request`.
fn refused(request: &[u8], build: impl FnOnce(Server<Wire>) -> Server<Wire>) -> HandshakeError {
    block_on(build(Server::with_timer(Wire::of(request).0, NoTimer)).accept()).map(drop).unwrap_err()
}

/// An upgrade in which `from` reads `to`.
fn with(from: &str, to: &str) -> HandshakeError {
    let request = String::from_utf8(upgrade("/chat", "")).unwrap();
    assert!(request.contains(from), "{from}");
    refused(request.replacen(from, to, 1).as_bytes(), |server| server)
}

/// An upgrade with one more line.
fn and(line: &str) -> HandshakeError {
    refused(&upgrade("/chat", &format!("{line}\r\n")), |server| server)
}

/// What a client with compression says of an answer in which `from` reads `to`.
fn answered(from: &str, to: &str) -> HandshakeError {
    let answer = String::from_utf8(switching("")).unwrap();
    assert!(answer.contains(from), "{from}");
    let (server, _) = Answers::of(answer.replacen(from, to, 1).as_bytes());
    let wants = Deflate::new().server_max_window_bits(10).client_no_context_takeover(false);
    let client = Client::with_timer(server, "a", "/", NoTimer).config(Config::new().deflate(wants));
    block_on(client.protocol("chat").connect()).map(drop).unwrap_err()
}

/// ... that agrees to this in `Sec-WebSocket-Extensions`.
fn agreed(extensions: &str) -> HandshakeError {
    answered("\r\n\r\n", &format!("\r\nSec-WebSocket-Extensions: {extensions}\r\n\r\n"))
}

/// A client that is built wrongly.
fn built(build: impl FnOnce(Client<Answers>) -> Client<Answers>, host: &str, target: &str) -> HandshakeError {
    let (server, _) = Answers::of(&switching(""));
    block_on(build(Client::with_timer(server, host, target, NoTimer)).connect()).map(drop).unwrap_err()
}

/// A server's answer that is built wrongly.
fn answers(build: impl FnOnce(ServerRequest<Wire>) -> ServerRequest<Wire>) -> HandshakeError {
    let request =
        block_on(Server::with_timer(Wire::of(&upgrade("/", "")).0, NoTimer).receive_request()).unwrap();
    block_on(build(request).accept()).map(drop).unwrap_err()
}

/// A server whose peer does this, ten seconds later.
fn late(read: Vec<Read>, writes: Write) -> HandshakeError {
    let clock = Clock::new();
    let wire = Wire::new(read).0.writes(writes);
    let mut accepting = Box::pin(Server::with_timer(wire, clock.clone()).accept());
    assert!(poll(&mut accepting).is_pending());
    clock.advance(Duration::from_secs(10));
    match poll(&mut accepting) {
        Poll::Ready(result) => result.map(drop).unwrap_err(),
        Poll::Pending => panic!("it still waits"),
    }
}

#[test]
fn a_blank_before_a_request_folds_nothing() {
    assert!(matches!(with("GET ", " GET "), HandshakeError::RequestLine));
}

#[test]
fn every_error_of_a_handshake() {
    let plain = |request: &[u8]| refused(request, |server| server);
    let takeover = "permessage-deflate; server_no_context_takeover";
    let open = |url: &str, timeout| {
        block_on(Client::open(url, Config::new().handshake_timeout(timeout))).map(drop).unwrap_err()
    };
    let produced = [
        (
            "Io",
            block_on(
                Server::with_timer(Wire::new([Read::Fails(ErrorKind::ConnectionReset)]).0, NoTimer).accept(),
            )
            .map(drop)
            .unwrap_err(),
        ),
        ("EndOfStream", plain(b"GET")),
        ("RequestTimeout", late(vec![Read::Hang], Write::Takes(7))),
        ("ResponseTimeout", late(vec![Read::Bytes(upgrade("/", "")), Read::Hang], Write::Hangs)),
        // A name is looked up on another thread, so there is something to wait for.
        ("ConnectTimeout", open("ws://localhost:1/", Duration::ZERO)),
        ("HeadTooLong", and(&format!("X: {}", "x".repeat(17 << 10)))),
        ("TooManyHeaders", and(&vec!["a:"; 100].join("\r\n"))),
        ("ControlCharacter", and("X: \x01")),
        ("BareLineFeed", with("HTTP/1.1\r\n", "HTTP/1.1\n")),
        ("BareCarriageReturn", and("X: a\rb")),
        ("FoldedHeader", and("X: a\r\n b")),
        ("RequestLine", with("GET ", "GET  ")),
        ("HeaderLine", and("X")),
        ("HttpVersion", with("HTTP/1.1", "HTTP/1.0")),
        ("Target", with("/chat", "example.com:80")),
        ("MissingHost", with("Host: example.com\r\n", "")),
        ("Host", with("Host: example.com", "Host: a/b")),
        ("DuplicateHeader", and("Host: a")),
        ("Origin", and("Origin: \u{e9}")),
        ("ContentLength", and("Content-Length: -1")),
        ("ProtocolList", and("Sec-WebSocket-Protocol: a b")),
        ("ExtensionList", and("Sec-WebSocket-Extensions: a b")),
        ("NotUpgrade", plain(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
        ("Method", with("GET", "POST")),
        ("MissingUpgrade", with("Upgrade: websocket\r\n", "")),
        ("MissingConnection", with("Connection: Upgrade\r\n", "")),
        ("Body", and("Content-Length: 5")),
        ("Version", with("Version: 13", "Version: 8")),
        ("Key", with("dGhlIHNhbXBsZSBub25jZQ==", "x")),
        ("ForeignOrigin", refused(&upgrade("/", "Origin: http://b\r\n"), Server::same_origin)),
        ("StatusLine", answered("HTTP/1.1 101", "HTTP/1.1 abc")),
        ("Refused", answered("101 Switching Protocols", "404 Not Found")),
        ("Redirected", answered("101 Switching Protocols", "302 Found\r\nLocation: /b")),
        ("OtherUpgrade", answered("Upgrade: websocket", "Upgrade: websocket, h2c")),
        ("MissingAccept", answered("Sec-WebSocket-Accept", "X")),
        ("Accept", answered("{accept}", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
        ("ForeignExtension", agreed("x-other")),
        ("DuplicateExtension", agreed(&format!("{takeover}; server_max_window_bits=10, {takeover}"))),
        ("ForeignParameter", agreed("permessage-deflate; x")),
        ("DuplicateParameter", agreed(&format!("{takeover}; server_no_context_takeover"))),
        ("MissingParameterValue", agreed(&format!("{takeover}; server_max_window_bits"))),
        ("ParameterValue", agreed(&format!("{takeover}; server_max_window_bits=16"))),
        ("MissingParameter", agreed("permessage-deflate; server_max_window_bits=10")),
        ("WindowTooLarge", agreed(&format!("{takeover}; server_max_window_bits=11"))),
        ("ForeignProtocol", answered("\r\n\r\n", "\r\nSec-WebSocket-Protocol: battle\r\n\r\n")),
        ("InvalidHeader", answers(|request| request.header("X", "\n"))),
        ("ProtocolNotOffered", answers(|request| request.protocol("chat"))),
        ("InvalidProtocol", built(|client| client.protocol("a b"), "a", "/")),
        ("InvalidHost", built(|client| client, "a/b", "/")),
        ("InvalidTarget", built(|client| client, "a", "chat")),
        ("InvalidUrl", open("http://a", Duration::from_secs(1))),
        ("Tls", open(&format!("wss://{}", plain_server()), Duration::from_secs(5))),
        ("InvalidStatus", {
            let server = Server::with_timer(Wire::of(&upgrade("/", "")).0, NoTimer);
            block_on(block_on(server.receive_request()).unwrap().reject(99).into_future()).unwrap_err()
        }),
        ("InvalidAllowedOrigin", refused(&upgrade("/", ""), |server| server.allow_origins(["example.com"]))),
    ];
    let produced = produced.map(|(case, error)| {
        assert!(!error.to_string().is_empty());
        (case, variant(&error))
    });
    all_produced("handshake/error.rs", "HandshakeError", &produced, &["NoRandomness"]);
}
