//! "It has happened": set once, waited for by any task of the run; or a number that only grows.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

#[derive(Clone, Default)]
pub struct Signal {
    inner: Rc<Inner>,
}

#[derive(Default)]
struct Inner {
    is_set: Cell<bool>,
    reached: Cell<Option<u32>>,
    waiting: RefCell<Vec<Waker>>,
}

impl Signal {
    pub fn set(&self) {
        self.inner.is_set.set(true);
        let waiting = self.inner.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// It has come to `number`.
    pub fn reach(&self, number: u32) {
        self.inner.reached.set(Some(number));
        let waiting = self.inner.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits until it has come to `number`, or beyond.
    pub async fn wait_for(&self, number: u32) {
        poll_fn(|cx| {
            if self.inner.reached.get() >= Some(number) {
                return Poll::Ready(());
            }
            self.inner.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub fn is_set(&self) -> bool {
        self.inner.is_set.get()
    }

    pub async fn wait(&self) {
        poll_fn(|cx| {
            if self.is_set() {
                return Poll::Ready(());
            }
            self.inner.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
