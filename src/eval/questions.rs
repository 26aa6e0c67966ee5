//! Questions of a test with choices, as samples.

use super::choices::ChoiceQuestion;
use crate::error::{Error, Result};
use crate::model::TextReader;
use crate::text::{Encoder, Record, TestAnswer, TestQuestion, TrainOn};

impl ChoiceQuestion {
    /// Encodes a question of a test; `None` for one without choices.
    ///
    /// Question and choice are tokenized as one text with a space between them, unless there is one; the tokens of
    /// the choice are predicted, and no end token follows. No chat template is used, as in EleutherAI's
    /// lm-evaluation-harness by default.
    ///
    /// # Errors
    ///
    /// [`Error::DataLine`] for a question that is too long for the model, and the tokenizer's errors.
    pub fn of_test(question: &TestQuestion, reader: &TextReader) -> Result<Option<Self>> {
        let TestAnswer::Choice { choices, right } = &question.answer else {
            return Ok(None);
        };
        let encoder = Encoder {
            tokenizer: reader.tokenizer(),
            template: None,
            end_token: None,
            train_on: TrainOn::Answers,
        };
        let max_length = reader.config().decoder.max_length;
        let prompt = &question.question;
        let samples = choices.iter().enumerate().map(|(index, choice)| {
            let has_space =
                prompt.ends_with(char::is_whitespace) || choice.starts_with(char::is_whitespace);
            let space = if has_space { "" } else { " " };
            let sample = encoder.encode(&Record::Completion {
                prompt: prompt.clone(),
                completion: format!("{space}{choice}"),
            })?;
            let fault = match (sample.len(), sample.predicted_tokens()) {
                (length, _) if length > max_length => format!(
                    "\"question\" with \"choices\"[{index}] has {length} tokens: expected at most {max_length}, \
                     the maximum length of this model"
                ),
                (_, 0) => format!("\"choices\"[{index}] has no token of its own: expected a text"),
                _ => return Ok(sample),
            };
            Err(Error::data_line(&question.place.path, question.place.line, fault))
        });
        Ok(Some(Self {
            choices: samples.collect::<Result<_>>()?,
            answer: *right,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelFiles;
    use crate::text::parse_test;

    fn encoded(line: &str) -> Result<ChoiceQuestion> {
        let questions = parse_test(line.as_bytes(), "test.jsonl")?;
        let reader = TextReader::new(ModelFiles::embedded())?;
        Ok(ChoiceQuestion::of_test(&questions[0], &reader)?.unwrap())
    }

    #[test]
    fn question_and_choice_are_one_text_with_one_space() {
        let reader = TextReader::new(ModelFiles::embedded()).unwrap();
        let mut found = Vec::new();
        for (question, choices) in [
            ("The sky is", "[\"blue\", \"green\"]"),
            ("The sky is", "[\" blue\", \" green\"]"),
            ("The sky is ", "[\"blue\", \"green\"]"),
        ] {
            let line = format!(
                "{{\"question\": \"{question}\", \"choices\": {choices}, \"answer\": \"green\"}}"
            );
            let question = encoded(&line).unwrap();
            assert_eq!(question.answer, 1);
            let sample = &question.choices[1];
            assert_eq!(
                sample.tokens(),
                reader.tokenizer().encode("The sky is green").unwrap()
            );
            let first = sample
                .loss_mask()
                .iter()
                .position(|&predicted| predicted)
                .unwrap();
            let choice = reader
                .tokenizer()
                .decode(&sample.tokens()[first..])
                .unwrap();
            assert_eq!(choice, " green");
            found.push(question);
        }
        assert_eq!(found[0], found[1]);
        assert_eq!(found[0], found[2]);
    }

    #[test]
    fn a_question_that_is_too_long_names_its_line() {
        let long = "a cat ".repeat(2000);
        let line =
            format!("\n{{\"question\": \"{long}\", \"choices\": [\"a\", \"b\"], \"answer\": 0}}");
        let error = encoded(&line).unwrap_err();
        assert!(
            matches!(error, Error::DataLine { line: 2, .. }),
            "{error:?}"
        );
        assert!(
            error
                .to_string()
                .contains("the maximum length of this model"),
            "{error}"
        );
    }
}
