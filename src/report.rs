//! What a finished run is summed up as: the last event, and `run.json`.

use serde::Serialize;
use serde_json::{Value, json};

use crate::device::Device;
use crate::objective::Objective;
use crate::train::{Outcome, TrainSettings};

/// How a model was trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Plain finetuning.
    Ft,
    /// Minifinetuning.
    Mft,
}

impl Method {
    /// The method that an objective amounts to.
    pub fn of(objective: &Objective) -> Self {
        if objective.needs_teacher() {
            Self::Mft
        } else {
            Self::Ft
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ft => "finetuning",
            Self::Mft => "minifinetuning",
        }
    }
}

/// The figures of a finished run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Done {
    event: &'static str,
    /// How it was trained.
    pub method: Method,
    /// τ; 1 for plain finetuning.
    pub tau: f32,
    /// Before training, on the held-out domain set.
    pub domain_perplexity_before: f64,
    /// After training.
    pub domain_perplexity_after: f64,
    /// Before training, on the general set.
    pub general_perplexity_before: f64,
    /// After training.
    pub general_perplexity_after: f64,
    /// S.
    pub specialization: f64,
    /// DG.
    pub degeneralization: f64,
    /// S/DG; null where DG ≤ 0.
    pub ratio: Option<f64>,
    /// Steps taken.
    pub steps: usize,
    /// Seconds of training, without evaluation.
    pub seconds: f64,
    /// Predicted tokens trained on, a second.
    pub tokens_per_second: f64,
    /// Folder of the trained model.
    pub out: String,
}

impl Done {
    /// The figures of an outcome whose model is in the folder `out`.
    pub fn new(settings: &TrainSettings, outcome: &Outcome, out: String) -> Self {
        Self {
            event: "done",
            method: Method::of(&settings.objective),
            tau: settings.objective.tau,
            domain_perplexity_before: outcome.before.domain,
            domain_perplexity_after: outcome.after.domain,
            general_perplexity_before: outcome.before.general,
            general_perplexity_after: outcome.after.general,
            specialization: outcome.metrics.specialization,
            degeneralization: outcome.metrics.degeneralization,
            ratio: outcome.metrics.ratio,
            steps: outcome.steps,
            seconds: outcome.seconds,
            tokens_per_second: outcome.tokens_per_second,
            out,
        }
    }
}

/// The texts of a run, in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DataSummary {
    /// Where the text came from.
    pub origin: String,
    /// Samples used.
    pub samples: usize,
    /// Predicted tokens in them.
    pub tokens: usize,
    /// Texts of fewer than two tokens, left out.
    pub skipped: usize,
    /// Texts cut to the greatest length.
    pub truncated: usize,
}

/// Everything that `run.json` says about how its runs were made.
#[derive(Clone, Debug, Serialize)]
pub struct Setup {
    /// Where the model came from.
    pub model: String,
    /// Its trainable values.
    pub parameters: usize,
    /// Greatest length of a sample, in tokens.
    pub max_length: usize,
    /// The training set.
    pub train: DataSummary,
    /// The held-out domain set.
    pub domain: DataSummary,
    /// The general set.
    pub general: DataSummary,
}

/// One method's part of `run.json`.
#[derive(Clone, Debug, Serialize)]
pub struct MethodReport {
    /// Its settings.
    pub settings: TrainSettings,
    /// Its figures.
    pub result: Done,
    /// Mean loss of every step.
    pub losses: Vec<f32>,
    /// What the trained model made of the prompts.
    pub continuations: Vec<Continuation>,
}

/// A prompt and what a model made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Continuation {
    /// The prompt.
    pub prompt: String,
    /// The model's text after it.
    pub text: String,
}

/// The content of `run.json`.
pub fn run_json(
    setup: &Setup,
    device: &Device,
    untouched: &[Continuation],
    methods: &[MethodReport],
) -> Value {
    json!({
        "minift": env!("CARGO_PKG_VERSION"),
        "device": { "name": device.name(), "adapter": device.adapter(), "reason": device.reason() },
        "setup": setup,
        "untouched_continuations": untouched,
        "runs": methods,
    })
}
