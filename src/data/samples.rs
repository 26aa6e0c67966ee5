//! Samples out of texts: no longer than a greatest length, with something to predict in each.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::encoder::{Encoder, TrainOn};
use super::records::Record;
use super::sample::{Sample, positions};
use super::tokenizer::Tokenizer;
use crate::error::{Error, Result};

/// What is done with texts that are longer than a sample may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongTexts {
    /// They are cut, and their rest is left out.
    Cut,
    /// They become several samples. Each after the first begins with so many tokens of the one before,
    /// one at least, that are not predicted again: every token of a text is predicted once.
    Windows {
        /// How many.
        overlap: usize,
    },
}

/// How records become samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preparation {
    /// Greatest number of tokens of a sample; 2 at least.
    pub max_length: usize,
    /// What is done with longer texts. Where nothing is said, those that were a file of their own
    /// become windows, and others are cut.
    pub long_texts: Option<LongTexts>,
    /// What is to be predicted.
    pub train_on: TrainOn,
}

impl Preparation {
    /// The usual way to samples of at most that many tokens.
    pub fn to_length(max_length: usize) -> Self {
        Self {
            max_length,
            long_texts: None,
            train_on: TrainOn::default(),
        }
    }
}

/// Samples and what was done to get them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// The samples, in the order of their texts.
    pub samples: Vec<Sample>,
    /// What became of each text that was long enough.
    pub texts: Vec<Text>,
    /// Texts with nothing to predict, which are left out.
    pub skipped: usize,
}

/// What became of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// Samples that it became.
    pub samples: usize,
    /// Whether some of it was left out.
    pub cut: bool,
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
            let sample = Sample::new(tokenizer.encode(text)?);
            result.add(sample, max_length, LongTexts::Cut);
        }
        result.not_empty(origin)
    }

    /// Makes samples out of records.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for windows that overlap by all of their length,
    /// [`Error::NoSamples`] if nothing is left (`origin` says of what), and the encoder's errors.
    pub fn prepare(
        records: &[Record],
        encoder: &Encoder<'_>,
        preparation: &Preparation,
        origin: &str,
    ) -> Result<Self> {
        let max_length = preparation.max_length;
        if let Some(LongTexts::Windows { overlap }) = preparation.long_texts
            && overlap >= max_length
        {
            let expected = format!("less than --max-length, which is {max_length}");
            return Err(Error::setting("overlap", overlap, expected));
        }
        let mut result = Self::default();
        for record in records {
            let usual = match record {
                Record::Document(_) => LongTexts::Windows { overlap: 0 },
                _ => LongTexts::Cut,
            };
            let sample = encoder.encode(record)?;
            result.add(sample, max_length, preparation.long_texts.unwrap_or(usual));
        }
        result.not_empty(origin)
    }

    fn add(&mut self, sample: Sample, max_length: usize, long_texts: LongTexts) {
        let (samples, cut) = match long_texts {
            _ if sample.len() <= max_length => (vec![sample], false),
            LongTexts::Cut => (vec![sample.part(0..max_length, 0)], true),
            LongTexts::Windows { overlap } => (windows(&sample, max_length, overlap), false),
        };
        let before = self.samples.len();
        let with_something = samples.into_iter().filter(|sample| sample.positions() > 0);
        self.samples.extend(with_something);
        match self.samples.len() - before {
            0 => self.skipped += 1,
            samples => self.texts.push(Text { samples, cut }),
        }
    }

    /// Samples that are each a whole text.
    pub fn whole(samples: Vec<Sample>) -> Self {
        let text = Text {
            samples: 1,
            cut: false,
        };
        Self {
            texts: vec![text; samples.len()],
            samples,
            skipped: 0,
        }
    }

    fn not_empty(self, origin: &str) -> Result<Self> {
        if self.samples.is_empty() {
            return Err(Error::NoSamples {
                origin: origin.to_string(),
                skipped: self.skipped,
            });
        }
        Ok(self)
    }

    /// The samples of the texts from the `count`th on, which are taken out of these.
    pub fn split_off(&mut self, count: usize) -> Self {
        let texts = self.texts.split_off(count);
        let samples = self.texts.iter().map(|text| text.samples).sum();
        Self {
            samples: self.samples.split_off(samples),
            texts,
            skipped: 0,
        }
    }

    /// The samples of `count` texts that a seed chooses, which are taken out of these. The order stays
    /// as it was.
    pub fn draw(&mut self, count: usize, seed: u64) -> Self {
        let mut order: Vec<usize> = (0..self.texts.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let mut is_drawn = vec![false; self.texts.len()];
        for &text in order.iter().take(count) {
            is_drawn[text] = true;
        }
        let all = std::mem::take(self);
        let mut drawn = Self::default();
        let mut samples = all.samples.into_iter();
        for (text, is_drawn) in all.texts.into_iter().zip(is_drawn) {
            let part = if is_drawn { &mut drawn } else { &mut *self };
            part.samples.extend(samples.by_ref().take(text.samples));
            part.texts.push(text);
        }
        self.skipped = all.skipped;
        drawn
    }

    /// Tokens that could be predicted and are only given.
    pub fn given(&self) -> usize {
        let after_the_first = self.samples.iter().map(|sample| sample.len() - 1);
        after_the_first.sum::<usize>() - self.positions()
    }

    /// Tokens that are to be predicted.
    pub fn positions(&self) -> usize {
        positions(&self.samples)
    }
}

