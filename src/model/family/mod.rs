//! The families of models: each says in one file how its `config.json` reads and what its tensors
//! are called.

mod llama;
mod mistral;
mod qwen2;
mod qwen3;

use super::config::{DecoderConfig, Fields};
use super::parameters::ParameterNames;
use crate::error::{Error, Result};

/// The supported families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum Family {
    /// Llama 1 to 3, SmolLM2, and models that share their architecture to the letter.
    Llama,
    /// Mistral.
    Mistral,
    /// Qwen2 and Qwen2.5.
    Qwen2,
    /// Qwen3.
    Qwen3,
}

/// Families by the architecture that `config.json` names, and by `model_type` for files that name
/// none.
const FAMILIES: [(&str, &str, Family); 4] = [
    ("LlamaForCausalLM", "llama", Family::Llama),
    ("MistralForCausalLM", "mistral", Family::Mistral),
    ("Qwen2ForCausalLM", "qwen2", Family::Qwen2),
    ("Qwen3ForCausalLM", "qwen3", Family::Qwen3),
];

impl Family {
    /// What its tensors are called.
    pub(super) fn names(self) -> &'static ParameterNames {
        match self {
            Self::Llama | Self::Mistral | Self::Qwen2 | Self::Qwen3 => &llama::NAMES,
        }
    }
}

/// Reads the configuration of whatever family it is.
pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let architectures: Vec<String> = fields.optional("architectures")?.unwrap_or_default();
    let model_type: Option<String> = fields.optional("model_type")?;
    let mut families = FAMILIES.iter();
    let (known, name) = match (architectures.first(), &model_type) {
        (Some(name), _) => (families.find(|family| family.0 == name), name.clone()),
        (None, Some(name)) => (families.find(|family| family.1 == name), name.clone()),
        (None, None) => {
            return Err(fields.fault(
                "names neither architectures nor model_type: not the config.json of a model".into(),
            ));
        }
    };
    match known.map(|&(.., family)| family) {
        Some(Family::Llama) => llama::describe(fields),
        Some(Family::Mistral) => mistral::describe(fields),
        Some(Family::Qwen2) => qwen2::describe(fields),
        Some(Family::Qwen3) => qwen3::describe(fields),
        None => Err(Error::UnsupportedArchitecture {
            found: name,
            supported: FAMILIES.map(|(name, ..)| name).join(", "),
        }),
    }
}
