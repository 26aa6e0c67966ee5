//! Float16 numbers, two in an element of 32 bits, as operations of a burn backend: every device can do
//! that, also those that cannot compute with them.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};
#[cfg(feature = "fusion")]
use burn::tensor::{DType, Shape};

/// What a backend does for float16 numbers.
#[backend_extension(Cube, Flex, Fusion: cfg(feature = "fusion"))]
pub trait HalvesBackend: Backend {
    /// The values of a tensor as float16, two an element of the result \[half as many, rounded up\];
    /// values beyond its range become its largest.
    #[fusion(dtype = DType::I32, shape = Shape::new([tensor.num_elements().div_ceil(2)]))]
    fn to_halves(tensor: FloatTensor<Self>) -> IntTensor<Self>;

    /// The values \[rows, columns\] of such a result.
    #[fusion(dtype = DType::F32, shape = Shape::new([*rows, *columns]))]
    fn from_halves(halves: IntTensor<Self>, rows: usize, columns: usize) -> FloatTensor<Self>;
}
