//! Which layers of a decoder an adapter changes, and the names and shapes of its parameters.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::settings::{AdapterSettings, LoraSettings};
use crate::error::{Error, Result};
use crate::kernels::packed::Weight;
use crate::model::{Decoder, LinearLayer, LinearRole, ParameterSpec};

/// PEFT's name for all linear layers but the head.
const ALL_LINEAR: &str = "all-linear";

/// Names, shapes and roles of an adapter's parameters.
#[derive(Debug)]
pub(super) struct Layout {
    pub settings: AdapterSettings,
    /// Name or path of the base model, as PEFT records it.
    pub base: String,
    pub layers: Vec<AdaptedLayer>,
    pub specs: Vec<ParameterSpec>,
    /// Names of the layers that are not adapted.
    pub others: Vec<String>,
}

/// An adapted layer.
#[derive(Clone, Debug)]
pub(super) struct AdaptedLayer {
    /// Index of the weight in the decoder's parameters.
    pub parameter: usize,
    /// Index of the bias, if it has one.
    pub bias: Option<usize>,
    /// Name without `.weight`, such as `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// Whether the weight is \[in, out\].
    pub transposed: bool,
    /// Whether it is an embedding.
    pub is_embedding: bool,
    pub role: Role,
}

impl AdaptedLayer {
    /// Returns the layer's weight as \[out, in\].
    pub(super) fn weight(&self, parameters: &[Weight]) -> Weight {
        let weight = &parameters[self.parameter];
        if self.transposed {
            weight.transpose()
        } else {
            weight.clone()
        }
    }
}

/// Indices of a layer's parameters in the adapter's list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    LowRank {
        a: usize,
        b: usize,
        bias: Option<usize>,
        magnitude: Option<usize>,
        scale: f64,
    },
    ScaleOutput(usize),
    ScaleInput(usize),
}

/// What an adapter adds to a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addition {
    /// Rank of a LoRA update.
    pub rank: usize,
    /// Factor of a LoRA update.
    pub scale: f64,
    /// Whether B has a bias.
    pub bias: bool,
    /// Whether IA³ scales the inputs instead of the outputs.
    pub on_inputs: bool,
}

impl Layout {
    /// Creates the layout of a new adapter.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a setting out of range or an unknown target module.
    pub(super) fn new(settings: AdapterSettings, decoder: &Decoder, base: &str) -> Result<Self> {
        settings.validate()?;
        let (rank, scale) = match &settings {
            AdapterSettings::Lora(lora) => (lora.rank, lora.scale(lora.rank)),
            AdapterSettings::Ia3(_) => (1, 1.0),
        };
        let targets = targets(&settings, decoder)?;
        let mut layout = Self::empty(settings, base);
        for layer in decoder.linear_layers() {
            if targets.contains(&layer) {
                let addition = Addition {
                    rank,
                    scale,
                    bias: false,
                    on_inputs: layer.role == LinearRole::Down,
                };
                layout.add_layer(layer, addition);
            } else {
                layout.others.push(layer.module);
            }
        }
        Ok(layout)
    }

