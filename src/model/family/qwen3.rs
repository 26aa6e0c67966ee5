//! Qwen3 (Yang et al., arXiv:2505.09388): Llama with QK norm.

use super::description::Description;
use super::{llama, qwen2};
use crate::error::Result;
use crate::model::config::{DecoderConfig, QkNorm};
use crate::model::fields::Fields;
use crate::model::names::Family;

pub(super) const DESCRIPTION: Description = Description {
    architecture: "Qwen3ForCausalLM",
    model_type: "qwen3",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "Qwen3",
    tensors: &llama::NAMES,
};

/// Default of `head_dim`.
const DEFAULT_HEAD_SIZE: usize = 128;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let head_size = fields
        .optional_size("head_dim")?
        .unwrap_or(DEFAULT_HEAD_SIZE);
    let mut config = DecoderConfig {
        family: FAMILY,
        qk_norm: Some(QkNorm::Heads),
        ..llama::with_head_size(fields, head_size)?
    };
    qwen2::set_windows(fields, &mut config.layers)?;
    Ok(config)
}
