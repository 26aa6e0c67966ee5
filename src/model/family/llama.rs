//! Llama (Touvron et al., arXiv:2302.13971): RMS norm before each block, rotary positions,
//! grouped-query attention, gated feed-forward with SiLU. Other families say how they differ from it.

use super::Family;
use crate::error::Result;
use crate::model::config::{Biases, DecoderConfig, Fields};
use crate::model::parameters::ParameterNames;
use crate::model::rotary::RopeScaling;

pub(super) const NAMES: ParameterNames = ParameterNames {
    embedding: "model.embed_tokens.weight",
    layer: "model.layers",
    attention_norm: "input_layernorm.weight",
    query: "self_attn.q_proj",
    query_norm: "self_attn.q_norm.weight",
    key: "self_attn.k_proj",
    key_norm: "self_attn.k_norm.weight",
    value: "self_attn.v_proj",
    attention_output: "self_attn.o_proj",
    feed_forward_norm: "post_attention_layernorm.weight",
    gate: "mlp.gate_proj",
    up: "mlp.up_proj",
    down: "mlp.down_proj",
    norm: "model.norm.weight",
    head: "lm_head.weight",
    // Tables that old exports kept beside the weights.
    ignored: &["rotary_emb.inv_freq"],
};

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let hidden_size = fields.required("hidden_size")?;
    let heads: usize = fields.required("num_attention_heads")?;
    let head_size = match fields.optional("head_dim")? {
        Some(size) => size,
        None => hidden_size / heads.max(1),
    };
    let activation: Option<String> = fields.optional("hidden_act")?;
    if let Some(activation) = activation.filter(|name| name != "silu") {
        return Err(fields.fault(format!("hidden_act is {activation}: supported is silu")));
    }
    let max_length = fields.optional("max_position_embeddings")?.unwrap_or(2048);
    let (rope_theta, rope_scaling) = rope(fields, max_length)?;
    let attention = fields.optional("attention_bias")?.unwrap_or(false);
    Ok(DecoderConfig {
        family: Family::Llama,
        vocabulary: fields.required("vocab_size")?,
        hidden_size,
        intermediate_size: fields.required("intermediate_size")?,
        layers: fields.required("num_hidden_layers")?,
        heads,
        key_heads: fields.optional("num_key_value_heads")?.unwrap_or(heads),
        head_size,
        max_length,
        norm_epsilon: fields.optional("rms_norm_eps")?.unwrap_or(1e-6),
        rope_theta,
        rope_scaling,
        window: usize::MAX,
        biases: Biases {
            attention,
            attention_output: attention,
            feed_forward: fields.optional("mlp_bias")?.unwrap_or(false),
        },
        norms_of_heads: false,
        tied_head: fields.optional("tie_word_embeddings")?.unwrap_or(false),
        begin_token: fields.optional("bos_token_id")?,
        end_tokens: end_tokens(fields)?,
    })
}

/// Base and scaling, from `rope_parameters` (transformers 5) or `rope_theta` beside `rope_scaling`
/// (before).
fn rope(fields: &Fields<'_>, max_length: usize) -> Result<(f64, RopeScaling)> {
    let theta = match fields.nested("rope_parameters", "rope_theta")? {
        Some(theta) => Some(theta),
        None => fields.optional("rope_theta")?,
    };
    let mut scaling = RopeScaling::None;
    for object in ["rope_parameters", "rope_scaling"] {
        let number = |name: &str| -> Result<f64> {
            let missing = || fields.fault(format!("{object}.{name} is missing"));
            fields.nested(object, name)?.ok_or_else(missing)
        };
        let kind: Option<String> = match fields.nested(object, "rope_type")? {
            Some(kind) => Some(kind),
            None => fields.nested(object, "type")?,
        };
        match kind.as_deref() {
            None | Some("default") => {}
            Some("linear") => {
                scaling = RopeScaling::Linear {
                    factor: number("factor")?,
                };
            }
            Some("llama3") => {
                let original = fields.nested(object, "original_max_position_embeddings")?;
                scaling = RopeScaling::Llama3 {
                    factor: number("factor")?,
                    low_frequency: number("low_freq_factor")?,
                    high_frequency: number("high_freq_factor")?,
                    original_length: original.unwrap_or(max_length as f64),
                };
            }
            Some(kind) => {
                return Err(fields.fault(format!(
                    "{object} is of type {kind}: supported are default, linear and llama3"
                )));
            }
        }
    }
    Ok((theta.unwrap_or(10_000.0), scaling))
}

/// `eos_token_id` is one id or a list.
fn end_tokens(fields: &Fields<'_>) -> Result<Vec<u32>> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Ids {
        One(u32),
        Many(Vec<u32>),
    }
    Ok(match fields.optional("eos_token_id")? {
        None => Vec::new(),
        Some(Ids::One(id)) => vec![id],
        Some(Ids::Many(ids)) => ids,
    })
}
