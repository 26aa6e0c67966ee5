//! Steps in flight: a GPU computes the gradients of the next step while the statistics of the current one are
//! read back, so that it never waits for the host.

use burn::tensor::Tensor;

use super::step::{State, Step};
use super::sum::LossAndGradients;
use crate::device::{self, readback::Readback};
use crate::error::Result;
use crate::kernels::adamw::StepStats;
use crate::kernels::profile::{self, Phase};
use crate::model::Batch;

/// A [`Step`] with look-ahead. Dropping a future of [`Pipeline::step`] loses nothing: the next call
/// continues where it was.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    step: Step,
    in_flight: Option<InFlight>,
    ahead: Option<Ahead>,
}

/// A step whose statistics have not been read yet.
#[derive(Clone, Debug)]
struct InFlight {
    batches: Vec<Batch>,
    stats: Tensor<1>,
}

/// Gradients of a step that has not been taken yet, for the current state.
#[derive(Clone, Debug)]
struct Ahead {
    batches: Vec<Batch>,
    computed: LossAndGradients,
}

impl Pipeline {
    pub(super) fn new(step: Step) -> Self {
        Self {
            step,
            in_flight: None,
            ahead: None,
        }
    }

    /// Returns the step.
    pub(super) fn stage(&self) -> &Step {
        &self.step
    }

    /// Returns the step for work outside the pipeline. Discards gradients computed ahead.
    pub(super) fn stage_mut(&mut self) -> &mut Step {
        self.ahead = None;
        &mut self.step
    }

    /// Frees the teacher's weights, if only its cached hidden states of `samples` samples are needed and the student
    /// does not share them. Returns whether it did. Gradients computed ahead stay valid.
    pub(super) fn release_teacher(&mut self, samples: usize) -> bool {
        let Step {
            model,
            teacher,
            split,
            ..
        } = &mut self.step;
        let ranks = model.device().ranks();
        let own = (0..samples).filter(|&sample| !split.is_elsewhere(sample, ranks));
        let teacher = teacher.as_mut().filter(|_| model.adapter().is_none());
        teacher.is_some_and(|teacher| teacher.release(own))
    }

    /// Replaces the state, and discards results for the previous one.
    pub(super) fn set_state(&mut self, state: State) {
        self.step.state = state;
        (self.in_flight, self.ahead) = (None, None);
    }

    /// Returns whether the statistics of every step have been read.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_none()
    }

    /// Takes a step on `batches`, and starts computing the gradients of a step on `next`, which may be empty.
    /// If other batches follow, the gradients computed ahead are discarded. Returns the step's statistics. If
    /// the loss or the gradient is not finite, nothing is updated.
    pub(super) async fn step(
        &mut self,
        batches: &[Batch],
        learning_rate: f64,
        next: &[Batch],
    ) -> Result<StepStats> {
        if self.in_flight.as_ref().map(|step| &*step.batches) != Some(batches) {
            self.settle(&[]).await?;
            let ahead = self.ahead.take().filter(|ahead| ahead.batches == batches);
            let computed = match ahead {
                Some(ahead) => ahead.computed,
                None => self.step.gradients(batches).await?,
            };
            let stats = self.step.update(computed, learning_rate);
            self.in_flight = Some(InFlight {
                batches: batches.to_vec(),
                stats,
            });
        }
        let stats = self.settle(next).await?;
        Ok(stats.expect("a step is in flight"))
    }

    /// Returns the loss of a step on `batches` before its update. Its gradients are kept for [`Self::step`].
    pub(super) async fn loss(&mut self, batches: &[Batch]) -> Result<f32> {
        // A step that was begun is not begun again.
        if let Some(step) = &self.in_flight
            && step.batches == batches
        {
            return Ok(StepStats::from_values(&device::read(step.stats.clone()).await?).loss);
        }
        self.settle(&[]).await?;
        let ahead = self.ahead.take().filter(|ahead| ahead.batches == batches);
        let ahead = match ahead {
            Some(ahead) => ahead,
            None => Ahead {
                batches: batches.to_vec(),
                computed: self.step.gradients(batches).await?,
            },
        };
        let loss = self.ahead.insert(ahead).computed.loss.clone();
        Ok(device::read(loss).await?[0])
    }

    /// Reads the statistics of the step in flight, if there is one.
    async fn settle(&mut self, next: &[Batch]) -> Result<Option<StepStats>> {
        let Some(in_flight) = &self.in_flight else {
            return Ok(None);
        };
        let readback = Readback::begin(in_flight.stats.clone());
        let ahead = self.look_ahead(next).await;
        let phase = profile::phase(Phase::Readback);
        let stats = StepStats::from_values(&readback.await?);
        drop(phase);
        self.in_flight = None;
        if stats.clip_factor.is_finite() {
            self.ahead = ahead;
        } else {
            self.step.state.optimizer.steps -= 1;
        }
        Ok(Some(stats))
    }

    /// Starts computing the gradients of the next step on the device.
    async fn look_ahead(&mut self, next: &[Batch]) -> Option<Ahead> {
        if next.is_empty() || !self.device_runs_asynchronously() {
            return None;
        }
        // A failure here occurs again, and is reported, when the step is taken.
        let computed = self.step.gradients(next).await.ok()?;
        Some(Ahead {
            batches: next.to_vec(),
            computed,
        })
    }

    /// Returns whether the device computes while the host continues: the CPU does not, nor does a GPU with time
    /// slices, nor one of several ranks, whose hosts sum the gradients.
    fn device_runs_asynchronously(&self) -> bool {
        let device = self.step.model.device();
        if !device.ranks().is_single() {
            return false;
        }
        #[cfg(not(target_arch = "wasm32"))]
        if device.time_slice().is_some() {
            return false;
        }
        device.adapter().is_some()
    }
}
