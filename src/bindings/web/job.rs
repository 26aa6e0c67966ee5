//! Jobs of the page: their settings, the defaults, and what they mean to the library.

use serde::{Deserialize, Serialize};
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::wasm_bindgen;

use super::domains::{DomainInfo, SampleDomain};
use super::method::{JobMethod, MethodInfo};
use super::{Thrown, not_as_declared, thrown};
use crate::demo;
use crate::error::Result;
use crate::eval::{Metrics, Perplexities};
use crate::kernels::distillation::{DEFAULT_TAU, Method, TargetOptions};
use crate::model::TextReader;
use crate::model::adapter::{AdapterKind, AdapterOptions};
use crate::train::{MemorySaving, SampleWeights, Schedule, TrainOptions, TrainSettings};

/// Default number of samples that perplexities are measured on.
const EVALUATION_SAMPLES: usize = 100;
/// Default share of replayed text.
const REPLAY_RATIO: f64 = 0.25;
/// Default strength of elastic weight consolidation.
const EWC: f64 = 10.0;
/// Default number of evaluations per training, the final one included.
const EVALUATIONS: usize = 6;

/// The settings of a job: everything but model and texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct JobSettings {
    /// The method that is trained first.
    method: JobMethod,
    /// Further methods that are trained for comparison, in this order.
    compare: Vec<JobMethod>,
    /// The trained adapter, or all weights.
    adapter: AdapterKind,
    /// MFT: margin of the correct token, in \[0, 1\].
    tau: f32,
    /// Constant mixture: share α of the label, in \[0, 1\].
    alpha: f64,
    /// Selective targets: threshold θ of the label's probability, in \[0, 1\].
    selective_threshold: f64,
    /// Selective token masking: threshold θ of the label's probability, in \[0, 1\].
    stm_threshold: f64,
    /// Anchored finetuning: weight λ of the divergence from the untouched model.
    anchor: f64,
    /// Entropy-adaptive finetuning: exponent γ of the entropy.
    eaft_gamma: f64,
    /// Token-adaptive loss reweighting: exponent γ of the label's probability.
    talr_gamma: f64,
    /// Replay: share of replayed text in every batch, in \[0, 1).
    replay_ratio: f64,
    /// Elastic weight consolidation: strength λ.
    ewc: f64,
    /// Peak learning rate.
    learning_rate: f64,
    /// Number of epochs.
    epochs: f64,
    /// Number of training samples.
    samples: usize,
    /// Samples per batch.
    batch_size: usize,
    /// Maximum sample length, in tokens.
    max_length: usize,
    /// Whether activations are recomputed in the backward pass: less memory, more time.
    #[serde(default)]
    gradient_checkpointing: bool,
    /// Seed of the sample order.
    seed: u64,
    /// Samples per set that perplexities are measured on.
    evaluation_samples: usize,
    /// Evaluations per training, the final one included.
    evaluations: usize,
    /// Text that the model continues at every evaluation.
    prompt: String,
}

impl Default for JobSettings {
    fn default() -> Self {
        let training = TrainSettings::default();
        // Shortest decimal form: 0.3, not 0.30000001192092896.
        let written = |value: f32| value.to_string().parse().unwrap_or(f64::from(value));
        let strength = |method: Method| method.strength().map_or(1.0, |(_, value)| written(value));
        Self {
            method: JobMethod::Mft,
            compare: vec![JobMethod::Ft],
            adapter: AdapterKind::None,
            tau: DEFAULT_TAU,
            alpha: strength(Method::Constant),
            selective_threshold: strength(Method::Selective),
            stm_threshold: strength(Method::Stm),
            anchor: strength(Method::Asft),
            eaft_gamma: strength(Method::Eaft),
            talr_gamma: strength(Method::Talr),
            replay_ratio: REPLAY_RATIO,
            ewc: EWC,
            learning_rate: training.learning_rate,
            epochs: training.epochs,
            samples: demo::TRAIN_TICKETS,
            batch_size: training.batch_size,
            max_length: TextReader::DEFAULT_MAX_LENGTH,
            gradient_checkpointing: false,
            seed: training.seed,
            evaluation_samples: EVALUATION_SAMPLES,
            evaluations: EVALUATIONS,
            prompt: String::new(),
        }
    }
}

