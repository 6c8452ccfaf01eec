//! Buffers that a thread's connections hand to each other.
//!
//! A connection holds a buffer while there is something in it. When it falls empty it goes back to the thread, for whichever
//! connection needs one next: so no message costs an allocation once things run, and an idle connection holds none. What a thread
//! keeps is bounded: 512 KiB in buffers of up to 64 KiB (many short ones, for a room in which all are told something at once), and two of
//! up to 2 MiB for long messages, whose pages would otherwise be asked of the system and given back for each.

use std::cell::Cell;
use std::thread::LocalKey;

/// Bytes of the largest small buffer, and of all that a thread keeps.
const SMALL: (usize, usize) = (64 << 10, 512 << 10);
/// Large buffers that it keeps, and bytes of the largest of them.
const LARGE: (usize, usize) = (2, 2 << 20);

thread_local! {
    /// The small one that was given last: nearly always the one that is wanted next.
    static LAST: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SMALL_ONES: Cell<Small> = const { Cell::new(Small { buffers: Vec::new(), bytes: 0 }) };
    static LARGE_ONES: Cell<Vec<Vec<u8>>> = const { Cell::new(Vec::new()) };
}

#[derive(Default)]
struct Small {
    buffers: Vec<Vec<u8>>,
    /// That all of them have room for.
    bytes: usize,
}

impl Small {
    fn push(&mut self, buffer: Vec<u8>) {
        let bytes = self.bytes.saturating_add(buffer.capacity());
        if bytes <= SMALL.1 {
            self.bytes = bytes;
            self.buffers.push(buffer);
        }
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let buffer = self.buffers.pop()?;
        self.bytes = self.bytes.saturating_sub(buffer.capacity());
        Some(buffer)
    }
}

/// An empty buffer; one with room already, if there is one.
#[inline]
pub(crate) fn take() -> Vec<u8> {
    let last = LAST.try_with(Cell::take).unwrap_or_default();
    if last.capacity() > 0 { last } else { take_kept() }
}

#[inline(never)]
fn take_kept() -> Vec<u8> {
    with(&SMALL_ONES, Small::pop).flatten().unwrap_or_default()
}

/// A large buffer with room for so many bytes, if there is one.
pub(super) fn take_large(len: usize) -> Option<Vec<u8>> {
    let take = |kept: &mut Vec<Vec<u8>>| {
        let place = kept.iter().position(|buffer| buffer.capacity() >= len)?;
        Some(kept.swap_remove(place))
    };
    with(&LARGE_ONES, take).flatten()
}

fn with<V: Default, R>(place: &'static LocalKey<Cell<V>>, work: impl FnOnce(&mut V) -> R) -> Option<R> {
    let work = |spare: &Cell<V>| {
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
        capacity if capacity <= SMALL.0 => {
            buffer.clear();
            match LAST.try_with(|last| last.replace(buffer)) {
                Ok(before) if before.capacity() > 0 => keep_small(before),
                _ => {}
            }
        }
        capacity if capacity <= LARGE.1 => keep_large(buffer),
        _ => {}
    }
}

#[inline(never)]
fn keep_small(buffer: Vec<u8>) {
    let _ended = with(&SMALL_ONES, |kept| kept.push(buffer));
}

#[cold]
fn keep_large(mut buffer: Vec<u8>) {
    buffer.clear();
    let _ended = with(&LARGE_ONES, |kept| {
        kept.push(buffer);
        if kept.len() > LARGE.0 {
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
            give(vec![1; SMALL.0 + 1]);
            assert_eq!(take().capacity(), 0, "a large one is for long messages");
            let large = take_large(SMALL.0).unwrap();
            assert!(large.is_empty() && large.capacity() > SMALL.0);
            give(vec![1; LARGE.1 + 1]);
            assert!(take_large(1).is_none());
            let small = || std::iter::repeat_with(take).take_while(|buffer| buffer.capacity() > 0).count();
            for _ in 0..2000 {
                give(vec![1; 512]);
            }
            assert_eq!(small(), 1 + SMALL.1 / 512);
            for _ in 0..100 {
                give(vec![1; SMALL.0]);
                give(vec![1; SMALL.0 + 1]);
            }
            assert_eq!(small(), 1 + SMALL.1 / SMALL.0);
            let large = std::iter::repeat_with(|| take_large(SMALL.0)).take_while(Option::is_some).count();
            assert_eq!(large, LARGE.0);
            for len in [1, 2, 3] {
                give(vec![1; len * SMALL.0 + 1]);
            }
            assert!(
                take_large(3 * SMALL.0).is_some() && take_large(2 * SMALL.0).is_some(),
                "the larger are kept"
            );
            assert!(take_large(1).is_none());
        })
        .join()
        .unwrap();
    }
}
