//! Text to token ids and back, by the model's own `tokenizer.json`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::Tokenizer as HuggingFaceTokenizer;

use crate::data::growth;
use crate::data::guard::guarded;
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
        let refused = |message: String| Error::Tokenizer {
            path: path.to_path_buf(),
            message: format!("not a tokenizer.json: {message}"),
        };
        growth::check(bytes).map_err(refused)?;
        // The crate takes for granted much of what such a file says about itself.
        let mut tokenizer = guarded(|| HuggingFaceTokenizer::from_bytes(bytes))
            .map_err(refused)?
            .map_err(|error| refused(error.to_string()))?;
        if let Some(processor) = tokenizer.get_post_processor() {
            let processor =
                serde_json::to_value(processor).map_err(|error| refused(error.to_string()))?;
            check_templates(&processor).map_err(refused)?;
        }
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
        let encoding = self.guarded(|| self.tokenizer.encode_fast(text, true))?;
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
        let encoding = self.guarded(|| self.tokenizer.encode(text, special))?;
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
        self.guarded(|| self.tokenizer.decode(ids, false))
    }

    /// The text of token ids, without special tokens.
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

/// Looks at what the crate takes for granted when it puts special tokens around a text, and panics on
/// otherwise: that a template's tokens are listed, that it is about one text, and that no other
/// template has taken the text apart before it.
fn check_templates(processor: &Value) -> std::result::Result<(), String> {
    let mut templates = Vec::new();
    collect_templates(processor, &mut templates);
    if templates.len() > 1 {
        let found = templates.len();
        return Err(format!(
            "its post_processor has {found} templates, where one is possible"
        ));
    }
    for template in templates {
        let pieces = template["single"].as_array().into_iter().flatten();
        for piece in pieces {
            if let Some(token) = piece["SpecialToken"]["id"].as_str()
                && template["special_tokens"].get(token).is_none()
            {
                return Err(format!(
                    "its post_processor puts {token:?} around a text, which its special_tokens do not list"
                ));
            }
            if piece["Sequence"]["id"] == "B" {
                return Err(
                    "its post_processor has a second text in the template for one text".to_string(),
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
