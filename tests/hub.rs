//! Who waits is woken, also where few would look (DESIGN.md, section 3, rule 1): after a poll that ended another one, in two scopes, from
//! inside a poll of the stream, with a waker that is another at each poll.
//!
//! Found by a reviewer who was asked to break `src/connection/hub.rs`. Each of these slept for ever, or never again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests say what they expect by failing"
)]

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use unsync_websocket::{Config, EncodedFrame, NoTimer, Role, WebSocket};

/// Keeps one waker a direction, the last.
#[derive(Default)]
struct Pipe {
    input: RefCell<Vec<u8>>,
    has_ended: Cell<bool>,
    /// Bytes that a write may still bring.
    room: Cell<usize>,
    reads: RefCell<Option<Waker>>,
    writes: RefCell<Option<Waker>>,
    /// Wakes the waker that is replaced, as async-io does.
    wakes_replaced: bool,
    /// Called once by a write, after so many others.
    hook: RefCell<Option<Hook>>,
}

type Hook = (usize, Box<dyn FnOnce()>);

impl Pipe {
    fn keep(&self, slot: &RefCell<Option<Waker>>, waker: &Waker) {
        let old = slot.borrow_mut().replace(waker.clone());
        if let Some(old) = old.filter(|old| self.wakes_replaced && !old.will_wake(waker)) {
            old.wake();
        }
    }

    fn is_readable(&self) {
        let waker = self.reads.borrow_mut().take();
        waker.expect("somebody asked for bytes").wake();
    }

    fn is_writable(&self) {
        self.room.set(1 << 20);
        let waker = self.writes.borrow_mut().take();
        waker.expect("somebody had bytes to write").wake();
    }

    fn call_hook(&self) {
        let due = match &mut *self.hook.borrow_mut() {
            Some((0, _)) => true,
            Some((others, _)) => {
                *others -= 1;
                false
            }
            None => false,
        };
        let hook = if due { self.hook.borrow_mut().take() } else { None };
        if let Some((_, hook)) = hook {
            hook();
        }
    }
}

struct Stream(Rc<Pipe>);

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut input = self.0.input.borrow_mut();
        if input.is_empty() && !self.0.has_ended.get() {
            self.0.keep(&self.0.reads, cx.waker());
            return Poll::Pending;
        }
        let count = input.len().min(buf.len());
        buf[..count].copy_from_slice(&input[..count]);
        input.drain(..count);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.call_hook();
        let count = self.0.room.get().min(buf.len());
        if count == 0 {
            self.0.keep(&self.0.writes, cx.waker());
            return Poll::Pending;
        }
        self.0.room.update(|room| room - count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn connect(role: Role, config: Config, pipe: Pipe) -> (Rc<Pipe>, WebSocket<Stream>) {
    let pipe = Rc::new(pipe);
    (Rc::clone(&pipe), WebSocket::with_timer(Stream(pipe), role, config, Vec::new(), NoTimer))
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task that is polled by hand.
#[derive(Default)]
struct Task(Arc<Count>);

impl Task {
    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.0))
    }

    fn wakes(&self) -> usize {
        self.0.0.swap(0, Ordering::Relaxed)
    }

    fn poll<F: Future + ?Sized>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&self.waker()))
    }
}

/// For what is polled from inside a stream's poll.
type Shared = Rc<RefCell<Pin<Box<dyn Future<Output = ()>>>>>;

fn shared(future: impl Future<Output = ()> + 'static) -> Shared {
    Rc::new(RefCell::new(Box::pin(future)))
}

#[test]
fn a_close_without_a_deadline_whose_answer_came_behind_a_message_is_woken_by_the_end() {
    for timeout in [Duration::MAX, Duration::from_secs(5)] {
        let pipe = Pipe { room: Cell::new(1 << 20), ..Pipe::default() };
        let (pipe, mut websocket) = connect(Role::Client, Config::new().close_timeout(timeout), pipe);
        pipe.input.borrow_mut().extend(b"\x81\x02hi\x88\x02\x03\xE8");
        let task = Task::default();
        let mut close = pin!(websocket.close());
        assert!(task.poll(close.as_mut()).is_pending(), "a client lets the server end the stream");
        task.wakes();
        pipe.has_ended.set(true);
        pipe.is_readable();
        assert_eq!(task.wakes(), 1);
        assert!(matches!(task.poll(close.as_mut()), Poll::Ready(Ok(()))));
    }
}

