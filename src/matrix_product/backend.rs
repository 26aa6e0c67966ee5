//! The product as an operation of a burn backend.

use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex, backend_extension};

/// What a backend does for products of matrices.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait MatrixProductBackend: Backend {
    /// `a · b` of matrices \[…, rows, inner\] and \[…, inner, columns\], whose other dimensions are
    /// the same.
    #[fusion(dtype = a, shape = {
        let mut shape = a.clone();
        let columns = shape.num_dims() - 1;
        shape[columns] = b[columns];
        shape
    })]
    fn matrix_product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl MatrixProductBackend for Flex {
    fn matrix_product(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        Self::float_matmul(a, b)
    }
}
