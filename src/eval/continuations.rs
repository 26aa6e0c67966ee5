//! Continuation choice: the second half of a text among second halves of other texts. It measures what a model
//! knows of any text, without labels.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::choices::ChoiceQuestion;
use crate::error::{Error, Result};
use crate::model::TextReader;
use crate::text::{Sample, Tokenizer};

/// Other continuations are drawn from this many times as many of the most similar lengths.
const DRAWN_FROM: usize = 4;
/// Tokens that are decoded before a boundary.
const DECODED: usize = 4;

/// Questions made of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Continuations {
    /// One per usable text, in the order of the texts.
    pub questions: Vec<ChoiceQuestion>,
    /// Number of texts that were skipped: too short to be split, packed, or without others that differ.
    pub skipped: usize,
}

/// A text as a context and its continuation.
struct Split<'a> {
    context: &'a [u32],
    continuation: &'a [u32],
}

impl Continuations {
    /// Makes a question of each sample with `choices` continuations: its own, and those of other samples with the
    /// most similar numbers of tokens, drawn by `seed`. All differ.
    ///
    /// A text is split where a word begins, as close to the half of its tokens as possible; each window of a long
    /// text is a text of its own. A prompt with its completion and a conversation are split before the last answer,
    /// which is the continuation.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for less than 2 choices or more than there are continuations, and the
    /// tokenizer's errors.
    pub fn new(samples: &[Sample], choices: usize, seed: u64, reader: &TextReader) -> Result<Self> {
        let max_length = reader.config().decoder.max_length;
        let mut splits = Vec::with_capacity(samples.len());
        for sample in samples {
            let found = split(sample, reader.tokenizer())?;
            splits.extend(found.filter(|split| split.context.len() < max_length));
        }
        let fault = |most: usize| {
            let expected = match most {
                0 | 1 => "no value here: it requires two texts that can be split".to_string(),
                most => format!("2 to {most}, the number of different continuations"),
            };
            Err(Error::setting("choices", choices, expected))
        };
        if choices < 2 || choices > splits.len() {
            return fault(splits.len());
        }
        let mut by_length: Vec<usize> = (0..splits.len()).collect();
        by_length.sort_by_key(|&index| splits[index].continuation.len());
        let mut places = vec![0; splits.len()];
        for (place, &index) in by_length.iter().enumerate() {
            places[index] = place;
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let questions = splits.iter().zip(places).filter_map(|(own, place)| {
            let mut others = outwards(place, splits.len()).map(|place| &splits[by_length[place]]);
            let nearest = others.by_ref().take(DRAWN_FROM * (choices - 1));
            let mut nearest: Vec<&Split<'_>> = nearest.collect();
            nearest.shuffle(&mut random);
            let answer = random.random_range(0..choices);
            let room = max_length - own.context.len();
            let mut continuations = vec![own.up_to(room)];
            for other in nearest.into_iter().chain(others) {
                let other = other.up_to(room);
                if !continuations.contains(&other) {
                    continuations.push(other);
                }
                if continuations.len() == choices {
                    continuations.swap(0, answer);
                    let choices = continuations.iter().map(|after| joined(own.context, after));
                    return Some(ChoiceQuestion {
                        choices: choices.collect(),
                        answer,
                    });
                }
            }
            None
        });
        let questions: Vec<ChoiceQuestion> = questions.collect();
        if questions.is_empty() {
            let mut distinct: Vec<&[u32]> = splits.iter().map(|split| split.continuation).collect();
            distinct.sort_unstable();
            distinct.dedup();
            return fault(distinct.len());
        }
        Ok(Self {
            skipped: samples.len() - questions.len(),
            questions,
        })
    }
}

impl<'a> Split<'a> {
    /// Returns the first tokens of the continuation.
    fn up_to(&self, length: usize) -> &'a [u32] {
        &self.continuation[..self.continuation.len().min(length)]
    }
}

/// Returns all places of a list of this length but one, by their distance from it.
fn outwards(place: usize, length: usize) -> impl Iterator<Item = usize> {
    let around = (1..length).flat_map(move |distance| {
        [place.checked_sub(distance), Some(place + distance)]
            .into_iter()
            .flatten()
    });
    around.filter(move |&place| place < length)
}

