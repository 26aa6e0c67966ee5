//! Models for JavaScript.

use std::path::{Path, PathBuf};

use js_sys::{Map, Uint8Array};
use serde::Serialize;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use super::device::Device;
use super::{Thrown, not_as_declared, thrown};
use crate::model::{CausalLm, FileBytes, ModelFiles, Sampling};

/// What a model is.
#[derive(Clone, Debug, Serialize, Tsify)]
pub struct ModelInfo {
    name: String,
    /// Whether it is the one that is part of the program.
    embedded: bool,
    architecture: String,
    /// Trainable values.
    parameters: usize,
    layers: usize,
    hidden_size: usize,
    /// Tokens in its vocabulary.
    vocabulary: usize,
    /// Longest sequence it was made for, in tokens.
    max_length: usize,
}

/// A causal language model on a device.
#[wasm_bindgen]
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) model: CausalLm,
    embedded: bool,
}

#[wasm_bindgen]
impl Model {
    /// The model that is part of the program, minift-tales-360k.
    pub fn embedded(device: &Device) -> Thrown<Self> {
        let model = CausalLm::embedded(&device.0).map_err(thrown)?;
        Ok(Self {
            model,
            embedded: true,
        })
    }

    /// The files of a Hugging Face folder, by their names.
    pub fn load(
        device: &Device,
        name: String,
        #[wasm_bindgen(unchecked_param_type = "Map<string, Uint8Array>")] files: &Map,
    ) -> Thrown<Self> {
        let files = ModelFiles::collect(PathBuf::from(name), |file| {
            let bytes = files.get(&file.into()).dyn_into::<Uint8Array>().ok();
            Ok(bytes.map(|bytes| FileBytes::InMemory(bytes.to_vec().into())))
        });
        let model = files.and_then(|files| CausalLm::from_files(files, &device.0));
        Ok(Self {
            model: model.map_err(thrown)?,
            embedded: false,
        })
    }

    /// Looks at one file of a Hugging Face folder, and throws what is wrong with it by itself.
    #[wasm_bindgen(js_name = checkFile)]
    pub fn check_file(folder: &str, name: &str, bytes: &[u8]) -> Thrown<()> {
        ModelFiles::check(Path::new(folder), name, bytes).map_err(thrown)
    }

    /// What it is.
    pub fn info(&self) -> Thrown<Ts<ModelInfo>> {
        let config = &self.model.config().decoder;
        let info = ModelInfo {
            name: self.model.name(),
            embedded: self.embedded,
            architecture: config.family.to_string(),
            parameters: self.model.parameter_count(),
            layers: config.layers.len(),
            hidden_size: config.hidden_size,
            vocabulary: config.vocabulary,
            max_length: config.max_length,
        };
        info.into_ts().map_err(not_as_declared)
    }

    /// Tokens of a text.
    #[wasm_bindgen(js_name = countTokens)]
    pub fn count_tokens(&self, text: &str) -> Thrown<usize> {
        let tokens = self.model.tokenizer().encode(text).map_err(thrown)?;
        Ok(tokens.len())
    }

    /// The most likely continuation of a prompt by up to so many tokens.
    pub async fn generate(
        &self,
        prompt: String,
        #[wasm_bindgen(js_name = maxNewTokens)] max_new_tokens: usize,
    ) -> Thrown<String> {
        let sampling = Sampling::default();
        let text = self
            .model
            .generate(&prompt, max_new_tokens, &sampling, |_| ());
        text.await.map_err(thrown)
    }

    /// The files of its Hugging Face folder, with float32 weights.
    #[wasm_bindgen(unchecked_return_type = "Map<string, Uint8Array>")]
    pub async fn files(&self) -> Thrown<JsValue> {
        let files = Map::new();
        for (name, bytes) in self.model.to_files().await.map_err(thrown)? {
            files.set(&name.into(), &Uint8Array::from(bytes.as_slice()));
        }
        Ok(files.into())
    }
}

impl Model {
    /// The same model after training.
    pub(super) fn trained(&self, model: CausalLm) -> Self {
        Self {
            model,
            embedded: self.embedded,
        }
    }
}
