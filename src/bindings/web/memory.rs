//! What to do about a training that does not fit into the device's memory, for JavaScript.

use serde::Serialize;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::wasm_bindgen;

use super::data::Data;
use super::job::JobSettings;
use super::method::JobMethod;
use super::model::Model;
use super::{Thrown, not_as_declared, thrown};
use crate::train::{MemoryEstimate, MemorySaving};

/// Settings with which a training fits into the device's memory.
#[derive(Clone, Debug, Serialize, Tsify)]
#[tsify(missing_as_null)]
pub struct MemoryAdvice {
    settings: JobSettings,
    /// The type to load the model's weights in; null keeps them.
    #[tsify(type = "WeightChoice | null")]
    weights: Option<&'static str>,
    /// The changes, in words.
    changes: Vec<String>,
    /// The estimated memory in bytes.
    total: u64,
}

/// Returns settings with which a training fits; undefined if it fits as it is, or if no settings are enough.
#[wasm_bindgen(js_name = memoryAdvice)]
pub fn memory_advice(
    model: &Model,
    data: &Data,
    settings: Ts<JobSettings>,
    method: Ts<JobMethod>,
) -> Thrown<Option<Ts<MemoryAdvice>>> {
    let settings: JobSettings = settings.to_rust().map_err(not_as_declared)?;
    let method: JobMethod = method.to_rust().map_err(not_as_declared)?;
    let training = settings.training(method, 0).map_err(thrown)?;
    let device = model.model.device();
    let fits = |estimate: &MemoryEstimate| estimate.excess(device).is_none();
    let found = MemoryEstimate::advice(&model.model, &data.0, &training, fits);
    let Some((savings, estimate)) = found.map_err(thrown)? else {
        return Ok(None);
    };
    let mut advice = MemoryAdvice {
        settings,
        weights: None,
        changes: savings.iter().copied().map(in_words).collect(),
        total: estimate.total,
    };
    for saving in savings {
        match saving {
            MemorySaving::Weights(kind) => advice.weights = Some(kind.name()),
            saving => advice.settings.save(saving),
        }
    }
    advice.into_ts().map(Some).map_err(not_as_declared)
}

fn in_words(saving: MemorySaving) -> String {
    match saving {
        MemorySaving::Lora => "a LoRA adapter".to_string(),
        MemorySaving::GradientCheckpointing => "gradient checkpointing".to_string(),
        MemorySaving::BatchSize(size) => format!("batch size {size}"),
        MemorySaving::MaxLength(length) => format!("max length {length}"),
        MemorySaving::Weights(kind) => format!("weights as {kind}"),
    }
}
