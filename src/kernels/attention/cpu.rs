//! Attention on the CPU; mirrors `forward.wgsl`, `query_gradient.wgsl` and `key_gradient.wgsl` of
//! `shaders/attention/`, and `shape.rs` their shared pieces.
//!
//! A task has one key head of one sample and the query heads that it serves. Keys and values are
//! transposed first, so that every inner loop runs over consecutive positions. Both gradients are
//! computed in one pass. The order of every sum is independent of the number of threads.

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use multiversion::multiversion;
use rayon::prelude::*;

use super::shape::AttentionShape;
use super::{AttentionBackend, AttentionMask};
use crate::kernels::flex_tensor;
use crate::kernels::vector::{dot, exponentiate, maximum};

impl AttentionBackend for Flex {
    fn causal_attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        scale: f32,
        mask: AttentionMask,
    ) -> FlexTensor {
        let shape = AttentionShape::new(&query, &key, mask);
        let (query, key, value) = (
            query.to_contiguous(),
            key.to_contiguous(),
            value.to_contiguous(),
        );
        let out = attention(
            query.storage(),
            key.storage(),
            value.storage(),
            &shape,
            scale,
        );
        flex_tensor(out, query.shape())
    }

    fn causal_attention_backward(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        scale: f32,
        mask: AttentionMask,
        upstream: FlexTensor,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let shape = AttentionShape::new(&query, &key, mask);
        let (query, key, value, upstream) = (
            query.to_contiguous(),
            key.to_contiguous(),
            value.to_contiguous(),
            upstream.to_contiguous(),
        );
        let [grad_query, grad_key, grad_value] = attention_backward(
            query.storage(),
            key.storage(),
            value.storage(),
            upstream.storage(),
            &shape,
            scale,
        );
        (
            flex_tensor(grad_query, query.shape()),
            flex_tensor(grad_key, key.shape()),
            flex_tensor(grad_value, value.shape()),
        )
    }
}

