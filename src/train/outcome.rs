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
    /// KL(untouched ‖ trained), see [`Outcome::kl_divergence`]; `None` before training, where it was not
    /// measured, and in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl_divergence: Option<f64>,
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
    /// KL(untouched ‖ trained) on the held-out domain set, in nats per token: how far training moved the model's
    /// predictions on the domain, which goes with what is forgotten elsewhere (arXiv:2509.04259). The untouched
    /// model is the one before this training. `None` where its weights were freed and could not be read
    /// again, and for a model at another strength than the trained one's.
    pub kl_divergence: Option<f64>,
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
            kl_divergence: None,
            ..self
        }
    }

    /// Returns the two evaluations that it compares.
    pub fn evaluations(&self) -> [Evaluated; 2] {
        let after = self.kl_divergence;
        [(0, self.before, None), (self.steps, self.after, after)].map(
            |(step, perplexities, kl_divergence)| Evaluated {
                step,
                perplexities,
                kl_divergence,
            },
        )
    }
}
