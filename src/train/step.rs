//! The training step, top to bottom: batch → student → teacher → loss → backward → sum over the ranks → EWC →
//! clipping and AdamW → statistics.
//!
//! [`super::pipeline`] decides whether a [`Step`] computes ahead of time.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::backward::Backward;
use super::ewc::Ewc;
use super::optimizer::AdamW;
use super::settings::TrainSettings;
use super::split::Split;
use super::sum::{LossAndGradients, StepSums};
use super::teacher::Teacher;
use crate::device::{self, ranks::Ranks};
use crate::error::Result;
use crate::kernels::distillation::{Objective, Predictions, distillation_loss};
use crate::kernels::profile::{self, Phase};
use crate::model::{Batch, CausalLm, Parameters};

/// The inputs and the state of training steps.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The untouched model, with the structure of the student; without values where nothing needs them.
    pub model: CausalLm,
    /// The frozen teacher, if the objective requires one.
    pub teacher: Option<Teacher>,
    /// Elastic weight consolidation, if enabled.
    pub ewc: Option<Ewc>,
    /// Weight of every sample in the loss, by its index; 1 where absent.
    pub sample_weights: Option<Arc<[f32]>>,
    pub settings: TrainSettings,
    /// Which rank computes which sample.
    pub split: Split,
    pub state: State,
}

/// The state that changes from step to step.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The trainable values.
    pub parameters: Parameters,
    pub optimizer: AdamW,
}

impl Step {
    /// Returns the student: the model with the current trainable values.
    pub(super) fn student(&self) -> CausalLm {
        self.model
            .with_trainable_values(self.state.parameters.clone())
    }

    /// Computes the loss of the batches and its gradient, with the penalty of elastic weight
    /// consolidation. The loss is the mean over the predicted tokens of all batches.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Device`] if the device fails.
    pub(super) async fn gradients(&mut self, batches: &[Batch]) -> Result<LossAndGradients> {
        let data = self.data_gradients(batches).await?;
        Ok(match &mut self.ewc {
            Some(ewc) => {
                ewc.sum_over_ranks(self.model.device().ranks()).await?;
                let (strength, parameters) = (self.settings.ewc, &self.state.parameters);
                let (loss, gradients) =
                    ewc.add_penalty(strength, parameters, data.loss, data.gradients);
                LossAndGradients { loss, gradients }
            }
            None => data,
        })
    }

    /// Computes the same without a penalty: gradient accumulation over the batches.
    pub(super) async fn data_gradients(&mut self, batches: &[Batch]) -> Result<LossAndGradients> {
        let predicted = batches.iter().map(|batch| batch.predicted_tokens).sum();
        let ranks = self.model.device().ranks().clone();
        let parameters = self.state.parameters.clone();
        let own = self.split.share(batches, &ranks, self.teacher.is_some());
        let mut sums = StepSums::new(&parameters, &ranks);
        for (batch, left) in own.iter().zip((0..own.len()).rev()) {
            self.add_gradients(batch, predicted, left == 0, &mut sums)
                .await?;
        }
        sums.finish().await
    }

    /// Adds a batch's share of the mean loss over `predicted` tokens, and its gradient.
    async fn add_gradients(
        &mut self,
        batch: &Batch,
        predicted: usize,
        last: bool,
        sums: &mut StepSums<'_>,
    ) -> Result<()> {
        let teacher = match &mut self.teacher {
            Some(teacher) => {
                let _phase = profile::phase(Phase::Teacher);
                Some(teacher.predictions(batch).await?)
            }
            None => None,
        };
        let student = self.student();
        let dropout_seeds = Some(self.dropout_seeds(batch));
        let device = student.tensor_device();
        let weights = self.sample_weights.as_deref();
        let loss = |predictions: Predictions| {
            distillation_loss(
                predictions,
                teacher.clone(),
                batch.labels(&device),
                weights.map(|weights| batch.token_weights(weights, &device)),
                &self.settings.objective,
                predicted,
                self.settings.tile_bytes,
            )
        };
        let backward = Backward {
            model: &student,
            batch,
            dropout_seeds,
            loss: &loss,
        };
        let checkpointing = self.settings.gradient_checkpointing;
        backward.run(checkpointing, last, sums).await
    }

    /// Clips the gradients and updates the parameters. Returns the step's statistics as a tensor, before
    /// the device has computed them: whether anything moves is decided on the device, so that it never
    /// waits for the host.
    pub(super) fn update(&mut self, computed: LossAndGradients, learning_rate: f64) -> Tensor<1> {
        let _phase = profile::phase(Phase::Optimizer);
        let LossAndGradients { loss, gradients } = computed;
        let State {
            parameters,
            optimizer,
        } = &mut self.state;
        let stats = optimizer.stats(
            &gradients,
            loss,
            self.settings.gradient_clip,
            learning_rate,
            self.settings.weight_decay,
        );
        optimizer.step(parameters, gradients, &stats);
        stats
    }

    /// Adds a text to the Fisher information of elastic weight consolidation: the squared gradient of the
    /// untouched model's loss on a batch of this one text.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Device`] if the device fails.
    pub(super) async fn consolidate(&mut self, text: &Batch) -> Result<()> {
        let untouched = &self.model;
        let Some(ewc) = &mut self.ewc else {
            return Ok(());
        };
        let ranks = untouched.device().ranks();
        if ewc.texts() % ranks.count() != ranks.rank() {
            ewc.skip(text.predicted_tokens);
            return Ok(());
        }
        let loss = |predictions: Predictions| {
            distillation_loss(
                predictions,
                None,
                text.labels(&untouched.tensor_device()),
                None,
                &Objective::finetuning(),
                text.predicted_tokens,
                self.settings.tile_bytes,
            )
        };
        let backward = Backward {
            model: untouched,
            batch: text,
            dropout_seeds: None,
            loss: &loss,
        };
        let (parameters, alone) = (untouched.trainable_values(), Ranks::default());
        let mut sums = StepSums::new(&parameters, &alone);
        let checkpointing = self.settings.gradient_checkpointing;
        backward.run(checkpointing, true, &mut sums).await?;
        let computed = sums.finish().await?;
        ewc.accumulate(computed.gradients, text.predicted_tokens);
        // Waiting here bounds the memory of work in flight.
        device::read(computed.loss).await?;
        Ok(())
    }

    /// Different for every step and sample, and the same each time for the same ones.
    fn dropout_seeds(&self, batch: &Batch) -> Arc<[u64]> {
        let of_step = self.settings.seed ^ ((self.state.optimizer.steps as u64) << 32);
        let samples = batch.samples.iter();
        samples.map(|&sample| of_step ^ sample as u64).collect()
    }
}
