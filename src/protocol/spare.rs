//! Buffers that a thread's connections hand to each other.
//!
//! A connection holds a buffer while there is something in it. When it falls empty it goes back to the thread, for whichever
//! connection needs one next: so no message costs an allocation once things run, and an idle connection holds none. What a thread
//! keeps is bounded: a thousand short buffers, for a room in which all are told something at once, nine of up to 64 KiB, and two of up to
//! 2 MiB for long messages, whose pages would otherwise be asked of the system and given back for each. Two messages
//! that are on their way may hold such a one each though they have to wait for more ([`Hold`]); all others are cut to what has come.

use std::cell::Cell;
use std::thread::LocalKey;

/// Buffers of one size, of which a thread keeps some.
struct Class {
    /// Bytes of the largest.
    size: usize,
    /// How many are kept.
    count: usize,
}

const SHORT: Class = Class { size: 1 << 10, count: 1024 };
const MEDIUM: Class = Class { size: 64 << 10, count: 8 };
const LARGE: Class = Class { size: 2 << 20, count: 2 };

type Kept = Cell<Vec<Vec<u8>>>;

thread_local! {
    /// The one, not large, that was given last: nearly always the one that is wanted next.
    static LAST: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SHORT_ONES: Kept = const { Cell::new(Vec::new()) };
    static MEDIUM_ONES: Kept = const { Cell::new(Vec::new()) };
    static LARGE_ONES: Kept = const { Cell::new(Vec::new()) };
    /// Connections that hold a large one while they wait.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// An empty buffer; one with room already, if there is one.
#[inline]
pub(crate) fn take() -> Vec<u8> {
    let last = LAST.try_with(Cell::take).unwrap_or_default();
    if last.capacity() > 0 { last } else { take_kept() }
}

#[inline(never)]
fn take_kept() -> Vec<u8> {
    let one_of = |place| with(place, Vec::pop).flatten();
    one_of(&MEDIUM_ONES).or_else(|| one_of(&SHORT_ONES)).unwrap_or_default()
}

/// A large buffer with room for so many bytes, if there is one.
pub(super) fn take_large(len: usize) -> Option<Vec<u8>> {
    let take = |kept: &mut Vec<Vec<u8>>| {
        let place = kept.iter().position(|buffer| buffer.capacity() >= len)?;
        Some(kept.swap_remove(place))
    };
    with(&LARGE_ONES, take).flatten()
}

fn with<R>(place: &'static LocalKey<Kept>, work: impl FnOnce(&mut Vec<Vec<u8>>) -> R) -> Option<R> {
    let work = |spare: &Kept| {
        let mut kept = spare.take();
        let result = work(&mut kept);
        spare.set(kept);
        result
    };
    // At the end of a thread, when its locals are gone, a connection may still be polled.
    place.try_with(work).ok()
}

/// The right to keep a large buffer though little of it is filled, until it is dropped. A thread has as many of them as it keeps such buffers.
#[derive(Debug)]
pub(crate) struct Hold(());

/// The right to keep a buffer of such a capacity, if there is one left and it is not too large.
pub(crate) fn hold(capacity: usize) -> Option<Hold> {
    let held = HELD.try_with(Cell::get).ok()?;
    (held < LARGE.count && capacity <= LARGE.size).then(|| {
        HELD.set(held.saturating_add(1));
        Hold(())
    })
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ended = HELD.try_with(|held| held.update(|held| held.saturating_sub(1)));
    }
}

/// Hands a buffer on. What is in it is forgotten.
#[inline]
pub(crate) fn give(mut buffer: Vec<u8>) {
    buffer.clear();
    match buffer.capacity() {
        0 => {}
        capacity if capacity <= MEDIUM.size => match LAST.try_with(|last| last.replace(buffer)) {
            Ok(before) if before.capacity() > 0 => keep(before),
            _ => {}
        },
        capacity if capacity <= LARGE.size => keep(buffer),
        _ => {}
    }
}

#[inline(never)]
fn keep(buffer: Vec<u8>) {
    let (place, class) = match buffer.capacity() {
        capacity if capacity <= SHORT.size => (&SHORT_ONES, SHORT),
        capacity if capacity <= MEDIUM.size => (&MEDIUM_ONES, MEDIUM),
        _ => (&LARGE_ONES, LARGE),
    };
    let _ended = with(place, |kept| {
        if kept.len() < class.count {
            return kept.push(buffer);
        }
        // Instead of the one that is of least use; of many, among a few.
        let least = kept.iter_mut().take(MEDIUM.count).min_by_key(|kept| kept.capacity());
        if let Some(least) = least.filter(|least| least.capacity() < buffer.capacity()) {
            *least = buffer;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_handed_on_empty_unless_it_is_too_large_or_there_are_enough() {
        std::thread::spawn(|| {
            assert_eq!(take().capacity(), 0);
            give(Vec::new());
            assert_eq!(take().capacity(), 0);
            give(vec![1; 100]);
            let again = take();
            assert!(again.is_empty() && again.capacity() >= 100);
            give(vec![1; MEDIUM.size + 1]);
            assert_eq!(take().capacity(), 0, "a large one is for long messages");
            let large = take_large(MEDIUM.size).unwrap();
            assert!(large.is_empty() && large.capacity() > MEDIUM.size);
            give(vec![1; LARGE.size + 1]);
            assert!(take_large(1).is_none());
            for _ in 0..2 * SHORT.count {
                give(vec![1; SHORT.size]);
                give(vec![1; MEDIUM.size]);
                give(vec![1; LARGE.size]);
            }
            let all = || std::iter::repeat_with(take).take_while(|buffer| buffer.capacity() > 0);
            assert_eq!(all().filter(|buffer| buffer.capacity() == SHORT.size).count(), SHORT.count);
            let large = std::iter::repeat_with(|| take_large(1)).take_while(Option::is_some).count();
            assert_eq!(large, LARGE.count);
            for len in 1..=2 * MEDIUM.count {
                give(vec![1; SHORT.size + len]);
            }
            let medium: usize = all().map(|buffer| buffer.capacity() - SHORT.size).sum();
            assert_eq!(medium, (MEDIUM.count..=2 * MEDIUM.count).sum(), "the larger are kept, and the last");
            for len in [1, 2, 3] {
                give(vec![1; len * MEDIUM.size + 1]);
            }
            assert!(
                take_large(3 * MEDIUM.size).is_some() && take_large(2 * MEDIUM.size).is_some(),
                "the larger are kept"
            );
            assert!(take_large(1).is_none());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn two_large_buffers_may_be_held_and_no_larger_ones() {
        std::thread::spawn(|| {
            let holds = || [(); 3].map(|()| hold(LARGE.size));
            assert!(hold(LARGE.size + 1).is_none());
            let held = holds();
            assert_eq!(held.each_ref().map(Option::is_some), [true, true, false]);
            drop(held);
            assert_eq!(holds().each_ref().map(Option::is_some), [true, true, false]);
        })
        .join()
        .unwrap();
    }
}
