//! Encodes records as samples: token ids and a loss mask.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::chat::{ChatTemplate, Rendered, without_reasoning};
use super::records::Record;
use super::sample::Sample;
use super::tokenizer::{Token, Tokenizer};
use crate::error::{Error, Result};

/// Which tokens of prompts and conversations are predicted.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    strum::Display,
    strum::EnumString,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
pub enum TrainOn {
    /// Completions and the assistant's messages; in plain texts, all tokens.
    #[default]
    Answers,
    /// All tokens.
    All,
}

/// Whether texts are followed by the end-of-sequence token.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    strum::Display,
    strum::EnumString,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
pub enum EndToken {
    /// After texts and completions, if the model has one: the model learns to stop.
    #[default]
    Auto,
    /// Never.
    Never,
}

/// A record as a sample.
#[derive(Debug)]
pub(super) struct Encoded {
    pub sample: Sample,
    /// Number of answers whose reasoning the chat template drops.
    pub without_reasoning: usize,
}

impl From<Sample> for Encoded {
    fn from(sample: Sample) -> Self {
        Self {
            sample,
            without_reasoning: 0,
        }
    }
}

/// Encodes records as samples.
#[derive(Clone, Copy, Debug)]
pub struct Encoder<'a> {
    /// The model's tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The model's chat template, required for conversations.
    pub template: Option<&'a ChatTemplate>,
    /// The end-of-sequence token, appended to texts and completions.
    pub end_token: Option<u32>,
    /// Which tokens are predicted.
    pub train_on: TrainOn,
}

impl Encoder<'_> {
    /// Encodes a whole record as one sample of any length.
    ///
    /// - A text is tokenized with the tokenizer's special tokens, followed by the end-of-sequence token, so
    ///   that the model learns to stop.
    /// - A prompt and its completion are tokenized as one text in the same way. A token that spans the
    ///   boundary belongs to the completion.
    /// - A question with its answer is a conversation if there is a template, otherwise a completion.
    /// - A conversation is rendered by the chat template and tokenized without adding special tokens.
    ///
    /// # Errors
    ///
    /// [`Error::ChatTemplate`] for a conversation if the model has no template, [`Error::DataLine`] for one
    /// that the template rejects, and the tokenizer's errors.
    pub fn encode(&self, record: &Record) -> Result<Sample> {
        self.encoded(record).map(|encoded| encoded.sample)
    }

    /// Encodes a record as [`Self::encode`], and counts what the chat template drops.
    pub(super) fn encoded(&self, record: &Record) -> Result<Encoded> {
        match record {
            Record::Text(text) | Record::Document(text) => {
                let mut tokens = self.tokenizer.encode(text)?;
                tokens.extend(self.missing_end_token(tokens.last().copied()));
                Ok(Sample::new(tokens).into())
            }
            Record::Completion { prompt, completion } => {
                let whole = format!("{prompt}{completion}");
                let mut tokens = self.tokenizer.tokens(&whole, true)?;
                let end = self.missing_end_token(tokens.last().map(|token| token.id));
                tokens.extend(end.map(|id| Token {
                    id,
                    text: whole.len()..whole.len(),
                }));
                // Special tokens after the completion end it, and are predicted too.
                let sample = self.sample(&tokens, |text| {
                    text.end > prompt.len() || text.start >= whole.len()
                });
                Ok(sample.into())
            }
            Record::Question {
                messages,
                prompt,
                completion,
                place,
            } => self.encoded(&match self.template {
                Some(_) => Record::Conversation {
                    messages: messages.clone(),
                    tools: None,
                    place: place.clone(),
                },
                None => Record::Completion {
                    prompt: prompt.clone(),
                    completion: completion.clone(),
                },
            }),
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
                        "the model has no chat template, which conversations require: use a chat \
                              model, or data with \"prompt\" and \"completion\""
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
                let sample = self.sample(&tokens, |text| {
                    let within =
                        |part: &Range<usize>| text.start < part.end && part.start < text.end;
                    rendered.assistant.iter().any(within)
                });
                Ok(Encoded {
                    sample,
                    without_reasoning: without_reasoning(messages, &rendered.text),
                })
            }
        }
    }

    /// The token to append to a text, unless it already ends with it.
    fn missing_end_token(&self, last: Option<u32>) -> Option<u32> {
        self.end_token.filter(|_| last != self.end_token)
    }

    /// A sample in which the tokens whose text is an answer are predicted.
    fn sample(&self, tokens: &[Token], is_answer: impl Fn(&Range<usize>) -> bool) -> Sample {
        let all = self.train_on == TrainOn::All;
        let predicted = tokens.iter().map(|token| all || is_answer(&token.text));
        Sample::partly(
            tokens.iter().map(|token| token.id).collect(),
            predicted.collect(),
        )
    }
}
