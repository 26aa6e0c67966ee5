//! What a run tells while it goes on.

use serde::Serialize;

use crate::eval::Perplexities;

/// Where in a training an evaluation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// The untouched model.
    Before,
    /// The model in the middle of its training.
    During,
    /// The trained model.
    After,
}

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify), tsify(hashmap_as_object))]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A batch of an evaluation is done.
    Evaluating {
        /// Of which model.
        moment: Moment,
        /// Batches done.
        done: usize,
        /// Batches in all.
        total: usize,
    },
    /// An evaluation is done.
    Evaluated {
        /// Of which model.
        moment: Moment,
        /// Steps that it was trained.
        step: usize,
        /// Its perplexities.
        #[serde(flatten)]
        perplexities: Perplexities,
    },
    /// A text is taken into the weights' importance, for elastic weight consolidation.
    Consolidating {
        /// Texts done.
        done: usize,
        /// Texts in all.
        total: usize,
    },
    /// A training step is done.
    Step {
        /// Steps done.
        step: usize,
        /// Steps in all.
        steps: usize,
        /// Epoch of the step, from 1.
        epoch: usize,
        /// Mean loss over the step's positions, before the step.
        loss: f32,
        /// Norm of the whole gradient, before clipping.
        gradient_norm: f32,
        /// Learning rate of the step.
        learning_rate: f64,
        /// Predicted tokens trained on, a second, over the run so far.
        tokens_per_second: f64,
        /// Seconds until the last step, as far as the run so far tells.
        seconds_left: f64,
    },
}
