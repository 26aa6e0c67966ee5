//! The weights of samples in the loss: FLOW. Samples that the untouched model predicts well count more (Sanyal et al.,
//! arXiv:2502.02797, algorithm 1), since they change the model less.
//!
//! ```text
//! w_i = exp(−f_i / τ)        τ = median f
//! ```
//!
//! with the untouched model's loss f_i of sample i, here the mean over its predicted tokens.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::eval::losses;
use crate::model::{CausalLm, ordered_batches};
use crate::text::Sample;

/// How much every training sample counts in the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SampleWeights {
    /// The same for all samples
    #[default]
    Equal,
    /// More for samples that the untouched model predicts well, to forget less (FLOW, arXiv:2502.02797)
    Flow,
}

/// The measurement of the untouched model's losses, one batch at a time.
#[derive(Debug)]
pub(super) struct Flow {
    batches: Vec<Vec<usize>>,
    done: usize,
    /// Loss of every sample; 0 where it is not measured here, or nothing is predicted.
    losses: Vec<f64>,
}

impl Flow {
    pub(super) fn new(samples: &[Sample], batch_size: usize) -> Self {
        Self {
            batches: ordered_batches(samples, batch_size),
            done: 0,
            losses: vec![0.0; samples.len()],
        }
    }

    /// Returns the number of batches done, and of all.
    pub(super) fn progress(&self) -> (usize, usize) {
        (self.done, self.batches.len())
    }

    /// Measures the next batch, on each of several ranks another one. Returns the weights after the last.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Device`] if the device fails, [`crate::Error::Rank`] if another rank has failed.
    pub(super) async fn advance(
        &mut self,
        untouched: &CausalLm,
        samples: &[Sample],
    ) -> Result<Option<Arc<[f32]>>> {
        let ranks = untouched.device().ranks();
        if let Some(indices) = self.batches.get(self.done + ranks.rank()) {
            for found in losses(untouched, None, samples, indices).await? {
                let tokens = samples[found.sample].predicted_tokens();
                self.losses[found.sample] = found.nll / tokens as f64;
            }
        }
        self.done = self.batches.len().min(self.done + ranks.count());
        if self.done < self.batches.len() {
            return Ok(None);
        }
        // Every sample was measured on one of the ranks.
        let mut losses = self.losses.clone();
        ranks.sum_each(&mut losses)?;
        Ok(Some(weights(&losses, samples)))
    }
}

/// Returns the weights of samples with these losses. Those that predict nothing do not shift the median.
fn weights(losses: &[f64], samples: &[Sample]) -> Arc<[f32]> {
    let predicting = losses.iter().zip(samples);
    let predicting = predicting.filter(|(_, sample)| sample.predicted_tokens() > 0);
    let mut sorted: Vec<f64> = predicting.map(|(&loss, _)| loss).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = match sorted.len() {
        0 => 0.0,
        length if length.is_multiple_of(2) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    };
    // Where half of the losses are 0, the others have no weight.
    let temperature = median.max(f64::MIN_POSITIVE);
    let weights = losses.iter().map(|loss| (-loss / temperature).exp() as f32);
    weights.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_weights(losses: &[f64], expected: &[f64]) {
        let samples = vec![Sample::new(vec![1, 2]); losses.len()];
        let found = weights(losses, &samples);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let error = (f64::from(*found) - expected).abs();
            assert!(error < 1e-7, "{found}, not {expected}");
        }
    }

    #[test]
    fn a_sample_of_median_loss_counts_the_eth_part() {
        // exp(−1/2), exp(−1), exp(−5/2)
        let expected = [0.606_530_660, 0.367_879_441, 0.082_084_999];
        assert_weights(&[1.0, 2.0, 5.0], &expected);
        // The median is 3: exp(−1/3), exp(−2/3), exp(−4/3), exp(−3)
        let expected = [0.716_531_311, 0.513_417_119, 0.263_597_138, 0.049_787_068];
        assert_weights(&[1.0, 2.0, 4.0, 9.0], &expected);
        assert_weights(&[0.0, 0.0, 1.0], &[1.0, 1.0, 0.0]);
        assert_weights(&[], &[]);
    }

    #[test]
    fn samples_without_predicted_tokens_do_not_shift_the_median() {
        let masked = Sample::partly(vec![1, 2], vec![false, false]);
        let samples = [
            masked.clone(),
            masked,
            Sample::new(vec![1, 2]),
            Sample::new(vec![1, 3]),
            Sample::new(vec![1, 4]),
        ];
        let weights = weights(&[0.0, 0.0, 1.0, 2.0, 5.0], &samples);
        assert!((weights[3] - 0.367_879_44).abs() < 1e-7, "{weights:?}");
    }
}
