//! Float16 storage as operations of a burn backend: two numbers per 32-bit element, even on devices without
//! float16 arithmetic.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};
#[cfg(feature = "fusion")]
use burn::tensor::{DType, Shape};

/// Conversion to and from float16 storage.
#[backend_extension(Cube, Flex, Fusion: cfg(feature = "fusion"))]
pub(crate) trait HalfBackend: Backend {
    /// Rounds n values to float16 and packs two per element of the result \[n / 2, rounded up\]. Values out
    /// of range are clamped to the largest float16.
    #[fusion(dtype = DType::I32, shape = Shape::new([tensor.num_elements().div_ceil(2)]))]
    fn pack(tensor: FloatTensor<Self>) -> IntTensor<Self>;

    /// Unpacks a tensor into its values \[rows, columns\].
    #[fusion(dtype = DType::F32, shape = Shape::new([*rows, *columns]))]
    fn unpack(packed: IntTensor<Self>, rows: usize, columns: usize) -> FloatTensor<Self>;
}
