//! Qwen2 and Qwen2.5 (Yang et al., arXiv:2407.10671): Llama with biases on queries, keys and values.

use super::{Family, llama};
use crate::error::Result;
use crate::model::config::{Biases, DecoderConfig, Fields};

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let config = llama::describe(fields)?;
    refuse_windows(fields, config.max_length)?;
    Ok(DecoderConfig {
        family: Family::Qwen2,
        biases: Biases {
            attention: true,
            ..Biases::default()
        },
        ..config
    })
}

/// Windows that only some layers have.
pub(super) fn refuse_windows(fields: &Fields<'_>, max_length: usize) -> Result<()> {
    let used = fields.optional("use_sliding_window")?.unwrap_or(false);
    let window: Option<usize> = fields.optional("sliding_window")?;
    match window.filter(|&window| used && window < max_length) {
        None => Ok(()),
        Some(window) => Err(fields.fault(format!(
            "use_sliding_window is true with a window of {window}: windows in some of the layers are \
             not supported for this family"
        ))),
    }
}
