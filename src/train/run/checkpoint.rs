//! Checkpoints of a run: saving and restoring its state.

use std::path::Path;

use super::Run;
use crate::error::{Error, Result};
use crate::model::weights::Put;
use crate::train::checkpoint::{self, Checkpoint, Progress};
use crate::train::step::State;

impl Run {
    /// Returns the state of the run, to resume from later, as the bytes of a safetensors file.
    ///
    /// # Errors
    ///
    /// [`Error::Device`], also where the device failed before: its results are then not reliable;
    /// [`Error::StepInFlight`] where a future of [`Self::next`] was dropped during a step.
    pub async fn checkpoint(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write_checkpoint(&mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })
        .await?;
        Ok(bytes)
    }

    /// Writes the same bytes piece by piece, so that they are never in memory as a whole.
    ///
    /// # Errors
    ///
    /// [`Error::Device`], also where the device failed before; [`Error::StepInFlight`]; the errors of
    /// `put`.
    pub async fn write_checkpoint(&self, put: Put<'_>) -> Result<()> {
        if !self.trainer.is_idle() {
            return Err(Error::StepInFlight);
        }
        self.model.device().check()?;
        Checkpoint {
            settings: self.trainer.settings(),
            fingerprint: self.fingerprint(),
            progress: &self.progress,
        }
        .write(self.trainer.parameters(), self.trainer.state(), put)
        .await?;
        self.model.device().check()
    }

    /// Resumes from a checkpoint of a run with the same settings, model and data: the result is that of
    /// an uninterrupted run. `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] for a damaged checkpoint, and for one of another run.
    pub fn restore(&mut self, bytes: &[u8], path: impl AsRef<Path>) -> Result<()> {
        let (progress, state) = self.read_checkpoint(bytes, path.as_ref())?;
        self.progress = progress;
        self.trainer.set_state(state);
        self.epoch = None;
        self.split_as_before()?;
        self.evaluation = None;
        self.front = None;
        Ok(())
    }

    /// Gives each sample to the rank that has it in an uninterrupted run.
    fn split_as_before(&mut self) -> Result<()> {
        if !self.model.device().ranks().is_single() {
            for step in 0..self.progress.step {
                let batches = self.batches_of_step(step)?;
                self.trainer.split(&batches);
            }
        }
        Ok(())
    }

    /// Reads a checkpoint of this run.
    ///
    /// # Errors
    ///
    /// As [`Self::restore`].
    pub(in crate::train) fn read_checkpoint(
        &self,
        bytes: &[u8],
        path: &Path,
    ) -> Result<(Progress, State)> {
        let (progress, state) = Checkpoint::read(
            bytes,
            path,
            self.trainer.settings(),
            &self.fingerprint(),
            self.trainer.parameters(),
            &self.model.tensor_device(),
        )?;
        if progress.step > self.steps {
            return Err(Error::Checkpoint {
                path: path.to_path_buf(),
                message: format!(
                    "it is at step {}, but the run has {} steps: resume with more epochs or steps",
                    progress.step, self.steps
                ),
            });
        }
        let consistent = progress.losses.len() == progress.step
            && progress.seconds >= 0.0
            && progress.evaluations.is_sorted_by(|a, b| a.step < b.step)
            && progress
                .evaluations
                .last()
                .is_none_or(|last| last.step <= progress.step);
        if !consistent {
            return Err(Error::Checkpoint {
                path: path.to_path_buf(),
                message:
                    "its step, losses and evaluations do not fit together: start the run again"
                        .to_string(),
            });
        }
        Ok((progress, state))
    }

    /// Returns a digest of model and data.
    fn fingerprint(&self) -> String {
        checkpoint::fingerprint(&self.model, &self.data)
    }
}
