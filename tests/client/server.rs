//! Who answers: a stream that gives its answer once the whole request has been written, with the key of that request.
#![allow(dead_code, reason = "the regressions need a part of it")]

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_lite::future::block_on;
use futures_lite::{AsyncRead, AsyncWrite};
use sha1::{Digest, Sha1};
use unsync_websocket::{Client, HandshakeError, NoTimer, WebSocket};

use crate::wire::{Read, Seen, Wire, Write};

/// Stands in an answer for what `Sec-WebSocket-Accept` has to be.
pub(crate) const ACCEPT: &str = "{accept}";

/// The answer that opens a connection, with `lines` after the headers it needs.
pub(crate) fn switching(lines: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n{lines}\r\n"
    )
    .into_bytes()
}

/// What has to be answered to `key`, worked out here once more (section 4.2.2).
pub(crate) fn accept_for(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}

/// A request of ours, taken apart by a reader that takes nothing but the strictest form.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Asked {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let head = bytes.strip_suffix(b"\r\n\r\n").expect("a request ends with an empty line");
        let clean = |line: &[u8]| line.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
        let mut lines =
            head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = lines.next().unwrap();
        let target = first.strip_prefix(b"GET ").and_then(|rest| rest.strip_suffix(b" HTTP/1.1"));
        let target = String::from_utf8(target.expect("GET and HTTP/1.1").to_vec()).unwrap();
        assert!(target.bytes().all(|byte| byte.is_ascii_graphic()), "{target:?}");
        let headers = lines
            .map(|line| {
                assert!(clean(line) && !line.is_empty(), "{}", line.escape_ascii());
                let colon = line.windows(2).position(|two| two == b": ").expect("a name and a value");
                (String::from_utf8(line[..colon].to_vec()).unwrap(), line[colon + 2..].to_vec())
            })
            .collect();
        Self { target, headers }
    }

    /// The value of the one header called `name`.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| std::str::from_utf8(value).unwrap());
        assert!(values.next().is_none(), "one {name} at most: {self:?}");
        value
    }

    /// Asserts that this is the handshake that section 4.1 demands.
    #[track_caller]
    pub(crate) fn assert_upgrade(&self) {
        assert!(self.header("host").is_some(), "{self:?}");
        assert_eq!(self.header("upgrade"), Some("websocket"));
        assert_eq!(self.header("connection"), Some("Upgrade"));
        assert_eq!(self.header("sec-websocket-version"), Some("13"));
        assert_eq!(self.header("sec-websocket-extensions"), None);
        assert_eq!(STANDARD.decode(self.header("sec-websocket-key").unwrap()).unwrap().len(), 16);
        assert_eq!(self.header("content-length"), None);
    }
}

/// What the server does, given the right value for `Sec-WebSocket-Accept`.
type Answer = Box<dyn FnOnce(&str) -> Vec<Read>>;

/// The server's end of a stream, as our client sees it.
pub(crate) struct Server {
    wire: Wire,
    /// Until the request is there; then it is the script of `wire`.
    answer: Option<Answer>,
    seen: Arc<Mutex<Seen>>,
}

impl Server {
    /// Reads the request, and then does what `answer` says.
    pub(crate) fn new(answer: impl FnOnce(&str) -> Vec<Read> + 'static) -> (Self, Arc<Mutex<Seen>>) {
        let (wire, seen) = Wire::new([]);
        (Self { wire, answer: Some(Box::new(answer)), seen: Arc::clone(&seen) }, seen)
    }

    /// Answers with `bytes`, all at once, and ends.
    pub(crate) fn of(bytes: &[u8]) -> (Self, Arc<Mutex<Seen>>) {
        Self::cut(bytes, &[])
    }

    /// Answers with `bytes`, cut at `cuts`, with a pause before each piece, and ends.
    pub(crate) fn cut(bytes: &[u8], cuts: &[usize]) -> (Self, Arc<Mutex<Seen>>) {
        let (bytes, cuts) = (bytes.to_vec(), cuts.to_vec());
        Self::new(move |accept| {
            let bytes = fill(&bytes, accept);
            let (starts, ends) =
                (std::iter::once(0).chain(cuts.clone()), cuts.iter().copied().chain([bytes.len()]));
            let pieces = starts.zip(ends).map(|(start, end)| Read::Bytes(bytes[start..end].to_vec()));
            pieces.flat_map(|piece| [Read::Pending, piece]).collect()
        })
    }

    /// Answers with `bytes`, `step` at a time, with a pause before each piece, and ends.
    pub(crate) fn dribble(bytes: &[u8], step: usize) -> (Self, Arc<Mutex<Seen>>) {
        let bytes = bytes.to_vec();
        Self::new(move |accept| {
            let bytes = fill(&bytes, accept);
            bytes.chunks(step).flat_map(|piece| [Read::Pending, Read::Bytes(piece.to_vec())]).collect()
        })
    }

    pub(crate) fn writes(mut self, writes: Write) -> Self {
        self.wire = self.wire.writes(writes);
        self
    }

    /// What the script still holds.
    pub(crate) fn unread(&self) -> Vec<u8> {
        self.wire.unread()
    }
}

/// `bytes` with `accept` wherever [`ACCEPT`] stands.
pub(crate) fn fill(bytes: &[u8], accept: &str) -> Vec<u8> {
    let mut filled = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(ACCEPT.len()).position(|window| window == ACCEPT.as_bytes()) {
        filled.extend_from_slice(&rest[..at]);
        filled.extend_from_slice(accept.as_bytes());
        rest = &rest[at + ACCEPT.len()..];
    }
    filled.extend_from_slice(rest);
    filled
}

impl AsyncRead for Server {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(answer) = self.answer.take() {
            let asked = Asked::parse(&self.seen.lock().unwrap().written);
            let script = answer(&accept_for(asked.header("sec-websocket-key").unwrap()));
            self.wire.set_script(script);
        }
        Pin::new(&mut self.wire).poll_read(cx, space)
    }
}

impl AsyncWrite for Server {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_close(cx)
    }
}

/// A client of `server` that asks for `/chat`.
pub(crate) fn client(server: Server) -> Client<Server> {
    Client::with_timer(server, "example.com", "/chat", NoTimer)
}

/// Connects to a server that answers with `bytes`: the client offers `chat` and `battle`.
pub(crate) fn answered(bytes: &[u8]) -> Result<WebSocket<Server>, HandshakeError> {
    let (server, seen) = Server::of(bytes);
    let connected = block_on(client(server).protocol("chat").protocol("battle").connect());
    let seen = seen.lock().unwrap();
    Asked::parse(&seen.written).assert_upgrade();
    assert_eq!(seen.dropped, connected.is_err(), "a failed handshake ends the stream");
    connected
}