/// Causal attention; the result has the query's shape. Scores are held one row at a time.
fn attention(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    shape: &AttentionShape,
    scale: f32,
) -> Vec<f32> {
    let few = shape.length <= FEW_QUERIES;
    let parts: Vec<Vec<f32>> = shape
        .tasks()
        .map(|(batch, key_head)| {
            if few {
                return few_queries_of_head(query, key, value, shape, [batch, key_head], scale);
            }
            let key = shape.transposed(key, batch, key_head);
            let value = shape.transposed(value, batch, key_head);
            attention_of_head(query, &key, &value, shape, [batch, key_head], scale)
        })
        .collect();
    shape.ungrouped(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn attention_of_head(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    shape: &AttentionShape,
    [batch, key_head]: [usize; 2],
    scale: f32,
) -> Vec<f32> {
    let &AttentionShape {
        length,
        key_length,
        size,
        ..
    } = shape;
    let mut out = vec![0.0; shape.group() * length * size];
    let mut weights = vec![0.0; key_length];
    for (row, out) in out.chunks_exact_mut(size).enumerate() {
        let (head, position) = (key_head * shape.group() + row / length, row % length);
        let at = shape.query_at(batch, position, head);
        let seen = shape.seen(batch, position);
        let weights = &mut weights[..seen.len()];
        combine_rows(
            &query[at..at + size],
            &key[seen.start..],
            key_length,
            weights,
        );
        let inverse = softmax_weights(weights, scale);
        for (out, value) in out.iter_mut().zip(value.chunks_exact(key_length)) {
            *out = inverse * dot(weights, &value[seen.clone()]);
        }
    }
    out
}

/// Queries up to which keys and values are read where they are, as when a text is generated: transposing them
/// would take longer than the attention itself.
const FEW_QUERIES: usize = 4;

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn few_queries_of_head(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    shape: &AttentionShape,
    [batch, key_head]: [usize; 2],
    scale: f32,
) -> Vec<f32> {
    let &AttentionShape { length, size, .. } = shape;
    let mut out = vec![0.0; shape.group() * length * size];
    let mut weights = vec![0.0; shape.key_length];
    for (row, out) in out.chunks_exact_mut(size).enumerate() {
        let (head, position) = (key_head * shape.group() + row / length, row % length);
        let at = shape.query_at(batch, position, head);
        let query = &query[at..at + size];
        let seen = shape.seen(batch, position);
        let weights = &mut weights[..seen.len()];
        for (weight, position) in weights.iter_mut().zip(seen.clone()) {
            let at = shape.key_at(batch, position, key_head);
            *weight = dot(query, &key[at..at + size]);
        }
        let inverse = softmax_weights(weights, scale);
        for (&weight, position) in weights.iter().zip(seen) {
            let at = shape.key_at(batch, position, key_head);
            for (out, &value) in out.iter_mut().zip(&value[at..at + size]) {
                *out += inverse * weight * value;
            }
        }
    }
    out
}

/// Gradients of [`attention`] with respect to query, key and value.
fn attention_backward(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    upstream: &[f32],
    shape: &AttentionShape,
    scale: f32,
) -> [Vec<f32>; 3] {
    let parts: Vec<[Vec<f32>; 3]> = shape
        .tasks()
        .map(|(batch, key_head)| {
            let key = shape.transposed(key, batch, key_head);
            let value = shape.transposed(value, batch, key_head);
            attention_of_head_backward(
                query,
                &key,
                &value,
                upstream,
                shape,
                [batch, key_head],
                scale,
            )
        })
        .collect();
    let part = |index: usize| {
        parts
            .iter()
            .map(|part| part[index].as_slice())
            .collect::<Vec<_>>()
    };
    [
        shape.ungrouped(&part(0)),
        shape.untransposed(&part(1)),
        shape.untransposed(&part(2)),
    ]
}

/// Queries per pass over keys and values.
const QUERIES: usize = 4;

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn attention_of_head_backward(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    upstream: &[f32],
    shape: &AttentionShape,
    [batch, key_head]: [usize; 2],
    scale: f32,
) -> [Vec<f32>; 3] {
    let &AttentionShape {
        length,
        key_length,
        size,
        ..
    } = shape;
    let mut grad_query = vec![0.0; shape.group() * length * size];
    let mut grad_key = vec![0.0; size * key_length];
    let mut grad_value = vec![0.0; size * key_length];
    let mut weights = vec![0.0; QUERIES * key_length];
    let mut grad_scores = vec![0.0; QUERIES * key_length];
    for (at_head, grad_query) in grad_query.chunks_exact_mut(length * size).enumerate() {
        let head = key_head * shape.group() + at_head;
        for (block, grad_query) in grad_query.chunks_mut(QUERIES * size).enumerate() {
            let first = block * QUERIES;
            let count = grad_query.len() / size;
            // Keys up to the block's last query; those that a query must not attend to get weight 0.
            let width = key_length - length + first + count;
            let weights = &mut weights[..QUERIES * width];
            let grad_scores = &mut grad_scores[..QUERIES * width];
            weights.fill(0.0);
            grad_scores.fill(0.0);
            let row = |i: usize| {
                let at = shape.query_at(batch, first + i, head);
                at..at + size
            };
            for i in 0..count {
                let seen = shape.seen(batch, first + i);
                let weights = &mut weights[i * width..][seen.clone()];
                let grad_scores = &mut grad_scores[i * width..][seen.clone()];
                combine_rows(&query[row(i)], &key[seen.start..], key_length, weights);
                let inverse = softmax_weights(weights, scale);
                for weight in weights.iter_mut() {
                    *weight *= inverse;
                }
                combine_rows(
                    &upstream[row(i)],
                    &value[seen.start..],
                    key_length,
                    grad_scores,
                );
                // Softmax: a score's gradient is its weight times its deviation from the mean.
                let mean = dot(weights, grad_scores);
                for (grad_score, &weight) in grad_scores.iter_mut().zip(weights.iter()) {
                    *grad_score = weight * (*grad_score - mean) * scale;
                }
            }
            for i in 0..size {
                let column = |values: &[f32]| -> [f32; QUERIES] {
                    std::array::from_fn(|query| {
                        if query < count {
                            values[row(query).start + i]
                        } else {
                            0.0
                        }
                    })
                };
                let range = i * key_length..i * key_length + width;
                accumulate(&mut grad_value[range.clone()], column(upstream), weights);
                accumulate(&mut grad_key[range.clone()], column(query), grad_scores);
                for query in 0..count {
                    grad_query[query * size + i] =
                        dot(&grad_scores[query * width..][..width], &key[range.clone()]);
                }
            }
        }
    }
    [grad_query, grad_key, grad_value]
}

/// Replaces scores by exp(score - largest score) and returns the reciprocal of their sum.
#[inline(always)]
fn softmax_weights(scores: &mut [f32], scale: f32) -> f32 {
    let largest = maximum(scores) * scale;
    (1.0 / exponentiate(scores, largest, scale)) as f32
}

/// `out_j = Σ_i factors_i · rows_ij` for the first `out.len()` columns of rows of `width`.
#[inline(always)]
fn combine_rows(factors: &[f32], rows: &[f32], width: usize, out: &mut [f32]) {
    out.fill(0.0);
    let columns = out.len();
    let (blocks, rest) = factors.as_chunks::<4>();
    for (block, factors) in blocks.iter().enumerate() {
        let row = |i: usize| &rows[(block * 4 + i) * width..][..columns];
        let (a, b, c, d) = (row(0), row(1), row(2), row(3));
        for j in 0..columns {
            out[j] += factors[0] * a[j] + factors[1] * b[j] + factors[2] * c[j] + factors[3] * d[j];
        }
    }
    for (i, &factor) in rest.iter().enumerate() {
        let row = &rows[(blocks.len() * 4 + i) * width..][..columns];
        for (out, &x) in out.iter_mut().zip(row) {
            *out += factor * x;
        }
    }
}

/// `out_j += Σ_i factors_i · rows_ij` for [`QUERIES`] rows of the width of `out`.
#[inline(always)]
fn accumulate(out: &mut [f32], factors: [f32; QUERIES], rows: &[f32]) {
    let width = out.len();
    let row = |i: usize| &rows[i * width..][..width];
    let (a, b, c, d) = (row(0), row(1), row(2), row(3));
    for j in 0..width {
        out[j] += factors[0] * a[j] + factors[1] * b[j] + factors[2] * c[j] + factors[3] * d[j];
    }
}
