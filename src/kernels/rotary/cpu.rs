//! Rotary embedding on the CPU; mirrors `shaders/rotary/rotate.wgsl`.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::DType;
use rayon::prelude::*;

use super::RotaryBackend;
use crate::kernels::profile::{self, Operation, Work};

/// Positions per task.
const POSITIONS_PER_TASK: usize = 64;

impl RotaryBackend for Flex {
    fn rotate(x: FlexTensor, cosine: FlexTensor, sine: FlexTensor, direction: f32) -> FlexTensor {
        let values = || 2 * x.shape().num_elements() + 2 * cosine.shape().num_elements();
        let _span = profile::operation(Operation::Rotary, || Work::moving(values()));
        let (x, cosine, sine) = (
            x.to_contiguous(),
            cosine.to_contiguous(),
            sine.to_contiguous(),
        );
        let [_, length, heads, size] = x.shape().dims();
        let mut out = FlexTensor::empty(x.shape(), DType::F32);
        rotate(
            x.storage(),
            [length, heads, size],
            cosine.storage(),
            sine.storage(),
            direction,
            out.storage_mut(),
        );
        out
    }
}

/// Rotates `x` \[batch, length, heads, size\] by tables \[length, size / 2\]. `direction` is 1, or -1
/// to rotate back.
fn rotate(
    x: &[f32],
    [length, heads, size]: [usize; 3],
    cosine: &[f32],
    sine: &[f32],
    direction: f32,
    out: &mut [f32],
) {
    let half = size / 2;
    let position = heads * size;
    (x.par_chunks(position), out.par_chunks_mut(position))
        .into_par_iter()
        .with_min_len(POSITIONS_PER_TASK)
        .enumerate()
        .for_each(|(row, (x, out))| {
            let at = row % length * half;
            let (cosine, sine) = (&cosine[at..at + half], &sine[at..at + half]);
            for (x, out) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
                let (x_low, x_high) = x.split_at(half);
                let (low, high) = out.split_at_mut(half);
                for i in 0..half {
                    let sine = sine[i] * direction;
                    low[i] = x_low[i] * cosine[i] - x_high[i] * sine;
                    high[i] = x_high[i] * cosine[i] + x_low[i] * sine;
                }
            }
        });
}
