//! Mistral (Jiang et al., arXiv:2310.06825): Llama without biases, whose queries see a window of
//! positions.

use super::{Family, llama, windows};
use crate::error::Result;
use crate::model::config::{Biases, DecoderConfig};
use crate::model::fields::Fields;

/// What a file without the field means; null means no window.
const DEFAULT_WINDOW: usize = 4096;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let window = match fields.optional("sliding_window")? {
        Some(window) => window,
        None if fields.has("sliding_window") => usize::MAX,
        None => DEFAULT_WINDOW,
    };
    let mut config = DecoderConfig {
        family: Family::Mistral,
        biases: Biases::default(),
        ..llama::describe(fields)?
    };
    let sliding = windows::sliding(fields, config.layers.len(), |_| true)?;
    windows::set(&mut config.layers, &sliding, window);
    Ok(config)
}
