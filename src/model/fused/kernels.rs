//! The decoder's element-wise and attention kernels for the CPU, on plain slices, forward and
//! gradient. Every result is computed in an order that does not depend on the number of threads.

use std::ops::Range;

use multiversion::multiversion;
use rayon::prelude::*;

use crate::model::visible::Visible;
use crate::vector::{dot, exp, exponentiate, maximum};

/// Rows whose weight gradients are summed by one task; fixed, so that sums have one order.
const ROWS_A_TASK: usize = 128;

/// Root mean square normalisation (Zhang and Sennrich, arXiv:1910.07467):
/// `out = x / sqrt(mean(x²) + epsilon) · weight`, row by row.
pub(super) fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let width = weight.len();
    (
        x.par_chunks(width * ROWS_A_TASK),
        out.par_chunks_mut(width * ROWS_A_TASK),
    )
        .into_par_iter()
        .for_each(|(x, out)| rms_norm_rows(x, weight, epsilon, out));
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn rms_norm_rows(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    for (x, out) in x
        .chunks_exact(weight.len())
        .zip(out.chunks_exact_mut(weight.len()))
    {
        let inverse = inverse_rms(x, epsilon);
        for ((out, &x), &weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * inverse * weight;
        }
    }
}

/// Gradients of [`rms_norm`] with respect to `x` (written) and `weight` (returned).
pub(super) fn rms_norm_backward(
    x: &[f32],
    weight: &[f32],
    epsilon: f32,
    upstream: &[f32],
    gradient: &mut [f32],
) -> Vec<f32> {
    let width = weight.len();
    let block = width * ROWS_A_TASK;
    let partial: Vec<Vec<f32>> = (
        x.par_chunks(block),
        upstream.par_chunks(block),
        gradient.par_chunks_mut(block),
    )
        .into_par_iter()
        .map(|(x, upstream, gradient)| {
            let mut of_weight = vec![0.0; width];
            rms_norm_backward_rows(x, weight, epsilon, upstream, gradient, &mut of_weight);
            of_weight
        })
        .collect();
    let mut of_weight = vec![0.0; width];
    for partial in partial {
        for (sum, term) in of_weight.iter_mut().zip(partial) {
            *sum += term;
        }
    }
    of_weight
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn rms_norm_backward_rows(
    x: &[f32],
    weight: &[f32],
    epsilon: f32,
    upstream: &[f32],
    gradient: &mut [f32],
    of_weight: &mut [f32],
) {
    let width = weight.len();
    let rows = x.chunks_exact(width).zip(upstream.chunks_exact(width));
    for ((x, upstream), gradient) in rows.zip(gradient.chunks_exact_mut(width)) {
        let inverse = inverse_rms(x, epsilon);
        for i in 0..width {
            gradient[i] = upstream[i] * weight[i];
            of_weight[i] += upstream[i] * x[i] * inverse;
        }
        let shrink = dot(x, gradient) * inverse * inverse / width as f32;
        for (gradient, &x) in gradient.iter_mut().zip(x) {
            *gradient = (*gradient - x * shrink) * inverse;
        }
    }
}

#[inline(always)]
fn inverse_rms(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + epsilon).sqrt()
}

/// Rotary position embedding (Su et al., arXiv:2104.09864) on `x` \[batch, length, heads, size\]
/// in the layout of Hugging Face: element i of a head turns with element i + size / 2 by an angle
/// whose cosine and sine are in tables \[length, size / 2\]. `direction` is 1, or -1 to turn back.
pub(super) fn rotate(
    x: &[f32],
    [length, heads, size]: [usize; 3],
    cosine: &[f32],
    sine: &[f32],
    direction: f32,
    out: &mut [f32],
) {
    let half = size / 2;
    let position = heads * size;
    (x.par_chunks(position), out.par_chunks_mut(position))
        .into_par_iter()
        .with_min_len(64)
        .enumerate()
        .for_each(|(row, (x, out))| {
            let at = row % length * half;
            let (cosine, sine) = (&cosine[at..at + half], &sine[at..at + half]);
            for (x, out) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
                let (x_low, x_high) = x.split_at(half);
                let (low, high) = out.split_at_mut(half);
                for i in 0..half {
                    let sine = sine[i] * direction;
                    low[i] = x_low[i] * cosine[i] - x_high[i] * sine;
                    high[i] = x_high[i] * cosine[i] + x_low[i] * sine;
                }
            }
        });
}

/// Elements that one task of an element-wise kernel takes.
const ELEMENTS_A_TASK: usize = 1 << 15;

/// `out = silu(gate) · up`, the gated linear unit of Llama (Shazeer, arXiv:2002.05202).
pub(super) fn silu_multiply(gate: &[f32], up: &[f32], out: &mut [f32]) {
    (
        gate.par_chunks(ELEMENTS_A_TASK),
        up.par_chunks(ELEMENTS_A_TASK),
        out.par_chunks_mut(ELEMENTS_A_TASK),
    )
        .into_par_iter()
        .for_each(|(gate, up, out)| silu_multiply_block(gate, up, out));
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn silu_multiply_block(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
        *out = gate * sigmoid(gate) * up;
    }
}