/// Returns a context followed by a continuation, which alone is predicted.
fn joined(context: &[u32], continuation: &[u32]) -> Sample {
    let mask = [(false, context.len()), (true, continuation.len())];
    let mask = mask
        .into_iter()
        .flat_map(|(predicted, count)| std::iter::repeat_n(predicted, count));
    Sample::partly([context, continuation].concat(), mask.collect())
}

/// Splits a sample; `None` if it is packed or too short.
fn split<'a>(sample: &'a Sample, tokenizer: &Tokenizer) -> Result<Option<Split<'a>>> {
    let (tokens, mask) = (sample.tokens(), sample.loss_mask());
    if sample.segment_starts().len() > 1 {
        return Ok(None);
    }
    let is_plain = mask.iter().skip(1).all(|&predicted| predicted);
    let (start, end) = if is_plain {
        // A token on each side says too little.
        if tokens.len() < 4 {
            return Ok(None);
        }
        (boundary(tokens, tokenizer)?, tokens.len())
    } else {
        // The last run of predicted tokens.
        let end = mask.iter().rposition(|&predicted| predicted);
        let end = end.map_or(0, |last| last + 1);
        let before = mask[..end].iter().rposition(|&predicted| !predicted);
        (before.map_or(0, |last| last + 1), end)
    };
    Ok((0 < start && start < end).then(|| Split {
        context: &tokens[..start],
        continuation: &tokens[start..end],
    }))
}

