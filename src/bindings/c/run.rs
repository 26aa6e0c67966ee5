//! Training runs: creating, driving and cancelling them.

use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use pollster::block_on;

use super::event::{MiniftEvent, MiniftEventCallback};
use super::model::MiniftModel;
use super::pointers::{
    Out, borrow, into_handle, optional_str_arg, path_arg, release, write_struct,
};
use super::samples::MiniftSamples;
use super::settings::training;
use super::status::{Failure, MiniftStatus, Result, call};
use crate::model::CausalLm;
use crate::text::Sample;
use crate::train::report::Setup;
use crate::train::{self, Cancel, Checkpoints, Ending, Outcome, RunData};

/// A training run. It may move between threads, but only one call at a time may use it: a
/// concurrent call returns `MINIFT_STATUS_BUSY`. Only `minift_run_cancel` may be called at any
/// time.
pub struct MiniftRun {
    cancel: Cancel,
    /// Only ever tried. A panic during a call poisons it and so fails all later calls.
    work: Mutex<Work>,
}

/// Mutable state of a run, and the setup for its report.
pub(super) struct Work {
    pub run: train::Run,
    pub original: MiniftModel,
    pub setup: Setup,
    /// The model at the strength that was set, if it is another than 1.
    pub dialled: Option<Dialled>,
}

/// The model of a finished run at another strength than 1.
pub(super) struct Dialled {
    pub weight: f64,
    pub model: CausalLm,
    pub outcome: Outcome,
}

impl MiniftRun {
    /// Locks the state for a call.
    pub(super) fn work(&self) -> Result<MutexGuard<'_, Work>> {
        self.work.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Failure::new(
                MiniftStatus::Busy,
                "the run is in use by another call: wait until it returns",
            ),
            TryLockError::Poisoned(_) => Failure::new(
                MiniftStatus::Panic,
                "an internal error left the run in an inconsistent state: free it",
            ),
        })
    }
}

impl Work {
    /// The outcome of a finished run, at the strength that was set.
    pub(super) fn outcome(&self) -> Result<Outcome> {
        let trained = self.run.outcome().ok_or_else(|| {
            let message = format!(
                "the run is not finished: {} of {} steps are done, and the final evaluation is not",
                self.run.steps_done(),
                self.run.steps()
            );
            Failure::new(MiniftStatus::NotFinished, message)
        })?;
        let dialled = self.dialled.as_ref();
        Ok(dialled.map_or(trained, |dialled| dialled.outcome))
    }

    /// The current model, at the strength that was set.
    pub(super) fn model(&self) -> CausalLm {
        match &self.dialled {
            Some(dialled) => dialled.model.clone(),
            None => self.run.trained_model(),
        }
    }
}

fn cancelled() -> Failure {
    Failure::new(MiniftStatus::Cancelled, "the run was cancelled")
}

