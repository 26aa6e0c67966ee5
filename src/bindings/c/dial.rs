//! The strength of a finished run, chosen after training.

use pollster::block_on;

use super::pointers::{borrow, write_struct};
use super::run::{Dialled, MiniftRun};
use super::status::{Failure, MiniftStatus, call};
use crate::eval::FrontPoint;

/// A finished training at a strength, from 0, the untouched model, to 1, the trained model.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MiniftFrontPoint {
    /// The strength.
    pub weight: f64,
    /// Domain perplexity.
    pub domain_perplexity: f64,
    /// General perplexity.
    pub general_perplexity: f64,
    /// Specialization S: domain perplexity of the untouched model - that at this strength.
    pub specialization: f64,
    /// Degeneralization DG: general perplexity at this strength - that of the untouched model.
    pub degeneralization: f64,
}

impl From<&FrontPoint> for MiniftFrontPoint {
    fn from(point: &FrontPoint) -> Self {
        Self {
            weight: point.weight,
            domain_perplexity: point.perplexities.domain,
            general_perplexity: point.perplexities.general,
            specialization: point.metrics.specialization,
            degeneralization: point.metrics.degeneralization,
        }
    }
}

/// Sets the strength of a finished run, from 0, the untouched model, to 1, the trained model, and
/// evaluates the model at it. `minift_run_outcome`, `minift_run_model` and `minift_run_write` then
/// give that model. Returns `MINIFT_STATUS_NOT_FINISHED` if the run is not finished. Blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_set_dial(run: *mut MiniftRun, weight: f64) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let run = unsafe { borrow(run, "run")? };
        let mut work = run.work()?;
        work.outcome()?;
        let (model, outcome) = block_on(work.run.at_strength(weight))?;
        work.dialled = outcome.filter(|_| weight != 1.0).map(|outcome| Dialled {
            weight,
            model,
            outcome,
        });
        Ok(())
    })
}

/// Fills `points` with the front of gain against forgetting over the strengths of a finished run, by
/// increasing strength: at most `capacity` points; `points` may be NULL if that is 0. `*count` is the
/// number of all points; it is 0 where the general set does not measure forgetting. Pass
/// `sizeof *points` as `size`. Returns `MINIFT_STATUS_NOT_FINISHED` if the run is not finished.
///
/// The front is measured by the first call, or by the run itself with the setting `dial`. Blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_front(
    run: *mut MiniftRun,
    points: *mut MiniftFrontPoint,
    capacity: usize,
    size: usize,
    count: *mut usize,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let run = unsafe { borrow(run, "run")? };
        if count.is_null() {
            return Err(Failure::argument("count", "is NULL"));
        }
        let mut work = run.work()?;
        work.outcome()?;
        while block_on(work.run.advance_front())?.is_some() {}
        let found = work
            .run
            .front()
            .map(|front| front.points)
            .unwrap_or_default();
        for (place, point) in found.iter().take(capacity).enumerate() {
            // SAFETY: `points` has room for `capacity` structs of `size` bytes.
            unsafe {
                let target = points.wrapping_byte_add(place * size);
                write_struct(target, size, &MiniftFrontPoint::from(point), "points")?;
            }
        }
        // SAFETY: as above.
        unsafe { count.write(found.len()) };
        Ok(())
    })
}
