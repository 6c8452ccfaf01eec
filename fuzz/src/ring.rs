//! The ring between a room and a client's task.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use unsync_websocket::{BufReader, BufWriter, RingError, new_shared_with_capacity};
use unsync_websocket_test_alloc::Scope;

use crate::input::Input;

/// What the ring may hold. The largest is beyond twice what it keeps when it is empty.
const CAPACITIES: [usize; 8] = [0, 1, 7, 64, 300, 4096, 5000, 9000];

/// Bytes that count up: a record is a part of them.
static COUNTING: [u8; 12 << 10] = {
    let mut bytes = [0; 12 << 10];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = at as u8;
        at += 1;
    }
    bytes
};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the ring holds, the obvious way.
struct Model {
    capacity: usize,
    waiting: Vec<u8>,
    held: usize,
    reader_gone: bool,
    /// Whether a read waits, and how often one was woken.
    is_parked: bool,
    wakes: usize,
    next: u8,
}

impl Model {
    fn free(&self) -> usize {
        if self.reader_gone { self.capacity } else { self.capacity - self.waiting.len() - self.held }
    }

    fn record(&mut self, len: usize) -> &'static [u8] {
        let start = usize::from(self.next);
        self.next = self.next.wrapping_add(len as u8).wrapping_add(1);
        &COUNTING[start..start + len]
    }

    /// Writes and compares all that can be seen of it.
    fn write(&mut self, writer: &BufWriter, len: usize, wakes: &Count) {
        let record = self.record(len);
        let free = self.free();
        let expected = if self.reader_gone {
            Err(RingError::ReaderGone)
        } else if len == 0 {
            Ok(())
        } else if len > self.capacity {
            Err(RingError::TooLong { len, capacity: self.capacity })
        } else if len > free {
            Err(RingError::Full { len, free })
        } else {
            self.waiting.extend_from_slice(record);
            self.wakes += usize::from(std::mem::take(&mut self.is_parked));
            Ok(())
        };
        assert_eq!(writer.write(record), expected);
        self.compare(writer, wakes);
    }

    fn compare(&self, writer: &BufWriter, wakes: &Count) {
        assert_eq!((writer.free(), writer.capacity()), (self.free(), self.capacity));
        assert_eq!(writer.is_closed(), self.reader_gone);
        assert_eq!(wakes.0.load(Ordering::Relaxed), self.wakes, "a read that waits is woken once");
    }
}

/// The ring is a queue of bytes with a bound: records whole, in order, once; what is lent out counts until it is given back; a
/// waiting read is woken by the first record, once; each end learns that the other is gone. Two buffers of the capacity at most,
/// and 4 KiB each when it is empty.
///
/// The capacity, then operations.
#[allow(clippy::collapsible_match, reason = "what an operation does stands apart from when it is meant")]
pub fn ring(data: &[u8]) {
    let mut input = Input::new(data);
    let capacity = input.of(&CAPACITIES);
    let wakes = Arc::new(Count::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    let mut model =
        Model { capacity, waiting: vec![], held: 0, reader_gone: false, is_parked: false, wakes: 0, next: 0 };
    let (writer, reader) = new_shared_with_capacity(capacity);
    let (mut writer, mut reader) = (Some(writer), Some(reader));
    while !input.is_empty() {
        match (input.below(8), &mut writer, &mut reader) {
            (0..4, Some(writer), _) => model.write(writer, length(&mut input, capacity), &wakes),
            (4..6, writer, Some(reader)) => {
                read(&mut model, writer.as_ref(), reader, &mut cx, &mut input, &wakes)
            }
            (6, gone, _) if input.below(4) == 3 => {
                if gone.take().is_some() {
                    model.wakes += usize::from(std::mem::take(&mut model.is_parked));
                    assert_eq!(
                        wakes.0.load(Ordering::Relaxed),
                        model.wakes,
                        "the end wakes a read that waits"
                    );
                }
            }
            (7, writer, gone) if input.below(4) == 3 => {
                if gone.take().is_some() {
                    model.reader_gone = true;
                    model.is_parked = false;
                    model.waiting.clear();
                    model.held = 0;
                    if let Some(writer) = writer {
                        model.compare(writer, &wakes);
                    }
                }
            }
            _ => {}
        }
    }
    bounds(data);
}

fn length(input: &mut Input<'_>, capacity: usize) -> usize {
    let byte = input.below(256);
    match byte {
        0..200 => byte,
        _ => capacity * (byte - 199) / 50,
    }
}

fn read(
    model: &mut Model,
    writer: Option<&BufWriter>,
    reader: &mut BufReader,
    cx: &mut Context<'_>,
    input: &mut Input<'_>,
    wakes: &Count,
) {
    let lent = match reader.poll_read(cx) {
        Poll::Pending => {
            assert!(model.waiting.is_empty() && writer.is_some() && !model.reader_gone);
            model.is_parked = true;
            return;
        }
        Poll::Ready(None) => {
            return assert!(model.reader_gone || model.waiting.is_empty() && writer.is_none());
        }
        Poll::Ready(Some(lent)) => lent,
    };
    model.is_parked = false;
    let mut lent = lent;
    let mut expected = std::mem::take(&mut model.waiting);
    assert!(!expected.is_empty());
    model.held = expected.len();
    assert_eq!(lent[..], expected);
    // Writing goes on, out of reach of what is lent; and what is lent may be changed.
    loop {
        // With the end of the input what is lent is given back.
        let way = if input.is_empty() { 5 } else { input.below(6) };
        match (way, writer) {
            (0..3, Some(writer)) => model.write(writer, length(input, model.capacity), wakes),
            (3, _) => {
                let at = input.below(expected.len());
                lent[at] ^= 0xff;
                expected[at] ^= 0xff;
            }
            (4, _) if input.below(8) == 7 => {
                std::mem::forget(lent);
                // The reader ends at its next read, and until then the bytes count as lent.
                assert!(matches!(reader.poll_read(cx), Poll::Ready(None)));
                model.reader_gone = true;
                model.waiting.clear();
                model.held = 0;
                break;
            }
            _ => {
                assert_eq!(lent[..], expected, "nobody else writes into it");
                drop(lent);
                model.held = 0;
                break;
            }
        }
    }
    if let Some(writer) = writer {
        model.compare(writer, wakes);
    }
}

/// Fills and empties, and looks at the heap.
fn bounds(data: &[u8]) {
    let mut input = Input::new(data);
    let capacity = input.of(&CAPACITIES);
    let record = [0; 1024];
    let scope = Scope::new();
    let (writer, mut reader) = new_shared_with_capacity(capacity);
    let mut cx = Context::from_waker(Waker::noop());
    let own = scope.live();
    assert!(own <= 256, "{own} bytes for nothing");
    for _ in 0..input.below(64) {
        let _ = writer.write(&record[..1 + input.below(1024)]);
        if input.flag() {
            let lent = reader.poll_read(&mut cx);
            let _ = writer.write(&record[..input.below(1024)]);
            drop(lent);
        }
        // A buffer that grows is there twice for a moment.
        assert!(scope.peak() <= own + 3 * capacity as isize, "{} for {capacity}", scope.peak());
    }
    while reader.poll_read(&mut cx).is_ready() {}
    assert!(scope.live() <= own + 2 * 4096, "{} bytes when empty", scope.live());
    drop((writer, reader));
    assert_eq!(scope.live(), 0);
}
