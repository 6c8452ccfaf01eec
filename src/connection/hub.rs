//! The one waker that a connection's stream ever sees.
//!
//! A stream keeps at most one waker a direction: async-net and tokio drop the older one silently, async-io wakes it, so two
//! halves that each hand in their own put each other to sleep or spin. Here each half fills a slot before it polls the
//! stream, and the stream is given the hub's waker, always the same: whatever it wakes, all slots are woken.
//!
//! This is the only place that other threads reach (async-io's reactor wakes from its own), and so the only one with
//! an `Arc` and a lock. Wakers are woken, and dropped, outside the lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Who may be waiting for the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Sender,
    Receiver,
    Scope,
}

#[derive(Debug, Default)]
struct Slots {
    sender: Option<Waker>,
    receiver: Option<Waker>,
    scope: Option<Waker>,
}

impl Slots {
    const fn get(&mut self, slot: Slot) -> &mut Option<Waker> {
        match slot {
            Slot::Sender => &mut self.sender,
            Slot::Receiver => &mut self.receiver,
            Slot::Scope => &mut self.scope,
        }
    }
}

/// The hub, as a connection holds it.
#[derive(Debug)]
pub(crate) struct Hub {
    shared: Arc<SharedSlots>,
    /// Made once, so that a stream's `will_wake` is always true.
    waker: Waker,
}

#[derive(Debug, Default)]
struct SharedSlots(Mutex<Slots>);

impl Hub {
    pub(crate) fn new() -> Self {
        let shared = Arc::new(SharedSlots::default());
        Self { waker: Waker::from(Arc::clone(&shared)), shared }
    }

    /// The waker for the stream.
    pub(crate) const fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Fills a slot, before its owner polls the stream.
    pub(crate) fn register(&self, slot: Slot, waker: &Waker) {
        let mut slots = self.shared.lock();
        let place = slots.get(slot);
        if !place.as_ref().is_some_and(|present| present.will_wake(waker)) {
            let old = place.replace(waker.clone());
            drop(slots);
            drop(old);
        }
    }

    /// Wakes whoever is in `slot`.
    pub(crate) fn wake_slot(&self, slot: Slot) {
        let waker = self.shared.lock().get(slot).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes everybody.
    pub(crate) fn wake_all(&self) {
        self.shared.wake_all();
    }
}

impl SharedSlots {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        // Nothing in here can be left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes everybody; a task that is in several slots, once.
    fn wake_all(&self) {
        let Slots { sender, receiver, scope } = std::mem::take(&mut *self.lock());
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

    #[test]
    fn the_stream_s_waker_wakes_every_slot_and_a_task_in_two_slots_once() {
        let (hub, one, two) = (Hub::new(), Arc::new(Count::default()), Arc::new(Count::default()));
        let stream_waker = hub.waker().clone();
        let (waker_one, waker_two) = (Waker::from(Arc::clone(&one)), Waker::from(Arc::clone(&two)));
        hub.register(Slot::Sender, &waker_one);
        hub.register(Slot::Receiver, &waker_two);
        hub.register(Slot::Scope, &waker_one);
        stream_waker.wake_by_ref();
        assert_eq!((one.take(), two.take()), (1, 1));
        stream_waker.wake_by_ref();
        assert_eq!((one.take(), two.take()), (0, 0), "a slot is empty until it is filled again");
    }

    #[test]
    fn a_slot_is_woken_by_itself() {
        let (hub, one, two) = (Hub::new(), Arc::new(Count::default()), Arc::new(Count::default()));
        hub.register(Slot::Sender, &Waker::from(Arc::clone(&one)));
        hub.register(Slot::Receiver, &Waker::from(Arc::clone(&two)));
        hub.wake_slot(Slot::Receiver);
        assert_eq!((one.take(), two.take()), (0, 1));
    }

    /// A waker whose wake and drop enter the hub again: a deadlock if either happened under its lock.
    struct Reenter(Arc<Hub>);

    impl Wake for Reenter {
        fn wake(self: Arc<Self>) {
            self.0.wake_all();
        }
    }

    impl Drop for Reenter {
        fn drop(&mut self) {
            self.0.wake_slot(Slot::Sender);
        }
    }

    #[test]
    fn wakers_are_woken_and_dropped_outside_the_lock() {
        let hub = Arc::new(Hub::new());
        hub.register(Slot::Sender, &Waker::from(Arc::new(Reenter(Arc::clone(&hub)))));
        hub.register(Slot::Sender, &Waker::from(Arc::new(Reenter(Arc::clone(&hub)))));
        hub.wake_all();
    }
}
