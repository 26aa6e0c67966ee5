//! A training sample: token ids and the loss mask.

use std::ops::Range;
use std::sync::Arc;

/// The token ids of a text, or of several texts packed into one sequence. A token attends only to the
/// tokens before it in its own text. Clones share the tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sample(Arc<Content>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Content {
    tokens: Vec<u32>,
    /// Whether each token is predicted. The first token of a text never is.
    loss_mask: Vec<bool>,
    /// Start of each packed text.
    segment_starts: Vec<usize>,
}

impl Sample {
    /// Creates the sample of a text in which every token but the first is predicted.
    pub fn new(tokens: Vec<u32>) -> Self {
        let loss_mask = vec![true; tokens.len()];
        Self::partly(tokens, loss_mask)
    }

    /// Creates the sample of a text with a loss mask of one entry per token.
    pub fn partly(tokens: Vec<u32>, mut loss_mask: Vec<bool>) -> Self {
        loss_mask.resize(tokens.len(), false);
        if let Some(first) = loss_mask.first_mut() {
            *first = false;
        }
        Self(Arc::new(Content {
            tokens,
            loss_mask,
            segment_starts: vec![0],
        }))
    }

    /// Packs several samples into one. Their texts do not attend to each other.
    pub fn packed(samples: impl IntoIterator<Item = Self>) -> Self {
        let mut whole = Content::default();
        for sample in samples {
            let length = whole.tokens.len();
            let segment_starts = sample.segment_starts().iter().map(|&at| length + at);
            whole.segment_starts.extend(segment_starts);
            whole.tokens.extend(sample.tokens());
            whole.loss_mask.extend(sample.loss_mask());
        }
        Self(Arc::new(whole))
    }

    /// Returns a slice of a single text; its first `context` tokens are not predicted.
    pub(super) fn part(&self, range: Range<usize>, context: usize) -> Self {
        let mut loss_mask = self.loss_mask()[range.clone()].to_vec();
        loss_mask
            .iter_mut()
            .take(context)
            .for_each(|predicted| *predicted = false);
        Self::partly(self.tokens()[range].to_vec(), loss_mask)
    }

    /// Returns the token ids.
    pub fn tokens(&self) -> &[u32] {
        &self.0.tokens
    }

    /// Returns the loss mask: whether each token is predicted.
    pub fn loss_mask(&self) -> &[bool] {
        &self.0.loss_mask
    }

    /// Returns the start of each packed text; the first is 0.
    pub fn segment_starts(&self) -> &[usize] {
        &self.0.segment_starts
    }

    /// Returns the number of tokens.
    pub fn len(&self) -> usize {
        self.tokens().len()
    }

    /// Returns the number of input tokens: all but the last.
    pub fn inputs(&self) -> usize {
        self.len().saturating_sub(1)
    }

    /// Returns the number of tokens of the longest text.
    pub(crate) fn longest_text(&self) -> usize {
        let starts = self.segment_starts();
        let ends = starts.iter().skip(1).copied().chain([self.len()]);
        let lengths = starts.iter().zip(ends).map(|(start, end)| end - start);
        lengths.max().unwrap_or(0)
    }

    /// Whether it has no tokens.
    pub fn is_empty(&self) -> bool {
        self.tokens().is_empty()
    }

    /// Returns the number of predicted tokens.
    pub fn predicted_tokens(&self) -> usize {
        self.loss_mask()
            .iter()
            .filter(|&&predicted| predicted)
            .count()
    }
}

impl From<Vec<u32>> for Sample {
    fn from(tokens: Vec<u32>) -> Self {
        Self::new(tokens)
    }
}

impl FromIterator<u32> for Sample {
    fn from_iter<T: IntoIterator<Item = u32>>(tokens: T) -> Self {
        Self::new(tokens.into_iter().collect())
    }
}

/// Returns the number of predicted tokens of all samples.
pub(crate) fn predicted_tokens(samples: &[Sample]) -> usize {
    samples.iter().map(Sample::predicted_tokens).sum()
}
