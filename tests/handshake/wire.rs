//! A stream with a script, what was written to it, and a clock that stands still until told. The client's tests use it too.
#![allow(dead_code, reason = "server and client each need a part of it")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_lite::{AsyncRead, AsyncWrite};
use unsync_websocket::{Sleep, Timer};

/// The lines an upgrade needs besides the first.
pub(crate) const UPGRADE: &str = "Host: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// An upgrade of `target`, with `lines` after the headers it needs.
pub(crate) fn upgrade(target: &str, lines: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\n{UPGRADE}{lines}\r\n").into_bytes()
}

/// What one read gives.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    Bytes(Vec<u8>),
    /// Nothing yet, but the task is woken.
    Pending,
    /// Nothing, ever.
    Hang,
    Fails(io::ErrorKind),
    /// More bytes than were asked for.
    Miscounts,
}

/// What every write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// Takes so many bytes at most.
    Takes(usize),
    Hangs,
    Fails(io::ErrorKind),
    Miscounts,
}

/// What came out of a wire; outlives it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) written: Vec<u8>,
    pub(crate) reads: usize,
    pub(crate) flushed: bool,
    pub(crate) closed: bool,
    /// Bytes read after the close.
    pub(crate) drained: usize,
    pub(crate) dropped: bool,
}

/// A stream that reads by a script and then ends.
#[derive(Debug)]
pub(crate) struct Wire {
    script: VecDeque<Read>,
    writes: Write,
    seen: Arc<Mutex<Seen>>,
}

impl Wire {
    pub(crate) fn new(script: impl IntoIterator<Item = Read>) -> (Self, Arc<Mutex<Seen>>) {
        let seen = Arc::default();
        let wire =
            Self { script: script.into_iter().collect(), writes: Write::Takes(7), seen: Arc::clone(&seen) };
        (wire, seen)
    }

    /// All of `bytes` at once, and then the end.
    pub(crate) fn of(bytes: &[u8]) -> (Self, Arc<Mutex<Seen>>) {
        Self::new([Read::Bytes(bytes.to_vec())])
    }

    /// `bytes` in pieces of `step`, with a pause before each.
    pub(crate) fn dribble(bytes: &[u8], step: usize) -> (Self, Arc<Mutex<Seen>>) {
        Self::new(bytes.chunks(step).flat_map(|piece| [Read::Pending, Read::Bytes(piece.to_vec())]))
    }

    /// Replaces what is left of the script.
    pub(crate) fn set_script(&mut self, script: impl IntoIterator<Item = Read>) {
        self.script = script.into_iter().collect();
    }

    pub(crate) fn writes(mut self, writes: Write) -> Self {
        self.writes = writes;
        self
    }

    /// What the script still holds.
    pub(crate) fn unread(&self) -> Vec<u8> {
        let bytes = self.script.iter().map(|read| match read {
            Read::Bytes(bytes) => bytes.as_slice(),
            _ => &[],
        });
        bytes.collect::<Vec<_>>().concat()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.seen.lock().unwrap().dropped = true;
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let seen = Arc::clone(&self.seen);
        let mut seen = seen.lock().unwrap();
        seen.reads += 1;
        match self.script.pop_front() {
            None => Poll::Ready(Ok(0)),
            Some(Read::Bytes(mut bytes)) => {
                let count = bytes.len().min(space.len());
                let rest = bytes.split_off(count);
                space[..count].copy_from_slice(&bytes);
                if !rest.is_empty() {
                    self.script.push_front(Read::Bytes(rest));
                }
                if seen.closed {
                    seen.drained += count;
                }
                Poll::Ready(Ok(count))
            }
            Some(Read::Pending) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Read::Hang) => {
                self.script.push_front(Read::Hang);
                Poll::Pending
            }
            Some(Read::Fails(kind)) => Poll::Ready(Err(kind.into())),
            Some(Read::Miscounts) => Poll::Ready(Ok(space.len() + 1)),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.writes {
            Write::Takes(most) => {
                let count = bytes.len().min(most);
                self.seen.lock().unwrap().written.extend_from_slice(&bytes[..count]);
                Poll::Ready(Ok(count))
            }
            Write::Hangs => Poll::Pending,
            Write::Fails(kind) => Poll::Ready(Err(kind.into())),
            Write::Miscounts => Poll::Ready(Ok(bytes.len() + 1)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.seen.lock().unwrap().flushed = true;
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.seen.lock().unwrap().closed = true;
        Poll::Ready(Ok(()))
    }
}

/// An answer, taken apart by a reader that takes nothing but the strictest form.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a reply has an empty line");
        let head = std::str::from_utf8(&bytes[..end]).expect("our replies are text");
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap();
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split(' ').next()).unwrap();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(": ").expect("a header is a name and a value"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        assert!(
            head.replace("\r\n", "").bytes().all(|byte| byte == b'\t' || !byte.is_ascii_control()),
            "{head:?}"
        );
        Self { status: status.parse().unwrap(), headers, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(given, _)| given == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "one {name} at most: {self:?}");
        value
    }

    /// Asserts that this is a whole answer, and says it is the last.
    #[track_caller]
    pub(crate) fn assert_last(&self) {
        let options: Vec<_> = self.header("connection").unwrap().split(", ").collect();
        assert!(options.contains(&"close"), "{self:?}");
        assert_eq!(self.header("content-length").unwrap(), self.body.len().to_string(), "{self:?}");
        assert!(self.header("transfer-encoding").is_none(), "{self:?}");
        assert!(self.header("sec-websocket-accept").is_none(), "{self:?}");
    }
}

/// A clock that is moved by hand.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    now: Rc<Cell<Instant>>,
    wakers: Rc<RefCell<Vec<Waker>>>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { now: Rc::new(Cell::new(Instant::now())), wakers: Rc::default() }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.now.set(self.now.get() + by);
        self.wakers.take().into_iter().for_each(Waker::wake);
    }
}

impl Timer for Clock {
    fn now(&self) -> Instant {
        self.now.get()
    }

    fn sleep_until(&self, deadline: Instant) -> Option<Sleep> {
        let clock = self.clone();
        Some(Box::pin(poll_fn(move |cx| {
            if clock.now.get() >= deadline {
                return Poll::Ready(());
            }
            clock.wakers.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })))
    }
}

/// Polls once, with a waker that does nothing.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}
