//! Rows of an embedding. The same as burn's operation, with another gradient: burn's makes one as large as the
//! table, zero but for the rows that were looked up, and adds it to the gradient that a tied head already has.
//! Here, the rows are added to that.

mod autodiff;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::wgpu::CubeBackend;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Int, IntDType, Tensor};

/// The look-up as an operation of a burn backend.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub(crate) trait LookUpBackend: Backend {
    /// Returns rows \[n, width\] of a table \[rows, width\] by their indices \[n\].
    #[fusion(default)]
    fn look_up(table: FloatTensor<Self>, indices: IntTensor<Self>) -> FloatTensor<Self> {
        Self::float_select(table, 0, indices)
    }
}

impl LookUpBackend for Flex {}

impl LookUpBackend for CubeBackend {}

/// Returns rows \[n, width\] of a table \[rows, width\] by their indices \[n\].
///
/// # Panics
///
/// If an index is not that of a row (on GPUs, the result is undefined).
pub(crate) fn look_up(table: Tensor<2>, indices: Tensor<1, Int>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::look_up(
        table.into_dispatch(),
        indices.cast(IntDType::I32).into_dispatch(),
    ))
}

#[cfg(test)]
mod tests {
    use burn::tensor::module::embedding;
    use burn::tensor::{Device, Distribution};

    use super::*;

    /// A table that is looked up twice and used besides, as a tied head is: both gradients are added, in either
    /// order, and rows that were looked up more than once have the sum.
    #[test]
    fn gradients_are_added_to_those_of_a_tied_head() {
        let device = Device::flex();
        let random = |shape: [usize; 2]| {
            Tensor::<2>::random(shape, Distribution::Uniform(-1.0, 1.0), &device)
        };
        let (values, head, upstream) = (random([7, 3]), random([7, 3]), random([5, 3]));
        let indices = Tensor::<1, Int>::from_ints([2, 0, 2, 6, 2], &device);
        let gradient = |rows: &dyn Fn(Tensor<2>, Tensor<1, Int>) -> Tensor<2>, tied: bool| {
            let table = values.clone().autodiff().require_grad();
            let one = rows(table.clone(), indices.clone()) * upstream.clone().autodiff();
            let other = rows(table.clone(), indices.clone().flip([0]));
            let mut sum = one.sum() + (other.clone() * other).sum();
            if tied {
                sum = sum + (table.clone() * head.clone().autodiff()).sum();
            }
            let gradient = table.grad(&sum.backward()).expect("the table is tracked");
            gradient.into_data()
        };
        for tied in [false, true] {
            let expected = gradient(
                &|table, indices: Tensor<1, Int>| embedding(table, indices.unsqueeze()).squeeze(),
                tied,
            );
            gradient(&look_up, tied).assert_approx_eq::<f32>(&expected, Default::default());
        }
    }
}
