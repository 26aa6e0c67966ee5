//! The part of a model that reads text: everything but the weights.

#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use super::file_bytes::FileBytes;
#[cfg(not(target_arch = "wasm32"))]
use super::file_names::{COMPANIONS, TOKENIZER};
use super::files::ModelFiles;
use super::model_config::ModelConfig;
use super::special_tokens::SpecialTokens;
use crate::error::{Error, Result};
use crate::text::chat::ChatTemplate;
use crate::text::{Encoder, EndToken, Preparation, Record, Samples, Tokenizer};

/// Default maximum length of a sample, in tokens.
const DEFAULT_LENGTH: usize = 256;

/// A model's configuration, tokenizer and chat template. Clones share them.
#[derive(Clone, Debug)]
pub struct TextReader {
    pub(super) config: ModelConfig,
    tokenizer: Arc<Tokenizer>,
    special_tokens: Arc<SpecialTokens>,
    pub(super) notes: Vec<String>,
    files: Arc<ModelFiles>,
    /// The tokenizer of an adapter that resizes the vocabulary, if its folder has one.
    own: Option<Arc<TextFiles>>,
}

/// The files in an adapter's folder that tell how text is read.
#[derive(Debug)]
#[cfg_attr(target_arch = "wasm32", expect(dead_code))]
pub(super) struct TextFiles {
    /// Path of the folder, for messages.
    folder: PathBuf,
    tokenizer: FileBytes,
    companions: Vec<(&'static str, FileBytes)>,
}

/// Companions of a base model that also belong to a model with the tokenizer of an adapter.
const INDEPENDENT: [&str; 4] = [
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "LICENSE",
];

#[cfg(not(target_arch = "wasm32"))]
impl TextFiles {
    /// Reads the files of a folder; `None` without a tokenizer.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if one cannot be read.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let read = |name: &str| {
            let path = folder.join(name);
            path.exists().then(|| FileBytes::read(&path)).transpose()
        };
        let Some(tokenizer) = read(TOKENIZER)? else {
            return Ok(None);
        };
        let mut companions = Vec::new();
        for name in COMPANIONS {
            companions.extend(read(name)?.map(|bytes| (name, bytes)));
        }
        Ok(Some(Self {
            folder: folder.to_path_buf(),
            tokenizer,
            companions,
        }))
    }
}

impl TextReader {
    /// Default max sample length in tokens.
    pub const DEFAULT_MAX_LENGTH: usize = DEFAULT_LENGTH;

    /// Parses the configuration and the tokenizer of a Hugging Face folder.
    ///
    /// # Errors
    ///
    /// Errors that name the invalid file or field.
    pub fn new(files: ModelFiles) -> Result<Self> {
        let config = ModelConfig::parse(&files.config, &files.config_path())?;
        let tokenizer = Tokenizer::parse(
            &files.tokenizer,
            &files.tokenizer_path(),
            config.decoder.vocab_size,
        )?;
        let special_tokens = SpecialTokens::read(&files, &config.decoder, &tokenizer)?;
        Ok(Self {
            config,
            tokenizer: Arc::new(tokenizer),
            notes: special_tokens.notes.clone(),
            special_tokens: Arc::new(special_tokens),
            files: Arc::new(files),
            own: None,
        })
    }

    /// Returns the same reader for a model with another configuration.
    ///
    /// # Errors
    ///
    /// The errors of [`Tokenizer::parse`] for a tokenizer that does not fit the vocabulary.
    pub(super) fn with_config(&self, config: ModelConfig) -> Result<Self> {
        let vocab_size = config.decoder.vocab_size;
        let reader = Self {
            config,
            ..self.clone()
        };
        if vocab_size == self.config.decoder.vocab_size {
            return Ok(reader);
        }
        let path = self.files.tokenizer_path();
        let tokenizer = Tokenizer::parse(&self.files.tokenizer, &path, vocab_size)?;
        Ok(Self {
            tokenizer: Arc::new(tokenizer),
            ..reader
        })
    }

    /// Returns the same reader with the tokenizer of an adapter.
    ///
    /// # Errors
    ///
    /// The errors of [`Tokenizer::parse`].
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn with_tokenizer_of(&self, own: TextFiles) -> Result<Self> {
        let path = own.folder.join(TOKENIZER);
        let tokenizer = Tokenizer::parse(&own.tokenizer, &path, self.config.decoder.vocab_size)?;
        Ok(Self {
            tokenizer: Arc::new(tokenizer),
            own: Some(Arc::new(own)),
            ..self.clone()
        })
    }

