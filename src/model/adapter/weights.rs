//! The weights of the base model that an adapter's file replaces.

use burn::tensor::{Int, Tensor, TensorData};

use super::config::Config;
use super::contents::{Contents, Replacement};
use crate::kernels::packed::Weight;
use crate::model::{Decoder, LinearRole};

/// The largest vocabulary, far beyond that of any model.
const MAX_VOCABULARY: usize = 1 << 24;

/// How a base model's embedding and head have to be for an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Embeddings {
    /// Number of rows.
    pub vocab_size: usize,
    /// Whether they share their weights.
    pub tied: bool,
}

impl Embeddings {
    /// Returns those of a decoder.
    pub(crate) fn of(decoder: &Decoder) -> Self {
        let config = decoder.config();
        Self {
            vocab_size: config.vocab_size,
            tied: config.tie_word_embeddings,
        }
    }

    /// Returns those that an adapter needs: of another size, if the file contains resized ones, and not tied,
    /// if it changes only one of them.
    ///
    /// # Errors
    ///
    /// What is wrong with the sizes in the file.
    pub(super) fn needed(
        contents: &Contents,
        config: &Config,
        decoder: &Decoder,
    ) -> Result<Self, String> {
        let (embedding, head) = modules(decoder);
        let whole = |module: &str| {
            let weight = format!("{module}.weight");
            let mut replaced = contents.replacements.iter();
            let found = replaced.find(|replaced| !replaced.is_rows && replaced.parameter == weight);
            found.and_then(|replaced| replaced.spec.shape.first().copied())
        };
        let mut needed = Self::of(decoder);
        match (whole(&embedding), whole(&head)) {
            (Some(rows), Some(other)) if rows != other => {
                return Err(format!(
                    "{embedding} has {rows} rows, but {head} has {other}: expected equally many"
                ));
            }
            (Some(rows), _) | (None, Some(rows)) => needed.vocab_size = rows,
            (None, None) => {}
        }
        if !(2..=MAX_VOCABULARY).contains(&needed.vocab_size) {
            return Err(format!(
                "{embedding} has {} rows: expected 2 to {MAX_VOCABULARY}",
                needed.vocab_size
            ));
        }
        let adapts = |module: &String| contents.modules.contains_key(module);
        let saves = |module: &str| !config.ensure_weight_tying && is_saved(config, module);
        // Without tokens of its own, a tied head follows the embedding.
        let indices = config.token_indices.as_ref();
        let has_own_tokens = indices.is_some_and(|indices| indices.of(&head, false).is_some());
        needed.tied &= !(adapts(&embedding)
            || adapts(&head)
            || saves(&embedding)
            || saves(&head)
            || has_own_tokens);
        Ok(needed)
    }
}

/// Returns the names of the token embedding and of the head.
fn modules(decoder: &Decoder) -> (String, String) {
    let layers = decoder.linear_layers();
    let of_role = |role| {
        let mut layers = layers.iter();
        let layer = layers.find(|layer| layer.role == role);
        layer.map(|layer| layer.module.clone()).unwrap_or_default()
    };
    (of_role(LinearRole::Embedding), of_role(LinearRole::Head))
}

/// Returns whether a module is one of `modules_to_save`, by PEFT's rule.
fn is_saved(config: &Config, module: &str) -> bool {
    let mut names = config.modules_to_save.iter();
    names.any(|name| module.ends_with(name.as_str()))
}

/// What a tensor of the file replaces. Weights of the base model come before those that replace them, and
/// rows come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A weight of the base model.
    Base,
    /// A weight of `modules_to_save`, of which PEFT makes a copy.
    Saved,
    /// Rows, those of `trainable_token_indices`.
    Rows,
}

/// A decoder whose parameters are replaced.
struct Replacing<'a> {
    config: &'a Config,
    decoder: &'a Decoder,
    /// Whether the base model's embedding and head are tied, also where the decoder's are not.
    was_tied: bool,
    embedding: String,
    head: String,
}

/// Returns the parameters with those of the file in their places. `was_tied`: whether the base model's
/// embedding and head are tied, also where the decoder's are not.
///
/// # Errors
///
/// What does not fit the decoder.
pub(super) fn replaced(
    values: &[(Replacement, Tensor<2>)],
    config: &Config,
    decoder: &Decoder,
    was_tied: bool,
    parameters: &[Weight],
) -> Result<Vec<Weight>, String> {
    let (embedding, head) = modules(decoder);
    let replacing = Replacing {
        config,
        decoder,
        was_tied,
        embedding,
        head,
    };
    let mut ordered: Vec<&(Replacement, Tensor<2>)> = values
        .iter()
        .filter(|(replaced, _)| !replacing.repeats(replaced))
        .collect();
    ordered.sort_by_key(|(replaced, _)| replacing.kind(replaced));
    let mut parameters = parameters.to_vec();
    for (replaced, values) in &ordered {
        let others = ordered.iter().map(|(other, _)| other);
        for name in replacing.names(replaced, others) {
            let mut specs = decoder.parameters().iter();
            let Some(index) = specs.position(|spec| spec.name == name) else {
                return Err(format!("this model has no parameter {name}"));
            };
            parameters[index] = if replaced.is_rows {
                let module = replaced.module();
                let tokens = replacing.tokens(module).ok_or("names no tokens of it");
                let rows = tokens.map_err(str::to_string);
                rows.and_then(|tokens| with_rows(&parameters[index].float(), tokens, values))
                    .map_err(|message| format!("trainable_token_indices of {module}: {message}"))?
            } else {
                values.clone()
            }
            .into();
        }
    }
    replacing.check(&parameters)?;
    Ok(parameters)
}

