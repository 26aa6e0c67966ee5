//! The gated linear unit as tensor operations.

use burn::tensor::Tensor;
use burn::tensor::activation::silu;

pub(super) fn silu_gate(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    silu(gate) * up
}
