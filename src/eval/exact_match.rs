//! Exact match: the model's answer to a question, compared with the right one.

use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::model::{CausalLm, Chat, Sampling};
use crate::text::TestQuestion;

/// Tokens of an answer beyond one per byte of the right one, which can never be reached by an answer that equals it.
const FURTHER_TOKENS: usize = 16;

/// Answers questions by greedy decoding.
#[derive(Debug)]
pub struct ExactMatch {
    model: CausalLm,
    chat: Option<Chat>,
}

impl ExactMatch {
    /// Prepares a model. If it has a chat template, it answers the question as a message; otherwise it continues
    /// the question and a line break, as samples of questions with answers are made for training.
    ///
    /// # Errors
    ///
    /// [`Error::ChatTemplate`] for an invalid chat template.
    pub fn new(model: &CausalLm) -> Result<Self> {
        let has_template = model.reader().chat_template()?.is_some();
        let chat = has_template.then(|| Chat::new(model.clone()));
        Ok(Self {
            model: model.clone(),
            chat: chat.transpose()?,
        })
    }

    /// Returns whether the model's answer is the right one, but for space around them. The answer ends where the
    /// model ends it, or with its line if the right answer has one line. Generation stops where the answers differ.
    ///
    /// # Errors
    ///
    /// [`Error::DataLine`] for a question that is too long or that the chat template rejects, and
    /// [`Error::Device`].
    pub async fn is_right(&mut self, question: &TestQuestion, answer: &str) -> Result<bool> {
        let answer = answer.trim();
        let (tokens, sampling) = (answer.len() + FURTHER_TOKENS, Sampling::default());
        let mut text = String::new();
        let on_text = |piece: &str| {
            text.push_str(piece);
            match may_become(&text, answer) {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        };
        let generated = match &mut self.chat {
            Some(chat) => {
                chat.reset();
                let question = &question.question;
                chat.answer(question, tokens, &sampling, on_text).await
            }
            None => {
                let prompt = question.prompt(answer);
                self.model
                    .generate_while(&prompt, tokens, &sampling, on_text)
                    .await
            }
        };
        let generated = generated.map_err(|error| match error {
            Error::Device { .. } => error,
            other => {
                let place = &question.place;
                Error::data_line(&place.path, place.line, other.report())
            }
        })?;
        Ok(ended(&generated, answer).trim() == answer)
    }
}

/// Returns the part of a generated text that is the answer.
fn ended<'a>(text: &'a str, answer: &str) -> &'a str {
    let text = text.trim_start();
    match answer.contains('\n') {
        true => text,
        false => text.lines().next().unwrap_or_default(),
    }
}

/// Returns whether a text that goes on may become the answer.
fn may_become(text: &str, answer: &str) -> bool {
    let found = ended(text, answer);
    let is_complete = found.len() < text.trim_start().len();
    match found.strip_prefix(answer) {
        Some(after) => !is_complete && after.trim().is_empty(),
        None => !is_complete && answer.starts_with(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_stops_where_the_answer_is_decided() {
        for (text, answer, goes_on) in [
            ("", "New York", true),
            (" \n", "New York", true),
            (" New", "New York", true),
            (" New ", "New York", true),
            (" New Y", "New York", true),
            (" New York", "New York", true),
            ("New York ", "New York", true),
            ("New York\n", "New York", false),
            ("New Yorker", "New York", false),
            ("New\n", "New York", false),
            ("Old", "New York", false),
            ("a\n", "a\nb", true),
            ("a\nb\n", "a\nb", true),
            ("a\nc", "a\nb", false),
        ] {
            assert_eq!(may_become(text, answer), goes_on, "{text:?}");
        }
        assert_eq!(ended(" \nParis \nQuestion", "Paris").trim(), "Paris");
        assert_eq!(ended("a\nb ", "a\nb").trim(), "a\nb");
    }
}
