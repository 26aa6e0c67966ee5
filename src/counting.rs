//! An allocator that counts, for programs that measure what trainings take of the host's memory.
//!
//! ```
//! use minift::counting::{CountingAllocator, peak_bytes};
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//!
//! let (_, bytes) = peak_bytes(|| vec![0_u8; 1000]);
//! assert!(bytes >= 1000);
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator with two counters. Nothing is counted until it is installed.
#[derive(Clone, Copy, Debug)]
pub struct CountingAllocator;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn count(bytes: usize) {
    let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

/// Bytes that the process holds now; 0 without the allocator.
pub fn bytes_now() -> usize {
    NOW.load(Ordering::Relaxed)
}

/// Counts the peak anew, from what is held now, which is returned.
pub fn begin_peak() -> usize {
    let now = bytes_now();
    PEAK.store(now, Ordering::Relaxed);
    now
}

/// The most bytes that were held at once since [`begin_peak`].
pub fn peak() -> usize {
    PEAK.load(Ordering::Relaxed)
}

/// What the work gives, and the bytes that the process held at its peak beyond those before it.
pub fn peak_bytes<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = begin_peak();
    let result = work();
    (result, peak() - before)
}
