//! Row arithmetic that the compiler vectorizes.
//!
//! Sums run in [`LANES`] independent lanes, in an order that is independent of the register width: the
//! same row gives the same bits on every processor.

/// Number of independent partial results of a reduction; a multiple of every vector width in use.
pub(crate) const LANES: usize = 16;

/// Chunks of [`LANES`] that are summed in `f32` before they are added to an `f64` total.
const BLOCK: usize = 16 * LANES;

/// Returns `e^x` for x ≤ 0 within 2 ulp, without branches or calls: 2^n times a polynomial of the rest
/// (n = round(x / ln 2), |rest| ≤ ln 2 / 2; coefficients of the Cephes library's `expf`). Results
/// below the smallest normal number are 0, NaN stays NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOWEST: f32 = -87.336_54; // ln of the smallest normal f32
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x < LOWEST { LOWEST } else { x };
    let rounded = clamped * core::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = 1.987_569_1e-4_f32;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5.000_000_3e-1;
    p = p * r * r + r + 1.0;
    // The low bits of `rounded` are n. A conversion would need a branch for NaN.
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    let value = p * power;
    if x < LOWEST { 0.0 } else { value }
}

/// Returns tanh(x) within 4 ulp, without branches or calls: the rational approximation of the Eigen library.
/// NaN stays NaN.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    const LIMIT: f32 = 7.905_311; // beyond it, the result is 1 in f32
    let clamped = if x > LIMIT { LIMIT } else { x };
    let clamped = if clamped < -LIMIT { -LIMIT } else { clamped };
    let square = clamped * clamped;
    let mut p = -2.760_768_5e-16_f32;
    p = p * square + 2.000_188e-13;
    p = p * square - 8.604_672e-11;
    p = p * square + 5.122_297e-8;
    p = p * square + 1.485_722_4e-5;
    p = p * square + 6.372_619_3e-4;
    p = p * square + 4.893_524_6e-3;
    let mut q = 1.198_258_4e-6_f32;
    q = q * square + 1.185_347_1e-4;
    q = q * square + 2.268_434_6e-3;
    q = q * square + 4.893_525e-3;
    clamped * p / q
}

/// Returns 1 / (1 + e^-x), the logistic function, which does not overflow for any x; mirrors
/// `shaders/shared/sigmoid.wgsl`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let small = exp(-x.abs());
    let of_magnitude = 1.0 / (1.0 + small);
    if x >= 0.0 {
        of_magnitude
    } else {
        small * of_magnitude
    }
}

/// Reduces the lanes as a tree. Not inlined: together with the loop that fills the lanes, LLVM vectorizes
/// pairs of them instead of whole registers (three times slower).
#[inline(never)]
fn fold_lanes(lanes: &mut [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = f(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

fn sum_of_lanes(mut lanes: [f32; LANES]) -> f32 {
    fold_lanes(&mut lanes, |a, b| a + b)
}

/// Returns `Σ a_i b_i` over the length of `a`.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b[..a.len()].as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    for (sum, (a, b)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *sum += a * b;
    }
    sum_of_lanes(sums)
}

/// Returns the largest element; NaN elements are ignored.
#[inline(always)]
pub(crate) fn maximum(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, x);
    }
    fold_lanes(&mut lanes, larger)
}

/// Returns the index of the first element equal to `value`, or 0 if there is none.
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

/// Replaces logits by exp(logit / T - maximum) and returns their sum.
#[inline(always)]
pub(crate) fn exponentiate(row: &mut [f32], maximum: f32, inverse_temperature: f32) -> f64 {
    let mut total = 0.0;
    for block in row.chunks_mut(BLOCK) {
        let mut sums = [0.0_f32; LANES];
        let (chunks, rest) = block.as_chunks_mut::<LANES>();
        for chunk in chunks {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *x = exp(*x * inverse_temperature - maximum);
                *sum += *x;
            }
        }
        for (sum, x) in sums.iter_mut().zip(rest) {
            *x = exp(*x * inverse_temperature - maximum);
            *sum += *x;
        }
        total += f64::from(sum_of_lanes(sums));
    }
    total
}

/// Applies `f` to the elements of two rows of the same length, which it can modify, and returns the sums
/// of the three values that it returns.
#[inline(always)]
pub(crate) fn map_and_sum(
    a: &mut [f32],
    b: &mut [f32],
    f: impl Fn(&mut f32, &mut f32) -> [f32; 3],
) -> [f64; 3] {
    let mut totals = [0.0_f64; 3];
    for (a, b) in a.chunks_mut(BLOCK).zip(b.chunks_mut(BLOCK)) {
        let mut sums = [[0.0_f32; LANES]; 3];
        let (a_chunks, a_rest) = a.as_chunks_mut::<LANES>();
        let (b_chunks, b_rest) = b.as_chunks_mut::<LANES>();
        for (a, b) in a_chunks.iter_mut().zip(b_chunks) {
            for lane in 0..LANES {
                let values = f(&mut a[lane], &mut b[lane]);
                for (sums, value) in sums.iter_mut().zip(values) {
                    sums[lane] += value;
                }
            }
        }
        for (lane, (a, b)) in a_rest.iter_mut().zip(b_rest).enumerate() {
            let values = f(a, b);
            for (sums, value) in sums.iter_mut().zip(values) {
                sums[lane] += value;
            }
        }
        for (total, sums) in totals.iter_mut().zip(sums) {
            *total += f64::from(sum_of_lanes(sums));
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
            assert!(
                error <= expected * 2.0 * f64::from(f32::EPSILON),
                "x = {x}: {error:e}"
            );
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
    fn tanh_is_within_four_ulp() {
        for step in 0..400_000_i32 {
            let x = (step - 200_000) as f32 / 20_000.0;
            let expected = f64::from(x).tanh();
            let error = (f64::from(tanh(x)) - expected).abs();
            assert!(
                error <= expected.abs() * 4.0 * f64::from(f32::EPSILON),
                "x = {x}: {error:e}"
            );
        }
        assert!((tanh(1e-30) / 1e-30 - 1.0).abs() < 1e-6);
        assert_eq!(tanh(f32::INFINITY), 1.0);
        assert_eq!(tanh(f32::NEG_INFINITY), -1.0);
        assert!(tanh(f32::NAN).is_nan());
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
