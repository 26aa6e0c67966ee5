//! The tokenizer of a model, from the metadata of its GGUF file: the bytes of `tokenizer.json`,
//! `tokenizer_config.json` and `generation_config.json`.

mod byte_level;
#[cfg_attr(not(any(feature = "cli", feature = "web")), allow(dead_code))]
// only the program and the page export
pub(crate) mod export;
mod json;
mod sentence_piece;
mod special;
mod vocabulary;
mod words;

use serde_json::{Map, Value, json};

use super::metadata::Metadata;
use super::names::Architecture;
use crate::error::Result;
use special::Specials;
use vocabulary::Vocabulary;

/// The files of a tokenizer.
#[derive(Debug)]
pub(super) struct TokenizerFiles {
    /// `tokenizer.json`.
    pub tokenizer: Vec<u8>,
    /// `tokenizer_config.json`.
    pub tokenizer_config: Vec<u8>,
    /// `generation_config.json`.
    pub generation_config: Vec<u8>,
}

/// Key of the kind of tokenizer.
const MODEL: &str = "tokenizer.ggml.model";

/// Builds the files.
///
/// # Errors
///
/// [`crate::Error::Tokenizer`] for a kind or a pre-tokenizer that is not read, and for an inconsistent
/// vocabulary, [`crate::Error::Config`] for metadata of another type.
pub(super) fn files(metadata: &Metadata, architecture: &Architecture) -> Result<TokenizerFiles> {
    let vocabulary = Vocabulary::read(metadata)?;
    let model = metadata.text(MODEL)?;
    let fault = |message| metadata.tokenizer_fault(message);
    let (tokenizer, specials) = match model {
        Some("gpt2") => byte_level::build(metadata, architecture, &vocabulary)?,
        Some("llama" | "gemma4") => sentence_piece::build(metadata, architecture, &vocabulary)?,
        Some(other) => {
            return Err(fault(format!(
                "metadata {MODEL} is {other:.40?}: expected gpt2, llama or gemma4"
            )));
        }
        None => {
            return Err(fault(format!(
                "metadata {MODEL} is missing: the file has no tokenizer"
            )));
        }
    };
    Ok(TokenizerFiles {
        tokenizer: tokenizer.into_bytes(),
        tokenizer_config: tokenizer_config(metadata, architecture, &vocabulary, &specials)?,
        generation_config: generation_config(&vocabulary, &specials),
    })
}

/// Returns the bytes of `tokenizer_config.json`.
fn tokenizer_config(
    metadata: &Metadata,
    architecture: &Architecture,
    vocabulary: &Vocabulary<'_>,
    specials: &Specials,
) -> Result<Vec<u8>> {
    let mut config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": false,
        "add_bos_token": specials.add_bos,
        "add_eos_token": specials.add_eos,
    });
    for (field, id) in specials.named() {
        if let Some(id) = id {
            config[field] = vocabulary.text(id).into();
        }
    }
    let length = metadata.size(&format!("{}.context_length", architecture.gguf))?;
    if let Some(length) = length {
        config["model_max_length"] = length.into();
    }
    if let Some(template) = chat_template(metadata)? {
        config["chat_template"] = template;
    }
    Ok(pretty(&config))
}

/// Returns the chat template, or a list of named ones.
fn chat_template(metadata: &Metadata) -> Result<Option<Value>> {
    const KEY: &str = "tokenizer.chat_template";
    let template = metadata.text(KEY)?;
    let names = metadata
        .texts("tokenizer.chat_templates")?
        .unwrap_or_default();
    let mut named = Vec::new();
    for name in names {
        if let Some(template) = metadata.text(&format!("{KEY}.{name}"))? {
            named.push(json!({"name": name, "template": template}));
        }
    }
    let Some(template) = template.filter(|_| !named.is_empty()) else {
        return Ok(template.map(Value::from));
    };
    if named.iter().all(|entry| entry["name"] != "default") {
        named.insert(0, json!({"name": "default", "template": template}));
    }
    Ok(Some(named.into()))
}

/// Returns the bytes of `generation_config.json`, with every token that ends a generation.
fn generation_config(vocabulary: &Vocabulary<'_>, specials: &Specials) -> Vec<u8> {
    let mut config = Map::new();
    let mut set = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(field.to_string(), value);
        }
    };
    set("bos_token_id", specials.bos.map(Value::from));
    let ends = specials.ends(vocabulary);
    set("eos_token_id", (!ends.is_empty()).then(|| ends.into()));
    set("pad_token_id", specials.pad.map(Value::from));
    pretty(&Value::Object(config))
}

fn pretty(json: &Value) -> Vec<u8> {
    format!("{json:#}\n").into_bytes()
}
