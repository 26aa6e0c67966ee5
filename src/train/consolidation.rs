//! Elastic weight consolidation: values are held where they were, each the more the more it matters
//! for general text (Kirkpatrick et al., arXiv:1612.00796).
//!
//! ```text
//! F_i     = Σ over texts (∂ log p(text) / ∂θ_i)² / predicted tokens      the diagonal of the Fisher information
//! penalty = λ/2 Σ_i F_i (θ_i − θ⁰_i)²
//! ```
//!
//! On text that the model wrote itself F is its Fisher information a token, and with λ = 1 the penalty
//! approximates KL(untouched ‖ trained) a token to second order; on other text F is the empirical one.

use burn::tensor::Tensor;

use crate::device;
use crate::model::Parameters;

/// Texts that tell the importance of weights well enough.
pub const CONSOLIDATION_TEXTS: usize = 128;

/// What holds values in their place.
#[derive(Clone, Debug)]
pub(super) struct Consolidation {
    /// The values before training.
    untouched: Parameters,
    /// F times the predicted tokens that went into it.
    squares: Parameters,
    tokens: usize,
    /// Texts that went into it.
    texts: usize,
}

impl Consolidation {
    pub fn new(untouched: &Parameters) -> Self {
        Self {
            squares: untouched.iter().map(Tensor::zeros_like).collect(),
            untouched: untouched.clone(),
            tokens: 0,
            texts: 0,
        }
    }

    /// Texts that went into F.
    pub fn texts(&self) -> usize {
        self.texts
    }

    /// Takes a text into F, by the gradient of its mean loss over so many predicted tokens.
    pub fn include(&mut self, gradients: Parameters, tokens: usize) {
        for (squares, gradient) in self.squares.iter_mut().zip(gradients) {
            let of_text = gradient * tokens as f64;
            *squares = squares.clone() + of_text.clone() * of_text;
        }
        self.tokens += tokens;
        self.texts += 1;
    }

    /// Adds the penalty to the loss \[1\], and its gradient to the gradients.
    pub fn hold(
        &self,
        strength: f64,
        parameters: &Parameters,
        loss: Tensor<1>,
        gradients: Parameters,
    ) -> (Tensor<1>, Parameters) {
        let factor = strength / self.tokens.max(1) as f64;
        let mut penalties = vec![loss];
        let held = parameters
            .iter()
            .zip(&self.untouched)
            .zip(&self.squares)
            .zip(gradients)
            .map(|(((parameter, untouched), squares), gradient)| {
                let moved = parameter.clone() - untouched.clone();
                let pull = squares.clone() * moved.clone() * factor;
                penalties.push(device::sum(pull.clone() * moved) * 0.5);
                gradient + pull
            })
            .collect();
        (Tensor::cat(penalties, 0).sum_dim(0), held)
    }
}
