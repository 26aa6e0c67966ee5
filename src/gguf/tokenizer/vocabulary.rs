//! The tokens of a vocabulary, and their types.

use std::collections::HashMap;

use crate::error::Result;
use crate::gguf::metadata::Metadata;
use crate::gguf::value::{Array, Value};

/// The tokens of a vocabulary, by their ids.
#[derive(Debug)]
pub(super) struct Vocabulary<'a> {
    texts: Vec<&'a str>,
    kinds: Vec<Kind>,
    ids: HashMap<&'a str, u32>,
}

/// The type of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

const TOKENS: &str = "tokenizer.ggml.tokens";
const KINDS: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";

impl<'a> Vocabulary<'a> {
    /// Reads the tokens and their types.
    pub(super) fn read(metadata: &'a Metadata) -> Result<Self> {
        let tokens = metadata.texts(TOKENS)?.ok_or_else(|| {
            metadata.tokenizer_fault(format!(
                "metadata {TOKENS} is missing: the file has no tokenizer"
            ))
        })?;
        let texts: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let kinds = match metadata.get(KINDS) {
            None => vec![Kind::Normal; texts.len()],
            Some(Value::Array(Array::I32(numbers))) if numbers.len() == texts.len() => {
                numbers.iter().copied().map(Kind::of_number).collect()
            }
            Some(_) => {
                let message = format!(
                    "metadata {KINDS}: expected an array of int32 with {} entries, one per token",
                    texts.len()
                );
                return Err(metadata.tokenizer_fault(message));
            }
        };
        let mut ids = HashMap::new();
        for (id, text) in texts.iter().enumerate() {
            let fits =
                u32::try_from(id).map_err(|error| metadata.tokenizer_fault(error.to_string()))?;
            // Unused ids may have no text.
            if let Some(first) = ids.insert(*text, fits)
                && !text.is_empty()
            {
                let message = format!(
                    "tokens {first} and {id} are both {text:.60?}: expected each text once"
                );
                return Err(metadata.tokenizer_fault(message));
            }
        }
        ids.remove("");
        Ok(Self { texts, kinds, ids })
    }

    /// Returns the scores of the tokens.
    pub(super) fn scores(&self, metadata: &Metadata) -> Result<Vec<f32>> {
        let scores = match metadata.get(SCORES) {
            Some(Value::Array(Array::F32(scores))) => scores.clone(),
            Some(Value::Array(Array::I32(scores))) => {
                scores.iter().map(|&score| score as f32).collect()
            }
            _ => Vec::new(),
        };
        if scores.len() == self.len() && scores.iter().all(|score| !score.is_nan()) {
            return Ok(scores);
        }
        Err(metadata.tokenizer_fault(format!(
            "metadata {SCORES}: expected an array of float32 with {} numbers, one per token",
            self.len()
        )))
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Returns the texts of the tokens, by their ids.
    pub(super) fn texts(&self) -> &[&'a str] {
        &self.texts
    }

    /// Returns the text of a token; empty for an id beyond the vocabulary.
    pub(super) fn text(&self, id: u32) -> &'a str {
        self.texts.get(id as usize).copied().unwrap_or_default()
    }

    /// Returns the type of a token.
    pub(super) fn kind(&self, id: u32) -> Kind {
        self.kinds.get(id as usize).copied().unwrap_or(Kind::Unused)
    }

    /// Returns the id of a token, given its text.
    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }
}

impl Kind {
    fn of_number(number: i32) -> Self {
        match number {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Normal,
        }
    }
}
