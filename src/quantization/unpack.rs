//! Blocks to values. The layouts are those of ggml's `block_…` structs; scales are float16.

use multiversion::multiversion;
use multiversion::target::target_cfg_f;

use super::WeightType;
use super::prefetch::prefetch_after;

/// Independent partial sums.
const LANES: usize = 16;
/// Defines [`unpack`] and [`dot`] from the functions that unpack one block of each type. Floats come in groups,
/// the last of which may be shorter.
///
/// A macro instead of a generic function, since calls through `Fn` are not always inlined, and a function that
/// is not has none of the instruction sets that its caller is compiled for.
macro_rules! for_types {
    ($($kind:ident: $block:ident,)*) => {
        /// Unpacks whole blocks of a type.
        pub(super) fn unpack(kind: WeightType, bytes: &[u8], values: &mut [f32]) {
            match kind {
                $(WeightType::$kind => {
                    #[multiversion(targets(
                        "x86_64+avx+avx2+avx512f+avx512vl+avx512bw+avx512dq+bmi1+bmi2+f16c+fma",
                        "x86_64+avx+avx2+bmi1+bmi2+f16c+fma",
                        "aarch64+neon"
                    ))]
                    fn of_type(bytes: &[u8], values: &mut [f32]) {
                        let (blocks, rest) = bytes.as_chunks();
                        let (groups, single) = values.as_chunks_mut();
                        for (block, values) in blocks.iter().zip(&mut *groups) {
                            $block(block, values);
                        }
                        if !single.is_empty() {
                            let mut unpacked = like(groups);
                            $block(&padded(rest), &mut unpacked);
                            single.copy_from_slice(&unpacked[..single.len()]);
                        }
                    }
                    of_type(bytes, values);
                })*
            }
        }

        /// Returns the sum of the products of whole blocks and as many values.
        pub(super) fn dot(kind: WeightType, bytes: &[u8], values: &[f32]) -> f32 {
            match kind {
                $(WeightType::$kind => {
                    #[multiversion(targets(
                        "x86_64+avx+avx2+avx512f+avx512vl+avx512bw+avx512dq+bmi1+bmi2+f16c+fma",
                        "x86_64+avx+avx2+bmi1+bmi2+f16c+fma",
                        "aarch64+neon"
                    ))]
                    fn of_type(bytes: &[u8], values: &[f32]) -> f32 {
                        let (blocks, rest) = bytes.as_chunks();
                        let (groups, single) = values.as_chunks();
                        let mut sums = [0.0_f32; LANES];
                        for (block, values) in blocks.iter().zip(groups) {
                            prefetch_after(block);
                            let mut unpacked = like(groups);
                            $block(block, &mut unpacked);
                            let (unpacked, _) = unpacked.as_chunks::<LANES>();
                            let (values, _) = values.as_chunks::<LANES>();
                            for (unpacked, values) in unpacked.iter().zip(values) {
                                for lane in 0..LANES {
                                    // As a function, it would be far slower than a product and a sum.
                                    sums[lane] = if cfg!(target_arch = "aarch64")
                                        || target_cfg_f!(target_feature = "fma")
                                    {
                                        unpacked[lane].mul_add(values[lane], sums[lane])
                                    } else {
                                        unpacked[lane] * values[lane] + sums[lane]
                                    };
                                }
                            }
                        }
                        let mut tail = 0.0;
                        if !single.is_empty() {
                            let mut unpacked = like(groups);
                            $block(&padded(rest), &mut unpacked);
                            for (unpacked, value) in unpacked.iter().zip(single) {
                                tail += unpacked * value;
                            }
                        }
                        tail + sum_of_lanes(sums)
                    }
                    of_type(bytes, values)
                })*
            }
        }
    };
}

