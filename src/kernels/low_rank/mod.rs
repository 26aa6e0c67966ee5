//! Linear layers with a low-rank update (LoRA, Hu et al., arXiv:2106.09685): `x · Wᵀ + scale · x · Aᵀ · Bᵀ`.
//!
//! As one operation, since the update and its gradients are added to the large products where these are: in
//! tensor operations every layer would make four more passes over its outputs and inputs.

mod autodiff;
mod cpu;
mod reference;
mod wgsl;

pub use reference::low_rank_linear_reference;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::matmul::MatmulBackend;
use super::packed::{Head, PackedBackend, Weight, times_head};

/// Low-rank layers as operations of a burn backend.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait LowRankBackend: Backend + MatmulBackend + PackedBackend {
    /// Returns `sum + scale · a · b`. Reuses the memory of `sum` if no other handle shares it.
    #[fusion(dtype = sum, shape = sum)]
    fn add_product(
        sum: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self>;

    /// Returns `x · Wᵀ + scale · x · Aᵀ · Bᵀ`, and `x · Aᵀ`, for x \[n, in\], W \[out, in\], A \[rank, in\] and
    /// B \[out, rank\]. Differentiable with respect to x, A and B.
    #[fusion(default)]
    fn low_rank_linear(
        x: FloatTensor<Self>,
        #[extension_type] weight: Head<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let narrow = Self::matmul(x.clone(), Self::float_transpose(a));
        let y = times_head(x, &weight, true);
        let y = Self::add_product(y, narrow.clone(), Self::float_transpose(b), scale);
        (y, narrow)
    }
}

/// Returns `x · Wᵀ + scale · x · Aᵀ · Bᵀ` for x \[n, in\], W \[out, in\], A \[rank, in\] and B \[out, rank\]. W
/// gets no gradient.
pub fn low_rank_linear(
    x: Tensor<2>,
    weight: &Weight,
    a: &Tensor<2>,
    b: &Tensor<2>,
    scale: f32,
) -> Tensor<2> {
    let (y, _) = Dispatch::low_rank_linear(
        x.into_dispatch(),
        weight.clone().into_head(),
        a.clone().into_dispatch(),
        b.clone().into_dispatch(),
        scale,
    );
    Tensor::from_dispatch(y)
}
