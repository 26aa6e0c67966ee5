//! Perplexity: the exponential of the mean negative log-likelihood of the predicted tokens.

use serde::{Deserialize, Serialize};

use crate::device;
use crate::error::{Error, Result};
use crate::model::{Batch, CausalLm, ordered_batches};
use crate::text::{Sample, predicted_tokens};

/// A perplexity, and the number of tokens that it is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Perplexity {
    /// exp(summed negative log-likelihood / tokens).
    pub perplexity: f64,
    /// Number of predicted tokens.
    pub tokens: usize,
}

/// An evaluation in progress, which advances by one batch at a time.
#[derive(Clone, Debug)]
pub struct Evaluation {
    batches: Vec<Vec<usize>>,
    done: usize,
    negative_log_likelihood: f64,
    tokens: usize,
}

impl Evaluation {
    /// Starts an evaluation on samples, `batch_size` of them per batch.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a batch size of 0, [`Error::NoSamples`] where no token is predicted.
    pub fn new(samples: &[Sample], batch_size: usize) -> Result<Self> {
        if batch_size == 0 {
            return Err(Error::setting("batch_size", batch_size, "at least 1"));
        }
        if predicted_tokens(samples) == 0 {
            return Err(Error::NoSamples {
                origin: "the evaluation set".to_string(),
                reason: Error::NOTHING_TO_PREDICT.to_string(),
            });
        }
        Ok(Self {
            batches: ordered_batches(samples, batch_size),
            done: 0,
            negative_log_likelihood: 0.0,
            tokens: 0,
        })
    }

    /// Returns the number of batches done, and of all.
    pub fn progress(&self) -> (usize, usize) {
        (self.done, self.batches.len())
    }

    /// Evaluates the next batch, and returns the result after the last one. `samples` must be those that
    /// the evaluation was created with.
    ///
    /// # Errors
    ///
    /// [`Error::Device`].
    pub async fn advance(
        &mut self,
        model: &CausalLm,
        samples: &[Sample],
    ) -> Result<Option<Perplexity>> {
        if let Some(indices) = self.batches.get(self.done) {
            // Each text is evaluated as it would be alone; the samples are sorted by length.
            let config = &model.config().decoder;
            let variant = |&index: &usize| config.rope_variant(samples[index].longest_text());
            for indices in indices.chunk_by(|a, b| variant(a) == variant(b)) {
                let batch = Batch::new(samples, indices.to_vec());
                // Samples of a single token predict nothing.
                if batch.predicted_tokens == 0 {
                    continue;
                }
                let loss = model.mean_nll(&batch);
                let mean = f64::from(device::read(loss).await?[0]);
                self.negative_log_likelihood += mean * batch.predicted_tokens as f64;
                self.tokens += batch.predicted_tokens;
            }
            self.done += 1;
        }
        Ok(self.result())
    }

    /// Returns the result once all batches are done.
    fn result(&self) -> Option<Perplexity> {
        (self.done == self.batches.len()).then(|| Perplexity {
            perplexity: (self.negative_log_likelihood / self.tokens as f64).exp(),
            tokens: self.tokens,
        })
    }
}

/// Returns the perplexity of a model on samples, `batch_size` of them per batch.
///
/// # Errors
///
/// [`Error::InvalidSetting`] for a batch size of 0, [`Error::Device`] if the device fails.
pub async fn evaluate(
    model: &CausalLm,
    samples: &[Sample],
    batch_size: usize,
) -> Result<Perplexity> {
    let mut evaluation = Evaluation::new(samples, batch_size)?;
    loop {
        if let Some(perplexity) = evaluation.advance(model, samples).await? {
            return Ok(perplexity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_size_of_zero_is_an_error() {
        let samples = [Sample::new(vec![1, 2])];
        let error = Evaluation::new(&samples, 0).unwrap_err();
        assert!(
            matches!(
                error,
                Error::InvalidSetting {
                    name: "batch_size",
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(Evaluation::new(&samples, 1).unwrap().progress(), (0, 1));
    }
}
