//! The supported model families. Each has a file that parses its `config.json`, and a line in the table
//! below.

mod description;
mod ernie4_5;
mod gemma2;
mod gemma3;
mod gemma4;
mod gpt2;
mod gpt_neo;
mod gpt_neox;
mod granite;
mod hunyuan;
mod lfm2;
mod llama;
mod ministral3;
mod mistral;
mod olmo2;
mod olmo3;
mod openelm;
mod phi;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen3_5;
mod rope;
mod smollm3;
mod windows;

use super::config::DecoderConfig;
use super::fields::Fields;
use crate::error::{Error, Result};
use description::Description;

const FAMILIES: [Description; 24] = [
    llama::DESCRIPTION,
    mistral::DESCRIPTION,
    qwen2::DESCRIPTION,
    qwen3::DESCRIPTION,
    gemma2::DESCRIPTION,
    gemma3::DESCRIPTION,
    gemma4::DESCRIPTION,
    gpt2::DESCRIPTION,
    gpt_neo::DESCRIPTION,
    phi::DESCRIPTION,
    openelm::DESCRIPTION,
    smollm3::DESCRIPTION,
    granite::DESCRIPTION,
    granite::HYBRID_DESCRIPTION,
    phi3::DESCRIPTION,
    olmo2::DESCRIPTION,
    olmo3::DESCRIPTION,
    ernie4_5::DESCRIPTION,
    ernie4_5::OLD_DESCRIPTION,
    ministral3::DESCRIPTION,
    hunyuan::DESCRIPTION,
    gpt_neox::DESCRIPTION,
    lfm2::DESCRIPTION,
    qwen3_5::DESCRIPTION,
];

/// Parses the configuration of any family.
pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let architectures: Vec<String> = fields.or("architectures", Vec::new())?;
    let model_type: Option<String> = fields.optional("model_type")?;
    let mut families = FAMILIES.iter();
    // A folder without the head, as `AutoModel` saves it, which is complete if the head is tied.
    let is_base = |name: &String| name.ends_with("Model");
    let (known, name) = match (architectures.first(), model_type) {
        (Some(base), Some(name)) if is_base(base) => {
            (families.find(|family| family.model_type == name), name)
        }
        (Some(name), _) => (
            families.find(|family| family.architecture == name),
            name.clone(),
        ),
        (None, Some(name)) => (families.find(|family| family.model_type == name), name),
        (None, None) => {
            return Err(fields.fault(
                "neither architectures nor model_type: not the config.json of a model".into(),
            ));
        }
    };
    match known {
        Some(family) => (family.parse)(fields),
        None if name.to_lowercase().contains("moe") => Err(fields.fault(format!(
            "the architecture is {name}: mixtures of experts are unsupported"
        ))),
        None => Err(Error::UnsupportedArchitecture {
            found: name,
            supported: FAMILIES.map(|family| family.architecture).join(", "),
        }),
    }
}
