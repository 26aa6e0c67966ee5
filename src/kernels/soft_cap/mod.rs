//! Soft caps of logits: `cap · tanh(x / cap)`, which is between −cap and cap (Gemma Team, arXiv:2408.00118).

mod autodiff;
mod cpu;
pub(super) mod reference;
mod wgsl;

pub(super) use cpu::{slope, soft_capped};
pub(crate) use wgsl::kernels;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::Impl;

/// Soft caps as operations of a burn backend.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait SoftCapBackend: Backend {
    /// Returns cap · tanh(x / cap). Reuses the memory of x if no other handle shares it.
    #[fusion(dtype = x, shape = x)]
    fn soft_cap(x: FloatTensor<Self>, cap: f32) -> FloatTensor<Self>;

    /// Returns the gradient with respect to x, from the capped values and the gradient with respect to them,
    /// whose memory is reused if no other handle shares it.
    #[fusion(dtype = upstream, shape = upstream)]
    fn soft_cap_backward(
        capped: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        cap: f32,
    ) -> FloatTensor<Self>;
}

/// Returns `cap · tanh(x / cap)`.
pub fn soft_cap(implementation: Impl, x: Tensor<2>, cap: f32) -> Tensor<2> {
    match implementation {
        Impl::Fused => Tensor::from_dispatch(Dispatch::soft_cap(x.into_dispatch(), cap)),
        Impl::Composed => reference::soft_cap(x, cap),
    }
}
