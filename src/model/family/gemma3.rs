//! Gemma 3, text only (Gemma Team, arXiv:2503.19786): Gemma 2 with QK norm instead of soft caps, and a smaller
//! RoPE base in local layers.

use super::description::Description;
use super::gemma2;
use super::rope::{self, RopeDefaults};
use crate::error::Result;
use crate::model::config::{DecoderConfig, QkNorm};
use crate::model::fields::Fields;
use crate::model::names::Family;
use crate::model::rope_scaling::RopeScaling;
use crate::model::rotary::Rotary;

pub(super) const DESCRIPTION: Description = Description {
    architecture: "Gemma3ForCausalLM",
    model_type: "gemma3_text",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "Gemma 3",
    tensors: &gemma2::NAMES,
};

/// Defaults of missing fields.
const DEFAULT_PATTERN: usize = 6;
const DEFAULT_LENGTH: usize = 131_072;
const DEFAULT_THETA: f64 = 1_000_000.0;
const DEFAULT_LOCAL_THETA: f64 = 10_000.0;

fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    fields.refuse("attn_logit_softcapping")?;
    let pattern = fields
        .optional_size("sliding_window_pattern")?
        .unwrap_or(DEFAULT_PATTERN);
    let (mut config, sliding) = gemma2::with_pattern(fields, pattern)?;
    config.family = FAMILY;
    config.max_length = fields
        .optional_size("max_position_embeddings")?
        .unwrap_or(DEFAULT_LENGTH);
    config.qk_norm = Some(QkNorm::Heads);
    config.logits_soft_cap = fields.optional("final_logit_softcapping")?;
    let [global, local] = rotaries(fields, config.head_size(), config.max_length)?;
    for (attention, sliding) in config.attentions_mut().zip(sliding) {
        let rotary = if sliding { &local } else { &global };
        attention.rotary = Some(rotary.clone());
    }
    Ok(config)
}

/// Reads the rotary embeddings of global and local layers.
fn rotaries(fields: &Fields<'_>, head_size: usize, max_length: usize) -> Result<[Rotary; 2]> {
    // Either one object per kind of layer, or flat fields, whose scaling applies to global layers only.
    let thetas = [DEFAULT_THETA, DEFAULT_LOCAL_THETA];
    if let Some(found) = rope::of_layer_types(fields, [head_size; 2], thetas, max_length)? {
        return Ok(found);
    }
    let defaults = RopeDefaults::default();
    let mut global = rope::rotary(fields, head_size, defaults, max_length)?;
    if !fields.has("rope_theta") && !fields.has("rope_parameters") {
        global.theta = DEFAULT_THETA;
    }
    let local = Rotary {
        size: head_size,
        theta: fields.or("rope_local_base_freq", DEFAULT_LOCAL_THETA)?,
        scaling: RopeScaling::None,
        interleaved: false,
    };
    Ok([global, local])
}
