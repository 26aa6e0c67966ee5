//! Samples: tokenised texts of at least two tokens, cut to a length.

use super::tokenizer::Tokenizer;
use crate::error::{Error, Result};

/// Token ids of a text; each but the last predicts the next.
pub type Sample = Vec<u32>;

/// Samples and what was done to get them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// The samples, in the order of their texts.
    pub samples: Vec<Sample>,
    /// Texts of fewer than two tokens, which predict nothing and are left out.
    pub skipped: usize,
    /// Texts that were cut to the greatest length.
    pub truncated: usize,
}

impl Samples {
    /// Tokenises texts and cuts each to `max_length` tokens.
    ///
    /// # Errors
    ///
    /// [`Error::NoSamples`] if nothing is left (`origin` says of what), and the tokenizer's errors.
    pub fn tokenize(
        texts: &[String],
        tokenizer: &Tokenizer,
        max_length: usize,
        origin: &str,
    ) -> Result<Self> {
        let mut result = Self::default();
        for text in texts {
            let mut sample = tokenizer.encode(text)?;
            if sample.len() < 2 {
                result.skipped += 1;
                continue;
            }
            if sample.len() > max_length {
                sample.truncate(max_length);
                result.truncated += 1;
            }
            result.samples.push(sample);
        }
        if result.samples.is_empty() {
            return Err(Error::NoSamples {
                origin: origin.to_string(),
                skipped: result.skipped,
            });
        }
        Ok(result)
    }

    /// Predicted tokens: all but the first of each sample.
    pub fn positions(&self) -> usize {
        positions(&self.samples)
    }
}

/// Predicted tokens: all but the first of each sample.
pub(crate) fn positions(samples: &[Sample]) -> usize {
    samples.iter().map(|sample| sample.len() - 1).sum()
}
