//! Matrix multiplication, where a training step spends most of its time: by the crate `gemm` on the CPU, by WGSL
//! kernels on devices that run WGSL.
//!
//! Without autotune burn picks one of its kernels by rules that do not suit the matrices of small models:
//! on a software adapter in a browser this kernel is many times faster than the best of them.

mod autodiff;
mod cpu;
mod wgsl;

pub(crate) use wgsl::{Matrices, kernels, kernels_with, product};

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

/// Matrix multiplication as an operation of a burn backend.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait MatmulBackend: Backend {
    /// `a · b` of float32 matrices \[…, rows, inner\] and \[…, inner, columns\] with the same batch
    /// dimensions.
    #[fusion(dtype = a, shape = {
        let mut shape = a.clone();
        let columns = shape.num_dims() - 1;
        shape[columns] = b[columns];
        shape
    })]
    fn matmul(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Returns `a · b` for matrices \[…, rows, inner\] and \[…, inner, columns\] with the same batch
/// dimensions.
pub fn matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::matmul(a.into_dispatch(), b.into_dispatch()))
}
