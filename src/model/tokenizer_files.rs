//! The `tokenizer.json` of a model: its own, or one built from older files.

use std::path::Path;

use serde_json::{Map, Value};

use super::file_names::{
    ADDED_TOKENS, MERGES, SENTENCE_PIECE, SPECIAL_TOKENS_MAP, TOKENIZER, TOKENIZER_CONFIG, VOCAB,
};
use super::python_json;
use crate::error::{Error, Result};
use crate::text::VocabAndMerges;

/// Builds the `tokenizer.json` of a model without one, from its `config.json` and those of its optional
/// files that `find` returns.
///
/// # Errors
///
/// [`Error::MissingFile`] without a `vocab.json` and `merges.txt`, or [`Error::Tokenizer`] if there is a
/// `tokenizer.model` instead, and errors that name the invalid file.
pub(super) fn build<'a>(
    folder: &Path,
    config: &[u8],
    find: impl Fn(&str) -> Option<&'a [u8]>,
) -> Result<Vec<u8>> {
    let object = |name: &str| -> Result<Map<String, Value>> {
        let bytes = find(name).map(|bytes| python_json::parse(bytes, &folder.join(name)));
        Ok(bytes.transpose()?.unwrap_or_default())
    };
    let (Some(vocab), Some(merges)) = (find(VOCAB), find(MERGES)) else {
        return Err(match find(SENTENCE_PIECE) {
            Some(_) => Error::Tokenizer {
                path: folder.join(SENTENCE_PIECE),
                message: conversion(folder),
            },
            None => Error::MissingFile {
                folder: folder.to_path_buf(),
                file: TOKENIZER,
            },
        });
    };
    // An invalid configuration is reported when it is parsed.
    let config = python_json::parse(config, folder).unwrap_or_default();
    let built = VocabAndMerges {
        vocab: &python_json::parse(vocab, &folder.join(VOCAB))?,
        merges,
        tokenizer_config: &object(TOKENIZER_CONFIG)?,
        special_tokens_map: &object(SPECIAL_TOKENS_MAP)?,
        added_tokens: &object(ADDED_TOKENS)?,
        model_type: config["model_type"].as_str().unwrap_or_default(),
    }
    .tokenizer_json();
    built.map_err(|(file, message)| Error::Tokenizer {
        path: folder.join(file),
        message,
    })
}

/// Returns how to make a `tokenizer.json` from a SentencePiece model.
fn conversion(folder: &Path) -> String {
    let folder = folder.display().to_string();
    format!(
        "a SentencePiece model is not read: make a {TOKENIZER} of it once, with transformers and \
         sentencepiece: python -c 'from transformers import AutoTokenizer as T; \
         T.from_pretrained({folder:?}).save_pretrained({folder:?})'"
    )
}
