//! Text to token ids and back, by the model's own `tokenizer.json`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use tokenizers::Tokenizer as HuggingFaceTokenizer;

use crate::error::{Error, Result};

/// A tokenizer that is known to fit a model's vocabulary.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    tokenizer: HuggingFaceTokenizer,
    path: PathBuf,
    vocabulary: usize,
}

/// A token of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// The bytes of the text that it stands for; empty for one that was put around the text.
    pub text: Range<usize>,
}

impl Tokenizer {
    /// The file that it was read from.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads `tokenizer.json`; `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] for a file that is none, [`Error::TokenBeyondVocabulary`] if it makes ids
    /// that the model does not have.
    pub fn parse(bytes: &[u8], path: &Path, vocabulary: usize) -> Result<Self> {
        let mut tokenizer =
            HuggingFaceTokenizer::from_bytes(bytes).map_err(|error| Error::Tokenizer {
                path: path.to_path_buf(),
                message: format!("not a tokenizer.json: {error}"),
            })?;
        // Lengths are the data's business.
        tokenizer.with_padding(None);
        let _ = tokenizer.with_truncation(None);
        let largest = tokenizer.get_vocab(true).into_values().max();
        if let Some(id) = largest.filter(|&id| id as usize >= vocabulary) {
            return Err(Error::TokenBeyondVocabulary { id, vocabulary });
        }
        Ok(Self {
            tokenizer,
            path: path.to_path_buf(),
            vocabulary,
        })
    }

    /// The token ids of a text, with the special tokens that `tokenizer.json` puts around it: what
    /// `tokenizer(text)` gives in Python.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] if the tokenizer cannot encode the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self
            .tokenizer
            .encode_fast(text, true)
            .map_err(|error| self.fault(&error))?;
        let ids = encoding.get_ids().to_vec();
        self.check(&ids)?;
        Ok(ids)
    }

    fn check(&self, ids: &[u32]) -> Result<()> {
        match ids.iter().find(|&&id| id as usize >= self.vocabulary) {
            Some(&id) => Err(Error::TokenBeyondVocabulary {
                id,
                vocabulary: self.vocabulary,
            }),
            None => Ok(()),
        }
    }

    /// The same with the part of the text that each token stands for. Without `special`, no tokens
    /// are put around it.
    ///
    /// # Errors
    ///
    /// As [`Self::encode`].
    pub fn tokens(&self, text: &str, special: bool) -> Result<Vec<Token>> {
        let encoding = self
            .tokenizer
            .encode(text, special)
            .map_err(|error| self.fault(&error))?;
        let (ids, parts) = (encoding.get_ids(), encoding.get_offsets());
        self.check(ids)?;
        let added = encoding.get_special_tokens_mask();
        // What was put after the text stands for its end, what was put before it for its beginning.
        let last = added.iter().rposition(|&added| added == 0).unwrap_or(0);
        let tokens = ids.iter().zip(parts).zip(added).enumerate();
        let tokens = tokens.map(|(place, ((&id, &(start, end)), &added))| Token {
            id,
            text: match added {
                0 => start..end,
                _ if place > last => text.len()..text.len(),
                _ => 0..0,
            },
        });
        Ok(tokens.collect())
    }

    /// The text of token ids, special tokens included.
    ///
    /// # Errors
    ///
    /// As [`Self::decode`].
    pub fn decode_all(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer
            .decode(ids, false)
            .map_err(|error| self.fault(&error))
    }

    /// The text of token ids, without special tokens.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] if the tokenizer cannot decode them.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer
            .decode(ids, true)
            .map_err(|error| self.fault(&error))
    }

    fn fault(&self, error: &tokenizers::Error) -> Error {
        Error::Tokenizer {
            path: self.path.clone(),
            message: error.to_string(),
        }
    }
}
