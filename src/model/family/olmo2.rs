//! OLMo 2 (OLMo Team, arXiv:2501.00656): Llama with norms of the outputs instead of the inputs of attention and
//! feed-forward block, and QK norm over all heads together.

use super::description::Description;
use super::llama;
use super::rope::RopeDefaults;
use crate::error::Result;
use crate::model::config::{Biases, Block, DecoderConfig, QkNorm};
use crate::model::fields::Fields;
use crate::model::names::{Family, ParameterNames};

pub(super) const DESCRIPTION: Description = Description {
    architecture: "Olmo2ForCausalLM",
    model_type: "olmo2",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "OLMo 2",
    tensors: &NAMES,
};

pub(super) const NAMES: ParameterNames = ParameterNames {
    attention_norm: "",
    attention_output_norm: "post_attention_layernorm",
    feed_forward_norm: "",
    feed_forward_output_norm: "post_feedforward_layernorm",
    ..llama::NAMES
};

/// Default of `rms_norm_eps`.
const DEFAULT_EPSILON: f32 = 1e-5;

fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    with_rope(fields, RopeDefaults::default())
}

/// Parses the configuration with given defaults of the rotary embedding.
pub(super) fn with_rope(fields: &Fields<'_>, defaults: RopeDefaults) -> Result<DecoderConfig> {
    let mut config = llama::with_rope(fields, llama::head_size(fields)?, defaults)?;
    config.norm.epsilon = fields.or("rms_norm_eps", DEFAULT_EPSILON)?;
    Ok(DecoderConfig {
        family: FAMILY,
        block: Block::PostNorm,
        qk_norm: Some(QkNorm::Whole),
        biases: Biases {
            feed_forward: false,
            ..config.biases
        },
        ..config
    })
}
