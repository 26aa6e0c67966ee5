//! The decoder's operations without a kernel.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, relu, sigmoid, silu};

use crate::kernels::Impl;
use crate::kernels::silu_gate::silu_gate;

/// Layer normalization (Ba et al., arXiv:1607.06450) of x \[rows, width\]:
/// `(x − mean) / sqrt(variance + epsilon) · weight + bias` with weight and bias \[1, width\].
pub(crate) fn layer_norm(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<2>>,
    epsilon: f32,
) -> Tensor<2> {
    let centered = x.clone() - x.mean_dim(1);
    let variance = (centered.clone() * centered.clone()).mean_dim(1);
    let scaled = centered / (variance + epsilon).sqrt() * weight;
    match bias {
        Some(bias) => scaled + bias,
        None => scaled,
    }
}

/// The activation function of a feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x · sigmoid(x).
    Silu,
    /// x · Φ(x), where Φ is the normal distribution (Hendrycks and Gimpel, arXiv:1606.08415).
    Gelu,
    /// GELU with its tanh approximation (section 2 of the same paper).
    GeluTanh,
    /// max(0, x).
    Relu,
}

impl Activation {
    /// Returns the activation that a configuration calls by this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "silu" | "swish" => Some(Self::Silu),
            "gelu" => Some(Self::Gelu),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Some(Self::GeluTanh),
            "relu" => Some(Self::Relu),
            _ => None,
        }
    }
}

/// Applies an activation to every element.
pub(crate) fn activate(activation: Activation, x: Tensor<2>) -> Tensor<2> {
    match activation {
        Activation::Silu => silu(x),
        // The gradient of burn's own is that of the tanh approximation on GPUs.
        Activation::Gelu => {
            let erf = (x.clone() * std::f32::consts::FRAC_1_SQRT_2).erf();
            x * (erf + 1.0) * 0.5
        }
        Activation::GeluTanh => {
            // ½ (1 + tanh u) = sigmoid(2u), which does not overflow on any device.
            let doubled = 2.0 * (2.0 / std::f32::consts::PI).sqrt();
            let cube = x.clone() * x.clone() * x.clone();
            x.clone() * sigmoid((x + cube * 0.044_715) * doubled)
        }
        Activation::Relu => relu(x),
    }
}

/// Returns `ln(1 + e^x)`, which does not overflow.
pub(crate) fn softplus(x: Tensor<2>) -> Tensor<2> {
    log_sigmoid(x.neg()).neg()
}

/// Returns `activation(gate) · up`, a gated linear unit (Shazeer, arXiv:2002.05202).
pub(crate) fn gate(
    implementation: Impl,
    activation: Activation,
    gate: Tensor<2>,
    up: Tensor<2>,
) -> Tensor<2> {
    match activation {
        Activation::Silu => silu_gate(implementation, gate, up),
        _ => activate(activation, gate) * up,
    }
}