/// Returns where the second half of a text begins: at the beginning of a word as close to the middle as
/// possible, in its middle half. In text without spaces between words it is a whole character.
fn boundary(tokens: &[u32], tokenizer: &Tokenizer) -> Result<usize> {
    let middle = tokens.len() / 2;
    let mut at_character = None;
    for distance in 0..=tokens.len() / 4 {
        for place in [middle - distance, middle + distance] {
            if place == 0 || place >= tokens.len() {
                continue;
            }
            let first = place.saturating_sub(DECODED);
            let before = tokenizer.decode(&tokens[first..place])?;
            let with_next = tokenizer.decode(&tokens[first..=place])?;
            let Some(next) = with_next.strip_prefix(before.as_str()) else {
                continue;
            };
            let begins = next.starts_with(char::is_whitespace)
                || before.ends_with(char::is_whitespace) && !next.is_empty();
            if begins {
                return Ok(place);
            }
            let is_whole = !before.ends_with(char::REPLACEMENT_CHARACTER) && !next.is_empty();
            at_character = at_character.or(is_whole.then_some(place));
        }
    }
    Ok(at_character.unwrap_or(middle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelFiles;

    fn reader() -> TextReader {
        TextReader::new(ModelFiles::embedded()).unwrap()
    }

    fn samples(texts: &[&str], reader: &TextReader) -> Vec<Sample> {
        let texts = texts.iter().map(|text| reader.tokenizer().encode(text));
        texts.map(|tokens| Sample::new(tokens.unwrap())).collect()
    }

    /// The context and the choices of a question as texts.
    fn texts(question: &ChoiceQuestion, reader: &TextReader) -> (String, Vec<String>) {
        let decode = |tokens: &[u32]| reader.tokenizer().decode(tokens).unwrap();
        let starts = question.choices.iter().map(|choice| {
            let mask = choice.loss_mask();
            mask.iter().position(|&predicted| predicted).unwrap()
        });
        let starts: Vec<usize> = starts.collect();
        assert!(starts.iter().all(|&start| start == starts[0]));
        let choices = question.choices.iter();
        let after = choices.map(|choice| decode(&choice.tokens()[starts[0]..]));
        (
            decode(&question.choices[0].tokens()[..starts[0]]),
            after.collect(),
        )
    }

    const TEXTS: [&str; 5] = [
        "Once upon a time there was a little girl who liked to play in the garden with her cat.",
        "The dog ran to the big tree and barked at the bird, and the bird flew away to its nest.",
        "Tom had a red ball and he wanted to show it to his friend, who lived in the next house.",
        "Mom said that it was time for bed, so Lily brushed her teeth and hugged her old bear.",
        "One",
    ];

    #[test]
    fn texts_are_split_at_words_and_joined_with_other_second_halves() {
        let reader = reader();
        let samples = samples(&TEXTS, &reader);
        let found = Continuations::new(&samples, 3, 7, &reader).unwrap();
        assert_eq!((found.questions.len(), found.skipped), (4, 1));
        assert_eq!(found, Continuations::new(&samples, 3, 7, &reader).unwrap());
        assert_ne!(found, Continuations::new(&samples, 3, 8, &reader).unwrap());
        let mut own = Vec::new();
        for (question, text) in found.questions.iter().zip(TEXTS) {
            let (context, choices) = texts(question, &reader);
            assert_eq!(choices.len(), 3);
            let answer = &choices[question.answer];
            assert_eq!(format!("{context}{answer}"), text);
            assert!(answer.starts_with(' '), "{answer:?}");
            let share = context.len() as f64 / text.len() as f64;
            assert!((0.35..0.65).contains(&share), "{context:?} | {answer:?}");
            own.push(answer.clone());
        }
        for question in &found.questions {
            let (_, choices) = texts(question, &reader);
            assert!(choices.iter().all(|choice| own.contains(choice)));
            assert!(
                choices[0] != choices[1] && choices[1] != choices[2] && choices[2] != choices[0]
            );
        }
    }

    #[test]
    fn the_last_answer_is_the_continuation() {
        let marked = |answer: [u32; 2]| {
            let tokens = vec![1, 2, 3, 4, 5, 6, answer[0], answer[1], 9];
            let mask = [0, 0, 1, 1, 0, 0, 1, 1, 0].map(|predicted| predicted == 1);
            Sample::partly(tokens, mask.to_vec())
        };
        let samples = [marked([7, 8]), marked([8, 7])];
        let found = Continuations::new(&samples, 2, 0, &reader()).unwrap();
        let question = &found.questions[0];
        let answer = &question.choices[question.answer];
        assert_eq!(answer.tokens(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(answer.predicted_tokens(), 2);
        let other = &question.choices[1 - question.answer];
        assert_eq!(other.tokens(), [1, 2, 3, 4, 5, 6, 8, 7]);
    }

    #[test]
    fn others_have_similar_lengths_and_differ() {
        let reader = reader();
        // Word by word, so that the second halves have 10, 11, 12, … words.
        let texts: Vec<String> = (20..100).map(|count| "a cat ".repeat(count)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let samples = samples(&texts, &reader);
        for question in Continuations::new(&samples, 3, 0, &reader)
            .unwrap()
            .questions
        {
            let lengths = question.choices.iter().map(Sample::predicted_tokens);
            let lengths: Vec<usize> = lengths.collect();
            let own = lengths[question.answer];
            let far = |&length: &usize| length.abs_diff(own) > 3 * DRAWN_FROM * 4;
            assert!(!lengths.iter().any(far), "{lengths:?}");
        }
        let same = vec![samples[0].clone(); 4];
        let error = Continuations::new(&same, 2, 0, &reader).unwrap_err();
        assert!(error.to_string().contains("two texts"), "{error}");
        let two = [&samples[0], &samples[9], &samples[0]].map(Clone::clone);
        assert_eq!(Continuations::new(&two, 2, 0, &reader).unwrap().skipped, 0);
        let error = Continuations::new(&two, 3, 0, &reader).unwrap_err();
        assert!(error.to_string().contains("2 to 2"), "{error}");
        for choices in [0, 1, 4] {
            assert!(Continuations::new(&two, choices, 0, &reader).is_err());
        }
    }

    #[test]
    fn places_go_outwards() {
        assert_eq!(outwards(2, 6).collect::<Vec<_>>(), [1, 3, 0, 4, 5]);
        assert_eq!(outwards(0, 3).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(outwards(0, 1).count(), 0);
    }
}