impl JobSettings {
    /// Returns the settings of one training of `steps` steps.
    ///
    /// # Errors
    ///
    /// As [`TrainOptions::settings`].
    pub(super) fn training(&self, method: JobMethod, steps: usize) -> Result<TrainSettings> {
        let options = TrainOptions {
            target: self.target(method),
            adapter: AdapterOptions {
                adapter: Some(self.adapter),
                ..AdapterOptions::default()
            },
            epochs: Some(self.epochs),
            batch_size: Some(self.batch_size),
            lr: Some(self.learning_rate),
            gradient_checkpointing: Some(self.gradient_checkpointing),
            schedule: (method == JobMethod::Finch).then_some(Schedule::Finch),
            sample_weights: (method == JobMethod::Flow).then_some(SampleWeights::Flow),
            replay_ratio: (method == JobMethod::Replay).then_some(self.replay_ratio),
            ewc: (method == JobMethod::Ewc).then_some(self.ewc),
            ..TrainOptions::default()
        };
        let evaluate_every = steps.div_ceil(self.evaluations.max(1));
        let settings = options.settings()?.with_seed(self.seed);
        Ok(settings.with_evaluate_every(evaluate_every))
    }

    /// Returns the target of a method with its strength.
    fn target(&self, method: JobMethod) -> TargetOptions {
        let mut target = TargetOptions {
            method: Some(method.target()),
            ..TargetOptions::default()
        };
        match method {
            JobMethod::Ft
            | JobMethod::Dft
            | JobMethod::Flow
            | JobMethod::Finch
            | JobMethod::Replay
            | JobMethod::Ewc => {}
            JobMethod::Mft => target.tau = Some(self.tau),
            JobMethod::Constant => target.alpha = Some(self.alpha as f32),
            JobMethod::Selective => target.threshold = Some(self.selective_threshold as f32),
            JobMethod::Stm => target.threshold = Some(self.stm_threshold as f32),
            JobMethod::Asft => target.anchor = Some(self.anchor as f32),
            JobMethod::Eaft => target.gamma = Some(self.eaft_gamma as f32),
            JobMethod::Talr => target.gamma = Some(self.talr_gamma as f32),
        }
        target
    }
}

impl JobSettings {
    /// Makes a change that takes less memory. A learning rate of the user is kept.
    pub(super) fn save(&mut self, saving: MemorySaving) {
        match saving {
            MemorySaving::Lora => {
                let default = |kind: AdapterKind| kind.settings().map(|kind| kind.learning_rate());
                let usual = default(self.adapter).unwrap_or(TrainSettings::default().learning_rate);
                self.adapter = AdapterKind::Lora;
                if self.learning_rate == usual {
                    self.learning_rate = default(self.adapter).unwrap_or(usual);
                }
            }
            MemorySaving::GradientCheckpointing => self.gradient_checkpointing = true,
            MemorySaving::BatchSize(size) => self.batch_size = size as usize,
            MemorySaving::MaxLength(length) => self.max_length = length as usize,
            // Not a setting of a job.
            MemorySaving::Weights(_) => {}
        }
    }
}

/// A kind of adapter, its name and its default learning rate.
#[derive(Clone, Debug, Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct AdapterInfo {
    kind: AdapterKind,
    name: String,
    learning_rate: f64,
}

/// The defaults of a job and the choices it has.
#[derive(Clone, Debug, Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    settings: JobSettings,
    methods: Vec<MethodInfo>,
    adapters: Vec<AdapterInfo>,
    /// The embedded domains; the first is the default.
    domains: Vec<DomainInfo>,
    /// Prompt for the default domain.
    embedded_prompt: String,
    /// Samples of the embedded domain text to train on; the rest is held out.
    embedded_training_samples: usize,
}

