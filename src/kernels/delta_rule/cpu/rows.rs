//! What the delta rule on the CPU computes without matrix products.

use multiversion::multiversion;

use crate::kernels::vector::{LANES, dot};

/// Columns of a triangular system that are solved at a time, in registers.
const COLUMNS: usize = 4 * LANES;

/// Multiplies rows of equal length by a factor each.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
pub(super) fn scale_rows(rows: &mut [f32], factors: &[f32]) {
    let width = rows.len() / factors.len();
    for (row, &factor) in rows.chunks_exact_mut(width).zip(factors) {
        for x in row {
            *x *= factor;
        }
    }
}

/// `weighed = products · weights`, element by element.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
pub(super) fn weigh(products: &[f32], weights: &[f32], weighed: &mut Vec<f32>) {
    weighed.clear();
    weighed.extend(
        products
            .iter()
            .zip(weights)
            .map(|(product, weight)| product * weight),
    );
}

/// Solves `x_i + Σ_(j<i) pairs_ij β_j x_j = x_i given`, row by row, in place, and writes `scaled_i = β_i x_i`.
/// Reversed: the transposed system, `x_i + Σ_(j>i) pairs_ji β_j x_j`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
pub(super) fn substitute(
    pairs: &[f32],
    betas: &[f32],
    x: &mut [f32],
    scaled: &mut [f32],
    reversed: bool,
) {
    let count = betas.len();
    let width = x.len() / count;
    for first in (0..width).step_by(COLUMNS) {
        let columns = COLUMNS.min(width - first);
        for step in 0..count {
            let i = if reversed { count - 1 - step } else { step };
            let mut sums = [0.0_f32; COLUMNS];
            for step in 0..step {
                let (j, pair) = if reversed {
                    let j = count - 1 - step;
                    (j, pairs[j * count + i])
                } else {
                    (step, pairs[i * count + step])
                };
                let at = j * width + first;
                if let Some(row) = scaled.get(at..at + COLUMNS).filter(|_| columns == COLUMNS) {
                    for (sum, &x) in sums.iter_mut().zip(row) {
                        *sum += pair * x;
                    }
                } else {
                    for (sum, &x) in sums.iter_mut().zip(&scaled[at..at + columns]) {
                        *sum += pair * x;
                    }
                }
            }
            let at = i * width + first;
            let rows = x[at..at + columns]
                .iter_mut()
                .zip(&mut scaled[at..at + columns]);
            for ((x, scaled), sum) in rows.zip(sums) {
                *x -= sum;
                *scaled = betas[i] * *x;
            }
        }
    }
}

/// Adds the products of rows of equal length to one sum each.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
pub(super) fn add_row_products(a: &[f32], b: &[f32], sums: &mut [f32]) {
    let width = a.len() / sums.len();
    for ((sum, a), b) in sums
        .iter_mut()
        .zip(a.chunks_exact(width))
        .zip(b.chunks_exact(width))
    {
        *sum += dot(a, b);
    }
}

/// `sum += x`, element by element.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
pub(super) fn add(sum: &mut [f32], x: &[f32]) {
    for (sum, &x) in sum.iter_mut().zip(x) {
        *sum += x;
    }
}

/// Returns `Σ a_i b_i`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
pub(super) fn product(a: &[f32], b: &[f32]) -> f32 {
    dot(a, b)
}

/// Returns the gradients of the chunk's log decays from the derivatives of the loss by the logarithms of its
/// products of decays: of those after token j up to token i `[count, count]`, of those up to each token, of those
/// after each token, and of all.
///
/// A decay is a factor of the products that begin before it and end at or after it. Sums of these alone, without
/// differences, keep the digits of small gradients.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
pub(super) fn decay_gradients(
    between: &[f32],
    since_start: &[f32],
    to_end: &[f32],
    whole: f32,
) -> Vec<f32> {
    let count = since_start.len();
    let mut gradients = vec![0.0; count];
    let mut before = whole;
    for (gradient, of_end) in gradients.iter_mut().zip(to_end) {
        *gradient = before;
        before += of_end;
    }
    let mut columns = vec![0.0; count];
    let mut after = 0.0;
    for k in (0..count).rev() {
        after += since_start[k];
        let row = &between[k * count..k * count + k];
        let mut sum = 0.0;
        for (column, &pair) in columns.iter_mut().zip(row) {
            *column += pair;
            sum += *column;
        }
        gradients[k] += after + sum;
    }
    gradients
}
