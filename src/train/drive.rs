//! Runs that are driven to their end on a computer with files: events to a listener, checkpoints to
//! a file, cancelled by a flag.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::event::Event;
use super::run::{Outcome, Run};
use crate::error::{Error, Result};
use crate::files::FileWriter;

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

/// Where checkpoints go and how often.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// The file; each checkpoint replaces the one before.
    pub path: PathBuf,
    /// Steps between checkpoints; 0 for none but those at the end of the training and at a stop.
    pub every: usize,
}

impl Checkpoints {
    /// Lets a run go on from the file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read, [`Error::Checkpoint`] if the run cannot go on from it.
    pub fn restore(&self, run: &mut Run) -> Result<()> {
        let bytes = fs::read(&self.path).map_err(Error::io("read the checkpoint", &self.path))?;
        run.restore(&bytes, &self.path)
    }

    /// Removes the file, when its run is complete elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it is there and cannot be removed.
    pub fn remove(&self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &self.path)(error))
            }
            _ => Ok(()),
        }
    }

    async fn save(&self, run: &Run) -> Result<()> {
        let mut file = FileWriter::new(&self.path)?;
        run.write_checkpoint(&mut |part| file.write(part)).await?;
        file.finish()
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
/// number.
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
                if let (Event::Step { step, steps, .. }, Some(checkpoints)) = (&event, checkpoints)
                {
                    let due = checkpoints.every > 0 && step.is_multiple_of(checkpoints.every);
                    if due || step == steps {
                        checkpoints.save(run).await?;
                    }
                }
            }
            Ok(None) => {
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
