//! The scaling of rotary frequencies, as the fields of `config.json` describe it.

use std::f64::consts::TAU;

use serde_json::{Value, json};

use super::metadata::Metadata;
use crate::error::Result;

/// Llama 3's scaling, as all of its models have it: the bounds of the frequencies that are interpolated.
const LOW_FREQUENCY: f64 = 1.0;
const HIGH_FREQUENCY: f64 = 4.0;
const ORIGINAL_LENGTH: f64 = 8192.0;

/// Settings of YaRN that llama.cpp reads, and the values for which `config.json` has no field.
const FIXED: [(&str, f64); 4] = [
    ("attn_factor", 1.0),
    ("yarn_attn_factor", 1.0),
    ("yarn_ext_factor", 1.0),
    ("yarn_log_multiplier", 0.0),
];

/// Returns `rope_scaling` of `config.json`: null, or an object.
///
/// `factors` are those of the tensor `rope_freqs.weight`, if the file has it.
pub(super) fn scaling(
    metadata: &Metadata,
    architecture: &str,
    (head_size, theta): (usize, f64),
    factors: Option<Vec<f32>>,
) -> Result<Value> {
    let key = |name: &str| format!("{architecture}.rope.scaling.{name}");
    let kind = metadata.text(&key("type"))?;
    let mut factor = metadata.float(&key("factor"))?;
    let mut kind = kind.unwrap_or("none");
    // The name of the factor in the first GGUF files.
    if let Some(linear) = metadata.float(&format!("{architecture}.rope.scale_linear"))?
        && linear != 1.0
    {
        (kind, factor) = ("linear", Some(linear));
    }
    for (name, expected) in FIXED {
        let found = metadata.float(&key(name))?;
        if found.is_some_and(|found| found != expected && found != 0.0) {
            let found = found.unwrap_or_default();
            return Err(metadata.fault(format!(
                "metadata {} is {found}: unsupported, expected {expected}",
                key(name)
            )));
        }
    }
    if let Some(factors) = factors {
        if !matches!(kind, "none" | "linear") || factor.is_some_and(|factor| factor != 1.0) {
            return Err(metadata.fault(format!(
                "both rope_freqs.weight and a RoPE scaling of type {kind}: expected one of them"
            )));
        }
        return by_factors(metadata, (head_size, theta), factors);
    }
    let factor = || {
        factor.ok_or_else(|| {
            metadata.fault(format!(
                "metadata {} is missing: expected a float",
                key("factor")
            ))
        })
    };
    Ok(match kind {
        "none" => Value::Null,
        "linear" => match factor()? {
            1.0 => Value::Null,
            factor => json!({"rope_type": "linear", "factor": factor}),
        },
        "yarn" => {
            let length = metadata.size(&key("original_context_length"))?;
            let mut scaling = json!({"rope_type": "yarn", "factor": factor()?});
            for (field, value) in [
                ("original_max_position_embeddings", length.map(Value::from)),
                ("beta_fast", number(metadata.float(&key("yarn_beta_fast"))?)),
                ("beta_slow", number(metadata.float(&key("yarn_beta_slow"))?)),
            ] {
                if let Some(value) = value {
                    scaling[field] = value;
                }
            }
            scaling
        }
        other => {
            return Err(metadata.fault(format!(
                "metadata {} is {other:?}: expected none, linear or yarn",
                key("type")
            )));
        }
    })
}

/// Returns a number as JSON, if it is one.
fn number(found: Option<f64>) -> Option<Value> {
    found.map(Value::from)
}

/// Returns the scaling with a factor per frequency: as Llama 3's settings if they give the same factors, else
/// the factors themselves.
fn by_factors(
    metadata: &Metadata,
    (head_size, theta): (usize, f64),
    factors: Vec<f32>,
) -> Result<Value> {
    if factors.len() != head_size / 2
        || factors
            .iter()
            .any(|factor| !(*factor > 0.0 && factor.is_finite()))
    {
        return Err(metadata.fault(format!(
            "rope_freqs.weight has {} values: expected {} numbers above 0, one per rotated pair",
            factors.len(),
            head_size / 2
        )));
    }
    if factors.iter().all(|&factor| factor == 1.0) {
        return Ok(Value::Null);
    }
    let largest = factors.iter().copied().fold(0.0_f32, f32::max);
    let expected = |pair: usize| {
        let frequency = theta.powf(-2.0 * pair as f64 / head_size as f64);
        let rotations = ORIGINAL_LENGTH * frequency / TAU;
        let kept = (rotations - LOW_FREQUENCY) / (HIGH_FREQUENCY - LOW_FREQUENCY);
        let kept = kept.clamp(0.0, 1.0);
        1.0 / ((1.0 - kept) / f64::from(largest) + kept)
    };
    let equal = |(pair, &factor): (usize, &f32)| {
        let expected = expected(pair);
        // The factors were computed in float32, from float32 frequencies.
        (f64::from(factor) - expected).abs() <= 1e-4 * expected
    };
    if factors.iter().enumerate().all(equal) {
        return Ok(json!({
            "rope_type": "llama3", "factor": largest, "low_freq_factor": LOW_FREQUENCY,
            "high_freq_factor": HIGH_FREQUENCY, "original_max_position_embeddings": ORIGINAL_LENGTH as u64,
        }));
    }
    Ok(json!({
        "rope_type": "longrope", "short_factor": factors, "long_factor": factors, "factor": 1.0,
        "attention_factor": 1.0, "original_max_position_embeddings": ORIGINAL_LENGTH as u64,
    }))
}