for_types! {
    Float32: float32,
    Float16: float16,
    Bfloat16: bfloat16,
    Q8_0: q8_0,
    Q4_0: q4_0,
    Q4_1: q4_1,
    Q5_0: q5_0,
    Q5_1: q5_1,
    Q2_K: q2_k,
    Q3_K: q3_k,
    Q4_K: q4_k,
    Q5_K: q5_k,
    Q6_K: q6_k,
    Iq4Nl: iq4_nl,
    Iq4Xs: iq4_xs,
    Mxfp4: mxfp4,
}

/// Zeros for a group of as many values as these have.
#[inline(always)]
fn like<const VALUES: usize>(_: &[[f32; VALUES]]) -> [f32; VALUES] {
    [0.0; VALUES]
}

#[inline(always)]
fn padded<const BYTES: usize>(bytes: &[u8]) -> [u8; BYTES] {
    let mut group = [0; BYTES];
    group[..bytes.len()].copy_from_slice(bytes);
    group
}

/// Not inlined: together with the loop that fills the lanes, LLVM does not keep them in whole registers.
#[inline(never)]
fn sum_of_lanes(mut lanes: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    lanes[0]
}

#[inline(always)]
fn scale(bytes: &[u8], at: usize) -> f32 {
    float16_number([bytes[at], bytes[at + 1]])
}

/// Returns a float16 number by its bits, which the compiler vectorizes and `half` asks for the processor's features for:
/// exponent and fraction move to their places in a float32, and a factor corrects the bias of the exponent, also of
/// subnormal numbers. Infinity and NaN get their exponent.
#[inline(always)]
fn float16_number(bytes: [u8; 2]) -> f32 {
    /// 2^112, the ratio of the two biases.
    const REBIAS: f32 = f32::from_bits((127 + 112) << 23);
    let bits = u32::from(u16::from_le_bytes(bytes));
    let magnitude = (bits & 0x7fff) << 13;
    let rebiased = f32::from_bits(magnitude) * REBIAS;
    let special = if magnitude >= 0x7c00 << 13 {
        0xff << 23
    } else {
        0
    };
    f32::from_bits(rebiased.to_bits() | special | (bits & 0x8000) << 16)
}

#[inline(always)]
fn float32(group: &[u8; 64], values: &mut [f32; 16]) {
    for (value, bytes) in values.iter_mut().zip(group.as_chunks().0) {
        *value = f32::from_le_bytes(*bytes);
    }
}

#[inline(always)]
fn float16(group: &[u8; 32], values: &mut [f32; 16]) {
    for (value, bytes) in values.iter_mut().zip(group.as_chunks().0) {
        *value = float16_number(*bytes);
    }
}

#[inline(always)]
fn bfloat16(group: &[u8; 32], values: &mut [f32; 16]) {
    for (value, bytes) in values.iter_mut().zip(group.as_chunks().0) {
        *value = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
    }
}

#[inline(always)]
fn q8_0(block: &[u8; 34], values: &mut [f32; 32]) {
    let d = scale(block, 0);
    for (value, &byte) in values.iter_mut().zip(&block[2..]) {
        *value = f32::from(byte as i8) * d;
    }
}

#[inline(always)]
fn q4_0(block: &[u8; 18], values: &mut [f32; 32]) {
    let d = scale(block, 0);
    for (j, &byte) in block[2..].iter().enumerate() {
        values[j] = (i32::from(byte & 15) - 8) as f32 * d;
        values[j + 16] = (i32::from(byte >> 4) - 8) as f32 * d;
    }
}

#[inline(always)]
fn q4_1(block: &[u8; 20], values: &mut [f32; 32]) {
    let (d, m) = (scale(block, 0), scale(block, 2));
    for (j, &byte) in block[4..].iter().enumerate() {
        values[j] = f32::from(byte & 15) * d + m;
        values[j + 16] = f32::from(byte >> 4) * d + m;
    }
}

