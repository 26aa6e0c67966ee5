//! The types in which weights are saved.

use std::fmt;

use half::{bf16, f16};
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::quantization::WeightType;

/// A type in which weights are saved in a Hugging Face folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SaveType {
    /// 32-bit floats
    #[default]
    #[cfg_attr(feature = "cli", value(alias = "f32", alias = "fp32"))]
    Float32,
    /// 16-bit floats of IEEE 754: 11 significant bits, up to 65,504
    #[cfg_attr(feature = "cli", value(alias = "f16", alias = "fp16"))]
    Float16,
    /// 16-bit brain floats: 8 significant bits, the range of float32
    #[cfg_attr(feature = "cli", value(alias = "bf16"))]
    Bfloat16,
}

impl SaveType {
    const ALL: [Self; 3] = [Self::Float32, Self::Float16, Self::Bfloat16];

    /// Returns the name in `config.json`.
    pub fn name(self) -> &'static str {
        self.stored().name()
    }

    /// Returns the storage type of weights.
    pub(super) fn stored(self) -> WeightType {
        match self {
            Self::Float32 => WeightType::Float32,
            Self::Float16 => WeightType::Float16,
            Self::Bfloat16 => WeightType::Bfloat16,
        }
    }

    /// Returns the type in a safetensors file.
    pub(super) fn dtype(self) -> Dtype {
        match self {
            Self::Float32 => Dtype::F32,
            Self::Float16 => Dtype::F16,
            Self::Bfloat16 => Dtype::BF16,
        }
    }

    /// Returns the type of a tensor in a safetensors file, if it is one of these.
    pub(super) fn of_dtype(dtype: Dtype) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.dtype() == dtype)
    }

    /// Returns the type that `config.json` names, if it names one of these.
    pub(super) fn of_config(config: &Map<String, Value>) -> Option<Self> {
        let name = config.get("dtype").or_else(|| config.get("torch_dtype"))?;
        let name = name.as_str()?.trim_start_matches("torch.");
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns a finite value that would become infinite.
    pub(super) fn beyond(self, values: &[f32]) -> Option<f32> {
        let is_beyond = |value: f32| match self {
            Self::Float32 => false,
            Self::Float16 => f16::from_f32(value).is_infinite(),
            Self::Bfloat16 => bf16::from_f32(value).is_infinite(),
        };
        let mut values = values.iter().copied();
        values.find(|&value| value.is_finite() && is_beyond(value))
    }

    /// Returns the error for a value that would become infinite.
    pub(super) fn fault(self, tensor: &str, value: f32) -> Error {
        let expected =
            format!("a type with a larger range: tensor {tensor} contains the value {value}");
        Error::setting("save_type", self.name(), expected)
    }
}

impl fmt::Display for SaveType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Returns the type of the most elements; float32 if there are none.
pub(super) fn most_common(tensors: impl Iterator<Item = (SaveType, usize)>) -> SaveType {
    let mut elements = [0; SaveType::ALL.len()];
    for (kind, count) in tensors {
        elements[kind as usize] += count;
    }
    let mut types = SaveType::ALL.into_iter().rev();
    let most = elements.iter().copied().max().unwrap_or(0);
    let found = types.find(|&kind| most > 0 && elements[kind as usize] == most);
    found.unwrap_or_default()
}
