//! The parameters of a model: names, shapes, and the values as a plain list of tensors.

use burn::tensor::Tensor;

use super::config::DecoderConfig;

/// What a family calls its tensors. Those of a layer come after `layer`, a dot and its number; linear
/// layers are named without the `.weight` or `.bias` that follows.
#[derive(Debug)]
pub(super) struct ParameterNames {
    pub embedding: &'static str,
    pub layer: &'static str,
    pub attention_norm: &'static str,
    pub query: &'static str,
    pub key: &'static str,
    pub value: &'static str,
    pub attention_output: &'static str,
    pub query_norm: &'static str,
    pub key_norm: &'static str,
    pub feed_forward_norm: &'static str,
    pub gate: &'static str,
    pub up: &'static str,
    pub down: &'static str,
    pub norm: &'static str,
    pub head: &'static str,
    /// Endings of tensors that a file may hold and that are not parameters.
    pub ignored: &'static [&'static str],
}

/// A parameter's name and shape, as in the model's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Name, such as `model.layers.0.mlp.up_proj.weight`.
    pub name: String,
    /// One or two sizes; a linear layer's weight is \[out, in\].
    pub shape: Vec<usize>,
}

impl ParameterSpec {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// As a matrix: vectors are one row.
    pub fn matrix_shape(&self) -> [usize; 2] {
        match self.shape[..] {
            [width] => [1, width],
            [rows, columns] => [rows, columns],
            _ => unreachable!("parameters have one or two dimensions"),
        }
    }
}

/// What a linear layer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinearRole {
    /// Makes an attention's queries.
    Query,
    /// Its keys.
    Key,
    /// Its values.
    Value,
    /// Mixes its heads.
    AttentionOutput,
    /// Makes the gate of a feed-forward block.
    Gate,
    /// Makes what is gated.
    Up,
    /// Brings it back to the hidden size.
    Down,
}

/// A linear layer inside a decoder; embedding and head are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearLayer {
    /// Its weight's place in the decoder's list of parameters.
    pub parameter: usize,
    /// Its bias's place, if it has one.
    pub bias: Option<usize>,
    /// Its name, such as `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// What it is for.
    pub role: LinearRole,
    /// Width of its output.
    pub outputs: usize,
    /// Width of its input.
    pub inputs: usize,
}

/// The values of a model's parameters, in the order of their specs; vectors are matrices of one row.
pub type Parameters = Vec<Tensor<2>>;

/// Where the parameters of a linear layer stand in the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinearIndex {
    pub weight: usize,
    pub bias: Option<usize>,
}

/// Where the parameters of a layer stand in the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerIndex {
    pub attention_norm: usize,
    pub query: LinearIndex,
    pub query_norm: Option<usize>,
    pub key: LinearIndex,
    pub key_norm: Option<usize>,
    pub value: LinearIndex,
    pub attention_output: LinearIndex,
    pub feed_forward_norm: usize,
    pub gate: LinearIndex,
    pub up: LinearIndex,
    pub down: LinearIndex,
}

/// Where each parameter stands in the list.
#[derive(Clone, Debug)]
pub(super) struct ParameterIndex {
    pub specs: Vec<ParameterSpec>,
    pub embedding: usize,
    pub layers: Vec<LayerIndex>,
    pub norm: usize,
    /// The embedding's where the head is tied.
    pub head: usize,
}

/// Adds a linear layer's weight \[out, in\] and, if it has one, its bias.
fn linear(
    add: &mut impl FnMut(&str, &[usize]) -> usize,
    name: &str,
    shape: [usize; 2],
    biased: bool,
) -> LinearIndex {
    LinearIndex {
        weight: add(&format!("{name}.weight"), &shape),
        bias: biased.then(|| add(&format!("{name}.bias"), &shape[..1])),
    }
}

impl ParameterIndex {
    pub fn new(config: &DecoderConfig) -> Self {
        let names = config.family.names();
        let mut specs = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            specs.push(ParameterSpec {
                name,
                shape: shape.to_vec(),
            });
            specs.len() - 1
        };
        let hidden = config.hidden_size;
        let query_width = config.heads * config.head_size;
        let key_width = config.key_heads * config.head_size;

        let embedding = add(names.embedding.to_string(), &[config.vocabulary, hidden]);
        let layers = (0..config.layers)
            .map(|layer| {
                let mut add = |name: &str, shape: &[usize]| {
                    add(format!("{}.{layer}.{name}", names.layer), shape)
                };
                let add = &mut add;
                let DecoderConfig {
                    biases,
                    intermediate_size: inner,
                    norms_of_heads,
                    head_size,
                    ..
                } = *config;
                let [query, key] = [query_width, key_width].map(|width| [width, hidden]);
                let output = [hidden, query_width];
                LayerIndex {
                    attention_norm: add(names.attention_norm, &[hidden]),
                    query: linear(add, names.query, query, biases.attention),
                    query_norm: norms_of_heads.then(|| add(names.query_norm, &[head_size])),
                    key: linear(add, names.key, key, biases.attention),
                    key_norm: norms_of_heads.then(|| add(names.key_norm, &[head_size])),
                    value: linear(add, names.value, key, biases.attention),
                    attention_output: linear(
                        add,
                        names.attention_output,
                        output,
                        biases.attention_output,
                    ),
                    feed_forward_norm: add(names.feed_forward_norm, &[hidden]),
                    gate: linear(add, names.gate, [inner, hidden], biases.feed_forward),
                    up: linear(add, names.up, [inner, hidden], biases.feed_forward),
                    down: linear(add, names.down, [hidden, inner], biases.feed_forward),
                }
            })
            .collect();
        let norm = add(names.norm.to_string(), &[hidden]);
        let head = if config.tied_head {
            embedding
        } else {
            add(names.head.to_string(), &[config.vocabulary, hidden])
        };
        Self {
            specs,
            embedding,
            layers,
            norm,
            head,
        }
    }

    pub fn linear_layers(&self) -> Vec<LinearLayer> {
        let roles = |layer: &LayerIndex| {
            [
                (layer.query, LinearRole::Query),
                (layer.key, LinearRole::Key),
                (layer.value, LinearRole::Value),
                (layer.attention_output, LinearRole::AttentionOutput),
                (layer.gate, LinearRole::Gate),
                (layer.up, LinearRole::Up),
                (layer.down, LinearRole::Down),
            ]
        };
        let layer = |(index, role): (LinearIndex, LinearRole)| {
            let spec = &self.specs[index.weight];
            let [outputs, inputs] = spec.matrix_shape();
            LinearLayer {
                parameter: index.weight,
                bias: index.bias,
                module: spec.name.trim_end_matches(".weight").to_string(),
                role,
                outputs,
                inputs,
            }
        };
        self.layers.iter().flat_map(roles).map(layer).collect()
    }
}
