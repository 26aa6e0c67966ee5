//! LFM2 and LFM2.5 (Liquid AI, arXiv:2511.23404): Llama with gated short convolutions in place of attention in most
//! layers, and normalized queries and keys in the others.

use super::description::Description;
use super::llama;
use super::rope::RopeDefaults;
use super::windows::FULL;
use crate::error::Result;
use crate::model::config::{
    Biases, DecoderConfig, FeedForward, FeedForwardKind, Mixer, QkNorm, ShortConvConfig,
};
use crate::model::fields::{Fields, MAX_SIZE};
use crate::model::names::{Family, ParameterNames};
use crate::model::ops::Activation;

pub(super) const DESCRIPTION: Description = Description {
    architecture: "Lfm2ForCausalLM",
    model_type: "lfm2",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "LFM2",
    tensors: &NAMES,
};

const NAMES: ParameterNames = ParameterNames {
    attention_norm: "operator_norm",
    query_norm: "self_attn.q_layernorm",
    key_norm: "self_attn.k_layernorm",
    attention_output: "self_attn.out_proj",
    short_conv: "conv.conv",
    short_conv_input: "conv.in_proj",
    short_conv_output: "conv.out_proj",
    feed_forward_norm: "ffn_norm",
    gate: "feed_forward.w1",
    up: "feed_forward.w3",
    down: "feed_forward.w2",
    norm: "model.embedding_norm",
    ..llama::NAMES
};

/// Defaults of missing fields.
const DEFAULT_KV_HEADS: usize = 8;
const DEFAULT_EPSILON: f32 = 1e-5;
const DEFAULT_THETA: f64 = 1_000_000.0;
const DEFAULT_LENGTH: usize = 128_000;
const DEFAULT_TAPS: usize = 3;
const DEFAULT_MULTIPLIER: f64 = 1.0;
const DEFAULT_MULTIPLE: usize = 256;

/// The value of `layer_types` for short convolutions.
const CONV: &str = "conv";

fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let head_size = llama::head_size(fields)?;
    let defaults = RopeDefaults {
        theta: DEFAULT_THETA,
        max_length: DEFAULT_LENGTH,
        ..RopeDefaults::default()
    };
    let inner = intermediate_size(fields)?;
    let mut config = llama::with_width(fields, head_size, defaults, inner)?;
    let num_kv_heads = fields.optional_size("num_key_value_heads")?;
    for attention in config.attentions_mut() {
        attention.num_kv_heads = num_kv_heads.unwrap_or(DEFAULT_KV_HEADS);
    }
    let conv = ShortConvConfig {
        taps: fields
            .optional_size("conv_L_cache")?
            .unwrap_or(DEFAULT_TAPS),
        biases: fields.or("conv_bias", false)?,
    };
    let attends = attention_layers(fields, config.layers.len())?;
    for (layer, attends) in config.layers.iter_mut().zip(attends) {
        if !attends {
            layer.mixer = Mixer::ShortConv(conv);
        }
    }
    config.norm.epsilon = fields.or("norm_eps", DEFAULT_EPSILON)?;
    // As in transformers, the field of early files takes precedence.
    let tied = fields.or(NAMES.tie, true)?;
    let tied = fields.or("tie_embedding", tied)?;
    Ok(DecoderConfig {
        family: FAMILY,
        qk_norm: Some(QkNorm::Heads),
        feed_forward: FeedForward {
            kind: FeedForwardKind::Gated,
            activation: Activation::Silu,
        },
        biases: Biases::default(),
        tie_word_embeddings: tied,
        ..config
    })
}

/// Returns which layers have attention: by `layer_types`, else those in `full_attn_idxs`, else all.
fn attention_layers(fields: &Fields<'_>, layers: usize) -> Result<Vec<bool>> {
    if let Some(types) = fields.optional::<Vec<String>>("layer_types")? {
        let types = fields.for_layers("layer_types", types, layers)?;
        let attends = types.iter().map(|kind| match kind.as_str() {
            FULL => Ok(true),
            CONV => Ok(false),
            other => Err(fields.fault(format!(
                "layer_types has {other}: expected {CONV} or {FULL}"
            ))),
        });
        return attends.collect();
    }
    let attending: Option<Vec<usize>> = fields.optional("full_attn_idxs")?;
    let attends = |layer: usize| attending.as_ref().is_none_or(|list| list.contains(&layer));
    Ok((0..layers).map(attends).collect())
}

/// Returns the inner width of the feed-forward blocks, which files state before it is reduced to two thirds and
/// rounded up.
fn intermediate_size(fields: &Fields<'_>) -> Result<usize> {
    let stated = match fields.optional_size("block_ff_dim")? {
        Some(size) => size,
        None => fields.size("intermediate_size")?,
    };
    if !fields.or("block_auto_adjust_ff_dim", true)? {
        return Ok(stated);
    }
    let mut size = 2 * stated / 3;
    // An explicit null means no multiplier.
    let multiplier = match fields.optional::<f64>("block_ffn_dim_multiplier")? {
        None if fields.has("block_ffn_dim_multiplier") => None,
        found => Some(found.unwrap_or(DEFAULT_MULTIPLIER)),
    };
    if let Some(multiplier) = multiplier {
        let multiple = fields.optional_size("block_multiple_of")?;
        // A cast of a negative number or NaN is 0.
        size = (multiplier * size as f64).min(MAX_SIZE as f64) as usize;
        size = size.next_multiple_of(multiple.unwrap_or(DEFAULT_MULTIPLE));
    }
    if (1..=MAX_SIZE).contains(&size) {
        return Ok(size);
    }
    Err(fields.fault(format!(
        "the adjusted width of the feed-forward block is {size}: expected 1 to {MAX_SIZE}"
    )))
}
