//! Gemma 2 (Gemma Team, arXiv:2408.00118): scaled embeddings, norms before and after each block with weights
//! relative to 1, soft caps of attention scores and logits, and local layers with a sliding window between
//! global ones.

use super::description::{Description, activation};
use super::{llama, windows};
use crate::error::Result;
use crate::model::config::{Block, DecoderConfig, FeedForward, FeedForwardKind, NormKind};
use crate::model::fields::Fields;
use crate::model::names::{Family, ParameterNames};

pub(super) const DESCRIPTION: Description = Description {
    architecture: "Gemma2ForCausalLM",
    model_type: "gemma2",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "Gemma 2",
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
const DEFAULT_LENGTH: usize = 8192;
const DEFAULT_ATTENTION_CAP: f32 = 50.0;
const DEFAULT_LOGITS_CAP: f32 = 30.0;
/// Every second layer is global.
const PATTERN: usize = 2;

fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    // Without the field there is the default cap, with null there is none.
    let cap = |name, default| match fields.has(name) {
        true => fields.optional(name),
        false => Ok(Some(default)),
    };
    let (config, _) = with_pattern(fields, PATTERN)?;
    Ok(DecoderConfig {
        family: FAMILY,
        max_length: fields
            .optional_size("max_position_embeddings")?
            .unwrap_or(DEFAULT_LENGTH),
        attention_soft_cap: cap("attn_logit_softcapping", DEFAULT_ATTENTION_CAP)?,
        logits_soft_cap: cap("final_logit_softcapping", DEFAULT_LOGITS_CAP)?,
        ..config
    })
}

/// Parses what Gemma 2 and 3 have in common, with a global layer among each `pattern` layers if the file does
/// not say. Returns which layers are local, too.
pub(super) fn with_pattern(
    fields: &Fields<'_>,
    pattern: usize,
) -> Result<(DecoderConfig, Vec<bool>)> {
    if fields.or("use_bidirectional_attention", false)? {
        let message = "use_bidirectional_attention is true: only causal models are supported";
        return Err(fields.fault(message.to_string()));
    }
    let mut config = sandwiched(fields)?;
    config.norm.kind = NormKind::RootMeanSquareFromOne;
    let layers = config.layers.len();
    let sliding = windows::sliding(fields, layers, |layer| !(layer + 1).is_multiple_of(pattern))?;
    let window = fields.or("sliding_window", DEFAULT_WINDOW)?;
    windows::set(&mut config.layers, &sliding, window);
    let scale = fields.or("query_pre_attn_scalar", DEFAULT_QUERY_SCALE)?;
    if !(scale.is_finite() && scale > 0.0) {
        return Err(fields.fault(format!(
            "query_pre_attn_scalar is {scale}: expected more than 0"
        )));
    }
    for attention in config.attentions_mut() {
        attention.scale = 1.0 / scale.sqrt();
    }
    Ok((config, sliding))
}

/// Parses what all of these families have in common: blocks between norms, and scaled embeddings.
pub(super) fn sandwiched(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let head_size = fields.optional_size("head_dim")?;
    let mut config = llama::with_head_size(fields, head_size.unwrap_or(DEFAULT_HEAD_SIZE))?;
    config.block = Block::Sandwiched;
    config.embedding_scale = (config.hidden_size as f32).sqrt();
    config.feed_forward = FeedForward {
        kind: FeedForwardKind::Gated,
        activation: activation(fields, "hidden_activation", "gelu_pytorch_tanh")?,
    };
    let padding = fields.token_ids("pad_token_id")?;
    config.padding_token = padding.first().copied();
    config.tie_word_embeddings = fields.or(NAMES.tie, true)?;
    Ok(config)
}
