//! The program's allocator: it grows allocations in place, and counts only while counting is enabled.
#![allow(clippy::unwrap_used)]

#[path = "../src/cli/bench/allocator.rs"]
#[allow(dead_code)]
mod allocator;

use std::alloc::{GlobalAlloc, Layout};

use allocator::{CountingAllocator, bytes_now, peak_bytes};

/// A single test, since the counters are shared by the process.
#[test]
fn allocations_are_counted_only_while_counting() {
    let allocator = CountingAllocator;
    let layout = Layout::from_size_align(64, 8).unwrap();
    let grown = Layout::from_size_align(1 << 20, 8).unwrap();
    let use_it = || unsafe {
        // SAFETY: the layouts are not empty, and each pointer is used with the layout of its allocation.
        let mut pointer = allocator.alloc_zeroed(layout);
        assert_eq!(std::slice::from_raw_parts(pointer, 64), [0; 64]);
        pointer.write_bytes(7, 64);
        pointer = allocator.realloc(pointer, layout, grown.size());
        assert_eq!(std::slice::from_raw_parts(pointer, 64), [7; 64]);
        allocator.dealloc(pointer, grown);
    };
    use_it();
    assert_eq!(bytes_now(), 0, "counted while counting is disabled");
    let ((), peak) = peak_bytes(use_it);
    // Growing by allocation and copy would hold both blocks at once.
    assert_eq!(peak, grown.size());
    assert_eq!(bytes_now(), 0);
    use_it();
    assert_eq!(peak_bytes(|| ()).1, 0, "counting did not stop");
}
