//! A model in training, one step at a time.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::ewc::Ewc;
use super::optimizer::AdamW;
use super::pipeline::Pipeline;
use super::settings::TrainSettings;
use super::split::Split;
use super::step::{State, Step};
use super::teacher::{Keeping, Teacher, TeacherCache};
use crate::error::{Error, Result};
use crate::model::{Batch, CausalLm, ParameterSpec, Parameters};

/// A model in training: its trainable values, the optimizer's state, and the frozen teacher. The training
/// step itself is in `train/step.rs`.
#[derive(Clone, Debug)]
pub struct Trainer {
    pipeline: Pipeline,
}

/// The measurements of a step before its update.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StepOutput {
    /// Mean loss over the predicted tokens of all batches.
    pub loss: f32,
    /// Gradient norm before clipping.
    pub gradient_norm: f32,
}

impl StepOutput {
    /// Returns whether both are finite, so that the parameters were updated.
    pub fn is_finite(&self) -> bool {
        self.loss.is_finite() && self.gradient_norm.is_finite()
    }
}

impl Trainer {
    /// Creates a trainer whose student is `model`, and whose teacher is the same model without an
    /// adapter. Trains the adapter that the settings ask for or that the model has, else its weights.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a setting out of range, and for an adapter in the settings where
    /// the model has one.
    pub fn new(model: CausalLm, settings: TrainSettings) -> Result<Self> {
        settings.validate()?;
        check_adapter(&model, &settings)?;
        let teacher = settings.objective.needs_teacher().then(|| {
            let keeping = Keeping {
                numbers: settings.teacher_states,
                device_bytes: settings.teacher_cache_bytes,
                host_bytes: settings.teacher_host_bytes,
            };
            Teacher::new(model.without_adapter(), keeping)
        });
        let model = match &settings.adapter {
            None => model,
            Some(adapter) => model.with_new_adapter(adapter.clone(), settings.seed)?,
        };
        let parameters = model.trainable_values();
        // The state has the values of what is trained; EWC needs the untouched ones, also in a resumed run.
        let model = match model.adapter() {
            None if settings.ewc == 0.0 => model.without_values(),
            _ => model,
        };
        Ok(Self {
            pipeline: Pipeline::new(Step {
                ewc: (settings.ewc > 0.0).then(|| Ewc::new(&parameters)),
                sample_weights: None,
                model,
                teacher,
                settings,
                split: Split::default(),
                state: State {
                    optimizer: AdamW::new(&parameters),
                    parameters,
                },
            }),
        })
    }

    /// Returns its settings.
    pub fn settings(&self) -> &TrainSettings {
        &self.pipeline.stage().settings
    }

    /// Returns names and shapes of the trainable parameters.
    pub fn parameters(&self) -> &[ParameterSpec] {
        self.pipeline.stage().model.trainable_parameters()
    }

    /// Returns the current model.
    pub fn model(&self) -> CausalLm {
        self.pipeline.stage().student()
    }

    /// Returns the use of the teacher's cache, or `None` without a teacher.
    pub fn teacher_cache(&self) -> Option<TeacherCache> {
        self.pipeline.stage().teacher.as_ref().map(Teacher::cache)
    }

    /// Returns the number of texts in the Fisher information, or `None` without elastic weight
    /// consolidation.
    pub fn consolidated(&self) -> Option<usize> {
        self.pipeline.stage().ewc.as_ref().map(Ewc::texts)
    }

    /// Multiplies the losses of samples by weights from the next step on: one per sample, by its index in the list
    /// that batches are made from. Samples without one have weight 1.
    pub fn set_sample_weights(&mut self, weights: impl Into<Arc<[f32]>>) {
        self.pipeline.stage_mut().sample_weights = Some(weights.into());
    }

    /// Returns the weights of the samples, if any are set.
    pub(super) fn sample_weights(&self) -> Option<&[f32]> {
        self.pipeline.stage().sample_weights.as_deref()
    }

    /// Adds a batch of one text to the Fisher information of elastic weight consolidation, if enabled in the
    /// settings.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if the device fails.
    pub async fn consolidate(&mut self, text: &Batch) -> Result<()> {
        self.pipeline.stage_mut().consolidate(text).await
    }

