//! Phi-1, Phi-1.5 and Phi-2 (Li et al., arXiv:2309.05463): layer norm, attention and feed-forward beside
//! each other, heads that turn in part, and biases everywhere, the head's included.

use super::{Family, activation, end_tokens, rope};
use crate::error::Result;
use crate::model::config::{
    Biases, Block, DecoderConfig, FeedForward, FeedForwardKind, LayerConfig, Norm, NormKind,
};
use crate::model::fields::Fields;
use crate::model::parameters::ParameterNames;

pub(super) const NAMES: ParameterNames = ParameterNames {
    embedding: "model.embed_tokens",
    layer: "model.layers",
    attention_norm: "input_layernorm",
    query: "self_attn.q_proj",
    key: "self_attn.k_proj",
    value: "self_attn.v_proj",
    query_norm: "self_attn.q_layernorm",
    key_norm: "self_attn.k_layernorm",
    attention_output: "self_attn.dense",
    up: "mlp.fc1",
    down: "mlp.fc2",
    norm: "model.final_layernorm",
    head: "lm_head",
    // Tables that old exports kept beside the weights.
    ignored: &[".rotary_emb.inv_freq"],
    ..ParameterNames::NONE
};

/// The part of a head that turns where the file does not say.
const DEFAULT_ROTARY_PART: f64 = 0.5;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let hidden_size = fields.size("hidden_size")?;
    let heads = fields.size("num_attention_heads")?;
    if !hidden_size.is_multiple_of(heads) {
        return Err(fields.fault(format!(
            "hidden_size ({hidden_size}) is not a multiple of num_attention_heads ({heads})"
        )));
    }
    let head_size = hidden_size / heads;
    let max_length = fields
        .optional_size("max_position_embeddings")?
        .unwrap_or(2048);
    let rotary = rope::partial_rotary(fields, head_size, DEFAULT_ROTARY_PART, max_length)?;
    let layer = LayerConfig {
        heads,
        key_heads: fields
            .optional_size("num_key_value_heads")?
            .unwrap_or(heads),
        intermediate_size: fields.size("intermediate_size")?,
        window: usize::MAX,
        rotary: Some(rotary),
        attention_scale: 1.0 / (head_size as f32).sqrt(),
    };
    Ok(DecoderConfig {
        family: Family::Phi,
        vocabulary: fields.at_least_two("vocab_size")?,
        hidden_size,
        head_size,
        max_length,
        layers: vec![layer; fields.layers("num_hidden_layers")?],
        norm: Norm {
            kind: NormKind::Layer,
            epsilon: fields.or("layer_norm_eps", 1e-5)?,
        },
        block: Block::Parallel,
        feed_forward: FeedForward {
            kind: FeedForwardKind::Plain,
            activation: activation(fields, "hidden_act", "gelu_new")?,
        },
        fused_attention: false,
        norms_of_heads: fields.or("qk_layernorm", false)?,
        transposed_weights: false,
        learned_positions: false,
        embedding_scale: 1.0,
        biases: Biases {
            attention: true,
            attention_output: true,
            feed_forward: true,
            head: true,
        },
        tied_head: fields.or("tie_word_embeddings", false)?,
        begin_token: fields.optional("bos_token_id")?,
        end_tokens: end_tokens(fields)?,
    })
}
