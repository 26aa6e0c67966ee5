//! The `minift` program.

use std::process::ExitCode;

use minift::cli::allocator::CountingAllocator;

/// Counts memory for `minift bench`.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    minift::cli::main()
}
