//! The `config.json` of a model, from the metadata and tensors of its GGUF file.

mod cousins;
mod families;
mod gemma;
mod gemma4;
mod hybrids;

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::gguf::architectures::ARCHITECTURES;
use crate::gguf::container::TensorInfo;
use crate::gguf::keys;
use crate::gguf::metadata::Metadata;
use crate::gguf::names::Architecture;
use crate::gguf::rope;

/// What a GGUF file says about the computation.
pub(super) struct Description<'a> {
    /// The architecture.
    pub architecture: &'static Architecture,
    /// Width of an attention head.
    pub head_size: usize,
    metadata: &'a Metadata,
    /// Tensors by name.
    tensors: HashMap<&'a str, &'a TensorInfo>,
    layers: usize,
    hidden_size: usize,
    heads: Vec<usize>,
    num_kv_heads: Vec<usize>,
    /// Factors of the rotary frequencies, if the file has them.
    factors: Option<Vec<f32>>,
}

/// Most layers of a model.
const MAX_LAYERS: usize = 1 << 12;
/// Context length of a file that does not say.
const DEFAULT_LENGTH: usize = 2048;
const DEFAULT_THETA: f64 = 10_000.0;

/// Returns the architecture of a file.
pub(super) fn architecture(metadata: &Metadata) -> Result<&'static Architecture> {
    const KEY: &str = "general.architecture";
    let name = metadata.text(KEY)?.ok_or_else(|| {
        metadata.fault(format!(
            "metadata {KEY} is missing: not the weights of a model"
        ))
    })?;
    if let Some(kind) = metadata.text("general.type")?
        && kind != "model"
    {
        return Err(metadata.fault(format!(
            "metadata general.type is {kind:?}: expected a model"
        )));
    }
    Architecture::of_gguf(name).ok_or_else(|| Error::UnsupportedArchitecture {
        found: format!("{name:.60} in {}", metadata.path().display()),
        supported: ARCHITECTURES.map(|known| known.gguf).join(", "),
    })
}

impl<'a> Description<'a> {
    /// Reads the sizes that every family has.
    pub(super) fn read(
        metadata: &'a Metadata,
        tensors: impl Iterator<Item = &'a TensorInfo>,
        factors: Option<Vec<f32>>,
    ) -> Result<Self> {
        let architecture = architecture(metadata)?;
        keys::check(metadata, architecture.gguf)?;
        let key = |name: &str| format!("{}.{name}", architecture.gguf);
        let layers = metadata.required_size(&key("block_count"))?;
        if !(1..=MAX_LAYERS).contains(&layers) {
            let message = format!(
                "metadata {} is {layers}: expected 1 to {MAX_LAYERS}",
                key("block_count")
            );
            return Err(metadata.fault(message));
        }
        let hidden_size = metadata.required_size(&key("embedding_length"))?;
        let head_count = key("attention.head_count");
        let heads = metadata.sizes(&head_count, layers)?;
        let heads = heads.ok_or_else(|| {
            metadata.fault(format!("metadata {head_count} is missing: expected a size"))
        })?;
        let num_kv_heads = metadata
            .sizes(&key("attention.head_count_kv"), layers)?
            .unwrap_or_else(|| heads.clone());
        let head_size = match metadata.size(&key("attention.key_length"))? {
            Some(size) => size,
            None => hidden_size.checked_div(heads[0]).unwrap_or(0),
        };
        let value_size = metadata.size(&key("attention.value_length"))?;
        if head_size == 0 || value_size.is_some_and(|size| size != head_size) {
            return Err(metadata.fault(format!(
                "heads have keys of size {head_size} and values of size {}: expected one size of at least 1",
                value_size.unwrap_or(head_size)
            )));
        }
        Ok(Self {
            architecture,
            head_size,
            metadata,
            tensors: tensors.map(|info| (&*info.name, info)).collect(),
            layers,
            hidden_size,
            heads,
            num_kv_heads,
            factors,
        })
    }