/// The fifth bits of 32 values.
#[inline(always)]
fn high_bits(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

#[inline(always)]
fn q5_0(block: &[u8; 22], values: &mut [f32; 32]) {
    let (d, high) = (scale(block, 0), high_bits(block, 2));
    for (j, &byte) in block[6..].iter().enumerate() {
        let low = u32::from(byte & 15) | ((high >> j) & 1) << 4;
        let top = u32::from(byte >> 4) | ((high >> (j + 16)) & 1) << 4;
        values[j] = (low as i32 - 16) as f32 * d;
        values[j + 16] = (top as i32 - 16) as f32 * d;
    }
}

#[inline(always)]
fn q5_1(block: &[u8; 24], values: &mut [f32; 32]) {
    let (d, m, high) = (scale(block, 0), scale(block, 2), high_bits(block, 4));
    for (j, &byte) in block[8..].iter().enumerate() {
        let low = u32::from(byte & 15) | ((high >> j) & 1) << 4;
        let top = u32::from(byte >> 4) | ((high >> (j + 16)) & 1) << 4;
        values[j] = low as f32 * d + m;
        values[j + 16] = top as f32 * d + m;
    }
}

#[inline(always)]
fn q2_k(block: &[u8; 84], values: &mut [f32; 256]) {
    let (scales, quants) = (&block[..16], &block[16..80]);
    let (d, minimum) = (scale(block, 80), scale(block, 82));
    for (part, values) in values.chunks_exact_mut(16).enumerate() {
        let factor = d * f32::from(scales[part] & 15);
        let offset = minimum * f32::from(scales[part] >> 4);
        // Each half of the block has 32 bytes, and two parts of each pair of bits in them.
        let bytes = &quants[part / 8 * 32 + part % 2 * 16..][..16];
        let shift = part % 8 / 2 * 2;
        for (value, &byte) in values.iter_mut().zip(bytes) {
            *value = factor * f32::from((byte >> shift) & 3) - offset;
        }
    }
}

#[inline(always)]
fn q3_k(block: &[u8; 110], values: &mut [f32; 256]) {
    let (mask, quants, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let d = scale(block, 108);
    for (part, values) in values.chunks_exact_mut(16).enumerate() {
        // Scales of six bits: the low four in eight bytes, the high two in four.
        let low = if part < 8 {
            scales[part] & 15
        } else {
            scales[part - 8] >> 4
        };
        let high = (scales[8 + part % 4] >> (part / 4 * 2)) & 3;
        let factor = d * (i32::from(low | high << 4) - 32) as f32;
        let bytes = &quants[part / 8 * 32 + part % 2 * 16..][..16];
        let masks = &mask[part % 2 * 16..][..16];
        let shift = part % 8 / 2 * 2;
        for ((value, &byte), &mask) in values.iter_mut().zip(bytes).zip(masks) {
            let high = i32::from((mask >> (part / 2)) & 1);
            *value = factor * (i32::from((byte >> shift) & 3) - 4 * (1 - high)) as f32;
        }
    }
}

/// Scale and minimum of a part of a Q4_K or Q5_K block, six bits each in twelve bytes.
#[inline(always)]
fn scale_and_minimum(scales: &[u8], part: usize) -> (f32, f32) {
    let (scale, minimum) = if part < 4 {
        (scales[part] & 63, scales[part + 4] & 63)
    } else {
        (
            scales[part + 4] & 15 | scales[part - 4] >> 6 << 4,
            scales[part + 4] >> 4 | scales[part] >> 6 << 4,
        )
    };
    (f32::from(scale), f32::from(minimum))
}

#[inline(always)]
fn q4_k(block: &[u8; 144], values: &mut [f32; 256]) {
    let (d, minimum) = (scale(block, 0), scale(block, 2));
    let (scales, quants) = (&block[4..16], &block[16..]);
    for (part, values) in values.chunks_exact_mut(32).enumerate() {
        let (factor, offset) = scale_and_minimum(scales, part);
        let (factor, offset) = (d * factor, minimum * offset);
        let shift = part % 2 * 4;
        for (value, &byte) in values.iter_mut().zip(&quants[part / 2 * 32..][..32]) {
            *value = factor * f32::from((byte >> shift) & 15) - offset;
        }
    }
}

#[inline(always)]
fn q5_k(block: &[u8; 176], values: &mut [f32; 256]) {
    let (d, minimum) = (scale(block, 0), scale(block, 2));
    let (scales, high, quants) = (&block[4..16], &block[16..48], &block[48..]);
    for (part, values) in values.chunks_exact_mut(32).enumerate() {
        let (factor, offset) = scale_and_minimum(scales, part);
        let (factor, offset) = (d * factor, minimum * offset);
        let shift = part % 2 * 4;
        let bytes = &quants[part / 2 * 32..][..32];
        for ((value, &byte), &high) in values.iter_mut().zip(bytes).zip(high) {
            let quant = (byte >> shift) & 15 | ((high >> part) & 1) << 4;
            *value = factor * f32::from(quant) - offset;
        }
    }
}

#[inline(always)]
fn q6_k(block: &[u8; 210], values: &mut [f32; 256]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = scale(block, 208);
    for (part, values) in values.chunks_exact_mut(32).enumerate() {
        // Each half of the block has four parts: two in the low and two in the high nibbles of 64 bytes.
        let (half, quarter) = (part / 4, part % 4);
        let low = &low[half * 64 + quarter % 2 * 32..][..32];
        let high = &high[half * 32..][..32];
        let factors = [0, 1].map(|i| d * f32::from(scales[2 * part + i] as i8));
        let (low_shift, high_shift) = (quarter / 2 * 4, quarter * 2);
        for (j, value) in values.iter_mut().enumerate() {
            let quant = (low[j] >> low_shift) & 15 | ((high[j] >> high_shift) & 3) << 4;
            *value = factors[j / 16] * (i32::from(quant) - 32) as f32;
        }
    }
}

/// Values of the four-bit types with a table.
const TABLE: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];
/// Twice the values of the four-bit float E2M1.
const DOUBLED_E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Unpacks 32 nibbles that select from a table.
#[inline(always)]
fn looked_up(quants: &[u8], table: &[i8; 16], factor: f32, values: &mut [f32]) {
    for (j, &byte) in quants.iter().enumerate() {
        values[j] = factor * f32::from(table[usize::from(byte & 15)]);
        values[j + 16] = factor * f32::from(table[usize::from(byte >> 4)]);
    }
}

#[inline(always)]
fn iq4_nl(block: &[u8; 18], values: &mut [f32; 32]) {
    looked_up(&block[2..], &TABLE, scale(block, 0), values);
}

#[inline(always)]
fn iq4_xs(block: &[u8; 136], values: &mut [f32; 256]) {
    let d = scale(block, 0);
    let high = u16::from_le_bytes([block[2], block[3]]);
    let (low, quants) = (&block[4..8], &block[8..]);
    for (part, values) in values.chunks_exact_mut(32).enumerate() {
        let low = (low[part / 2] >> (part % 2 * 4)) & 15;
        let high = (high >> (2 * part)) as u8 & 3;
        let factor = d * (i32::from(low | high << 4) - 32) as f32;
        looked_up(&quants[part * 16..][..16], &TABLE, factor, values);
    }
}

#[inline(always)]
fn mxfp4(block: &[u8; 17], values: &mut [f32; 32]) {
    // The exponent is biased by 127; the table is doubled.
    let factor = match block[0] {
        exponent @ (0 | 1) => f32::from_bits(0x0020_0000 << exponent),
        exponent => f32::from_bits(u32::from(exponent - 1) << 23),
    };
    looked_up(&block[1..], &DOUBLED_E2M1, factor, values);
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    #[test]
    fn scales_are_every_float16_number() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (scale(&bits.to_le_bytes(), 0), f16::from_bits(bits).to_f32());
            let equal =
                found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(equal, "{bits:#06x}: {found}, not {expected}");
        }
    }
}
