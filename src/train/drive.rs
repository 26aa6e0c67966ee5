//! Drives a run to its end on a native target: events go to a callback, checkpoints to files, and a flag
//! cancels it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::checkpoint::Checkpoints;
use super::event::Event;
use super::outcome::Outcome;
use super::run::Run;
use crate::device::Device;
use crate::error::{Error, Result};

/// A flag that stops a run at its next step. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Requests cancellation.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether cancellation was requested.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns whether cancellation was requested in any of the processes that share the work of a device. All of them
    /// ask at the same time.
    ///
    /// # Errors
    ///
    /// [`Error::Rank`] if one of them has failed.
    pub(crate) fn is_agreed(&self, device: &Device) -> Result<bool> {
        device.ranks().any(self.is_cancelled())
    }
}

/// How a driven run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// The run is complete.
    Finished(Outcome),
    /// The run was cancelled.
    Cancelled,
}

/// Drives a run until it is complete or cancelled. With `checkpoints`, writes a checkpoint at the interval,
/// at the end of training, when cancelled and when the loss is not finite; with [`Checkpoints::best`], also
/// whenever an evaluation is the best so far. Of several ranks, only rank 0 writes.
///
/// # Errors
///
/// The run's errors, and [`Error::Io`] if a checkpoint cannot be written.
pub async fn drive(
    run: &mut Run,
    checkpoints: Option<&Checkpoints>,
    cancel: &Cancel,
    mut on_event: impl FnMut(&Event),
) -> Result<Ending> {
    loop {
        let progress = advance(run, checkpoints, cancel, &mut on_event).await?;
        if let ControlFlow::Break(ending) = progress {
            return Ok(ending);
        }
    }
}

/// Does the next piece of work of a driven run, and returns its event, or how the run ended. The event also goes to
/// `on_event`, before a checkpoint of its step.
///
/// # Errors
///
/// As [`drive`].
pub(crate) async fn advance(
    run: &mut Run,
    checkpoints: Option<&Checkpoints>,
    cancel: &Cancel,
    on_event: &mut impl FnMut(&Event),
) -> Result<ControlFlow<Ending, Event>> {
    let checkpoints = checkpoints.filter(|_| run.device().ranks().rank() == 0);
    if cancel.is_agreed(run.device())? {
        if let Some(checkpoints) = checkpoints {
            checkpoints.save(run).await?;
        }
        return Ok(ControlFlow::Break(Ending::Cancelled));
    }
    match run.next().await {
        Ok(Some(event)) => {
            on_event(&event);
            let Some(checkpoints) = checkpoints else {
                return Ok(ControlFlow::Continue(event));
            };
            match event {
                Event::Step { step, steps, .. } => {
                    let due = checkpoints.every > 0 && step.is_multiple_of(checkpoints.every);
                    if due || step == steps {
                        checkpoints.save(run).await?;
                    }
                }
                Event::Evaluated { .. } => checkpoints.save_if_best(run).await?,
                _ => {}
            }
            Ok(ControlFlow::Continue(event))
        }
        Ok(None) => {
            // The process that wrote the last checkpoint may have been killed before pruning.
            if let Some(checkpoints) = checkpoints {
                checkpoints.prune(run.steps_done())?;
            }
            let outcome = run
                .outcome()
                .expect("a run without further events has an outcome");
            Ok(ControlFlow::Break(Ending::Finished(outcome)))
        }
        Err(Error::NonFiniteLoss { step, loss, .. }) => {
            let mut kept = None;
            if let Some(checkpoints) = checkpoints {
                checkpoints.save(run).await?;
                kept = Some(checkpoints.path.clone());
            }
            Err(Error::NonFiniteLoss { step, loss, kept })
        }
        Err(error) => Err(error),
    }
}
