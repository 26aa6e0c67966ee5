//! Phi-3, Phi-3.5 and Phi-4-mini (Abdin et al., arXiv:2404.14219): Llama with one layer for queries, keys and
//! values and one for gate and up projection, no biases, and optional sliding windows, partial rotary
//! embeddings and LongRoPE.

use super::description::Description;
use super::llama;
use super::rope::RopeDefaults;
use crate::error::Result;
use crate::model::config::{Biases, DecoderConfig, FeedForward, FeedForwardKind, QueryKeyValue};
use crate::model::fields::Fields;
use crate::model::names::{Family, ParameterNames};

pub(super) const DESCRIPTION: Description = Description {
    architecture: "Phi3ForCausalLM",
    model_type: "phi3",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "Phi-3",
    tensors: &NAMES,
};

const NAMES: ParameterNames = ParameterNames {
    query: "",
    key: "",
    value: "",
    query_key_value: "self_attn.qkv_proj",
    gate: "",
    up: "",
    gate_and_up: "mlp.gate_up_proj",
    ..llama::NAMES
};

/// Defaults of missing fields.
const DEFAULT_EPSILON: f32 = 1e-5;
const DEFAULT_LENGTH: usize = 4096;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let head_size = llama::head_size(fields)?;
    let defaults = RopeDefaults {
        original_length: Some(DEFAULT_LENGTH as f64),
        max_length: DEFAULT_LENGTH,
        ..RopeDefaults::default()
    };
    let mut config = llama::with_rope(fields, head_size, defaults)?;
    let window = fields.optional("sliding_window")?;
    for attention in config.attentions_mut() {
        attention.window = window.unwrap_or(usize::MAX);
    }
    config.norm.epsilon = fields.or("rms_norm_eps", DEFAULT_EPSILON)?;
    Ok(DecoderConfig {
        family: FAMILY,
        query_key_value: QueryKeyValue::Fused,
        feed_forward: FeedForward {
            kind: FeedForwardKind::FusedGated,
            ..config.feed_forward
        },
        biases: Biases::default(),
        ..config
    })
}