    /// Returns the fields of `config.json`.
    pub(super) fn config(mut self) -> Result<Map<String, Value>> {
        let mut config = match self.architecture.gguf {
            "gpt2" => self.gpt2()?,
            "phi2" => self.phi()?,
            "openelm" => self.openelm()?,
            "gemma2" => self.gemma2()?,
            "gemma3" => self.gemma3()?,
            "gemma4" => self.gemma4()?,
            "smollm3" => self.smollm3()?,
            "granite" => self.granite()?,
            "phi3" => self.phi3()?,
            "olmo2" => self.olmo2()?,
            "ernie4_5" => self.ernie4_5()?,
            "hunyuan-dense" => self.hunyuan()?,
            "gptneox" => self.gpt_neox()?,
            "lfm2" => self.lfm2()?,
            "qwen35" => self.qwen3_5()?,
            _ => self.llama()?,
        };
        // Those of Gemma 4 are part of its fields.
        let factors = self
            .factors
            .take()
            .filter(|_| !config.contains_key("rope_parameters"));
        let theta = config.get("rope_theta").and_then(Value::as_f64);
        let scaling = rope::scaling(
            self.metadata,
            self.architecture.gguf,
            (self.head_size, theta.unwrap_or(DEFAULT_THETA)),
            factors,
        )?;
        if !scaling.is_null() {
            if !config.contains_key("rope_theta") {
                let message = format!(
                    "RoPE scaling {scaling}, which {} does not have",
                    self.architecture.gguf
                );
                return Err(self.metadata.fault(message));
            }
            config.insert("rope_scaling".to_string(), scaling);
        }
        let tied = !self.has("output.weight");
        let (name, kind) = (config.remove("architecture"), self.architecture.model_type);
        let mut fields = Map::new();
        let name = name.unwrap_or_else(|| self.architecture.hugging_face[0].into());
        fields.insert("architectures".to_string(), json!([name]));
        fields.insert("model_type".to_string(), kind.into());
        // The types of the families with windows.
        for (architecture, kind) in [
            ("MistralForCausalLM", "mistral"),
            ("Olmo3ForCausalLM", "olmo3"),
        ] {
            if name == architecture {
                fields.insert("model_type".to_string(), kind.into());
            }
        }
        fields.insert("vocab_size".to_string(), self.vocab_size()?.into());
        fields.insert("tie_word_embeddings".to_string(), tied.into());
        for (field, key) in [
            ("bos_token_id", "tokenizer.ggml.bos_token_id"),
            ("eos_token_id", "tokenizer.ggml.eos_token_id"),
            ("pad_token_id", "tokenizer.ggml.padding_token_id"),
        ] {
            let id = self.metadata.token(key)?;
            fields.insert(field.to_string(), id.map_or(Value::Null, Value::from));
        }
        fields.append(&mut config);
        Ok(fields)
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture.gguf)
    }

    fn has(&self, tensor: &str) -> bool {
        self.tensors.contains_key(tensor)
    }

    /// Returns the number of rows of a tensor.
    fn rows(&self, tensor: &str) -> Result<usize> {
        let info = self.tensors.get(tensor);
        let rows = info.and_then(|info| info.shape.first());
        rows.copied().ok_or_else(|| Error::MissingTensors {
            path: self.metadata.path().to_path_buf(),
            names: vec![tensor.to_string()],
        })
    }

    fn vocab_size(&self) -> Result<usize> {
        self.rows("token_embd.weight")
    }

    fn max_length(&self) -> Result<usize> {
        let length = self.metadata.size(&self.key("context_length"))?;
        Ok(length.unwrap_or(DEFAULT_LENGTH))
    }

    fn theta(&self) -> Result<f64> {
        let theta = self.metadata.float(&self.key("rope.freq_base"))?;
        Ok(theta.unwrap_or(DEFAULT_THETA))
    }

    /// Returns the size of the sliding window, if there is one.
    fn window(&self) -> Result<Option<usize>> {
        let window = self.metadata.size(&self.key("attention.sliding_window"))?;
        Ok(window.filter(|&window| window > 0))
    }

    /// Returns an epsilon, in the fewest digits that give its float32.
    fn epsilon(&self, name: &str) -> Result<Value> {
        let key = self.key(name);
        let found = self.metadata.float(&key)?;
        let epsilon = found.ok_or_else(|| {
            self.metadata
                .fault(format!("metadata {key} is missing: expected a float"))
        })?;
        Ok(shortest(epsilon))
    }

    /// Returns a value that all layers share.
    fn of_all(&self, name: &str, values: &[usize]) -> Result<usize> {
        match values.iter().all(|value| *value == values[0]) {
            true => Ok(values[0]),
            false => Err(self.metadata.fault(format!(
                "metadata {} differs between layers: expected one size, except for openelm",
                self.key(name)
            ))),
        }
    }

    /// Checks that whole heads are rotated.
    fn check_rotary(&self) -> Result<()> {
        let size = self.metadata.size(&self.key("rope.dimension_count"))?;
        match size.filter(|size| *size != self.head_size) {
            None => Ok(()),
            Some(size) => Err(self.metadata.fault(format!(
                "metadata {} is {size}: expected the size of heads, {}",
                self.key("rope.dimension_count"),
                self.head_size
            ))),
        }
    }
}

/// Returns the fields of an object.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Returns a number in the fewest digits that give its float32: 1e-5 instead of 9.999999747378752e-6.
fn shortest(number: f64) -> Value {
    let short = (number as f32).to_string().parse::<f64>();
    match short {
        Ok(short) if f64::from(number as f32) == number => short.into(),
        _ => number.into(),
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    match b {
        0 => a,
        _ => greatest_common_divisor(b, a % b),
    }
}
