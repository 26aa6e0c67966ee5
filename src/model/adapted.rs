//! Models with adapters: attached, taken off, merged.

use std::path::Path;
use std::sync::Arc;

use super::adapter::{Adapter, AdapterSettings, Embeddings, PeftFile, selects_embeddings};
use super::causal_lm::CausalLm;
use super::decoder::Decoder;
use crate::error::{Error, Result};

impl CausalLm {
    /// Returns the model with a new adapter, which does not change its outputs until it is trained.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for settings that are out of range or do not fit the model.
    pub fn with_new_adapter(&self, settings: AdapterSettings, seed: u64) -> Result<Self> {
        let base = self.without_adapter();
        let mut needed = Embeddings::of(&base.decoder);
        needed.tied &= !selects_embeddings(&settings, &base.decoder)?;
        let model = base.with_embeddings(needed)?;
        let adapter = Adapter::new(
            settings,
            &model.decoder,
            &model.parameters,
            &model.origin,
            seed,
        )?;
        Ok(Self {
            adapter: Some(adapter),
            untouched: (needed != Embeddings::of(&base.decoder)).then(|| Arc::new(base)),
            ..model
        })
    }

    /// Returns the model with the adapter in the bytes of `adapter_config.json` and
    /// `adapter_model.safetensors`; `folder` is for messages.
    ///
    /// Weights of the model that the adapter replaces (`modules_to_save`, biases, embeddings) are replaced in
    /// [`Self::parameters`]; [`Self::without_adapter`] returns the model without them.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] for an unsupported adapter or one of another base model, and the errors of a weights
    /// file.
    pub fn with_adapter(&self, config: &[u8], values: &[u8], folder: &Path) -> Result<Self> {
        let base = self.without_adapter();
        let own = Embeddings::of(&base.decoder);
        let file = PeftFile::open(config, values, folder, &base.decoder)?;
        let needed = file.embeddings(&base.decoder)?;
        let model = base.with_embeddings(needed)?;
        let adapter = file.adapter(&model.decoder, &self.tensor_device())?;
        let replaced = file.replaced(&adapter, &model.decoder, own.tied, &model.parameters)?;
        let untouched = (needed != own || replaced.is_some()).then(|| Arc::new(base));
        Ok(Self {
            is_as_loaded: model.is_as_loaded && replaced.is_none(),
            parameters: replaced.unwrap_or_else(|| model.parameters.clone()),
            adapter: Some(adapter),
            untouched,
            ..model
        })
    }

    /// Returns the model with the adapter of a folder. If the adapter resizes the vocabulary and the folder has
    /// a tokenizer, that is the model's.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Adapter`] for adapters in other formats than PEFT's with safetensors, and as
    /// [`Self::with_adapter`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_adapter(&self, folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let files = super::adapter::AdapterFiles::read(folder)?;
        let adapted = self.with_adapter(&files.config, &files.values, folder)?;
        match super::text_reader::TextFiles::read(folder)? {
            Some(own) if adapted.resizes_vocabulary() => Ok(Self {
                reader: adapted.reader.with_tokenizer_of(own)?,
                ..adapted
            }),
            _ => Ok(adapted),
        }
    }

    /// Returns whether the adapter resizes the vocabulary of its base model.
    pub(crate) fn resizes_vocabulary(&self) -> bool {
        let vocab_size = |model: &Self| model.decoder.config().vocab_size;
        let untouched = self.untouched.as_deref();
        untouched.is_some_and(|untouched| vocab_size(untouched) != vocab_size(self))
    }

    /// Returns the model without its adapter. The parameters are shared.
    pub fn without_adapter(&self) -> Self {
        match &self.untouched {
            Some(untouched) => (**untouched).clone(),
            None => Self {
                adapter: None,
                ..self.clone()
            },
        }
    }

    /// Returns the model with its adapter merged into the weights, or unchanged where that is impossible
    /// (see [`Self::try_merged`]).
    pub fn merged(&self) -> Self {
        self.try_merged().unwrap_or_else(|_| self.clone())
    }

    /// Returns the model with its adapter merged into the weights. Its embedding and head are not tied if the
    /// adapter changes only one of them.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for an adapter with `lora_bias` of a layer without a bias, which has no place
    /// in the weights.
    pub fn try_merged(&self) -> Result<Self> {
        let Some(adapter) = &self.adapter else {
            return Ok(self.clone());
        };
        if let Some(module) = adapter.unmergeable() {
            let expected = format!("false to merge, since {module} has no bias of its own");
            return Err(Error::setting("lora_bias", true, expected));
        }
        Ok(Self {
            parameters: adapter.merge(&self.parameters),
            adapter: None,
            untouched: None,
            is_as_loaded: false,
            ..self.clone()
        })
    }

    /// Returns whether training changes an embedding.
    pub(crate) fn trains_embeddings(&self) -> bool {
        self.adapter
            .as_ref()
            .is_none_or(|adapter| adapter.changes_any(&self.decoder.embedding_parameters()))
    }

    /// Returns the model with embedding and head as an adapter needs them. Resized ones have to be replaced.
    pub(super) fn with_embeddings(&self, needed: Embeddings) -> Result<Self> {
        if needed == Embeddings::of(&self.decoder) {
            return Ok(self.clone());
        }
        let path = self.reader.files().config_path();
        let config = self.config();
        let config = config.with_embeddings(needed.vocab_size, needed.tied, &path)?;
        let decoder = Decoder::new(config.decoder.clone());
        let own = self.decoder.parameters();
        // Only a head that was tied has no parameter of its own name.
        let embedding = &self.parameters[0];
        let parameters = decoder.parameters().iter().map(|spec| {
            let index = own.iter().position(|own| own.name == spec.name);
            index
                .map_or(embedding, |index| &self.parameters[index])
                .clone()
        });
        Ok(Self {
            parameters: parameters.collect(),
            reader: self.reader.with_config(config)?,
            decoder: Arc::new(decoder),
            is_as_loaded: false,
            ..self.clone()
        })
    }
}
