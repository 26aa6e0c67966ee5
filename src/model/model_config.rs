//! A model's `config.json`.

use std::path::Path;

use serde_json::{Map, Value};

use super::config::DecoderConfig;
use super::family;
use super::fields::Fields;
use super::save_type::SaveType;
use super::{multimodal, python_json, quantized};
use crate::error::{Error, Result};

/// A parsed `config.json`.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// Architecture of the decoder.
    pub decoder: DecoderConfig,
    /// The original file, for saving the model; of a model of text and images, the part of the text model.
    pub json: Map<String, Value>,
}

impl ModelConfig {
    /// Parses `config.json`; `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Parse`] for invalid JSON, [`Error::Config`] for quantized weights and for invalid or
    /// inconsistent sizes,
    /// [`Error::UnsupportedArchitecture`] for an unsupported architecture.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let json = python_json::parse(bytes, path)?;
        if let Some(message) = quantized::by_config(&json) {
            return Err(Error::Config {
                path: path.to_path_buf(),
                message,
            });
        }
        let json = multimodal::text_config(&json).unwrap_or(json);
        let decoder = family::describe(&Fields::of_file(&json, path))?;
        decoder.check(path)?;
        Ok(Self { decoder, json })
    }

    /// Sets that the head has weights of its own.
    pub(super) fn untie(&mut self) {
        self.decoder.tie_word_embeddings = false;
        let field = self.decoder.family.tensors.tie;
        set_tie(&mut self.json, field, false);
    }

    /// Returns the configuration with another vocabulary size, and with tied embeddings or without; `path` is
    /// for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the family does not support it, or a token is beyond the vocabulary.
    pub(super) fn with_embeddings(
        &self,
        vocab_size: usize,
        tied: bool,
        path: &Path,
    ) -> Result<Self> {
        let mut json = self.json.clone();
        set_embeddings(&mut json, vocab_size, tied);
        if let Some(Value::Object(nested)) = json.get_mut("text_config") {
            set_embeddings(nested, vocab_size, tied);
        }
        let mut decoder = family::describe(&Fields::of_file(&json, path))?;
        if (decoder.vocab_size, decoder.tie_word_embeddings) != (vocab_size, tied) {
            let family = decoder.family;
            return Err(Error::Config {
                path: path.to_path_buf(),
                message: format!(
                    "a {family} model cannot have {vocab_size} tokens with {} embeddings, which an adapter requires",
                    if tied { "tied" } else { "untied" }
                ),
            });
        }
        decoder.check(path)?;
        // Which tokens begin and end a text does not depend on the embeddings.
        decoder.begin_token = self.decoder.begin_token;
        decoder.end_tokens.clone_from(&self.decoder.end_tokens);
        Ok(Self { decoder, json })
    }

    /// Returns the file for weights saved as float32.
    pub fn to_json(&self) -> Value {
        self.to_json_as(SaveType::Float32)
    }

    /// Returns the file for weights saved in a type.
    pub fn to_json_as(&self, kind: SaveType) -> Value {
        let mut json = self.json.clone();
        set_type(&mut json, kind);
        if let Some(Value::Object(nested)) = json.get_mut("text_config")
            && (nested.contains_key("torch_dtype") || nested.contains_key("dtype"))
        {
            set_type(nested, kind);
        }
        Value::Object(json)
    }
}

/// Sets the type of the weights among the fields of a `config.json`.
fn set_type(fields: &mut Map<String, Value>, kind: SaveType) {
    let has_old = fields.contains_key("torch_dtype");
    if has_old {
        fields.insert("torch_dtype".to_string(), kind.name().into());
    }
    if !has_old || fields.contains_key("dtype") {
        fields.insert("dtype".to_string(), kind.name().into());
    }
}

/// Sets vocabulary size and tied embeddings among the fields of a `config.json`.
fn set_embeddings(fields: &mut Map<String, Value>, vocab_size: usize, tied: bool) {
    fields.insert("vocab_size".to_string(), vocab_size.into());
    set_tie(fields, "tie_word_embeddings", tied);
}

/// Sets whether the head shares the embedding's weights, in a field and in those of single families.
fn set_tie(fields: &mut Map<String, Value>, field: &str, tied: bool) {
    /// Those of OpenELM and of early LFM2 files.
    const OTHERS: [&str; 2] = ["share_input_output_layers", "tie_embedding"];
    fields.insert(field.to_string(), tied.into());
    for other in OTHERS {
        if fields.contains_key(other) {
            fields.insert(other.to_string(), tied.into());
        }
    }
}
