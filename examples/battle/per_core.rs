//! The easy way to use every core: the same single-threaded program once on each. What `par_iter` is to a loop, this is
//! to a server.
//!
//! ```text
//! let ended = per_core(0..4, Pin::No, |core, number| async move { serve(core, number).await });
//! ```
//!
//! The future is made on its thread and never leaves it, so it may hold `Rc`s, and an executor of its own for tasks that
//! do. Only what it returns crosses threads.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use async_io::block_on;

/// Whether each thread stays on one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    /// The operating system moves threads as it sees fit.
    No,
    /// Thread `n` on the `n`th core that this process may use, and on none other. It spares caches where the machine has
    /// nothing else to do, and makes threads wait where it has.
    Yes,
}

/// One of the threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Core {
    /// From 0.
    pub(crate) index: usize,
    /// How many there are.
    pub(crate) count: usize,
}

impl Core {
    /// The only one.
    pub(crate) const ALONE: Self = Self { index: 0, count: 1 };
}

/// Runs `work` for each item on a thread of its own, and waits until all have ended. One alone is this thread.
///
/// What each returned stands where its number says. A panic ends its own thread only: the others go on, and its place
/// tells what it said, as does the log; so does one of a thread that the system would not start.
pub(crate) fn per_core<S: Send, F>(
    items: impl IntoIterator<Item = S>,
    pin: Pin,
    work: impl Fn(Core, S) -> F + Sync,
) -> Vec<Result<F::Output, String>>
where
    F: Future<Output: Send>,
{
    let mut items: Vec<S> = items.into_iter().collect();
    let count = items.len();
    let places = match pin {
        Pin::Yes => core_affinity::get_core_ids().unwrap_or_default(),
        Pin::No => Vec::new(),
    };
    let run = |index: usize, item| {
        // More threads than cores share them.
        let place = index.checked_rem(places.len()).and_then(|at| places.get(at));
        if place.is_some_and(|place| !core_affinity::set_for_current(*place)) {
            log::warn!(core = index; "the thread cannot be pinned");
        }
        // What a panic leaves behind is dropped with the future, on this thread; nobody looks at it.
        catch_unwind(AssertUnwindSafe(|| block_on(work(Core { index, count }, item)))).map_err(|panic| {
            let said = said(&*panic);
            log::error!(core = index, said = &*said; "a panic ends the thread");
            said
        })
    };
    if count == 1 {
        return items.pop().map(|item| run(0, item)).into_iter().collect();
    }
    let run = &run;
    thread::scope(|scope| {
        let start = |(index, item)| {
            let name = format!("core {index}");
            thread::Builder::new().name(name).spawn_scoped(scope, move || run(index, item))
        };
        let threads: Vec<_> = items.into_iter().enumerate().map(start).collect();
        let join =
            |thread: thread::ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|it| Err(said(&*it)));
        threads.into_iter().map(|it| it.map_or_else(|error| Err(error.to_string()), join)).collect()
    })
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref().cloned()).unwrap_or_else(|| String::from("no text"))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::thread::ThreadId;

    use async_executor::LocalExecutor;

    use super::*;

    #[test]
    fn each_core_is_a_thread_with_a_number_and_what_it_returns_stands_in_its_place() {
        let ended = per_core(0..4, Pin::No, |core, number| async move {
            // What is shared by tasks of one thread needs neither `Send` nor a lock.
            let heard = Rc::new(RefCell::new(Vec::new()));
            let executor = LocalExecutor::new();
            let tasks = [1, 2].map(|number| {
                let heard = Rc::clone(&heard);
                executor.spawn(async move { heard.borrow_mut().push(number) })
            });
            executor.run(async { for_each(tasks).await }).await;
            assert_eq!(*heard.borrow(), [1, 2]);
            assert_eq!(core.index, number);
            (core.index, core.count, thread::current().id())
        });
        let ended: Vec<(usize, usize, ThreadId)> = ended.into_iter().map(Result::unwrap).collect();
        let (indices, threads): (Vec<_>, std::collections::HashSet<_>) =
            ended.iter().map(|&(index, count, thread)| ((index, count), thread)).unzip();
        assert_eq!(indices, [(0, 4), (1, 4), (2, 4), (3, 4)]);
        assert_eq!(threads.len(), 4, "a thread each");
        assert!(!threads.contains(&thread::current().id()));
    }

    async fn for_each<const N: usize>(tasks: [async_executor::Task<()>; N]) {
        for task in tasks {
            task.await;
        }
    }

    #[test]
    fn one_alone_is_the_calling_thread() {
        let here = thread::current().id();
        let ended = per_core(0..1, Pin::No, |_, _| async { thread::current().id() });
        assert_eq!(ended, [Ok(here)]);
    }

    #[test]
    fn a_panic_ends_one_thread_and_is_reported_and_the_others_go_on_to_their_end() {
        let (alive, gone) = async_channel::bounded::<()>(1);
        let alive = std::sync::Mutex::new(Some(alive));
        let ended = per_core(0..3, Pin::No, |core, _| {
            let (alive, gone) = (&alive, gone.clone());
            async move {
                if core.index == 1 {
                    // In a task, as it would be; the panic drops what the thread had.
                    let _alive = alive.lock().unwrap().take();
                    let executor = LocalExecutor::new();
                    let task = executor.spawn(async { panic!("number {}", 7) });
                    executor.run(task).await
                }
                // Closed by the panic: so this thread is still there after it.
                assert!(gone.recv().await.is_err());
                core.index
            }
        });
        assert_eq!(ended, [Ok(0), Err(String::from("number 7")), Ok(2)]);
    }

    #[test]
    fn a_panic_of_one_alone_is_contained_too() {
        let ended = per_core(0..1, Pin::No, |_, _| async { panic!("alone") });
        assert_eq!(ended, [Err::<(), _>(String::from("alone"))]);
    }

    #[test]
    fn a_pinned_thread_runs_and_more_threads_than_cores_share_them() {
        let ended = per_core(0..5, Pin::Yes, |core, _| async move { core.index });
        assert_eq!(ended, [0, 1, 2, 3, 4].map(Ok));
    }
}
