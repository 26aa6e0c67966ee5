//! GPT-NeoX and Pythia (Black et al., arXiv:2204.06745; Biderman et al., arXiv:2304.01373): layer norm, attention
//! and feed-forward in parallel with a norm each, a query, key and value projection fused by head, partial
//! rotary embedding, plain feed-forward with exact GELU, and biases.

use super::description::{Description, activation};
use super::rope::RopeDefaults;
use super::{gpt2, llama};
use crate::error::Result;
use crate::model::config::{
    Biases, Block, DecoderConfig, FeedForward, FeedForwardKind, Norm, NormKind, QueryKeyValue,
};
use crate::model::fields::Fields;
use crate::model::names::{Family, ParameterNames};

pub(super) const DESCRIPTION: Description = Description {
    architecture: "GPTNeoXForCausalLM",
    model_type: "gpt_neox",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "GPT-NeoX",
    tensors: &NAMES,
};

const NAMES: ParameterNames = ParameterNames {
    prefix: "gpt_neox.",
    embedding: "gpt_neox.embed_in",
    layer: "gpt_neox.layers",
    attention_norm: "input_layernorm",
    query_key_value: "attention.query_key_value",
    attention_output: "attention.dense",
    feed_forward_norm: "post_attention_layernorm",
    up: "mlp.dense_h_to_4h",
    down: "mlp.dense_4h_to_h",
    norm: "gpt_neox.final_layer_norm",
    // Its name in transformers 5, which still writes the name of version 4.
    head: "lm_head",
    saved_head: "embed_out",
    // Masks and tables that old exports contain.
    ignored: &[
        ".attention.bias",
        ".attention.masked_bias",
        ".attention.rotary_emb.inv_freq",
        ".rotary_emb.inv_freq",
    ],
    ..ParameterNames::NONE
};

/// Defaults of missing fields.
const DEFAULT_THETA: f64 = 10_000.0;
const DEFAULT_ROTARY_FACTOR: f64 = 0.25;

fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let hidden_size = fields.size("hidden_size")?;
    let heads = fields.size("num_attention_heads")?;
    let of_hidden = ("hidden_size", hidden_size);
    let head_size = gpt2::head_size(fields, of_hidden, ("num_attention_heads", heads))?;
    let defaults = RopeDefaults {
        theta: fields.or("rotary_emb_base", DEFAULT_THETA)?,
        factor: fields.or("rotary_pct", DEFAULT_ROTARY_FACTOR)?,
        ..RopeDefaults::default()
    };
    let mut config = llama::with_rope(fields, head_size, defaults)?;
    for attention in config.attentions_mut() {
        attention.num_kv_heads = heads;
    }
    let parallel = fields.or("use_parallel_residual", true)?;
    let biased = fields.or("attention_bias", true)?;
    Ok(DecoderConfig {
        family: FAMILY,
        norm: Norm {
            kind: NormKind::Layer,
            epsilon: fields.or("layer_norm_eps", 1e-5)?,
        },
        block: if parallel {
            Block::ParallelNorms
        } else {
            Block::Sequential
        },
        feed_forward: FeedForward {
            kind: FeedForwardKind::Plain,
            activation: activation(fields, "hidden_act", "gelu")?,
        },
        query_key_value: QueryKeyValue::FusedByHead,
        biases: Biases {
            attention: biased,
            attention_output: biased,
            feed_forward: true,
            head: false,
        },
        ..config
    })
}
