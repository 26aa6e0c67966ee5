//! The families of models: each says in one file how its `config.json` reads and what its tensors
//! are called.

mod llama;

use super::config::{DecoderConfig, Fields};
use super::parameters::ParameterNames;
use crate::error::{Error, Result};

/// The supported families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum Family {
    /// Llama 1 to 3, and models that share its architecture to the letter.
    Llama,
}

/// Architectures by the name that `config.json` gives them.
const ARCHITECTURES: [(&str, Family); 1] = [("LlamaForCausalLM", Family::Llama)];

/// Families by `model_type`, for files that name no architecture.
const MODEL_TYPES: [(&str, Family); 1] = [("llama", Family::Llama)];

impl Family {
    /// What its tensors are called.
    pub(super) fn names(self) -> &'static ParameterNames {
        match self {
            Self::Llama => &llama::NAMES,
        }
    }
}

/// Reads the configuration of whatever family it is.
pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let architectures: Vec<String> = fields.optional("architectures")?.unwrap_or_default();
    let model_type: Option<String> = fields.optional("model_type")?;
    let (known, name) = match (architectures.first(), &model_type) {
        (Some(name), _) => (find(&ARCHITECTURES, name), name.clone()),
        (None, Some(name)) => (find(&MODEL_TYPES, name), name.clone()),
        (None, None) => {
            return Err(fields.fault(
                "names neither architectures nor model_type: not the config.json of a model".into(),
            ));
        }
    };
    match known {
        Some(Family::Llama) => llama::describe(fields),
        None => Err(Error::UnsupportedArchitecture {
            found: name,
            supported: ARCHITECTURES.map(|(name, _)| name).join(", "),
        }),
    }
}

fn find(table: &[(&str, Family)], name: &str) -> Option<Family> {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .map(|&(_, family)| family)
}
