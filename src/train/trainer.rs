//! The training step, from batches to moved parameters: gradients of the mean loss, one look at the
//! device, then the optimiser.

use burn::tensor::Tensor;

use super::optimizer::{self, AdamW};
use super::settings::TrainSettings;
use super::teacher::Teacher;
use crate::data::Batch;
use crate::device;
use crate::error::{Error, Result};
use crate::model::{CausalLm, ParameterSpec, Parameters};
use crate::objective::distillation_loss;

/// A model in training: its trainable values, the optimiser's moments, and the frozen teacher.
#[derive(Clone, Debug)]
pub struct Trainer {
    model: CausalLm,
    teacher: Option<Teacher>,
    settings: TrainSettings,
    pub(super) state: State,
}

/// What changes from step to step: the trainable values, and the optimiser's moments of them.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub parameters: Parameters,
    pub optimizer: AdamW,
}

/// What a step measured before it moved anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Mean loss over the positions of all batches.
    pub loss: f32,
    /// Norm of the whole gradient, before clipping.
    pub gradient_norm: f32,
}

impl Measured {
    /// Whether both are numbers, so that the step was taken.
    pub fn is_finite(&self) -> bool {
        self.loss.is_finite() && self.gradient_norm.is_finite()
    }
}

impl Trainer {
    /// A trainer whose student is `model`, and whose teacher is the same without an adapter. What is
    /// trained is the adapter that the settings ask for or that the model has, else its weights.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidSetting`] for a setting out of range, or for one that asks for an
    /// adapter where the model has one.
    pub fn new(model: CausalLm, settings: TrainSettings) -> Result<Self> {
        settings.validate()?;
        let teacher = settings
            .objective
            .needs_teacher()
            .then(|| Teacher::new(model.without_adapter(), settings.teacher_cache_bytes));
        let model = match &settings.adapter {
            None => model,
            Some(adapter) if model.adapter().is_none() => {
                model.with_new_adapter(adapter.clone(), settings.seed)?
            }
            Some(_) => {
                let expected = "none where the model comes with one";
                return Err(Error::setting("adapter", "a new one", expected));
            }
        };
        let parameters = model.trainable_values().clone();
        Ok(Self {
            model,
            teacher,
            settings,
            state: State {
                optimizer: AdamW::new(&parameters),
                parameters,
            },
        })
    }

    /// Its settings.
    pub fn settings(&self) -> &TrainSettings {
        &self.settings
    }

    /// Names and shapes of what is trained.
    pub fn parameters(&self) -> &[ParameterSpec] {
        self.model.trainable_parameters()
    }

    /// The model as it is now.
    pub fn model(&self) -> CausalLm {
        self.model
            .with_trainable_values(self.state.parameters.clone())
    }

    /// Takes one step on the batches, whose gradients are summed: the loss is the mean over all
    /// their positions. Where loss or gradient is not finite, nothing moves.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Device`] if the device fails.
    pub async fn step(&mut self, batches: &[Batch], learning_rate: f64) -> Result<Measured> {
        let (loss, gradients) = self.gradients(batches);

        let norm = optimizer::norm(&gradients);
        let read = device::read(Tensor::cat(vec![loss, norm.clone().reshape([1])], 0)).await?;
        let measured = Measured {
            loss: read[0],
            gradient_norm: read[1],
        };
        if !measured.is_finite() {
            return Ok(measured);
        }

        let TrainSettings {
            gradient_clip,
            weight_decay,
            ..
        } = self.settings;
        let too_long = gradient_clip > 0.0 && f64::from(measured.gradient_norm) > gradient_clip;
        let factor = if too_long {
            norm.recip() * gradient_clip
        } else {
            norm.ones_like()
        };
        let State {
            parameters,
            optimizer,
        } = &mut self.state;
        optimizer.step(parameters, gradients, &factor, learning_rate, weight_decay);
        Ok(measured)
    }

    /// The mean loss \[1\] over the positions of all batches and its gradient with respect to every
    /// parameter.
    ///
    /// # Panics
    ///
    /// If there is no batch.
    pub fn gradients(&mut self, batches: &[Batch]) -> (Tensor<1>, Parameters) {
        let positions = batches.iter().map(|batch| batch.positions).sum();
        let mut parts = batches
            .iter()
            .map(|batch| self.gradients_of_batch(batch, positions));
        let (mut loss, mut gradients) = parts.next().expect("at least one batch");
        for (part, of_parameters) in parts {
            loss = loss + part;
            gradients = gradients
                .into_iter()
                .zip(of_parameters)
                .map(|(a, b)| a + b)
                .collect();
        }
        (loss, gradients)
    }

    /// A batch's share of the mean over `positions`.
    fn gradients_of_batch(&mut self, batch: &Batch, positions: usize) -> (Tensor<1>, Parameters) {
        let device = self.model.tensor_device();
        let teacher = self
            .teacher
            .as_mut()
            .map(|teacher| teacher.predictions(batch));
        let (student, parameters) = self.model().tracked();
        // Another draw for each batch, the same each time.
        let first = batch.samples.first().copied().unwrap_or(0) as u64;
        let seed = self.settings.seed ^ ((self.state.optimizer.steps as u64) << 32) ^ first;
        let loss = distillation_loss(
            student.training_predictions(batch.tokens(&device), seed),
            teacher,
            batch.labels(&device),
            &self.settings.objective,
            positions,
            self.settings.tile_bytes,
        );
        let mut gradients = loss.backward();
        let of_parameters = parameters
            .into_iter()
            .map(|parameter| match parameter.grad_remove(&mut gradients) {
                Some(gradient) => gradient,
                None => parameter.inner().zeros_like(),
            })
            .collect();
        (loss.inner(), of_parameters)
    }
}
