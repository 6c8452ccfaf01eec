//! The read buffer that a thread lends to whichever connection is reading.
//!
//! A connection that has nothing unread owns no read buffer, so ten thousand idle ones cost nothing, and the bytes
//! that are touched stay in the cache. A buffer is lent for one poll and comes back zeroed as far as the stream says that it was filled: no received
//! byte outlives that poll in it, and a stream that looks into the buffer it is given finds zeros. A stream that is itself a
//! WebSocket reads while its reader reads, so there is a small stack of buffers.

use std::cell::RefCell;

/// Bytes one poll can read.
const SIZE: usize = 64 << 10;
/// Buffers that a thread keeps: one, and one for a stream within a stream.
const KEPT: usize = 2;

thread_local! {
    static BUFFERS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer on loan.
pub(crate) struct Scratch {
    bytes: Box<[u8]>,
    /// How much of it was filled.
    used: usize,
}

impl Scratch {
    /// Borrows a buffer from this thread.
    pub(crate) fn borrow() -> Self {
        // At the end of a thread, when its locals are gone, a connection may still be polled.
        let kept = BUFFERS.try_with(|buffers| buffers.borrow_mut().pop()).ok().flatten();
        Self { bytes: kept.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice()), used: 0 }
    }

    /// All of it, zeroed.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Notes that the first `len` bytes have been filled, and shows them.
    pub(crate) fn filled(&mut self, len: usize) -> &[u8] {
        self.used = len;
        self.bytes.get(..len).unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(used) = self.bytes.get_mut(..self.used) {
            used.fill(0);
        }
        let bytes = std::mem::take(&mut self.bytes);
        // A failure means that the thread ends: the buffer goes with it.
        let _ended = BUFFERS.try_with(|buffers| {
            let mut buffers = buffers.borrow_mut();
            if buffers.len() < KEPT {
                buffers.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_zeroed_and_is_lent_again() {
        let mut first = Scratch::borrow();
        let place = first.space().as_ptr();
        first.space()[..5].copy_from_slice(b"hello");
        assert_eq!(first.filled(5), b"hello");
        let mut second = Scratch::borrow();
        assert_ne!(second.space().as_ptr(), place, "a stream within a stream has a buffer of its own");
        drop(first);
        let mut again = Scratch::borrow();
        assert_eq!(again.space().as_ptr(), place);
        assert!(again.space().iter().all(|byte| *byte == 0));
    }
}
