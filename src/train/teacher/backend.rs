//! Float16 numbers, two in an element of 32 bits, as operations of a burn backend: every device can do
//! that, also those that cannot compute with them.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};

/// What a backend does for float16 numbers.
#[backend_extension(Cube, Flex)]
pub trait HalvesBackend: Backend {
    /// The values of a tensor as float16, two an element of the result \[half as many, rounded up\];
    /// values beyond its range become its largest.
    fn to_halves(tensor: FloatTensor<Self>) -> IntTensor<Self>;

    /// The values \[rows, columns\] of such a result.
    fn from_halves(halves: IntTensor<Self>, rows: usize, columns: usize) -> FloatTensor<Self>;
}