impl Replacing<'_> {
    fn kind(&self, replaced: &Replacement) -> Kind {
        if replaced.is_rows {
            Kind::Rows
        } else if !replaced.is_of_base && is_saved(self.config, replaced.module()) {
            Kind::Saved
        } else {
            Kind::Base
        }
    }

    /// Returns the `trainable_token_indices` of a module.
    fn tokens(&self, module: &str) -> Option<&[usize]> {
        let indices = self.config.token_indices.as_ref()?;
        indices.of(module, module == self.embedding)
    }

    /// Returns whether these are rows of a tied head without tokens of its own, which repeat those of the
    /// embedding.
    fn repeats(&self, replaced: &Replacement) -> bool {
        let module = replaced.module();
        let is_tied_head = self.was_tied && module == self.head;
        is_tied_head && replaced.is_rows && self.tokens(module).is_none()
    }

    /// Returns the decoder's names of the parameters that a tensor replaces: of tied weights both, as in PEFT,
    /// unless it made a copy of one or `others` replace the other one.
    fn names<'a>(
        &self,
        replaced: &Replacement,
        mut others: impl Iterator<Item = &'a Replacement>,
    ) -> Vec<String> {
        let weight = |module: &str| format!("{module}.weight");
        let parameter = &replaced.parameter;
        let (of_embedding, of_head) = (weight(&self.embedding), weight(&self.head));
        if self.decoder.config().tie_word_embeddings && *parameter == of_head {
            return vec![of_embedding];
        }
        let kind = self.kind(replaced);
        let twin = if *parameter == of_embedding {
            Some(of_head)
        } else if *parameter == of_head && kind == Kind::Base {
            Some(of_embedding)
        } else {
            None
        };
        let untied = self.was_tied && !self.decoder.config().tie_word_embeddings;
        let twin = twin.filter(|twin| {
            let replaces_it =
                |other: &Replacement| other.parameter == *twin && self.kind(other) == kind;
            untied && kind != Kind::Saved && !others.any(replaces_it)
        });
        std::iter::once(parameter.clone()).chain(twin).collect()
    }

    /// Checks the shapes: resized embeddings have to be complete.
    fn check(&self, parameters: &[Weight]) -> Result<(), String> {
        for (spec, values) in self.decoder.parameters().iter().zip(parameters) {
            if values.dims() != spec.matrix_shape() {
                return Err(format!(
                    "{} has shape {:?}: expected {:?}; the adapter belongs to another base model ({}), or one \
                     of its resized embeddings is missing",
                    spec.name,
                    values.dims(),
                    spec.shape,
                    self.config.base
                ));
            }
        }
        Ok(())
    }
}

/// Returns a table with other values in some of its rows.
fn with_rows(
    table: &Tensor<2>,
    indices: &[usize],
    values: &Tensor<2>,
) -> Result<Tensor<2>, String> {
    let [rows, width] = table.dims();
    if values.dims() != [indices.len(), width] {
        return Err(format!(
            "the file has embeddings of shape {:?}: expected {:?}",
            values.dims(),
            [indices.len(), width]
        ));
    }
    let mut source: Vec<i32> = (0..rows as i32).collect();
    for (position, &index) in indices.iter().enumerate() {
        match source.get_mut(index) {
            Some(source) if *source == index as i32 => *source = (rows + position) as i32,
            Some(_) => return Err(format!("token {index} is listed twice")),
            None => {
                return Err(format!(
                    "token {index} is beyond the {rows} tokens of the model"
                ));
            }
        }
    }
    let source = TensorData::new(source, [rows]);
    let source = Tensor::<1, Int>::from_data(source, &table.device());
    Ok(Tensor::cat(vec![table.clone(), values.clone()], 0).select(0, source))
}

/// Returns the modules of `modules_to_save` that the file lacks.
pub(super) fn missing_modules<'a>(contents: &Contents, config: &'a Config) -> Vec<&'a str> {
    let names = config.modules_to_save.iter().map(String::as_str);
    let is_replaced = |name: &str| {
        let mut replaced = contents.replacements.iter();
        // A module may contain others.
        replaced.any(|replaced| {
            let module = replaced.module();
            module.ends_with(name) || module.split('.').any(|part| part == name)
        })
    };
    names.filter(|name| !is_replaced(name)).collect()
}