/// Returns the defaults of a job and the choices it has.
#[wasm_bindgen]
pub fn defaults() -> Thrown<Ts<Defaults>> {
    let methods = JobMethod::ALL.map(JobMethod::info);
    let kinds = [
        AdapterKind::None,
        AdapterKind::Lora,
        AdapterKind::Dora,
        AdapterKind::Ia3,
    ];
    let adapters = kinds.map(|kind| match kind.settings() {
        None => AdapterInfo {
            kind,
            name: "Weights".to_string(),
            learning_rate: TrainSettings::default().learning_rate,
        },
        Some(settings) => AdapterInfo {
            kind,
            name: settings.name().to_string(),
            learning_rate: settings.learning_rate(),
        },
    });
    let defaults = Defaults {
        settings: JobSettings::default(),
        methods: methods.to_vec(),
        adapters: adapters.to_vec(),
        domains: SampleDomain::ALL.map(SampleDomain::info).to_vec(),
        embedded_prompt: SampleDomain::default().prompt().to_string(),
        embedded_training_samples: demo::TRAIN_TICKETS,
    };
    defaults.into_ts().map_err(not_as_declared)
}

/// Returns the library's settings for one training of a job; `steps` sets the evaluation interval.
#[wasm_bindgen(js_name = trainSettings)]
pub fn train_settings(
    settings: Ts<JobSettings>,
    method: Ts<JobMethod>,
    steps: usize,
) -> Thrown<Ts<TrainSettings>> {
    let settings: JobSettings = settings.to_rust().map_err(not_as_declared)?;
    let method: JobMethod = method.to_rust().map_err(not_as_declared)?;
    let training = settings.training(method, steps).map_err(thrown)?;
    training.into_ts().map_err(not_as_declared)
}

/// The gain and the cost of an adaptation, compared with the untouched model.
#[derive(Clone, Debug, Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
#[tsify(missing_as_null)]
pub struct EvaluationMetrics {
    /// S: domain perplexity before − after; higher is better.
    specialization: f64,
    /// DG: general perplexity after − before; lower is better.
    degeneralization: f64,
    /// S/DG; null where it is undefined.
    ratio: Option<f64>,
    /// S/DG as text, also where it is undefined.
    ratio_text: String,
    /// Change of the domain loss, in nats per token; lower is better.
    domain_nats: f64,
    /// Change of the general loss, in nats per token; lower is better.
    general_nats: f64,
}

/// Returns S, DG and S/DG from the perplexities before and after.
#[wasm_bindgen]
pub fn metrics(before: Ts<Perplexities>, after: Ts<Perplexities>) -> Thrown<Ts<EvaluationMetrics>> {
    let before: Perplexities = before.to_rust().map_err(not_as_declared)?;
    let after: Perplexities = after.to_rust().map_err(not_as_declared)?;
    let metrics = Metrics::new(before, after);
    let found = EvaluationMetrics {
        specialization: metrics.specialization,
        degeneralization: metrics.degeneralization,
        ratio: metrics.ratio,
        ratio_text: metrics.ratio_in_words(),
        domain_nats: (after.domain / before.domain).ln(),
        general_nats: (after.general / before.general).ln(),
    };
    found.into_ts().map_err(not_as_declared)
}

/// Returns the number of steps of one training; throws if a setting is out of range.
#[wasm_bindgen(js_name = countSteps)]
pub fn count_steps(settings: Ts<TrainSettings>, samples: usize) -> Thrown<usize> {
    let settings: TrainSettings = settings.to_rust().map_err(not_as_declared)?;
    let steps = settings.validate().and_then(|()| settings.steps(samples));
    steps.map_err(thrown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Strength;

    /// Every method of the library can be chosen, and its strength reaches the training.
    #[test]
    fn every_method_is_a_method_of_the_page() {
        for method in Method::ALL {
            assert!(JobMethod::ALL.iter().any(|own| own.target() == method));
        }
        let settings = JobSettings {
            tau: 0.5,
            alpha: 0.5,
            selective_threshold: 0.5,
            stm_threshold: 0.5,
            anchor: 0.5,
            eaft_gamma: 0.5,
            talr_gamma: 0.5,
            replay_ratio: 0.5,
            ewc: 0.5,
            ..JobSettings::default()
        };
        for method in JobMethod::ALL {
            let training = settings.training(method, 10).unwrap();
            assert_eq!(training.objective.target.method(), method.target());
            let strength = Strength::of(&training);
            if strength != Strength::LearningRate {
                assert_eq!(strength.value(&training), 0.5, "{method:?}");
            }
        }
    }
}
