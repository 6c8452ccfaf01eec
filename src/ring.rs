//! `new_shared`: bytes from many writers' turns to one reader, on one thread.
//!
//! A task that owns a room writes records for a client with [`BufWriter::write`], which never waits; the client's
//! task takes whatever has gathered with [`BufReader::read`] and sends it in one message. It is a queue of bytes
//! with a bound, not of objects: a hundred small records are one contiguous slice, one `send`, one frame.
//!
//! **Strategy.** Two buffers that change places. The writer appends to the *back* buffer. A read swaps it for the
//! empty *front* buffer, which the reader owns by value, and lends it out through a guard; so bytes under a guard
//! are out of the writer's reach by construction, every read is contiguous, and a record, which is appended whole
//! or not at all, is never split over two reads. Dropping the guard empties the front buffer: that is all that
//! "advancing the read head" takes.
//!
//! **Shared state** is an `Rc` of `Cell`s. Each is taken, changed and put back, with nothing foreign called in
//! between, so there is no borrow that could fail; the one waker is woken and dropped when all is in its place.
//!
//! **Memory follows the bytes.** Each buffer grows to what is written, never past the capacity, and when the ring
//! falls empty, what is larger than 4 KiB is freed.
//!
//! # What it is not
//!
//! *Not an `UnsafeCell`.* A ring over one allocation, with the guard pointing into it, needs `unsafe` to lend the
//! reader one region while the writer fills another.
//! Measured against one (release, one core of a shared Xeon; a waiting read, the writes, a read): a lone record of
//! 32 bytes took 23 to 27 ns here and 9 to 11 there; sixteen of 32 bytes a read, 7 to 9 and 4 to 6 ns each; of
//! 1 KiB, 25 and 14; three of 16 KiB a read, where our buffers are freed and grown anew each time, 0.7 us and 0.3 us
//! each. The `write` to the socket that follows each read takes some microseconds: the difference does not buy
//! `unsafe`. (The bip buffer also holds 64 KiB from the start, and refuses a record that fits in sum but not in one
//! piece.)
//!
//! *Not an [`io::Write`](std::io::Write).* `write!` and serializers hand over a record in several calls, and the
//! third may be refused when two have been taken: the record would be cut, which is the one thing this type is
//! here to prevent. Put a record together in a `Vec` and write it once.

use std::cell::Cell;
use std::error;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Bytes that [`new_shared`] holds at most: as the outbox of a connection.
const DEFAULT_CAPACITY: usize = 64 << 10;

/// Buffers up to this size are kept when the ring falls empty.
const KEEP: usize = 4 << 10;

/// A ring of 64 KiB: the two halves of a buffer shared within one thread.
///
/// See [`new_shared_with_capacity`] for another size. Neither half is `Send`: both belong to the thread that made
/// them.
///
/// # Examples
///
/// ```
/// use futures_lite::future::{block_on, zip};
/// use unsync_websocket::new_shared;
///
/// let (writer, mut reader) = new_shared();
/// let writing = async move {
///     writer.write(b"one, ")?;
///     writer.write(b"two")
///     // `writer` is dropped here, which ends the reader
/// };
/// let reading = async move {
///     let mut all = Vec::new();
///     while let Some(buf) = reader.read().await {
///         all.extend_from_slice(&buf);
///         // `buf` is dropped here, which advances the read head
///     }
///     all
/// };
/// let (written, all) = block_on(zip(writing, reading));
/// assert_eq!(written, Ok(()));
/// assert_eq!(all, b"one, two");
/// ```
pub fn new_shared() -> (BufWriter, BufReader) {
    new_shared_with_capacity(DEFAULT_CAPACITY)
}

/// A ring that holds at most `capacity` bytes, those under a read guard counted.
///
/// Nothing is allocated for them ahead. A capacity of zero is legal, and refuses every record but the empty one.
///
/// # Examples
///
/// ```
/// use unsync_websocket::{RingError, new_shared_with_capacity};
///
/// let (writer, _reader) = new_shared_with_capacity(8);
/// assert_eq!(writer.write(b"12345"), Ok(()));
/// assert_eq!(writer.write(b"6789"), Err(RingError::Full { len: 4, free: 3 }));
/// assert_eq!(writer.write(b"678"), Ok(()));
/// ```
pub fn new_shared_with_capacity(capacity: usize) -> (BufWriter, BufReader) {
    let shared = Rc::new(Shared {
        back: Cell::new(Vec::new()),
        held: Cell::new(0),
        capacity,
        waker: Cell::new(None),
        writer: Cell::new(Half::Alive),
        reader: Cell::new(Half::Alive),
    });
    let writer = BufWriter { shared: Rc::clone(&shared) };
    (writer, BufReader { shared, front: Vec::new() })
}

