//! Matrix multiplication on the CPU. Unlike burn's, it writes into memory that is not cleared first, and also
//! shares the narrow products of adapters among threads.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::DType;

use super::MatmulBackend;
use crate::kernels::flex_tensor;
use crate::kernels::gemm::{Matrix, multiply_each};
use crate::kernels::profile::{self, Product};
use crate::quantization::WeightType;

impl MatmulBackend for Flex {
    fn matmul(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        let _span = profile::product(|| {
            let ([rows, inner], [_, columns]) = (last_two(&a), last_two(&b));
            Product {
                batches: a.shape().num_elements() / (rows * inner).max(1),
                rows,
                inner,
                columns,
                second: WeightType::Float32,
                adds: false,
            }
        });
        product(&a, &b).unwrap_or_else(|| Self::float_matmul(a, b))
    }
}

/// Returns the product of two matrices, or of as many pairs of matrices as both tensors have; or `None` for
/// other tensors, which burn multiplies.
fn product(a: &FlexTensor, b: &FlexTensor) -> Option<FlexTensor> {
    let mut shape = a.shape();
    let rank = shape.num_dims();
    let batches = &shape[..rank - 2];
    let ([m, k], [_, n]) = (last_two(a), last_two(b));
    if a.dtype() != DType::F32
        || b.dtype() != DType::F32
        || batches != &b.shape()[..rank - 2]
        || [m, n, k].contains(&0)
        || [a, b]
            .iter()
            .any(|tensor| tensor.layout().strides().iter().any(|&stride| stride < 0))
    {
        return None;
    }
    let offsets = offsets(batches, [a, b].map(|tensor| tensor.layout().strides()));
    // SAFETY: the matrices are those of the tensors, whose strides are not negative.
    let values = unsafe { multiply_each([m, n, k], Matrix::of(a), Matrix::of(b), &offsets) };
    shape[rank - 1] = n;
    Some(flex_tensor(values, shape))
}

fn last_two(tensor: &FlexTensor) -> [usize; 2] {
    let shape = tensor.shape();
    let rank = shape.num_dims();
    [shape[rank - 2], shape[rank - 1]]
}

/// Returns where each pair of matrices begins.
fn offsets(batches: &[usize], strides: [&[isize]; 2]) -> Vec<[usize; 2]> {
    let mut offsets = vec![[0; 2]];
    for (dimension, &count) in batches.iter().enumerate() {
        let strides = strides.map(|strides| strides[dimension] as usize);
        offsets = offsets
            .iter()
            .flat_map(|of| {
                (0..count).map(move |i| [of[0] + i * strides[0], of[1] + i * strides[1]])
            })
            .collect();
    }
    offsets
}
