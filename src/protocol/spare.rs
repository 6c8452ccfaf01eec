//! Buffers that a thread's connections hand to each other.
//!
//! A connection holds a buffer while there is something in it. When it falls empty it goes back to the thread, for whichever
//! connection needs one next: so no message costs an allocation once things run, and an idle connection holds none. What a thread
//! keeps is bounded: eight buffers of up to 64 KiB, and two of up to 2 MiB for long messages, whose pages would otherwise be
//! asked of the system and given back for each.

use std::cell::Cell;

/// Buffers that a thread keeps, and bytes of the largest of them.
const SMALL: (usize, usize) = (8, 64 << 10);
/// The same of large buffers.
const LARGE: (usize, usize) = (2, 2 << 20);

thread_local! {
    /// The small one that was given last: nearly always the one that is wanted next.
    static LAST: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SMALL_ONES: Cell<Vec<Vec<u8>>> = const { Cell::new(Vec::new()) };
    static LARGE_ONES: Cell<Vec<Vec<u8>>> = const { Cell::new(Vec::new()) };
}

type Kept = std::thread::LocalKey<Cell<Vec<Vec<u8>>>>;

/// An empty buffer; one with room already, if there is one.
#[inline]
pub(crate) fn take() -> Vec<u8> {
    let last = LAST.try_with(Cell::take).unwrap_or_default();
    if last.capacity() > 0 { last } else { take_kept() }
}

#[cold]
fn take_kept() -> Vec<u8> {
    with(&SMALL_ONES, Vec::pop).flatten().unwrap_or_default()
}

/// A large buffer with room for so many bytes, if there is one.
pub(super) fn take_large(len: usize) -> Option<Vec<u8>> {
    let take = |kept: &mut Vec<Vec<u8>>| {
        let place = kept.iter().position(|buffer| buffer.capacity() >= len)?;
        Some(kept.swap_remove(place))
    };
    with(&LARGE_ONES, take).flatten()
}

// Inlined, so that which place it is is known where it is used.
#[inline]
fn with<R>(place: &'static Kept, work: impl FnOnce(&mut Vec<Vec<u8>>) -> R) -> Option<R> {
    let work = |spare: &Cell<Vec<Vec<u8>>>| {
        let mut kept = spare.take();
        let result = work(&mut kept);
        spare.set(kept);
        result
    };
    // At the end of a thread, when its locals are gone, a connection may still be polled.
    place.try_with(work).ok()
}

/// Hands a buffer on. What is in it is forgotten.
#[inline]
pub(crate) fn give(mut buffer: Vec<u8>) {
    match buffer.capacity() {
        0 => {}
        capacity if capacity <= SMALL.1 => {
            buffer.clear();
            match LAST.try_with(|last| last.replace(buffer)) {
                Ok(before) if before.capacity() > 0 => keep(&SMALL_ONES, SMALL.0.saturating_sub(1), before),
                _ => {}
            }
        }
        capacity if capacity <= LARGE.1 => keep(&LARGE_ONES, LARGE.0, buffer),
        _ => {}
    }
}

#[cold]
fn keep(place: &'static Kept, most: usize, mut buffer: Vec<u8>) {
    buffer.clear();
    let _ended = with(place, |kept| {
        kept.push(buffer);
        if kept.len() > most {
            // The one that is of least use.
            let least = (0..kept.len()).min_by_key(|&at| kept.get(at).map(Vec::capacity));
            least.map(|at| kept.swap_remove(at));
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
            give(vec![1; SMALL.1 + 1]);
            assert_eq!(take().capacity(), 0, "a large one is for long messages");
            let large = take_large(SMALL.1).unwrap();
            assert!(large.is_empty() && large.capacity() > SMALL.1);
            give(vec![1; LARGE.1 + 1]);
            assert!(take_large(1).is_none());
            for _ in 0..100 {
                give(vec![1; 10]);
                give(vec![1; SMALL.1 + 1]);
            }
            let small = std::iter::repeat_with(take).take_while(|buffer| buffer.capacity() > 0).count();
            let large = std::iter::repeat_with(|| take_large(SMALL.1)).take_while(Option::is_some).count();
            assert_eq!((small, large), (SMALL.0, LARGE.0));
            for len in [1, 2, 3] {
                give(vec![1; len * SMALL.1 + 1]);
            }
            assert!(
                take_large(3 * SMALL.1).is_some() && take_large(2 * SMALL.1).is_some(),
                "the larger are kept"
            );
            assert!(take_large(1).is_none());
        })
        .join()
        .unwrap();
    }
}