/// Whether somebody is still there at one end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Alive,
    Gone,
}

/// What both halves see.
struct Shared {
    /// What was written and not yet taken by a read.
    back: Cell<Vec<u8>>,
    /// Bytes under a guard: they count against the capacity until it is dropped.
    held: Cell<usize>,
    capacity: usize,
    /// The reader's task, while a read waits.
    waker: Cell<Option<Waker>>,
    writer: Cell<Half>,
    reader: Cell<Half>,
}

impl Shared {
    /// Bytes written and not yet taken by a read.
    fn waiting(&self) -> usize {
        let back = self.back.take();
        let len = back.len();
        self.back.set(back);
        len
    }

    /// Calls the reader's task, if a read waits. The last thing its callers do: a waker may run anything.
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Leaves `waker` for the writer to call. What it displaces is dropped when all is in place.
    fn register(&self, waker: &Waker) {
        let displaced = match self.waker.take() {
            Some(same) if same.will_wake(waker) => {
                self.waker.set(Some(same));
                return;
            }
            displaced => displaced,
        };
        self.waker.set(Some(waker.clone()));
        drop(displaced);
    }

    /// The reader will read no more: what waits is for nobody.
    fn end_reader(&self) {
        self.reader.set(Half::Gone);
        self.held.set(0);
        drop(self.back.take());
        drop(self.waker.take());
    }
}

/// Appends `record`, growing by doubling but not past `capacity`, as `Vec` left alone would.
fn append(buffer: &mut Vec<u8>, record: &[u8], capacity: usize) {
    let needed = buffer.len().saturating_add(record.len());
    if needed > buffer.capacity() {
        let doubled = buffer.capacity().saturating_mul(2).min(capacity);
        buffer.reserve_exact(doubled.max(needed).saturating_sub(buffer.len()));
    }
    buffer.extend_from_slice(record);
}

/// Frees an empty buffer that is not worth keeping.
fn trim(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEEP {
        *buffer = Vec::new();
    }
}

/// The writing half of a ring, made by [`new_shared`].
///
/// Writing never waits. Dropping the writer wakes the reader, which reads what is left and then `None`.
///
/// # Examples
///
/// See [`new_shared`].
pub struct BufWriter {
    shared: Rc<Shared>,
}

impl BufWriter {
    /// Appends `record`, whole or not at all, and wakes the reader if it waits.
    ///
    /// All bytes of one call are seen by one read. Records written before the reader's task runs again are seen by
    /// the same read, in order, and wake it once. An empty record does nothing.
    ///
    /// # Errors
    ///
    /// Nothing of the record was written:
    ///
    /// * [`RingError::Full`]: the reader is behind. The caller decides: drop the record, or the client.
    /// * [`RingError::TooLong`]: the record is longer than the whole ring and will never fit.
    /// * [`RingError::ReaderGone`]: nobody will read. Harmless, and the same for every later write.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_lite::future::block_on;
    /// use unsync_websocket::{RingError, new_shared};
    ///
    /// let (writer, mut reader) = new_shared();
    /// writer.write(b"tick")?;
    /// writer.write(b"tock")?;
    /// assert_eq!(&block_on(reader.read()).unwrap()[..], b"ticktock");
    ///
    /// drop(reader);
    /// assert_eq!(writer.write(b"tick"), Err(RingError::ReaderGone));
    /// # Ok::<(), RingError>(())
    /// ```
    pub fn write(&self, record: &[u8]) -> Result<(), RingError> {
        let shared = &*self.shared;
        if shared.reader.get() == Half::Gone {
            return Err(RingError::ReaderGone);
        }
        if record.is_empty() {
            return Ok(());
        }
        let (len, capacity, free) = (record.len(), shared.capacity, self.free());
        if len > capacity {
            return Err(RingError::TooLong { len, capacity });
        }
        if len > free {
            return Err(RingError::Full { len, free });
        }
        let mut back = shared.back.take();
        append(&mut back, record, capacity);
        shared.back.set(back);
        shared.wake();
        Ok(())
    }

