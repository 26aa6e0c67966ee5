//! Builds samples from texts: at most `max_length` tokens each, with at least one predicted token.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::encoder::{Encoder, EndToken, TrainOn};
use super::records::Record;
use super::sample::{Sample, predicted_tokens};
use crate::error::{Error, Result, counted};

/// How texts longer than `max_length` are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongTexts {
    /// Truncated: the rest is dropped.
    Cut,
    /// Split into several samples. Each window after the first starts with the last `overlap` tokens of
    /// the previous one (at least one) as context that is not predicted again: every token of a text is
    /// predicted once.
    Windows {
        /// Tokens that a window repeats from the previous one; less than `max_length`.
        overlap: usize,
    },
}

/// Repetition above which overlapping windows are reported: windows that overlap by half stay below.
const HIGH_REPETITION: f64 = 2.0;

/// How records are turned into samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preparation {
    /// Maximum number of tokens per sample, at least 2.
    pub max_length: usize,
    /// How longer texts are handled. By default, texts that are a whole file are split into windows, and
    /// others are truncated.
    pub long_texts: Option<LongTexts>,
    /// Which tokens are predicted.
    pub train_on: TrainOn,
    /// Whether texts are followed by the end-of-sequence token.
    pub end_token: EndToken,
}

impl Preparation {
    /// The default preparation with this `max_length`.
    pub fn to_length(max_length: usize) -> Self {
        Self {
            max_length,
            long_texts: None,
            train_on: TrainOn::default(),
            end_token: EndToken::default(),
        }
    }
}

/// Samples, and how they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// The samples, in the order of their texts.
    pub samples: Vec<Sample>,
    /// One entry per text with at least one sample.
    pub texts: Vec<Text>,
    /// Number of texts that were skipped because they have nothing to predict.
    pub skipped: usize,
    /// Number of skipped texts whose predicted tokens are all beyond `max_length`.
    pub cut_away: usize,
    /// Number of skipped conversations without a message of role assistant.
    pub unanswered: usize,
    /// Number of answers whose reasoning the chat template drops.
    pub without_reasoning: usize,
    /// Number of questions with answers that are plain text, since the model has no chat template.
    pub without_template: usize,
}

/// How a text was turned into samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// Number of its samples.
    pub samples: usize,
    /// Whether it was truncated.
    pub cut: bool,
    /// Tokens that its windows repeat from the previous window.
    pub repeated: usize,
}

impl Samples {
    /// Encodes records and splits or truncates long ones.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a `max_length` below 2 or an `overlap` that is not less than
    /// `max_length`, [`Error::NoSamples`] if no sample of `origin` is left, and the encoder's errors.
    pub fn prepare(
        records: &[Record],
        encoder: &Encoder<'_>,
        preparation: &Preparation,
        origin: &str,
    ) -> Result<Self> {
        let max_length = preparation.max_length;
        check_length(max_length)?;
        if let Some(LongTexts::Windows { overlap }) = preparation.long_texts
            && overlap >= max_length
        {
            let expected = format!("less than max_length ({max_length})");
            return Err(Error::setting("overlap", overlap, expected));
        }
        let mut result = Self::default();
        for record in records {
            let default = match record {
                Record::Document(_) => LongTexts::Windows { overlap: 0 },
                _ => LongTexts::Cut,
            };
            let encoded = encoder.encoded(record)?;
            let predicted = encoded.sample.predicted_tokens();
            result.without_reasoning += encoded.without_reasoning;
            let is_question = matches!(record, Record::Question { .. });
            result.without_template += usize::from(is_question && encoder.template.is_none());
            let skipped = result.skipped;
            result.add(
                encoded.sample,
                max_length,
                preparation.long_texts.unwrap_or(default),
            );
            if result.skipped > skipped {
                let is_conversation = matches!(record, Record::Conversation { .. });
                result.cut_away += usize::from(predicted > 0);
                result.unanswered += usize::from(predicted == 0 && is_conversation);
            }
        }
        if result.has_high_repetition() {
            log::warn!(
                "{origin}: the overlap of windows repeats every token {:.1} times on average",
                result.repetition()
            );
        }
        if result.without_reasoning > 0 {
            log::warn!(
                "{origin}: the chat template drops the reasoning of {} answers",
                result.without_reasoning
            );
        }
        result.not_empty(max_length, origin)
    }

    fn add(&mut self, sample: Sample, max_length: usize, long_texts: LongTexts) {
        let (samples, cut, context) = match long_texts {
            _ if sample.len() <= max_length => (vec![sample], false, 0),
            LongTexts::Cut => (vec![sample.part(0..max_length, 0)], true, 0),
            LongTexts::Windows { overlap } => {
                let context = overlap.max(1);
                (windows(&sample, max_length, context), false, context)
            }
        };
        let mut text = Text {
            samples: 0,
            cut,
            repeated: 0,
        };
        for (index, sample) in samples.into_iter().enumerate() {
            if sample.predicted_tokens() > 0 {
                text.samples += 1;
                text.repeated += if index > 0 { context } else { 0 };
                self.samples.push(sample);
            }
        }
        match text.samples {
            0 => self.skipped += 1,
            _ => self.texts.push(text),
        }
    }

