//! The parameters of a model: names, shapes, and the values as a plain list of tensors.

use burn::tensor::Tensor;

use super::config::{Block, DecoderConfig, FeedForwardKind, NormKind};

/// What a family calls its tensors. Those of a layer come after `layer`, a dot and its number; linear
/// layers and norms are named without the `.weight` or `.bias` that follows.
#[derive(Debug)]
pub(super) struct ParameterNames {
    /// What some files leave out before every name.
    pub prefix: &'static str,
    pub embedding: &'static str,
    pub positions: &'static str,
    pub layer: &'static str,
    pub attention_norm: &'static str,
    pub query: &'static str,
    pub key: &'static str,
    pub value: &'static str,
    pub query_key_value: &'static str,
    pub query_norm: &'static str,
    pub key_norm: &'static str,
    pub attention_output: &'static str,
    pub attention_output_norm: &'static str,
    pub feed_forward_norm: &'static str,
    pub gate: &'static str,
    pub up: &'static str,
    pub gate_and_up: &'static str,
    pub down: &'static str,
    pub feed_forward_output_norm: &'static str,
    pub norm: &'static str,
    pub head: &'static str,
    /// Endings of tensors that a file may hold and that are not parameters.
    pub ignored: &'static [&'static str],
}

impl ParameterNames {
    /// Nothing, for what a family does not have.
    pub const NONE: Self = Self {
        prefix: "",
        embedding: "",
        positions: "",
        layer: "",
        attention_norm: "",
        query: "",
        key: "",
        value: "",
        query_key_value: "",
        query_norm: "",
        key_norm: "",
        attention_output: "",
        attention_output_norm: "",
        feed_forward_norm: "",
        gate: "",
        up: "",
        gate_and_up: "",
        down: "",
        feed_forward_output_norm: "",
        norm: "",
        head: "",
        ignored: &[],
    };
}

/// A parameter's name and shape, as in the model's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Name, such as `model.layers.0.mlp.up_proj.weight`.
    pub name: String,
    /// One or two sizes; a linear layer's weight is \[out, in\], or \[in, out\] where the family has it
    /// so.
    pub shape: Vec<usize>,
}

impl ParameterSpec {
    /// Number of elements; the largest number there is where they cannot be counted.
    pub fn elements(&self) -> usize {
        let sizes = self.shape.iter();
        sizes.fold(1, |all, &size| all.saturating_mul(size))
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
    /// All three.
    QueryKeyValue,
    /// Mixes its heads.
    AttentionOutput,
    /// Makes the gate of a feed-forward block.
    Gate,
    /// Makes what is gated, or all there is.
    Up,
    /// Both.
    GateAndUp,
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
    /// Whether its weight is \[in, out\].
    pub transposed: bool,
}

/// The values of a model's parameters, in the order of their specs; vectors are matrices of one row.
pub type Parameters = Vec<Tensor<2>>;

/// Where the parameters of a linear layer stand in the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinearIndex {
    pub weight: usize,
    pub bias: Option<usize>,
}

/// Where the parameters of a norm stand in the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormIndex {
    pub weight: usize,
    pub bias: Option<usize>,
}

/// The layers that make queries, keys and values.
#[derive(Clone, Copy, Debug)]
pub(super) enum AttentionIndex {
    Separate {
        query: LinearIndex,
        key: LinearIndex,
        value: LinearIndex,
    },
    Fused(LinearIndex),
}

/// The first layers of a feed-forward block.
#[derive(Clone, Copy, Debug)]
pub(super) enum FeedForwardIndex {
    Plain(LinearIndex),
    Gated { gate: LinearIndex, up: LinearIndex },
    FusedGated(LinearIndex),
}

/// Where the parameters of a layer stand in the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerIndex {
    pub attention_norm: NormIndex,
    pub attention: AttentionIndex,
    pub query_norm: Option<NormIndex>,
    pub key_norm: Option<NormIndex>,
    pub attention_output: LinearIndex,
    pub attention_output_norm: Option<NormIndex>,
    /// None where the block takes what the attention takes.
    pub feed_forward_norm: Option<NormIndex>,
    pub feed_forward: FeedForwardIndex,
    pub down: LinearIndex,
    pub feed_forward_output_norm: Option<NormIndex>,
}

/// Where each parameter stands in the list.
#[derive(Clone, Debug)]
pub(super) struct ParameterIndex {
    pub specs: Vec<ParameterSpec>,
    pub embedding: usize,
    pub positions: Option<usize>,
    pub layers: Vec<LayerIndex>,
    pub norm: NormIndex,
    /// The embedding's where the head is tied.
    pub head: LinearIndex,
}

impl ParameterIndex {
    pub fn new(config: &DecoderConfig) -> Self {
        let names = config.family.names();
        let mut builder = Builder {
            config,
            specs: Vec::new(),
        };
        let table = [config.vocabulary, config.hidden_size];
        let embedding = builder.add(format!("{}.weight", names.embedding), &table);
        let positions = config.learned_positions.then(|| {
            let shape = [config.max_length, config.hidden_size];
            builder.add(format!("{}.weight", names.positions), &shape)
        });
        let layers = (0..config.layers.len())
            .map(|layer| builder.layer(names, layer))
            .collect();
        let norm = builder.norm(names.norm, config.hidden_size);
        let head = LinearIndex {
            weight: if config.tied_head {
                embedding
            } else {
                builder.add(format!("{}.weight", names.head), &table)
            },
            bias: config
                .biases
                .head
                .then(|| builder.add(format!("{}.bias", names.head), &table[..1])),
        };
        Self {
            specs: builder.specs,
            embedding,
            positions,
            layers,
            norm,
            head,
        }
    }

