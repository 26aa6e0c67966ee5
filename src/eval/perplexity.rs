//! Perplexity: exp of the mean negative log-likelihood over all predicted tokens.

use serde::{Deserialize, Serialize};

use crate::data::{Batch, Sample, ordered_batches};
use crate::device;
use crate::error::Result;
use crate::model::CausalLm;
use crate::objective::{DEFAULT_TILE_BYTES, Objective, distillation_loss};

/// A perplexity and the number of predicted tokens that it is the mean over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Perplexity {
    /// exp(sum of NLL / tokens).
    pub perplexity: f64,
    /// Predicted tokens.
    pub tokens: usize,
}

/// An evaluation under way, a batch at a time.
#[derive(Clone, Debug)]
pub struct Evaluation {
    batches: Vec<Vec<usize>>,
    done: usize,
    negative_log_likelihood: f64,
    tokens: usize,
}

impl Evaluation {
    /// An evaluation of a model on samples, `batch_size` at a time.
    pub fn new(samples: &[Sample], batch_size: usize) -> Self {
        Self {
            batches: ordered_batches(samples, batch_size),
            done: 0,
            negative_log_likelihood: 0.0,
            tokens: 0,
        }
    }

    /// Batches done and in all.
    pub fn progress(&self) -> (usize, usize) {
        (self.done, self.batches.len())
    }

    /// Evaluates the next batch of the samples that it was made for; the result after the last.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Device`].
    pub async fn advance(
        &mut self,
        model: &CausalLm,
        samples: &[Sample],
    ) -> Result<Option<Perplexity>> {
        if let Some(indices) = self.batches.get(self.done) {
            let batch = Batch::new(samples, indices.clone());
            let device = model.tensor_device();
            let predictions = model.predictions(batch.inputs(&device));
            // The loss towards the one-hot target is the negative log-likelihood.
            let loss = distillation_loss(
                predictions,
                None,
                batch.labels(&device),
                &Objective::finetuning(),
                batch.positions,
                DEFAULT_TILE_BYTES,
            );
            let mean = f64::from(device::read(loss).await?[0]);
            self.negative_log_likelihood += mean * batch.positions as f64;
            self.tokens += batch.positions;
            self.done += 1;
        }
        Ok((self.done == self.batches.len()).then(|| Perplexity {
            perplexity: (self.negative_log_likelihood / self.tokens as f64).exp(),
            tokens: self.tokens,
        }))
    }
}

/// The perplexity of a model on samples, `batch_size` at a time.
///
/// # Errors
///
/// [`crate::Error::Device`].
pub async fn evaluate(
    model: &CausalLm,
    samples: &[Sample],
    batch_size: usize,
) -> Result<Perplexity> {
    let mut evaluation = Evaluation::new(samples, batch_size);
    loop {
        if let Some(perplexity) = evaluation.advance(model, samples).await? {
            return Ok(perplexity);
        }
    }
}
