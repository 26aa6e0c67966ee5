//! A global allocator that measures the peak of host memory.
//!
//! It forwards to the system allocator and counts bytes only while counting is enabled. Otherwise it costs one
//! relaxed load per allocation. Tests and the desktop example include this file as a module.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

/// The system allocator, with a count of the allocated bytes.
#[derive(Clone, Copy, Debug)]
pub struct CountingAllocator;

static COUNTING: AtomicBool = AtomicBool::new(false);
/// Negative if memory allocated before counting was freed.
static BYTES: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call is forwarded to the system allocator unchanged.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[inline]
fn count(bytes: isize) {
    if COUNTING.load(Ordering::Relaxed) {
        let now = BYTES.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if bytes > 0 {
            PEAK.fetch_max(now, Ordering::Relaxed);
        }
    }
}

/// Enables counting. Call it before the first allocation for [`bytes_now`] to cover the whole process.
pub fn start_counting() {
    COUNTING.store(true, Ordering::Relaxed);
}

/// Returns the bytes allocated since counting was enabled and not freed; 0 if the allocator is not
/// installed.
pub fn bytes_now() -> usize {
    BYTES.load(Ordering::Relaxed).max(0) as usize
}

/// A measurement of the peak of allocated bytes. Only one may exist at a time.
#[derive(Debug)]
pub struct HostPeak {
    before: isize,
    was_counting: bool,
}

impl HostPeak {
    /// Starts the measurement.
    pub fn begin() -> Self {
        let was_counting = COUNTING.swap(true, Ordering::Relaxed);
        let before = BYTES.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        Self {
            before,
            was_counting,
        }
    }

    /// Returns the peak so far, in bytes beyond those at the start.
    pub fn bytes(&self) -> usize {
        (PEAK.load(Ordering::Relaxed) - self.before).max(0) as usize
    }
}

impl Drop for HostPeak {
    fn drop(&mut self) {
        COUNTING.store(self.was_counting, Ordering::Relaxed);
    }
}

/// Runs `work` and returns its result with the peak of the bytes allocated by it.
pub fn peak_bytes<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let peak = HostPeak::begin();
    let result = work();
    (result, peak.bytes())
}
