//! The optimizer: AdamW on every trainable parameter, with clipping by the norm of the whole gradient.

use std::mem;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use crate::kernels::adamw::{AdamWBackend, AdamWStep, partial_sums};
use crate::model::Parameters;

/// AdamW with its state: the moments of every parameter's gradient.
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
    pub(super) fn new(parameters: &[Tensor<2>]) -> Self {
        let zeros: Parameters = parameters.iter().map(Tensor::zeros_like).collect();
        Self {
            first_moments: zeros.clone(),
            second_moments: zeros,
            steps: 0,
        }
    }

    /// Computes the statistics of the next step, a tensor that holds
    /// [`StepStats`](crate::kernels::adamw::StepStats): loss, gradient norm, and the factor that clips
    /// the gradient to norm `clip` (0 for no clipping).
    pub(super) fn stats(
        &self,
        gradients: &[Tensor<2>],
        loss: Tensor<1>,
        clip: f64,
        learning_rate: f64,
        weight_decay: f64,
    ) -> Tensor<1> {
        let sums_of = |gradient: &Tensor<2>| partial_sums(gradient.shape().num_elements());
        let count: usize = gradients.iter().map(sums_of).sum();
        let mut sums = Tensor::<1>::zeros([count], &loss.device()).into_dispatch();
        let mut at = 0;
        for gradient in gradients {
            sums = Dispatch::put_sums_of_squares(sums, at, gradient.clone().into_dispatch());
            at += sums_of(gradient);
        }
        Tensor::from_dispatch(Dispatch::step_stats(
            sums,
            loss.into_dispatch(),
            clip as f32,
            AdamWStep::new(self.steps + 1, learning_rate, weight_decay),
        ))
    }

    /// Updates the parameters, unless the clip factor of the step's [`Self::stats`] is not finite.
    pub(super) fn step(
        &mut self,
        parameters: &mut Parameters,
        gradients: Parameters,
        stats: &Tensor<1>,
    ) {
        self.steps += 1;
        // Taken out, so that each tensor has one handle and is overwritten in place.
        let values = mem::take(parameters);
        let moments = mem::take(&mut self.first_moments)
            .into_iter()
            .zip(mem::take(&mut self.second_moments));
        for ((parameter, gradient), (first, second)) in
            values.into_iter().zip(gradients).zip(moments)
        {
            let (parameter, first, second) = Dispatch::adamw_step(
                parameter.into_dispatch(),
                gradient.into_dispatch(),
                first.into_dispatch(),
                second.into_dispatch(),
                stats.clone().into_dispatch(),
            );
            parameters.push(Tensor::from_dispatch(parameter));
            self.first_moments.push(Tensor::from_dispatch(first));
            self.second_moments.push(Tensor::from_dispatch(second));
        }
    }
}
