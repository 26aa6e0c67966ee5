//! Adapters: few values that are trained in place of a model's own, in the format of Python's PEFT.

mod peft;
mod settings;

pub use peft::{CONFIG, WEIGHTS};

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::model::linear::{Dropout, LinearChange, LowRank, merged, merged_bias, row_norms};
use crate::model::{Decoder, LinearLayer, LinearRole, ParameterSpec, Parameters};

pub use settings::{AdapterSettings, Ia3Settings, LoraSettings};

/// An adapter on a decoder: what it is, and the values that are trained. Clones share the values.
#[derive(Clone, Debug)]
pub struct Adapter {
    layout: Arc<Layout>,
    values: Parameters,
}

/// Where the values of an adapter stand, and what they do.
#[derive(Debug)]
struct Layout {
    settings: AdapterSettings,
    /// Name or path of the model that it belongs to, as PEFT notes it.
    base: String,
    layers: Vec<AdaptedLayer>,
    specs: Vec<ParameterSpec>,
    /// Linear layers that are not adapted.
    others: Vec<String>,
}

/// A linear layer that is adapted.
#[derive(Clone, Debug)]
struct AdaptedLayer {
    /// Its weight's place in the decoder's list.
    parameter: usize,
    /// Its bias's, if it has one.
    bias: Option<usize>,
    /// Its name without `.weight`, such as `model.layers.0.self_attn.q_proj`.
    module: String,
    /// Whether its weight is \[in, out\].
    transposed: bool,
    role: Role,
}

impl AdaptedLayer {
    /// Its weight among the decoder's, as \[out, in\].
    fn weight(&self, parameters: &[Tensor<2>]) -> Tensor<2> {
        let weight = parameters[self.parameter].clone();
        if self.transposed {
            weight.transpose()
        } else {
            weight
        }
    }
}

/// The places of a layer's values in the adapter's list.
#[derive(Clone, Copy, Debug)]
enum Role {
    LowRank {
        a: usize,
        b: usize,
        magnitude: Option<usize>,
        scale: f64,
    },
    ScaleOutput(usize),
    ScaleInput(usize),
}

impl Adapter {
    /// A new adapter, with which the decoder computes what it computes without: B is 0, factors are
    /// 1, magnitudes are those of the weights. A is uniform in ±1/√in, as PEFT begins it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a setting out of range or a module that the decoder lacks.
    pub fn new(
        settings: AdapterSettings,
        decoder: &Decoder,
        parameters: &[Tensor<2>],
        base: &str,
        seed: u64,
    ) -> Result<Self> {
        let layout = Layout::new(settings, decoder, base)?;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let device = parameters[0].device().inner();
        let mut values: Parameters = layout
            .specs
            .iter()
            .map(|spec| Tensor::ones(spec.matrix_shape(), &device))
            .collect();
        for layer in &layout.layers {
            if let Role::LowRank {
                a, b, magnitude, ..
            } = layer.role
            {
                let shape = layout.specs[a].matrix_shape();
                let bound = 1.0 / (shape[1] as f32).sqrt();
                let draws: Vec<f32> = (0..shape[0] * shape[1])
                    .map(|_| random.random_range(-bound..bound))
                    .collect();
                values[a] = Tensor::from_data(TensorData::new(draws, shape), &device);
                values[b] = values[b].zeros_like();
                if let Some(magnitude) = magnitude {
                    values[magnitude] = row_norms(layer.weight(parameters));
                }
            }
        }
        Ok(Self {
            layout: Arc::new(layout),
            values,
        })
    }

    /// Number of values that an adapter of those settings would have.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn count(settings: &AdapterSettings, decoder: &Decoder) -> Result<usize> {
        let layout = Layout::new(settings.clone(), decoder, "")?;
        Ok(layout.specs.iter().map(ParameterSpec::elements).sum())
    }

    /// What it is.
    pub fn settings(&self) -> &AdapterSettings {
        &self.layout.settings
    }

    /// Names and shapes of its values, as PEFT has them.
    pub fn parameters(&self) -> &[ParameterSpec] {
        &self.layout.specs
    }

    /// Its values, in the order of [`Self::parameters`].
    pub fn values(&self) -> &Parameters {
        &self.values
    }

    /// The same adapter with other values.
    pub fn with_values(&self, values: Parameters) -> Self {
        Self {
            layout: self.layout.clone(),
            values,
        }
    }

    /// What it changes about each of the decoder's weights, in the order of its parameters. With a
    /// seed, as in training: with dropout, if that is set.
    pub fn changes(
        &self,
        parameters: usize,
        dropout_seed: Option<u64>,
    ) -> Vec<Option<LinearChange>> {
        let value = |index: usize| self.values[index].clone();
        let rate = match self.settings() {
            AdapterSettings::Lora(lora) => lora.dropout,
            AdapterSettings::Ia3(_) => 0.0,
        };
        let mut changes = vec![None; parameters];
        for layer in &self.layout.layers {
            changes[layer.parameter] = Some(match layer.role {
                Role::LowRank {
                    a,
                    b,
                    magnitude,
                    scale,
                } => LinearChange::LowRank(Box::new(LowRank {
                    a: value(a),
                    b: value(b),
                    scale,
                    magnitude: magnitude.map(value),
                    dropout: dropout_seed.filter(|_| rate > 0.0).map(|seed| Dropout {
                        rate,
                        // Another stream for each layer.
                        seed: seed ^ (layer.parameter as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
                    }),
                })),
                // PEFT keeps it as a column.
                Role::ScaleOutput(index) => LinearChange::ScaleOutput(value(index).transpose()),
                Role::ScaleInput(index) => LinearChange::ScaleInput(value(index)),
            });
        }
        changes
    }

    /// The decoder's weights with the adapter folded in.
    pub fn merge(&self, parameters: &[Tensor<2>]) -> Parameters {
        let changes = self.changes(parameters.len(), None);
        let mut values = parameters.to_vec();
        for layer in &self.layout.layers {
            if let Some(change) = &changes[layer.parameter] {
                let weight = merged(&layer.weight(parameters), change);
                values[layer.parameter] = if layer.transposed {
                    weight.transpose()
                } else {
                    weight
                };
                if let Some(bias) = layer.bias {
                    values[bias] = merged_bias(&parameters[bias], change);
                }
            }
        }
        values
    }
}

