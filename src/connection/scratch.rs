//! What a connection has read and not looked at, and the read buffers that a thread lends to whichever connections are reading.
//!
//! A connection that waits owns no read buffer, so ten thousand idle ones cost nothing, and the bytes that are touched stay in the cache.
//! One that has read keeps what it was lent until it waits for more: what was read is unmasked, and shown, where it lies. A few may do so at
//! once; beyond those, what a read brought moves to memory of its own, unless it filled half a buffer and more: so memory follows what has
//! come, also of ten thousand connections whose users do something else before they receive again. A buffer comes back zeroed as far as
//! the stream says that it was filled, or whole after a read that failed: no byte that one connection received is ever in a buffer that
//! another lends to its stream.

use std::cell::Cell;

use crate::protocol::spare;

/// Where a read may not stay in the thread's buffer: one that brought so little moves to memory of its own before it is looked at. What lies
/// between this and half a buffer is looked at first, so that what a message is copied for also unmasks it.
const SHORT: usize = 512;
/// So many buffers may be lent and hold little.
const LENT: usize = 8;

/// The buffers of a thread.
struct Buffers {
    /// The one that was given back last: nearly always the one that is lent next.
    last: Cell<Vec<u8>>,
    /// The others that are not lent.
    kept: Cell<Vec<Vec<u8>>>,
    lent: Cell<usize>,
}

thread_local! {
    static BUFFERS: Buffers = const {
        Buffers { last: Cell::new(Vec::new()), kept: Cell::new(Vec::new()), lent: Cell::new(0) }
    };
}

impl Buffers {
    #[inline]
    fn borrow(&self) -> Vec<u8> {
        self.lent.update(|lent| lent.saturating_add(1));
        let last = self.last.take();
        if last.is_empty() { self.borrow_kept() } else { last }
    }

    #[cold]
    fn borrow_kept(&self) -> Vec<u8> {
        let mut kept = self.kept.take();
        let buffer = kept.pop();
        self.kept.set(kept);
        buffer.unwrap_or_else(zeroed)
    }

    #[inline]
    fn give_back(&self, buffer: Vec<u8>) {
        self.lent.update(|lent| lent.saturating_sub(1));
        let before = self.last.replace(buffer);
        if !before.is_empty() {
            self.keep(before);
        }
    }

    #[cold]
    fn keep(&self, buffer: Vec<u8>) {
        let mut kept = self.kept.take();
        // With the last, one more than may stay lent, for a read.
        if kept.len() < LENT {
            kept.push(buffer);
        }
        self.kept.set(kept);
    }
}

fn zeroed() -> Vec<u8> {
    vec![0; ReadBuffer::SIZE]
}

/// What was read and not looked at: in a buffer of the thread's, or in memory of its own.
#[derive(Default)]
pub(crate) struct ReadBuffer {
    bytes: Vec<u8>,
    /// What is unread, as a range of it.
    at: usize,
    end: usize,
    /// Where the message begins that was taken last, if it lies here; it ends at `at`.
    shown: usize,
    holder: Holder,
}

/// Whose memory it is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Holder {
    #[default]
    Own,
    /// The thread's, lent for a read.
    Lent,
    /// The thread's, kept with what is in it.
    Kept,
    /// The thread's, but nobody knows what a stream that has ended or failed has left in it.
    Spoilt,
}

impl ReadBuffer {
    /// Bytes one poll can read.
    const SIZE: usize = 64 << 10;

    /// One in which `unread` is unread.
    pub(crate) const fn of(unread: Vec<u8>) -> Self {
        Self { at: 0, end: unread.len(), shown: 0, bytes: unread, holder: Holder::Own }
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
        if matches!(self.holder, Holder::Own | Holder::Spoilt) {
            self.release();
            self.bytes = borrow();
        }
        // Until the read has come to its end.
        self.holder = Holder::Spoilt;
        &mut self.bytes
    }

    /// Notes that nothing has been filled: there was nothing to read.
    #[inline]
    pub(crate) const fn untouched(&mut self) {
        self.holder = Holder::Lent;
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
        self.holder = if len >= ReadBuffer::SIZE / 2 || may_keep() { Holder::Kept } else { Holder::Lent };
        if len <= SHORT {
            self.settle();
        }
    }

    /// Whether the bytes stay where they are until they are looked at.
    pub(crate) const fn stays(&self) -> bool {
        matches!(self.holder, Holder::Own | Holder::Kept)
    }

    /// Ends a poll: what is left of a read moves to memory of its own if the buffer is not kept, and the thread has that again.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if !self.stays() {
            self.move_out();
        }
    }

    #[cold]
    fn move_out(&mut self) {
        // More than a little, behind a message, is seldom, and not for the thread to keep.
        let mut own = if matches!(self.len(), 1..=SHORT) { spare::take() } else { Vec::new() };
        own.extend_from_slice(self.unread());
        let (left, used) = (own.len(), self.end);
        give_back(std::mem::replace(&mut self.bytes, own), used);
        (self.at, self.end, self.shown, self.holder) = (0, left, 0, Holder::Own);
    }

    /// Gives the buffer back, with what is in it.
    #[inline]
    pub(crate) fn release(&mut self) {
        if self.bytes.capacity() > 0 {
            self.release_held();
        }
    }

    fn release_held(&mut self) {
        let Self { bytes, end, holder, .. } = self;
        let (bytes, used, holder) = (std::mem::take(bytes), *end, std::mem::take(holder));
        (self.at, self.end, self.shown) = (0, 0, 0);
        match holder {
            Holder::Lent | Holder::Kept => give_back(bytes, used),
            Holder::Spoilt => give_back(bytes, ReadBuffer::SIZE),
            Holder::Own if bytes.len() <= SHORT => spare::give(bytes),
            Holder::Own => {}
        }
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        self.release();
    }
}

