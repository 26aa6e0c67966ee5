//! Inputs of a decoder's forward pass.

use burn::tensor::{Int, Tensor};

use super::linear::{LinearChange, merged};
use super::parameter_index::LinearIndex;
use crate::kernels::attention::SegmentStarts;
use crate::kernels::packed::Weight;

/// The inputs of a decoder.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Token ids \[batch, length\].
    pub tokens: Tensor<2, Int>,
    /// For packed samples, the first position of each token's segment.
    pub segment_starts: Option<SegmentStarts>,
    /// Length of the longest sequence, of which the tokens may be a part; `None` for that of the tokens. Some
    /// rotary embeddings depend on it.
    pub sequence_length: Option<usize>,
}

impl From<Tensor<2, Int>> for Inputs {
    fn from(tokens: Tensor<2, Int>) -> Self {
        Self {
            tokens,
            segment_starts: None,
            sequence_length: None,
        }
    }
}

/// The parameters of a forward pass.
#[derive(Clone, Debug)]
pub struct Weights<'a> {
    /// The decoder's parameters, in the order of [`Decoder::parameters`](super::Decoder::parameters).
    pub parameters: &'a [Weight],
    /// An adapter's change of each parameter; empty without an adapter.
    pub changes: Vec<Option<LinearChange>>,
}

impl Weights<'_> {
    /// Returns an adapter's change of a parameter.
    pub(super) fn change(&self, parameter: usize) -> Option<&LinearChange> {
        self.changes.get(parameter).and_then(Option::as_ref)
    }

    /// Returns whether the head has a bias, its own or an adapter's.
    pub(super) fn head_has_bias(&self, head: LinearIndex) -> bool {
        let adds_bias = |change: &LinearChange| match change {
            LinearChange::LowRank(low_rank) => low_rank.bias.is_some(),
            LinearChange::ScaleOutput(_) | LinearChange::ScaleInput(_) => false,
        };
        head.bias.is_some() || self.change(head.weight).is_some_and(adds_bias)
    }

    /// Returns an embedding table \[rows, width\] with an adapter's change.
    pub(super) fn table(&self, parameter: usize) -> Tensor<2> {
        let table = &self.parameters[parameter];
        match self.change(parameter) {
            None => table.float(),
            Some(change) => merged(&table.transpose(), change).transpose(),
        }
    }
}
