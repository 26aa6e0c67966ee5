//! A question with its answer: a conversation for models with a chat template, otherwise two texts.

use serde_json::{Value, json};

use super::{Object, take_system, take_text};
use crate::text::records::{Place, Record};

/// Keys of questions, in the order in which they are looked for.
const QUESTIONS: [&str; 4] = ["question", "prompt", "query", "input"];
/// Keys of answers, likewise.
const ANSWERS: [&str; 3] = ["answer", "response", "output"];

/// The keys of this style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::text::records) struct Keys {
    question: &'static str,
    answer: &'static str,
}

impl Keys {
    pub(super) fn detect(has: impl Fn(&str) -> bool) -> Option<Self> {
        Some(Self {
            question: QUESTIONS.into_iter().find(|key| has(key))?,
            answer: ANSWERS.into_iter().find(|key| has(key))?,
        })
    }

    pub(super) fn list(&self) -> Vec<&str> {
        vec![self.question, self.answer]
    }

    pub(super) fn record(&self, object: &mut Object, place: Place) -> Result<Record, String> {
        let system = take_system(object)?;
        let question = take_text(object, self.question)?;
        let answer = take_text(object, self.answer)?;
        let system_line = system.as_ref().map(|system| format!("{system}\n\n"));
        let prompt = format!("{}{question}", system_line.unwrap_or_default());
        Ok(Record::Question {
            messages: messages(system, Vec::new(), question, &answer),
            prompt: before(&prompt, &answer),
            completion: answer,
            place,
        })
    }
}

/// The conversation of a question, after earlier rounds.
pub(super) fn messages(
    system: Option<String>,
    earlier: Vec<Value>,
    question: String,
    answer: &str,
) -> Vec<Value> {
    let system = system.map(|system| json!({"role": "system", "content": system}));
    let mut messages: Vec<Value> = system.into_iter().chain(earlier).collect();
    messages.push(json!({"role": "user", "content": question}));
    messages.push(json!({"role": "assistant", "content": answer}));
    messages
}

/// The text before an answer: the prompt, and a line break if there is no space between them.
pub(in crate::text::records) fn before(prompt: &str, answer: &str) -> String {
    let has_space =
        prompt.ends_with(char::is_whitespace) || answer.starts_with(char::is_whitespace);
    match has_space {
        true => prompt.to_string(),
        false => format!("{prompt}\n"),
    }
}
