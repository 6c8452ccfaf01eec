//! What a connection has read and not looked at, and the read buffer that a thread lends to whichever connection is reading.
//!
//! A connection that has nothing unread owns no read buffer, so ten thousand idle ones cost nothing, and the bytes
//! that are touched stay in the cache. A buffer is lent for one poll, or for as long as there is something left in it if a read filled half of
//! it and more: then what was read need not be moved, and memory still follows what has come. It comes back zeroed as far as the stream
//! says that it was filled: no byte that one connection received is ever in a buffer that another lends to its stream. A stream that is
//! itself a WebSocket reads while its reader reads, so there is a small stack of buffers.

use std::cell::Cell;

use crate::protocol::spare;

/// Bytes one poll can read.
const SIZE: usize = 64 << 10;
/// A read that brought so little moves to memory of its own before it is looked at, and one that brought half a buffer stays in it. What
/// lies between is looked at first, so that what a message is copied for also unmasks it.
const SHORT: usize = 512;

thread_local! {
    /// One, and one for a stream within a stream.
    static BUFFERS: [Cell<Vec<u8>>; 2] = const { [Cell::new(Vec::new()), Cell::new(Vec::new())] };
}

/// What was read and not looked at: in the thread's buffer, or in memory of its own.
#[derive(Default)]
pub(crate) struct ReadBuffer {
    /// The thread's, if it is as long as that.
    bytes: Vec<u8>,
    /// What is unread, as a range of it.
    at: usize,
    end: usize,
    /// Where the message begins that was taken last, if it lies here; it ends at `at`.
    shown: usize,
}

impl ReadBuffer {
    /// One in which `unread` is unread.
    pub(crate) const fn of(unread: Vec<u8>) -> Self {
        Self { at: 0, end: unread.len(), shown: 0, bytes: unread }
    }

    pub(crate) fn into_unread(mut self) -> Vec<u8> {
        self.unread().to_vec()
    }

    pub(crate) const fn len(&self) -> usize {
        self.end.saturating_sub(self.at)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    /// Whether it holds no memory.
    pub(crate) const fn is_released(&self) -> bool {
        self.bytes.capacity() == 0
    }

    pub(crate) fn unread(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.at..self.end).unwrap_or_default()
    }

    /// The message that was taken last, if it lies here; empty otherwise.
    pub(crate) fn shown(&self) -> &[u8] {
        self.bytes.get(self.shown..self.at).unwrap_or_default()
    }

    /// Takes `len` bytes from the front, of which those from `start` on are shown.
    pub(crate) const fn take(&mut self, start: usize, len: usize) {
        self.shown = self.at.saturating_add(start);
        self.at = self.at.saturating_add(len);
    }

    /// Shows nothing any more, and takes `len` bytes from the front.
    pub(crate) const fn skip(&mut self, len: usize) {
        self.take(len, len);
    }

    /// A whole buffer of the thread's to read into, once nothing is unread; zeroed, or with what this connection had in it before.
    #[inline]
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.bytes.len() != SIZE {
            self.release();
            self.bytes = borrow();
        }
        &mut self.bytes
    }

    /// Notes that the first `len` bytes have been filled: they are unread now.
    #[inline]
    pub(crate) fn filled(&mut self, len: usize) {
        if len < self.end
            && let Some(before) = self.bytes.get_mut(len..self.end)
        {
            before.fill(0);
        }
        (self.at, self.end, self.shown) = (0, len, 0);
        if len <= SHORT {
            self.settle();
        }
    }

    /// Whether the bytes stay where they are until they are looked at.
    pub(crate) const fn stays(&self) -> bool {
        self.bytes.len() != SIZE || self.end >= SIZE / 2
    }

    /// Ends a poll: what is left of a read that did not bring much moves to memory of its own, and the thread has its buffer again.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if !self.stays() {
            self.move_out();
        }
    }

    fn move_out(&mut self) {
        // More than a little, behind a message, is seldom, and not for the thread to keep.
        let mut own = if matches!(self.len(), 1..=SHORT) { spare::take() } else { Vec::new() };
        own.extend_from_slice(self.unread());
        let (left, used) = (own.len(), self.end);
        give_back(std::mem::replace(&mut self.bytes, own), used);
        (self.at, self.end, self.shown) = (0, left, 0);
    }

    /// Gives the buffer back, with what is in it.
    #[inline]
    pub(crate) fn release(&mut self) {
        if self.bytes.capacity() > 0 {
            let bytes = std::mem::take(&mut self.bytes);
            if bytes.len() == SIZE {
                give_back(bytes, self.end);
            } else if bytes.len() <= SHORT {
                spare::give(bytes);
            }
        }
        (self.at, self.end, self.shown) = (0, 0, 0);
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        self.release();
    }
}

#[inline]
fn borrow() -> Vec<u8> {
    let take = |[first, second]: &[Cell<Vec<u8>>; 2]| match first.take() {
        none if none.is_empty() => second.take(),
        buffer => buffer,
    };
    // At the end of a thread, when its locals are gone, a connection may still be polled.
    match BUFFERS.try_with(take) {
        Ok(buffer) if !buffer.is_empty() => buffer,
        _ => vec![0; SIZE],
    }
}

#[inline]
fn give_back(mut buffer: Vec<u8>, used: usize) {
    if let Some(used) = buffer.get_mut(..used) {
        used.fill(0);
    }
    // A failure means that the thread ends: the buffer goes with it.
    let _ended = BUFFERS.try_with(|[first, second]| {
        let other = first.replace(buffer);
        if !other.is_empty() {
            second.set(other);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_zeroed(buffer: &mut ReadBuffer) -> bool {
        buffer.space().iter().all(|byte| *byte == 0)
    }

    #[test]
    fn a_buffer_comes_back_zeroed_and_is_lent_again() {
        let mut first = ReadBuffer::default();
        let place = first.space().as_ptr();
        let long = b"hello".repeat(1000);
        first.space()[..5000].copy_from_slice(&long);
        first.filled(5000);
        assert_eq!((first.unread().as_ptr(), first.len()), (place, 5000));
        let mut second = ReadBuffer::default();
        assert_ne!(second.space().as_ptr(), place, "a stream within a stream has a buffer of its own");
        first.skip(1);
        first.settle();
        assert_eq!(first.unread(), &long[1..], "in memory of its own");
        let mut again = ReadBuffer::default();
        assert_eq!(again.space().as_ptr(), place);
        assert!(is_zeroed(&mut again));
    }

    #[test]
    fn a_buffer_that_a_read_filled_stays_and_comes_back_zeroed_also_after_a_shorter_read() {
        let mut first = ReadBuffer::default();
        let place = first.space().as_ptr();
        first.space().fill(1);
        first.filled(SIZE);
        first.settle();
        assert_eq!((first.unread().as_ptr(), first.len()), (place, SIZE));
        first.take(10, 100);
        assert_eq!(first.shown(), [1; 90]);
        first.skip(SIZE - 100);
        assert!(first.shown().is_empty() && first.is_empty());
        first.space()[..3].fill(2);
        first.filled(3);
        assert_eq!(first.unread(), [2; 3]);
        first.settle();
        assert_eq!(first.unread(), [2; 3]);
        let mut again = ReadBuffer::default();
        assert_eq!(again.space().as_ptr(), place);
        assert!(is_zeroed(&mut again));
    }
}
