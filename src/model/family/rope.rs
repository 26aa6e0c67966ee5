//! Reads rotary embeddings: `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling`
//! (earlier versions).

use std::sync::Arc;

use super::windows::{FULL, SLIDING};
use crate::error::Result;
use crate::model::fields::Fields;
use crate::model::rope_scaling::RopeScaling;
use crate::model::rotary::Rotary;

/// Defaults of a family for missing fields.
#[derive(Clone, Copy)]
pub(super) struct RopeDefaults {
    /// Of `rope_theta`.
    pub theta: f64,
    /// Of `partial_rotary_factor`, the fraction of each head that is rotated.
    pub factor: f64,
    /// Of the model's `original_max_position_embeddings`; `None` for that of the scaling.
    pub original_length: Option<f64>,
    /// Of `max_position_embeddings`.
    pub max_length: usize,
}

impl Default for RopeDefaults {
    fn default() -> Self {
        Self {
            theta: 10_000.0,
            factor: 1.0,
            original_length: None,
            max_length: 2048,
        }
    }
}

/// Reads the rotary embedding.
pub(super) fn rotary(
    fields: &Fields<'_>,
    head_size: usize,
    defaults: RopeDefaults,
    max_length: usize,
) -> Result<Rotary> {
    let mut theta = fields.optional("rope_theta")?;
    let mut factor = fields.optional("partial_rotary_factor")?;
    let original_length = fields.optional("original_max_position_embeddings")?;
    let original_length = original_length.or(defaults.original_length);
    let mut found = RopeScaling::None;
    if let Some(old) = fields.object("rope_scaling")? {
        found = scaling(&old, max_length, original_length)?;
    }
    if let Some(new) = fields.object("rope_parameters")? {
        theta = new.optional("rope_theta")?.or(theta);
        factor = new.optional("partial_rotary_factor")?.or(factor);
        // A file may have both objects, one of them without scaling.
        found = match scaling(&new, max_length, original_length)? {
            RopeScaling::None => found,
            scaled => scaled,
        };
    }
    let factor: f64 = factor.unwrap_or(defaults.factor);
    if !(factor > 0.0 && factor <= 1.0) {
        return Err(fields.fault(format!(
            "partial_rotary_factor is {factor}: expected more than 0 and at most 1"
        )));
    }
    Ok(Rotary {
        size: (head_size as f64 * factor) as usize,
        theta: theta.unwrap_or(defaults.theta),
        scaling: found,
        interleaved: false,
    })
}

/// Reads the rotary embeddings of layers with full and with sliding attention, if `rope_parameters` has an
/// object for each; `head_sizes` are their heads', and `thetas` their defaults of `rope_theta`.
pub(super) fn of_layer_types(
    fields: &Fields<'_>,
    head_sizes: [usize; 2],
    thetas: [f64; 2],
    max_length: usize,
) -> Result<Option<[Rotary; 2]>> {
    let kinds = [FULL, SLIDING];
    let parameters = fields.object("rope_parameters")?;
    let Some(parameters) = parameters.filter(|object| kinds.iter().any(|kind| object.has(kind)))
    else {
        return Ok(None);
    };
    let read = |number: usize| -> Result<Rotary> {
        let (kind, theta) = (kinds[number], thetas[number]);
        let (theta, scaling) = match parameters.object(kind)? {
            Some(fields) => (
                fields.or("rope_theta", theta)?,
                scaling(&fields, max_length, None)?,
            ),
            None => (theta, RopeScaling::None),
        };
        Ok(Rotary {
            size: head_sizes[number],
            theta,
            scaling,
            interleaved: false,
        })
    };
    Ok(Some([read(0)?, read(1)?]))
}

/// Reads the scaling that an object describes. `original_length` is the model's
/// `original_max_position_embeddings`, which counts before the object's own.
pub(super) fn scaling(
    fields: &Fields<'_>,
    max_length: usize,
    original_length: Option<f64>,
) -> Result<RopeScaling> {
    let kind: Option<String> = match fields.optional("rope_type")? {
        Some(kind) => Some(kind),
        None => fields.optional("type")?,
    };
    let max_length = max_length as f64;
    let original_length = || -> Result<f64> {
        match original_length {
            Some(length) => Ok(length),
            None => fields.or("original_max_position_embeddings", max_length),
        }
    };
    Ok(match kind.as_deref() {
        None | Some("default") => RopeScaling::None,
        Some("linear") => RopeScaling::Linear {
            factor: fields.required("factor")?,
        },
        Some("llama3") => RopeScaling::Llama3 {
            factor: fields.required("factor")?,
            low_frequency: fields.required("low_freq_factor")?,
            high_frequency: fields.required("high_freq_factor")?,
            original_length: original_length()?,
        },
        Some("dynamic") => RopeScaling::Dynamic {
            factor: fields.required("factor")?,
            original_length: max_length,
        },
        // As some of the first Phi-3 models call longrope.
        Some("yarn") if fields.has("short_factor") => {
            longrope(fields, max_length, original_length()?)?
        }
        Some("yarn") => yarn(fields, max_length, original_length()?)?,
        // The first Phi-3 models call it so.
        Some("longrope" | "su") => longrope(fields, max_length, original_length()?)?,
        Some("proportional") => RopeScaling::Proportional {
            proportion: fields.or("partial_rotary_factor", 1.0)?,
            factor: fields.or("factor", 1.0)?,
        },
        Some(kind) => {
            return Err(fields.fault(format!(
                "the RoPE scaling has type {kind}: expected default, linear, dynamic, proportional, yarn, longrope or \
                 llama3"
            )));
        }
    })
}

fn yarn(fields: &Fields<'_>, max_length: f64, original_length: f64) -> Result<RopeScaling> {
    let factor = fields.or("factor", max_length / original_length)?;
    // The temperature of the attention, by the paper's fit.
    let temperature = |scale: f64| match factor > 1.0 {
        true => 0.1 * scale * factor.ln() + 1.0,
        false => 1.0,
    };
    let scale =
        |name| -> Result<Option<f64>> { Ok(fields.optional(name)?.filter(|&scale| scale != 0.0)) };
    let attention_factor = match fields.optional("attention_factor")? {
        Some(factor) => factor,
        None => match (scale("mscale")?, scale("mscale_all_dim")?) {
            (Some(scale), Some(of_all)) => temperature(scale) / temperature(of_all),
            _ => temperature(1.0),
        },
    };
    Ok(RopeScaling::Yarn {
        factor,
        attention_factor,
        fast_rotations: scale("beta_fast")?.unwrap_or(32.0),
        slow_rotations: scale("beta_slow")?.unwrap_or(1.0),
        truncate: fields.or("truncate", true)?,
        original_length,
    })
}

fn longrope(fields: &Fields<'_>, max_length: f64, original_length: f64) -> Result<RopeScaling> {
    let factors = |name| -> Result<Arc<[f64]>> { Ok(fields.required::<Vec<f64>>(name)?.into()) };
    let factor: f64 = fields.or("factor", max_length / original_length)?;
    let attention_factor = match fields.optional("attention_factor")? {
        Some(factor) => factor,
        None if factor <= 1.0 => 1.0,
        None => (1.0 + factor.ln() / original_length.ln()).sqrt(),
    };
    Ok(RopeScaling::LongRope {
        short: factors("short_factor")?,
        long: factors("long_factor")?,
        attention_factor,
        original_length,
    })
}
