//! Runs that are driven to their end on a computer with files: events to a listener, checkpoints to
//! a file, cancelled by a flag.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::checkpoints::Checkpoints;
use super::event::Event;
use super::run::{Outcome, Run};
use crate::error::{Error, Result};

/// A flag that asks a run to stop at its next step. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a driven run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// All is done.
    Finished(Outcome),
    /// Somebody asked it to stop.
    Cancelled,
}

/// Drives a run until it is done or cancelled. With `checkpoints` its state is kept in a file: at
/// the interval, when training is complete, when it is cancelled, and when the loss is no longer a
/// number; and, where that is asked for, whenever an evaluation was the best so far.
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
        if cancel.is_cancelled() {
            if let Some(checkpoints) = checkpoints {
                checkpoints.save(run).await?;
            }
            return Ok(Ending::Cancelled);
        }
        match run.next().await {
            Ok(Some(event)) => {
                on_event(&event);
                let Some(checkpoints) = checkpoints else {
                    continue;
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
            }
            Ok(None) => {
                // One who wrote the last checkpoint may have been killed before this.
                if let Some(checkpoints) = checkpoints {
                    checkpoints.prune(run.steps_done())?;
                }
                let outcome = run
                    .outcome()
                    .expect("a run without a next event has its outcome");
                return Ok(Ending::Finished(outcome));
            }
            Err(Error::NonFiniteLoss { step, loss, .. }) => {
                let mut kept = None;
                if let Some(checkpoints) = checkpoints {
                    checkpoints.save(run).await?;
                    kept = Some(checkpoints.path.clone());
                }
                return Err(Error::NonFiniteLoss { step, loss, kept });
            }
            Err(error) => return Err(error),
        }
    }
}
