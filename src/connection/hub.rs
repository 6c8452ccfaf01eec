//! Who is woken when a connection's stream has something to say.
//!
//! A stream keeps at most one waker a direction: async-net and tokio drop the older one silently, async-io wakes it, so two
//! halves that each hand in their own put each other to sleep or spin. While all that wait for a connection are one task, as nearly
//! always, there is one waker, the task's own, and the stream is given that. As soon as there are two, each has a slot, and the
//! stream is given the waker of all of them ([`Several`]), always the same, from then on: whatever it wakes, all slots are woken.
//!
//! That is the only place that other threads reach (async-io's reactor wakes from its own), and so the only one with an `Arc` and a
//! lock. Wakers are cloned, woken and dropped outside the lock.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Who may be waiting for the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Sender,
    Receiver,
    Scope,
}

impl Slot {
    const fn bit(self) -> u8 {
        match self {
            Self::Sender => 1,
            Self::Receiver => 2,
            Self::Scope => 4,
        }
    }
}

/// Whom something is true of.
#[derive(Debug, Default)]
pub(crate) struct Slots(Cell<u8>);

impl Slots {
    #[inline]
    pub(crate) fn insert(&self, slot: Slot) {
        self.0.set(self.0.get() | slot.bit());
    }

    #[inline]
    pub(crate) fn remove(&self, slot: Slot) {
        self.0.set(self.0.get() & !slot.bit());
    }

    #[inline]
    pub(crate) const fn contains(&self, slot: Slot) -> bool {
        self.0.get() & slot.bit() != 0
    }

    /// Whether it is true of another than `slot`.
    const fn contains_other(&self, slot: Slot) -> bool {
        self.0.get() & !slot.bit() != 0
    }

    const fn is_empty(&self) -> bool {
        self.0.get() == 0
    }

    fn clear(&self) {
        self.0.set(0);
    }
}

/// Replacements of the one waker after which there are taken to be several: who has another at each poll, on a stream that wakes the one it
/// replaces, would be woken for ever.
const CHANGES: u8 = 4;

/// The hub, as a connection holds it.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    /// The waker of all who wait, while they are one task. Borrowed while the stream is polled, so it is only ever tried to change it.
    one: RefCell<Option<Waker>>,
    /// How often another took its place.
    changes: Cell<u8>,
    /// Who has registered since the last poll of his began, and was not woken by us since.
    registered: Slots,
    /// Once there were two tasks.
    several: OnceCell<Box<Several>>,
}

impl Hub {
    /// Calls `work` with the waker for the stream: one that does nothing, if nobody waits. Who will, polls the stream himself.
    #[inline(always)]
    pub(crate) fn with_waker<R>(&self, work: impl FnOnce(&Waker) -> R) -> R {
        let (nobody, several) = (self.registered.is_empty(), self.several.get());
        let result = {
            let one = if nobody || several.is_some() { None } else { self.one.try_borrow().ok() };
            let waker = match several {
                Some(several) => Some(&several.waker),
                None => one.as_deref().and_then(Option::as_ref),
            };
            work(waker.unwrap_or(Waker::noop()))
        };
        // Somebody came while the stream was polled, called by it, and it does not know him.
        if several.is_none() && (nobody && !self.registered.is_empty() || self.several.get().is_some()) {
            self.wake_all();
        }
        result
    }

    /// Begins a poll of who has `slot`: he does not wait.
    #[inline]
    pub(crate) fn begin(&self, slot: Slot) {
        self.registered.remove(slot);
    }

    /// Fills a slot, before its owner polls the stream.
    #[inline]
    pub(crate) fn register(&self, slot: Slot, waker: &Waker) {
        let is_known = self.several.get().is_none()
            && self.one.try_borrow().is_ok_and(|one| one.as_ref().is_some_and(|one| one.will_wake(waker)));
        if !is_known {
            self.register_new(slot, waker);
        }
        self.registered.insert(slot);
    }

