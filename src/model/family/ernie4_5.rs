//! ERNIE 4.5 (Baidu ERNIE Team, 2025), text only and without experts: Llama with a rotary embedding of
//! neighbouring elements, and optional biases in every linear layer.

use super::description::Description;
use super::llama;
use super::rope::RopeDefaults;
use crate::error::Result;
use crate::model::config::{Biases, DecoderConfig};
use crate::model::fields::Fields;
use crate::model::names::Family;

pub(super) const DESCRIPTION: Description = Description {
    architecture: "Ernie4_5ForCausalLM",
    model_type: "ernie4_5",
    parse: describe,
};

/// The name in the first files.
pub(super) const OLD_DESCRIPTION: Description = Description {
    architecture: "Ernie4_5_ForCausalLM",
    ..DESCRIPTION
};

const FAMILY: Family = Family {
    name: "ERNIE 4.5",
    tensors: &llama::NAMES,
};

/// Defaults of missing fields; a `head_dim` of null is an equal share of the hidden size.
const DEFAULT_HEAD_SIZE: usize = 128;
const DEFAULT_THETA: f64 = 500_000.0;
const DEFAULT_LENGTH: usize = 131_072;
const DEFAULT_EPSILON: f32 = 1e-5;

fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let head_size = if fields.has("head_dim") {
        llama::head_size(fields)?
    } else {
        DEFAULT_HEAD_SIZE
    };
    let defaults = RopeDefaults {
        theta: DEFAULT_THETA,
        max_length: DEFAULT_LENGTH,
        ..RopeDefaults::default()
    };
    let mut config = llama::with_rope(fields, head_size, defaults)?;
    for rotary in config.rotaries_mut() {
        rotary.interleaved = true;
    }
    config.norm.epsilon = fields.or("rms_norm_eps", DEFAULT_EPSILON)?;
    let biased = fields.or("use_bias", false)?;
    Ok(DecoderConfig {
        family: FAMILY,
        biases: Biases {
            attention: biased,
            attention_output: biased,
            feed_forward: biased,
            head: false,
        },
        tie_word_embeddings: fields.or(llama::NAMES.tie, true)?,
        ..config
    })
}
