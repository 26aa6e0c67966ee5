//! Qwen3 (Yang et al., arXiv:2505.09388): Llama whose queries and keys are normalised head by head.

use super::{Family, llama, qwen2};
use crate::error::Result;
use crate::model::config::DecoderConfig;
use crate::model::fields::Fields;

/// What a file without `head_dim` means.
const DEFAULT_HEAD_SIZE: usize = 128;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let head_size = fields
        .optional_size("head_dim")?
        .unwrap_or(DEFAULT_HEAD_SIZE);
    let mut config = DecoderConfig {
        family: Family::Qwen3,
        norms_of_heads: true,
        ..llama::with_head_size(fields, head_size)?
    };
    qwen2::set_windows(fields, &mut config.layers)?;
    Ok(config)
}
