//! The `minift` program; see the library for what it does.

use std::process::ExitCode;

use minift::counting::CountingAllocator;

/// `minift bench` says what trainings take.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    minift::cli::main()
}
