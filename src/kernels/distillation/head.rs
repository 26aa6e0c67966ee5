//! The head of a language model, and its predictions.

use burn::tensor::Tensor;

use crate::kernels::Impl;
use crate::kernels::packed::Weight;
use crate::kernels::soft_cap::soft_cap;

/// The head of a language model, which turns hidden states into logits.
#[derive(Clone, Debug)]
pub struct LanguageHead {
    /// Weight \[vocab_size, hidden size\].
    pub weight: Weight,
    /// Soft cap of the logits, if they have one.
    pub soft_cap: Option<f32>,
}

impl LanguageHead {
    /// Returns the logits \[rows, vocab_size\] of hidden states \[rows, hidden size\]: hidden · weightᵀ, with
    /// the soft cap.
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        let products = self.weight.times_transposed(hidden);
        match self.soft_cap {
            Some(cap) => soft_cap(Impl::Fused, products, cap),
            None => products,
        }
    }
}

impl From<Weight> for LanguageHead {
    /// The head without a soft cap.
    fn from(weight: Weight) -> Self {
        Self {
            weight,
            soft_cap: None,
        }
    }
}

impl From<Tensor<2>> for LanguageHead {
    /// The head without a soft cap.
    fn from(weight: Tensor<2>) -> Self {
        Weight::from(weight).into()
    }
}

/// Next-token predictions before their logits are computed.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// Last hidden states \[rows, hidden size\].
    pub hidden: Tensor<2>,
    /// The head that they are for.
    pub head: LanguageHead,
}

impl Predictions {
    /// Returns the logits \[rows, vocab_size\].
    pub fn logits(self) -> Tensor<2> {
        self.head.logits(self.hidden)
    }
}
