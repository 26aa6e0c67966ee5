//! The training step, from batches to moved parameters: gradients of the mean loss, the optimiser, then
//! one look at the device, which has the next step's gradients to compute by then.

use burn::tensor::Tensor;

use super::consolidation::Consolidation;
use super::gradients::Work;
use super::optimizer::AdamW;
use super::settings::TrainSettings;
use super::teacher::{Keeping, Teacher, TeacherCache};
use crate::data::Batch;
use crate::device;
use crate::error::{Error, Result};
use crate::model::{CausalLm, ParameterSpec, Parameters};
use crate::objective::Objective;
use crate::reading::Reading;

/// A model in training: its trainable values, the optimiser's moments, and the frozen teacher.
#[derive(Clone, Debug)]
pub struct Trainer {
    model: CausalLm,
    pub(super) teacher: Option<Teacher>,
    consolidation: Option<Consolidation>,
    settings: TrainSettings,
    pub(super) state: State,
    taken: Option<Taken>,
    ahead: Option<Ahead>,
}

/// A step that was taken and has not been read: whoever waited for it stopped waiting.
#[derive(Clone, Debug)]
struct Taken {
    batches: Vec<Batch>,
    figures: Tensor<1>,
}

/// The loss and gradients of a step that is still to be taken, at the state as it is.
#[derive(Clone, Debug)]
struct Ahead {
    batches: Vec<Batch>,
    loss: Tensor<1>,
    gradients: Parameters,
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
            consolidation: (settings.ewc > 0.0).then(|| Consolidation::new(&parameters)),
            model,
            teacher,
            settings,
            state: State {
                optimizer: AdamW::new(&parameters),
                parameters,
            },
            taken: None,
            ahead: None,
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

    /// What came of keeping the teacher's states, or `None` where there is no teacher.
    pub fn teacher_cache(&self) -> Option<TeacherCache> {
        self.teacher.as_ref().map(Teacher::cache)
    }

    /// Texts that went into the weights' importance, or `None` without elastic weight consolidation.
    pub fn consolidated(&self) -> Option<usize> {
        self.consolidation.as_ref().map(Consolidation::texts)
    }

    /// Takes a text into the weights' importance for elastic weight consolidation, if that is asked
    /// for: the untouched model's gradient on a batch of this one text.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Device`] if the device fails.
    pub async fn consolidate(&mut self, text: &Batch) -> Result<()> {
        self.ahead = None;
        if let Some(consolidation) = &mut self.consolidation {
            let work = Work {
                model: &self.model,
                dropout_seed: None,
                teacher: None,
                batch: text,
                objective: &Objective::finetuning(),
                positions: text.positions,
                tile_bytes: self.settings.tile_bytes,
            };
            let (loss, gradients) = work.gradients(self.settings.gradient_checkpointing);
            consolidation.include(gradients, text.positions);
            // Work is done before more is asked for, so that memory stays bounded.
            device::read(loss).await?;
        }
        Ok(())
    }

    /// Takes one step on the batches, whose gradients are summed: the loss is the mean over all
    /// their positions, and the penalty of elastic weight consolidation where that is asked for.
    /// Where loss or gradient is not finite, nothing moves.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Device`] if the device fails.
    pub async fn step(&mut self, batches: &[Batch], learning_rate: f64) -> Result<Measured> {
        self.step_before(batches, learning_rate, &[]).await
    }

    /// The same, before a step on the batches `next`, if there are any: a GPU computes their gradients
    /// while what this step measured is on its way, so that it never waits for the host. Whatever comes
    /// next instead is right as well, and the model is as this step left it. Where the future is dropped
    /// before it is ready, which waits for the GPU, asking for the same step again goes on with it.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Device`] if the device fails.
    pub async fn step_before(
        &mut self,
        batches: &[Batch],
        learning_rate: f64,
        next: &[Batch],
    ) -> Result<Measured> {
        if self.taken.as_ref().map(|taken| &*taken.batches) != Some(batches) {
            self.settle(&[]).await?;
            let figures = self.take(batches, learning_rate).await?;
            self.taken = Some(Taken {
                batches: batches.to_vec(),
                figures,
            });
        }
        let measured = self.settle(next).await?;
        Ok(measured.expect("a step was taken"))
    }

    /// Whether every step that was taken has been read.
    pub(super) fn is_between_steps(&self) -> bool {
        self.taken.is_none()
    }