/// Gradients of [`silu_multiply`] with respect to gate and up.
pub(super) fn silu_multiply_backward(
    gate: &[f32],
    up: &[f32],
    upstream: &[f32],
    of_gate: &mut [f32],
    of_up: &mut [f32],
) {
    (
        gate.par_chunks(ELEMENTS_A_TASK),
        up.par_chunks(ELEMENTS_A_TASK),
        upstream.par_chunks(ELEMENTS_A_TASK),
        of_gate.par_chunks_mut(ELEMENTS_A_TASK),
        of_up.par_chunks_mut(ELEMENTS_A_TASK),
    )
        .into_par_iter()
        .for_each(|(gate, up, upstream, of_gate, of_up)| {
            silu_multiply_backward_block(gate, up, upstream, of_gate, of_up);
        });
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn silu_multiply_backward_block(
    gate: &[f32],
    up: &[f32],
    upstream: &[f32],
    of_gate: &mut [f32],
    of_up: &mut [f32],
) {
    let inputs = gate.iter().zip(up).zip(upstream);
    for (((&gate, &up), &upstream), (of_gate, of_up)) in inputs.zip(of_gate.iter_mut().zip(of_up)) {
        let sigmoid = sigmoid(gate);
        *of_gate = upstream * up * sigmoid * (1.0 + gate * (1.0 - sigmoid));
        *of_up = upstream * gate * sigmoid;
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let small = exp(-x.abs());
    let of_magnitude = 1.0 / (1.0 + small);
    if x >= 0.0 {
        of_magnitude
    } else {
        small * of_magnitude
    }
}

/// Sizes of an attention.
#[derive(Clone, Debug)]
pub(super) struct Heads {
    pub batch: usize,
    /// Positions of the queries; they are the last ones of the keys'.
    pub length: usize,
    /// Positions of keys and values.
    pub key_length: usize,
    pub heads: usize,
    /// Heads of keys and values; each serves `heads / key_heads` query heads in a row.
    pub key_heads: usize,
    pub size: usize,
    pub visible: Visible,
}

impl Heads {
    fn group(&self) -> usize {
        self.heads / self.key_heads
    }

    fn tasks(&self) -> impl IndexedParallelIterator<Item = (usize, usize)> + use<> {
        let key_heads = self.key_heads;
        (0..self.batch * key_heads)
            .into_par_iter()
            .map(move |task| (task / key_heads, task % key_heads))
    }

    /// Where a query's head begins in \[batch, length, heads, size\].
    fn query(&self, batch: usize, position: usize, head: usize) -> usize {
        ((batch * self.length + position) * self.heads + head) * self.size
    }

    /// The keys that the query at a position sees.
    fn seen(&self, batch: usize, position: usize) -> Range<usize> {
        let end = self.key_length - self.length + position + 1;
        self.visible.first(batch * self.length + position, end)..end
    }

    /// Keys or values of one head as \[size, key_length\].
    fn transposed(&self, keys: &[f32], batch: usize, head: usize) -> Vec<f32> {
        let mut transposed = vec![0.0; self.size * self.key_length];
        for position in 0..self.key_length {
            let at = ((batch * self.key_length + position) * self.key_heads + head) * self.size;
            for (i, &x) in keys[at..at + self.size].iter().enumerate() {
                transposed[i * self.key_length + position] = x;
            }
        }
        transposed
    }

    /// Puts gradients \[size, key_length\] of each task back into \[batch, key_length, key_heads, size\].
    fn untransposed(&self, parts: &[&[f32]]) -> Vec<f32> {
        let mut whole = vec![0.0; self.batch * self.key_length * self.key_heads * self.size];
        let row = self.key_heads * self.size;
        whole
            .par_chunks_mut(row)
            .with_min_len(64)
            .enumerate()
            .for_each(|(at, whole)| {
                let (batch, position) = (at / self.key_length, at % self.key_length);
                for (head, whole) in whole.chunks_exact_mut(self.size).enumerate() {
                    let part = parts[batch * self.key_heads + head];
                    for (i, x) in whole.iter_mut().enumerate() {
                        *x = part[i * self.key_length + position];
                    }
                }
            });
        whole
    }

    /// Puts results \[group, length, size\] of each task back into \[batch, length, heads, size\].
    fn ungrouped(&self, parts: &[&[f32]]) -> Vec<f32> {
        let mut whole = vec![0.0; self.batch * self.length * self.heads * self.size];
        let row = self.heads * self.size;
        whole
            .par_chunks_mut(row)
            .with_min_len(64)
            .enumerate()
            .for_each(|(at, whole)| {
                let (batch, position) = (at / self.length, at % self.length);
                for (head, whole) in whole.chunks_exact_mut(self.size).enumerate() {
                    let part = parts[batch * self.key_heads + head / self.group()];
                    let from = (head % self.group() * self.length + position) * self.size;
                    whole.copy_from_slice(&part[from..from + self.size]);
                }
            });
        whole
    }
}

/// Causal attention: each query sees those of the keys up to its own position that are visible.
/// `query` is
/// \[batch, length, heads, size\], `key` and `value` \[batch, key_length, key_heads, size\]; the
/// result has the query's shape. Scores exist one row at a time.
pub(super) fn attention(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    heads: &Heads,
    scale: f32,
) -> Vec<f32> {
    let parts: Vec<Vec<f32>> = heads
        .tasks()
        .map(|(batch, key_head)| {
            let key = heads.transposed(key, batch, key_head);
            let value = heads.transposed(value, batch, key_head);
            attention_of_head(query, &key, &value, heads, [batch, key_head], scale)
        })
        .collect();
    heads.ungrouped(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn attention_of_head(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    heads: &Heads,
    [batch, key_head]: [usize; 2],
    scale: f32,
) -> Vec<f32> {
    let &Heads {
        length,
        key_length,
        size,
        ..
    } = heads;
    let mut out = vec![0.0; heads.group() * length * size];
    let mut weights = vec![0.0; key_length];
    for (row, out) in out.chunks_exact_mut(size).enumerate() {
        let (head, position) = (key_head * heads.group() + row / length, row % length);
        let at = heads.query(batch, position, head);
        let seen = heads.seen(batch, position);
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

/// Gradients of [`attention`] with respect to query, key and value.
pub(super) fn attention_backward(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    upstream: &[f32],
    heads: &Heads,
    scale: f32,
) -> [Vec<f32>; 3] {
    let parts: Vec<[Vec<f32>; 3]> = heads
        .tasks()
        .map(|(batch, key_head)| {
            let key = heads.transposed(key, batch, key_head);
            let value = heads.transposed(value, batch, key_head);
            attention_of_head_backward(
                query,
                &key,
                &value,
                upstream,
                heads,
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
        heads.ungrouped(&part(0)),
        heads.untransposed(&part(1)),
        heads.untransposed(&part(2)),
    ]
}

/// Queries that one sweep over keys and values serves.
const QUERIES: usize = 4;

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn attention_of_head_backward(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    upstream: &[f32],
    heads: &Heads,
    [batch, key_head]: [usize; 2],
    scale: f32,
) -> [Vec<f32>; 3] {
    let &Heads {
        length,
        key_length,
        size,
        ..
    } = heads;
    let mut of_query = vec![0.0; heads.group() * length * size];
    let mut of_key = vec![0.0; size * key_length];
    let mut of_value = vec![0.0; size * key_length];
    let mut weights = vec![0.0; QUERIES * key_length];
    let mut of_scores = vec![0.0; QUERIES * key_length];
    for (at_head, of_query) in of_query.chunks_exact_mut(length * size).enumerate() {
        let head = key_head * heads.group() + at_head;
        for (block, of_query) in of_query.chunks_mut(QUERIES * size).enumerate() {
            let first = block * QUERIES;
            let count = of_query.len() / size;
            // Keys up to the block's last query; what a query does not see of them has weight 0.
            let width = key_length - length + first + count;
            let weights = &mut weights[..QUERIES * width];
            let of_scores = &mut of_scores[..QUERIES * width];
            weights.fill(0.0);
            of_scores.fill(0.0);
            let row = |i: usize| {
                let at = heads.query(batch, first + i, head);
                at..at + size
            };
            for i in 0..count {
                let seen = heads.seen(batch, first + i);
                let weights = &mut weights[i * width..][seen.clone()];
                let of_scores = &mut of_scores[i * width..][seen.clone()];
                combine_rows(&query[row(i)], &key[seen.start..], key_length, weights);
                let inverse = softmax_weights(weights, scale);
                for weight in weights.iter_mut() {
                    *weight *= inverse;
                }
                combine_rows(
                    &upstream[row(i)],
                    &value[seen.start..],
                    key_length,
                    of_scores,
                );
                // Softmax: a score's gradient is its weight times what its own exceeds the mean.
                let mean = dot(weights, of_scores);
                for (of_score, &weight) in of_scores.iter_mut().zip(weights.iter()) {
                    *of_score = weight * (*of_score - mean) * scale;
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
                accumulate(&mut of_value[range.clone()], column(upstream), weights);
                accumulate(&mut of_key[range.clone()], column(query), of_scores);
                for query in 0..count {
                    of_query[query * size + i] =
                        dot(&of_scores[query * width..][..width], &key[range.clone()]);
                }
            }
        }
    }
    [of_query, of_key, of_value]
}

/// Turns scores into exp(score - largest score) and returns one over their sum.
#[inline(always)]
fn softmax_weights(scores: &mut [f32], scale: f32) -> f32 {
    let largest = maximum(scores) * scale;
    (1.0 / exponentiate(scores, largest, scale)) as f32
}

/// `out_j = Σ_i factors_i · rows_ij` for the first `out.len()` columns of rows of that width.
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