    pub fn linear_layers(&self, config: &DecoderConfig) -> Vec<LinearLayer> {
        let layers = self.layers.iter().flat_map(roles);
        layers
            .map(|(index, role)| {
                let spec = &self.specs[index.weight];
                let [mut outputs, mut inputs] = spec.matrix_shape();
                if config.transposed_weights {
                    (outputs, inputs) = (inputs, outputs);
                }
                LinearLayer {
                    parameter: index.weight,
                    bias: index.bias,
                    module: spec.name.trim_end_matches(".weight").to_string(),
                    role,
                    outputs,
                    inputs,
                    transposed: config.transposed_weights,
                }
            })
            .collect()
    }
}

/// The linear layers of a layer, and what they are for.
fn roles(layer: &LayerIndex) -> Vec<(LinearIndex, LinearRole)> {
    let mut roles = match layer.attention {
        AttentionIndex::Separate { query, key, value } => vec![
            (query, LinearRole::Query),
            (key, LinearRole::Key),
            (value, LinearRole::Value),
        ],
        AttentionIndex::Fused(fused) => vec![(fused, LinearRole::QueryKeyValue)],
    };
    roles.push((layer.attention_output, LinearRole::AttentionOutput));
    match layer.feed_forward {
        FeedForwardIndex::Plain(up) => roles.push((up, LinearRole::Up)),
        FeedForwardIndex::Gated { gate, up } => {
            roles.extend([(gate, LinearRole::Gate), (up, LinearRole::Up)]);
        }
        FeedForwardIndex::FusedGated(fused) => roles.push((fused, LinearRole::GateAndUp)),
    }
    roles.push((layer.down, LinearRole::Down));
    roles
}

/// Collects the parameters of a configuration.
struct Builder<'a> {
    config: &'a DecoderConfig,
    specs: Vec<ParameterSpec>,
}

impl Builder<'_> {
    fn add(&mut self, name: String, shape: &[usize]) -> usize {
        self.specs.push(ParameterSpec {
            name,
            shape: shape.to_vec(),
        });
        self.specs.len() - 1
    }

    fn linear(&mut self, name: &str, outputs: usize, inputs: usize, biased: bool) -> LinearIndex {
        let shape = if self.config.transposed_weights {
            [inputs, outputs]
        } else {
            [outputs, inputs]
        };
        LinearIndex {
            weight: self.add(format!("{name}.weight"), &shape),
            bias: biased.then(|| self.add(format!("{name}.bias"), &[outputs])),
        }
    }

    fn norm(&mut self, name: &str, width: usize) -> NormIndex {
        let biased = self.config.norm.kind == NormKind::Layer;
        NormIndex {
            weight: self.add(format!("{name}.weight"), &[width]),
            bias: biased.then(|| self.add(format!("{name}.bias"), &[width])),
        }
    }

    fn layer(&mut self, names: &ParameterNames, number: usize) -> LayerIndex {
        let config = self.config;
        let (hidden, size, biases) = (config.hidden_size, config.head_size, config.biases);
        let layer = config.layers[number];
        let [heads, keys] = [layer.heads, layer.key_heads].map(|heads| heads * size);
        let inner = layer.intermediate_size;
        let name = |part: &str| format!("{}.{number}.{part}", names.layer);

        let sandwiched = config.block == Block::Sandwiched;
        let attention_norm = self.norm(&name(names.attention_norm), hidden);
        let mut project = |part, width| self.linear(&name(part), width, hidden, biases.attention);
        let attention = if config.fused_attention {
            AttentionIndex::Fused(project(names.query_key_value, heads + 2 * keys))
        } else {
            AttentionIndex::Separate {
                query: project(names.query, heads),
                key: project(names.key, keys),
                value: project(names.value, keys),
            }
        };
        let mut norm =
            |part: &str, width, present: bool| present.then(|| self.norm(&name(part), width));
        let query_norm = norm(names.query_norm, size, config.norms_of_heads);
        let key_norm = norm(names.key_norm, size, config.norms_of_heads);
        let attention_output = self.linear(
            &name(names.attention_output),
            hidden,
            heads,
            biases.attention_output,
        );
        let mut norm = |part: &str, present: bool| present.then(|| self.norm(&name(part), hidden));
        let attention_output_norm = norm(names.attention_output_norm, sandwiched);
        let feed_forward_norm = norm(names.feed_forward_norm, config.block != Block::Parallel);
        let mut widen = |part, width| self.linear(&name(part), width, hidden, biases.feed_forward);
        let feed_forward = match config.feed_forward.kind {
            FeedForwardKind::Plain => FeedForwardIndex::Plain(widen(names.up, inner)),
            FeedForwardKind::Gated => FeedForwardIndex::Gated {
                gate: widen(names.gate, inner),
                up: widen(names.up, inner),
            },
            FeedForwardKind::FusedGated => {
                FeedForwardIndex::FusedGated(widen(names.gate_and_up, 2 * inner))
            }
        };
        LayerIndex {
            attention_norm,
            attention,
            query_norm,
            key_norm,
            attention_output,
            attention_output_norm,
            feed_forward_norm,
            feed_forward,
            down: self.linear(&name(names.down), hidden, inner, biases.feed_forward),
            feed_forward_output_norm: sandwiched
                .then(|| self.norm(&name(names.feed_forward_output_norm), hidden)),
        }
    }
}
