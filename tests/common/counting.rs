//! `mod counting;` installs the allocator that counts.
#![allow(unused_imports)] // each user takes its part

pub use minift::counting::{bytes_now, peak_bytes};

#[global_allocator]
static ALLOCATOR: minift::counting::CountingAllocator = minift::counting::CountingAllocator;
