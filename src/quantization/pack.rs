//! Values to blocks, bit for bit as `gguf.quants` of gguf-py packs them.

use half::{bf16, f16};

use super::WeightType;

/// Packs whole blocks of a type and appends them.
///
/// # Panics
///
/// If values cannot be stored in the type.
pub(super) fn pack(kind: WeightType, values: &[f32], bytes: &mut Vec<u8>) {
    bytes.reserve(values.len() / kind.block() * kind.block_bytes());
    match kind {
        WeightType::Float32 => values
            .iter()
            .for_each(|value| bytes.extend(value.to_le_bytes())),
        WeightType::Float16 => values
            .iter()
            .for_each(|&value| bytes.extend(f16::from_f32(value).to_le_bytes())),
        WeightType::Bfloat16 => values
            .iter()
            .for_each(|&value| bytes.extend(bf16::from_f32(value).to_le_bytes())),
        WeightType::Q8_0 => values.as_chunks().0.iter().for_each(|b| q8_0(b, bytes)),
        WeightType::Q4_0 => values.as_chunks().0.iter().for_each(|b| q4_0(b, bytes)),
        other => unreachable!("{other} cannot be written"),
    }
}

/// Returns 1 / d, or 0 for a block of zeros.
fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

fn q8_0(values: &[f32; 32], bytes: &mut Vec<u8>) {
    let largest = values.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
    let d = largest / 127.0;
    let inverse = inverse(d);
    bytes.extend(f16::from_f32(d).to_le_bytes());
    // Halves are rounded away from zero.
    bytes.extend(values.map(|value| (value * inverse).round() as i8 as u8));
}

fn q4_0(values: &[f32; 32], bytes: &mut Vec<u8>) {
    // The first of the largest magnitude, with its sign.
    let largest = values
        .iter()
        .fold(0.0_f32, |a, &b| if b.abs() > a.abs() { b } else { a });
    let d = largest / -8.0;
    let inverse = inverse(d);
    bytes.extend(f16::from_f32(d).to_le_bytes());
    let quant = |value: f32| ((value * inverse + 8.5) as u8).min(15);
    for j in 0..16 {
        bytes.push(quant(values[j]) | quant(values[j + 16]) << 4);
    }
}
