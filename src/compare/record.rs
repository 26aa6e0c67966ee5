//! The result of a training.

use serde::{Deserialize, Serialize};

use super::cells::Cell;
use super::recipe::Recipe;
use crate::eval::{Accuracy, Front, Metrics, Perplexities};
use crate::train::{Evaluated, Strength, TrainSettings};

/// The identity of a training: everything that its result depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Fingerprint of model and samples.
    pub fingerprint: String,
    /// Number of continuations to choose from, if the recipe asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<usize>,
    /// Further strengths at which the training is measured, if the recipe asks for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dial: Vec<f64>,
    /// All settings except how often it is evaluated.
    pub settings: TrainSettings,
}

impl Identity {
    /// Returns the identity of a cell of a recipe, given the fingerprint of model and samples.
    pub fn new(cell: &Cell, fingerprint: String, recipe: &Recipe) -> Self {
        Self {
            fingerprint,
            choices: recipe.choices,
            dial: recipe.dial.clone(),
            settings: TrainSettings {
                evaluate_every: 0,
                ..cell.settings.clone()
            },
        }
    }
}

/// How often the right continuation of a held-out text is chosen, see [`Continuations`].
///
/// [`Continuations`]: crate::eval::Continuations
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChoiceChange {
    /// By the base model.
    pub before: Accuracy,
    /// By the trained model.
    pub after: Accuracy,
}

/// The result of a training: a line of `results.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the domain at the time.
    pub domain: String,
    /// Name of the method at the time.
    pub method: String,
    /// Readable title of the settings.
    pub title: String,
    /// The setting that is the strength of the method.
    pub strength: Strength,
    /// The value of the strength.
    pub value: f64,
    /// Number of training samples.
    pub budget: usize,
    /// The random seed.
    pub seed: u64,
    /// Perplexities of the base model.
    pub before: Perplexities,
    /// Perplexities of the trained model.
    pub after: Perplexities,
    /// S, DG, S/DG.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// KL(untouched ‖ trained) on the held-out domain set in nats per token, if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl_divergence: Option<f64>,
    /// The choice of continuations, if the recipe asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<ChoiceChange>,
    /// Number of steps.
    pub steps: usize,
    /// Training time in seconds.
    pub seconds: f64,
    /// Predicted tokens per second in training.
    pub tokens_per_second: f64,
    /// Number of trained parameters.
    pub trainable_parameters: usize,
    /// All evaluations, starting with the base model.
    pub evaluations: Vec<Evaluated>,
    /// Gain against forgetting over the strengths of the training, where the recipe asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub front: Option<Front>,
    /// The identity of the training.
    pub identity: Identity,
}

impl Record {
    /// Returns the decrease of the domain loss in nats per token.
    pub fn gained(&self) -> f64 {
        (self.before.domain / self.after.domain).ln()
    }

    /// Returns the increase of the general loss in nats per token.
    pub fn forgotten(&self) -> f64 {
        (self.after.general / self.before.general).ln()
    }
}
