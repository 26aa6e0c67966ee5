//! Events that a run reports.

use serde::Serialize;

use crate::eval::{FrontPoint, FrontProgress, Perplexities};

/// When an evaluation takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// Before training, on the untouched model.
    Before,
    /// During training.
    During,
    /// After training.
    After,
}

/// Something that happened during a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify), tsify(hashmap_as_object))]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A batch of an evaluation was processed.
    Evaluating {
        /// When the evaluation takes place.
        moment: Moment,
        /// Batches processed.
        done: usize,
        /// Total number of batches.
        total: usize,
    },
    /// An evaluation finished.
    Evaluated {
        /// When the evaluation took place.
        moment: Moment,
        /// Number of training steps before it.
        step: usize,
        /// Perplexities on both sets.
        #[serde(flatten)]
        perplexities: Perplexities,
        /// KL(untouched ‖ trained), see [`Outcome::kl_divergence`](crate::train::Outcome::kl_divergence).
        #[serde(skip_serializing_if = "Option::is_none")]
        kl_divergence: Option<f64>,
    },
    /// A text was accumulated into the importance of weights, for elastic weight consolidation.
    Consolidating {
        /// Texts accumulated.
        done: usize,
        /// Total number of texts.
        total: usize,
    },
    /// A training step finished.
    Step {
        /// Steps done.
        step: usize,
        /// Total number of steps.
        steps: usize,
        /// Epoch of the step, from 1.
        epoch: usize,
        /// Mean loss over the step's predicted tokens, before the update.
        loss: f32,
        /// Global gradient norm, before clipping.
        gradient_norm: f32,
        /// Learning rate of the step.
        learning_rate: f64,
        /// Predicted tokens trained on per second, over the run so far.
        tokens_per_second: f64,
        /// Estimated seconds until the last step.
        seconds_left: f64,
    },
    /// A batch of the front over the strengths of the training was evaluated.
    EvaluatingFront {
        /// Strength of the evaluated model.
        weight: f64,
        /// Batches evaluated.
        done: usize,
        /// Estimated total number of batches.
        total: usize,
    },
    /// A point of the front is complete.
    FrontPoint {
        /// The point.
        #[serde(flatten)]
        point: FrontPoint,
    },
    /// A batch of the untouched model's losses was measured, from which the weights of the samples follow.
    Weighing {
        /// Batches measured.
        done: usize,
        /// Total number of batches.
        total: usize,
    },
}

impl From<FrontProgress> for Event {
    fn from(progress: FrontProgress) -> Self {
        match progress.point {
            Some(point) => Self::FrontPoint { point },
            None => Self::EvaluatingFront {
                weight: progress.weight,
                done: progress.done,
                total: progress.total,
            },
        }
    }
}