/// Creates a run that trains `model` on `train` and evaluates it on `domain` (held-out texts of the
/// same domain) and on `general` (text whose perplexity should not rise). `replay`, general text
/// mixed into training, is required with the setting `replay_ratio`; `consolidation`, the text for
/// estimating weight importance, is required with the setting `ewc`. Otherwise both may be NULL.
/// All samples must be tokenized for this model.
///
/// `settings` is NULL for the defaults, or a JSON object that overrides some of them, with the keys
/// of `minift_default_settings`: {"objective": {"tau": 0.5}, "epochs": 1}. Unknown keys are
/// rejected. `adapter` is {"kind": "lora"} with `rank`, `alpha`, `rank_stabilized`, `dropout`,
/// `decomposed` (DoRA) and `target_modules`, or {"kind": "ia3"} with `target_modules`;
/// `learning_rate` then defaults to a value suited to the adapter.
///
/// Blocks while it checks the samples. The arguments may be freed as soon as the call returns. Free
/// `*run` with `minift_run_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_new(
    model: *const MiniftModel,
    train: *const MiniftSamples,
    domain: *const MiniftSamples,
    general: *const MiniftSamples,
    replay: *const MiniftSamples,
    consolidation: *const MiniftSamples,
    settings: *const c_char,
    run: *mut *mut MiniftRun,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let (out, model, train, domain, general, settings) = unsafe {
            (
                Out::new(run, "run")?,
                borrow(model, "model")?,
                borrow(train, "train")?,
                borrow(domain, "domain")?,
                borrow(general, "general")?,
                optional_str_arg(settings, "settings")?,
            )
        };
        // SAFETY: as above.
        let [replay, consolidation] = [(replay, "replay"), (consolidation, "consolidation")]
            .map(|(samples, name)| unsafe { borrow(samples, name) }.ok());
        let settings = training(settings)?;
        let samples = |set: &MiniftSamples| set.samples.samples.clone();
        let optional = |set: &Option<Arc<MiniftSamples>>| -> Vec<Sample> {
            set.as_deref().map(samples).unwrap_or_default()
        };
        let summary = |set: &Option<Arc<MiniftSamples>>| set.as_deref().map(MiniftSamples::summary);
        let data = RunData {
            train: samples(&train),
            domain: samples(&domain),
            general: samples(&general),
            replay: optional(&replay),
            consolidation: optional(&consolidation),
        };
        let setup = Setup {
            model: model.name(),
            parameters: model.model.parameter_count(),
            max_length: train.max_length,
            train: train.summary(),
            domain: domain.summary(),
            general: general.summary(),
            replay: summary(&replay),
            consolidation: summary(&consolidation),
            validation: None,
            general_in_training: data.general_in_training(),
        };
        let run = train::Run::new(model.model.clone(), Arc::new(data), settings)?;
        out.set(into_handle(MiniftRun {
            cancel: Cancel::default(),
            work: Mutex::new(Work {
                run,
                original: model.with(model.model.clone()),
                setup,
                dialled: None,
            }),
        }));
        Ok(())
    })
}

/// Runs the next unit of work, an evaluation batch or a training step, and fills `event`, whose
/// kind is `MINIFT_EVENT_KIND_FINISHED` once the run is complete. Between calls the run is paused.
/// Pass `sizeof *event` as `size`. Blocks.
///
/// Returns `MINIFT_STATUS_CANCELLED` after `minift_run_cancel`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_next(
    run: *mut MiniftRun,
    event: *mut MiniftEvent,
    size: usize,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let run = unsafe { borrow(run, "run")? };
        let mut work = run.work()?;
        // Checks the output before the work, whose event would be lost.
        // SAFETY: as above.
        unsafe { write_struct(event, size, &MiniftEvent::FINISHED, "event")? };
        if run.cancel.is_cancelled() {
            return Err(cancelled());
        }
        if let Some(next) = block_on(work.run.next())? {
            // SAFETY: as above.
            unsafe { write_struct(event, size, &MiniftEvent::from(&next), "event")? };
        }
        Ok(())
    })
}

/// Drives a run until it is finished. Returns `MINIFT_STATUS_CANCELLED` if `minift_run_cancel` or
/// `on_event` stops it. `on_event`, which may be NULL, receives every event and `user_data`; a run
/// that it stopped continues with the next call. Blocks.
///
/// `checkpoint` is NULL or the path of a checkpoint file. It is written every `checkpoint_every`
/// steps (0: not periodically), when training ends, when the run is stopped, and when the loss becomes NaN or
/// infinite. The file is replaced atomically and is kept when the run is finished.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_drive(
    run: *mut MiniftRun,
    on_event: MiniftEventCallback,
    user_data: *mut c_void,
    checkpoint: *const c_char,
    checkpoint_every: usize,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let (run, checkpoint) = unsafe {
            let checkpoint = match checkpoint.is_null() {
                true => None,
                false => Some(path_arg(checkpoint, "checkpoint")?),
            };
            (borrow(run, "run")?, checkpoint)
        };
        let mut work = run.work()?;
        let checkpoints = checkpoint.map(|path| Checkpoints {
            every: checkpoint_every,
            ..Checkpoints::new(path)
        });
        // The callback stops this call only; `minift_run_cancel` stops the run.
        let stop = Cancel::default();
        if run.cancel.is_cancelled() {
            stop.cancel();
        }
        let ending = block_on(train::drive(
            &mut work.run,
            checkpoints.as_ref(),
            &stop,
            |event| {
                let stop_requested = on_event.is_some_and(|on_event| {
                    // SAFETY: a callback of this type with its own `user_data`.
                    unsafe { on_event(&MiniftEvent::from(event), user_data) != 0 }
                });
                if stop_requested || run.cancel.is_cancelled() {
                    stop.cancel();
                }
            },
        ))?;
        match ending {
            Ending::Finished(_) => Ok(()),
            Ending::Cancelled => Err(cancelled()),
        }
    })
}

