//! The losses of samples, in batches: what perplexities, likelihoods and divergences are made of.

use burn::tensor::Tensor;

use crate::device;
use crate::error::Result;
use crate::model::{Batch, CausalLm};
use crate::text::Sample;

/// The losses of a sample, each summed over its predicted tokens, in nats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SampleLosses {
    /// Index of the sample in its list.
    pub sample: usize,
    /// Negative log-likelihood.
    pub nll: f64,
    /// KL(reference ‖ model); 0 without a reference.
    pub divergence: f64,
}

/// Computes the losses of the samples with these indices, which are sorted by length. Those without a predicted
/// token are left out.
///
/// # Errors
///
/// [`crate::Error::Device`].
pub(crate) async fn losses(
    model: &CausalLm,
    reference: Option<&CausalLm>,
    samples: &[Sample],
    indices: &[usize],
) -> Result<Vec<SampleLosses>> {
    let mut found = Vec::with_capacity(indices.len());
    // Each text is evaluated as it would be alone.
    let config = &model.config().decoder;
    let variant = |&index: &usize| config.rope_variant(samples[index].longest_text());
    for indices in indices.chunk_by(|a, b| variant(a) == variant(b)) {
        let batch = Batch::new(samples, indices.to_vec());
        // Samples of a single token predict nothing.
        if batch.predicted_tokens == 0 {
            continue;
        }
        let of_tokens = match reference {
            None => model.token_nll(&batch),
            Some(reference) => {
                let both = model.token_nll_and_divergence(reference, &batch);
                Tensor::cat(both.into(), 0)
            }
        };
        let of_tokens = device::read(of_tokens).await?;
        let (nll, divergence) = of_tokens.split_at(indices.len() * batch.length);
        let sum = |of_tokens: &[f32], row: usize| {
            let of_sample = of_tokens.iter().skip(row * batch.length);
            let of_sample = of_sample.take(batch.length);
            of_sample.map(|&loss| f64::from(loss)).sum()
        };
        let rows = indices.iter().enumerate();
        found.extend(rows.map(|(row, &sample)| SampleLosses {
            sample,
            nll: sum(nll, row),
            divergence: sum(divergence, row),
        }));
    }
    Ok(found)
}
