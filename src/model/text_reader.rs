//! What of a model reads text: everything but its weights.

use std::sync::Arc;

use super::config::ModelConfig;
use super::files::ModelFiles;
use crate::data::chat::ChatTemplate;
use crate::data::{Encoder, Preparation, Record, Samples, Tokenizer};
use crate::error::{Error, Result};

/// Samples are cut to this many tokens where nobody says otherwise.
const DEFAULT_LENGTH: usize = 256;

/// A model's configuration, tokenizer and chat template. Clones share them.
#[derive(Clone, Debug)]
pub struct TextReader {
    config: ModelConfig,
    tokenizer: Arc<Tokenizer>,
    files: Arc<ModelFiles>,
}

impl TextReader {
    /// That of a Hugging Face folder.
    ///
    /// # Errors
    ///
    /// Errors that name the file or field that cannot be used.
    pub fn new(files: ModelFiles) -> Result<Self> {
        let config = ModelConfig::parse(&files.config, &files.config_path())?;
        let tokenizer = Tokenizer::parse(
            &files.tokenizer,
            &files.tokenizer_path(),
            config.decoder.vocabulary,
        )?;
        Ok(Self {
            config,
            tokenizer: Arc::new(tokenizer),
            files: Arc::new(files),
        })
    }

    /// The model's configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Its files.
    pub fn files(&self) -> &ModelFiles {
        &self.files
    }

    /// The chat template of its folder, if that has one.
    ///
    /// # Errors
    ///
    /// [`crate::Error::ChatTemplate`] for one that cannot be used.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>> {
        ChatTemplate::parse(
            self.files.companion("chat_template.jinja"),
            self.files.companion("tokenizer_config.json"),
            &self.files.folder,
        )
    }

    /// The greatest length of a sample in tokens: as asked for, else 256 or the model's own greatest
    /// length, whichever is less.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for one that the model cannot take.
    pub fn sample_length(&self, asked: Option<usize>) -> Result<usize> {
        let longest = self.config.decoder.max_length;
        match asked {
            None => Ok(DEFAULT_LENGTH.min(longest)),
            Some(length) if (2..=longest).contains(&length) => Ok(length),
            Some(length) => Err(Error::setting(
                "max-length",
                length,
                format!("2 to {longest}, the greatest length of this model"),
            )),
        }
    }

    /// Makes samples of records by its tokenizer and, for conversations, its chat template; `origin`
    /// is where the records came from.
    ///
    /// # Errors
    ///
    /// Those of [`Samples::prepare`] and [`Self::chat_template`].
    pub fn samples(
        &self,
        records: &[Record],
        preparation: &Preparation,
        origin: &str,
    ) -> Result<Samples> {
        let is_conversation = |record: &Record| matches!(record, Record::Conversation { .. });
        let template = if records.iter().any(is_conversation) {
            self.chat_template()?
        } else {
            None
        };
        let encoder = Encoder {
            tokenizer: &self.tokenizer,
            template: template.as_ref(),
            end_token: self.config.decoder.end_tokens.first().copied(),
            train_on: preparation.train_on,
        };
        Samples::prepare(records, &encoder, preparation, origin)
    }
}
