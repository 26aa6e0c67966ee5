//! The tokens that begin and end a text, from all files of a model that name them.

use serde_json::{Map, Value};

use super::config::DecoderConfig;
use super::fields::Fields;
use super::file_names::{GENERATION_CONFIG, SPECIAL_TOKENS_MAP, TOKENIZER_CONFIG};
use super::files::ModelFiles;
use crate::error::{Error, Result};
use crate::text::Tokenizer;

/// The tokens that begin and end a text. All are below the model's vocabulary size.
#[derive(Clone, Debug, Default)]
pub(super) struct SpecialTokens {
    /// The token that begins a text: the tokenizer's, else the configuration's.
    pub begin: Option<u32>,
    /// The token that ends a text: the tokenizer's, else the configuration's first one.
    pub end: Option<u32>,
    /// Every token that any of the files names as an end.
    pub ends: Vec<u32>,
    /// What is wrong with the files, but does not keep the model from working.
    pub notes: Vec<String>,
}

impl SpecialTokens {
    /// Reads the tokens from `tokenizer_config.json`, `special_tokens_map.json`, `config.json` and
    /// `generation_config.json`, in this order.
    ///
    /// # Errors
    ///
    /// Errors that name the invalid file and field.
    pub(super) fn read(
        files: &ModelFiles,
        config: &DecoderConfig,
        tokenizer: &Tokenizer,
    ) -> Result<Self> {
        let mut begins = Vec::new();
        let mut ends = Vec::new();
        for file in [TOKENIZER_CONFIG, SPECIAL_TOKENS_MAP] {
            if let Some(json) = files.companion_json(file)? {
                let id = |field| {
                    named(&json, field, tokenizer).map_err(|message| Error::Config {
                        path: files.folder.join(file),
                        message,
                    })
                };
                begins.extend(id("bos_token")?);
                ends.extend(id("eos_token")?);
            }
        }
        begins.extend(config.begin_token);
        ends.extend(&config.end_tokens);
        if let Some(json) = files.companion_json(GENERATION_CONFIG)? {
            let path = files.folder.join(GENERATION_CONFIG);
            let fields = Fields::of_file(&json, &path);
            begins.extend(fields.token_ids("bos_token_id")?);
            ends.extend(fields.token_ids("eos_token_id")?);
        }
        let mut notes = Vec::new();
        let begins = usable(begins, "begin", config.vocab_size, &mut notes);
        let ends = usable(ends, "end", config.vocab_size, &mut notes);
        Ok(Self {
            begin: begins.first().copied(),
            end: ends.first().copied(),
            ends,
            notes,
        })
    }
}

/// Returns each id once, without those that the model does not have, which are noted.
fn usable(ids: Vec<u32>, name: &str, vocab_size: usize, notes: &mut Vec<String>) -> Vec<u32> {
    let mut usable = Vec::new();
    let mut others = Vec::new();
    for id in ids {
        let list = if (id as usize) < vocab_size {
            &mut usable
        } else {
            &mut others
        };
        if !list.contains(&id) {
            list.push(id);
        }
    }
    let note = |id: u32| {
        format!("{name} token {id} is ignored: the model has a vocabulary of {vocab_size} tokens")
    };
    notes.extend(others.into_iter().map(note));
    usable
}

/// Returns the id of the token that a field names: its text, or an object with the text as `content`. Fails
/// with a description of another value.
fn named(
    json: &Map<String, Value>,
    field: &str,
    tokenizer: &Tokenizer,
) -> std::result::Result<Option<u32>, String> {
    let value = match json.get(field) {
        Some(Value::Object(token)) => token.get("content"),
        value => value,
    };
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(tokenizer.token_id(text)),
        Some(value) => Err(format!(
            "{field} is {value:.60}: expected the text of a token"
        )),
    }
}
