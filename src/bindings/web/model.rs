//! Models for JavaScript.

use std::path::{Path, PathBuf};

use js_sys::{Map, Uint8Array};
use serde::Serialize;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use super::device::Device;
use super::{Thrown, not_as_declared, thrown};
use crate::error::Error;
use crate::model::{CausalLm, FileBytes, ModelFiles, Sampling, Weight, WeightChoice, WeightType};

/// How weights are kept in memory, for TypeScript.
#[wasm_bindgen(typescript_custom_section)]
const WEIGHT_CHOICE: &str = "
/** The type that weights are kept in: as they are stored, or converted. */
export type WeightChoice = \"auto\" | \"float32\" | \"float16\" | \"bfloat16\" | \"q8_0\" | \"q4_0\";
";

/// A description of a model.
#[derive(Clone, Debug, Serialize, Tsify)]
pub struct ModelInfo {
    name: String,
    /// Whether it is the embedded model.
    embedded: bool,
    architecture: String,
    /// Number of parameters.
    parameters: usize,
    layers: usize,
    hidden_size: usize,
    /// Vocabulary size.
    vocabulary: usize,
    /// Maximum sequence length, in tokens.
    max_length: usize,
    /// The type of the weights in memory: that of the largest.
    weights: &'static str,
    /// Size of the weights in memory.
    bytes: usize,
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
    /// Loads the embedded model, minift-tales-360k.
    pub fn embedded(device: &Device) -> Thrown<Self> {
        let model = CausalLm::embedded(&device.0).map_err(thrown)?;
        Ok(Self {
            model,
            embedded: true,
        })
    }

    /// Loads a model from the files of a Hugging Face folder, by name, or from a GGUF file or all its parts. The weights
    /// are kept as they are stored (`auto`), or converted to another type.
    pub fn load(
        device: &Device,
        name: String,
        #[wasm_bindgen(unchecked_param_type = "Map<string, Uint8Array>")] files: &Map,
        #[wasm_bindgen(unchecked_param_type = "WeightChoice")] weights: String,
    ) -> Thrown<Self> {
        let choice: std::result::Result<WeightChoice, String> = weights.parse();
        let choice =
            choice.map_err(|expected| thrown(Error::setting("weights", weights, expected)))?;
        let bytes_of = |file: &str| {
            let bytes = files.get(&file.into()).dyn_into::<Uint8Array>().ok();
            bytes.map(|bytes| FileBytes::InMemory(bytes.to_vec().into()))
        };
        let mut in_gguf: Vec<String> = files
            .keys()
            .into_iter()
            .filter_map(|name| name.ok()?.as_string())
            .filter(|name| name.to_ascii_lowercase().ends_with(".gguf"))
            .collect();
        in_gguf.sort();
        let files = if in_gguf.is_empty() {
            ModelFiles::collect(PathBuf::from(name), |file| Ok(bytes_of(file)))
        } else {
            let parts = in_gguf.into_iter();
            let parts = parts.filter_map(|name| Some((name.clone(), bytes_of(&name)?)));
            ModelFiles::from_gguf(PathBuf::from(name), parts.collect())
        };
        let weights = choice.converted();
        let model = files.and_then(|files| CausalLm::from_files_as(files, weights, &device.0));
        Ok(Self {
            model: model.map_err(thrown)?,
            embedded: false,
        })
    }

    /// Returns the model with an adapter, from the bytes of `adapter_config.json` and `adapter_model.safetensors`.
    #[wasm_bindgen(js_name = withAdapter)]
    pub fn with_adapter(&self, config: &[u8], values: &[u8]) -> Thrown<Self> {
        let folder = Path::new("the stored adapter");
        let adapted = self.model.with_adapter(config, values, folder);
        Ok(self.trained(adapted.map_err(thrown)?))
    }

    /// Returns whether it has a chat template; throws for an invalid one.
    #[wasm_bindgen(getter, js_name = hasChatTemplate)]
    pub fn has_chat_template(&self) -> Thrown<bool> {
        let template = self.model.reader().chat_template();
        Ok(template.map_err(thrown)?.is_some())
    }

    /// Checks one file of a Hugging Face folder; throws if it is invalid.
    #[wasm_bindgen(js_name = checkFile)]
    pub fn check_file(folder: &str, name: &str, bytes: &[u8]) -> Thrown<()> {
        ModelFiles::check(Path::new(folder), name, bytes).map_err(thrown)
    }

    /// Returns a description.
    pub fn info(&self) -> Thrown<Ts<ModelInfo>> {
        let config = &self.model.config().decoder;
        let stored = self.model.stored().iter();
        let largest = stored.clone().max_by_key(|weight| weight.bytes());
        let info = ModelInfo {
            weights: largest.map_or(WeightType::Float32, Weight::kind).name(),
            bytes: stored.map(Weight::bytes).sum(),
            name: self.model.name(),
            embedded: self.embedded,
            architecture: config.family.to_string(),
            parameters: self.model.parameter_count(),
            layers: config.layers.len(),
            hidden_size: config.hidden_size,
            vocabulary: config.vocab_size,
            max_length: config.max_length,
        };
        info.into_ts().map_err(not_as_declared)
    }

    /// Returns the number of tokens of a text.
    #[wasm_bindgen(js_name = countTokens)]
    pub fn count_tokens(&self, text: &str) -> Thrown<usize> {
        let tokens = self.model.tokenizer().encode(text).map_err(thrown)?;
        Ok(tokens.len())
    }

    /// Continues a prompt by greedy decoding, up to a number of new tokens.
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

    /// Returns the files of its Hugging Face folder, with the weight types of the files that it was loaded from.
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
    /// Returns the same model after training.
    pub(super) fn trained(&self, model: CausalLm) -> Self {
        Self {
            model,
            embedded: self.embedded,
        }
    }
}
