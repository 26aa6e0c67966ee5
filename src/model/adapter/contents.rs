//! The tensors of an adapter's file, by what they are for.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::error::{Error, Result};
use crate::model::ParameterSpec;

/// PEFT's prefix of the module names of a causal language model.
pub(super) const PREFIX: &str = "base_model.model.";

/// Endings of the names of an adapter's own parameters. The first dimension of the first three is the rank.
const OWN: [&str; 7] = [
    ".lora_A.weight",
    ".lora_embedding_A",
    ".ia3_l",
    ".lora_B.weight",
    ".lora_B.bias",
    ".lora_embedding_B",
    ".lora_magnitude_vector",
];
/// The number of endings of [`OWN`] that every adapted layer has one of.
const FIRST: usize = 3;

/// Ending of the embeddings of `trainable_token_indices`.
const TOKENS: &str = ".token_adapter.trainable_tokens_delta";
/// What PEFT inserts into the names of weights of the base model that it wraps.
const OF_BASE: [&str; 3] = [
    ".token_adapter.base_layer.",
    ".base_layer.",
    ".original_module.",
];
/// What it inserts into the names of weights of `modules_to_save`, of resized embeddings only.
const MODULES_TO_SAVE: &str = ".modules_to_save.";

/// A tensor that replaces a parameter of the base model, or rows of one.
#[derive(Clone, Debug)]
pub(super) struct Replacement {
    /// Name and shape in the file.
    pub spec: ParameterSpec,
    /// Name of the parameter in the model.
    pub parameter: String,
    /// Whether it replaces only rows, those of `trainable_token_indices`.
    pub is_rows: bool,
    /// Whether it is marked as a weight of the base model, as opposed to one of `modules_to_save`.
    pub is_of_base: bool,
}

impl Replacement {
    /// Returns the name of the module that the parameter belongs to.
    pub(super) fn module(&self) -> &str {
        let name = self.parameter.rsplit_once('.');
        name.map_or("", |(module, _)| module)
    }
}

/// The tensors of an adapter's file.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The adapted modules, with the rank of a LoRA update.
    pub modules: BTreeMap<String, usize>,
    /// Tensors that replace parameters of the base model.
    pub replacements: Vec<Replacement>,
}

impl Contents {
    /// Sorts the tensors of a file; `path` is for messages, and so is `base`, the base model.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] for a file without an adapter's parameters, and for unknown tensors.
    pub(super) fn of(
        file: &SafeTensors<'_>,
        is_parameter: impl Fn(&str) -> bool,
        base: &str,
        path: &Path,
    ) -> Result<Self> {
        let fault = |message: String| Error::Adapter {
            path: path.to_path_buf(),
            message,
        };
        let mut contents = Self::default();
        let mut unknown = Vec::new();
        for (name, tensor) in file.iter() {
            let Some(short) = name.strip_prefix(PREFIX) else {
                unknown.push(name);
                continue;
            };
            let mut own = OWN.iter().enumerate();
            let own = own.find_map(|(index, ending)| Some((index, short.strip_suffix(ending)?)));
            if let Some((index, module)) = own {
                if index < FIRST {
                    let rank = tensor.shape().first().copied().unwrap_or(0);
                    contents.modules.insert(module.to_string(), rank);
                }
                continue;
            }
            let replacement = Replacement::new(name, short, &tensor);
            if is_parameter(&replacement.parameter) {
                contents.replacements.push(replacement);
            } else {
                unknown.push(name);
            }
        }
        if contents.modules.is_empty() && contents.replacements.is_empty() {
            return Err(fault("no adapter parameters found".to_string()));
        }
        unknown.sort_unstable();
        if let Some(name) = unknown.first() {
            let count = unknown.len();
            return Err(fault(format!(
                "tensor {name}{} is neither a parameter of LoRA or IA³ nor one of this model: the adapter is of an \
                 unsupported kind, or belongs to another base model ({base})",
                if count > 1 {
                    format!(" and {} more", count - 1)
                } else {
                    String::new()
                }
            )));
        }
        contents
            .replacements
            .sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        Ok(contents)
    }
}

impl Replacement {
    /// Describes the tensor of a name, which is `short` without the prefix.
    fn new(name: &str, short: &str, tensor: &TensorView<'_>) -> Self {
        let rows = short.strip_suffix(TOKENS);
        let of_base = OF_BASE.into_iter().find(|infix| short.contains(infix));
        let parameter = match rows {
            Some(module) => format!("{module}.weight"),
            None => short.replacen(of_base.unwrap_or(MODULES_TO_SAVE), ".", 1),
        };
        Self {
            spec: ParameterSpec {
                name: name.to_string(),
                shape: tensor.shape().to_vec(),
            },
            parameter,
            is_rows: rows.is_some(),
            is_of_base: of_base.is_some(),
        }
    }
}
