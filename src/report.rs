//! What a finished run is summed up as: the last event, and `run.json`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::data::Samples;
use crate::device::{Adapter, Device};
use crate::objective::Objective;
use crate::train::{Evaluated, Outcome, Run, TrainSettings};

/// How a model was trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Plain finetuning.
    Ft,
    /// Minifinetuning.
    Mft,
    /// A constant mixture of the teacher's distribution and the label.
    Constant,
}

impl Method {
    /// The method that an objective amounts to.
    pub fn of(objective: &Objective) -> Self {
        if objective.alpha.is_some() {
            Self::Constant
        } else if objective.needs_teacher() {
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
            Self::Constant => "constant mixture",
        }
    }
}

/// The figures of a finished run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Done {
    event: &'static str,
    /// How it was trained.
    pub method: Method,
    /// τ; 1 for plain finetuning, null for a constant mixture.
    pub tau: Option<f32>,
    /// α of a constant mixture, else null.
    pub alpha: Option<f32>,
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
            tau: settings
                .objective
                .alpha
                .is_none()
                .then_some(settings.objective.tau),
            alpha: settings.objective.alpha,
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
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct DataSummary {
    /// Where the text came from.
    pub origin: String,
    /// Samples used.
    pub samples: usize,
    /// Texts that they were made of.
    pub texts: usize,
    /// Predicted tokens in them.
    pub tokens: usize,
    /// Tokens in them that are only given, such as prompts.
    pub given: usize,
    /// Texts with nothing to predict, left out.
    pub skipped: usize,
    /// Texts cut to the greatest length.
    pub truncated: usize,
}

impl DataSummary {
    /// Of samples that came from `origin`.
    pub fn new(samples: &Samples, origin: String) -> Self {
        Self {
            origin,
            samples: samples.samples.len(),
            texts: samples.texts.len(),
            tokens: samples.positions(),
            given: samples.given(),
            skipped: samples.skipped,
            truncated: samples.texts.iter().filter(|text| text.cut).count(),
        }
    }
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
    /// General text that is replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<DataSummary>,
    /// Text by which elastic weight consolidation knows the weights' importance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consolidation: Option<DataSummary>,
    /// The general set by which a training within a bound was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<DataSummary>,
}

/// One method's part of `run.json`.
#[derive(Clone, Debug, Serialize)]
pub struct MethodReport {
    /// Its settings.
    pub settings: TrainSettings,
    /// Values that were trained.
    pub trainable_parameters: usize,
    /// Its figures.
    pub result: Done,
    /// Mean loss of every step.
    pub losses: Vec<f32>,
    /// The perplexities of the untouched model, of the trained one, and of what was measured between.
    pub evaluations: Vec<Evaluated>,
    /// What the trained model made of the prompts.
    pub continuations: Vec<Continuation>,
    /// How a training within a bound on what is forgotten was found, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<Value>,
}

impl MethodReport {
    /// Of a run that came to that outcome, its model written to the folder `out`; without continuations.
    pub fn new(run: &Run, outcome: &Outcome, out: String) -> Self {
        let settings = run.settings();
        Self {
            result: Done::new(settings, outcome, out),
            settings: settings.clone(),
            trainable_parameters: run.trained_model().trainable_count(),
            losses: run.losses().to_vec(),
            evaluations: run.evaluations().to_vec(),
            continuations: Vec::new(),
            search: None,
        }
    }
}

/// A prompt and what a model made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct Continuation {
    /// The prompt.
    pub prompt: String,
    /// The model's text after it.
    pub text: String,
}

/// What `run.json` says about the device.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceReport {
    /// For people.
    pub name: String,
    /// The GPU adapter; null for the CPU.
    pub adapter: Option<Adapter>,
    /// Why it was taken.
    pub reason: String,
}

impl DeviceReport {
    /// Of a device.
    pub fn new(device: &Device) -> Self {
        Self {
            name: device.name(),
            adapter: device.adapter().cloned(),
            reason: device.reason().to_string(),
        }
    }
}

/// The content of `run.json`: a [`Setup`], a [`DeviceReport`], continuations of the untouched model,
/// and a [`MethodReport`] for each training, or JSON values that were such.
pub fn run_json(
    setup: &impl Serialize,
    device: &impl Serialize,
    untouched: &[Continuation],
    methods: &[impl Serialize],
) -> Value {
    json!({
        "minift": env!("CARGO_PKG_VERSION"),
        "device": device,
        "setup": setup,
        "untouched_continuations": untouched,
        "runs": methods,
    })
}
