//! Tests that count the memory of their process with a counting allocator. They run one at a time.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/counting.rs"]
mod counting;
mod estimate;
mod fuzz_targets;
mod objective;
mod over_steps;
#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits until no other test of this process counts memory. Counting remains enabled from the first test on, so
/// that no test frees memory that was not counted.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    counting::start_counting();
    turn
}
