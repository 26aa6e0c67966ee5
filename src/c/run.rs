//! Runs for C.

use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use pollster::block_on;

use super::event::{MiniftEvent, MiniftEventCallback, MiniftOutcome};
use super::model::{MiniftModel, begin};
use super::pointers::{Place, borrow, handle, optional_text, path, put_structure, release};
use super::samples::MiniftSamples;
use super::settings::training;
use super::status::{Failure, MiniftStatus, Result, call};
use crate::data::Sample;
use crate::report::{DeviceReport, MethodReport, Setup, run_json};
use crate::train::{
    self, Cancel, Checkpoints, Ending, Outcome, RunData, read_checkpoint, write_checkpoint,
};

/// A training of a model. It may go from thread to thread, but is in one call at a time: a second one
/// gives `MINIFT_STATUS_BUSY`. Only `minift_run_cancel` may be called at any time.
pub struct MiniftRun {
    cancel: Cancel,
    /// Only ever tried. A panic in the middle of a call poisons it, and so ends all further calls.
    work: Mutex<Work>,
}

/// What changes while a run goes on, and what its report says.
struct Work {
    run: train::Run,
    untouched: MiniftModel,
    setup: Setup,
}

impl MiniftRun {
    fn work(&self) -> Result<MutexGuard<'_, Work>> {
        self.work.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Failure::new(
                MiniftStatus::Busy,
                "the run is in another call: wait until that is over",
            ),
            TryLockError::Poisoned(_) => Failure::new(
                MiniftStatus::Panic,
                "the run was left half done by a fault in minift: free it",
            ),
        })
    }
}

impl Work {
    /// The results, which only a finished run has.
    fn outcome(&self) -> Result<Outcome> {
        self.run.outcome().ok_or_else(|| {
            let message = format!(
                "the run is not finished: {} of {} steps and the evaluation after them are done",
                self.run.steps_done(),
                self.run.steps()
            );
            Failure::new(MiniftStatus::NotFinished, message)
        })
    }
}

fn cancelled() -> Failure {
    Failure::new(MiniftStatus::Cancelled, "the run was asked to stop")
}

/// A run that trains `model` on `train` and measures it on `domain` (held out of the same texts) and on
/// `general` (what the model should not forget). `replay` is general text that is trained on again, and
/// is needed where the settings have a `replay_ratio`; `consolidation` says how much each weight matters
/// and is needed where they have `ewc`; else both may be NULL. All samples must be made for this model.
///
/// `settings` is NULL for minifinetuning as usual, or a JSON object of those that are to be otherwise,
/// by the names of `minift_default_settings`: {"objective": {"tau": 0.5}, "epochs": 1}. `adapter` is
/// {"kind": "lora"} with `rank`, `alpha`, `rank_stabilized`, `dropout`, `decomposed` (DoRA) and
/// `target_modules`, or {"kind": "ia3"} with `target_modules`; the usual `learning_rate` is then the
/// adapter's. A name that is not known is refused.
///
/// Blocks while the samples are looked through. The run keeps what it needs of its arguments, which may
/// be freed at once. `*run` is to be freed by `minift_run_free`.
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
        // SAFETY: the pointers are as the header asks.
        let (place, model, train, domain, general, settings) = unsafe {
            (
                Place::new(run, "run")?,
                borrow(model, "model")?,
                borrow(train, "train")?,
                borrow(domain, "domain")?,
                borrow(general, "general")?,
                optional_text(settings, "settings")?,
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
        };
        let run = train::Run::new(model.model.clone(), Arc::new(data), settings)?;
        place.put(handle(MiniftRun {
            cancel: Cancel::default(),
            work: Mutex::new(Work {
                run,
                untouched: model.with(model.model.clone()),
                setup,
            }),
        }));
        Ok(())
    })
}

/// Does the next piece of work, a batch of an evaluation or a training step, and says what came of it:
/// `MINIFT_EVENT_KIND_FINISHED` when nothing is left. Not calling it pauses the run. `size` is
/// `sizeof *event`. Blocks for as long as the piece takes.
///
/// Gives `MINIFT_STATUS_CANCELLED` after `minift_run_cancel`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_next(
    run: *mut MiniftRun,
    event: *mut MiniftEvent,
    size: usize,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let run = unsafe { borrow(run, "run")? };
        let mut work = run.work()?;
        // What cannot be told is not done.
        // SAFETY: as above.
        unsafe { put_structure(event, size, &MiniftEvent::FINISHED, "event")? };
        if run.cancel.is_cancelled() {
            return Err(cancelled());
        }
        if let Some(next) = block_on(work.run.next())? {
            // SAFETY: as above.
            unsafe { put_structure(event, size, &MiniftEvent::from(&next), "event")? };
        }
        Ok(())
    })
}

