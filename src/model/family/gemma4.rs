//! Gemma 4, dense and text only (Google, 2026): Gemma 3 with plain norm weights, normalized values, larger heads
//! in global layers, of which a part is rotated, and a constant factor per layer. Small models have inputs per
//! layer, and last layers that take the keys and values of earlier ones; in large ones, keys of global layers
//! are values as well.

use serde_json::Value;

use super::description::Description;
use super::{gemma2, rope, windows};
use crate::error::Result;
use crate::model::config::{AttentionConfig, DecoderConfig, KeysAndValues, PerLayerInputs, QkNorm};
use crate::model::fields::Fields;
use crate::model::names::{Family, ParameterNames};
use crate::model::rope_scaling::RopeScaling;
use crate::model::rotary::Rotary;

pub(super) const DESCRIPTION: Description = Description {
    architecture: "Gemma4ForCausalLM",
    model_type: "gemma4_text",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "Gemma 4",
    tensors: &NAMES,
};

const NAMES: ParameterNames = ParameterNames {
    layer_inputs_table: "model.embed_tokens_per_layer",
    layer_inputs_projection: "model.per_layer_model_projection",
    layer_inputs_norm: "model.per_layer_projection_norm",
    layer_input_gate: "per_layer_input_gate",
    layer_input_projection: "per_layer_projection",
    layer_input_norm: "post_per_layer_input_norm",
    layer_scale: "layer_scalar",
    ..gemma2::NAMES
};

/// Defaults of missing fields.
const DEFAULT_GLOBAL_HEAD_SIZE: usize = 512;
const DEFAULT_KV_HEADS: usize = 4;
const DEFAULT_WINDOW: usize = 512;
const DEFAULT_PATTERN: usize = 6;
const DEFAULT_LENGTH: usize = 131_072;
const DEFAULT_THETAS: [f64; 2] = [1_000_000.0, 10_000.0];
const DEFAULT_PROPORTION: f64 = 0.25;
const DEFAULT_INPUT_SIZE: usize = 256;

fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    refuse_unsupported(fields)?;
    let mut config = gemma2::sandwiched(fields)?;
    config.family = FAMILY;
    let max_length = fields.optional_size("max_position_embeddings")?;
    config.max_length = max_length.unwrap_or(DEFAULT_LENGTH);
    config.qk_norm = Some(QkNorm::Heads);
    config.value_norm = true;
    config.layer_scales = true;
    config.per_layer_inputs = per_layer_inputs(fields, config.vocab_size)?;
    config.logits_soft_cap = fields.optional("final_logit_softcapping")?;

    let layers = config.layers.len();
    let is_local = |layer: usize| !(layer + 1).is_multiple_of(DEFAULT_PATTERN);
    let mut sliding = windows::sliding(fields, layers, is_local)?;
    // As in transformers, the last layer is global whatever its type.
    sliding[layers - 1] = false;
    let kv_heads = fields.optional_size("num_key_value_heads")?;
    for attention in config.attentions_mut() {
        attention.num_kv_heads = kv_heads.unwrap_or(DEFAULT_KV_HEADS);
        attention.scale = 1.0;
    }
    let window = fields.or("sliding_window", DEFAULT_WINDOW)?;
    windows::set(&mut config.layers, &sliding, window);
    set_sizes(fields, &mut config, &sliding)?;
    set_keys_and_values(fields, &mut config, &sliding)?;
    let rotaries = rope::of_layer_types(fields, [0; 2], DEFAULT_THETAS, config.max_length)?;
    let rotaries = rotaries.unwrap_or_else(default_rotaries);
    for (attention, sliding) in config.attentions_mut().zip(sliding) {
        attention.rotary = Some(Rotary {
            size: attention.head_size,
            ..rotaries[usize::from(sliding)].clone()
        });
    }
    Ok(config)
}

/// Refuses what is not dense, or not causal.
fn refuse_unsupported(fields: &Fields<'_>) -> Result<()> {
    if fields.or("enable_moe_block", false)? {
        let message = "enable_moe_block is true: only dense models are supported, expected false";
        return Err(fields.fault(message.to_string()));
    }
    // Tokens of images may attend to later ones, of which a text has none.
    let bidirectional: Option<Value> = fields.optional("use_bidirectional_attention")?;
    match bidirectional {
        None | Some(Value::Bool(false)) => Ok(()),
        Some(Value::String(kind)) if kind == "vision" => Ok(()),
        Some(other) => Err(fields.fault(format!(
            "use_bidirectional_attention is {other}: only causal models are supported"
        ))),
    }
}

