//! Sums of loss and gradients over the ranks: an all-reduce of float32 values, in buckets.
//!
//! Each rank has its samples' share of the mean over all predicted tokens of the step, so that the sum is the mean. A
//! bucket is sent as soon as it is full, while the next gradients are computed or read back.

use std::collections::VecDeque;

use burn::tensor::{Tensor, TensorData};

use super::backward::LossAndGradients;
use crate::device;
use crate::device::ranks::{PendingSum, Ranks};
use crate::error::Result;
use crate::model::Parameters;

/// Values per bucket: 16 MiB, as large as keeps the latency of an all-reduce below its transfer, and as small as starts
/// early.
const BUCKET: usize = 4 << 20;

/// Returns the sum of loss and gradients over the ranks, the same on every rank.
///
/// # Errors
///
/// [`crate::Error::Rank`] if a rank has failed, [`crate::Error::Device`] if the device fails.
pub(super) async fn over_ranks(
    ranks: &Ranks,
    computed: LossAndGradients,
) -> Result<LossAndGradients> {
    if ranks.is_single() {
        return Ok(computed);
    }
    let LossAndGradients { loss, gradients } = computed;
    let device = loss.device();
    let mut buckets = Buckets::new(ranks);
    buckets.push(&device::read(loss).await?);
    let mut shapes = Vec::with_capacity(gradients.len());
    for gradient in gradients {
        shapes.push(gradient.dims());
        buckets.push(&device::read(gradient).await?);
    }
    let mut sums = buckets.finish();
    let loss = Tensor::from_data(TensorData::new(sums.take(1)?, [1]), &device);
    let mut gradients = Parameters::with_capacity(shapes.len());
    for shape in shapes {
        let values = sums.take(shape.iter().product())?;
        gradients.push(Tensor::from_data(TensorData::new(values, shape), &device));
    }
    Ok(LossAndGradients { loss, gradients })
}

/// Returns the sum of tensors over the ranks, the same on every rank.
///
/// # Errors
///
/// As [`over_ranks`].
pub(super) async fn tensors_over_ranks(ranks: &Ranks, tensors: &Parameters) -> Result<Parameters> {
    let Some(first) = tensors.first() else {
        return Ok(Parameters::new());
    };
    let computed = LossAndGradients {
        loss: Tensor::zeros([1], &first.device()),
        gradients: tensors.clone(),
    };
    Ok(over_ranks(ranks, computed).await?.gradients)
}

/// Values on their way over the ranks.
struct Buckets<'a> {
    ranks: &'a Ranks,
    open: Vec<f32>,
    sent: VecDeque<PendingSum>,
}

impl<'a> Buckets<'a> {
    fn new(ranks: &'a Ranks) -> Self {
        Self {
            ranks,
            open: Vec::new(),
            sent: VecDeque::new(),
        }
    }

    fn push(&mut self, mut values: &[f32]) {
        while !values.is_empty() {
            let (taken, rest) = values.split_at(values.len().min(BUCKET - self.open.len()));
            self.open.extend_from_slice(taken);
            values = rest;
            if self.open.len() == BUCKET {
                self.send();
            }
        }
    }

    fn send(&mut self) {
        let bucket = std::mem::take(&mut self.open);
        self.sent.extend(self.ranks.begin_sum(bucket));
    }

    /// Sends what is left, and returns the sums in the order of the values.
    fn finish(mut self) -> Sums {
        if !self.open.is_empty() {
            self.send();
        }
        Sums {
            sent: self.sent,
            open: Vec::new().into_iter(),
        }
    }
}

/// Sums that arrive bucket by bucket.
struct Sums {
    sent: VecDeque<PendingSum>,
    open: std::vec::IntoIter<f32>,
}

impl Sums {
    /// Waits for the next `count` sums.
    fn take(&mut self, count: usize) -> Result<Vec<f32>> {
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            taken.extend(self.open.by_ref().take(count - taken.len()));
            if taken.len() < count {
                let next = self.sent.pop_front();
                let next = next.expect("as many sums are taken as values were sent");
                self.open = next.wait()?.into_iter();
            }
        }
        Ok(taken)
    }
}
