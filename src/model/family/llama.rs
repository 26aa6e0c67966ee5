//! Llama (Touvron et al., arXiv:2302.13971): RMS norm before each block, rotary positions,
//! grouped-query attention, gated feed-forward with SiLU, no biases.

use super::Family;
use crate::error::Result;
use crate::model::config::{DecoderConfig, Fields};
use crate::model::parameters::ParameterNames;

pub(super) const NAMES: ParameterNames = ParameterNames {
    embedding: "model.embed_tokens.weight",
    layer: "model.layers",
    attention_norm: "input_layernorm.weight",
    query: "self_attn.q_proj.weight",
    key: "self_attn.k_proj.weight",
    value: "self_attn.v_proj.weight",
    attention_output: "self_attn.o_proj.weight",
    feed_forward_norm: "post_attention_layernorm.weight",
    gate: "mlp.gate_proj.weight",
    up: "mlp.up_proj.weight",
    down: "mlp.down_proj.weight",
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
    for bias in ["attention_bias", "mlp_bias"] {
        if fields.optional(bias)? == Some(true) {
            return Err(fields.fault(format!("{bias} is true: biases are not supported")));
        }
    }
    let activation: Option<String> = fields.optional("hidden_act")?;
    if let Some(activation) = activation.filter(|name| name != "silu") {
        return Err(fields.fault(format!("hidden_act is {activation}: supported is silu")));
    }
    Ok(DecoderConfig {
        family: Family::Llama,
        vocabulary: fields.required("vocab_size")?,
        hidden_size,
        intermediate_size: fields.required("intermediate_size")?,
        layers: fields.required("num_hidden_layers")?,
        heads,
        key_heads: fields.optional("num_key_value_heads")?.unwrap_or(heads),
        head_size,
        max_length: fields.optional("max_position_embeddings")?.unwrap_or(2048),
        norm_epsilon: fields.optional("rms_norm_eps")?.unwrap_or(1e-6),
        rope_theta: rope_theta(fields)?,
        tied_head: fields.optional("tie_word_embeddings")?.unwrap_or(false),
        begin_token: fields.optional("bos_token_id")?,
        end_tokens: end_tokens(fields)?,
    })
}

/// From `rope_parameters` (transformers 5) or `rope_theta` beside `rope_scaling` (before).
fn rope_theta(fields: &Fields<'_>) -> Result<f64> {
    for object in ["rope_parameters", "rope_scaling"] {
        let mut kind: Option<String> = fields.nested(object, "rope_type")?;
        if kind.is_none() {
            kind = fields.nested(object, "type")?;
        }
        if let Some(kind) = kind.filter(|kind| kind != "default") {
            return Err(fields.fault(format!(
                "{object} is of type {kind}: supported is default, without scaling"
            )));
        }
    }
    let theta = match fields.nested("rope_parameters", "rope_theta")? {
        Some(theta) => Some(theta),
        None => fields.optional("rope_theta")?,
    };
    Ok(theta.unwrap_or(10_000.0))
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
