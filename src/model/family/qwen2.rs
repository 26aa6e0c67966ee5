//! Qwen2 and Qwen2.5 (Yang et al., arXiv:2407.10671): Llama with biases on queries, keys and values,
//! and windows in its last layers where the file asks for them.

use super::{Family, llama, windows};
use crate::error::Result;
use crate::model::config::{Biases, DecoderConfig, LayerConfig};
use crate::model::fields::Fields;

/// What a file without the field means.
const DEFAULT_WINDOW: usize = 4096;
/// See [`DEFAULT_WINDOW`]; layers from this one on have windows.
const DEFAULT_FIRST_WINDOW: usize = 28;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let mut config = DecoderConfig {
        family: Family::Qwen2,
        ..llama::describe(fields)?
    };
    config.biases = Biases {
        attention: true,
        ..Biases::default()
    };
    set_windows(fields, &mut config.layers)?;
    Ok(config)
}

/// Windows as Qwen's files describe them.
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
