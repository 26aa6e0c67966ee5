//! OLMo 3 (OLMo Team, arXiv:2512.13961): OLMo 2 with sliding windows in three of four layers, and RoPE scaling
//! in the others only.

use super::description::Description;
use super::rope::{self, RopeDefaults};
use super::{olmo2, windows};
use crate::error::Result;
use crate::model::config::DecoderConfig;
use crate::model::fields::Fields;
use crate::model::names::Family;
use crate::model::rope_scaling::RopeScaling;
use crate::model::rotary::Rotary;

pub(super) const DESCRIPTION: Description = Description {
    architecture: "Olmo3ForCausalLM",
    model_type: "olmo3",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "OLMo 3",
    tensors: &olmo2::NAMES,
};

/// Defaults of missing fields.
const DEFAULT_THETA: f64 = 500_000.0;
const DEFAULT_WINDOW: usize = 4096;
/// Each layer with this number has full attention.
const PATTERN: usize = 4;

fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let defaults = RopeDefaults {
        theta: DEFAULT_THETA,
        ..RopeDefaults::default()
    };
    let mut config = DecoderConfig {
        family: FAMILY,
        ..olmo2::with_rope(fields, defaults)?
    };
    let sliding = windows::sliding(fields, config.layers.len(), |layer| {
        !(layer + 1).is_multiple_of(PATTERN)
    })?;
    let window = match fields.optional("sliding_window")? {
        Some(window) => window,
        None if fields.has("sliding_window") => usize::MAX,
        None => DEFAULT_WINDOW,
    };
    windows::set(&mut config.layers, &sliding, window);
    let max_length = fields
        .optional_size("max_position_embeddings")?
        .unwrap_or(defaults.max_length);
    let thetas = [DEFAULT_THETA; 2];
    let by_type = rope::of_layer_types(fields, [config.head_size(); 2], thetas, max_length)?;
    if let Some([full, _]) = &by_type {
        config.max_length = full.scaling.extended(max_length);
    }
    let head_size = config.head_size();
    for (attention, sliding) in config.attentions_mut().zip(sliding) {
        match &by_type {
            Some([full, local]) => {
                let rotary = if sliding { local } else { full };
                attention.rotary = Some(rotary.clone());
            }
            // As in transformers, flat fields are those of full attention.
            None if sliding => attention.rotary = Some(plain(head_size)),
            None => {}
        }
    }
    Ok(config)
}

/// The rotary embedding of layers with sliding attention, in files that describe only one.
fn plain(head_size: usize) -> Rotary {
    Rotary {
        size: head_size,
        theta: DEFAULT_THETA,
        scaling: RopeScaling::None,
        interleaved: false,
    }
}
