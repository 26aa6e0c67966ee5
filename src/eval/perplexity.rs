//! Perplexity: the exponential of the mean negative log-likelihood of the predicted tokens.

use serde::{Deserialize, Serialize};

use super::losses::losses;
use crate::device::ranks::Ranks;
use crate::error::{Error, Result};
use crate::model::{CausalLm, ordered_batches};
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
    /// Summed KL(reference ‖ model), where a reference is given.
    divergence: Option<f64>,
    tokens: usize,
    /// Whether the sums are those of all ranks.
    is_summed: bool,
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
            divergence: None,
            tokens: 0,
            is_summed: false,
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
        self.advance_beside(model, None, samples).await
    }

    /// Evaluates the next batch as [`Self::advance`], and with a reference also how far the model's predictions
    /// are from those of the reference, see [`Self::kl_divergence`]. The reference has the same vocabulary.
    ///
    /// # Errors
    ///
    /// [`Error::Device`].
    pub async fn advance_beside(
        &mut self,
        model: &CausalLm,
        reference: Option<&CausalLm>,
        samples: &[Sample],
    ) -> Result<Option<Perplexity>> {
        // Each rank evaluates one of the next batches, which are of about the same length.
        let ranks = model.device().ranks();
        if let Some(indices) = self.batches.get(self.done + ranks.rank()) {
            for found in losses(model, reference, samples, indices).await? {
                self.negative_log_likelihood += found.nll;
                self.tokens += samples[found.sample].predicted_tokens();
                if reference.is_some() {
                    *self.divergence.get_or_insert(0.0) += found.divergence;
                }
            }
        }
        self.done = self.batches.len().min(self.done + ranks.count());
        if self.done == self.batches.len() && !self.is_summed {
            self.sum_over(ranks, reference.is_some())?;
        }
        Ok(self.result())
    }

    /// Returns KL(reference ‖ model) in nats per token, over the tokens evaluated so far: the mean over predicted
    /// tokens of the divergence of the model's distribution from the reference's. `None` without a reference.
    ///
    /// With the model before training as the reference and the text that it is trained on, it says how much of
    /// what the model can do else is forgotten (Shenfeld et al., arXiv:2509.04259).
    pub fn kl_divergence(&self) -> Option<f64> {
        let mean = self.divergence? / self.tokens.max(1) as f64;
        // Rounding can take the divergence of equal distributions below 0.
        Some(if mean < 0.0 { 0.0 } else { mean })
    }

    /// Adds what the other ranks found. Without the reference on any of them there is no divergence.
    fn sum_over(&mut self, ranks: &Ranks, has_reference: bool) -> Result<()> {
        let own = [
            self.negative_log_likelihood,
            self.divergence.unwrap_or(0.0),
            self.tokens as f64,
            f64::from(u8::from(has_reference)),
        ];
        let [negative_log_likelihood, divergence, tokens, references] = ranks.sum(own)?;
        self.negative_log_likelihood = negative_log_likelihood;
        self.divergence = (references == ranks.count() as f64).then_some(divergence);
        self.tokens = tokens as usize;
        self.is_summed = true;
        Ok(())
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
