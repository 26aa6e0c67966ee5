//! Qwen3 (Yang et al., arXiv:2505.09388): Llama whose queries and keys are normalised head by head.

use super::{Family, llama, qwen2};
use crate::error::Result;
use crate::model::config::{DecoderConfig, Fields};

/// What a file without `head_dim` means.
const DEFAULT_HEAD_SIZE: usize = 128;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let config = llama::describe(fields)?;
    qwen2::refuse_windows(fields, config.max_length)?;
    Ok(DecoderConfig {
        family: Family::Qwen3,
        head_size: fields.optional("head_dim")?.unwrap_or(DEFAULT_HEAD_SIZE),
        norms_of_heads: true,
        ..config
    })
}