    #[inline(never)]
    fn register_new(&self, slot: Slot, waker: &Waker) {
        if self.several.get().is_none() {
            let waker = waker.clone();
            if self.replaces(slot, waker) {
                return;
            }
        }
        let several = self.several.get_or_init(Box::default);
        several.slots.register(slot, waker);
        // The first fills its slot, and asks the stream with the new waker, when it is polled.
        self.registered.clear();
        self.wake_one();
    }

    /// Puts a waker in the place of the one, unless another waits, or the one that waits is polling the stream further up the stack.
    fn replaces(&self, slot: Slot, waker: Waker) -> bool {
        // What cloned the waker may have called us.
        let is_free = self.several.get().is_none() && !self.registered.contains_other(slot);
        let Some(mut one) =
            self.one.try_borrow_mut().ok().filter(|_| is_free && self.changes.get() < CHANGES)
        else {
            return false;
        };
        let old = one.replace(waker);
        drop(one);
        if old.is_some() {
            self.changes.update(|changes| changes.saturating_add(1));
        }
        true
    }

    /// Wakes whoever is in `slot`.
    pub(crate) fn wake_slot(&self, slot: Slot) {
        match self.several.get() {
            Some(several) => several.slots.wake_slot(slot),
            None if self.registered.contains(slot) => {
                self.registered.remove(slot);
                self.wake_one();
            }
            None => {}
        }
    }

    /// Wakes everybody.
    pub(crate) fn wake_all(&self) {
        match self.several.get() {
            Some(several) => several.slots.wake_all(),
            None if !self.registered.is_empty() => {
                self.registered.clear();
                self.wake_one();
            }
            None => {}
        }
    }

    /// Wakes the one, and keeps its waker only while it may be needed.
    fn wake_one(&self) {
        let taken = match self.one.try_borrow_mut() {
            Ok(mut one) if self.registered.is_empty() => one.take(),
            _ => None,
        };
        let one = taken.or_else(|| self.one.try_borrow().ok().and_then(|one| one.clone()));
        if let Some(one) = one {
            one.wake();
        }
    }
}

/// The wakers of several tasks, and the one that wakes them.
#[derive(Debug)]
struct Several {
    slots: Arc<SharedSlots>,
    /// Made once, so that a stream's `will_wake` is always true.
    waker: Waker,
}

impl Default for Several {
    fn default() -> Self {
        let slots = Arc::new(SharedSlots::default());
        Self { waker: Waker::from(Arc::clone(&slots)), slots }
    }
}

#[derive(Debug, Default)]
struct SharedSlots(Mutex<Wakers>);

#[derive(Debug, Default)]
struct Wakers {
    sender: Option<Waker>,
    receiver: Option<Waker>,
    scope: Option<Waker>,
}

impl Wakers {
    const fn get(&mut self, slot: Slot) -> &mut Option<Waker> {
        match slot {
            Slot::Sender => &mut self.sender,
            Slot::Receiver => &mut self.receiver,
            Slot::Scope => &mut self.scope,
        }
    }
}