    /// Bytes that a record may have now.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::new_shared_with_capacity;
    ///
    /// let (writer, _reader) = new_shared_with_capacity(10);
    /// writer.write(b"1234").unwrap();
    /// assert_eq!(writer.free(), 6);
    /// ```
    pub fn free(&self) -> usize {
        let used = self.shared.waiting().saturating_add(self.shared.held.get());
        self.shared.capacity.saturating_sub(used)
    }

    /// Bytes that the ring holds at most.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(unsync_websocket::new_shared().0.capacity(), 65_536);
    /// ```
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }

    /// Whether the reader is gone, so that every write will be refused.
    ///
    /// # Examples
    ///
    /// ```
    /// let (writer, reader) = unsync_websocket::new_shared();
    /// assert!(!writer.is_closed());
    /// drop(reader);
    /// assert!(writer.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.reader.get() == Half::Gone
    }
}

impl Drop for BufWriter {
    fn drop(&mut self) {
        self.shared.writer.set(Half::Gone);
        self.shared.wake();
    }
}

impl fmt::Debug for BufWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufWriter").field("capacity", &self.capacity()).field("free", &self.free()).finish()
    }
}

/// The reading half of a ring, made by [`new_shared`].
///
/// Dropping it frees what was not read; later writes are refused with [`RingError::ReaderGone`].
///
/// # Examples
///
/// See [`new_shared`].
pub struct BufReader {
    shared: Rc<Shared>,
    /// The bytes under the guard; empty when there is none.
    front: Vec<u8>,
}

impl BufReader {
    /// Waits for bytes and lends all that have been written: whole records, in order, contiguous, at least one byte.
    ///
    /// Dropping the guard advances the read head. It may be held across an await as long as one likes: writing goes
    /// on meanwhile and never touches its bytes, which count against the capacity until it is dropped.
    ///
    /// `None` when the writer is gone and everything has been read, and for ever after. Also when an earlier guard
    /// was leaked ([`mem::forget`]): its bytes can neither be freed nor read twice, so the reader ends there, as if
    /// it had been dropped.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: bytes leave the ring only when a guard is dropped, and the future is dropped before it makes
    /// one or after it gave it away.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_lite::future::block_on;
    /// use unsync_websocket::new_shared;
    ///
    /// block_on(async {
    ///     let (writer, mut reader) = new_shared();
    ///     writer.write(b"ping").unwrap();
    ///     let mut buf = reader.read().await.unwrap();
    ///     writer.write(b"later").unwrap();       // goes on, out of reach of the guard
    ///     buf[1] = b'o';                         // the bytes are ours to change
    ///     assert_eq!(&buf[..], b"pong");
    ///     drop(buf);
    ///
    ///     drop(writer);
    ///     assert_eq!(&reader.read().await.unwrap()[..], b"later");
    ///     assert!(reader.read().await.is_none());
    /// });
    /// ```
    pub async fn read(&mut self) -> Option<ReadGuard<'_>> {
        let filled = poll_fn(|cx| self.poll_filled(cx)).await;
        filled.then(|| ReadGuard { reader: self })
    }

    /// [`read`](Self::read) for hand-written futures. On `Pending` the task of `cx` is woken by the next write or by
    /// the end of the writer; only the latest caller's is.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::task::{Context, Poll, Waker};
    ///
    /// let mut cx = Context::from_waker(Waker::noop());
    /// let (writer, mut reader) = unsync_websocket::new_shared();
    /// assert!(reader.poll_read(&mut cx).is_pending());
    /// writer.write(b"tick").unwrap();
    /// let Poll::Ready(Some(buf)) = reader.poll_read(&mut cx) else { panic!("bytes are there") };
    /// assert_eq!(&buf[..], b"tick");
    /// ```
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<ReadGuard<'_>>> {
        self.poll_filled(cx).map(|filled| filled.then(|| ReadGuard { reader: self }))
    }

    /// Waits until the front buffer has bytes (`true`) or never will have (`false`).
    fn poll_filled(&mut self, cx: &Context<'_>) -> Poll<bool> {
        if !self.front.is_empty() {
            self.end_after_leak();
        }
        if let Some(filled) = self.try_fill() {
            return Poll::Ready(filled);
        }
        self.shared.register(cx.waker());
        // Cloning one waker and dropping another ran foreign code, which may have written before our waker was in
        // its place: look again.
        match self.try_fill() {
            Some(filled) => Poll::Ready(filled),
            None => Poll::Pending,
        }
    }

    /// Swaps the buffers if the back one has bytes; `None` while it has none and the writer lives.
    fn try_fill(&mut self) -> Option<bool> {
        let shared = &*self.shared;
        if shared.reader.get() == Half::Gone {
            return Some(false);
        }
        let back = shared.back.take();
        if back.is_empty() {
            shared.back.set(back);
            return (shared.writer.get() == Half::Gone).then_some(false);
        }
        shared.held.set(back.len());
        shared.back.set(mem::replace(&mut self.front, back));
        Some(true)
    }

    /// A guard was dropped. While records keep coming both buffers are kept as they are; when the ring falls empty,
    /// big ones are freed.
    fn release(&mut self) {
        self.front.clear();
        self.shared.held.set(0);
        let mut back = self.shared.back.take();
        if back.is_empty() {
            trim(&mut back);
            trim(&mut self.front);
        }
        self.shared.back.set(back);
    }

    /// A guard was leaked: nobody can tell whether its bytes were used.
    fn end_after_leak(&mut self) {
        self.front = Vec::new();
        self.shared.end_reader();
    }
}

