//! What the layers of a forward pass take besides the hidden states.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

/// A tensor that a part of the decoder computes for layers after the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// The input \[rows, size\] of a layer beside the hidden states.
    Input(usize),
    /// The keys \[batch · key length, heads · size\] of a layer, which later ones share.
    Keys(usize),
    /// Its values, likewise.
    Values(usize),
}

impl Slot {
    /// Returns the layer that computes the tensor, or `None` for the embedding.
    pub(crate) fn made_by(self) -> Option<usize> {
        match self {
            Self::Input(_) => None,
            Self::Keys(layer) | Self::Values(layer) => Some(layer),
        }
    }
}

/// The tensors that a forward pass has for later layers; empty in most families.
pub(crate) type Carried = BTreeMap<Slot, Tensor<2>>;
