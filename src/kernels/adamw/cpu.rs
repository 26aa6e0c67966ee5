//! AdamW on the CPU; see `shaders/adamw/`.

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::TensorData;
use multiversion::multiversion;
use rayon::prelude::*;

use super::backend::{AdamWBackend, partial_sums};
use super::{AdamWStep, BETA_1, BETA_2, EPSILON, StepStats};
use crate::kernels::profile::{self, Operation, Work};
use crate::kernels::vector::dot;

/// Number of elements per task.
const ELEMENTS_PER_TASK: usize = 1 << 15;

impl AdamWBackend for Flex {
    fn adamw_step(
        parameter: FlexTensor,
        gradient: FlexTensor,
        first_moment: FlexTensor,
        second_moment: FlexTensor,
        stats: FlexTensor,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        // Parameter and moments are read and written.
        let values = || 7 * parameter.shape().num_elements();
        let _span = profile::operation(Operation::Optimizer, || Work::moving(values()));
        let [mut parameter, mut first, mut second] =
            [parameter, first_moment, second_moment].map(contiguous);
        let gradient = contiguous(gradient);
        let stats = StepStats::from_values(contiguous(stats).storage());
        if !stats.clip_factor.is_finite() {
            return (parameter, first, second);
        }
        (
            parameter
                .storage_mut::<f32>()
                .par_chunks_mut(ELEMENTS_PER_TASK),
            gradient.storage::<f32>().par_chunks(ELEMENTS_PER_TASK),
            first.storage_mut::<f32>().par_chunks_mut(ELEMENTS_PER_TASK),
            second
                .storage_mut::<f32>()
                .par_chunks_mut(ELEMENTS_PER_TASK),
        )
            .into_par_iter()
            .for_each(|(parameter, gradient, first, second)| {
                adamw_step(parameter, gradient, first, second, &stats);
            });
        (parameter, first, second)
    }

    fn put_sums_of_squares(mut sums: FlexTensor, at: usize, tensor: FlexTensor) -> FlexTensor {
        let count = || tensor.shape().num_elements();
        let _span = profile::operation(Operation::Optimizer, || Work::moving(count()));
        let tensor = contiguous(tensor);
        let values: &[f32] = tensor.storage();
        let count = partial_sums(values.len());
        let part = values.len().div_ceil(count).max(1);
        let sums_of_tensor = &mut sums.storage_mut::<f32>()[at..at + count];
        // Parts of fixed size: the sum does not depend on the number of threads.
        (sums_of_tensor.par_iter_mut(), values.par_chunks(part))
            .into_par_iter()
            .for_each(|(sum, values)| *sum = sum_of_squares(values));
        sums
    }

    fn step_stats(sums: FlexTensor, loss: FlexTensor, clip: f32, step: AdamWStep) -> FlexTensor {
        let count = || sums.shape().num_elements();
        let _span = profile::operation(Operation::Optimizer, || Work::moving(count()));
        let (sums, loss) = (contiguous(sums), contiguous(loss));
        let loss = loss.storage::<f32>()[0];
        let squares: &[f32] = sums.storage();
        let squares = squares.iter().map(|&sum| f64::from(sum));
        let gradient_norm = squares.sum::<f64>().sqrt() as f32;
        let stats = StepStats {
            clip_factor: match gradient_norm + loss {
                sum if !sum.is_finite() => f32::NAN,
                _ if clip > 0.0 && gradient_norm > clip => clip / gradient_norm,
                _ => 1.0,
            },
            gradient_norm,
            loss,
            inverse_correction_2: step.inverse_correction_2,
            rate: step.rate,
            kept: step.kept,
        };
        let values: [f32; StepStats::LEN] = bytemuck::cast(stats);
        FlexTensor::from_data(TensorData::new(values.to_vec(), [StepStats::LEN]))
    }
}

/// Returns the tensor with contiguous elements, without another handle to its memory.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    let contiguous = tensor.to_contiguous();
    drop(tensor);
    contiguous
}

/// See `shaders/adamw/step.wgsl`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn adamw_step(
    parameter: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    stats: &StepStats,
) {
    let moments = first.iter_mut().zip(second.iter_mut());
    for ((parameter, &gradient), (first, second)) in parameter.iter_mut().zip(gradient).zip(moments)
    {
        let scaled = gradient * stats.clip_factor;
        *first = *first * (BETA_1 as f32) + scaled * ((1.0 - BETA_1) as f32);
        *second = *second * (BETA_2 as f32) + scaled * scaled * ((1.0 - BETA_2) as f32);
        let scale = (*second * stats.inverse_correction_2).sqrt() + EPSILON as f32;
        *parameter = *parameter * stats.kept - *first / scale * stats.rate;
    }
}

/// See `shaders/adamw/sums_of_squares.wgsl`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn sum_of_squares(values: &[f32]) -> f32 {
    // Blocks are summed in f64, so that long parts do not lose precision.
    let blocks = values.chunks(1 << 12);
    blocks
        .map(|block| f64::from(dot(block, block)))
        .sum::<f64>() as f32
}