impl Drop for BufReader {
    fn drop(&mut self) {
        self.shared.end_reader();
    }
}

impl fmt::Debug for BufReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufReader").field("waiting", &self.shared.waiting()).finish_non_exhaustive()
    }
}

/// Bytes read from a ring, lent by [`BufReader::read`]. Dropping it advances the read head.
///
/// Derefs to `[u8]`, mutably too, so that a client may mask the bytes where they are.
///
/// # Examples
///
/// ```
/// use futures_lite::future::block_on;
///
/// let (writer, mut reader) = unsync_websocket::new_shared();
/// writer.write(b"abc").unwrap();
/// let mut buf = block_on(reader.read()).unwrap();
/// buf.reverse();
/// assert_eq!(&buf[..], b"cba");
/// ```
pub struct ReadGuard<'a> {
    reader: &'a mut BufReader,
}

impl Deref for ReadGuard<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.reader.front
    }
}

impl DerefMut for ReadGuard<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.reader.front
    }
}

impl Drop for ReadGuard<'_> {
    fn drop(&mut self) {
        self.reader.release();
    }
}

impl fmt::Debug for ReadGuard<'_> {
    /// Tells the length; the bytes are the user's affair.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadGuard").field("len", &self.len()).finish()
    }
}

/// Why a record was refused by [`BufWriter::write`]. Nothing of it was written.
///
/// # Examples
///
/// ```
/// use unsync_websocket::{RingError, new_shared_with_capacity};
///
/// let (writer, reader) = new_shared_with_capacity(8);
/// assert_eq!(writer.write(b"123456789"), Err(RingError::TooLong { len: 9, capacity: 8 }));
/// writer.write(b"12345").unwrap();
/// assert_eq!(writer.write(b"6789"), Err(RingError::Full { len: 4, free: 3 }));
/// drop(reader);
/// assert_eq!(writer.write(b"6"), Err(RingError::ReaderGone));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingError {
    /// The reader is behind and the record does not fit now.
    Full {
        /// Bytes of the record.
        len: usize,
        /// Bytes it might have had.
        free: usize,
    },
    /// The record is longer than the ring and will never fit.
    TooLong {
        /// Bytes of the record.
        len: usize,
        /// Bytes the ring holds.
        capacity: usize,
    },
    /// The reader was dropped (or ended by a leaked guard): nobody will read.
    ReaderGone,
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { len, free } => write!(f, "a record of {len} bytes does not fit: {free} are free"),
            Self::TooLong { len, capacity } => {
                write!(f, "a record of {len} bytes will never fit a ring of {capacity}")
            }
            Self::ReaderGone => f.write_str("the reader of the ring is gone"),
        }
    }
}

impl error::Error for RingError {}

