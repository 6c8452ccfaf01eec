//! A peer that says as much as a test likes, made up as it is read: ten million frames take no memory. What is written to it
//! it takes or leaves.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_io::{AsyncRead, AsyncWrite};

/// Appends piece number `n` of what the peer says, or returns `false`: it says no more.
pub type Next = Box<dyn FnMut(u64, &mut Vec<u8>) -> bool>;

/// Bytes that are made up at a time.
const CHUNK: usize = 64 << 10;

/// What the peer does when it has said everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Waits,
    Ends,
}

/// The peer, as the connection sees it.
pub struct Flood {
    next: Next,
    pieces: u64,
    chunk: Vec<u8>,
    at: usize,
    then: Then,
    /// One piece a turn, and a turn of waiting between them.
    drips: bool,
    waits: bool,
    seen: Rc<Seen>,
}

/// What came of it; outlives the stream.
#[derive(Default)]
pub struct Seen {
    /// What was written, unless it is only counted.
    pub written: RefCell<Vec<u8>>,
    pub written_bytes: Cell<u64>,
    /// Bytes that writes still take.
    pub room: Cell<usize>,
    /// Only count what is written.
    pub forget: Cell<bool>,
    /// Bytes that were read.
    pub said: Cell<u64>,
    pub reads: Cell<u64>,
    /// Everything was read.
    pub silent: Cell<bool>,
    pub dropped: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Seen {
    /// Writes take so many bytes from now on.
    pub fn give_room(&self, bytes: usize) {
        self.room.set(bytes);
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Flood {
    pub fn new(then: Then, next: impl FnMut(u64, &mut Vec<u8>) -> bool + 'static) -> (Self, Rc<Seen>) {
        let seen = Rc::new(Seen::default());
        seen.room.set(usize::MAX);
        let chunk = Vec::with_capacity(2 * CHUNK);
        (
            Self {
                next: Box::new(next),
                pieces: 0,
                chunk,
                at: 0,
                then,
                drips: false,
                waits: true,
                seen: seen.clone(),
            },
            seen,
        )
    }

    /// `first`, and then `piece` so many times.
    pub fn of(then: Then, first: &[u8], piece: &[u8], times: u64) -> (Self, Rc<Seen>) {
        let (first, piece) = (first.to_vec(), piece.to_vec());
        Self::new(then, move |n, chunk| {
            chunk.extend_from_slice(if n == 0 { &first } else { &piece });
            n <= times
        })
    }

    /// `bytes`, and nothing behind them.
    pub fn saying(bytes: &[u8]) -> (Self, Rc<Seen>) {
        let bytes = bytes.to_vec();
        Self::new(Then::Waits, move |n, chunk| {
            let piece = bytes.chunks(CHUNK).nth(n as usize);
            chunk.extend_from_slice(piece.unwrap_or_default());
            piece.is_some()
        })
    }

    /// Says what `next` appends, and lets others run before each of that; nothing for ever when it appends nothing. Its memory is
    /// that of its longest piece.
    pub fn drip(mut next: impl FnMut(&mut Vec<u8>) + 'static) -> (Self, Rc<Seen>) {
        let (mut this, seen) = Self::new(Then::Waits, move |_, chunk| {
            next(chunk);
            true
        });
        (this.chunk, this.drips) = (Vec::new(), true);
        (this, seen)
    }

    fn fill(&mut self) {
        self.chunk.clear();
        self.at = 0;
        if self.drips {
            self.waits = !self.waits;
            if !self.waits {
                (self.next)(self.pieces, &mut self.chunk);
            }
            return;
        }
        while self.chunk.len() < CHUNK {
            let before = self.chunk.len();
            if !(self.next)(self.pieces, &mut self.chunk) {
                self.chunk.truncate(before);
                break;
            }
            self.pieces += 1;
        }
    }
}

impl AsyncRead for Flood {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.seen.reads.set(this.seen.reads.get() + 1);
        if this.at == this.chunk.len() {
            this.fill();
        }
        if this.chunk.is_empty() && this.drips && this.waits {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.chunk.is_empty() {
            this.seen.silent.set(true);
            if this.then == Then::Ends {
                return Poll::Ready(Ok(0));
            }
            *this.seen.waker.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = buf.len().min(this.chunk.len() - this.at);
        buf[..count].copy_from_slice(&this.chunk[this.at..this.at + count]);
        this.at += count;
        this.seen.said.set(this.seen.said.get() + count as u64);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let seen = &self.seen;
        let count = bytes.len().min(seen.room.get());
        if count == 0 && !bytes.is_empty() {
            *seen.waker.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        seen.room.set(seen.room.get() - count);
        seen.written_bytes.set(seen.written_bytes.get() + count as u64);
        if !seen.forget.get() {
            seen.written.borrow_mut().extend_from_slice(&bytes[..count]);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.seen.dropped.set(true);
    }
}

#[derive(Default)]
struct Woken {
    woken: AtomicBool,
    wakes: AtomicUsize,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task that is polled by hand.
pub struct Hand {
    woken: Arc<Woken>,
    waker: Waker,
}

impl Hand {
    pub fn new() -> Self {
        let woken = Arc::new(Woken::default());
        Self { waker: Waker::from(woken.clone()), woken }
    }

    /// Wakes since this was last asked.
    pub fn wakes(&self) -> usize {
        self.woken.wakes.swap(0, Ordering::Relaxed)
    }

    /// Polls once.
    pub fn poll<F: Future + ?Sized>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        self.woken.woken.store(false, Ordering::Relaxed);
        future.poll(&mut Context::from_waker(&self.waker))
    }

    /// Polls as long as the task asks for it. `None` if it then waits.
    pub fn run<F: Future + ?Sized>(&self, mut future: Pin<&mut F>) -> Option<F::Output> {
        loop {
            if let Poll::Ready(result) = self.poll(future.as_mut()) {
                return Some(result);
            }
            if !self.woken.woken.load(Ordering::Relaxed) {
                return None;
            }
        }
    }
}

/// Polls a future, made for the occasion, as long as it asks for it. `None` if it then waits; it is dropped.
pub fn run<F: Future>(future: F) -> Option<F::Output> {
    Hand::new().run(std::pin::pin!(future))
}
