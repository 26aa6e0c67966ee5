//! AdamW (Loshchilov and Hutter, arXiv:1711.05101): Adam with decoupled weight decay.

mod backend;
mod cpu;
mod wgsl;

use std::mem;

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

use crate::model::Parameters;
use backend::{OptimizerBackend, partial_sums};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The moments of every parameter's gradient.
#[derive(Clone, Debug)]
pub(super) struct AdamW {
    /// Running mean of the gradients.
    pub first_moments: Parameters,
    /// Running mean of their squares.
    pub second_moments: Parameters,
    /// Steps taken.
    pub steps: usize,
}

impl AdamW {
    pub fn new(parameters: &[Tensor<2>]) -> Self {
        let zeros: Parameters = parameters.iter().map(Tensor::zeros_like).collect();
        Self {
            first_moments: zeros.clone(),
            second_moments: zeros,
            steps: 0,
        }
    }

    /// What the next step goes by, of which the first three are for reading: \[factor, norm, loss, …\],
    /// with the norm of the whole gradient, the loss \[1\], and the factor that brings the norm down to
    /// `clip` (0 for any), which is not finite where either is not.
    pub fn figures(
        &self,
        gradients: &[Tensor<2>],
        loss: Tensor<1>,
        clip: f64,
        learning_rate: f64,
        weight_decay: f64,
    ) -> Tensor<1> {
        let places_of = |gradient: &Tensor<2>| partial_sums(gradient.shape().num_elements());
        let places: usize = gradients.iter().map(places_of).sum();
        let mut sums = Tensor::<1>::zeros([places], &loss.device()).into_dispatch();
        let mut at = 0;
        for gradient in gradients {
            sums = Dispatch::put_sums_of_squares(sums, at, gradient.clone().into_dispatch());
            at += places_of(gradient);
        }
        Tensor::from_dispatch(Dispatch::step_figures(
            sums,
            loss.into_dispatch(),
            clip as f32,
            AdamWStep::new(self.steps + 1, learning_rate, weight_decay),
        ))
    }

    /// Moves the parameters by one step, unless the factor of its [`Self::figures`] is not finite.
    pub fn step(
        &mut self,
        parameters: &mut Parameters,
        gradients: Parameters,
        figures: &Tensor<1>,
    ) {
        self.steps += 1;
        // Taken out, so that nobody else holds what is overwritten.
        let values = mem::take(parameters);
        let moments = mem::take(&mut self.first_moments)
            .into_iter()
            .zip(mem::take(&mut self.second_moments));
        for ((parameter, gradient), (first, second)) in
            values.into_iter().zip(gradients).zip(moments)
        {
            let (parameter, first, second) = Dispatch::adamw(
                parameter.into_dispatch(),
                gradient.into_dispatch(),
                first.into_dispatch(),
                second.into_dispatch(),
                figures.clone().into_dispatch(),
            );
            parameters.push(Tensor::from_dispatch(parameter));
            self.first_moments.push(Tensor::from_dispatch(first));
            self.second_moments.push(Tensor::from_dispatch(second));
        }
    }
}

/// What a step takes every element by, which is another one in every step.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct AdamWStep {
    /// 1 / (1 − β₂ᵗ) for step t.
    inverse_correction_2: f32,
    /// Learning rate / (1 − β₁ᵗ).
    rate: f32,
    /// 1 − learning rate · weight decay.
    kept: f32,
}

impl AdamWStep {
    fn new(step: usize, learning_rate: f64, weight_decay: f64) -> Self {
        let step = i32::try_from(step).unwrap_or(i32::MAX);
        Self {
            inverse_correction_2: (1.0 / (1.0 - BETA_2.powi(step))) as f32,
            rate: (learning_rate / (1.0 - BETA_1.powi(step))) as f32,
            kept: (1.0 - learning_rate * weight_decay) as f32,
        }
    }
}
