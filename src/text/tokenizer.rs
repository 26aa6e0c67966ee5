//! Encodes text as token ids and decodes it, with the model's `tokenizer.json`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::Tokenizer as HuggingFaceTokenizer;

use crate::error::{Error, Result};
use crate::text::growth;
use crate::text::guard::guarded;

/// A tokenizer whose ids are checked against a model's vocabulary size.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    tokenizer: HuggingFaceTokenizer,
    path: PathBuf,
    vocab_size: usize,
}

/// A token of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Token id.
    pub id: u32,
    /// The byte range of the text that it encodes; empty for an added special token.
    pub text: Range<usize>,
}

impl Tokenizer {
    /// The path of its file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Parses `tokenizer.json`; `path` is for messages. Ids of `vocab_size` and above are valid in the file,
    /// but not in a text: many models have more tokens than rows in the embedding.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] for an invalid file.
    pub fn parse(bytes: &[u8], path: &Path, vocab_size: usize) -> Result<Self> {
        let invalid = |message: String| Error::Tokenizer {
            path: path.to_path_buf(),
            message: format!("not a tokenizer.json: {message}"),
        };
        growth::check(bytes).map_err(invalid)?;
        // The crate assumes that the file is consistent, and may panic if it is not.
        let mut tokenizer = guarded(|| HuggingFaceTokenizer::from_bytes(bytes))
            .map_err(invalid)?
            .map_err(|error| invalid(error.to_string()))?;
        if let Some(processor) = tokenizer.get_post_processor() {
            let processor =
                serde_json::to_value(processor).map_err(|error| invalid(error.to_string()))?;
            check_templates(&processor).map_err(invalid)?;
        }
        // Truncation and padding happen in data preparation.
        tokenizer.with_padding(None);
        let _ = tokenizer.with_truncation(None);
        Ok(Self {
            tokenizer,
            path: path.to_path_buf(),
            vocab_size,
        })
    }

    /// Returns the id of a token, given its text.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// Encodes a text, with the special tokens that `tokenizer.json` adds: the same as `tokenizer(text)` in
    /// Python, except that a text that already begins with the tokens that are put before it gets no second
    /// ones.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] if the tokenizer cannot encode the text, [`Error::TokenBeyondVocabulary`] if the
    /// text has a token that the model has no embedding of.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.guarded(|| self.tokenizer.encode_fast(text, true))?;
        let ids = encoding.get_ids();
        let ids = ids[repeated(ids, encoding.get_special_tokens_mask())..].to_vec();
        self.check(&ids)?;
        Ok(ids)
    }

    fn check(&self, ids: &[u32]) -> Result<()> {
        match ids.iter().find(|&&id| id as usize >= self.vocab_size) {
            Some(&id) => Err(Error::TokenBeyondVocabulary {
                id,
                vocab_size: self.vocab_size,
            }),
            None => Ok(()),
        }
    }

    /// Encodes a text and returns the byte range of each token. Without `special`, no special tokens are
    /// added.
    ///
    /// # Errors
    ///
    /// Those of [`Self::encode`].
    pub fn tokens(&self, text: &str, special: bool) -> Result<Vec<Token>> {
        let encoding = self.guarded(|| self.tokenizer.encode(text, special))?;
        let (ids, parts) = (encoding.get_ids(), encoding.get_offsets());
        self.check(ids)?;
        let added = encoding.get_special_tokens_mask();
        // Tokens added after the text are at its end, those added before it at its start.
        let last = added.iter().rposition(|&added| added == 0).unwrap_or(0);
        let tokens = ids.iter().zip(parts).zip(added).enumerate();
        let tokens =
            tokens
                .skip(repeated(ids, added))
                .map(|(place, ((&id, &(start, end)), &added))| Token {
                    id,
                    text: match added {
                        0 => start..end,
                        _ if place > last => text.len()..text.len(),
                        _ => 0..0,
                    },
                });
        Ok(tokens.collect())
    }

    /// Decodes token ids, including special tokens.
    ///
    /// # Errors
    ///
    /// Those of [`Self::decode`].
    pub fn decode_all(&self, ids: &[u32]) -> Result<String> {
        self.guarded(|| self.tokenizer.decode(ids, false))
    }

    /// Decodes token ids, skipping special tokens.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] if the tokenizer cannot decode them.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.guarded(|| self.tokenizer.decode(ids, true))
    }

    fn guarded<T>(&self, work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
        let found = guarded(work).and_then(|found| found.map_err(|error| error.to_string()));
        found.map_err(|message| Error::Tokenizer {
            path: self.path.clone(),
            message,
        })
    }
}

/// Returns the number of tokens added before a text that begins with the same tokens: a second BOS, for
/// example. `added` is 1 for each added token.
fn repeated(ids: &[u32], added: &[u32]) -> usize {
    let before = added.iter().take_while(|&&added| added == 1).count();
    let (before, text) = ids.split_at(before);
    if text.starts_with(before) {
        before.len()
    } else {
        0
    }
}

/// Checks what the crate assumes when it adds special tokens to a text, and panics on otherwise: that a
/// template's tokens are listed, that it is for a single text, and that no other template runs before it.
fn check_templates(processor: &Value) -> std::result::Result<(), String> {
    let mut templates = Vec::new();
    collect_templates(processor, &mut templates);
    if templates.len() > 1 {
        let found = templates.len();
        return Err(format!(
            "the post_processor has {found} templates: expected at most one"
        ));
    }
    for template in templates {
        let pieces = template["single"].as_array().into_iter().flatten();
        for piece in pieces {
            if let Some(token) = piece["SpecialToken"]["id"].as_str()
                && template["special_tokens"].get(token).is_none()
            {
                return Err(format!(
                    "the post_processor adds {token:?}, which special_tokens does not list"
                ));
            }
            if piece["Sequence"]["id"] == "B" {
                return Err(
                    "the post_processor has a second text in the template for single texts"
                        .to_string(),
                );
            }
        }
    }
    Ok(())
}

fn collect_templates<'a>(processor: &'a Value, templates: &mut Vec<&'a Value>) {
    if processor.get("single").is_some() {
        templates.push(processor);
    }
    for inner in processor["processors"].as_array().into_iter().flatten() {
        collect_templates(inner, templates);
    }
}
