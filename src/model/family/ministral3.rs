//! Ministral 3 (Mistral AI, 2025): Mistral with YaRN, and queries that grow with their positions. By default it
//! has no sliding window.

use super::description::Description;
use super::llama;
use super::rope::RopeDefaults;
use crate::error::Result;
use crate::model::config::{Biases, DecoderConfig, QueryScaling};
use crate::model::fields::Fields;
use crate::model::names::Family;
use crate::model::rope_scaling::RopeScaling;
use crate::model::rotary::Rotary;

pub(super) const DESCRIPTION: Description = Description {
    architecture: "Ministral3ForCausalLM",
    model_type: "ministral3",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "Ministral 3",
    tensors: &llama::NAMES,
};

/// Defaults of missing fields; a `head_dim` of null is an equal share of the hidden size.
const DEFAULT_HEAD_SIZE: usize = 128;
const DEFAULT_EPSILON: f32 = 1e-5;
const DEFAULT_LENGTH: usize = 262_144;
/// Defaults of a missing `rope_parameters`.
const DEFAULT_THETA: f64 = 1_000_000.0;
const DEFAULT_FACTOR: f64 = 16.0;
const DEFAULT_ORIGINAL_LENGTH: usize = 16_384;
const DEFAULT_RATE: f32 = 0.1;

fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let head_size = if fields.has("head_dim") {
        llama::head_size(fields)?
    } else {
        DEFAULT_HEAD_SIZE
    };
    let defaults = RopeDefaults {
        max_length: DEFAULT_LENGTH,
        ..RopeDefaults::default()
    };
    let mut config = llama::with_rope(fields, head_size, defaults)?;
    config.norm.epsilon = fields.or("rms_norm_eps", DEFAULT_EPSILON)?;
    let max_length = fields
        .optional_size("max_position_embeddings")?
        .unwrap_or(defaults.max_length);
    let query_scaling = match scaling_object(fields)? {
        Some(object) => query_scaling(&object, max_length)?,
        None => {
            let rotary = default_rotary(head_size);
            config.max_length = rotary.scaling.extended(max_length);
            for attention in config.attentions_mut() {
                attention.rotary = Some(rotary.clone());
            }
            Some(QueryScaling {
                rate: DEFAULT_RATE,
                original_length: DEFAULT_ORIGINAL_LENGTH,
            })
        }
    };
    let window = fields.optional("sliding_window")?;
    for attention in config.attentions_mut() {
        attention.window = window.unwrap_or(usize::MAX);
    }
    Ok(DecoderConfig {
        family: FAMILY,
        biases: Biases::default(),
        query_scaling,
        ..config
    })
}

/// Returns the object that describes the rotary embedding, in the spelling of any version.
fn scaling_object<'a>(fields: &Fields<'a>) -> Result<Option<Fields<'a>>> {
    match fields.object("rope_scaling")? {
        Some(object) => Ok(Some(object)),
        None => fields.object("rope_parameters"),
    }
}

/// Reads the growth of the queries.
fn query_scaling(fields: &Fields<'_>, max_length: usize) -> Result<Option<QueryScaling>> {
    let Some(rate) = fields.optional("llama_4_scaling_beta")? else {
        return Ok(None);
    };
    let original_length = fields.optional_size("original_max_position_embeddings")?;
    Ok(Some(QueryScaling {
        rate,
        original_length: original_length.unwrap_or(max_length),
    }))
}

/// The rotary embedding of files that describe none.
fn default_rotary(head_size: usize) -> Rotary {
    Rotary {
        size: head_size,
        theta: DEFAULT_THETA,
        scaling: RopeScaling::Yarn {
            factor: DEFAULT_FACTOR,
            attention_factor: 1.0,
            fast_rotations: 32.0,
            slow_rotations: 1.0,
            truncate: true,
            original_length: DEFAULT_ORIGINAL_LENGTH as f64,
        },
        interleaved: false,
    }
}
