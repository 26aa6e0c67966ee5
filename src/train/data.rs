//! The samples of a run.

use std::collections::HashSet;

use super::settings::TrainSettings;
use crate::error::{Error, Result};
use crate::model::CausalLm;
use crate::text::Sample;

/// The samples of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunData {
    /// Training set.
    pub train: Vec<Sample>,
    /// Held-out set of the same domain.
    pub domain: Vec<Sample>,
    /// General set, which measures forgetting.
    pub general: Vec<Sample>,
    /// General text to replay, where the settings ask for replay.
    pub replay: Vec<Sample>,
    /// General text that measures the importance of weights, where the settings ask for elastic weight
    /// consolidation.
    pub consolidation: Vec<Sample>,
}

impl RunData {
    /// Returns the number of general samples that are also in the training set. If there are any, the
    /// general perplexity does not measure forgetting.
    pub fn general_in_training(&self) -> usize {
        common(&self.train, &self.general)
    }

    /// Returns the sets with their names.
    pub(super) fn sets(&self) -> [(&'static str, &[Sample]); 5] {
        [
            ("training data", &self.train),
            ("held-out data", &self.domain),
            ("general data", &self.general),
            ("data to replay", &self.replay),
            ("data for elastic weight consolidation", &self.consolidation),
        ]
    }

    /// Checks that every set that the settings need has samples, and that they fit the model.
    pub(super) fn check(&self, model: &CausalLm, settings: &TrainSettings) -> Result<()> {
        for (samples, origin, needed) in [
            (&self.train, "the training set", true),
            (&self.domain, "the held-out domain set", true),
            (&self.general, "the general set", true),
            (
                &self.replay,
                "the text to replay",
                settings.replay_ratio > 0.0,
            ),
            (
                &self.consolidation,
                "the text for elastic weight consolidation",
                settings.ewc > 0.0,
            ),
        ] {
            if needed && samples.is_empty() {
                return Err(Error::NoSamples {
                    origin: origin.to_string(),
                    reason: Error::NOTHING_TO_PREDICT.to_string(),
                });
            }
            for sample in samples {
                check_sample(model, sample)?;
            }
        }
        Ok(())
    }
}

/// Returns the number of samples of `b` that are also in `a`.
pub(crate) fn common(a: &[Sample], b: &[Sample]) -> usize {
    let known: HashSet<&Sample> = a.iter().collect();
    b.iter().filter(|sample| known.contains(sample)).count()
}

/// Checks that a sample has something to predict, only tokens of the model, and no text longer than its
/// context.
fn check_sample(model: &CausalLm, sample: &Sample) -> Result<()> {
    let config = &model.config().decoder;
    if sample.inputs() == 0 {
        let found = format!("a sample of {} tokens", sample.len());
        return Err(Error::setting("data", found, "at least 2 tokens each"));
    }
    let unknown = |&&id: &&u32| id as usize >= config.vocab_size;
    if let Some(&id) = sample.tokens().iter().find(unknown) {
        return Err(Error::TokenBeyondVocabulary {
            id,
            vocab_size: config.vocab_size,
        });
    }
    let starts = sample.segment_starts();
    let ends = starts.iter().skip(1).copied().chain([sample.len()]);
    let lengths = starts.iter().zip(ends).map(|(start, end)| end - start);
    let longest = lengths.max().unwrap_or(0);
    if longest > config.max_length {
        let context = config.max_length;
        let expected = format!("samples of at most {context} tokens for this model");
        return Err(Error::setting("max_length", longest, expected));
    }
    Ok(())
}