    /// Returns the bytes of `tokenizer.json`.
    pub(super) fn tokenizer_bytes(&self) -> &[u8] {
        let own = self.own.as_ref().map(|own| &own.tokenizer);
        own.unwrap_or(&self.files.tokenizer)
    }

    /// Returns names and bytes of the optional files.
    pub(super) fn companions(&self) -> Vec<(&'static str, &[u8])> {
        let own = self.own.as_deref();
        let replaces = own.map_or(&[][..], |own| &own.companions);
        let kept = self.files.companions.iter().filter(|(name, _)| {
            let replaced = replaces.iter().any(|(own, _)| own == name);
            own.is_none() || (INDEPENDENT.contains(name) && !replaced)
        });
        let all = replaces.iter().chain(kept);
        all.map(|(name, bytes)| (*name, &**bytes)).collect()
    }

    /// Returns an optional file.
    fn companion(&self, name: &str) -> Option<&[u8]> {
        if self.own.is_none() {
            return self.files.companion(name);
        }
        let mut companions = self.companions().into_iter();
        let found = companions.find(|(file, _)| *file == name);
        found.map(|(_, bytes)| bytes)
    }

    /// Returns the model's configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Returns the tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Returns the model's files.
    pub fn files(&self) -> &ModelFiles {
        &self.files
    }

    /// Returns the token that begins a text, if the model has one: `bos_token` of the tokenizer's files, else
    /// `bos_token_id` of `config.json` or `generation_config.json`.
    pub fn begin_token(&self) -> Option<u32> {
        self.special_tokens.begin
    }

    /// Returns the token that ends a text, if the model has one: `eos_token` of the tokenizer's files, else
    /// the first `eos_token_id` of `config.json` or `generation_config.json`.
    pub fn end_token(&self) -> Option<u32> {
        self.special_tokens.end
    }

    /// Returns all tokens that end a text: those of [`Self::end_token`]'s files together. Generation stops
    /// at any of them.
    pub fn end_tokens(&self) -> &[u32] {
        &self.special_tokens.ends
    }

    /// Returns notes about the model's files, for the user: what was ignored or corrected.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the chat template of the folder, if it has one.
    ///
    /// # Errors
    ///
    /// [`Error::ChatTemplate`] for an invalid or unsupported template.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>> {
        ChatTemplate::parse(
            self.companion("chat_template.jinja"),
            self.companion("tokenizer_config.json"),
            &self.files.folder,
        )
    }

    /// Returns the maximum length of a sample in tokens: the requested one, by default 256 or the model's
    /// maximum length, whichever is less.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a length that the model does not support.
    pub fn sample_length(&self, requested: Option<usize>) -> Result<usize> {
        let max_length = self.config.decoder.max_length;
        match requested {
            None => Ok(DEFAULT_LENGTH.min(max_length)),
            Some(length) if (2..=max_length).contains(&length) => Ok(length),
            Some(length) => Err(Error::setting(
                "max_length",
                length,
                format!("2 to {max_length}, the maximum length of this model"),
            )),
        }
    }

    /// Tokenizes records into samples, conversations by the chat template; `origin` names the source of
    /// the records in messages.
    ///
    /// # Errors
    ///
    /// The errors of [`Samples::prepare`] and [`Self::chat_template`].
    pub fn samples(
        &self,
        records: &[Record],
        preparation: &Preparation,
        origin: &str,
    ) -> Result<Samples> {
        let is_conversation = |record: &Record| {
            matches!(
                record,
                Record::Conversation { .. } | Record::Question { .. }
            )
        };
        let template = if records.iter().any(is_conversation) {
            self.chat_template()?
        } else {
            None
        };
        let encoder = Encoder {
            tokenizer: &self.tokenizer,
            template: template.as_ref(),
            end_token: match preparation.end_token {
                EndToken::Auto => self.end_token(),
                EndToken::Never => None,
            },
            train_on: preparation.train_on,
        };
        Samples::prepare(records, &encoder, preparation, origin)
    }

    /// Tokenizes plain texts into samples, as [`Self::samples`].
    ///
    /// # Errors
    ///
    /// Those of [`Samples::prepare`].
    pub fn samples_of_texts(
        &self,
        texts: &[impl AsRef<str>],
        preparation: &Preparation,
        origin: &str,
    ) -> Result<Samples> {
        let texts = texts.iter();
        let records: Vec<Record> = texts
            .map(|text| Record::Text(text.as_ref().to_string()))
            .collect();
        self.samples(&records, preparation, origin)
    }
}
