//! From records to samples: text, its tokens, and which of them are to be predicted.

use std::ops::Range;

use super::chat::{ChatTemplate, Rendered};
use super::records::Record;
use super::sample::Sample;
use super::tokenizer::{Token, Tokenizer};
use crate::error::{Error, Result};

/// What of prompts and conversations is to be predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum TrainOn {
    /// Only what should follow: completions, and what the assistant says. Of plain texts all.
    #[default]
    Answers,
    /// Everything.
    All,
}

/// Makes samples of records, as a model reads them.
#[derive(Clone, Copy, Debug)]
pub struct Encoder<'a> {
    /// The model's tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The model's chat template, which conversations need.
    pub template: Option<&'a ChatTemplate>,
    /// The token that ends a text, which a completion ends with.
    pub end_token: Option<u32>,
    /// What is to be predicted.
    pub train_on: TrainOn,
}

impl Encoder<'_> {
    /// The whole record as a sample, however long.
    ///
    /// - A text is what the tokenizer makes of it.
    /// - A prompt and its completion are one text, with the token that ends texts after it, so that
    ///   the model learns to stop. A token that reaches into the completion belongs to it.
    /// - A conversation is what the chat template makes of it, with the special tokens that are in
    ///   there and no others.
    ///
    /// # Errors
    ///
    /// [`Error::ChatTemplate`] for a conversation without a template or one that the template
    /// refuses, and the tokenizer's errors.
    pub fn encode(&self, record: &Record) -> Result<Sample> {
        match record {
            Record::Text(text) | Record::Document(text) => {
                Ok(Sample::new(self.tokenizer.encode(text)?))
            }
            Record::Completion { prompt, completion } => {
                let whole = format!("{prompt}{completion}");
                let mut tokens = self.tokenizer.tokens(&whole, true)?;
                let ends = |token: &Token| Some(token.id) == self.end_token;
                if let Some(id) = self.end_token.filter(|_| !tokens.last().is_some_and(ends)) {
                    tokens.push(Token {
                        id,
                        text: whole.len()..whole.len(),
                    });
                }
                // What stands after the completion ends it, and is learnt with it.
                Ok(self.sample(&tokens, |text| {
                    text.end > prompt.len() || text.start >= whole.len()
                }))
            }
            Record::Conversation {
                messages,
                tools,
                place,
            } => {
                let template = self.template.ok_or_else(|| Error::ChatTemplate {
                    path: self
                        .tokenizer
                        .path()
                        .with_file_name("tokenizer_config.json"),
                    message:
                        "the model has no chat template, which conversations need: take a model \
                              made for chat, or data with \"prompt\" and \"completion\""
                            .to_string(),
                })?;
                let rendered = match self.train_on {
                    TrainOn::Answers => template.render_marked(messages, tools.as_ref()),
                    TrainOn::All => {
                        let text = template.render(messages, tools.as_ref(), false);
                        text.map(|text| Rendered {
                            text,
                            assistant: Vec::new(),
                        })
                    }
                };
                let rendered = rendered.map_err(|error| {
                    Error::data_line(&place.path, place.line, error.to_string())
                })?;
                let tokens = self.tokenizer.tokens(&rendered.text, false)?;
                Ok(self.sample(&tokens, |text| {
                    let within =
                        |part: &Range<usize>| text.start < part.end && part.start < text.end;
                    rendered.assistant.iter().any(within)
                }))
            }
        }
    }

    /// A sample of which those tokens are to be predicted whose text is an answer.
    fn sample(&self, tokens: &[Token], is_answer: impl Fn(&Range<usize>) -> bool) -> Sample {
        let all = self.train_on == TrainOn::All;
        let predicted = tokens.iter().map(|token| all || is_answer(&token.text));
        Sample::partly(
            tokens.iter().map(|token| token.id).collect(),
            predicted.collect(),
        )
    }
}
