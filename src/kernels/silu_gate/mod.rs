//! `silu(gate) · up`, the gated linear unit of Llama (Shazeer, arXiv:2002.05202).

mod autodiff;
mod cpu;
mod reference;
mod wgsl;

pub(crate) use wgsl::kernels;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::Impl;

/// The gated linear unit as an operation of a burn backend.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait SiluGateBackend: Backend {
    /// silu(gate) · up.
    #[fusion(dtype = gate, shape = gate)]
    fn silu_gate(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Gradients with respect to gate and up.
    #[fusion(meta = |gate, up, _| (gate.clone(), up.clone()))]
    fn silu_gate_backward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// Returns `silu(gate) · up`.
pub fn silu_gate(implementation: Impl, gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    match implementation {
        Impl::Fused => Tensor::from_dispatch(Dispatch::silu_gate(
            gate.into_dispatch(),
            up.into_dispatch(),
        )),
        Impl::Composed => reference::silu_gate(gate, up),
    }
}