    /// Samples that are each one whole text.
    pub fn whole(samples: Vec<Sample>) -> Self {
        let text = Text {
            samples: 1,
            cut: false,
            repeated: 0,
        };
        Self {
            texts: vec![text; samples.len()],
            samples,
            ..Self::default()
        }
    }

    fn not_empty(self, max_length: usize, origin: &str) -> Result<Self> {
        if !self.samples.is_empty() {
            return Ok(self);
        }
        let reason = match self.skipped {
            0 => "it contains no text".to_string(),
            count if count == self.cut_away => format!(
                "no answer is left of its {} within max_length ({max_length} tokens): increase it, or split \
                 long texts into windows",
                counted(count, "text")
            ),
            count if count == self.unanswered => format!(
                "no message of role assistant to predict in its {}: add answers, or set train_on to all to \
                 predict the whole text",
                counted(count, "conversation")
            ),
            count => format!("{} ({count} skipped)", Error::NOTHING_TO_PREDICT),
        };
        Err(Error::NoSamples {
            origin: origin.to_string(),
            reason,
        })
    }

    /// Splits off the samples of the texts from index `count` on.
    pub fn split_off(&mut self, count: usize) -> Self {
        let texts = self.texts.split_off(count);
        let samples = self.texts.iter().map(|text| text.samples).sum();
        Self {
            samples: self.samples.split_off(samples),
            texts,
            ..Self::default()
        }
    }

    /// Removes and returns the samples of `count` texts, chosen at random by a seed. The order of both parts
    /// is kept.
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
        self.cut_away = all.cut_away;
        self.unanswered = all.unanswered;
        self.without_reasoning = all.without_reasoning;
        self.without_template = all.without_template;
        drawn
    }

    /// Number of tokens, besides the first of each sample, that are context rather than predicted.
    pub fn given(&self) -> usize {
        let after_the_first = self.samples.iter().map(Sample::inputs);
        after_the_first.sum::<usize>() - self.predicted_tokens()
    }

    /// Number of predicted tokens.
    pub fn predicted_tokens(&self) -> usize {
        predicted_tokens(&self.samples)
    }

    /// Returns how many times each token is processed on average because windows overlap: 1 without
    /// windows, about `max_length / (max_length - overlap)` for long texts. Training and evaluation take
    /// that many times as long.
    pub fn repetition(&self) -> f64 {
        let tokens: usize = self.samples.iter().map(Sample::len).sum();
        let repeated: usize = self.texts.iter().map(|text| text.repeated).sum();
        match tokens.saturating_sub(repeated) {
            0 => 1.0,
            distinct => tokens as f64 / distinct as f64,
        }
    }

    /// Returns whether overlapping windows more than double the tokens to process.
    pub fn has_high_repetition(&self) -> bool {
        self.repetition() > HIGH_REPETITION
    }
}

fn check_length(max_length: usize) -> Result<()> {
    match max_length {
        0 | 1 => Err(Error::setting(
            "max_length",
            max_length,
            "at least 2, since the first token of a sample is not predicted",
        )),
        _ => Ok(()),
    }
}

/// Splits a text longer than `max_length` tokens into windows. `context` is from 1 to `max_length - 1`.
fn windows(sample: &Sample, max_length: usize, context: usize) -> Vec<Sample> {
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
            .flat_map(|sample| sample.tokens().iter().zip(sample.loss_mask()));
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
    fn overlapping_windows_report_their_repetition() {
        let text: Sample = (0..1000).collect();
        for (overlap, expected) in [(0, 1.14), (4, 1.99), (7, 7.94)] {
            let found = samples(std::slice::from_ref(&text), LongTexts::Windows { overlap });
            let tokens: usize = found.samples.iter().map(Sample::len).sum();
            assert_eq!(tokens - found.texts[0].repeated, 1000);
            assert!(
                (found.repetition() - expected).abs() < 0.01,
                "{}",
                found.repetition()
            );
            assert_eq!(found.has_high_repetition(), overlap == 7);
        }
        let cut = samples(&[text], LongTexts::Cut);
        assert_eq!(cut.repetition(), 1.0);
        assert_eq!(Samples::default().repetition(), 1.0);
        assert_eq!(Samples::whole(vec![Sample::default()]).given(), 0);
    }

    #[test]
    fn texts_without_predicted_tokens_are_skipped_and_counted() {
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
    fn a_draw_is_determined_by_its_seed_and_keeps_windows_of_a_text_together() {
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
}
