//! Results of a run.

use std::ffi::c_char;

use pollster::block_on;

use super::model::{MiniftModel, begin};
use super::pointers::{Out, borrow, into_handle, path_arg, write_struct};
use super::run::MiniftRun;
use super::status::{MiniftStatus, call};
use crate::train::Outcome;
use crate::train::report::{DeviceReport, MethodReport, run_json};

/// Results of a finished run.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MiniftOutcome {
    /// Domain perplexity of the original model, on the held-out set.
    pub domain_perplexity_before: f64,
    /// Domain perplexity of the trained model.
    pub domain_perplexity_after: f64,
    /// General perplexity of the original model.
    pub general_perplexity_before: f64,
    /// General perplexity of the trained model.
    pub general_perplexity_after: f64,
    /// Specialization S: domain perplexity before - after.
    pub specialization: f64,
    /// Degeneralization DG: general perplexity after - before.
    pub degeneralization: f64,
    /// S/DG, or NaN if nothing was forgotten.
    pub ratio: f64,
    /// Number of training steps.
    pub steps: u64,
    /// Training time in seconds, without evaluations.
    pub seconds: f64,
    /// Predicted tokens trained on per second.
    pub tokens_per_second: f64,
}

impl From<&Outcome> for MiniftOutcome {
    fn from(outcome: &Outcome) -> Self {
        Self {
            domain_perplexity_before: outcome.before.domain,
            domain_perplexity_after: outcome.after.domain,
            general_perplexity_before: outcome.before.general,
            general_perplexity_after: outcome.after.general,
            specialization: outcome.metrics.specialization,
            degeneralization: outcome.metrics.degeneralization,
            ratio: outcome.metrics.ratio.unwrap_or(f64::NAN),
            steps: outcome.steps as u64,
            seconds: outcome.seconds,
            tokens_per_second: outcome.tokens_per_second,
        }
    }
}

/// Fills `outcome` with the results of a finished run, at the strength of `minift_run_set_dial`.
/// Returns `MINIFT_STATUS_NOT_FINISHED` if the run is not finished. Pass `sizeof *outcome` as
/// `size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_outcome(
    run: *mut MiniftRun,
    outcome: *mut MiniftOutcome,
    size: usize,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let run = unsafe { borrow(run, "run")? };
        let found = MiniftOutcome::from(&run.work()?.outcome()?);
        // SAFETY: as above.
        unsafe { write_struct(outcome, size, &found, "outcome") }
    })
}

/// Returns the model in its current state of training, at any time; later steps do not change it.
/// Of a finished run it has the strength of `minift_run_set_dial`. Free `*model` with
/// `minift_model_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_model(
    run: *mut MiniftRun,
    model: *mut *mut MiniftModel,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let (out, run) = unsafe { (Out::new(model, "model")?, borrow(run, "run")?) };
        let work = run.work()?;
        out.set(into_handle(work.original.with(work.model())));
        Ok(())
    })
}

/// Writes the trained model of a finished run as `minift_model_write` does, and `run.json` with all
/// settings and results: the output of `minift train`. Returns `MINIFT_STATUS_NOT_FINISHED` if the
/// run is not finished. Blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_write(
    run: *mut MiniftRun,
    folder: *const c_char,
    replace: i32,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let (run, folder) = unsafe { (borrow(run, "run")?, path_arg(folder, "folder")?) };
        let work = run.work()?;
        let outcome = work.outcome()?;
        let writer = begin(folder, replace)?;
        let report = MethodReport {
            weight: work.dialled.as_ref().map_or(1.0, |dialled| dialled.weight),
            ..MethodReport::new(&work.run, &outcome, folder.display().to_string())
        };
        block_on(work.model().write(&writer, ""))?;
        let device = DeviceReport::new(work.original.model.device());
        let json = run_json(&work.setup, &device, &[], std::slice::from_ref(&report));
        writer.write("run.json", format!("{json:#}\n").as_bytes())?;
        Ok(writer.finish()?)
    })
}
