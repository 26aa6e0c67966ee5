//! Low-rank layers on the CPU: the update is added within the matrix multiplication.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;

use super::LowRankBackend;
use crate::kernels::gemm::{Matrix, Out, Threads, Update, multiply};
use crate::kernels::profile::{self, Product};
use crate::quantization::WeightType;

impl LowRankBackend for Flex {
    fn add_product(sum: FlexTensor, a: FlexTensor, b: FlexTensor, scale: f32) -> FlexTensor {
        let mut out = sum.to_contiguous();
        // One handle, so that the memory is not copied.
        drop(sum);
        let [m, n, k] = [a.shape()[0], b.shape()[1], a.shape()[1]];
        assert_eq!(
            out.shape().dims(),
            [m, n],
            "the product has the sum's shape"
        );
        let _span = profile::product(|| Product {
            batches: 1,
            rows: m,
            inner: k,
            columns: n,
            second: WeightType::Float32,
            adds: true,
        });
        let to = Out::new(out.storage_mut::<f32>().as_mut_ptr(), n);
        // SAFETY: the matrices are those of tensors of these shapes, and `out` has no other reference.
        unsafe {
            multiply(
                [m, n, k],
                to,
                Update {
                    adds: true,
                    factor: scale,
                },
                Matrix::of(&a),
                Matrix::of(&b),
                Threads::All,
            );
        }
        out
    }
}
