//! Matrix multiplication on the CPU: burn's.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;

use super::MatmulBackend;

impl MatmulBackend for Flex {
    fn matmul(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        Self::float_matmul(a, b)
    }
}
