//! Hunyuan dense (Tencent Hunyuan Team, 2025): Llama with QK norm after the rotary embedding, and a RoPE scaling
//! that raises the base by a fixed factor.

use super::description::Description;
use super::llama;
use crate::error::Result;
use crate::model::config::{Biases, DecoderConfig, QkNorm};
use crate::model::fields::Fields;
use crate::model::names::{Family, ParameterNames};
use crate::model::rope_scaling::RopeScaling;

pub(super) const DESCRIPTION: Description = Description {
    architecture: "HunYuanDenseV1ForCausalLM",
    model_type: "hunyuan_v1_dense",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "Hunyuan",
    tensors: &NAMES,
};

const NAMES: ParameterNames = ParameterNames {
    query_norm: "self_attn.query_layernorm",
    key_norm: "self_attn.key_layernorm",
    ..llama::NAMES
};

/// Default of `rms_norm_eps`.
const DEFAULT_EPSILON: f32 = 1e-5;

fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    if fields.or("use_cla", false)? {
        let message = "use_cla is true: attention across layers is unsupported, expected false";
        return Err(fields.fault(message.to_string()));
    }
    let mut config = llama::describe(fields)?;
    config.norm.epsilon = fields.or("rms_norm_eps", DEFAULT_EPSILON)?;
    if let Some(alpha) = alpha(fields)? {
        let size = config.head_size() as f64;
        for rotary in config.rotaries_mut() {
            // Called dynamic in the files, but the same for all lengths.
            rotary.theta *= alpha.powf(size / (size - 2.0));
            rotary.scaling = RopeScaling::None;
        }
        config.max_length = fields
            .optional_size("max_position_embeddings")?
            .unwrap_or(config.max_length);
    }
    let normalized: bool = fields.or("use_qk_norm", true)?;
    Ok(DecoderConfig {
        family: FAMILY,
        qk_norm: normalized.then_some(QkNorm::RotatedHeads),
        biases: Biases {
            feed_forward: false,
            ..config.biases
        },
        ..config
    })
}

/// Returns `alpha` of a RoPE scaling of type `dynamic`, unless it is 0.
fn alpha(fields: &Fields<'_>) -> Result<Option<f64>> {
    for name in ["rope_parameters", "rope_scaling"] {
        let Some(scaling) = fields.object(name)? else {
            continue;
        };
        let kind: Option<String> = match scaling.optional("rope_type")? {
            Some(kind) => Some(kind),
            None => scaling.optional("type")?,
        };
        if kind.as_deref() == Some("dynamic") {
            let alpha: Option<f64> = scaling.optional("alpha")?;
            return Ok(alpha.filter(|&alpha| alpha != 0.0));
        }
    }
    Ok(None)
}
