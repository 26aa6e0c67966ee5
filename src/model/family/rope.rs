//! Rotary positions as configurations describe them: `rope_parameters` (transformers 5), or
//! `rope_theta` beside `rope_scaling` (before).

use crate::error::Result;
use crate::model::fields::Fields;
use crate::model::rotary::{RopeScaling, Rotary};

/// What a file without `rope_theta` means.
const DEFAULT_THETA: f64 = 10_000.0;

/// How heads of that size turn.
pub(super) fn rotary(fields: &Fields<'_>, head_size: usize, max_length: usize) -> Result<Rotary> {
    partial_rotary(fields, head_size, 1.0, max_length)
}

/// The same where only a part of each head turns, `usual` where the file does not say which.
pub(super) fn partial_rotary(
    fields: &Fields<'_>,
    head_size: usize,
    usual: f64,
    max_length: usize,
) -> Result<Rotary> {
    let mut theta = fields.optional("rope_theta")?;
    let mut part = fields.optional("partial_rotary_factor")?;
    let mut found = RopeScaling::None;
    if let Some(old) = fields.object("rope_scaling")? {
        found = scaling(&old, max_length)?;
    }
    if let Some(new) = fields.object("rope_parameters")? {
        theta = new.optional("rope_theta")?.or(theta);
        part = new.optional("partial_rotary_factor")?.or(part);
        // A file may have both, one of them saying nothing.
        found = match scaling(&new, max_length)? {
            RopeScaling::None => found,
            said => said,
        };
    }
    let part: f64 = part.unwrap_or(usual);
    if !(part > 0.0 && part <= 1.0) {
        return Err(fields.fault(format!(
            "partial_rotary_factor is {part}: expected more than 0, and at most 1"
        )));
    }
    Ok(Rotary {
        size: (head_size as f64 * part) as usize,
        theta: theta.unwrap_or(DEFAULT_THETA),
        scaling: found,
    })
}

/// The scaling that an object describes.
pub(super) fn scaling(fields: &Fields<'_>, max_length: usize) -> Result<RopeScaling> {
    let kind: Option<String> = match fields.optional("rope_type")? {
        Some(kind) => Some(kind),
        None => fields.optional("type")?,
    };
    match kind.as_deref() {
        None | Some("default") => Ok(RopeScaling::None),
        Some("linear") => Ok(RopeScaling::Linear {
            factor: fields.required("factor")?,
        }),
        Some("llama3") => Ok(RopeScaling::Llama3 {
            factor: fields.required("factor")?,
            low_frequency: fields.required("low_freq_factor")?,
            high_frequency: fields.required("high_freq_factor")?,
            original_length: fields.or("original_max_position_embeddings", max_length as f64)?,
        }),
        Some(kind) => Err(fields.fault(format!(
            "the RoPE scaling is of type {kind}: supported are default, linear and llama3"
        ))),
    }
}
