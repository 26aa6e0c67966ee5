//! Llama (Touvron et al., arXiv:2302.13971): pre-norm with RMS norm, rotary embeddings, grouped-query
//! attention, gated feed-forward with SiLU. Other families are described by their differences from it.

use super::description::{Description, activation};
use super::rope::{self, RopeDefaults};
use crate::error::Result;
use crate::model::config::{
    AttentionConfig, Biases, Block, DecoderConfig, FeedForward, FeedForwardKind, KeysAndValues,
    LayerConfig, Mixer, Norm, NormKind, QueryKeyValue,
};
use crate::model::fields::Fields;
use crate::model::names::{Family, ParameterNames};

pub(super) const DESCRIPTION: Description = Description {
    architecture: "LlamaForCausalLM",
    model_type: "llama",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "Llama",
    tensors: &NAMES,
};

pub(super) const NAMES: ParameterNames = ParameterNames {
    prefix: "model.",
    embedding: "model.embed_tokens",
    layer: "model.layers",
    attention_norm: "input_layernorm",
    query: "self_attn.q_proj",
    key: "self_attn.k_proj",
    value: "self_attn.v_proj",
    query_norm: "self_attn.q_norm",
    key_norm: "self_attn.k_norm",
    attention_output: "self_attn.o_proj",
    feed_forward_norm: "post_attention_layernorm",
    gate: "mlp.gate_proj",
    up: "mlp.up_proj",
    down: "mlp.down_proj",
    norm: "model.norm",
    head: "lm_head",
    // Tables that old exports contain.
    ignored: &[".rotary_emb.inv_freq"],
    ..ParameterNames::NONE
};

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    with_head_size(fields, head_size(fields)?)
}

/// Returns the head size, by default an equal share of the hidden size.
pub(super) fn head_size(fields: &Fields<'_>) -> Result<usize> {
    let hidden_size = fields.size("hidden_size")?;
    let heads = fields.size("num_attention_heads")?;
    let size = fields.optional_size("head_dim")?;
    Ok(size.unwrap_or(hidden_size / heads))
}

/// Parses the configuration with a given head size.
pub(super) fn with_head_size(fields: &Fields<'_>, head_size: usize) -> Result<DecoderConfig> {
    with_rope(fields, head_size, RopeDefaults::default())
}

/// Parses the configuration with a given head size and defaults of the rotary embedding.
pub(super) fn with_rope(
    fields: &Fields<'_>,
    head_size: usize,
    defaults: RopeDefaults,
) -> Result<DecoderConfig> {
    with_width(
        fields,
        head_size,
        defaults,
        fields.size("intermediate_size")?,
    )
}

/// Parses the configuration with a given head size, defaults of the rotary embedding, and inner width of the
/// feed-forward blocks.
pub(super) fn with_width(
    fields: &Fields<'_>,
    head_size: usize,
    defaults: RopeDefaults,
    intermediate_size: usize,
) -> Result<DecoderConfig> {
    let heads = fields.size("num_attention_heads")?;
    let max_length = fields
        .optional_size("max_position_embeddings")?
        .unwrap_or(defaults.max_length);
    let rotary = rope::rotary(fields, head_size, defaults, max_length)?;
    let max_length = rotary.scaling.extended(max_length);
    let layer = LayerConfig {
        mixer: Mixer::Attention(AttentionConfig {
            heads,
            num_kv_heads: fields
                .optional_size("num_key_value_heads")?
                .unwrap_or(heads),
            head_size,
            keys_and_values: KeysAndValues::Projected,
            window: usize::MAX,
            rotary: Some(rotary),
            scale: 1.0 / (head_size as f32).sqrt(),
        }),
        intermediate_size,
    };
    let attention = fields.or("attention_bias", false)?;
    Ok(DecoderConfig {
        family: FAMILY,
        vocab_size: fields.at_least_two("vocab_size")?,
        hidden_size: fields.size("hidden_size")?,
        max_length,
        layers: vec![layer; fields.layers("num_hidden_layers")?],
        norm: Norm {
            kind: NormKind::RootMeanSquare,
            epsilon: fields.or("rms_norm_eps", 1e-6)?,
        },
        block: Block::Sequential,
        feed_forward: FeedForward {
            kind: FeedForwardKind::Gated,
            activation: activation(fields, "hidden_act", "silu")?,
        },
        query_key_value: QueryKeyValue::Separate,
        qk_norm: None,
        value_norm: false,
        query_scaling: None,
        transposed_weights: false,
        learned_positions: false,
        embedding_scale: 1.0,
        residual_scale: 1.0,
        per_layer_inputs: None,
        layer_scales: false,
        logits_scale: 1.0,
        logits_soft_cap: None,
        attention_soft_cap: None,
        biases: Biases {
            attention,
            attention_output: attention,
            feed_forward: fields.or("mlp_bias", false)?,
            head: false,
        },
        padding_token: None,
        tie_word_embeddings: fields.or(NAMES.tie, false)?,
        begin_token: fields.token_ids("bos_token_id")?.first().copied(),
        end_tokens: fields.token_ids("eos_token_id")?,
    })
}
