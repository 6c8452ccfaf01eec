//! One thread with its tasks, a virtual clock, and the oracle.
//!
//! The executor takes the next ready task, or the next readiness event of a transport, by a decision of the run.
//! Time stands still while anything is ready, and jumps to the next alarm when nothing is. Before it jumps, and
//! when there is no alarm left, the oracle looks for interest that a stream was told of, that could be served,
//! and whose waker nobody woke: a lost wake-up. At the end every task must have finished. Both fail at once, with
//! the run's trace, and so a hang is never a test that takes long.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use unsync_websocket::{Sleep, Timer};

use super::choices::Chooser;
use super::net::{Direction, NetCore, Op};
use super::runs::Run;

/// What happened, the last few hundred notes of it.
#[derive(Clone, Default)]
pub struct Trace {
    notes: Rc<RefCell<VecDeque<Note>>>,
}

/// Kept as values and put in words only when a run fails: most runs do not.
pub enum Note {
    Poll { task: usize, name: &'static str },
    Finished { name: &'static str },
    Dropped { name: &'static str },
    Event { end: usize, direction: Direction },
    Io { end: usize, op: Op, asked: usize, did: Did },
    Jump { to: Duration },
    Said(String),
}

#[derive(Clone, Copy, Debug)]
pub enum Did {
    Bytes(usize),
    Pending,
    Error(std::io::ErrorKind),
    Done,
}

impl Trace {
    const MOST: usize = 400;

    pub fn note(&self, note: Note) {
        let mut notes = self.notes.borrow_mut();
        if notes.len() == Self::MOST {
            notes.pop_front();
        }
        notes.push_back(note);
    }

    pub fn say(&self, text: impl Into<String>) {
        self.note(Note::Said(text.into()));
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(notes) = self.notes.try_borrow() else {
            return Ok(());
        };
        writeln!(f, "trace, the last {} notes:", notes.len())?;
        for note in notes.iter() {
            match note {
                Note::Poll { task, name } => writeln!(f, "  task {task} `{name}` polled")?,
                Note::Finished { name } => writeln!(f, "  `{name}` finished")?,
                Note::Dropped { name } => writeln!(f, "  `{name}` dropped")?,
                Note::Event { end, direction } => writeln!(f, "    event: end {end} {direction:?}")?,
                Note::Io { end, op, asked, did } => writeln!(f, "    end {end} {op:?}({asked}) -> {did:?}")?,
                Note::Jump { to } => writeln!(f, "  -- time is now {to:?} --")?,
                Note::Said(text) => writeln!(f, "    {text}")?,
            }
        }
        Ok(())
    }
}

/// What can be run next, in the order in which it became ready.
#[derive(Default)]
pub struct Queue {
    items: Mutex<VecDeque<Item>>,
}

#[derive(Clone, Copy)]
pub enum Item {
    Task(usize),
    Event { net: usize, end: usize, direction: Direction },
}

impl Queue {
    pub fn push(&self, item: Item) {
        self.items.lock().unwrap().push_back(item);
    }
}

struct TaskWaker {
    id: usize,
    queued: AtomicBool,
    queue: Arc<Queue>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.queue.push(Item::Task(self.id));
        }
    }
}

struct Task {
    name: &'static str,
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    waker: Waker,
    flag: Arc<TaskWaker>,
    polls: usize,
    kill_at: Option<usize>,
    ended: bool,
    may_park: bool,
}

/// A task of a [`Sim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskId(usize);

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    pub steps: usize,
    /// Steps that were polls of tasks.
    pub polls: usize,
    /// Steps that were readiness events.
    pub events: usize,
    /// Virtual time since the start.
    pub elapsed: Duration,
    /// Tasks that never finished.
    pub parked: Vec<&'static str>,
    /// Interest that could be served and whose waker was lost.
    pub starved: Vec<String>,
}

/// The world of one run. A handle: clones are the same world.
#[derive(Clone)]
pub struct Sim {
    inner: Rc<Inner>,
}

struct Inner {
    queue: Arc<Queue>,
    tasks: RefCell<Vec<Task>>,
    nets: RefCell<Vec<Weak<NetCore>>>,
    clock: Rc<Clock>,
    choices: Chooser,
    trace: Trace,
    most_steps: Cell<usize>,
}

impl Sim {
    pub fn new(run: &Run) -> Self {
        Self::with(run.choices.clone(), run.trace.clone())
    }

    pub fn with(choices: Chooser, trace: Trace) -> Self {
        Self {
            inner: Rc::new(Inner {
                queue: Arc::default(),
                tasks: RefCell::default(),
                nets: RefCell::default(),
                clock: Rc::new(Clock::new()),
                choices,
                trace,
                most_steps: Cell::new(200_000),
            }),
        }
    }