#[cfg(test)]
#[expect(clippy::mem_forget, clippy::arithmetic_side_effects, reason = "a test leaks on purpose and counts")]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::task::Wake;

    use futures_lite::future::{block_on, poll_once};
    use proptest::prelude::*;

    use super::*;

    std::thread_local! {
        /// How often each bell of this thread was rung. Here, since a waker must be `Send` and a count need not be.
        static RUNG: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }

    /// A waker that counts its calls.
    struct Bell(usize);

    impl Bell {
        fn rung(&self) -> usize {
            RUNG.with_borrow(|rung| rung[self.0])
        }
    }

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            RUNG.with_borrow_mut(|rung| rung[self.0] += 1);
        }
    }

    fn bell() -> (Arc<Bell>, Waker) {
        let number = RUNG.with_borrow_mut(|rung| {
            rung.push(0);
            rung.len() - 1
        });
        let bell = Arc::new(Bell(number));
        (Arc::clone(&bell), Waker::from(bell))
    }

    /// Reads without waiting: `Pending`, or a copy of what a read gives.
    fn read_now(reader: &mut BufReader) -> Poll<Option<Vec<u8>>> {
        let mut cx = Context::from_waker(Waker::noop());
        reader.poll_read(&mut cx).map(|guard| guard.map(|guard| guard.to_vec()))
    }

    fn capacities(reader: &BufReader) -> (usize, usize) {
        let back = reader.shared.back.take();
        let capacity = back.capacity();
        reader.shared.back.set(back);
        (reader.front.capacity(), capacity)
    }

    #[test]
    fn records_written_before_a_read_come_together_in_order() {
        let (writer, mut reader) = new_shared();
        writer.write(b"one ").unwrap();
        writer.write(b"").unwrap();
        writer.write(b"two ").unwrap();
        writer.write(b"three").unwrap();
        assert_eq!(read_now(&mut reader), Poll::Ready(Some(b"one two three".to_vec())));
        assert_eq!(read_now(&mut reader), Poll::Pending);
    }

    #[test]
    fn an_empty_record_neither_wakes_nor_is_read() {
        let (writer, mut reader) = new_shared();
        let (bell, waker) = bell();
        assert!(reader.poll_read(&mut Context::from_waker(&waker)).is_pending());
        writer.write(b"").unwrap();
        assert_eq!(bell.rung(), 0);
        assert_eq!(read_now(&mut reader), Poll::Pending);
    }

    #[test]
    fn many_writes_wake_a_waiting_reader_once() {
        let (writer, mut reader) = new_shared();
        let (bell, waker) = bell();
        assert!(reader.poll_read(&mut Context::from_waker(&waker)).is_pending());
        for _ in 0..100 {
            writer.write(b"tick").unwrap();
        }
        assert_eq!(bell.rung(), 1);
    }

    #[test]
    fn only_the_latest_waker_is_called() {
        let (writer, mut reader) = new_shared();
        let ((old_bell, old), (new_bell, new)) = (bell(), bell());
        for waker in [&old, &old, &new] {
            assert!(reader.poll_read(&mut Context::from_waker(waker)).is_pending());
        }
        writer.write(b"tick").unwrap();
        assert_eq!((old_bell.rung(), new_bell.rung()), (0, 1));
    }

    #[test]
    fn a_guard_keeps_its_bytes_while_writing_goes_on() {
        let (writer, mut reader) = new_shared();
        writer.write(b"first").unwrap();
        block_on(async {
            let mut guard = reader.read().await.unwrap();
            for _ in 0..1000 {
                writer.write(b"later").unwrap();
                futures_lite::future::yield_now().await;
                assert_eq!(&guard[..], b"first");
            }
            guard[0] = b'F';
            assert_eq!(&guard[..], b"First");
            drop(guard);
            assert_eq!(reader.read().await.unwrap().len(), 5000);
        });
    }

    #[test]
    fn a_record_that_does_not_fit_is_refused_whole() {
        let (writer, mut reader) = new_shared_with_capacity(10);
        writer.write(b"123456").unwrap();
        assert_eq!(writer.write(b"78901"), Err(RingError::Full { len: 5, free: 4 }));
        assert_eq!(writer.write(b"78901234567"), Err(RingError::TooLong { len: 11, capacity: 10 }));
        assert_eq!(read_now(&mut reader), Poll::Ready(Some(b"123456".to_vec())));
        assert_eq!(writer.write(b"7890123456"), Ok(()));
    }

    #[test]
    fn bytes_under_a_guard_count_against_the_capacity() {
        let (writer, mut reader) = new_shared_with_capacity(10);
        writer.write(b"123456").unwrap();
        let guard = block_on(reader.read()).unwrap();
        assert_eq!(writer.write(b"12345"), Err(RingError::Full { len: 5, free: 4 }));
        writer.write(b"1234").unwrap();
        assert_eq!(writer.free(), 0);
        drop(guard);
        assert_eq!(writer.free(), 6);
    }

    #[test]
    fn a_ring_of_capacity_zero_takes_the_empty_record_only() {
        let (writer, mut reader) = new_shared_with_capacity(0);
        assert_eq!(writer.write(b""), Ok(()));
        assert_eq!(writer.write(b"1"), Err(RingError::TooLong { len: 1, capacity: 0 }));
        assert_eq!(read_now(&mut reader), Poll::Pending);
    }

    #[test]
    fn what_a_gone_writer_wrote_is_read_before_the_end() {
        let (writer, mut reader) = new_shared();
        writer.write(b"last words").unwrap();
        drop(writer);
        assert_eq!(read_now(&mut reader), Poll::Ready(Some(b"last words".to_vec())));
        assert_eq!(read_now(&mut reader), Poll::Ready(None));
        assert_eq!(read_now(&mut reader), Poll::Ready(None));
    }

    #[test]
    fn dropping_the_writer_wakes_the_reader() {
        let (writer, mut reader) = new_shared();
        let (bell, waker) = bell();
        assert!(reader.poll_read(&mut Context::from_waker(&waker)).is_pending());
        drop(writer);
        assert_eq!(bell.rung(), 1);
        assert_eq!(read_now(&mut reader), Poll::Ready(None));
    }

    #[test]
    fn writing_to_a_gone_reader_is_refused_and_harmless() {
        let (writer, reader) = new_shared();
        writer.write(&[7; 60_000]).unwrap();
        drop(reader);
        assert!(writer.is_closed());
        assert_eq!(writer.shared.waiting(), 0);
        assert_eq!(writer.write(b"hello?"), Err(RingError::ReaderGone));
        assert_eq!(writer.write(b""), Err(RingError::ReaderGone));
    }

    #[test]
    fn a_leaked_guard_ends_the_reader_and_no_more() {
        let (writer, mut reader) = new_shared();
        writer.write(b"leaked").unwrap();
        mem::forget(block_on(reader.read()).unwrap());
        writer.write(b"goes on, as long as there is room").unwrap();
        assert_eq!(read_now(&mut reader), Poll::Ready(None));
        assert_eq!(read_now(&mut reader), Poll::Ready(None));
        assert_eq!(writer.write(b"hello?"), Err(RingError::ReaderGone));
        assert_eq!(capacities(&reader), (0, 0));
    }

    #[test]
    fn a_cancelled_read_loses_nothing() {
        let (writer, mut reader) = new_shared();
        assert!(block_on(poll_once(reader.read())).is_none());
        writer.write(b"kept").unwrap();
        drop(reader.read());
        assert_eq!(read_now(&mut reader), Poll::Ready(Some(b"kept".to_vec())));
    }

    #[test]
    fn an_idle_ring_gives_big_buffers_back_and_keeps_small_ones() {
        let (writer, mut reader) = new_shared();
        for _ in 0..3 {
            writer.write(&[0; 3000]).unwrap();
            assert!(read_now(&mut reader).is_ready());
        }
        assert_eq!(capacities(&reader), (3000, 3000));
        for _ in 0..2 {
            writer.write(&[0; 1000]).unwrap();
            assert!(read_now(&mut reader).is_ready());
        }
        assert_eq!(capacities(&reader), (3000, 3000), "there was room");
        for _ in 0..3 {
            writer.write(&[0; 30_000]).unwrap();
            assert!(read_now(&mut reader).is_ready());
        }
        let (front, back) = capacities(&reader);
        assert!(front <= KEEP && back <= KEEP, "{front} and {back} bytes kept");
    }

    #[test]
    fn an_idle_ring_keeps_buffers_of_just_4_kib() {
        let (writer, mut reader) = new_shared();
        for _ in 0..3 {
            writer.write(&[0; KEEP]).unwrap();
            assert!(read_now(&mut reader).is_ready());
        }
        assert_eq!(capacities(&reader), (KEEP, KEEP));
    }

    #[test]
    fn buffers_do_not_grow_past_the_capacity() {
        let (writer, mut reader) = new_shared_with_capacity(50_000);
        while writer.write(&[0; 70]).is_ok() {}
        let guard = block_on(reader.read()).unwrap();
        assert_eq!(guard.len(), 49_980);
        drop(guard);
        while writer.write(&[0; 70]).is_ok() {}
        let (front, back) = capacities(&reader);
        assert!(front <= 50_000 && back <= 50_000, "{front} and {back}");
    }

    #[test]
    fn debug_output_tells_lengths_and_never_the_bytes() {
        let (writer, mut reader) = new_shared();
        writer.write(b"secret").unwrap();
        assert_eq!(format!("{writer:?}"), "BufWriter { capacity: 65536, free: 65530 }");
        assert_eq!(format!("{reader:?}"), "BufReader { waiting: 6, .. }");
        assert_eq!(format!("{:?}", block_on(reader.read()).unwrap()), "ReadGuard { len: 6 }");
    }

    std::thread_local! {
        /// A writer that [`Meddler`] uses: a waker must be `Send`, so it cannot own one.
        static MEDDLING: RefCell<Option<BufWriter>> = const { RefCell::new(None) };
    }

    /// A waker whose drop writes to the ring.
    struct Meddler;

    impl Wake for Meddler {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Meddler {
        fn drop(&mut self) {
            MEDDLING.with_borrow(|writer| writer.as_ref().unwrap().write(b"boo").unwrap());
        }
    }

    #[test]
    fn a_waker_that_writes_while_it_is_displaced_is_not_missed() {
        let (writer, mut reader) = new_shared();
        MEDDLING.set(Some(writer));
        let waker = Waker::from(Arc::new(Meddler));
        assert!(reader.poll_read(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert_eq!(read_now(&mut reader), Poll::Ready(Some(b"boo".to_vec())));
        MEDDLING.set(None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write(usize),
        /// Takes a guard and keeps it over so many writes of a byte.
        Read(usize),
        DropWriter,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            8 => (0..40_usize).prop_map(Step::Write),
            6 => (0..4_usize).prop_map(Step::Read),
            1 => Just(Step::DropWriter),
        ];
        prop::collection::vec(step, 0..200)
    }

    /// The slow way: records, each on its own.
    #[derive(Default)]
    struct Naive {
        records: VecDeque<Vec<u8>>,
        held: usize,
    }

    impl Naive {
        fn write(&mut self, record: &[u8], capacity: usize) -> Result<(), RingError> {
            let used = self.held + self.records.iter().map(Vec::len).sum::<usize>();
            match record.len() {
                0 => return Ok(()),
                len if len > capacity => return Err(RingError::TooLong { len, capacity }),
                len if len > capacity - used => {
                    return Err(RingError::Full { len, free: capacity - used });
                }
                _ => self.records.push_back(record.to_vec()),
            }
            Ok(())
        }

        fn read(&mut self) -> Vec<u8> {
            let all: Vec<u8> = self.records.drain(..).flatten().collect();
            self.held = all.len();
            all
        }
    }

    proptest! {
        #[test]
        fn the_ring_does_what_a_queue_of_records_does(steps in steps(), capacity in 0..120_usize) {
            let (writer, mut reader) = new_shared_with_capacity(capacity);
            let mut writer = Some(writer);
            let mut naive = Naive::default();
            let (bell, waker) = bell();
            let mut cx = Context::from_waker(&waker);
            let mut waiting = false;
            for (number, step) in steps.into_iter().enumerate() {
                let (rung, mut due) = (bell.rung(), false);
                match (step, &writer) {
                    (Step::Write(len), Some(open)) => {
                        let record = vec![number.to_le_bytes()[0]; len];
                        let written = open.write(&record);
                        prop_assert_eq!(written, naive.write(&record, capacity));
                        due = waiting && written.is_ok() && len > 0;
                    }
                    (Step::DropWriter, Some(_)) => {
                        writer = None;
                        due = waiting;
                    }
                    (Step::Read(writes), open) => {
                        let expected = naive.read();
                        match reader.poll_read(&mut cx) {
                            Poll::Ready(Some(guard)) => {
                                for _ in 0..writes {
                                    if let Some(open) = open {
                                        prop_assert_eq!(open.write(b"!"), naive.write(b"!", capacity));
                                    }
                                }
                                prop_assert_eq!(&guard[..], &expected[..]);
                            }
                            Poll::Ready(None) => prop_assert!(open.is_none() && expected.is_empty()),
                            Poll::Pending => {
                                prop_assert!(open.is_some() && expected.is_empty());
                                waiting = true;
                            }
                        }
                        naive.held = 0;
                    }
                    (_, None) => {}
                }
                prop_assert_eq!(bell.rung() - rung, usize::from(due));
                waiting &= !due;
            }
        }
    }
}
