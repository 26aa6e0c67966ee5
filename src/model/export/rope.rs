//! Rotary embeddings in the metadata of a GGUF file.

use crate::gguf::write::MetadataList;
use crate::model::rope_scaling::RopeScaling;
use crate::model::rotary::Rotary;

/// YaRN's bounds where a file names none.
const FAST_ROTATIONS: f64 = 32.0;
const SLOW_ROTATIONS: f64 = 1.0;
/// The divisor of frequencies by which nothing is rotated, as llama.cpp's converter writes it.
const UNROTATED: f32 = 1e30;

/// Adds the scaling of a rotary embedding. Returns the divisors of its frequencies, for the tensor that holds
/// them, if that is how llama.cpp scales them.
///
/// # Errors
///
/// The name of a scaling that llama.cpp does not have.
pub(super) fn add(
    rotary: &Rotary,
    architecture: &str,
    list: &mut MetadataList,
) -> Result<Option<Vec<f32>>, String> {
    let key = |name: &str| format!("{architecture}.rope.scaling.{name}");
    match &rotary.scaling {
        // Files of this architecture always have the tensor.
        RopeScaling::None
        | RopeScaling::Linear { .. }
        | RopeScaling::Llama3 { .. }
        | RopeScaling::Proportional { .. }
            if architecture == "gemma4" =>
        {
            return Ok(Some(divisors(rotary)));
        }
        RopeScaling::None => {}
        RopeScaling::Linear { factor } => {
            list.add(key("type"), "linear");
            list.add(key("factor"), *factor as f32);
        }
        RopeScaling::Llama3 { .. } if architecture == "llama" => {
            return Ok(Some(divisors(rotary)));
        }
        RopeScaling::Proportional { .. } => return Err("proportional".to_string()),
        RopeScaling::Yarn {
            factor,
            attention_factor,
            fast_rotations,
            slow_rotations,
            truncate: true,
            original_length,
        } => {
            list.add(key("type"), "yarn");
            list.add(key("factor"), *factor as f32);
            list.add(key("original_context_length"), *original_length as u32);
            // llama.cpp multiplies by the usual factor by itself.
            let usual = if *factor > 1.0 {
                0.1 * factor.ln() + 1.0
            } else {
                1.0
            };
            if (attention_factor - usual).abs() > 1e-6 {
                list.add(key("attn_factor"), (attention_factor / usual) as f32);
            }
            for (name, value, default) in [
                ("yarn_beta_fast", *fast_rotations, FAST_ROTATIONS),
                ("yarn_beta_slow", *slow_rotations, SLOW_ROTATIONS),
            ] {
                if value != default {
                    list.add(key(name), value as f32);
                }
            }
        }
        RopeScaling::Yarn { .. } => return Err("yarn without truncated bounds".to_string()),
        RopeScaling::Llama3 { .. } => return Err("llama3".to_string()),
        RopeScaling::Dynamic { .. } => return Err("dynamic".to_string()),
        RopeScaling::LongRope { .. } => return Err("longrope".to_string()),
    }
    Ok(None)
}

/// Returns by what a scaling divides each frequency.
fn divisors(rotary: &Rotary) -> Vec<f32> {
    let [plain, scaled] = [&RopeScaling::None, &rotary.scaling]
        .map(|scaling| scaling.frequencies(rotary.size, rotary.theta, 1));
    let pairs = plain.into_iter().zip(scaled);
    let divisor = |(plain, scaled): (f64, f64)| match scaled {
        0.0 => UNROTATED,
        _ => (plain / scaled) as f32,
    };
    pairs.map(divisor).collect()
}