    /// Steps after which a run counts as endless (default 200,000).
    pub fn most_steps(&self, steps: usize) {
        self.inner.most_steps.set(steps);
    }

    pub fn choices(&self) -> &Chooser {
        &self.inner.choices
    }

    pub fn trace(&self) -> &Trace {
        &self.inner.trace
    }

    pub fn timer(&self) -> SimTimer {
        SimTimer { clock: self.inner.clock.clone() }
    }

    pub fn elapsed(&self) -> Duration {
        self.inner.clock.elapsed()
    }

    pub async fn sleep(&self, time: Duration) {
        let timer = self.timer();
        let deadline = timer.now() + time;
        if let Some(alarm) = timer.sleep_until(deadline) {
            alarm.await;
        }
    }

    pub(super) fn queue(&self) -> Arc<Queue> {
        self.inner.queue.clone()
    }

    pub(super) fn add_net(&self, make: impl FnOnce(usize) -> Rc<NetCore>) -> Rc<NetCore> {
        let mut nets = self.inner.nets.borrow_mut();
        let net = make(nets.len());
        nets.push(Rc::downgrade(&net));
        net
    }

    /// A task that must have finished when nothing is left to do.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + 'static) -> TaskId {
        self.add_task(name, Box::pin(future), false)
    }

    /// A task that may wait for ever, such as a peer that only reads.
    pub fn spawn_idle(&self, name: &'static str, future: impl Future<Output = ()> + 'static) -> TaskId {
        self.add_task(name, Box::pin(future), true)
    }

    fn add_task(
        &self,
        name: &'static str,
        future: Pin<Box<dyn Future<Output = ()>>>,
        may_park: bool,
    ) -> TaskId {
        let mut tasks = self.inner.tasks.borrow_mut();
        let id = tasks.len();
        let flag =
            Arc::new(TaskWaker { id, queued: AtomicBool::new(false), queue: self.inner.queue.clone() });
        let waker = Waker::from(flag.clone());
        waker.wake_by_ref();
        let future = Some(future);
        tasks.push(Task { name, future, waker, flag, polls: 0, kill_at: None, ended: false, may_park });
        TaskId(id)
    }

    /// Drops the task's future once it was polled `polls` times and is still waiting.
    pub fn kill_at(&self, task: TaskId, polls: usize) {
        self.inner.tasks.borrow_mut()[task.0].kill_at = Some(polls);
    }

    /// Drops the task's future; if it is running just now, when it next waits.
    pub fn kill(&self, task: TaskId) {
        let future = {
            let mut tasks = self.inner.tasks.borrow_mut();
            let task = &mut tasks[task.0];
            let future = task.future.take();
            match &future {
                Some(_) => {
                    task.ended = true;
                    self.inner.trace.note(Note::Dropped { name: task.name });
                }
                None => task.kill_at = Some(0),
            }
            future
        };
        drop(future);
        let waker = self.inner.tasks.borrow()[task.0].waker.clone();
        self.looks_again(&waker);
    }

    pub fn polls(&self, task: TaskId) -> usize {
        self.inner.tasks.borrow()[task.0].polls
    }

    pub fn has_ended(&self, task: TaskId) -> bool {
        self.inner.tasks.borrow()[task.0].ended
    }

    /// Runs until nothing is left to do.
    ///
    /// # Panics
    ///
    /// When a wake-up was lost, when a task that must finish did not, and when it takes too many steps.
    pub fn run(&self) -> Outcome {
        let outcome = self.run_unjudged();
        assert!(outcome.starved.is_empty(), "lost wake-up: {}", outcome.starved.join("; "));
        assert!(
            outcome.parked.is_empty(),
            "nothing is ready and no alarm is set, but these tasks wait: {}",
            outcome.parked.join(", ")
        );
        outcome
    }

    /// As [`run`](Self::run), for conversations that need no clock: it must not have moved, so that no deadline
    /// covered up for a wake-up that never came.
    pub fn run_in_no_time(&self) -> Outcome {
        let outcome = self.run();
        assert_eq!(outcome.elapsed, Duration::ZERO, "something waited for an alarm");
        outcome
    }

    /// Runs until nothing is left to do, and leaves the judgement to the caller.
    pub fn run_unjudged(&self) -> Outcome {
        let (mut polls, mut events) = (0, 0);
        let mut starved = Vec::new();
        loop {
            let Some(item) = self.next_item() else {
                starved.extend(self.starved());
                if starved.is_empty() && self.inner.clock.jump() {
                    self.inner.trace.note(Note::Jump { to: self.elapsed() });
                    continue;
                }
                break;
            };
            let steps = polls + events;
            assert!(
                steps < self.inner.most_steps.get(),
                "no end after {steps} steps: {}",
                self.poll_counts()
            );
            match item {
                Item::Task(id) => {
                    polls += 1;
                    self.poll_task(id);
                }
                Item::Event { net, end, direction } => {
                    events += 1;
                    let net = self.inner.nets.borrow()[net].upgrade();
                    if let Some(net) = net {
                        self.inner.trace.note(Note::Event { end, direction });
                        net.deliver(end, direction);
                    }
                }
            }
        }
        let tasks = self.inner.tasks.borrow();
        let parked =
            tasks.iter().filter(|task| !task.ended && !task.may_park).map(|task| task.name).collect();
        Outcome { steps: polls + events, polls, events, elapsed: self.elapsed(), parked, starved }
    }

    fn next_item(&self) -> Option<Item> {
        let mut items = self.inner.queue.items.lock().unwrap();
        if items.is_empty() {
            return None;
        }
        let next = self.inner.choices.choose(items.len());
        items.remove(next)
    }

    fn poll_task(&self, id: usize) {
        let (mut future, waker) = {
            let mut tasks = self.inner.tasks.borrow_mut();
            let task = &mut tasks[id];
            task.flag.queued.store(false, Ordering::Relaxed);
            let Some(future) = task.future.take() else { return };
            task.polls += 1;
            self.inner.trace.note(Note::Poll { task: id, name: task.name });
            (future, task.waker.clone())
        };
        self.looks_again(&waker);
        let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
        let ended = {
            let mut tasks = self.inner.tasks.borrow_mut();
            let task = &mut tasks[id];
            let killed = task.kill_at.is_some_and(|at| task.polls >= at);
            if poll.is_ready() || killed {
                task.ended = true;
                let name = task.name;
                self.inner.trace.note(if killed { Note::Dropped { name } } else { Note::Finished { name } });
                Some(future)
            } else {
                task.future = Some(future);
                None
            }
        };
        // Destructors wake, spawn and kill: no borrow may be held.
        if ended.is_some() {
            drop(ended);
            self.looks_again(&waker);
        }
    }

    /// The task of this waker waits for nothing any more, but for what it asks for from now on.
    fn looks_again(&self, waker: &Waker) {
        for net in self.nets() {
            net.looks_again(waker);
        }
    }

    fn starved(&self) -> Vec<String> {
        self.nets().iter().flat_map(|net| net.starved()).collect()
    }

    fn nets(&self) -> Vec<Rc<NetCore>> {
        self.inner.nets.borrow().iter().filter_map(Weak::upgrade).collect()
    }

    fn poll_counts(&self) -> String {
        let tasks = self.inner.tasks.borrow();
        let counts: Vec<_> =
            tasks.iter().map(|task| format!("`{}` polled {} times", task.name, task.polls)).collect();
        counts.join(", ")
    }
}

