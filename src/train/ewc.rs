//! Elastic weight consolidation: a quadratic penalty keeps each trained value near its initial one, in
//! proportion to its importance for general text (Kirkpatrick et al., arXiv:1612.00796).
//!
//! ```text
//! F_i     = Σ over texts (∂ log p(text) / ∂θ_i)² / predicted tokens      the diagonal of the Fisher information
//! penalty = λ/2 Σ_i F_i (θ_i − θ⁰_i)²
//! ```
//!
//! On text sampled from the model, F is the Fisher information per token, and with λ = 1 the penalty
//! approximates KL(untouched ‖ trained) per token to second order. On other text, F is the empirical Fisher.

use burn::tensor::Tensor;

use super::sum::over_ranks;
use crate::device::{self, ranks::Ranks};
use crate::error::Result;
use crate::model::Parameters;

/// Number of texts that estimates the importance of weights well enough.
pub const EWC_TEXTS: usize = 128;

/// The EWC penalty: the initial values and the diagonal of the Fisher information.
#[derive(Clone, Debug)]
pub(super) struct Ewc {
    /// The values before training.
    initial: Parameters,
    /// F times `tokens`, of the texts of this rank until it is summed over the ranks.
    squares: Parameters,
    is_summed: bool,
    /// Predicted tokens accumulated into F.
    tokens: usize,
    /// Texts accumulated into F.
    texts: usize,
}

impl Ewc {
    pub(super) fn new(initial: &Parameters) -> Self {
        Self {
            squares: initial.iter().map(Tensor::zeros_like).collect(),
            is_summed: false,
            initial: initial.clone(),
            tokens: 0,
            texts: 0,
        }
    }

    /// Returns the number of texts accumulated into F.
    pub(super) fn texts(&self) -> usize {
        self.texts
    }

    /// Accumulates a text into F, given the gradient of its mean loss over `tokens` predicted tokens.
    pub(super) fn accumulate(&mut self, gradients: Parameters, tokens: usize) {
        for (squares, gradient) in self.squares.iter_mut().zip(gradients) {
            let summed = gradient * tokens as f64;
            *squares = squares.clone() + summed.clone() * summed;
        }
        self.skip(tokens);
    }

    /// Counts a text of `tokens` predicted tokens that another rank accumulates.
    pub(super) fn skip(&mut self, tokens: usize) {
        self.tokens += tokens;
        self.texts += 1;
    }

    /// Adds what the other ranks have accumulated, once.
    ///
    /// # Errors
    ///
    /// Those of [`over_ranks`].
    pub(super) async fn sum_over_ranks(&mut self, ranks: &Ranks) -> Result<()> {
        if !self.is_summed && !ranks.is_single() {
            self.squares = over_ranks(ranks, &self.squares).await?;
        }
        self.is_summed = true;
        Ok(())
    }

    /// Adds the penalty to the loss \[1\], and its gradient to the gradients.
    pub(super) fn add_penalty(
        &self,
        strength: f64,
        parameters: &Parameters,
        loss: Tensor<1>,
        gradients: Parameters,
    ) -> (Tensor<1>, Parameters) {
        let factor = strength / self.tokens.max(1) as f64;
        let mut terms = vec![loss];
        let gradients = parameters
            .iter()
            .zip(&self.initial)
            .zip(&self.squares)
            .zip(gradients)
            .map(|(((parameter, initial), squares), gradient)| {
                let delta = parameter.clone() - initial.clone();
                let pull = squares.clone() * delta.clone() * factor;
                terms.push(device::sum(pull.clone() * delta) * 0.5);
                gradient + pull
            })
            .collect();
        (Tensor::cat(terms, 0).sum_dim(0), gradients)
    }
}
