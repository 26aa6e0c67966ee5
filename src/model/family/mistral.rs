//! Mistral (Jiang et al., arXiv:2310.06825): Llama without biases, with sliding-window attention.

use super::description::Description;
use super::{llama, windows};
use crate::error::Result;
use crate::model::config::{Biases, DecoderConfig};
use crate::model::fields::Fields;
use crate::model::names::Family;

pub(super) const DESCRIPTION: Description = Description {
    architecture: "MistralForCausalLM",
    model_type: "mistral",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "Mistral",
    tensors: &llama::NAMES,
};

/// Default of a missing field; null means no window.
const DEFAULT_WINDOW: usize = 4096;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let window = match fields.optional("sliding_window")? {
        Some(window) => window,
        None if fields.has("sliding_window") => usize::MAX,
        None => DEFAULT_WINDOW,
    };
    let mut config = DecoderConfig {
        family: FAMILY,
        biases: Biases::default(),
        ..llama::describe(fields)?
    };
    let sliding = windows::sliding(fields, config.layers.len(), |_| true)?;
    windows::set(&mut config.layers, &sliding, window);
    Ok(config)
}
