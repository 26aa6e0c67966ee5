//! GPT-Neo (Black et al., 2021): GPT-2 with separate query, key and value projections without biases,
//! unscaled attention scores, and a sliding window in every other layer.

use super::description::Description;
use super::{gpt2, windows};
use crate::error::Result;
use crate::model::config::{
    AttentionConfig, Biases, DecoderConfig, KeysAndValues, LayerConfig, Mixer, QueryKeyValue,
};
use crate::model::fields::Fields;
use crate::model::names::{Family, ParameterNames};

pub(super) const DESCRIPTION: Description = Description {
    architecture: "GPTNeoForCausalLM",
    model_type: "gpt_neo",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "GPT-Neo",
    tensors: &NAMES,
};

pub(super) const NAMES: ParameterNames = ParameterNames {
    query: "attn.attention.q_proj",
    key: "attn.attention.k_proj",
    value: "attn.attention.v_proj",
    attention_output: "attn.attention.out_proj",
    // Masks that old exports contain.
    ignored: &[".attn.attention.bias", ".attn.attention.masked_bias"],
    ..gpt2::NAMES
};

/// Defaults of missing fields.
const DEFAULT_WINDOW: usize = 256;
const DEFAULT_LENGTH: usize = 2048;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let hidden_size = fields.size("hidden_size")?;
    let heads = fields.size("num_heads")?;
    let of_hidden = ("hidden_size", hidden_size);
    let head_size = gpt2::head_size(fields, of_hidden, ("num_heads", heads))?;
    let layer = LayerConfig {
        mixer: Mixer::Attention(AttentionConfig {
            heads,
            num_kv_heads: heads,
            head_size,
            keys_and_values: KeysAndValues::Projected,
            window: usize::MAX,
            rotary: None,
            scale: 1.0,
        }),
        intermediate_size: fields
            .optional_size("intermediate_size")?
            .unwrap_or(4 * hidden_size),
    };
    let mut layers = vec![layer; fields.layers("num_layers")?];
    let sliding = local_layers(fields, layers.len())?;
    windows::set(
        &mut layers,
        &sliding,
        fields.or("window_size", DEFAULT_WINDOW)?,
    );
    let max_length = fields
        .optional_size("max_position_embeddings")?
        .unwrap_or(DEFAULT_LENGTH);
    let config = gpt2::with_sizes(fields, hidden_size, max_length, layers)?;
    Ok(DecoderConfig {
        family: FAMILY,
        query_key_value: QueryKeyValue::Separate,
        transposed_weights: false,
        biases: Biases {
            attention: false,
            ..config.biases
        },
        ..config
    })
}

/// Returns which layers have a window: `attention_types` is a list of patterns with repetition counts.
fn local_layers(fields: &Fields<'_>, layers: usize) -> Result<Vec<bool>> {
    let types: Vec<String> = match fields.optional("attention_layers")? {
        Some(types) => types,
        None => {
            let patterns: Vec<(Vec<String>, usize)> = fields.required("attention_types")?;
            patterns
                .into_iter()
                .flat_map(|(pattern, times)| {
                    // Bounded by the number of layers, since a file may contain any count.
                    let types = pattern.len().saturating_mul(times);
                    pattern.into_iter().cycle().take(types.min(layers + 1))
                })
                .collect()
        }
    };
    let types = fields.for_layers("attention_types", types, layers)?;
    let local = types.iter().map(|kind| match kind.as_str() {
        "local" => Ok(true),
        "global" => Ok(false),
        other => Err(fields.fault(format!(
            "attention_types has {other}: expected global or local"
        ))),
    });
    local.collect()
}
