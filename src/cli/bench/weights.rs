//! LoRA steps and decoding by the type of the frozen weights, measured alternately.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::shape::Shape;
use super::timing::middle;
use crate::device::Device;
use crate::error::Result;
use crate::model::adapter::{AdapterSettings, LoraSettings};
use crate::model::internals::DecoderCache;
use crate::model::{CausalLm, WeightType};
use crate::train::{TrainSettings, Trainer};

/// The measured types, the first of which is the reference.
const TYPES: [WeightType; 5] = [
    WeightType::Float32,
    WeightType::Float16,
    WeightType::Bfloat16,
    WeightType::Q8_0,
    WeightType::Q4_0,
];
/// Rank of the adapters, which are of all linear layers.
const RANK: usize = 16;
/// Number of tokens that are decoded per measurement, after as many that are not timed.
const DECODED: usize = 16;
/// Minimum number of measurements.
const MEASUREMENTS: usize = 3;

/// Statistics of a model with weights of one type.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct WeightStats {
    /// The model.
    pub shape: Shape,
    /// Type of the weights.
    pub weights: &'static str,
    /// Bytes of the weights.
    pub bytes: usize,
    /// Median time of a MFT step of a LoRA adapter with cached teacher hidden states.
    pub step_seconds: f64,
    /// Predicted tokens per second of training.
    pub tokens_per_second: f64,
    /// Training speed relative to float32.
    pub times_float32: f64,
    /// Tokens per second of decoding one text.
    pub decoded_per_second: f64,
    /// Decoding speed relative to float32.
    pub decoding_times_float32: f64,
}

/// A model and its measurements.
struct Measured {
    kind: WeightType,
    bytes: usize,
    model: CausalLm,
    trainer: Trainer,
    steps: Vec<Duration>,
    decoding: Vec<Duration>,
}

pub(super) async fn measure(
    device: &Device,
    shape: Shape,
    budget: Duration,
) -> Result<Vec<WeightStats>> {
    let mut measured = Vec::new();
    let mut predicted = 0;
    let mut batch = None;
    for kind in TYPES {
        let model = shape.model_as(Some(kind), device)?;
        let lora = LoraSettings {
            rank: RANK,
            target_modules: vec!["all-linear".to_string()],
            ..LoraSettings::default()
        };
        let settings = TrainSettings::default().with_adapter(Some(AdapterSettings::Lora(lora)));
        let batch = batch.get_or_insert_with(|| shape.batch(model.config().decoder.vocab_size));
        predicted = batch.predicted_tokens;
        let mut trainer = Trainer::new(model.clone(), settings)?;
        // The first step fills the teacher cache and compiles the kernels.
        trainer
            .step_before(std::slice::from_ref(batch), 1e-4, &[])
            .await?;
        measured.push(Measured {
            kind,
            bytes: model.stored().iter().map(|weight| weight.bytes()).sum(),
            model,
            trainer,
            steps: Vec::new(),
            decoding: Vec::new(),
        });
    }
    let batch = batch.into_iter().collect::<Vec<_>>();
    let began = Instant::now();
    let mut count = 0;
    while count < MEASUREMENTS || began.elapsed() < budget {
        for each in &mut measured {
            let step = Instant::now();
            each.trainer.step_before(&batch, 1e-4, &[]).await?;
            each.steps.push(step.elapsed());
            each.decoding.push(decode(&each.model).await?);
        }
        count += 1;
    }
    let mut reference = None;
    let rows = measured.into_iter().map(|each| {
        let step = middle(each.steps).as_secs_f64();
        let token = middle(each.decoding).as_secs_f64();
        let (reference_step, reference_token) = *reference.get_or_insert((step, token));
        WeightStats {
            shape,
            weights: each.kind.name(),
            bytes: each.bytes,
            step_seconds: step,
            tokens_per_second: predicted as f64 / step,
            times_float32: reference_step / step,
            decoded_per_second: 1.0 / token,
            decoding_times_float32: reference_token / token,
        }
    });
    Ok(rows.collect())
}

/// Returns the time per token of decoding with a KV cache.
async fn decode(model: &CausalLm) -> Result<Duration> {
    let weights = model.weights(None);
    let head = model.decoder().head(&weights);
    let mut cache = DecoderCache::default();
    let prompt = vec![1; DECODED];
    model
        .next_logits(&weights, &head, prompt, 1, &mut cache)
        .await?;
    let began = Instant::now();
    for _ in 0..DECODED {
        model
            .next_logits(&weights, &head, vec![1], 1, &mut cache)
            .await?;
    }
    Ok(began.elapsed() / DECODED as u32)
}