    /// Reads what the step measured that was taken and not read yet, if there is one.
    async fn settle(&mut self, next: &[Batch]) -> Result<Option<Measured>> {
        let Some(taken) = &self.taken else {
            return Ok(None);
        };
        let figures = Reading::begin(taken.figures.clone());
        let ahead = self.look_ahead(next).await;
        let figures = figures.await?;
        self.taken = None;
        let measured = Measured {
            loss: figures[2],
            gradient_norm: figures[1],
        };
        if measured.is_finite() {
            self.ahead = ahead;
        } else {
            self.state.optimizer.steps -= 1;
        }
        Ok(Some(measured))
    }

    /// Moves the parameters by one step, and gives its figures before anybody has waited for them.
    async fn take(&mut self, batches: &[Batch], learning_rate: f64) -> Result<Tensor<1>> {
        let ahead = self.ahead.take().filter(|ahead| ahead.batches == batches);
        let (loss, gradients) = match ahead {
            Some(ahead) => (ahead.loss, ahead.gradients),
            None => self.held_gradients(batches).await?,
        };

        let TrainSettings {
            gradient_clip,
            weight_decay,
            ..
        } = self.settings;
        let State {
            parameters,
            optimizer,
        } = &mut self.state;
        let figures =
            optimizer.figures(&gradients, loss, gradient_clip, learning_rate, weight_decay);
        // The device decides whether anything moves, so that it need not wait for anybody.
        optimizer.step(parameters, gradients, &figures);
        Ok(figures)
    }

    /// Has the device begin with the gradients of the next step.
    async fn look_ahead(&mut self, next: &[Batch]) -> Option<Ahead> {
        if next.is_empty() || !self.device_works_alone() {
            return None;
        }
        // Whatever fails here fails again where the step is taken, and is said there.
        let (loss, gradients) = self.held_gradients(next).await.ok()?;
        Some(Ahead {
            batches: next.to_vec(),
            loss,
            gradients,
        })
    }

    /// Whether the device computes while the host goes on: the CPU does not, nor does a GPU that is given
    /// its work in slices.
    fn device_works_alone(&self) -> bool {
        let device = self.model.device();
        #[cfg(not(target_arch = "wasm32"))]
        if device.time_slice().is_some() {
            return false;
        }
        device.adapter().is_some()
    }

    /// Forgets what was computed for a next step, which another state takes.
    pub(super) fn set_state(&mut self, state: State) {
        self.state = state;
        (self.taken, self.ahead) = (None, None);
    }

    /// Loss and gradients with the penalty of elastic weight consolidation, where that is asked for.
    async fn held_gradients(&mut self, batches: &[Batch]) -> Result<(Tensor<1>, Parameters)> {
        let (loss, gradients) = self.gradients(batches).await?;
        Ok(match &self.consolidation {
            Some(consolidation) => {
                let (strength, parameters) = (self.settings.ewc, &self.state.parameters);
                consolidation.hold(strength, parameters, loss, gradients)
            }
            None => (loss, gradients),
        })
    }

    /// The mean loss \[1\] over the positions of all batches and its gradient with respect to every
    /// parameter.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Device`] if the device fails.
    ///
    /// # Panics
    ///
    /// If there is no batch.
    pub async fn gradients(&mut self, batches: &[Batch]) -> Result<(Tensor<1>, Parameters)> {
        let positions = batches.iter().map(|batch| batch.positions).sum();
        let (first, rest) = batches.split_first().expect("at least one batch");
        let (mut loss, mut gradients) = self.gradients_of_batch(first, positions).await?;
        for batch in rest {
            let (part, of_parameters) = self.gradients_of_batch(batch, positions).await?;
            loss = loss + part;
            gradients = gradients
                .into_iter()
                .zip(of_parameters)
                .map(|(a, b)| a + b)
                .collect();
        }
        Ok((loss, gradients))
    }

    /// A batch's share of the mean over `positions`.
    async fn gradients_of_batch(
        &mut self,
        batch: &Batch,
        positions: usize,
    ) -> Result<(Tensor<1>, Parameters)> {
        let teacher = match &mut self.teacher {
            Some(teacher) => Some(teacher.predictions(batch).await?),
            None => None,
        };
        // Another draw for each batch, the same each time.
        let first = batch.samples.first().copied().unwrap_or(0) as u64;
        let seed = self.settings.seed ^ ((self.state.optimizer.steps as u64) << 32) ^ first;
        let work = Work {
            model: &self.model(),
            dropout_seed: Some(seed),
            teacher,
            batch,
            objective: &self.settings.objective,
            positions,
            tile_bytes: self.settings.tile_bytes,
        };
        Ok(work.gradients(self.settings.gradient_checkpointing))
    }
}
