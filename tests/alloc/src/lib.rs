//! An allocator that counts, by thread: bytes alive, their high-water mark, and calls; and for the whole process, bytes alive.
//!
//! ```
//! use unsync_websocket_test_alloc::{Counting, Scope};
//!
//! #[global_allocator]
//! static ALLOCATOR: Counting = Counting;
//!
//! let scope = Scope::new();
//! drop(vec![0_u8; 1000]);
//! assert_eq!((scope.live(), scope.peak(), scope.allocations()), (0, 1000, 1));
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

/// Bytes alive, whichever thread they are of.
static ALL: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    // Constants without destructors: reading them allocates nothing, and works while a thread ends.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counted. What one thread allocates and another frees counts for the first and against
/// the second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

fn count(bytes: isize) {
    ALL.fetch_add(bytes, Ordering::Relaxed);
    let live = LIVE.get() + bytes;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
    if bytes > 0 {
        CALLS.set(CALLS.get() + 1);
    }
}

// SAFETY: every call is handed to `System` as it came, and its answer is handed back; counting neither allocates
// nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is the one `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: `ptr` came from `System` with this layout, as the caller promises of `self`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // As if both existed for a moment, which is the worst case.
        count(new_size as isize);
        count(-(layout.size() as isize));
        // SAFETY: as in `dealloc`, and `new_size` is as the caller promises.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// Bytes alive in the whole process.
pub fn live_in_process() -> isize {
    ALL.load(Ordering::Relaxed)
}

/// What this thread allocated since the scope began. Scopes nest.
#[derive(Debug)]
pub struct Scope {
    live: isize,
    outer_peak: isize,
    calls: u64,
}

impl Scope {
    /// Begins to count.
    #[expect(clippy::new_without_default, reason = "it reads the clock of allocations; there is no default")]
    pub fn new() -> Self {
        let outer_peak = PEAK.replace(LIVE.get());
        Self { live: LIVE.get(), outer_peak, calls: CALLS.get() }
    }

    /// Bytes alive now that were not before; negative if more was freed.
    pub fn live(&self) -> isize {
        LIVE.get() - self.live
    }

    /// The most that was ever alive at once, beyond what was before.
    pub fn peak(&self) -> isize {
        PEAK.get() - self.live
    }

    /// Calls that allocated, growing included.
    pub fn allocations(&self) -> u64 {
        CALLS.get() - self.calls
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        PEAK.set(PEAK.get().max(self.outer_peak));
    }
}
