//! Root mean square normalization (Zhang and Sennrich, arXiv:1910.07467).

mod autodiff;
mod cpu;
mod reference;
mod wgsl;

pub(crate) use wgsl::kernels;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::Impl;

/// RMS norm as an operation of a burn backend.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait RmsNormBackend: Backend {
    /// RMS norm of x \[rows, width\] with weight \[1, width\].
    #[fusion(dtype = x, shape = x)]
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f32)
    -> FloatTensor<Self>;

    /// Gradients with respect to x and weight.
    #[fusion(meta = |x, weight, _, _| (x.clone(), weight.clone()))]
    fn rms_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
        upstream: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// Returns `x / sqrt(mean(x²) + epsilon) · weight` for x \[rows, width\] and weight \[1, width\].
pub fn rms_norm(implementation: Impl, x: Tensor<2>, weight: Tensor<2>, epsilon: f32) -> Tensor<2> {
    match implementation {
        Impl::Fused => Tensor::from_dispatch(Dispatch::rms_norm(
            x.into_dispatch(),
            weight.into_dispatch(),
            epsilon,
        )),
        Impl::Composed => reference::rms_norm(x, weight, epsilon),
    }
}
