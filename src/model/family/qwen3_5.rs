//! Qwen3.5 (Qwen Team, 2026), without experts: gated delta rules (Yang et al., arXiv:2412.06464) in place of attention
//! in most layers, and gated attention with QK norm and partly rotated heads in the others. All norms but that of
//! the delta rules are relative to 1.

use super::description::Description;
use super::llama;
use super::rope::RopeDefaults;
use super::windows::FULL;
use crate::error::Result;
use crate::model::config::{
    Biases, DecoderConfig, GatedDeltaConfig, Mixer, Norm, NormKind, QkNorm, QueryKeyValue,
};
use crate::model::fields::Fields;
use crate::model::names::{Family, GatedDeltaNames, ParameterNames};

pub(super) const DESCRIPTION: Description = Description {
    architecture: "Qwen3_5ForCausalLM",
    model_type: "qwen3_5_text",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "Qwen3.5",
    tensors: &NAMES,
};

const NAMES: ParameterNames = ParameterNames {
    gated_delta: GatedDeltaNames {
        query_key_value: "linear_attn.in_proj_qkv",
        gate: "linear_attn.in_proj_z",
        beta: "linear_attn.in_proj_b",
        decay: "linear_attn.in_proj_a",
        convolution: "linear_attn.conv1d",
        log_rate: "linear_attn.A_log",
        decay_bias: "linear_attn.dt_bias",
        norm: "linear_attn.norm",
        output: "linear_attn.out_proj",
    },
    further_tokens: "mtp.",
    ..llama::NAMES
};

/// Defaults of missing fields.
const DEFAULT_HEAD_SIZE: usize = 256;
const DEFAULT_KV_HEADS: usize = 4;
const DEFAULT_ROTATED: f64 = 0.25;
const DEFAULT_LENGTH: usize = 32_768;
const DEFAULT_INTERVAL: usize = 4;
const DEFAULT_DELTA: GatedDeltaConfig = GatedDeltaConfig {
    heads: 32,
    key_heads: 16,
    key_size: 128,
    value_size: 128,
    taps: 4,
};

/// The value of `layer_types` for gated delta rules.
const LINEAR: &str = "linear_attention";

fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let head_size = fields.optional_size("head_dim")?;
    let defaults = RopeDefaults {
        factor: DEFAULT_ROTATED,
        max_length: DEFAULT_LENGTH,
        ..RopeDefaults::default()
    };
    if !fields.or("attn_output_gate", true)? {
        return Err(fields.fault(
            "attn_output_gate is false: attention without a gate is unsupported, expected true"
                .to_string(),
        ));
    }
    let mut config = llama::with_rope(fields, head_size.unwrap_or(DEFAULT_HEAD_SIZE), defaults)?;
    let num_kv_heads = fields.optional_size("num_key_value_heads")?;
    for attention in config.attentions_mut() {
        attention.num_kv_heads = num_kv_heads.unwrap_or(DEFAULT_KV_HEADS);
    }
    let size = |name, default| Ok(fields.optional_size(name)?.unwrap_or(default));
    let delta = GatedDeltaConfig {
        heads: size("linear_num_value_heads", DEFAULT_DELTA.heads)?,
        key_heads: size("linear_num_key_heads", DEFAULT_DELTA.key_heads)?,
        key_size: size("linear_key_head_dim", DEFAULT_DELTA.key_size)?,
        value_size: size("linear_value_head_dim", DEFAULT_DELTA.value_size)?,
        taps: size("linear_conv_kernel_dim", DEFAULT_DELTA.taps)?,
    };
    let attends = attention_layers(fields, config.layers.len())?;
    for (layer, attends) in config.layers.iter_mut().zip(attends) {
        if !attends {
            layer.mixer = Mixer::GatedDelta(delta);
        }
    }
    Ok(DecoderConfig {
        family: FAMILY,
        norm: Norm {
            kind: NormKind::RootMeanSquareFromOne,
            ..config.norm
        },
        query_key_value: QueryKeyValue::Gated,
        qk_norm: Some(QkNorm::Heads),
        biases: Biases {
            feed_forward: false,
            ..config.biases
        },
        ..config
    })
}

/// Returns which layers have attention: by `layer_types`, else the last of every `full_attention_interval`.
fn attention_layers(fields: &Fields<'_>, layers: usize) -> Result<Vec<bool>> {
    let Some(types) = fields.optional::<Vec<String>>("layer_types")? else {
        let interval = fields.optional_size("full_attention_interval")?;
        let interval = interval.unwrap_or(DEFAULT_INTERVAL);
        return Ok((1..=layers)
            .map(|number| number.is_multiple_of(interval))
            .collect());
    };
    let types = fields.for_layers("layer_types", types, layers)?;
    let attends = types.iter().map(|kind| match kind.as_str() {
        FULL => Ok(true),
        LINEAR => Ok(false),
        other => Err(fields.fault(format!(
            "layer_types has {other}: expected {LINEAR} or {FULL}"
        ))),
    });
    attends.collect()
}
