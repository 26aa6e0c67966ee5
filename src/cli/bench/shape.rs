//! The models whose training steps are measured.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use half::bf16;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::Serialize;
use serde_json::json;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Batch;
use crate::model::{CausalLm, Decoder, FileBytes, ModelConfig, ModelFiles, WeightType};
use crate::text::Sample;

/// A model and its batch shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Shape {
    /// The embedded model, minift-tales-360k.
    #[serde(rename = "360k")]
    Embedded,
    /// A Llama with 15 million random parameters and a vocabulary of 32,000.
    #[serde(rename = "15m")]
    Llama15M,
    /// SmolLM2-135M with random weights.
    #[serde(rename = "135m")]
    SmolLm135M,
    /// An LFM2 with 15 million random parameters and a vocabulary of 32,000.
    #[serde(rename = "lfm2")]
    Lfm2,
    /// A Qwen3.5 with 15 million random parameters and a vocabulary of 32,000.
    #[serde(rename = "qwen3.5")]
    Qwen35,
}

impl FromStr for Shape {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|shape| shape.name() == text);
        found.ok_or_else(|| Error::setting("shape", text, "360k, 15m, 135m, lfm2 or qwen3.5"))
    }
}

impl Shape {
    /// All shapes.
    const ALL: [Self; 5] = [
        Self::Embedded,
        Self::Llama15M,
        Self::SmolLm135M,
        Self::Lfm2,
        Self::Qwen35,
    ];
    /// The shapes that are measured by default, smallest first.
    pub(crate) const DEFAULTS: [Self; 3] = [Self::Embedded, Self::Llama15M, Self::SmolLm135M];

    /// Returns the name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "360k",
            Self::Llama15M => "15m",
            Self::SmolLm135M => "135m",
            Self::Lfm2 => "lfm2",
            Self::Qwen35 => "qwen3.5",
        }
    }

    /// Returns the batch size and the number of predicted tokens per sample.
    pub(crate) fn batch_size(self) -> (usize, usize) {
        match self {
            Self::Embedded => (8, 256),
            Self::Llama15M | Self::Lfm2 | Self::Qwen35 => (4, 256),
            Self::SmolLm135M => (2, 128),
        }
    }

    /// Loads the model.
    pub(super) fn model(self, device: &Device) -> Result<CausalLm> {
        self.model_as(None, device)
    }

    /// Loads the model with its weights in another type.
    pub(super) fn model_as(self, weights: Option<WeightType>, device: &Device) -> Result<CausalLm> {
        let config = match self {
            Self::Embedded => {
                return CausalLm::from_files_as(ModelFiles::embedded(), weights, device);
            }
            Self::Llama15M => json!({
                "hidden_size": 288, "intermediate_size": 768, "num_hidden_layers": 6,
                "num_attention_heads": 6, "num_key_value_heads": 6, "vocab_size": 32_000,
            }),
            Self::SmolLm135M => json!({
                "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
                "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49_152,
            }),
            Self::Lfm2 => json!({
                "architectures": ["Lfm2ForCausalLM"], "model_type": "lfm2", "hidden_size": 288,
                "intermediate_size": 768, "block_auto_adjust_ff_dim": false,
                "num_hidden_layers": 6, "full_attn_idxs": [2, 5], "conv_L_cache": 3,
                "num_attention_heads": 6, "num_key_value_heads": 2, "vocab_size": 32_000,
            }),
            Self::Qwen35 => json!({
                "architectures": ["Qwen3_5ForCausalLM"], "model_type": "qwen3_5_text",
                "hidden_size": 288, "intermediate_size": 768, "num_hidden_layers": 6,
                "full_attention_interval": 3, "num_attention_heads": 6, "num_key_value_heads": 2,
                "head_dim": 48, "linear_num_key_heads": 4, "linear_num_value_heads": 4,
                "linear_key_head_dim": 64, "linear_value_head_dim": 64, "vocab_size": 32_000,
            }),
        };
        CausalLm::from_files_as(random_model(self.name(), config)?, weights, device)
    }

    /// Returns a batch of random tokens.
    pub(super) fn batch(self, vocabulary: usize) -> Batch {
        let (samples, length) = self.batch_size();
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let mut sample = || -> Sample {
            (0..=length)
                .map(|_| random.random_range(0..vocabulary as u32))
                .collect()
        };
        let list: Vec<Sample> = (0..samples).map(|_| sample()).collect();
        Batch::new(&list, (0..samples).collect())
    }
}

/// Creates the files of a model, by default a Llama, with random bfloat16 weights. It has the tokenizer of the embedded model, which
/// is not used.
fn random_model(name: &str, sizes: serde_json::Value) -> Result<ModelFiles> {
    let mut config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0,
        "tie_word_embeddings": true, "torch_dtype": "bfloat16",
    });
    if let (Some(config), Some(sizes)) = (config.as_object_mut(), sizes.as_object()) {
        config.extend(sizes.clone());
    }
    let folder = PathBuf::from(format!("{name} (random)"));
    let config = config.to_string().into_bytes();
    let weights = random_weights(&config, &folder)?;
    let embedded = ModelFiles::embedded();
    let in_memory = |bytes: Vec<u8>| FileBytes::InMemory(Cow::Owned(bytes));
    let (mut config, mut weights) = (Some(config), Some(weights));
    ModelFiles::collect(folder, |file| {
        Ok(match file {
            "config.json" => config.take().map(in_memory),
            "model.safetensors" => weights.take().map(in_memory),
            "tokenizer.json" => Some(in_memory(embedded.tokenizer.to_vec())),
            _ => None,
        })
    })
}

fn random_weights(config: &[u8], folder: &Path) -> Result<Vec<u8>> {
    let config = ModelConfig::parse(config, folder)?;
    let decoder = Decoder::new(config.decoder);
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let values: Vec<Vec<u8>> = decoder
        .parameters()
        .iter()
        .map(|parameter| {
            let is_norm = parameter.shape.len() == 1;
            (0..parameter.elements())
                .map(|_| match is_norm {
                    true => 1.0,
                    false => random.random_range(-0.05_f32..0.05),
                })
                .flat_map(|value| bf16::from_f32(value).to_le_bytes())
                .collect()
        })
        .collect();
    let damaged = |error: safetensors::SafeTensorError| Error::Weights {
        path: folder.to_path_buf(),
        message: error.to_string(),
    };
    let mut views = Vec::with_capacity(values.len());
    for (parameter, bytes) in decoder.parameters().iter().zip(&values) {
        let view = TensorView::new(Dtype::BF16, parameter.shape.clone(), bytes).map_err(damaged)?;
        views.push((parameter.name.as_str(), view));
    }
    safetensors::serialize(views, None).map_err(damaged)
}
