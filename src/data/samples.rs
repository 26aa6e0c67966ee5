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
    /// Which samples were cut to the greatest length.
    pub truncated: Vec<bool>,
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
            result.truncated.push(sample.len() > max_length);
            sample.truncate(max_length);
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

    /// The samples from `count` on, which are taken out of these.
    pub fn split_off(&mut self, count: usize) -> Self {
        Self {
            samples: self.samples.split_off(count),
            skipped: 0,
            truncated: self.truncated.split_off(count),
        }
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
