//! The families of models: each says in one file how its `config.json` reads and what its tensors
//! are called.

mod gemma3;
mod gpt2;
mod gpt_neo;
mod llama;
mod mistral;
mod openelm;
mod phi;
mod qwen2;
mod qwen3;
mod rope;
mod windows;

use super::config::DecoderConfig;
use super::fields::Fields;
use super::ops::Activation;
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
    /// Gemma 3, text only.
    #[strum(to_string = "Gemma 3")]
    Gemma3,
    /// GPT-2.
    #[strum(to_string = "GPT-2")]
    Gpt2,
    /// GPT-Neo.
    #[strum(to_string = "GPT-Neo")]
    GptNeo,
    /// Phi-1, Phi-1.5 and Phi-2.
    Phi,
    /// OpenELM.
    #[strum(to_string = "OpenELM")]
    OpenElm,
}

/// How a family's `config.json` is known and read.
struct Description {
    /// As `architectures` names it.
    architecture: &'static str,
    /// As `model_type` names it, for files without architectures.
    model_type: &'static str,
    read: fn(&Fields<'_>) -> Result<DecoderConfig>,
}

const FAMILIES: [Description; 9] = [
    Description {
        architecture: "LlamaForCausalLM",
        model_type: "llama",
        read: llama::describe,
    },
    Description {
        architecture: "MistralForCausalLM",
        model_type: "mistral",
        read: mistral::describe,
    },
    Description {
        architecture: "Qwen2ForCausalLM",
        model_type: "qwen2",
        read: qwen2::describe,
    },
    Description {
        architecture: "Qwen3ForCausalLM",
        model_type: "qwen3",
        read: qwen3::describe,
    },
    Description {
        architecture: "Gemma3ForCausalLM",
        model_type: "gemma3_text",
        read: gemma3::describe,
    },
    Description {
        architecture: "GPT2LMHeadModel",
        model_type: "gpt2",
        read: gpt2::describe,
    },
    Description {
        architecture: "GPTNeoForCausalLM",
        model_type: "gpt_neo",
        read: gpt_neo::describe,
    },
    Description {
        architecture: "PhiForCausalLM",
        model_type: "phi",
        read: phi::describe,
    },
    Description {
        architecture: "OpenELMForCausalLM",
        model_type: "openelm",
        read: openelm::describe,
    },
];

impl Family {
    /// What its tensors are called.
    pub(super) fn names(self) -> &'static ParameterNames {
        match self {
            Self::Llama | Self::Mistral | Self::Qwen2 | Self::Qwen3 => &llama::NAMES,
            Self::Gemma3 => &gemma3::NAMES,
            Self::Gpt2 => &gpt2::NAMES,
            Self::GptNeo => &gpt_neo::NAMES,
            Self::Phi => &phi::NAMES,
            Self::OpenElm => &openelm::NAMES,
        }
    }
}

/// Reads the configuration of whatever family it is.
pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let architectures: Vec<String> = fields.or("architectures", Vec::new())?;
    let model_type: Option<String> = fields.optional("model_type")?;
    let mut families = FAMILIES.iter();
    let (known, name) = match (architectures.first(), model_type) {
        (Some(name), _) => (
            families.find(|family| family.architecture == name),
            name.clone(),
        ),
        (None, Some(name)) => (families.find(|family| family.model_type == name), name),
        (None, None) => {
            return Err(fields.fault(
                "names neither architectures nor model_type: not the config.json of a model".into(),
            ));
        }
    };
    match known {
        Some(family) => (family.read)(fields),
        None => Err(Error::UnsupportedArchitecture {
            found: name,
            supported: FAMILIES.map(|family| family.architecture).join(", "),
        }),
    }
}

/// The activation that a field names.
fn activation(fields: &Fields<'_>, name: &str, usual: &str) -> Result<Activation> {
    let found: String = fields.or(name, usual.to_string())?;
    Activation::named(&found).ok_or_else(|| {
        fields.fault(format!(
            "{name} is {found}: supported are silu, gelu, gelu_new, gelu_pytorch_tanh and relu"
        ))
    })
}

/// `eos_token_id` is one id or a list.
fn end_tokens(fields: &Fields<'_>) -> Result<Vec<u32>> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Ids {
        One(u32),
        Many(Vec<u32>),
    }
    Ok(match fields.optional("eos_token_id")? {
        None => Vec::new(),
        Some(Ids::One(id)) => vec![id],
        Some(Ids::Many(ids)) => ids,
    })
}
