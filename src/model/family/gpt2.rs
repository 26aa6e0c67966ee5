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
    if !hidden_size.is_multiple_of(heads) {
        return Err(fields.fault(format!(
            "n_embd ({hidden_size}) is not a multiple of n_head ({heads})"
        )));
    }
    let head_size = hidden_size / heads;
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
    Ok(DecoderConfig {
        family: Family::Gpt2,
        vocabulary: fields.at_least_two("vocab_size")?,
        hidden_size,
        head_size,
        max_length: match fields.optional_size("n_positions")? {
            Some(length) => length,
            None => fields.size("n_ctx")?,
        },
        layers: (0..fields.layers("n_layer")?).map(layer).collect(),
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
        begin_token: begin_token(fields)?,
        end_tokens: stated_end_tokens(fields)?,
    })
}

/// The token that begins a text, unless it is only the usual one in a vocabulary that lacks it.
pub(super) fn begin_token(fields: &Fields<'_>) -> Result<Option<u32>> {
    let begin = fields.optional("bos_token_id")?;
    Ok(begin.filter(is_meant(fields)?))
}

/// Those that end one, likewise.
pub(super) fn stated_end_tokens(fields: &Fields<'_>) -> Result<Vec<u32>> {
    let mut end = end_tokens(fields)?;
    end.retain(is_meant(fields)?);
    Ok(end)
}

fn is_meant(fields: &Fields<'_>) -> Result<impl Fn(&u32) -> bool> {
    let vocabulary = fields.size("vocab_size")?;
    Ok(move |&id: &u32| id != USUAL_TOKEN || (id as usize) < vocabulary)
}
