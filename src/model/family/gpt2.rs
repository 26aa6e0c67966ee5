//! GPT-2 (Radford et al., 2019): layer norm, learned positions, one layer for queries, keys and
//! values, plain feed-forward; weights as \[in, out\].

use super::{Family, activation, end_tokens};
use crate::error::Result;
use crate::model::config::{
    Biases, Block, DecoderConfig, FeedForward, FeedForwardKind, LayerConfig, Norm, NormKind,
};
use crate::model::fields::Fields;
use crate::model::parameters::ParameterNames;

pub(super) const NAMES: ParameterNames = ParameterNames {
    prefix: "transformer.",
    embedding: "transformer.wte",
    positions: "transformer.wpe",
    layer: "transformer.h",
    attention_norm: "ln_1",
    query_key_value: "attn.c_attn",
    attention_output: "attn.c_proj",
    feed_forward_norm: "ln_2",
    up: "mlp.c_fc",
    down: "mlp.c_proj",
    norm: "transformer.ln_f",
    head: "lm_head",
    // Masks that old exports kept beside the weights.
    ignored: &[".attn.bias", ".attn.masked_bias"],
    ..ParameterNames::NONE
};

/// The token that begins and ends texts in GPT-2's own vocabulary. Libraries write it into the file of
/// every model that nobody gave another, however small its vocabulary.
const USUAL_TOKEN: u32 = 50_256;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let hidden_size = fields.size("n_embd")?;
    let heads = fields.size("n_head")?;
    let head_size = head_size(fields, ("n_embd", hidden_size), ("n_head", heads))?;
    let scaled = fields.or("scale_attn_weights", true)?;
    let by_depth = fields.or("scale_attn_by_inverse_layer_idx", false)?;
    let intermediate_size = fields.optional_size("n_inner")?;
    let layer = |number: usize| {
        let of_width = if scaled {
            (head_size as f32).sqrt()
        } else {
            1.0
        };
        let of_depth = if by_depth { (number + 1) as f32 } else { 1.0 };
        LayerConfig {
            heads,
            key_heads: heads,
            intermediate_size: intermediate_size.unwrap_or(4 * hidden_size),
            window: usize::MAX,
            rotary: None,
            attention_scale: 1.0 / (of_width * of_depth),
        }
    };
    let layers = (0..fields.layers("n_layer")?).map(layer).collect();
    let max_length = match fields.optional_size("n_positions")? {
        Some(length) => length,
        None => fields.size("n_ctx")?,
    };
    described(fields, hidden_size, head_size, max_length, layers)
}

/// The width of heads that share the hidden size.
pub(super) fn head_size(
    fields: &Fields<'_>,
    (hidden_name, hidden_size): (&str, usize),
    (heads_name, heads): (&str, usize),
) -> Result<usize> {
    if hidden_size.is_multiple_of(heads) {
        return Ok(hidden_size / heads);
    }
    Err(fields.fault(format!(
        "{hidden_name} ({hidden_size}) is not a multiple of {heads_name} ({heads})"
    )))
}

/// A model of those sizes, which GPT-Neo's files call by other names.
pub(super) fn described(
    fields: &Fields<'_>,
    hidden_size: usize,
    head_size: usize,
    max_length: usize,
    layers: Vec<LayerConfig>,
) -> Result<DecoderConfig> {
    let vocabulary = fields.at_least_two("vocab_size")?;
    let is_meant = |&id: &u32| id != USUAL_TOKEN || (id as usize) < vocabulary;
    let mut end_tokens = end_tokens(fields)?;
    end_tokens.retain(is_meant);
    Ok(DecoderConfig {
        family: Family::Gpt2,
        vocabulary,
        hidden_size,
        head_size,
        max_length,
        layers,
        norm: Norm {
            kind: NormKind::Layer,
            epsilon: fields.or("layer_norm_epsilon", 1e-5)?,
        },
        block: Block::Sequential,
        feed_forward: FeedForward {
            kind: FeedForwardKind::Plain,
            activation: activation(fields, "activation_function", "gelu_new")?,
        },
        fused_attention: true,
        norms_of_heads: false,
        transposed_weights: true,
        learned_positions: true,
        embedding_scale: 1.0,
        biases: Biases {
            attention: true,
            attention_output: true,
            feed_forward: true,
            head: false,
        },
        tied_head: fields.or("tie_word_embeddings", true)?,
        begin_token: fields.optional("bos_token_id")?.filter(is_meant),
        end_tokens,
    })
}
