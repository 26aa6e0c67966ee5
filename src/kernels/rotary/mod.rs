//! Rotary position embedding (Su et al., arXiv:2104.09864).

mod autodiff;
mod cpu;
mod reference;
mod wgsl;

pub(crate) use wgsl::kernels;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::Impl;

/// Rotary embedding as an operation of a burn backend.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait RotaryBackend: Backend {
    /// Rotary embedding of x \[batch, length, heads, size\] by tables \[length, size / 2\]; a
    /// `direction` of -1 rotates back.
    #[fusion(dtype = x, shape = x)]
    fn rotate(
        x: FloatTensor<Self>,
        cosine: FloatTensor<Self>,
        sine: FloatTensor<Self>,
        direction: f32,
    ) -> FloatTensor<Self>;
}

/// Rotates x \[batch, length, heads, size\] by tables \[length, size / 2\] of cosines and sines, in the
/// layout of Hugging Face: element i of a head rotates with element i + size / 2.
pub fn rotate(implementation: Impl, x: Tensor<4>, cosine: Tensor<2>, sine: Tensor<2>) -> Tensor<4> {
    match implementation {
        Impl::Fused => Tensor::from_dispatch(Dispatch::rotate(
            x.into_dispatch(),
            cosine.into_dispatch(),
            sine.into_dispatch(),
            1.0,
        )),
        Impl::Composed => reference::rotate(x, cosine, sine),
    }
}
