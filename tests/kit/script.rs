//! A stream that plays a script: given bytes, cut in given places, with `Pending` before every piece and every write.
//!
//! It needs no executor and no second end, so that a hundred thousand cuts take a second. [`drive`] polls a future on
//! it and insists that every `Pending` comes with a wake-up.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_io::{AsyncRead, AsyncWrite};

/// What a stream was given to say, and what it was told.
pub struct Script {
    bytes: Rc<[u8]>,
    /// Ends of the pieces, ascending; the last is the end of the script.
    cuts: Vec<usize>,
    at: usize,
    /// Reads and writes each return `Pending` once before they do anything.
    paused: [bool; 2],
    written: Rc<RefCell<Vec<u8>>>,
    /// Bytes a write takes at most.
    write_most: usize,
}

impl Script {
    /// The bytes, cut after each of `cuts`, and then the end of the stream.
    pub fn new(bytes: Rc<[u8]>, cuts: impl IntoIterator<Item = usize>) -> Self {
        let mut cuts: Vec<_> = cuts.into_iter().collect();
        cuts.push(bytes.len());
        cuts.dedup();
        Self { bytes, cuts, at: 0, paused: [false; 2], written: Rc::default(), write_most: usize::MAX }
    }

    /// Writes take this many bytes at a time.
    #[must_use]
    pub fn write_most(mut self, bytes: usize) -> Self {
        self.write_most = bytes;
        self
    }

    /// What will have been written.
    pub fn written(&self) -> Rc<RefCell<Vec<u8>>> {
        self.written.clone()
    }

    /// `Pending` every other time, with the wake-up already on its way.
    fn pause(&mut self, direction: usize, cx: &Context<'_>) -> bool {
        self.paused[direction] = !self.paused[direction];
        if self.paused[direction] {
            cx.waker().wake_by_ref();
        }
        self.paused[direction]
    }
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.pause(0, cx) {
            return Poll::Pending;
        }
        let next = self.cuts.partition_point(|cut| *cut <= self.at);
        let end = self.cuts.get(next).copied().unwrap_or(self.at);
        let count = (end - self.at).min(buf.len());
        buf[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Script {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.pause(1, cx) {
            return Poll::Pending;
        }
        let count = buf.len().min(self.write_most);
        self.written.borrow_mut().extend_from_slice(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Calls `visit` with every set of cuts of `len` bytes into pieces: 2^(len - 1) of them.
pub fn each_partition(len: usize, mut visit: impl FnMut(Vec<usize>)) {
    assert!((1..=20).contains(&len), "2^{len} partitions are too many");
    for mask in 0..1_u32 << (len - 1) {
        visit((1..len).filter(|cut| mask >> (cut - 1) & 1 == 1).collect());
    }
}

/// Calls `visit` with every cut in two and in three, and with the cut into single bytes.
pub fn each_cut_in_two_and_three(len: usize, mut visit: impl FnMut(Vec<usize>)) {
    visit((1..len).collect());
    for first in 1..len {
        visit(vec![first]);
        for second in first + 1..len {
            visit(vec![first, second]);
        }
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Polls `future` to its end.
///
/// # Panics
///
/// When it waits and nothing will wake it, or after 10 million polls.
pub fn drive<F: Future>(future: F) -> F::Output {
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(woken.clone());
    let mut future = pin!(future);
    for _ in 0..10_000_000 {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        assert!(woken.0.swap(false, Ordering::Relaxed), "it waits, and nothing will wake it");
    }
    panic!("no end after 10 million polls");
}