/// Cancels a run at its next event, permanently: every later `minift_run_next` and
/// `minift_run_drive` returns `MINIFT_STATUS_CANCELLED`. All other functions still work on the run.
/// Never blocks, and may be called from any thread and from signal handlers while the run is not
/// freed. `run` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_cancel(run: *const MiniftRun) {
    // Async-signal-safe: does not allocate, lock or panic.
    // SAFETY: NULL or a live handle that is not freed meanwhile, as the header requires.
    if let Some(run) = unsafe { run.as_ref() } {
        run.cancel.cancel();
    }
}

/// Returns the number of steps taken and the total number of steps. `done` and `total` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_steps(
    run: *mut MiniftRun,
    done: *mut usize,
    total: *mut usize,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let run = unsafe { borrow(run, "run")? };
        let work = run.work()?;
        for (target, steps) in [(done, work.run.steps_done()), (total, work.run.steps())] {
            if !target.is_null() {
                // SAFETY: as above.
                unsafe { target.write(steps) };
            }
        }
        Ok(())
    })
}

/// Frees a run at any time. Progress that is not in a checkpoint is lost. `run` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_free(run: *mut MiniftRun) {
    // SAFETY: NULL or a live handle, as the header requires.
    unsafe { release(run) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::bindings::c::{
        minift_device_free, minift_device_open, minift_model_embedded, minift_run_write,
    };

    /// After a panic during a call, a run can only be cancelled and freed.
    #[test]
    fn a_run_is_unusable_after_a_panic() {
        // SAFETY: the calls follow the rules of the header.
        unsafe {
            let (mut device, mut model) = (std::ptr::null_mut(), std::ptr::null_mut());
            assert_eq!(
                minift_device_open(c"cpu".as_ptr(), &mut device),
                MiniftStatus::Ok
            );
            assert_eq!(minift_model_embedded(device, &mut model), MiniftStatus::Ok);
            let mut samples = std::ptr::null_mut();
            let texts = [c"Once upon a time".as_ptr()];
            let none = std::ptr::null();
            let made = super::super::minift_samples_from_texts(
                model,
                texts.as_ptr(),
                1,
                none,
                &mut samples,
            );
            assert_eq!(made, MiniftStatus::Ok);
            let mut run = std::ptr::null_mut();
            let made = minift_run_new(
                model,
                samples,
                samples,
                samples,
                std::ptr::null(),
                std::ptr::null(),
                none,
                &mut run,
            );
            assert_eq!(made, MiniftStatus::Ok);
            assert_eq!(
                minift_run_steps(run, std::ptr::null_mut(), std::ptr::null_mut()),
                MiniftStatus::Ok
            );

            let inner = borrow(run, "run").unwrap();
            let broken = catch_unwind(AssertUnwindSafe(|| {
                let _work = inner.work().unwrap();
                panic!("during a call");
            }));
            assert!(broken.is_err());
            drop(inner);
            let mut event = MiniftEvent::FINISHED;
            for status in [
                minift_run_next(run, &mut event, size_of::<MiniftEvent>()),
                minift_run_drive(run, None, std::ptr::null_mut(), none, 0),
                minift_run_write(run, c"nowhere".as_ptr(), 0),
            ] {
                assert_eq!(status, MiniftStatus::Panic);
            }
            minift_run_cancel(run);
            minift_run_free(run);
            super::super::minift_samples_free(samples);
            super::super::minift_model_free(model);
            minift_device_free(device);
        }
    }
}