/// Drives a run until it is finished, or cancelled, which gives `MINIFT_STATUS_CANCELLED`: by
/// `minift_run_cancel`, or by `on_event`, which gets every event with `user_data` and may be NULL. A run
/// that `on_event` stopped goes on where it was by another call.
///
/// With a `checkpoint`, the path of a file (UTF-8), the run's state is kept there every
/// `checkpoint_every` steps (0: not meanwhile), when training ends, when it is cancelled, and when the
/// loss is no longer a number. The file is whole at any moment, and stays when the run is finished.
/// NULL for none. Blocks until the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_drive(
    run: *mut MiniftRun,
    on_event: MiniftEventCallback,
    user_data: *mut c_void,
    checkpoint: *const c_char,
    checkpoint_every: usize,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let (run, checkpoint) = unsafe {
            let checkpoint = match checkpoint.is_null() {
                true => None,
                false => Some(path(checkpoint, "checkpoint")?),
            };
            (borrow(run, "run")?, checkpoint)
        };
        let mut work = run.work()?;
        let checkpoints = checkpoint.map(|path| Checkpoints {
            every: checkpoint_every,
            ..Checkpoints::new(path)
        });
        // The callback stops this call; whoever cancels the run stops all.
        let stop = Cancel::default();
        if run.cancel.is_cancelled() {
            stop.cancel();
        }
        let ending = block_on(train::drive(
            &mut work.run,
            checkpoints.as_ref(),
            &stop,
            |event| {
                let asks = on_event.is_some_and(|on_event| {
                    // SAFETY: a function of that type, and its own data.
                    unsafe { on_event(&MiniftEvent::from(event), user_data) != 0 }
                });
                if asks || run.cancel.is_cancelled() {
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

/// Asks a run to stop at its next event, for good: every later `minift_run_next` and `minift_run_drive`
/// gives `MINIFT_STATUS_CANCELLED`, and everything else can still be had of the run. Never blocks, and
/// may be called from any thread and from a signal handler, as long as the run is not freed. NULL is
/// allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_cancel(run: *const MiniftRun) {
    // Neither allocates nor locks, which signal handlers must not, and cannot panic.
    // SAFETY: a handle, as the header asks, which is not freed meanwhile.
    if let Some(run) = unsafe { run.as_ref() } {
        run.cancel.cancel();
    }
}

/// Steps done and steps of the whole run. `done` and `total` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_steps(
    run: *mut MiniftRun,
    done: *mut usize,
    total: *mut usize,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let run = unsafe { borrow(run, "run")? };
        let work = run.work()?;
        for (place, steps) in [(done, work.run.steps_done()), (total, work.run.steps())] {
            if !place.is_null() {
                // SAFETY: as above.
                unsafe { place.write(steps) };
            }
        }
        Ok(())
    })
}

/// Writes everything needed to go on later to a file (UTF-8), which replaces the one of that name when it
/// is complete. Gives `MINIFT_STATUS_DEVICE` of a run whose device failed, and then writes nothing. Blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_save(
    run: *mut MiniftRun,
    checkpoint: *const c_char,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let (run, path) = unsafe { (borrow(run, "run")?, path(checkpoint, "checkpoint")?) };
        let work = run.work()?;
        Ok(block_on(write_checkpoint(&work.run, path))?)
    })
}

/// Goes on from a checkpoint (UTF-8) of the same settings, model and data as if nothing had happened; on
/// the CPU that is so bit for bit. Blocks while it reads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_restore(
    run: *mut MiniftRun,
    checkpoint: *const c_char,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let (run, path) = unsafe { (borrow(run, "run")?, path(checkpoint, "checkpoint")?) };
        let mut work = run.work()?;
        Ok(read_checkpoint(&mut work.run, path)?)
    })
}

/// What a finished run has to show; `MINIFT_STATUS_NOT_FINISHED` of another one. `size` is
/// `sizeof *outcome`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_outcome(
    run: *mut MiniftRun,
    outcome: *mut MiniftOutcome,
    size: usize,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let run = unsafe { borrow(run, "run")? };
        let found = MiniftOutcome::from(&run.work()?.outcome()?);
        // SAFETY: as above.
        unsafe { put_structure(outcome, size, &found, "outcome") }
    })
}

/// The model as the run has it now, at any moment; later steps do not change it. `*model` is to be
/// freed by `minift_model_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_model(
    run: *mut MiniftRun,
    model: *mut *mut MiniftModel,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let (place, run) = unsafe { (Place::new(model, "model")?, borrow(run, "run")?) };
        let work = run.work()?;
        place.put(handle(work.untouched.with(work.run.trained_model())));
        Ok(())
    })
}

/// Writes what a finished run made to a folder, as `minift_model_write` does, and beside it `run.json`
/// with every setting and figure: what `minift train` writes. `MINIFT_STATUS_NOT_FINISHED` of another
/// run. Blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_write(
    run: *mut MiniftRun,
    folder: *const c_char,
    replace: i32,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let (run, folder) = unsafe { (borrow(run, "run")?, path(folder, "folder")?) };
        let work = run.work()?;
        let outcome = work.outcome()?;
        let writer = begin(folder, replace)?;
        let trained = work.run.trained_model();
        let report = MethodReport::new(&work.run, &outcome, folder.display().to_string());
        block_on(trained.write(&writer, ""))?;
        let device = DeviceReport::new(work.untouched.model.device());
        let json = run_json(&work.setup, &device, &[], std::slice::from_ref(&report));
        writer.write("run.json", format!("{json:#}\n").as_bytes())?;
        Ok(writer.finish()?)
    })
}

/// Frees a run, at any moment: what it was doing is then lost, but for checkpoints. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_run_free(run: *mut MiniftRun) {
    // SAFETY: a handle, as the header asks.
    unsafe { release(run) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::c::{minift_device_free, minift_device_open, minift_model_embedded};

    /// A run that a panic left half done can be freed, and nothing else.
    #[test]
    fn what_a_panic_left_is_not_used_again() {
        // SAFETY: everything is used as the header asks.
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
                panic!("in the middle of a call");
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
