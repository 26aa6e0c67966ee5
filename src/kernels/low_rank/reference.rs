//! Low-rank layers in tensor operations.

use burn::tensor::Tensor;

/// Returns `x · Wᵀ + scale · x · Aᵀ · Bᵀ`.
pub fn low_rank_linear_reference(
    x: Tensor<2>,
    weight: Tensor<2>,
    a: Tensor<2>,
    b: Tensor<2>,
    scale: f32,
) -> Tensor<2> {
    let update = x.clone().matmul(a.transpose()).matmul(b.transpose());
    x.matmul(weight.transpose()) + update * scale
}
