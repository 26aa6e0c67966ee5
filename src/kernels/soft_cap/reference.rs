//! Soft caps as tensor operations.

use burn::tensor::Tensor;

pub(crate) fn soft_cap<const D: usize>(x: Tensor<D>, cap: f32) -> Tensor<D> {
    (x / cap).tanh() * cap
}
