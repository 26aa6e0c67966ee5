//! GPT-2 (Radford et al., 2019): layer norm, learned position embeddings, a fused query, key and value
//! projection, plain feed-forward; weights stored as \[in, out\].

use super::description::{Description, activation};
use crate::error::Result;
use crate::model::config::{
    AttentionConfig, Biases, Block, DecoderConfig, FeedForward, FeedForwardKind, KeysAndValues,
    LayerConfig, Mixer, Norm, NormKind, QueryKeyValue,
};
use crate::model::fields::Fields;
use crate::model::names::{Family, ParameterNames};

pub(super) const DESCRIPTION: Description = Description {
    architecture: "GPT2LMHeadModel",
    model_type: "gpt2",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "GPT-2",
    tensors: &NAMES,
};

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
    // Masks that old exports contain.
    ignored: &[".attn.bias", ".attn.masked_bias"],
    ..ParameterNames::NONE
};

/// The begin and end token of GPT-2's own vocabulary. Libraries write it into configurations by default,
/// also for smaller vocabularies.
const GPT2_END_TOKEN: u32 = 50_256;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let hidden_size = fields.size("n_embd")?;
    let heads = fields.size("n_head")?;
    let head_size = head_size(fields, ("n_embd", hidden_size), ("n_head", heads))?;
    let scaled = fields.or("scale_attn_weights", true)?;
    let by_depth = fields.or("scale_attn_by_inverse_layer_idx", false)?;
    let intermediate_size = fields.optional_size("n_inner")?;
    let layer = |number: usize| {
        let by_width = if scaled {
            (head_size as f32).sqrt()
        } else {
            1.0
        };
        let depth = if by_depth { (number + 1) as f32 } else { 1.0 };
        LayerConfig {
            mixer: Mixer::Attention(AttentionConfig {
                heads,
                num_kv_heads: heads,
                head_size,
                keys_and_values: KeysAndValues::Projected,
                window: usize::MAX,
                rotary: None,
                scale: 1.0 / (by_width * depth),
            }),
            intermediate_size: intermediate_size.unwrap_or(4 * hidden_size),
        }
    };
    let layers = (0..fields.layers("n_layer")?).map(layer).collect();
    let max_length = match fields.optional_size("n_positions")? {
        Some(length) => length,
        None => fields.size("n_ctx")?,
    };
    with_sizes(fields, hidden_size, max_length, layers)
}

/// Returns the head size, an equal share of the hidden size.
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

/// Builds the configuration from sizes whose field names differ between GPT-2 and GPT-Neo.
pub(super) fn with_sizes(
    fields: &Fields<'_>,
    hidden_size: usize,
    max_length: usize,
    layers: Vec<LayerConfig>,
) -> Result<DecoderConfig> {
    let vocab_size = fields.at_least_two("vocab_size")?;
    let exists = |&id: &u32| id != GPT2_END_TOKEN || (id as usize) < vocab_size;
    let mut end_tokens = fields.token_ids("eos_token_id")?;
    end_tokens.retain(exists);
    Ok(DecoderConfig {
        family: FAMILY,
        vocab_size,
        hidden_size,
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
        query_key_value: QueryKeyValue::Fused,
        qk_norm: None,
        value_norm: false,
        query_scaling: None,
        transposed_weights: true,
        learned_positions: true,
        embedding_scale: 1.0,
        residual_scale: 1.0,
        per_layer_inputs: None,
        layer_scales: false,
        logits_scale: 1.0,
        logits_soft_cap: None,
        attention_soft_cap: None,
        biases: Biases {
            attention: true,
            attention_output: true,
            feed_forward: true,
            head: false,
        },
        padding_token: None,
        tie_word_embeddings: fields.or(NAMES.tie, true)?,
        begin_token: fields.token_ids("bos_token_id")?.into_iter().find(exists),
        end_tokens,
    })
}