/// Reads the inputs of the layers beside the hidden states; a size of 0 stands for none.
fn per_layer_inputs(fields: &Fields<'_>, vocab_size: usize) -> Result<Option<PerLayerInputs>> {
    let size = fields.or("hidden_size_per_layer_input", DEFAULT_INPUT_SIZE)?;
    if size == 0 {
        return Ok(None);
    }
    let rows = fields.optional_size("vocab_size_per_layer_input")?;
    match rows.unwrap_or(vocab_size) {
        rows if rows < vocab_size => Err(fields.fault(format!(
            "vocab_size_per_layer_input is {rows}: expected at least vocab_size, which is {vocab_size}"
        ))),
        vocab_size => Ok(Some(PerLayerInputs { vocab_size, size })),
    }
}

/// Sets the sizes that differ between layers: by layer, as transformers writes them, or by type, as the models
/// on the Hub have them.
fn set_sizes(fields: &Fields<'_>, config: &mut DecoderConfig, sliding: &[bool]) -> Result<()> {
    let mut attentions: Vec<&mut AttentionConfig> = config.attentions_mut().collect();
    if let Some(by_layer) = fields.object("per_layer_config")? {
        for name in by_layer.names() {
            let number: Option<usize> = name.parse().ok();
            let attention = number.and_then(|number| attentions.get_mut(number));
            let (Some(attention), Some(sizes)) = (attention, by_layer.object(name)?) else {
                return Err(fields.fault(format!(
                    "per_layer_config has {name}: expected the number of a layer with its fields"
                )));
            };
            for field in sizes.names() {
                match field {
                    "head_dim" => attention.head_size = sizes.size(field)?,
                    "num_key_value_heads" => attention.num_kv_heads = sizes.size(field)?,
                    other => sizes.refuse(other)?,
                }
            }
        }
        return Ok(());
    }
    let head_size = fields.optional_size("global_head_dim")?;
    let kv_heads = match fields.or("attention_k_eq_v", false)? {
        true => fields.optional_size("num_global_key_value_heads")?,
        false => None,
    };
    let pairs = attentions.into_iter().zip(sliding);
    for (attention, _) in pairs.filter(|(_, sliding)| !**sliding) {
        attention.head_size = head_size.unwrap_or(DEFAULT_GLOBAL_HEAD_SIZE);
        attention.num_kv_heads = kv_heads.unwrap_or(attention.num_kv_heads);
    }
    Ok(())
}

/// Sets where keys and values come from: each of the last layers takes those of the last layer of its type that
/// has its own.
fn set_keys_and_values(
    fields: &Fields<'_>,
    config: &mut DecoderConfig,
    sliding: &[bool],
) -> Result<()> {
    let shared: usize = fields.or("num_kv_shared_layers", 0)?;
    let first = config.layers.len().saturating_sub(shared);
    let keys_are_values = fields.or("attention_k_eq_v", false)?;
    for (number, attention) in config.attentions_mut().enumerate() {
        if number >= first {
            let mut earlier = sliding[..first].iter();
            let of = earlier.rposition(|kind| *kind == sliding[number]);
            attention.keys_and_values = KeysAndValues::OfLayer(of.ok_or_else(|| {
                fields.fault(format!(
                    "num_kv_shared_layers is {shared}: layer {number} has no layer of its type to share with"
                ))
            })?);
        } else if keys_are_values && !sliding[number] {
            attention.keys_and_values = KeysAndValues::Keys;
        }
    }
    if fields.or("use_double_wide_mlp", false)? {
        let last = config.layers.iter_mut().skip(first);
        last.for_each(|layer| layer.intermediate_size *= 2);
    }
    Ok(())
}

/// Returns the rotary embeddings of global and of local layers in a file without them.
fn default_rotaries() -> [Rotary; 2] {
    let mut rotaries = DEFAULT_THETAS.map(|theta| Rotary {
        size: 0,
        theta,
        scaling: RopeScaling::None,
        interleaved: false,
    });
    rotaries[0].scaling = RopeScaling::Proportional {
        proportion: DEFAULT_PROPORTION,
        factor: 1.0,
    };
    rotaries
}
