//! Short convolutions on the CPU; mirrors the shaders of `shaders/short_conv/`.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Shape};
use multiversion::multiversion;
use rayon::prelude::*;

use super::{ShortConv, ShortConvBackend};
use crate::kernels::flex_tensor;
use crate::kernels::profile::{self, Operation, Work};
use crate::kernels::vector::sigmoid;

/// Rows per task, over which the task sums weight gradients. Fixed, so that the order of the sums does not
/// depend on the number of threads.
const ROWS_PER_TASK: usize = 64;

impl ShortConvBackend for Flex {
    fn short_conv(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        conv: ShortConv,
    ) -> FlexTensor {
        let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.to_contiguous());
        let sizes = Sizes::new(&x, &weight, conv);
        let _span = profile::operation(Operation::ShortConv, || sizes.work(1));
        let weight = sizes.by_tap(weight.storage());
        let mut out = FlexTensor::empty(x.shape(), DType::F32);
        forward(
            &sizes,
            x.storage(),
            &weight,
            bias.storage(),
            out.storage_mut(),
        );
        out
    }

    fn short_conv_backward(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        conv: ShortConv,
        upstream: FlexTensor,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [x, weight, bias, upstream] =
            [x, weight, bias, upstream].map(|tensor| tensor.to_contiguous());
        let sizes = Sizes::new(&x, &weight, conv);
        let _span = profile::operation(Operation::ShortConv, || sizes.work(2));
        let by_tap = sizes.by_tap(weight.storage());
        let grad_sum = if sizes.conv.silu {
            let mut grad_sum = FlexTensor::empty(x.shape(), DType::F32);
            sum_gradient(
                &sizes,
                x.storage(),
                &by_tap,
                bias.storage(),
                upstream.storage(),
                grad_sum.storage_mut(),
            );
            grad_sum
        } else {
            upstream
        };
        let mut grad_x = FlexTensor::empty(x.shape(), DType::F32);
        input_gradient(&sizes, &by_tap, grad_sum.storage(), grad_x.storage_mut());
        let mut sums = weight_gradient(&sizes, x.storage(), grad_sum.storage());
        let of_bias = sums.split_off(sizes.taps * sizes.channels);
        let grad_weight = transposed(&sums, sizes.channels);
        (
            grad_x,
            flex_tensor(grad_weight, weight.shape()),
            flex_tensor(of_bias, Shape::new([1, sizes.channels])),
        )
    }
}

/// Sizes of a short convolution.
struct Sizes {
    rows: usize,
    length: usize,
    channels: usize,
    taps: usize,
    conv: ShortConv,
}

impl Sizes {
    fn new(x: &FlexTensor, weight: &FlexTensor, conv: ShortConv) -> Self {
        let [batch, length, channels] = x.shape().dims();
        let [_, taps] = weight.shape().dims();
        Self {
            rows: batch * length,
            length,
            channels,
            taps,
            conv,
        }
    }

    /// Returns the work of that many passes over the taps, each of which reads and writes all rows.
    fn work(&self, passes: usize) -> Work {
        let values = self.rows * self.channels;
        Work {
            flops: (2 * passes * values * self.taps) as f64,
            ..Work::moving(2 * passes * values)
        }
    }

    /// Returns the number of earlier inputs that a row's sum includes.
    fn reach(&self, row: usize) -> usize {
        self.conv.reach(row, self.length).min(self.taps - 1)
    }

    /// Returns the channels of a row.
    fn row<'a>(&self, values: &'a [f32], row: usize) -> &'a [f32] {
        &values[row * self.channels..][..self.channels]
    }

    /// Returns the weights \[channels, taps\] as \[taps, channels\], the row's own tap first.
    fn by_tap(&self, weight: &[f32]) -> Vec<f32> {
        let taps = (0..self.taps).rev();
        taps.flat_map(|tap| weight.iter().skip(tap).step_by(self.taps).copied())
            .collect()
    }

    /// Returns the chunks of a tensor that tasks write, each with its first row.
    fn tasks<'a>(
        &self,
        out: &'a mut [f32],
    ) -> impl IndexedParallelIterator<Item = (usize, &'a mut [f32])> {
        let chunks = out.par_chunks_mut(ROWS_PER_TASK * self.channels);
        chunks
            .enumerate()
            .map(|(task, out)| (task * ROWS_PER_TASK, out))
    }
}