/// The same samples packed together, as many of them in one as fit into `max_length` tokens.
pub fn packed(samples: &[Sample], max_length: usize) -> Vec<Sample> {
    let mut order: Vec<&Sample> = samples.iter().collect();
    // The longest first, each where the least room is left that it fits into.
    order.sort_by_key(|sample| std::cmp::Reverse(sample.len()));
    let mut packs: Vec<(usize, Vec<Sample>)> = Vec::new();
    for sample in order {
        let fits = packs
            .iter_mut()
            .filter(|(length, _)| length + sample.len() <= max_length)
            .max_by_key(|(length, _)| *length);
        match fits {
            Some((length, pack)) => {
                *length += sample.len();
                pack.push(sample.clone());
            }
            None => packs.push((sample.len(), vec![sample.clone()])),
        }
    }
    packs
        .into_iter()
        .map(|(_, pack)| Sample::packed(pack))
        .collect()
}

/// A text as samples of so many tokens at most.
fn windows(sample: &Sample, max_length: usize, overlap: usize) -> Vec<Sample> {
    let context = overlap.max(1);
    let mut windows = vec![sample.part(0..max_length, 0)];
    let mut end = max_length;
    while end < sample.len() {
        let start = end - context;
        end = (start + max_length).min(sample.len());
        windows.push(sample.part(start..end, context));
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(texts: &[Sample], long_texts: LongTexts) -> Samples {
        let mut samples = Samples::default();
        for text in texts {
            samples.add(text.clone(), 8, long_texts);
        }
        samples
    }

    fn predicted(samples: &[Sample]) -> Vec<u32> {
        let pairs = samples
            .iter()
            .flat_map(|sample| sample.tokens().iter().zip(sample.predicted()));
        let predicted = pairs.filter(|&(_, &predicted)| predicted);
        predicted.map(|(&token, _)| token).collect()
    }

    #[test]
    fn windows_predict_every_token_once() {
        for length in 2..60 {
            for overlap in [0, 1, 3, 7] {
                let text: Sample = (0..length).collect();
                let found = samples(&[text], LongTexts::Windows { overlap }).samples;
                assert_eq!(predicted(&found), (1..length).collect::<Vec<_>>());
                assert!(found.iter().all(|sample| sample.len() <= 8));
                for (before, after) in found.iter().zip(&found[1..]) {
                    let shared = overlap.max(1);
                    let end = &before.tokens()[before.len() - shared..];
                    assert_eq!(end, &after.tokens()[..shared]);
                }
            }
        }
    }

    #[test]
    fn what_has_nothing_to_predict_is_left_out_and_counted() {
        let given = Sample::partly((0..12).collect(), vec![false; 12]);
        let late = Sample::partly((20..32).collect(), (0..12).map(|i| i == 11).collect());
        let texts = [given, late, Sample::new(vec![5])];
        let cut = samples(&texts, LongTexts::Cut);
        assert_eq!((cut.samples.len(), cut.skipped), (0, 3));
        let windows = samples(&texts, LongTexts::Windows { overlap: 2 });
        assert_eq!((windows.samples.len(), windows.skipped), (1, 2));
        assert_eq!(predicted(&windows.samples), [31]);
    }

    #[test]
    fn a_draw_follows_from_its_seed_and_keeps_windows_of_a_text_together() {
        let texts: Vec<Sample> = (0..40)
            .map(|i| (i * 100..i * 100 + 2 + i).collect())
            .collect();
        let all = samples(&texts, LongTexts::Windows { overlap: 0 });
        let draw = |seed| {
            let mut rest = all.clone();
            let drawn = rest.draw(4, seed);
            (rest, drawn)
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let (rest, drawn) = draw(1);
        assert_eq!((rest.texts.len(), drawn.texts.len()), (36, 4));
        let texts_of = |samples: &Samples| -> std::collections::BTreeSet<u32> {
            let tokens = samples.samples.iter().flat_map(Sample::tokens);
            tokens.map(|token| token / 100).collect()
        };
        assert!(texts_of(&rest).is_disjoint(&texts_of(&drawn)));
        assert_eq!(rest.samples.len() + drawn.samples.len(), all.samples.len());
    }

    #[test]
    fn packs_hold_everything_once_and_little_room_is_left() {
        let texts: Vec<Sample> = (0..40)
            .map(|i| (i * 100..i * 100 + 2 + i % 5).collect())
            .collect();
        let all = samples(&texts, LongTexts::Cut);
        let packs = packed(&all.samples, 8);
        let mut before = predicted(&all.samples);
        let mut after = predicted(&packs);
        before.sort_unstable();
        after.sort_unstable();
        assert_eq!(before, after);
        assert!(packs.iter().all(|pack| pack.len() <= 8));
        // 160 tokens in all.
        assert!(packs.len() <= 23, "{}", packs.len());
        let pack = packs.iter().find(|pack| pack.beginnings().len() > 1);
        assert!(pack.is_some_and(|pack| pack.beginnings()[1] > 1));
    }
}
