//! Low-rank layers on devices that run WGSL: products by their kernel, and a sum.

use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeBackend;

use super::LowRankBackend;
use crate::kernels::matmul::MatmulBackend;

impl LowRankBackend for CubeBackend {
    fn add_product(
        sum: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        // The smaller of both factors is scaled.
        let (a, b) = if scale == 1.0 {
            (a, b)
        } else {
            (a, Self::float_mul_scalar(b, scale.into()))
        };
        Self::float_add(sum, Self::matmul(a, b))
    }
}
