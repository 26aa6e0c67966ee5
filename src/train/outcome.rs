//! Evaluations and the outcome of a run.

use serde::{Deserialize, Serialize};

use crate::eval::{Metrics, Perplexities};

/// The perplexities of a model at a step of its training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify), tsify(hashmap_as_object))]
pub struct Evaluated {
    /// Training steps taken.
    pub step: usize,
    /// Its perplexities.
    #[serde(flatten)]
    pub perplexities: Perplexities,
}

/// The result of a finished run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Perplexities of the untouched model.
    pub before: Perplexities,
    /// Perplexities of the trained model.
    pub after: Perplexities,
    /// S, DG and S/DG.
    pub metrics: Metrics,
    /// Steps taken.
    pub steps: usize,
    /// Seconds of training, without evaluation.
    pub seconds: f64,
    /// Predicted tokens trained on per second.
    pub tokens_per_second: f64,
}

impl Outcome {
    /// Returns the outcome with other perplexities of the trained model, as at another strength.
    #[must_use]
    pub fn with_after(self, after: Perplexities) -> Self {
        Self {
            after,
            metrics: Metrics::new(self.before, after),
            ..self
        }
    }

    /// Returns the two evaluations that it compares.
    pub fn evaluations(&self) -> [Evaluated; 2] {
        [(0, self.before), (self.steps, self.after)]
            .map(|(step, perplexities)| Evaluated { step, perplexities })
    }
}
