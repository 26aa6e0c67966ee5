//! Row arithmetic that the compiler can turn into vector instructions.
//!
//! Sums run in [`LANES`] independent lanes, in an order that does not depend on the width of the
//! machine's registers: the same row gives the same bits on every processor.

/// Independent partial results of a reduction; a multiple of every vector width in use.
pub(crate) const LANES: usize = 16;

/// Chunks of [`LANES`] that are summed in `f32` before they are added to an `f64` total.
const BLOCK: usize = 16 * LANES;

/// `e^x` for x ≤ 0 within 2 ulp, without a branch or a call: 2^n times a polynomial for the rest
/// (n = round(x / ln 2), |rest| ≤ ln 2 / 2; coefficients of the Cephes library's `expf`). Results
/// below the smallest normal number are 0, NaN stays NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOWEST: f32 = -87.336_54; // ln of the smallest normal f32
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x < LOWEST { LOWEST } else { x };
    let n = clamped * core::f32::consts::LOG2_E + ROUND - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = 1.987_569_1e-4_f32;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5.000_000_3e-1;
    p = p * r * r + r + 1.0;
    // SAFETY of range: n is in [-126, 0] (or garbage for NaN, where p is NaN and stays it).
    #[allow(clippy::cast_possible_truncation)]
    let power = f32::from_bits((((n as i32) + 127) << 23) as u32);
    let value = p * power;
    if x < LOWEST { 0.0 } else { value }
}

/// The largest element; NaN elements are passed over.
#[inline(always)]
pub(crate) fn maximum(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The index of the first element equal to `value`, or 0 if there is none.
#[inline(always)]
pub(crate) fn first_index_of(row: &[f32], value: f32) -> usize {
    for (block, chunk) in row.chunks(BLOCK).enumerate() {
        if chunk.iter().fold(false, |found, &x| found | (x == value))
            && let Some(index) = chunk.iter().position(|&x| x == value)
        {
            return block * BLOCK + index;
        }
    }
    0
}

/// Overwrites logits by exp(logit / T - maximum) and returns their sum.
#[inline(always)]
pub(crate) fn exponentiate(row: &mut [f32], maximum: f32, inverse_temperature: f32) -> f64 {
    let mut total = 0.0;
    for block in row.chunks_mut(BLOCK) {
        let mut sums = [0.0_f32; LANES];
        for chunk in block.chunks_mut(LANES) {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *x = exp(*x * inverse_temperature - maximum);
                *sum += *x;
            }
        }
        total += f64::from(sums.iter().sum::<f32>());
    }
    total
}

/// Lets `f` rewrite two rows of the same length element by element, and returns the sums of the
/// three values that it yields for each.
#[inline(always)]
pub(crate) fn map_and_sum(
    a: &mut [f32],
    b: &mut [f32],
    f: impl Fn(&mut f32, &mut f32) -> [f32; 3],
) -> [f64; 3] {
    let mut totals = [0.0_f64; 3];
    for (a, b) in a.chunks_mut(BLOCK).zip(b.chunks_mut(BLOCK)) {
        let mut sums = [[0.0_f32; LANES]; 3];
        for (a, b) in a.chunks_mut(LANES).zip(b.chunks_mut(LANES)) {
            for (lane, (a, b)) in a.iter_mut().zip(b).enumerate() {
                let values = f(a, b);
                for (sums, value) in sums.iter_mut().zip(values) {
                    sums[lane] += value;
                }
            }
        }
        for (total, sums) in totals.iter_mut().zip(sums) {
            *total += f64::from(sums.iter().sum::<f32>());
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_ulp_for_negative_numbers() {
        for step in 0..200_000_u32 {
            let x = -(step as f32) * 87.3 / 200_000.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs();
            assert!(error <= expected * 2.0 * f64::from(f32::EPSILON), "x = {x}: {error:e}");
        }
    }

    #[test]
    fn exp_of_extremes() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1e30), 0.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn reductions_cover_every_length() {
        for length in 1..600 {
            let mut row: Vec<f32> = (0..length).map(|i| ((i * 37) % 101) as f32).collect();
            let largest = maximum(&row);
            assert_eq!(largest, row.iter().copied().fold(0.0, f32::max));
            assert_eq!(
                first_index_of(&row, largest),
                row.iter().position(|&x| x == largest).unwrap()
            );
            let expected: f64 = row.iter().copied().map(f64::from).sum();
            let mut other = row.clone();
            let [sum, doubled, none] = map_and_sum(&mut row, &mut other, |a, b| {
                let values = [*a, 2.0 * *b, 0.0];
                *a = -1.0;
                values
            });
            assert_eq!((sum, doubled, none), (expected, 2.0 * expected, 0.0));
            assert!(row.iter().all(|&x| x == -1.0));
        }
    }
}
