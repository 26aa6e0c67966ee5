//! Multiple choice by likelihood: the model chooses the continuation of a context that it finds most likely
//! per token.

use super::accuracy::Accuracy;
use super::losses::losses;
use crate::error::{Error, Result};
use crate::model::{CausalLm, ordered_batches};
use crate::text::Sample;

/// A context with several continuations, of which one is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChoiceQuestion {
    /// The context followed by each continuation, whose tokens alone are predicted.
    pub choices: Vec<Sample>,
    /// Index of the right continuation.
    pub answer: usize,
}

/// An evaluation of multiple choice in progress, which advances by one batch at a time.
#[derive(Clone, Debug)]
pub struct ChoiceEvaluation {
    /// The choices of all questions, one after another.
    samples: Vec<Sample>,
    /// The number of choices and the answer of each question.
    questions: Vec<(usize, usize)>,
    batches: Vec<Vec<usize>>,
    done: usize,
    /// Mean log-likelihood per predicted token of each choice, in nats.
    log_likelihoods: Vec<f64>,
}

impl ChoiceEvaluation {
    /// Starts an evaluation on questions, `batch_size` choices per batch.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a batch size of 0, [`Error::NoSamples`] without questions.
    pub fn new(questions: &[ChoiceQuestion], batch_size: usize) -> Result<Self> {
        if batch_size == 0 {
            return Err(Error::setting("batch_size", batch_size, "at least 1"));
        }
        if questions.is_empty() {
            return Err(Error::NoSamples {
                origin: "the questions".to_string(),
                reason: "there is none".to_string(),
            });
        }
        let choices = questions.iter().flat_map(|question| &question.choices);
        let samples: Vec<Sample> = choices.cloned().collect();
        let questions = questions.iter();
        Ok(Self {
            questions: questions.map(|q| (q.choices.len(), q.answer)).collect(),
            batches: ordered_batches(&samples, batch_size),
            done: 0,
            log_likelihoods: vec![f64::NAN; samples.len()],
            samples,
        })
    }

    /// Returns the number of batches done, and of all.
    pub fn progress(&self) -> (usize, usize) {
        (self.done, self.batches.len())
    }

    /// Evaluates the next batch, and returns the result after the last one.
    ///
    /// # Errors
    ///
    /// [`Error::Device`].
    pub async fn advance(&mut self, model: &CausalLm) -> Result<Option<Accuracy>> {
        if let Some(indices) = self.batches.get(self.done) {
            for found in losses(model, None, &self.samples, indices).await? {
                let tokens = self.samples[found.sample].predicted_tokens();
                self.log_likelihoods[found.sample] = -found.nll / tokens as f64;
            }
            self.done += 1;
        }
        if self.done < self.batches.len() {
            return Ok(None);
        }
        let chance: f64 = self.questions.iter().map(|(n, _)| 1.0 / *n as f64).sum();
        let chance = chance / self.questions.len() as f64;
        Ok(Accuracy::of(&self.right(), Some(chance)))
    }

    /// Returns the mean log-likelihood per predicted token of each choice in nats, one question after another;
    /// NaN where it was not computed yet.
    pub fn log_likelihoods(&self) -> &[f64] {
        &self.log_likelihoods
    }

    /// Returns whether each question is answered right: its answer is more likely than every other choice.
    fn right(&self) -> Vec<bool> {
        let mut rest = self.log_likelihoods.as_slice();
        let questions = self.questions.iter();
        let right = questions.map(|&(choices, answer)| {
            let (of_question, after) = rest.split_at(choices);
            rest = after;
            let others = of_question.iter().enumerate();
            let mut others = others.filter(|(index, _)| *index != answer);
            // False for NaN, and in a tie.
            others.all(|(_, &other)| of_question[answer] > other)
        });
        right.collect()
    }
}

/// Returns the accuracy of a model on questions, `batch_size` choices per batch.
///
/// # Errors
///
/// As [`ChoiceEvaluation::new`], and [`Error::Device`] if the device fails.
pub async fn choose(
    model: &CausalLm,
    questions: &[ChoiceQuestion],
    batch_size: usize,
) -> Result<Accuracy> {
    let mut evaluation = ChoiceEvaluation::new(questions, batch_size)?;
    loop {
        if let Some(accuracy) = evaluation.advance(model).await? {
            return Ok(accuracy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_right_if_it_is_more_likely_than_all_others() {
        let questions = [(3, 1), (2, 0), (2, 1), (2, 0)].map(|(choices, answer)| ChoiceQuestion {
            choices: vec![Sample::new(vec![1, 2]); choices],
            answer,
        });
        let mut evaluation = ChoiceEvaluation::new(&questions, 4).unwrap();
        assert_eq!(evaluation.progress(), (0, 3));
        evaluation.log_likelihoods = vec![-2.0, -1.0, -3.0, -1.0, -0.5, -1.0, -1.0, f64::NAN, -1.0];
        assert_eq!(evaluation.right(), [true, false, false, false]);
    }

    #[test]
    fn a_batch_size_of_zero_and_no_questions_are_errors() {
        let question = ChoiceQuestion {
            choices: vec![Sample::new(vec![1, 2]); 2],
            answer: 0,
        };
        let error = ChoiceEvaluation::new(&[question], 0).unwrap_err();
        assert!(error.to_string().contains("batch_size"), "{error}");
        assert!(ChoiceEvaluation::new(&[], 1).is_err());
    }
}