impl SharedSlots {
    fn lock(&self) -> MutexGuard<'_, Wakers> {
        // Nothing in here can be left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, slot: Slot, waker: &Waker) {
        let is_known = self.lock().get(slot).as_ref().is_some_and(|present| present.will_wake(waker));
        if !is_known {
            let waker = waker.clone();
            let old = self.lock().get(slot).replace(waker);
            drop(old);
        }
    }

    fn wake_slot(&self, slot: Slot) {
        let waker = self.lock().get(slot).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes everybody; a task that is in several slots, once.
    fn wake_all(&self) {
        let Wakers { sender, receiver, scope } = std::mem::take(&mut *self.lock());
        let same =
            |a: &Option<Waker>, b: &Option<Waker>| matches!((a, b), (Some(a), Some(b)) if a.will_wake(b));
        let receiver = if same(&receiver, &sender) { None } else { receiver };
        let scope = if same(&scope, &sender) || same(&scope, &receiver) { None } else { scope };
        for waker in [sender, receiver, scope].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl Wake for SharedSlots {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Count {
        fn take(&self) -> usize {
            self.0.swap(0, Ordering::SeqCst)
        }
    }

    fn stream_waker(hub: &Hub) -> Waker {
        hub.with_waker(Waker::clone)
    }

    /// `will_wake` compares a table of functions, too, of which the compiler may make several.
    fn is_nobody(waker: &Waker) -> bool {
        waker.data() == Waker::noop().data()
    }

    #[test]
    fn one_task_in_all_slots_is_what_the_stream_wakes_and_is_cloned_once() {
        let (hub, one) = (Hub::default(), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&one));
        assert!(is_nobody(&stream_waker(&hub)));
        for slot in [Slot::Sender, Slot::Receiver, Slot::Scope] {
            hub.register(slot, &waker);
            hub.register(slot, &waker);
        }
        assert!(stream_waker(&hub).will_wake(&waker));
        assert_eq!(Arc::strong_count(&one), 3, "this, `waker`, and the hub's");
        hub.wake_slot(Slot::Scope);
        hub.wake_slot(Slot::Scope);
        assert_eq!(one.take(), 1, "it has been woken, and has not registered since");
        hub.begin(Slot::Receiver);
        hub.wake_slot(Slot::Receiver);
        assert_eq!(one.take(), 0, "it is being polled, and does not wait");
        hub.wake_slot(Slot::Sender);
        assert_eq!(one.take(), 1, "its waker is still there");
        hub.register(Slot::Sender, &waker);
        hub.begin(Slot::Sender);
        assert!(is_nobody(&stream_waker(&hub)), "whoever comes next");
        hub.wake_all();
        assert_eq!(one.take(), 0);
        hub.register(Slot::Sender, &waker);
        hub.wake_all();
        hub.wake_all();
        assert_eq!(one.take(), 1);
        assert!(is_nobody(&stream_waker(&hub)), "nobody waits any more");
    }

    #[test]
    fn a_half_that_moves_to_another_task_leaves_the_first_alone() {
        let (hub, one, two) = (Hub::default(), Arc::new(Count::default()), Arc::new(Count::default()));
        hub.register(Slot::Receiver, &Waker::from(Arc::clone(&one)));
        hub.begin(Slot::Receiver);
        let waker = Waker::from(Arc::clone(&two));
        hub.register(Slot::Receiver, &waker);
        assert!(stream_waker(&hub).will_wake(&waker));
        assert_eq!(Arc::strong_count(&one), 1);
        hub.wake_all();
        assert_eq!((one.take(), two.take()), (0, 1));
    }

    #[test]
    fn the_stream_s_waker_wakes_every_slot_and_a_task_in_two_slots_once() {
        let (hub, one, two) = (Hub::default(), Arc::new(Count::default()), Arc::new(Count::default()));
        let (waker_one, waker_two) = (Waker::from(Arc::clone(&one)), Waker::from(Arc::clone(&two)));
        hub.register(Slot::Sender, &waker_one);
        hub.register(Slot::Scope, &waker_one);
        hub.register(Slot::Receiver, &waker_two);
        assert_eq!(
            (one.take(), two.take()),
            (1, 0),
            "it has to fill its slots, and to ask the stream with the new waker"
        );
        let waker = stream_waker(&hub);
        hub.register(Slot::Sender, &waker_one);
        hub.register(Slot::Scope, &waker_one);
        waker.wake_by_ref();
        assert_eq!((one.take(), two.take()), (1, 1));
        waker.wake_by_ref();
        assert_eq!((one.take(), two.take()), (0, 0), "a slot is empty until it is filled again");
        hub.register(Slot::Sender, &waker_one);
        assert!(stream_waker(&hub).will_wake(&waker), "it stays the same");
    }

    #[test]
    fn a_slot_is_woken_by_itself() {
        let (hub, one, two) = (Hub::default(), Arc::new(Count::default()), Arc::new(Count::default()));
        hub.register(Slot::Sender, &Waker::from(Arc::clone(&one)));
        hub.register(Slot::Receiver, &Waker::from(Arc::clone(&two)));
        hub.register(Slot::Sender, &Waker::from(Arc::clone(&one)));
        one.take();
        hub.wake_slot(Slot::Receiver);
        assert_eq!((one.take(), two.take()), (0, 1));
        hub.wake_slot(Slot::Sender);
        assert_eq!((one.take(), two.take()), (1, 0));
    }

    #[test]
    fn who_registers_while_the_stream_is_polled_for_another_is_woken_to_ask_it_himself() {
        for somebody_waits in [false, true] {
            let (hub, one, two) = (Hub::default(), Arc::new(Count::default()), Arc::new(Count::default()));
            if somebody_waits {
                hub.register(Slot::Receiver, &Waker::from(Arc::clone(&one)));
            }
            hub.with_waker(|_| hub.register(Slot::Sender, &Waker::from(Arc::clone(&two))));
            assert_eq!((one.take(), two.take()), (usize::from(somebody_waits), 1));
        }
    }

    #[test]
    fn who_has_another_waker_at_each_poll_is_not_woken_for_the_one_before_for_ever() {
        let (hub, count) = (Hub::default(), Arc::new(Count::default()));
        let mut handed_in = Waker::noop().clone();
        let mut replaced = 0;
        for _ in 0..100 {
            hub.begin(Slot::Receiver);
            // Of another task each time.
            hub.register(Slot::Receiver, &Waker::from(Arc::new(Count::default())));
            let waker = stream_waker(&hub);
            replaced += usize::from(!handed_in.will_wake(&waker));
            handed_in = waker;
        }
        assert!(replaced <= usize::from(CHANGES) + 2, "{replaced} times");
        hub.register(Slot::Receiver, &Waker::from(Arc::clone(&count)));
        handed_in.wake();
        assert_eq!(count.take(), 1);
    }

    #[test]
    fn the_waker_of_who_does_not_wait_any_more_is_dropped() {
        let hub = Hub::default();
        let (one, two) = (Arc::new(Count::default()), Arc::new(Count::default()));
        hub.register(Slot::Receiver, &Waker::from(Arc::clone(&one)));
        hub.wake_all();
        assert_eq!(Arc::strong_count(&one), 1, "it has been woken");
        hub.register(Slot::Receiver, &Waker::from(Arc::clone(&one)));
        hub.register(Slot::Sender, &Waker::from(Arc::clone(&two)));
        assert_eq!(Arc::strong_count(&one), 1, "it has been woken, to fill its slot");
        hub.wake_all();
        assert_eq!(Arc::strong_count(&two), 1);
    }

    thread_local! {
        static HUB: Hub = Hub::default();
    }

    /// A waker whose wake and drop enter the hub again: a deadlock if either happened under its lock, and lost if its cell was borrowed.
    struct Reenter(Arc<Count>);

    impl Reenter {
        fn register(&self) {
            let _ended = HUB.try_with(|hub| hub.register(Slot::Scope, &Waker::from(Arc::clone(&self.0))));
        }
    }

    impl Wake for Reenter {
        fn wake(self: Arc<Self>) {
            self.register();
        }
    }

    impl Drop for Reenter {
        fn drop(&mut self) {
            self.register();
        }
    }

    #[test]
    fn wakers_are_woken_and_dropped_with_nothing_locked_and_nothing_borrowed() {
        for others in [vec![], vec![Slot::Receiver]] {
            HUB.with(|hub| {
                let count = Arc::new(Count::default());
                let reenter = || Waker::from(Arc::new(Reenter(Arc::clone(&count))));
                for slot in others {
                    hub.register(slot, &Waker::from(Arc::clone(&count)));
                }
                hub.register(Slot::Sender, &reenter());
                hub.register(Slot::Sender, &reenter());
                hub.wake_all();
                hub.wake_all();
                assert!(count.take() > 0, "what registers meanwhile is woken");
            });
        }
    }
}
