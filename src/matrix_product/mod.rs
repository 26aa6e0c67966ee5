//! Products of matrices, which is where a training's time goes: burn's on the CPU, a WGSL kernel of
//! our own on devices that run WGSL.
//!
//! Without autotune burn takes one of its kernels by rules that miss what small models need: on a
//! software adapter in a browser ours is many times faster than the best of them.

mod autodiff;
mod backend;
mod wgsl;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

pub use backend::MatrixProductBackend;

/// `a · b` of matrices \[…, rows, inner\] and \[…, inner, columns\], whose other dimensions are the
/// same.
pub fn matrix_product<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::matrix_product(
        a.into_dispatch(),
        b.into_dispatch(),
    ))
}
