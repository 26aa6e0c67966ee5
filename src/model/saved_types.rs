//! Which types the weights of a model are saved in.

use std::collections::HashMap;
use std::sync::Arc;

use super::causal_lm::CausalLm;
use super::parameters::ParameterSpec;
use super::save_type::{SaveType, most_common};
use super::weights;
use crate::error::Result;
use crate::quantization::WeightType;

impl CausalLm {
    /// Returns the model, to be saved in a type; `None` keeps the types of the files that it was loaded
    /// from.
    pub fn with_save_type(&self, kind: Option<SaveType>) -> Self {
        Self {
            save_type: kind,
            untouched: self
                .untouched
                .as_ref()
                .map(|untouched| Arc::new(untouched.with_save_type(kind))),
            ..self.clone()
        }
    }

    /// Returns the type of each parameter in a saved model, in the order of the decoder's parameters: the
    /// type that it has in the model's files, float16 for blocks, and for a parameter that the files lack the
    /// type of `config.json`.
    pub(super) fn save_types(&self) -> Result<Vec<SaveType>> {
        let specs = self.decoder().parameters();
        if let Some(kind) = self.save_type {
            return Ok(vec![kind; specs.len()]);
        }
        let found = self.stored_types()?.into_iter().map(|kind| match kind? {
            WeightType::Float32 => Some(SaveType::Float32),
            WeightType::Bfloat16 => Some(SaveType::Bfloat16),
            _ => Some(SaveType::Float16),
        });
        let found: Vec<Option<SaveType>> = found.collect();
        let known = found.iter().zip(specs);
        let known = known.filter_map(|(kind, spec)| Some(((*kind)?, spec.elements())));
        let common = SaveType::of_config(&self.config().json).unwrap_or_else(|| most_common(known));
        let types = found.into_iter().map(|kind| kind.unwrap_or(common));
        Ok(types.collect())
    }

    /// Returns the type in which the model's files store each parameter, if they have it.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Parse`] for a damaged weights file.
    pub(super) fn stored_types(&self) -> Result<Vec<Option<WeightType>>> {
        let specs = self.decoder().parameters().iter();
        let files = self.reader().files();
        if let Some(gguf) = &files.gguf {
            return Ok(specs.map(|spec| gguf.kind(&spec.name)).collect());
        }
        let mut in_files = HashMap::new();
        let files = files.weights();
        for (path, bytes) in &files {
            let file = weights::open(bytes, path)?;
            for (name, view) in file.iter() {
                if let Some(kind) = SaveType::of_dtype(view.dtype()) {
                    in_files.insert(name.to_string(), kind.stored());
                }
            }
        }
        let names = self.config().decoder.family.tensors;
        let found = |spec: &ParameterSpec| {
            let names = names.in_files(&spec.name);
            names.iter().find_map(|name| in_files.get(name).copied())
        };
        Ok(specs.map(found).collect())
    }
}