#[test]
fn a_scope_that_waits_is_woken_though_another_has_ended_since() {
    let (pipe, websocket) = connect(Role::Server, Config::new(), Pipe::default());
    let cork = websocket.cork_handle();
    let (mut sender, _receiver) = websocket.split();
    let (task, another) = (Task::default(), Task::default());
    let mut waits = pin!(cork.scope(async {
        sender.send("x").await.unwrap();
        pending::<()>().await;
    }));
    assert!(task.poll(waits.as_mut()).is_pending());
    assert!(another.poll(pin!(cork.scope(async {}))).is_ready());
    task.wakes();
    pipe.is_writable();
    assert_eq!(task.wakes(), 1);
}

#[test]
fn who_waits_from_inside_a_poll_of_the_stream_is_woken_though_nobody_waited_before() {
    for is_scope in [false, true] {
        let (pipe, websocket) = connect(Role::Server, Config::new(), Pipe::default());
        let (handle, cork) = (websocket.sender.queue_handle(), websocket.cork_handle());
        let (mut sender, _receiver) = websocket.split();
        let task = Rc::new(Task::default());
        let waits = if is_scope {
            shared(cork.scope(pending::<()>()))
        } else {
            shared(async move { sender.flush().await.unwrap() })
        };
        let poll = {
            let (task, waits) = (Rc::clone(&task), Rc::clone(&waits));
            move || assert!(task.poll(waits.borrow_mut().as_mut()).is_pending())
        };
        *pipe.hook.borrow_mut() = Some((0, Box::new(poll)));
        handle.queue(&EncodedFrame::text("x")).unwrap();
        let wakes = task.wakes();
        assert!(wakes > 0, "the stream was asked for nobody: it has to be asked again");
        assert!(task.poll(waits.borrow_mut().as_mut()).is_pending());
        task.wakes();
        pipe.is_writable();
        assert!(task.wakes() > 0);
    }
}

#[test]
fn who_waits_from_inside_a_poll_for_another_is_woken_though_that_one_goes_away() {
    let (pipe, websocket) = connect(Role::Server, Config::new(), Pipe::default());
    let (mut sender, mut receiver) = websocket.split();
    let (first, second) = (Task::default(), Rc::new(Task::default()));
    assert!(matches!(first.poll(pin!(sender.feed("x"))), Poll::Ready(Ok(()))));
    let waits = shared(async move { sender.flush().await.unwrap() });
    let poll = {
        let (second, waits) = (Rc::clone(&second), Rc::clone(&waits));
        move || assert!(second.poll(waits.borrow_mut().as_mut()).is_pending())
    };
    *pipe.hook.borrow_mut() = Some((1, Box::new(poll)));
    assert!(first.poll(pin!(receiver.receive())).is_pending(), "and is dropped");
    assert!(second.wakes() > 0);
    assert!(second.poll(waits.borrow_mut().as_mut()).is_pending());
    pipe.is_writable();
    assert!(second.wakes() > 0);
}

#[test]
fn a_task_with_another_waker_at_each_poll_sleeps_on_a_stream_that_wakes_the_one_before() {
    let pipe = Pipe { room: Cell::new(1 << 20), wakes_replaced: true, ..Pipe::default() };
    let (pipe, mut websocket) = connect(Role::Server, Config::new(), pipe);
    let count = Arc::new(Count::default());
    /// Wakes the task whose it is, and is like no other.
    struct Each(Arc<Count>);
    impl Wake for Each {
        fn wake(self: Arc<Self>) {
            Arc::clone(&self.0).wake();
        }
    }
    let mut receive = pin!(websocket.receiver.receive());
    let mut poll = || {
        let waker = Waker::from(Arc::new(Each(Arc::clone(&count))));
        assert!(receive.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    };
    poll();
    // Once for nothing.
    let mut polls = 0;
    loop {
        poll();
        polls += 1;
        if count.0.swap(0, Ordering::Relaxed) == 0 {
            break;
        }
        assert!(polls < 20, "it is woken for ever");
    }
    pipe.is_readable();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
}
