//! Sums of loss and gradients: over the batches of a step, and over the ranks by an all-reduce of float32 values, in
//! buckets.
//!
//! Each rank has its samples' share of the mean over all predicted tokens of the step, so that the sum is the mean. The
//! backward pass of the last batch completes the gradients from the last parameter to the first. They are sent in this
//! order, while those of earlier layers are computed.

use std::collections::VecDeque;

use burn::tensor::{Device, Gradients, Tensor, TensorData};

use crate::device;
use crate::device::ranks::{PendingSum, Ranks};
use crate::error::Result;
use crate::model::Parameters;

/// Values per bucket: 16 MiB, as large as keeps the latency of an all-reduce below its transfer, and as small as starts
/// early. The small models of unit tests fill several, too.
const BUCKET: usize = if cfg!(test) { 10_000 } else { 4 << 20 };

/// A loss and its gradient.
#[derive(Clone, Debug)]
pub(super) struct LossAndGradients {
    /// The loss \[1\].
    pub loss: Tensor<1>,
    /// One gradient per trainable parameter.
    pub gradients: Parameters,
}

/// The sums of a step.
pub(super) struct StepSums<'a> {
    parameters: &'a Parameters,
    loss: Option<Tensor<1>>,
    /// Of the parameters whose gradients are not sent yet; `None` for 0.
    gradients: Vec<Option<Tensor<2>>>,
    /// `None` in a single process.
    over_ranks: Option<RankSums<'a>>,
}

impl<'a> StepSums<'a> {
    /// Starts with 0 for these parameters, of which there is at least one.
    pub(super) fn new(parameters: &'a Parameters, ranks: &'a Ranks) -> Self {
        Self {
            parameters,
            loss: None,
            gradients: vec![None; parameters.len()],
            over_ranks: (!ranks.is_single()).then(|| RankSums::new(ranks)),
        }
    }

    /// Returns whether [`Self::send`] does anything.
    pub(super) fn are_sent(&self) -> bool {
        self.over_ranks.is_some()
    }

    /// Adds the loss \[1\] of a batch.
    pub(super) fn add_loss(&mut self, loss: Tensor<1>) {
        self.loss = Some(match self.loss.take() {
            Some(sum) => sum + loss,
            None => loss,
        });
    }

    /// Adds the gradients of tracked values, one per parameter.
    pub(super) fn add(&mut self, values: &Parameters, gradients: &mut Gradients) {
        for (value, sum) in values.iter().zip(&mut self.gradients) {
            if let Some(gradient) = value.grad_remove(gradients) {
                *sum = Some(match sum.take() {
                    Some(sum) => sum + gradient,
                    None => gradient,
                });
            }
        }
    }

    /// Sends the gradients from a parameter on, to which nothing will be added.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Device`] if the device fails.
    pub(super) async fn send(&mut self, first: usize) -> Result<()> {
        let Some(over_ranks) = &mut self.over_ranks else {
            return Ok(());
        };
        while self.gradients.len() > first {
            let sum = self.gradients.pop().flatten();
            let parameter = &self.parameters[self.gradients.len()];
            over_ranks.push(sum.unwrap_or_else(|| parameter.zeros_like()));
        }
        over_ranks.send().await
    }

    /// Returns the sums, the same on every rank.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Rank`] if a rank has failed, [`crate::Error::Device`] if the device fails.
    pub(super) async fn finish(mut self) -> Result<LossAndGradients> {
        self.send(0).await?;
        let device = self.parameters[0].device();
        let loss = self.loss.unwrap_or_else(|| Tensor::zeros([1], &device));
        let Some(mut over_ranks) = self.over_ranks else {
            let sums = self.gradients.into_iter().zip(self.parameters);
            let gradients =
                sums.map(|(sum, parameter)| sum.unwrap_or_else(|| parameter.zeros_like()));
            let gradients = gradients.collect();
            return Ok(LossAndGradients { loss, gradients });
        };
        over_ranks.push(loss.reshape([1, 1]));
        let mut sums = over_ranks.finish().await?;
        let loss = sums.pop().expect("the loss was sent last").reshape([1]);
        sums.reverse();
        Ok(LossAndGradients {
            loss,
            gradients: sums,
        })
    }
}

/// Returns the sums of tensors over the ranks, the same on every rank.
///
/// # Errors
///
/// [`crate::Error::Rank`] if a rank has failed, [`crate::Error::Device`] if the device fails.
pub(super) async fn over_ranks(ranks: &Ranks, tensors: &Parameters) -> Result<Parameters> {
    let mut sums = RankSums::new(ranks);
    for tensor in tensors {
        sums.push(tensor.clone());
    }
    sums.finish().await
}

/// Tensors on their way over the ranks.
struct RankSums<'a> {
    ranks: &'a Ranks,
    /// Tensors that are not read yet: a GPU may still compute them.
    unread: VecDeque<Tensor<2>>,
    /// Number of these that are old enough to be read without waiting long.
    due: usize,
    /// Shapes and devices of those read.
    read: Vec<([usize; 2], Device)>,
    /// The bucket that is being filled.
    open: Vec<f32>,
    sent: VecDeque<PendingSum>,
}

impl<'a> RankSums<'a> {
    fn new(ranks: &'a Ranks) -> Self {
        Self {
            ranks,
            unread: VecDeque::new(),
            due: 0,
            read: Vec::new(),
            open: Vec::new(),
            sent: VecDeque::new(),
        }
    }

    fn push(&mut self, tensor: Tensor<2>) {
        self.unread.push_back(tensor);
    }

    /// Reads the tensors that were there at the previous call, and sends the buckets that they fill.
    async fn send(&mut self) -> Result<()> {
        for tensor in self.unread.drain(..self.due) {
            self.read.push((tensor.dims(), tensor.device()));
            let values = device::read(tensor).await?;
            let mut left = values.as_slice();
            while !left.is_empty() {
                let (taken, rest) = left.split_at(left.len().min(BUCKET - self.open.len()));
                self.open.extend_from_slice(taken);
                left = rest;
                if self.open.len() == BUCKET {
                    self.sent
                        .extend(self.ranks.begin_sum(std::mem::take(&mut self.open)));
                }
            }
        }
        self.due = self.unread.len();
        Ok(())
    }

    /// Sends what is left, and returns the sums in the order of the tensors.
    async fn finish(mut self) -> Result<Parameters> {
        self.due = self.unread.len();
        self.send().await?;
        if !self.open.is_empty() {
            self.sent.extend(self.ranks.begin_sum(self.open));
        }
        let mut arrived = Vec::new().into_iter();
        let mut sums = Parameters::with_capacity(self.read.len());
        for (shape, device) in self.read {
            let count = shape.iter().product();
            let mut values = Vec::with_capacity(count);
            while values.len() < count {
                values.extend(arrived.by_ref().take(count - values.len()));
                if values.len() < count {
                    let next = self.sent.pop_front();
                    let next = next.expect("as many sums are taken as values were sent");
                    arrived = next.wait()?.into_iter();
                }
            }
            sums.push(Tensor::from_data(TensorData::new(values, shape), &device));
        }
        Ok(sums)
    }
}