    pub(super) fn empty(settings: AdapterSettings, base: &str) -> Self {
        Self {
            settings,
            base: base.to_string(),
            layers: Vec::new(),
            specs: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Adds a layer's parameters.
    pub(super) fn add_layer(&mut self, layer: LinearLayer, addition: Addition) {
        let LinearLayer {
            parameter,
            bias,
            module,
            role,
            outputs,
            inputs,
            transposed,
        } = layer;
        let is_embedding = role == LinearRole::Embedding;
        let specs = &mut self.specs;
        let mut add = |ending: &str, shape: &[usize]| {
            specs.push(ParameterSpec {
                name: format!("{module}.{ending}"),
                shape: shape.to_vec(),
            });
            specs.len() - 1
        };
        let [of_a, of_b] = if is_embedding {
            ["lora_embedding_A", "lora_embedding_B"]
        } else {
            ["lora_A.weight", "lora_B.weight"]
        };
        let role = match &self.settings {
            AdapterSettings::Lora(lora) => Role::LowRank {
                a: add(of_a, &[addition.rank, inputs]),
                b: add(of_b, &[outputs, addition.rank]),
                bias: addition.bias.then(|| add("lora_B.bias", &[outputs])),
                magnitude: lora
                    .decomposed
                    .then(|| add("lora_magnitude_vector", &[outputs])),
                scale: addition.scale,
            },
            AdapterSettings::Ia3(_) if addition.on_inputs => {
                Role::ScaleInput(add("ia3_l", &[1, inputs]))
            }
            AdapterSettings::Ia3(_) => Role::ScaleOutput(add("ia3_l", &[outputs, 1])),
        };
        self.layers.push(AdaptedLayer {
            parameter,
            bias,
            module,
            transposed,
            is_embedding,
            role,
        });
    }

    /// Returns names that match exactly the adapted layers of a role: the last components where these are
    /// unambiguous.
    pub(super) fn names(&self, has_role: impl Fn(Role) -> bool) -> Vec<&str> {
        let (these, rest): (Vec<_>, Vec<_>) =
            self.layers.iter().partition(|layer| has_role(layer.role));
        let others = rest.iter().map(|layer| &layer.module).chain(&self.others);
        let taken: HashSet<&str> = others.map(|module| short_name(module)).collect();
        let names = these.iter().map(|layer| {
            let short = short_name(&layer.module);
            if taken.contains(short) {
                layer.module.as_str()
            } else {
                short
            }
        });
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Returns the ranks of layers that differ from the default.
    pub(super) fn other_ranks(&self, default: usize) -> BTreeMap<&str, usize> {
        let ranks = self.layers.iter().filter_map(|layer| match layer.role {
            Role::LowRank { a, .. } => Some((layer.module.as_str(), self.specs[a].shape[0])),
            Role::ScaleOutput(_) | Role::ScaleInput(_) => None,
        });
        ranks.filter(|&(_, rank)| rank != default).collect()
    }

    /// Returns the α of layers whose scale differs from that of the settings.
    pub(super) fn other_alphas(&self, lora: &LoraSettings) -> BTreeMap<&str, f64> {
        let alphas = self.layers.iter().filter_map(|layer| match layer.role {
            Role::LowRank { a, scale, .. } => {
                let rank = self.specs[a].shape[0];
                let alpha = lora.alpha_of(scale, rank);
                (scale != lora.scale(rank)).then_some((layer.module.as_str(), alpha))
            }
            Role::ScaleOutput(_) | Role::ScaleInput(_) => None,
        });
        alphas.collect()
    }
}

/// Returns whether the settings select an embedding or the head of a decoder.
///
/// # Errors
///
/// As [`Layout::new`].
pub(crate) fn selects_embeddings(settings: &AdapterSettings, decoder: &Decoder) -> Result<bool> {
    let targets = targets(settings, decoder)?;
    Ok(targets.iter().any(is_embedding_or_head))
}

fn is_embedding_or_head(layer: &LinearLayer) -> bool {
    matches!(layer.role, LinearRole::Embedding | LinearRole::Head)
}

/// Returns the layers that the settings select, in the decoder's order.
fn targets(settings: &AdapterSettings, decoder: &Decoder) -> Result<Vec<LinearLayer>> {
    let layers = decoder.linear_layers();
    let named = settings.target_modules();
    let all_linear = matches!(named, [name] if name == ALL_LINEAR);
    let supports = |layer: &&LinearLayer| match settings {
        AdapterSettings::Lora(_) => true,
        AdapterSettings::Ia3(_) => layer.role != LinearRole::Embedding,
    };
    for name in named.iter().filter(|_| !all_linear) {
        let mut matching = layers.iter().filter(|layer| is_named(&layer.module, name));
        if !matching.clone().all(|layer| supports(&layer)) || matching.next().is_none() {
            let names = short_names(layers.iter().filter(supports));
            let expected = format!("{ALL_LINEAR} alone, or one or more of {names}");
            return Err(Error::setting("target_modules", name, expected));
        }
    }
    let selected = |layer: &LinearLayer| {
        if !named.is_empty() && !all_linear {
            return named.iter().any(|name| is_named(&layer.module, name));
        }
        let by_default = match settings {
            AdapterSettings::Lora(_) => true,
            AdapterSettings::Ia3(_) => matches!(
                layer.role,
                LinearRole::Key | LinearRole::Value | LinearRole::QueryKeyValue | LinearRole::Down
            ),
        };
        (by_default || all_linear) && !is_embedding_or_head(layer)
    };
    Ok(layers
        .iter()
        .filter(|layer| selected(layer))
        .cloned()
        .collect())
}

/// Returns whether a name matches a module, by its full name or its last components, as in PEFT.
pub(super) fn is_named(module: &str, name: &str) -> bool {
    module
        .strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Returns the last component of a module's name.
fn short_name(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}

/// Returns the distinct last components of the layers' names.
fn short_names<'a>(layers: impl Iterator<Item = &'a LinearLayer>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for layer in layers {
        let name = short_name(&layer.module);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}
