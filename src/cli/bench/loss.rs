//! The distillation loss of given logits: the fused kernel and the tensor operations that it replaces.

use std::time::Duration;

use burn::tensor::{Distribution, Int, Tensor, TensorData};
use serde::Serialize;

use super::rates::Rates;
use super::timing::{PeakMemory, finished, median};
use crate::device::Device;
use crate::error::Result;
use crate::kernels::distillation::{self, Objective, reference};

/// Shape of the logits.
const ROWS: usize = 1024;
const VOCABULARY: usize = 32_000;

/// An implementation of the loss and its gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Impl {
    /// The fused kernel.
    Kernel,
    /// Tensor operations and autodiff.
    TensorOperations,
}

/// Statistics of the loss and its gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct LossStats {
    /// The implementation.
    pub way: Impl,
    /// Rows of the logits.
    pub rows: usize,
    /// Vocabulary size.
    pub vocabulary: usize,
    /// Median time.
    pub seconds: f64,
    /// Bytes that any implementation has to move: both logits read, the gradient written.
    pub bytes_needed: u64,
    /// Time to copy the same number of bytes, divided by the measured time: 1 is the memory bandwidth.
    pub share_of_bandwidth: f64,
    /// Peak memory in bytes, without the logits.
    pub extra_bytes: Option<u64>,
}

pub(super) async fn measure(
    device: &Device,
    way: Impl,
    rates: &Rates,
    budget: Duration,
) -> Result<LossStats> {
    let logits = || {
        let distribution = Distribution::Uniform(-5.0, 5.0);
        Tensor::<2>::random([ROWS, VOCABULARY], distribution, device.tensors())
    };
    let (student, teacher) = (logits(), logits());
    let labels = (0..ROWS).map(|row| (row * 31 % VOCABULARY) as i32);
    let labels = TensorData::new(labels.collect::<Vec<_>>(), [ROWS]);
    let labels = Tensor::<1, Int>::from_data(labels, device.tensors());
    finished(student.clone()).await?;
    finished(teacher.clone()).await?;

    let memory = PeakMemory::begin(device);
    // The kernel overwrites the logits with the gradient; the next repetition uses it as its logits.
    let mut kept = Some(student);
    let objective = Objective::default();
    let scale = 1.0 / ROWS as f32;
    let time = median(budget, || {
        let student = kept.take().expect("put back by every repetition");
        match way {
            Impl::Kernel => {
                let (losses, gradient) = distillation::loss_and_gradient(
                    student,
                    Some(teacher.clone()),
                    labels.clone(),
                    &objective,
                    scale,
                );
                kept = Some(gradient);
                losses.unsqueeze::<2>()
            }
            Impl::TensorOperations => {
                let tracked = student.clone().autodiff().require_grad();
                let (teacher, labels) = (teacher.clone(), labels.clone());
                let losses = reference::distillation_loss(
                    tracked.clone(),
                    teacher.autodiff(),
                    labels,
                    &objective,
                );
                let gradients = (losses.sum_dim(0) * scale).backward();
                kept = Some(student);
                tracked
                    .grad(&gradients)
                    .expect("the loss depends on the logits")
            }
        }
    })
    .await?;
    let bytes_needed = (3 * ROWS * VOCABULARY * size_of::<f32>()) as u64;
    Ok(LossStats {
        way,
        rows: ROWS,
        vocabulary: VOCABULARY,
        seconds: time.as_secs_f64(),
        bytes_needed,
        share_of_bandwidth: bytes_needed as f64 / rates.bandwidth / time.as_secs_f64(),
        extra_bytes: memory.bytes(),
    })
}