/// Writes a row's sum, before an activation.
fn sum_of_taps(
    sizes: &Sizes,
    row: usize,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    out: &mut [f32],
) {
    out.copy_from_slice(bias);
    for back in 0..=sizes.reach(row) {
        add_product(sizes.row(weight, back), sizes.row(x, row - back), out);
    }
}

fn forward(sizes: &Sizes, x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    sizes.tasks(out).for_each(|(first, out)| {
        for (row, out) in (first..).zip(out.chunks_exact_mut(sizes.channels)) {
            sum_of_taps(sizes, row, x, weight, bias, out);
            if sizes.conv.silu {
                silu(out);
            }
        }
    });
}

/// The gradient of the sums before SiLU.
fn sum_gradient(
    sizes: &Sizes,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    upstream: &[f32],
    grad_sum: &mut [f32],
) {
    sizes.tasks(grad_sum).for_each(|(first, grad_sum)| {
        for (row, grad_sum) in (first..).zip(grad_sum.chunks_exact_mut(sizes.channels)) {
            sum_of_taps(sizes, row, x, weight, bias, grad_sum);
            silu_gradient(sizes.row(upstream, row), grad_sum);
        }
    });
}

fn input_gradient(sizes: &Sizes, weight: &[f32], grad_sum: &[f32], grad_x: &mut [f32]) {
    sizes.tasks(grad_x).for_each(|(first, grad_x)| {
        for (row, grad_x) in (first..).zip(grad_x.chunks_exact_mut(sizes.channels)) {
            grad_x.fill(0.0);
            let after = sizes.length - row % sizes.length;
            for ahead in 0..sizes.taps.min(after) {
                if sizes.reach(row + ahead) >= ahead {
                    let gradient = sizes.row(grad_sum, row + ahead);
                    add_product(sizes.row(weight, ahead), gradient, grad_x);
                }
            }
        }
    });
}

/// Returns the gradient of the weights as \[taps, channels\], and then that of the bias.
fn weight_gradient(sizes: &Sizes, x: &[f32], grad_sum: &[f32]) -> Vec<f32> {
    let (taps, channels) = (sizes.taps, sizes.channels);
    let tasks = (0..sizes.rows.div_ceil(ROWS_PER_TASK)).into_par_iter();
    let partial: Vec<Vec<f32>> = tasks
        .map(|task| {
            let mut sums = vec![0.0; (taps + 1) * channels];
            let first = task * ROWS_PER_TASK;
            for row in first..sizes.rows.min(first + ROWS_PER_TASK) {
                let gradient = sizes.row(grad_sum, row);
                for back in 0..=sizes.reach(row) {
                    let sums = &mut sums[(taps - 1 - back) * channels..][..channels];
                    add_product(gradient, sizes.row(x, row - back), sums);
                }
                add(gradient, &mut sums[taps * channels..]);
            }
            sums
        })
        .collect();
    let mut sums = vec![0.0; (taps + 1) * channels];
    partial.iter().for_each(|partial| add(partial, &mut sums));
    sums
}

/// Returns a matrix \[rows, columns\] as \[columns, rows\].
fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns)
        .flat_map(|column| matrix.iter().skip(column).step_by(columns).copied())
        .collect()
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn add_product(a: &[f32], b: &[f32], out: &mut [f32]) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out += a * b;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn add(terms: &[f32], out: &mut [f32]) {
    for (out, &term) in out.iter_mut().zip(terms) {
        *out += term;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn silu(values: &mut [f32]) {
    for value in values {
        *value *= sigmoid(*value);
    }
}

/// Replaces sums by their gradients, given those of SiLU's outputs.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn silu_gradient(upstream: &[f32], sums: &mut [f32]) {
    for (sum, &upstream) in sums.iter_mut().zip(upstream) {
        let s = sigmoid(*sum);
        *sum = upstream * s * (1.0 + *sum * (1.0 - s));
    }
}
