//! Qwen2 and Qwen2.5 (Yang et al., arXiv:2407.10671): Llama with biases on queries, keys and values, and
//! optional sliding windows in the last layers.

use super::description::Description;
use super::{llama, windows};
use crate::error::Result;
use crate::model::config::{Biases, DecoderConfig, LayerConfig};
use crate::model::fields::Fields;
use crate::model::names::Family;

pub(super) const DESCRIPTION: Description = Description {
    architecture: "Qwen2ForCausalLM",
    model_type: "qwen2",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "Qwen2",
    tensors: &llama::NAMES,
};

/// Default of `sliding_window`.
const DEFAULT_WINDOW: usize = 4096;
/// Default of `max_window_layers`, the first layer with a window.
const DEFAULT_FIRST_WINDOW: usize = 28;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let mut config = DecoderConfig {
        family: FAMILY,
        ..llama::describe(fields)?
    };
    config.biases = Biases {
        attention: true,
        ..Biases::default()
    };
    set_windows(fields, &mut config.layers)?;
    Ok(config)
}

/// Sets the sliding windows as Qwen's files describe them.
pub(super) fn set_windows(fields: &Fields<'_>, layers: &mut [LayerConfig]) -> Result<()> {
    if !fields.or("use_sliding_window", false)? {
        return Ok(());
    }
    let window = match fields.optional("sliding_window")? {
        Some(window) => window,
        None if fields.has("sliding_window") => return Ok(()),
        None => DEFAULT_WINDOW,
    };
    let first = fields.or("max_window_layers", DEFAULT_FIRST_WINDOW)?;
    let sliding = windows::sliding(fields, layers.len(), |layer| layer >= first)?;
    windows::set(layers, &sliding, window);
    Ok(())
}
