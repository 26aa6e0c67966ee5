//! Weights of the rows in the loss.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, ExtensionType, Slice, TensorMetadata};
use burn::tensor::Shape;

/// Weights that the losses of the rows are multiplied by.
#[derive(Debug, ExtensionType)]
pub enum RowWeights<B: Backend> {
    /// 1 each.
    Equal,
    /// One each \[rows, 1\], not differentiated.
    Weights(FloatTensor<B>),
}

impl<B: Backend> RowWeights<B> {
    /// Returns the weights of the rows from `start` to `end`.
    pub(super) fn of_rows(&self, start: usize, end: usize) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::Weights(weights) => {
                let rows = [Slice::from(start..end), Slice::from(0..1)];
                Self::Weights(B::float_slice(weights.clone(), &rows))
            }
        }
    }

    /// Multiplies the rows of a tensor \[rows\] or \[rows, columns\].
    pub(super) fn times(&self, tensor: FloatTensor<B>) -> FloatTensor<B> {
        let Self::Weights(weights) = self else {
            return tensor;
        };
        let shape = tensor.shape();
        let weights = match shape.num_dims() {
            1 => B::float_reshape(weights.clone(), Shape::new([shape.num_elements()])),
            _ => weights.clone(),
        };
        B::float_mul(tensor, weights)
    }
}
