//! Futures that do not live to their end.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

thread_local! {
    static CUT: Cell<u64> = const { Cell::new(0) };
}

/// How many futures were cut on this thread since it was last asked; each test has a thread of its own.
pub fn take_cut_count() -> u64 {
    CUT.take()
}

/// Polls `future`, and drops it when its poll number `polls` returned `Pending`. `None` if so. The caller goes on
/// within that same poll of its task, as `select!` does. With `polls == 0` the future is dropped unpolled.
pub async fn cut<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_up_to(future.as_mut(), polls).await
}

/// As [`cut`], but the future is leaked instead of dropped: no destructor of it ever runs.
pub async fn cut_and_leak<'a, R>(future: impl Future<Output = R> + 'a, polls: usize) -> Option<R> {
    let mut future: Pin<Box<dyn Future<Output = R> + 'a>> = Box::pin(future);
    let result = poll_up_to(future.as_mut(), polls).await;
    if result.is_none() {
        std::mem::forget(future);
    }
    result
}

async fn poll_up_to<F: Future + ?Sized>(mut future: Pin<&mut F>, polls: usize) -> Option<F::Output> {
    let mut polled = 0;
    poll_fn(|cx| {
        if polled == polls {
            return Poll::Ready(None);
        }
        polled += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
    .or_else(|| {
        CUT.set(CUT.get() + 1);
        None
    })
}

/// How often `future` had to be polled, with its result.
pub async fn counted<F: Future>(future: F) -> (F::Output, usize) {
    let mut future = pin!(future);
    let mut polls = 0;
    let result = poll_fn(|cx| {
        polls += 1;
        future.as_mut().poll(cx)
    })
    .await;
    (result, polls)
}

/// Lets others run once.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