/// One of the thread's buffers, zeroed.
#[inline]
fn borrow() -> Vec<u8> {
    // At the end of a thread, when its locals are gone, a connection may still be polled.
    BUFFERS.try_with(Buffers::borrow).unwrap_or_else(|_| zeroed())
}

/// Whether one that is lent may be kept though it holds little.
#[inline]
fn may_keep() -> bool {
    BUFFERS.try_with(|buffers| buffers.lent.get() <= LENT).unwrap_or(false)
}

#[inline]
fn give_back(mut buffer: Vec<u8>, used: usize) {
    if let Some(used) = buffer.get_mut(..used) {
        used.fill(0);
    }
    // A failure means that the thread ends: the buffer goes with it.
    let _ended = BUFFERS.try_with(|buffers| buffers.give_back(buffer));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_zeroed(buffer: &mut ReadBuffer) -> bool {
        buffer.space().iter().all(|byte| *byte == 0)
    }

    /// One that has read so many bytes.
    fn holding(len: usize) -> ReadBuffer {
        let mut buffer = ReadBuffer::default();
        buffer.space()[..len].fill(1);
        buffer.filled(len);
        buffer
    }

    #[test]
    fn what_was_read_stays_where_it_is_and_the_buffer_comes_back_zeroed_and_is_lent_again() {
        let mut first = holding(5000);
        let place = first.unread().as_ptr();
        first.take(10, 100);
        first.settle();
        assert_eq!(first.shown(), [1; 90]);
        assert_eq!(first.unread(), [1; 4900]);
        assert_eq!(first.unread().as_ptr(), place.wrapping_add(100));
        let mut second = ReadBuffer::default();
        assert_ne!(second.space().as_ptr(), place, "it has a buffer of its own");
        first.skip(4900);
        assert!(first.shown().is_empty() && first.is_empty());
        first.space()[..3].fill(2);
        first.filled(3);
        assert_eq!(first.unread(), [2; 3]);
        assert_eq!(first.unread().as_ptr(), place);
        first.release();
        let mut again = ReadBuffer::default();
        assert_eq!(again.space().as_ptr(), place);
        assert!(is_zeroed(&mut again), "also where the longer read was");
    }

    #[test]
    fn where_many_hold_a_little_it_moves_to_memory_of_their_own() {
        let held: Vec<_> = (0..LENT).map(|_| holding(1)).collect();
        assert!(held.iter().all(|buffer| buffer.bytes.len() == ReadBuffer::SIZE));
        for len in [1, SHORT] {
            assert_eq!(holding(len).unread(), vec![1; len]);
            assert!(holding(len).bytes.capacity() <= 2 * SHORT);
        }
        // What is between is looked at first.
        let mut long = holding(SHORT + 1);
        assert!(!long.stays());
        long.skip(1);
        long.settle();
        assert!(long.stays() && long.unread() == [1; SHORT] && long.bytes.capacity() <= 2 * SHORT);
        let mut full = holding(ReadBuffer::SIZE / 2);
        full.settle();
        assert!(full.stays() && full.bytes.len() == ReadBuffer::SIZE, "half a buffer stays all the same");
        drop(held);
        assert_eq!(holding(1).bytes.len(), ReadBuffer::SIZE);
    }

    #[test]
    fn what_was_read_ahead_is_no_buffer_of_the_thread_s_however_long_it_is() {
        let mut lent = ReadBuffer::default();
        let place = lent.space().as_ptr();
        lent.untouched();
        drop(ReadBuffer::of(vec![1; ReadBuffer::SIZE]));
        assert_eq!(BUFFERS.with(|buffers| buffers.lent.get()), 1);
        drop(lent);
        let mut again = ReadBuffer::default();
        assert_eq!(again.space().as_ptr(), place);
        assert!(is_zeroed(&mut again));
    }

    #[test]
    fn a_buffer_in_which_a_read_failed_comes_back_zeroed_whole_and_is_lent_again() {
        let mut spoilt = ReadBuffer::default();
        spoilt.space().fill(1);
        let place = spoilt.bytes.as_ptr();
        drop(spoilt);
        assert_eq!(BUFFERS.with(|buffers| buffers.lent.get()), 0);
        let mut again = ReadBuffer::default();
        assert!(is_zeroed(&mut again));
        assert_eq!(again.bytes.as_ptr(), place, "a connection that ends costs the thread no buffer");
    }

    #[test]
    fn a_thread_keeps_no_more_buffers_than_may_be_lent() {
        drop((0..4 * LENT).map(|_| holding(ReadBuffer::SIZE)).collect::<Vec<_>>());
        let kept = BUFFERS.with(|buffers| {
            let kept = buffers.kept.take();
            assert!(!buffers.last.take().is_empty());
            (kept.len(), buffers.lent.get())
        });
        assert_eq!(kept, (LENT, 0));
    }
}
