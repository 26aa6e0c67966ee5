//! What attention on the CPU computes for the keys of one query.

use multiversion::multiversion;

use crate::kernels::soft_cap::{slope, soft_capped};
use crate::kernels::vector::{dot, exponentiate, maximum};

/// Replaces the products of a query with its keys by scores with a soft cap.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
pub(super) fn cap_scores(products: &mut [f32], scale: f32, cap: f32) {
    for product in products {
        *product = soft_capped(*product * scale, cap);
    }
}

/// Computes the derivatives of scores with a soft cap by the scaled products.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
pub(super) fn slopes_of(scores: &[f32], slopes: &mut [f32], cap: f32) {
    for (slope_of, &score) in slopes.iter_mut().zip(scores) {
        *slope_of = slope(score, cap);
    }
}

/// Replaces the scores of a query by its attention weights.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
pub(super) fn normalize(scores: &mut [f32], (first, end): (usize, usize), scale: f32) {
    scores[..first].fill(0.0);
    scores[end..].fill(0.0);
    let seen = &mut scores[first..end];
    let inverse = softmax_weights(seen, scale);
    for weight in seen {
        *weight *= inverse;
    }
}

/// Replaces the gradients of a query's attention weights by those of its scores: a weight times the gradient's
/// deviation from its mean.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
pub(super) fn score_gradients(
    weights: &[f32],
    gradients: &mut [f32],
    (first, end): (usize, usize),
    scale: f32,
) {
    gradients[..first].fill(0.0);
    gradients[end..].fill(0.0);
    let (weights, gradients) = (&weights[first..end], &mut gradients[first..end]);
    let mean = dot(weights, gradients);
    for (gradient, &weight) in gradients.iter_mut().zip(weights) {
        *gradient = weight * (*gradient - mean) * scale;
    }
}

/// Computes the scores of a query with keys in rows of that length.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
pub(super) fn scores_of(query: &[f32], keys: &[f32], row: usize, scores: &mut [f32]) {
    for (score, key) in scores.iter_mut().zip(keys.chunks(row)) {
        *score = dot(query, &key[..query.len()]);
    }
}

/// `out = factor · Σ weights_i · row_i`, for rows of that length.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
pub(super) fn combine(weights: &[f32], factor: f32, values: &[f32], row: usize, out: &mut [f32]) {
    for (&weight, values) in weights.iter().zip(values.chunks(row)) {
        for (out, &value) in out.iter_mut().zip(values) {
            *out += factor * weight * value;
        }
    }
}

/// Replaces scores by exp(score - largest score) and returns the reciprocal of their sum.
#[inline(always)]
pub(super) fn softmax_weights(scores: &mut [f32], scale: f32) -> f32 {
    let largest = maximum(scores) * scale;
    (1.0 / exponentiate(scores, largest, scale)) as f32
}
