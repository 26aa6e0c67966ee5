//! Previews of samples: their text, with what is predicted marked.

use serde::Serialize;

use super::sample::Sample;
use super::tokenizer::Tokenizer;
use crate::error::Result;

/// Number of samples shown.
const SHOWN: usize = 3;
/// Maximum number of tokens shown per sample.
const SHOWN_TOKENS: usize = 160;

/// Consecutive tokens of a sample that are either all predicted or all context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub(crate) struct Piece {
    /// The text of the tokens.
    pub text: String,
    /// Whether they are predicted.
    pub predicted: bool,
    /// Number of tokens.
    pub tokens: usize,
}

/// The start of a sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub(crate) struct SamplePreview {
    /// Its pieces, in order.
    pub pieces: Vec<Piece>,
    /// Whether the sample goes on after them.
    pub cut: bool,
}

/// Returns the first, the middle and the last of the samples.
///
/// # Errors
///
/// [`crate::Error::Tokenizer`] for token ids that the tokenizer does not have.
pub(crate) fn preview(samples: &[Sample], tokenizer: &Tokenizer) -> Result<Vec<SamplePreview>> {
    let shown = spread(samples.len()).into_iter();
    shown
        .map(|index| SamplePreview::new(&samples[index], tokenizer))
        .collect()
}

/// Returns the first, the middle and the last index of `count`.
fn spread(count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..SHOWN)
        .map(|shown| shown * count.saturating_sub(1) / (SHOWN - 1))
        .collect();
    places.dedup();
    places.truncate(count);
    places
}

impl SamplePreview {
    /// Splits the start of a sample into pieces.
    fn new(sample: &Sample, tokenizer: &Tokenizer) -> Result<Self> {
        let shown = sample.len().min(SHOWN_TOKENS);
        let tokens = sample.tokens()[..shown].iter().zip(sample.loss_mask());
        let tokens: Vec<(u32, bool)> = tokens.map(|(&id, &predicted)| (id, predicted)).collect();
        let pieces = tokens.chunk_by(|a, b| a.1 == b.1).map(|piece| {
            let ids: Vec<u32> = piece.iter().map(|&(id, _)| id).collect();
            Ok(Piece {
                text: tokenizer.decode_all(&ids)?,
                predicted: piece[0].1,
                tokens: ids.len(),
            })
        });
        Ok(Self {
            pieces: pieces.collect::<Result<_>>()?,
            cut: shown < sample.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_the_middle_and_the_last_are_shown() {
        assert_eq!(spread(0), [0; 0]);
        assert_eq!(spread(1), [0]);
        assert_eq!(spread(2), [0, 1]);
        assert_eq!(spread(660), [0, 329, 659]);
    }
}
