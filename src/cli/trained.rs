//! What `minift train` comes to, by one training or by a search.

use std::sync::Arc;

use serde_json::Value;

use crate::eval::Front;
use crate::model::{CausalLm, Dial};
use crate::text::Sample;
use crate::train::report::{Continuation, Done, MethodReport};
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

impl Trained {
    /// Returns the report of the training, whose model is in the folder `out`, and the model.
    pub(super) fn into_report(
        self,
        trainable_parameters: usize,
        continuations: Vec<Continuation>,
        out: String,
    ) -> (MethodReport, CausalLm) {
        let report = MethodReport {
            result: Done::new(&self.settings, &self.outcome, out),
            settings: self.settings,
            trainable_parameters,
            losses: self.losses,
            evaluations: self.evaluations,
            continuations,
            search: self.search,
            weight: self.weight,
            front: self.front,
        };
        (report, self.model)
    }
}

/// The data of a run and the validation set.
pub(super) type DataAndValidation = (Arc<RunData>, Vec<Sample>);
