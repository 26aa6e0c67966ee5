//! Writes `tokenizer.json`.

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::error::Result;
use crate::gguf::metadata::Metadata;

/// The parts of a `tokenizer.json` with a BPE model.
#[derive(Serialize)]
pub(super) struct TokenizerJson<'a> {
    pub version: &'static str,
    pub truncation: Value,
    pub padding: Value,
    pub added_tokens: Vec<Value>,
    pub normalizer: Value,
    pub pre_tokenizer: Value,
    pub post_processor: Value,
    pub decoder: Value,
    pub model: Model<'a>,
}

/// A BPE model.
#[derive(Serialize)]
pub(super) struct Model<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub dropout: Value,
    pub unk_token: Option<&'a str>,
    pub continuing_subword_prefix: &'static str,
    pub end_of_word_suffix: &'static str,
    pub fuse_unk: bool,
    pub byte_fallback: bool,
    pub ignore_merges: bool,
    pub vocab: Vocab<'a>,
    pub merges: Vec<[&'a str; 2]>,
}

/// Texts by their ids, which are written as an object from text to id.
pub(super) struct Vocab<'a>(pub Vec<&'a str>);

impl Serialize for Vocab<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let tokens = self.0.iter().enumerate();
        // Unused ids may have no text.
        let tokens = tokens.filter(|(_, text)| !text.is_empty());
        serializer.collect_map(tokens.map(|(id, text)| (text, id)))
    }
}

impl<'a> Model<'a> {
    pub(super) fn new(vocab: Vec<&'a str>, merges: Vec<[&'a str; 2]>) -> Self {
        Self {
            kind: "BPE",
            dropout: Value::Null,
            unk_token: None,
            continuing_subword_prefix: "",
            end_of_word_suffix: "",
            fuse_unk: false,
            byte_fallback: false,
            ignore_merges: false,
            vocab: Vocab(vocab),
            merges,
        }
    }
}

impl TokenizerJson<'_> {
    /// Returns the file.
    pub(super) fn write(&self, metadata: &Metadata) -> Result<String> {
        serde_json::to_string(self).map_err(|error| metadata.tokenizer_fault(error.to_string()))
    }
}

/// Reads `tokenizer.ggml.merges`, if the file has them: pairs of tokens that `is_token` knows, as their merged
/// text.
pub(super) fn merges(
    metadata: &Metadata,
    is_token: impl Fn(&str) -> bool,
) -> Result<Option<Vec<[&str; 2]>>> {
    const KEY: &str = "tokenizer.ggml.merges";
    let Some(merges) = metadata.texts(KEY)? else {
        return Ok(None);
    };
    let mut pairs = Vec::new();
    for (number, merge) in merges.iter().enumerate() {
        let fault = |message: String| {
            metadata.tokenizer_fault(format!(
                "metadata {KEY}, merge {number}: {merge:.60?} {message}"
            ))
        };
        // The first token may itself be a space.
        let first = merge.chars().next().map_or(0, char::len_utf8);
        let space = merge[first..].find(' ').map(|place| first + place);
        let space = space.ok_or_else(|| fault("is one text: expected two tokens".to_string()))?;
        let pair = [&merge[..space], &merge[space + 1..]];
        let merged = pair.concat();
        let parts = [pair[0], pair[1], &*merged];
        if let Some(unknown) = parts.into_iter().find(|text| !is_token(text)) {
            return Err(fault(format!("has {unknown:.60?}, which is no token")));
        }
        pairs.push(pair);
    }
    Ok(Some(pairs))
}
