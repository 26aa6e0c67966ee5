//! The batches of a run's steps.

use super::Run;
use crate::error::Result;
use crate::model::{Batch, epoch_batches};

impl Run {
    /// Returns the batches of a step, counted from 0. They depend only on the seed and the step.
    pub(super) fn batches_of_step(&mut self, step: usize) -> Result<Vec<Batch>> {
        let settings = self.trainer.settings();
        let (epoch, step) = (step / self.steps_per_epoch, step % self.steps_per_epoch);
        if self.epoch.as_ref().map(|(epoch, _)| *epoch) != Some(epoch) {
            let train = self.data.train.len();
            let batches = epoch_batches(
                &self.samples,
                train,
                settings.replayed(train)?,
                settings.batch_size,
                settings.seed,
                epoch,
            );
            self.epoch = Some((epoch, batches));
        }
        let batches = self.epoch.iter().flat_map(|(_, batches)| batches);
        let batches = batches
            .skip(step * settings.gradient_accumulation)
            .take(settings.gradient_accumulation)
            .map(|samples| Batch::new(&self.samples, samples.clone()));
        Ok(batches.collect())
    }
}
