//! Phi-1, Phi-1.5 and Phi-2 (Li et al., arXiv:2309.05463): layer norm, parallel attention and feed-forward,
//! partial rotary embedding, and biases in every linear layer, the head included.

use super::description::{Description, activation};
use super::rope::RopeDefaults;
use super::{gpt2, llama};
use crate::error::Result;
use crate::model::config::{
    Biases, Block, DecoderConfig, FeedForward, FeedForwardKind, Norm, NormKind, QkNorm,
};
use crate::model::fields::Fields;
use crate::model::names::{Family, ParameterNames};

pub(super) const DESCRIPTION: Description = Description {
    architecture: "PhiForCausalLM",
    model_type: "phi",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "Phi",
    tensors: &NAMES,
};

pub(super) const NAMES: ParameterNames = ParameterNames {
    query_norm: "self_attn.q_layernorm",
    key_norm: "self_attn.k_layernorm",
    attention_output: "self_attn.dense",
    up: "mlp.fc1",
    down: "mlp.fc2",
    norm: "model.final_layernorm",
    ..llama::NAMES
};

/// Default of `partial_rotary_factor`.
const DEFAULT_ROTARY_FACTOR: f64 = 0.5;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let hidden_size = fields.size("hidden_size")?;
    let heads = fields.size("num_attention_heads")?;
    let of_hidden = ("hidden_size", hidden_size);
    let head_size = gpt2::head_size(fields, of_hidden, ("num_attention_heads", heads))?;
    let defaults = RopeDefaults {
        factor: DEFAULT_ROTARY_FACTOR,
        ..RopeDefaults::default()
    };
    let config = llama::with_rope(fields, head_size, defaults)?;
    let normalized: bool = fields.or("qk_layernorm", false)?;
    Ok(DecoderConfig {
        family: FAMILY,
        norm: Norm {
            kind: NormKind::Layer,
            epsilon: fields.or("layer_norm_eps", 1e-5)?,
        },
        block: Block::Parallel,
        feed_forward: FeedForward {
            kind: FeedForwardKind::Plain,
            activation: activation(fields, "hidden_act", "gelu_new")?,
        },
        qk_norm: normalized.then_some(QkNorm::Heads),
        biases: Biases {
            attention: true,
            attention_output: true,
            feed_forward: true,
            head: true,
        },
        ..config
    })
}
