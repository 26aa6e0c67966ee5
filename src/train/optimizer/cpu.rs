//! The optimiser on the CPU.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;
use multiversion::multiversion;
use rayon::prelude::*;

use super::backend::{OptimizerBackend, partial_sums};
use super::{AdamWStep, BETA_1, BETA_2, EPSILON};
use crate::vector::dot;

/// Elements that one task takes.
const ELEMENTS_A_TASK: usize = 1 << 15;

impl OptimizerBackend for Flex {
    fn adamw(
        parameter: FlexTensor,
        gradient: FlexTensor,
        first_moment: FlexTensor,
        second_moment: FlexTensor,
        figures: FlexTensor,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [mut parameter, mut first, mut second] =
            [parameter, first_moment, second_moment].map(contiguous);
        let gradient = contiguous(gradient);
        let figures = contiguous(figures);
        let [factor, _, _, step @ ..] = figures.storage::<f32>() else {
            unreachable!("figures are what step_figures gave");
        };
        let (factor, step): (f32, AdamWStep) =
            (*factor, *bytemuck::from_bytes(bytemuck::cast_slice(step)));
        if !factor.is_finite() {
            return (parameter, first, second);
        }
        (
            parameter
                .storage_mut::<f32>()
                .par_chunks_mut(ELEMENTS_A_TASK),
            gradient.storage::<f32>().par_chunks(ELEMENTS_A_TASK),
            first.storage_mut::<f32>().par_chunks_mut(ELEMENTS_A_TASK),
            second.storage_mut::<f32>().par_chunks_mut(ELEMENTS_A_TASK),
        )
            .into_par_iter()
            .for_each(|(parameter, gradient, first, second)| {
                adamw(parameter, gradient, first, second, factor, &step);
            });
        (parameter, first, second)
    }

    fn put_sums_of_squares(mut sums: FlexTensor, at: usize, tensor: FlexTensor) -> FlexTensor {
        let tensor = contiguous(tensor);
        let values: &[f32] = tensor.storage();
        let places = partial_sums(values.len());
        let part = values.len().div_ceil(places).max(1);
        let sums_of_tensor = &mut sums.storage_mut::<f32>()[at..at + places];
        // Parts do not depend on the number of threads, so that neither does the sum.
        (sums_of_tensor.par_iter_mut(), values.par_chunks(part))
            .into_par_iter()
            .for_each(|(sum, values)| *sum = sum_of_squares(values));
        sums
    }

    fn step_figures(sums: FlexTensor, loss: FlexTensor, clip: f32, step: AdamWStep) -> FlexTensor {
        let (sums, loss) = (contiguous(sums), contiguous(loss));
        let loss = loss.storage::<f32>()[0];
        let squares: &[f32] = sums.storage();
        let norm = squares
            .iter()
            .map(|&sum| f64::from(sum))
            .sum::<f64>()
            .sqrt() as f32;
        let factor = match norm + loss {
            all if !all.is_finite() => f32::NAN,
            _ if clip > 0.0 && norm > clip => clip / norm,
            _ => 1.0,
        };
        let AdamWStep {
            inverse_correction_2,
            rate,
            kept,
        } = step;
        let figures = vec![factor, norm, loss, inverse_correction_2, rate, kept];
        FlexTensor::from_data(TensorData::new(figures, [6]))
    }
}

/// The tensor with its elements in order, sharing memory with nothing that this function saw.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    let contiguous = tensor.to_contiguous();
    drop(tensor);
    contiguous
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn adamw(
    parameter: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    factor: f32,
    step: &AdamWStep,
) {
    let moments = first.iter_mut().zip(second.iter_mut());
    for ((parameter, &gradient), (first, second)) in parameter.iter_mut().zip(gradient).zip(moments)
    {
        let scaled = gradient * factor;
        *first = *first * (BETA_1 as f32) + scaled * ((1.0 - BETA_1) as f32);
        *second = *second * (BETA_2 as f32) + scaled * scaled * ((1.0 - BETA_2) as f32);
        let scale = (*second * step.inverse_correction_2).sqrt() + EPSILON as f32;
        *parameter = *parameter * step.kept - *first / scale * step.rate;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn sum_of_squares(values: &[f32]) -> f32 {
    // In f64 between blocks, so that long parts lose nothing.
    let blocks = values.chunks(1 << 12);
    blocks
        .map(|block| f64::from(dot(block, block)))
        .sum::<f64>() as f32
}
