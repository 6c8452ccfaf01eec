//! A connection over a stream of which every call is scripted, and tasks that are polled by hand.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    reason = "each test binary compiles all of it and uses a part"
)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_io::{AsyncRead, AsyncWrite};
use unsync_websocket::{Config, NoTimer, Role, WebSocket};

#[derive(Default)]
pub struct Script {
    /// What reads return, one entry a call; `Pending` when there is none.
    pub reads: RefCell<VecDeque<io::Result<Vec<u8>>>>,
    /// What writes return instead of taking bytes.
    pub write_faults: RefCell<VecDeque<io::Result<usize>>>,
    pub written: RefCell<Vec<u8>>,
    /// Bytes that writes still take.
    pub room: Cell<usize>,
    pub read_calls: Cell<usize>,
    /// The most that a read brought.
    pub brought: Cell<usize>,
    pub write_calls: Cell<usize>,
    pub waker: RefCell<Option<Waker>>,
    pub on_write: RefCell<Option<Box<dyn FnMut()>>>,
    pub dropped: Cell<bool>,
    /// Forget what is written, but count it.
    pub forget: Cell<bool>,
}

impl Script {
    pub fn new() -> Rc<Self> {
        let script = Self::default();
        script.room.set(usize::MAX);
        Rc::new(script)
    }

    pub fn say(&self, bytes: &[u8]) {
        self.reads.borrow_mut().push_back(Ok(bytes.to_vec()));
        self.wake();
    }

    pub fn fail_read(&self, kind: ErrorKind) {
        self.reads.borrow_mut().push_back(Err(kind.into()));
    }

    pub fn give_room(&self, room: usize) {
        self.room.set(room);
        self.wake();
    }

    pub fn wake(&self) {
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn take_written(&self) -> Vec<u8> {
        self.written.take()
    }
}

pub struct Stream(pub Rc<Script>);

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        // What it brought itself may still be there.
        let others = buf.get(self.0.brought.get()..).unwrap_or_default();
        assert!(others.iter().all(|byte| *byte == 0), "nothing of anybody else's is in the buffer");
        self.0.read_calls.set(self.0.read_calls.get() + 1);
        let next = self.0.reads.borrow_mut().pop_front();
        match next {
            None => {
                *self.0.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(Err(error)) => Poll::Ready(Err(error)),
            Some(Ok(mut bytes)) => {
                let len = bytes.len().min(buf.len());
                buf[..len].copy_from_slice(&bytes[..len]);
                self.0.brought.set(self.0.brought.get().max(len));
                if len < bytes.len() {
                    self.0.reads.borrow_mut().push_front(Ok(bytes.split_off(len)));
                }
                Poll::Ready(Ok(len))
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let script = &self.0;
        script.write_calls.set(script.write_calls.get() + 1);
        if let Some(hook) = script.on_write.borrow_mut().as_mut() {
            hook();
        }
        if let Some(fault) = script.write_faults.borrow_mut().pop_front() {
            return Poll::Ready(fault);
        }
        let mut taken = 0;
        for buf in bufs {
            let len = buf.len().min(script.room.get() - taken);
            if !script.forget.get() {
                script.written.borrow_mut().extend_from_slice(&buf[..len]);
            }
            taken += len;
        }
        script.room.set(script.room.get() - taken);
        if taken == 0 {
            *script.waker.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.dropped.set(true);
    }
}

pub fn connect(role: Role, config: Config) -> (Rc<Script>, WebSocket<Stream>) {
    let script = Script::new();
    let websocket = WebSocket::with_timer(Stream(Rc::clone(&script)), role, config, Vec::new(), NoTimer);
    (script, websocket)
}

/// A frame as a client sends it, with a masking key of zeros.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..65536 => {
            frame.push(0xFE);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0xFF);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

pub fn text(payload: &str) -> Vec<u8> {
    masked(0x81, payload.as_bytes())
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A task polled by hand.
pub struct Hand {
    wakes: Arc<Wakes>,
    pub waker: Waker,
}

impl Hand {
    pub fn new() -> Self {
        let wakes = Arc::new(Wakes::default());
        Self { waker: Waker::from(Arc::clone(&wakes)), wakes }
    }

    pub fn poll<F: Future + ?Sized>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&self.waker))
    }

    /// Polls a future that is made and dropped for the occasion.
    pub fn once<F: Future>(&self, future: F) -> Poll<F::Output> {
        self.poll(pin!(future))
    }

    pub fn wakes(&self) -> usize {
        self.wakes.0.swap(0, Ordering::SeqCst)
    }
}

#[track_caller]
pub fn ready<R>(poll: Poll<R>) -> R {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it waits"),
    }
}
