//! Checkpoints of a run.

use std::ffi::c_char;

use pollster::block_on;

use super::pointers::{borrow, path_arg};
use super::run::MiniftRun;
use super::status::{MiniftStatus, call};
use crate::train::{read_checkpoint, write_checkpoint};

/// Writes a checkpoint to a file, replacing it atomically. If the device of the run has failed,
/// returns `MINIFT_STATUS_DEVICE` and writes nothing. Blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_save(
    run: *mut MiniftRun,
    checkpoint: *const c_char,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let (run, path) = unsafe { (borrow(run, "run")?, path_arg(checkpoint, "checkpoint")?) };
        let work = run.work()?;
        Ok(block_on(write_checkpoint(&work.run, path))?)
    })
}

/// Resumes from a checkpoint of a run with the same settings, model and data. On the CPU the
/// resumed run is bit-identical to an uninterrupted one. Blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_restore(
    run: *mut MiniftRun,
    checkpoint: *const c_char,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let (run, path) = unsafe { (borrow(run, "run")?, path_arg(checkpoint, "checkpoint")?) };
        let mut work = run.work()?;
        read_checkpoint(&mut work.run, path)?;
        work.dialled = None;
        Ok(())
    })
}
