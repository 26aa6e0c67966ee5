//! Gemma 3, text only (Gemma Team, arXiv:2503.19786): scaled embeddings, norms before and after each block
//! with weights relative to 1, QK norm, and local layers with a sliding window and a smaller RoPE base
//! among global layers.

use super::description::{Description, activation};
use super::rope::{self, RopeDefaults};
use super::{llama, windows};
use crate::error::Result;
use crate::model::config::{
    Block, DecoderConfig, FeedForward, FeedForwardKind, Norm, NormKind, QkNorm,
};
use crate::model::fields::Fields;
use crate::model::names::{Family, ParameterNames};
use crate::model::rope_scaling::RopeScaling;
use crate::model::rotary::Rotary;

pub(super) const DESCRIPTION: Description = Description {
    architecture: "Gemma3ForCausalLM",
    model_type: "gemma3_text",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "Gemma 3",
    tensors: &NAMES,
};

pub(super) const NAMES: ParameterNames = ParameterNames {
    attention_output_norm: "post_attention_layernorm",
    feed_forward_norm: "pre_feedforward_layernorm",
    feed_forward_output_norm: "post_feedforward_layernorm",
    ..llama::NAMES
};

/// Defaults of missing fields.
const DEFAULT_HEAD_SIZE: usize = 256;
const DEFAULT_QUERY_SCALE: f32 = 256.0;
const DEFAULT_WINDOW: usize = 4096;
const DEFAULT_PATTERN: usize = 6;
const DEFAULT_LENGTH: usize = 131_072;
const DEFAULT_THETA: f64 = 1_000_000.0;
const DEFAULT_LOCAL_THETA: f64 = 10_000.0;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    fields.refuse("attn_logit_softcapping")?;
    fields.refuse("final_logit_softcapping")?;
    if fields.or("use_bidirectional_attention", false)? {
        let message = "use_bidirectional_attention is true: only causal models are supported";
        return Err(fields.fault(message.to_string()));
    }
    let head_size = fields
        .optional_size("head_dim")?
        .unwrap_or(DEFAULT_HEAD_SIZE);
    let mut config = llama::with_head_size(fields, head_size)?;
    config.family = FAMILY;
    config.max_length = fields
        .optional_size("max_position_embeddings")?
        .unwrap_or(DEFAULT_LENGTH);
    config.norm = Norm {
        kind: NormKind::RootMeanSquareFromOne,
        ..config.norm
    };
    config.block = Block::Sandwiched;
    config.qk_norm = Some(QkNorm::Heads);
    config.embedding_scale = (config.hidden_size as f32).sqrt();
    config.feed_forward = FeedForward {
        kind: FeedForwardKind::Gated,
        activation: activation(fields, "hidden_activation", "gelu_pytorch_tanh")?,
    };
    config.tie_word_embeddings = fields.or(NAMES.tie, true)?;

    let layers = config.layers.len();
    let pattern = fields
        .optional_size("sliding_window_pattern")?
        .unwrap_or(DEFAULT_PATTERN);
    let sliding = windows::sliding(fields, layers, |layer| !(layer + 1).is_multiple_of(pattern))?;
    let window = fields.or("sliding_window", DEFAULT_WINDOW)?;
    windows::set(&mut config.layers, &sliding, window);
    let [global, local] = rotaries(fields, head_size, config.max_length)?;
    let scale = fields.or("query_pre_attn_scalar", DEFAULT_QUERY_SCALE)?;
    if !(scale.is_finite() && scale > 0.0) {
        return Err(fields.fault(format!(
            "query_pre_attn_scalar is {scale}: expected more than 0"
        )));
    }
    for (attention, sliding) in config.attentions_mut().zip(sliding) {
        let rotary = if sliding { &local } else { &global };
        attention.rotary = Some(rotary.clone());
        attention.scale = 1.0 / scale.sqrt();
    }
    Ok(config)
}

/// Reads the rotary embeddings of global and local layers.
fn rotaries(fields: &Fields<'_>, head_size: usize, max_length: usize) -> Result<[Rotary; 2]> {
    // Either one object per kind of layer, or flat fields, whose scaling applies to global layers only.
    let thetas = [DEFAULT_THETA, DEFAULT_LOCAL_THETA];
    if let Some(found) = rope::of_layer_types(fields, head_size, thetas, max_length)? {
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
