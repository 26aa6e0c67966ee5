//! Mistral (Jiang et al., arXiv:2310.06825): Llama without biases, whose queries see a window of
//! positions.

use super::{Family, llama};
use crate::error::Result;
use crate::model::config::{Biases, DecoderConfig, Fields};

/// What a file without the field means; null means no window.
const DEFAULT_WINDOW: usize = 4096;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let window = match fields.optional("sliding_window")? {
        Some(window) => window,
        None if fields.json.contains_key("sliding_window") => usize::MAX,
        None => DEFAULT_WINDOW,
    };
    Ok(DecoderConfig {
        family: Family::Mistral,
        window,
        biases: Biases::default(),
        ..llama::describe(fields)?
    })
}
