//! Soft caps on the CPU; mirrors `shared/soft_cap.wgsl`, and `forward.wgsl` and `backward.wgsl` of
//! `shaders/soft_cap/`.

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use multiversion::multiversion;
use rayon::prelude::*;

use super::SoftCapBackend;
use crate::kernels::profile::{self, Operation, Work};
use crate::kernels::vector::tanh;
use crate::kernels::{ELEMENTS_PER_TASK, contiguous};

impl SoftCapBackend for Flex {
    fn soft_cap(x: FlexTensor, cap: f32) -> FlexTensor {
        let mut out = contiguous(x);
        let values = out.shape().num_elements();
        let _span = profile::operation(Operation::SoftCap, || Work::moving(2 * values));
        out.storage_mut()
            .par_chunks_mut(ELEMENTS_PER_TASK)
            .for_each(|values| soft_cap_block(values, cap));
        out
    }

    fn soft_cap_backward(capped: FlexTensor, upstream: FlexTensor, cap: f32) -> FlexTensor {
        let capped = capped.to_contiguous();
        let mut gradient = contiguous(upstream);
        let values = capped.shape().num_elements();
        let _span = profile::operation(Operation::SoftCap, || Work::moving(3 * values));
        (
            capped.storage().par_chunks(ELEMENTS_PER_TASK),
            gradient.storage_mut().par_chunks_mut(ELEMENTS_PER_TASK),
        )
            .into_par_iter()
            .for_each(|(capped, gradient)| soft_cap_backward_block(capped, gradient, cap));
        gradient
    }
}

/// Returns cap · tanh(x / cap).
#[inline(always)]
pub(crate) fn soft_capped(x: f32, cap: f32) -> f32 {
    cap * tanh(x / cap)
}

/// Returns the derivative of [`soft_capped`] where its value is `capped`.
#[inline(always)]
pub(crate) fn slope(capped: f32, cap: f32) -> f32 {
    let tangent = capped / cap;
    (1.0 - tangent) * (1.0 + tangent)
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn soft_cap_block(values: &mut [f32], cap: f32) {
    for value in values {
        *value = soft_capped(*value, cap);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn soft_cap_backward_block(capped: &[f32], gradient: &mut [f32], cap: f32) {
    for (gradient, &capped) in gradient.iter_mut().zip(capped) {
        *gradient *= slope(capped, cap);
    }
}
