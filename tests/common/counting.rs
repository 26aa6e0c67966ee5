//! Installs the counting allocator in a test binary.
#![allow(dead_code, unused_imports)] // each test binary uses some of the items

#[path = "../../src/cli/bench/allocator.rs"]
mod allocator;

pub use allocator::{bytes_now, peak_bytes, start_counting};

#[global_allocator]
static ALLOCATOR: allocator::CountingAllocator = allocator::CountingAllocator;