impl Layout {
    fn new(settings: AdapterSettings, decoder: &Decoder, base: &str) -> Result<Self> {
        settings.validate()?;
        let rank = match &settings {
            AdapterSettings::Lora(lora) => lora.rank,
            AdapterSettings::Ia3(_) => 1,
        };
        let mut layout = Self::empty(settings, base);
        let targets = layout.targets(decoder)?;
        for layer in decoder.linear_layers() {
            if targets.contains(&layer) {
                let on_inputs = layer.role == LinearRole::Down;
                layout.add_layer(layer, rank, on_inputs);
            } else {
                layout.others.push(layer.module);
            }
        }
        Ok(layout)
    }

    fn empty(settings: AdapterSettings, base: &str) -> Self {
        Self {
            settings,
            base: base.to_string(),
            layers: Vec::new(),
            specs: Vec::new(),
            others: Vec::new(),
        }
    }

    /// The layers that the settings name, in the decoder's order.
    fn targets(&self, decoder: &Decoder) -> Result<Vec<LinearLayer>> {
        let layers = decoder.linear_layers();
        let named = self.settings.target_modules();
        for name in named {
            if !layers.iter().any(|layer| is_named(&layer.module, name)) {
                return Err(Error::setting(
                    "target-modules",
                    name,
                    format!("some of {}", short_names(&layers).join(", ")),
                ));
            }
        }
        let usual = |layer: &LinearLayer| match self.settings {
            AdapterSettings::Lora(_) => true,
            AdapterSettings::Ia3(_) => matches!(
                layer.role,
                LinearRole::Key | LinearRole::Value | LinearRole::QueryKeyValue | LinearRole::Down
            ),
        };
        let wanted = |layer: &LinearLayer| {
            if named.is_empty() {
                usual(layer)
            } else {
                named.iter().any(|name| is_named(&layer.module, name))
            }
        };
        Ok(layers.into_iter().filter(wanted).collect())
    }

    /// Adds a layer's values: of that rank for LoRA, on its inputs or outputs for IA³.
    fn add_layer(&mut self, layer: LinearLayer, rank: usize, on_inputs: bool) {
        let LinearLayer {
            parameter,
            bias,
            module,
            outputs,
            inputs,
            transposed,
            ..
        } = layer;
        let specs = &mut self.specs;
        let mut add = |ending: &str, shape: &[usize]| {
            specs.push(ParameterSpec {
                name: format!("{module}.{ending}"),
                shape: shape.to_vec(),
            });
            specs.len() - 1
        };
        let role = match &self.settings {
            AdapterSettings::Lora(lora) => Role::LowRank {
                a: add("lora_A.weight", &[rank, inputs]),
                b: add("lora_B.weight", &[outputs, rank]),
                magnitude: lora
                    .decomposed
                    .then(|| add("lora_magnitude_vector", &[outputs])),
                scale: lora.scale(rank),
            },
            AdapterSettings::Ia3(_) if on_inputs => Role::ScaleInput(add("ia3_l", &[1, inputs])),
            AdapterSettings::Ia3(_) => Role::ScaleOutput(add("ia3_l", &[outputs, 1])),
        };
        self.layers.push(AdaptedLayer {
            parameter,
            bias,
            module,
            transposed,
            role,
        });
    }
}

impl Layout {
    /// Names that mean the adapted layers of such a role and no others: the last parts of their
    /// names where those are enough.
    fn names(&self, wanted: impl Fn(Role) -> bool) -> Vec<&str> {
        let (these, rest): (Vec<_>, Vec<_>) =
            self.layers.iter().partition(|layer| wanted(layer.role));
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

    /// The ranks of layers that have another one than most.
    fn other_ranks(&self, usual: usize) -> BTreeMap<&str, usize> {
        let ranks = self.layers.iter().filter_map(|layer| match layer.role {
            Role::LowRank { a, .. } => Some((layer.module.as_str(), self.specs[a].shape[0])),
            Role::ScaleOutput(_) | Role::ScaleInput(_) => None,
        });
        ranks.filter(|&(_, rank)| rank != usual).collect()
    }
}

/// Whether a module is called so: by its whole name or the end of it, as PEFT looks for it.
fn is_named(module: &str, name: &str) -> bool {
    module
        .strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The last part of a module's name.
fn short_name(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}

/// The last parts of the layers' names, each once.
fn short_names(layers: &[LinearLayer]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for layer in layers {
        let name = short_name(&layer.module);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
