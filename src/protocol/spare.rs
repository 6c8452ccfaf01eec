//! Buffers that a thread's connections hand to each other.
//!
//! A connection holds a buffer while there is something in it. When it falls empty it goes back to the thread, for whichever
//! connection needs one next: so no message costs an allocation once things run, and an idle connection holds none.

use std::cell::Cell;

/// Buffers that a thread keeps.
const KEPT: usize = 8;
/// Bytes of the largest one that it keeps.
const MAX: usize = 64 << 10;

thread_local! {
    static SPARE: Cell<Vec<Vec<u8>>> = const { Cell::new(Vec::new()) };
}

/// An empty buffer; one with room already, if there is one.
pub(super) fn take() -> Vec<u8> {
    // At the end of a thread, when its locals are gone, a connection may still be polled.
    let with = |spare: &Cell<Vec<Vec<u8>>>| {
        let mut kept = spare.take();
        let buffer = kept.pop();
        spare.set(kept);
        buffer
    };
    SPARE.try_with(with).ok().flatten().unwrap_or_default()
}

/// Hands a buffer on. What is in it is forgotten.
pub(super) fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > MAX {
        return;
    }
    buffer.clear();
    let _ended = SPARE.try_with(|spare| {
        let mut kept = spare.take();
        if kept.len() < KEPT {
            kept.push(buffer);
        }
        spare.set(kept);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_handed_on_empty_unless_it_is_large_or_there_are_enough() {
        std::thread::spawn(|| {
            assert_eq!(take().capacity(), 0);
            give(Vec::new());
            assert_eq!(take().capacity(), 0);
            give(vec![1; 100]);
            let again = take();
            assert!(again.is_empty() && again.capacity() >= 100);
            give(vec![1; MAX + 1]);
            assert_eq!(take().capacity(), 0);
            for _ in 0..100 {
                give(vec![1; 10]);
            }
            let kept = std::iter::repeat_with(take).take_while(|buffer| buffer.capacity() > 0).count();
            assert_eq!(kept, KEPT);
        })
        .join()
        .unwrap();
    }
}