    /// Takes one optimizer step on the batches, whose gradients are accumulated: the loss is the mean
    /// over all their predicted tokens, plus the penalty of elastic weight consolidation. If the loss or the
    /// gradient is not finite, nothing is updated.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] without batches or predicted tokens; [`Error::Device`] if the device fails.
    pub async fn step(&mut self, batches: &[Batch], learning_rate: f64) -> Result<StepOutput> {
        self.step_before(batches, learning_rate, &[]).await
    }

    /// Takes one step. While its result is read, a GPU starts computing the gradients of a step on the batches
    /// `next`. Any other call may follow instead: look-ahead does not change the model. Dropping the future
    /// before it is ready waits for the GPU; the same call then continues the step.
    ///
    /// # Errors
    ///
    /// As [`Self::step`].
    pub async fn step_before(
        &mut self,
        batches: &[Batch],
        learning_rate: f64,
        next: &[Batch],
    ) -> Result<StepOutput> {
        check(batches)?;
        let stats = self.pipeline.step(batches, learning_rate, next).await?;
        Ok(StepOutput {
            loss: stats.loss,
            gradient_norm: stats.gradient_norm,
        })
    }

    /// Returns the loss of a step on the batches before its update. [`Self::step_before`] on the same batches
    /// then does not compute it again.
    pub(super) async fn loss_before(&mut self, batches: &[Batch]) -> Result<f32> {
        check(batches)?;
        self.pipeline.loss(batches).await
    }

    /// Computes the mean loss \[1\] over the predicted tokens of all batches and its gradient with
    /// respect to every trainable parameter, without the penalty of elastic weight consolidation.
    ///
    /// # Errors
    ///
    /// As [`Self::step`].
    pub async fn gradients(&mut self, batches: &[Batch]) -> Result<(Tensor<1>, Parameters)> {
        check(batches)?;
        let computed = self.pipeline.stage_mut().data_gradients(batches).await?;
        Ok((computed.loss, computed.gradients))
    }

    /// Splits a step over the ranks without taking it.
    pub(super) fn split(&mut self, batches: &[Batch]) {
        let step = self.pipeline.stage_mut();
        let ranks = step.model.device().ranks();
        step.split.share(batches, ranks, step.teacher.is_some());
    }

    /// Whether the results of all steps have been read.
    pub(super) fn is_idle(&self) -> bool {
        self.pipeline.is_idle()
    }

    pub(super) fn state(&self) -> &State {
        &self.pipeline.stage().state
    }

    pub(super) fn set_state(&mut self, state: State) {
        self.pipeline.set_state(state);
    }

    /// Frees the teacher's weights where they are not needed any more, see [`Pipeline::release_teacher`].
    pub(super) fn release_teacher(&mut self, samples: usize) -> bool {
        self.pipeline.release_teacher(samples)
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn teacher(&self) -> Option<&Teacher> {
        self.pipeline.stage().teacher.as_ref()
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn teacher_mut(&mut self) -> Option<&mut Teacher> {
        self.pipeline.stage_mut().teacher.as_mut()
    }
}

/// A loss is a mean over predicted tokens: there has to be one.
fn check(batches: &[Batch]) -> Result<()> {
    if batches.is_empty() {
        return Err(Error::setting("batches", "none", "at least one batch"));
    }
    if batches.iter().any(|batch| batch.length == 0) {
        let expected = "samples of at least 2 tokens";
        return Err(Error::setting("batches", "an empty batch", expected));
    }
    Ok(())
}

/// Rejects adapters of the model that cannot be trained.
fn check_adapter(model: &CausalLm, settings: &TrainSettings) -> Result<()> {
    if model.adapter().is_none() {
        return Ok(());
    }
    let fault = |value: &str, expected: &str| Err(Error::setting("adapter", value, expected));
    if settings.adapter.is_some() {
        return fault("a new one", "none, since the model already has an adapter");
    }
    if model.trainable_parameters().is_empty() {
        let expected = "one with LoRA or IA³ parameters, or a merged model";
        return fault("one that only replaces weights", expected);
    }
    if settings.objective.needs_teacher() && model.resizes_vocabulary() {
        let expected = "one of the same vocabulary, or the adapter merged into a new base model";
        return fault("one that resizes the vocabulary", expected);
    }
    Ok(())
}
