//! The loss of logits that exist: the kernel, and what it replaces.

use std::time::Duration;

use burn::tensor::{Distribution, Int, Tensor, TensorData};
use serde::Serialize;

use super::rates::Rates;
use super::timing::{PeakMemory, finished, median};
use crate::device::Device;
use crate::error::Result;
use crate::objective::{self, Objective, reference};

/// Rows and columns of the logits.
const ROWS: usize = 1024;
const VOCABULARY: usize = 32_000;

/// A way to compute the loss and its gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// minift's own kernel.
    Kernel,
    /// Tensor operations and autodiff.
    TensorOperations,
}

/// What loss and gradient of logits take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LossFigures {
    /// How they were computed.
    pub way: Way,
    /// Rows of the logits.
    pub rows: usize,
    /// Columns of the logits.
    pub vocabulary: usize,
    /// Median time.
    pub seconds: f64,
    /// Bytes that any way has to move: both logits in, the gradient out.
    pub bytes_needed: u64,
    /// Time of a copy of as many bytes, over the time taken: 1 is as fast as memory is.
    pub share_of_bandwidth: f64,
    /// Bytes at the peak beyond the logits themselves.
    pub extra_bytes: Option<u64>,
}

pub(super) async fn measure(
    device: &Device,
    way: Way,
    rates: &Rates,
    patience: Duration,
) -> Result<LossFigures> {
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
    // The kernel puts the gradient in place of the logits, which are the next repetition's.
    let mut kept = Some(student);
    let objective = Objective::default();
    let scale = 1.0 / ROWS as f32;
    let time = median(patience, || {
        let student = kept.take().expect("put back each time");
        match way {
            Way::Kernel => {
                let (losses, gradient) = objective::loss_and_gradient(
                    student,
                    Some(teacher.clone()),
                    labels.clone(),
                    &objective,
                    scale,
                );
                kept = Some(gradient);
                losses.unsqueeze::<2>()
            }
            Way::TensorOperations => {
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
                tracked.grad(&gradients).expect("the loss depends on them")
            }
        }
    })
    .await?;
    let bytes_needed = (3 * ROWS * VOCABULARY * size_of::<f32>()) as u64;
    Ok(LossFigures {
        way,
        rows: ROWS,
        vocabulary: VOCABULARY,
        seconds: time.as_secs_f64(),
        bytes_needed,
        share_of_bandwidth: bytes_needed as f64 / rates.bandwidth / time.as_secs_f64(),
        extra_bytes: memory.bytes(),
    })
}
