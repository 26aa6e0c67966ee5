//! A sample: the tokens of a text, and which of them are to be predicted.

use std::ops::Range;

/// Token ids of a text or of several packed into one, each from the ones before it in its own text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sample {
    tokens: Vec<u32>,
    /// Whether each token is to be predicted; the first of a text never is.
    predicted: Vec<bool>,
    /// Where each text begins.
    beginnings: Vec<usize>,
}

impl Sample {
    /// A text whose every token but the first is to be predicted.
    pub fn new(tokens: Vec<u32>) -> Self {
        let predicted = vec![true; tokens.len()];
        Self::partly(tokens, predicted)
    }

    /// A text of which only some tokens are to be predicted: there are as many choices as tokens.
    pub fn partly(tokens: Vec<u32>, mut predicted: Vec<bool>) -> Self {
        predicted.resize(tokens.len(), false);
        if let Some(first) = predicted.first_mut() {
            *first = false;
        }
        Self {
            tokens,
            predicted,
            beginnings: vec![0],
        }
    }

    /// Several as one, whose texts stay apart: none sees another.
    pub fn packed(samples: impl IntoIterator<Item = Self>) -> Self {
        let mut whole = Self::default();
        for sample in samples {
            let length = whole.len();
            whole.tokens.extend(sample.tokens);
            whole.predicted.extend(sample.predicted);
            let beginnings = sample.beginnings.into_iter();
            whole.beginnings.extend(beginnings.map(|at| length + at));
        }
        whole
    }

    /// Some of its tokens, of which the first `context` are not to be predicted. It must be one text.
    pub(super) fn part(&self, range: Range<usize>, context: usize) -> Self {
        let mut predicted = self.predicted[range.clone()].to_vec();
        predicted
            .iter_mut()
            .take(context)
            .for_each(|predicted| *predicted = false);
        Self::partly(self.tokens[range].to_vec(), predicted)
    }

    /// Its tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Whether each of its tokens is to be predicted.
    pub fn predicted(&self) -> &[bool] {
        &self.predicted
    }

    /// Where each of its texts begins, the first at 0.
    pub fn beginnings(&self) -> &[usize] {
        &self.beginnings
    }

    /// Number of its tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Number of its tokens that a model is given: all but the last.
    pub fn inputs(&self) -> usize {
        self.tokens.len().saturating_sub(1)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Number of tokens that are to be predicted.
    pub fn positions(&self) -> usize {
        self.predicted
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

/// Tokens that are to be predicted.
pub(crate) fn positions(samples: &[Sample]) -> usize {
    samples.iter().map(Sample::positions).sum()
}
