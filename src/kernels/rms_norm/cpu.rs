//! RMS norm on the CPU; mirrors `forward.wgsl` and `backward.wgsl` of `shaders/rms_norm/`.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::DType;
use multiversion::multiversion;
use rayon::prelude::*;

use super::RmsNormBackend;
use crate::kernels::flex_tensor;
use crate::kernels::profile::{self, Operation, Work};
use crate::kernels::vector::dot;

/// Number of rows per task, over which the task sums weight gradients. Fixed, so that the order of the sums
/// does not depend on the number of threads.
const ROWS_PER_TASK: usize = 128;

impl RmsNormBackend for Flex {
    fn rms_norm(x: FlexTensor, weight: FlexTensor, epsilon: f32) -> FlexTensor {
        let values = || 2 * x.shape().num_elements() + weight.shape().num_elements();
        let _span = profile::operation(Operation::Norm, || Work::moving(values()));
        let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
        let mut out = FlexTensor::empty(x.shape(), DType::F32);
        rms_norm(x.storage(), weight.storage(), epsilon, out.storage_mut());
        out
    }

    fn rms_norm_backward(
        x: FlexTensor,
        weight: FlexTensor,
        epsilon: f32,
        upstream: FlexTensor,
    ) -> (FlexTensor, FlexTensor) {
        let values = || 3 * x.shape().num_elements() + 2 * weight.shape().num_elements();
        let _span = profile::operation(Operation::Norm, || Work::moving(values()));
        let (x, weight, upstream) = (
            x.to_contiguous(),
            weight.to_contiguous(),
            upstream.to_contiguous(),
        );
        let mut gradient = FlexTensor::empty(x.shape(), DType::F32);
        let grad_weight = rms_norm_backward(
            x.storage(),
            weight.storage(),
            epsilon,
            upstream.storage(),
            gradient.storage_mut(),
        );
        (gradient, flex_tensor(grad_weight, weight.shape()))
    }
}

/// `out = x / sqrt(mean(x²) + epsilon) · weight`, row by row.
fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let width = weight.len();
    (
        x.par_chunks(width * ROWS_PER_TASK),
        out.par_chunks_mut(width * ROWS_PER_TASK),
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
fn rms_norm_backward(
    x: &[f32],
    weight: &[f32],
    epsilon: f32,
    upstream: &[f32],
    gradient: &mut [f32],
) -> Vec<f32> {
    let width = weight.len();
    let block = width * ROWS_PER_TASK;
    let partial: Vec<Vec<f32>> = (
        x.par_chunks(block),
        upstream.par_chunks(block),
        gradient.par_chunks_mut(block),
    )
        .into_par_iter()
        .map(|(x, upstream, gradient)| {
            let mut grad_weight = vec![0.0; width];
            rms_norm_backward_rows(x, weight, epsilon, upstream, gradient, &mut grad_weight);
            grad_weight
        })
        .collect();
    let mut grad_weight = vec![0.0; width];
    for partial in partial {
        for (sum, term) in grad_weight.iter_mut().zip(partial) {
            *sum += term;
        }
    }
    grad_weight
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn rms_norm_backward_rows(
    x: &[f32],
    weight: &[f32],
    epsilon: f32,
    upstream: &[f32],
    gradient: &mut [f32],
    grad_weight: &mut [f32],
) {
    let width = weight.len();
    let rows = x.chunks_exact(width).zip(upstream.chunks_exact(width));
    for ((x, upstream), gradient) in rows.zip(gradient.chunks_exact_mut(width)) {
        let inverse = inverse_rms(x, epsilon);
        for i in 0..width {
            gradient[i] = upstream[i] * weight[i];
            grad_weight[i] += upstream[i] * x[i] * inverse;
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
