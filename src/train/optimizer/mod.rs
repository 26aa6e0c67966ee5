//! AdamW (Loshchilov and Hutter, arXiv:1711.05101): Adam with decoupled weight decay.

use burn::tensor::Tensor;

use crate::model::Parameters;

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

    /// Moves the parameters by one step. Every gradient is multiplied by `gradient_factor` first,
    /// a tensor \[1, 1\].
    pub fn step(
        &mut self,
        parameters: &mut Parameters,
        gradients: Parameters,
        gradient_factor: &Tensor<2>,
        learning_rate: f64,
        weight_decay: f64,
    ) {
        self.steps += 1;
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let correction_1 = 1.0 - BETA_1.powi(steps);
        let correction_2 = 1.0 - BETA_2.powi(steps);
        let moments = self.first_moments.iter_mut().zip(&mut self.second_moments);
        for ((parameter, gradient), (first, second)) in
            parameters.iter_mut().zip(gradients).zip(moments)
        {
            let gradient = gradient * gradient_factor.clone();
            let square = gradient.clone() * gradient.clone();
            *first = first.clone() * BETA_1 + gradient * (1.0 - BETA_1);
            *second = second.clone() * BETA_2 + square * (1.0 - BETA_2);
            let scale = (second.clone() / correction_2).sqrt() + EPSILON;
            let update = first.clone() / scale * (learning_rate / correction_1);
            *parameter = parameter.clone() * (1.0 - learning_rate * weight_decay) - update;
        }
    }
}

/// The norm of the whole gradient \[1, 1\].
pub(super) fn norm(gradients: &[Tensor<2>]) -> Tensor<2> {
    let squares: Vec<Tensor<1>> = gradients
        .iter()
        .map(|gradient| (gradient.clone() * gradient.clone()).sum())
        .collect();
    Tensor::cat(squares, 0).sum().sqrt().reshape([1, 1])
}