impl Drop for Inner {
    /// Tasks hold streams, streams hold the world: the circle is broken here, with nothing borrowed.
    fn drop(&mut self) {
        let futures: Vec<_> = self.tasks.get_mut().iter_mut().map(|task| task.future.take()).collect();
        drop(futures);
    }
}

/// The clock of a [`Sim`]: stands still until the executor lets it jump.
struct Clock {
    start: Instant,
    now: Cell<Instant>,
    alarms: RefCell<BTreeMap<(Instant, u64), Waker>>,
    count: Cell<u64>,
}

impl Clock {
    fn new() -> Self {
        let start = Instant::now();
        Self { start, now: Cell::new(start), alarms: RefCell::default(), count: Cell::new(0) }
    }

    fn elapsed(&self) -> Duration {
        self.now.get() - self.start
    }

    /// Goes to the next alarm and rings it; `false` if none is set.
    fn jump(&self) -> bool {
        let Some(((at, _), waker)) = self.alarms.borrow_mut().pop_first() else {
            return false;
        };
        self.now.set(self.now.get().max(at));
        waker.wake();
        true
    }
}

/// The library's [`Timer`], going by the virtual clock.
#[derive(Clone)]
pub struct SimTimer {
    clock: Rc<Clock>,
}

impl Timer for SimTimer {
    fn now(&self) -> Instant {
        self.clock.now.get()
    }

    fn sleep_until(&self, deadline: Instant) -> Option<Sleep> {
        let clock = self.clock.clone();
        let count = clock.count.get();
        clock.count.set(count + 1);
        Some(Box::pin(Alarm { clock, key: (deadline, count) }))
    }
}

struct Alarm {
    clock: Rc<Clock>,
    key: (Instant, u64),
}

impl Future for Alarm {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.clock.now.get() >= self.key.0 {
            return Poll::Ready(());
        }
        self.clock.alarms.borrow_mut().insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let alarm = self.clock.alarms.borrow_mut().remove(&self.key);
        drop(alarm);
    }
}
