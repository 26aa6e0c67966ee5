//! Reports of a finished run: the last event, and `run.json`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::device::{Device, GpuAdapter};
use crate::eval::Front;
use crate::kernels::distillation::Method;
use crate::text::Samples;
use crate::train::{Evaluated, Outcome, Run, TrainSettings};

/// The results of a finished run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Done {
    event: &'static str,
    /// Training method.
    pub method: Method,
    /// Margin τ; 1 for plain finetuning, null for a constant mixture.
    pub tau: Option<f32>,
    /// Share α of a constant mixture, else null.
    pub alpha: Option<f32>,
    /// Perplexity on the held-out domain set before training.
    pub domain_perplexity_before: f64,
    /// Perplexity on the held-out domain set after training.
    pub domain_perplexity_after: f64,
    /// Perplexity on the general set before training.
    pub general_perplexity_before: f64,
    /// Perplexity on the general set after training.
    pub general_perplexity_after: f64,
    /// Specialization S.
    pub specialization: f64,
    /// Degeneralization DG.
    pub degeneralization: f64,
    /// Ratio S/DG; null where DG ≤ 0.
    pub ratio: Option<f64>,
    /// KL(untouched ‖ trained) on the held-out domain set, in nats per token; absent where it was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl_divergence: Option<f64>,
    /// Number of optimizer steps.
    pub steps: usize,
    /// Training time in seconds, without evaluation.
    pub seconds: f64,
    /// Predicted tokens per second of training.
    pub tokens_per_second: f64,
    /// Folder of the trained model.
    pub out: String,
}

impl Done {
    /// Returns the results of an outcome whose model is in the folder `out`.
    pub fn new(settings: &TrainSettings, outcome: &Outcome, out: String) -> Self {
        Self {
            event: "done",
            method: settings.objective.target.method(),
            tau: settings.objective.target.tau(),
            alpha: settings.objective.target.alpha(),
            domain_perplexity_before: outcome.before.domain,
            domain_perplexity_after: outcome.after.domain,
            general_perplexity_before: outcome.before.general,
            general_perplexity_after: outcome.after.general,
            specialization: outcome.metrics.specialization,
            degeneralization: outcome.metrics.degeneralization,
            ratio: outcome.metrics.ratio,
            kl_divergence: outcome.kl_divergence,
            steps: outcome.steps,
            seconds: outcome.seconds,
            tokens_per_second: outcome.tokens_per_second,
            out,
        }
    }
}

/// Counts of a set of samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct DataSummary {
    /// Origin of the texts.
    pub origin: String,
    /// Number of samples.
    pub samples: usize,
    /// Number of texts in the samples.
    pub texts: usize,
    /// Number of predicted tokens.
    pub tokens: usize,
    /// Number of tokens that are only context, such as prompts.
    pub given: usize,
    /// Number of texts skipped because no token is predicted.
    pub skipped: usize,
    /// Number of skipped texts whose predicted tokens are all beyond the max length.
    pub cut_away: usize,
    /// Number of texts truncated to the max length.
    pub truncated: usize,
}

impl DataSummary {
    /// Counts samples from `origin`.
    pub fn new(samples: &Samples, origin: String) -> Self {
        Self {
            origin,
            samples: samples.samples.len(),
            texts: samples.texts.len(),
            tokens: samples.predicted_tokens(),
            given: samples.given(),
            skipped: samples.skipped,
            cut_away: samples.cut_away,
            truncated: samples.texts.iter().filter(|text| text.cut).count(),
        }
    }

    /// Returns why texts were skipped, for display.
    pub fn skipped_because(&self) -> &'static str {
        match self.cut_away {
            0 => "nothing to predict",
            all if all == self.skipped => "no answer within the maximum length",
            _ => "nothing to predict, or no answer within the maximum length",
        }
    }
}

/// The model and data of the runs in `run.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Setup {
    /// Origin of the model.
    pub model: String,
    /// Number of parameters of the model.
    pub parameters: usize,
    /// Max sample length in tokens.
    pub max_length: usize,
    /// The training set.
    pub train: DataSummary,
    /// The held-out domain set.
    pub domain: DataSummary,
    /// The general set.
    pub general: DataSummary,
    /// The replayed general text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<DataSummary>,
    /// The general text that elastic weight consolidation estimates the importance of weights from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consolidation: Option<DataSummary>,
    /// The general set on which the search for a training within a bound is evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<DataSummary>,
    /// Number of general samples that are also trained on. If there are any, nothing can be said about
    /// forgetting.
    pub general_in_training: usize,
}

/// A training in `run.json`.
#[derive(Clone, Debug, Serialize)]
pub struct MethodReport {
    /// Training settings.
    pub settings: TrainSettings,
    /// Number of trained parameters.
    pub trainable_parameters: usize,
    /// Results.
    pub result: Done,
    /// Mean loss per step.
    pub losses: Vec<f32>,
    /// Perplexities before, during and after training.
    pub evaluations: Vec<Evaluated>,
    /// Continuations of the prompts by the trained model.
    pub continuations: Vec<Continuation>,
    /// The search for a training within a bound on degeneralization, if one was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<Value>,
    /// Strength of the written model, from 0, untouched, to 1, trained.
    pub weight: f64,
    /// Gain against forgetting over the strengths of the training, if they were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub front: Option<Front>,
}

impl MethodReport {
    /// Reports a finished run whose model is in the folder `out`, without continuations.
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
            weight: 1.0,
            front: run.front(),
        }
    }
}

/// A prompt and its continuation by a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct Continuation {
    /// The prompt.
    pub prompt: String,
    /// The generated text.
    pub text: String,
}

/// The device in `run.json`.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceReport {
    /// Display name.
    pub name: String,
    /// The GPU adapter; null for the CPU.
    pub adapter: Option<GpuAdapter>,
    /// Why this device was selected.
    pub reason: String,
}

impl DeviceReport {
    /// Describes a device.
    pub fn new(device: &Device) -> Self {
        Self {
            name: device.name(),
            adapter: device.adapter().cloned(),
            reason: device.reason().to_string(),
        }
    }
}

/// Returns the content of `run.json`: a [`Setup`], a [`DeviceReport`], continuations of the untouched
/// model, and a [`MethodReport`] per training, or the equivalent JSON values.
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
