//! SmolLM3 (Bakouch et al., 2025): Llama with layers that have no rotary embedding (NoPE, Kazemnejad et al.,
//! arXiv:2305.19466), by default each fourth one, and optional sliding windows in them.

use super::description::Description;
use super::rope::RopeDefaults;
use super::{llama, windows};
use crate::error::Result;
use crate::model::config::DecoderConfig;
use crate::model::fields::Fields;
use crate::model::names::Family;

pub(super) const DESCRIPTION: Description = Description {
    architecture: "SmolLM3ForCausalLM",
    model_type: "smollm3",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "SmolLM3",
    tensors: &llama::NAMES,
};

/// Defaults of missing fields.
const DEFAULT_THETA: f64 = 2_000_000.0;
const DEFAULT_LENGTH: usize = 32_768;
const DEFAULT_INTERVAL: usize = 4;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let head_size = llama::head_size(fields)?;
    let defaults = RopeDefaults {
        theta: DEFAULT_THETA,
        max_length: DEFAULT_LENGTH,
        ..RopeDefaults::default()
    };
    let mut config = DecoderConfig {
        family: FAMILY,
        tie_word_embeddings: fields.or(llama::NAMES.tie, true)?,
        ..llama::with_rope(fields, head_size, defaults)?
    };
    let layers = config.layers.len();
    let rotated = rotated_layers(fields, layers)?;
    for (attention, &rotated) in config.attentions_mut().zip(&rotated) {
        if !rotated {
            attention.rotary = None;
        }
    }
    if let Some(window) = fields.optional("sliding_window")? {
        let use_window = fields.or("use_sliding_window", false)?;
        let sliding = windows::sliding(fields, layers, |layer| use_window && !rotated[layer])?;
        windows::set(&mut config.layers, &sliding, window);
    }
    Ok(config)
}

/// Returns which layers have a rotary embedding: those with 1 in `no_rope_layers`, in spite of its name.
fn rotated_layers(fields: &Fields<'_>, layers: usize) -> Result<Vec<bool>> {
    let Some(list) = fields.optional::<Vec<u8>>("no_rope_layers")? else {
        let interval = fields
            .optional_size("no_rope_layer_interval")?
            .unwrap_or(DEFAULT_INTERVAL);
        let rotated = (1..=layers).map(|layer| !layer.is_multiple_of(interval));
        return Ok(rotated.collect());
    };
    if list.len() < layers {
        return Err(fields.fault(format!(
            "no_rope_layers has {} entries, but the model has {layers} layers",
            list.len()
        )));
    }
    Ok(list
        .iter()
        .take(layers)
        .map(|&rotates| rotates != 0)
        .collect())
}
