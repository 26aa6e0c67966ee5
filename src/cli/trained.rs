//! What `minift train` comes to, by one training or by a search.

use std::sync::Arc;

use serde_json::Value;

use crate::eval::Front;
use crate::model::{CausalLm, Dial};
use crate::text::Sample;
use crate::train::{Evaluated, Outcome, RunData, TrainSettings};

/// A trained model and its results.
pub(super) struct Trained {
    pub settings: TrainSettings,
    pub outcome: Outcome,
    pub model: CausalLm,
    pub losses: Vec<f32>,
    pub evaluations: Vec<Evaluated>,
    /// The search, for `run.json`.
    pub search: Option<Value>,
    /// The dial of the training, if its strength is chosen or measured.
    pub dial: Option<Dial>,
    /// Strength of the model.
    pub weight: f64,
    /// Gain against forgetting over the strengths.
    pub front: Option<Front>,
}

/// The data of a run and the validation set.
pub(super) type DataAndValidation = (Arc<RunData>, Vec<Sample>);
