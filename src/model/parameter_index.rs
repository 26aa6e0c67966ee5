//! Which parameters a decoder has, and where each is in the list.

mod gated_delta;
mod layer_inputs;
mod mixers;

pub(super) use gated_delta::GatedDeltaIndex;
pub(super) use layer_inputs::{LayerInputIndex, LayerInputsIndex};
pub(super) use mixers::{AttentionIndex, MixerIndex, ProjectionIndex, ShortConvIndex};

use super::config::{DecoderConfig, FeedForwardKind, NormKind};
use super::names::ParameterNames;
use super::parameters::{LinearLayer, LinearRole, ParameterSpec};

/// Indices of the parameters of a linear layer or a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinearIndex {
    pub weight: usize,
    pub bias: Option<usize>,
}

/// Indices of a norm's parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormIndex {
    pub weight: usize,
    pub bias: Option<usize>,
}

/// Indices of the first layers of a feed-forward block.
#[derive(Clone, Copy, Debug)]
pub(super) enum FeedForwardIndex {
    Plain(LinearIndex),
    Gated { gate: LinearIndex, up: LinearIndex },
    FusedGated(LinearIndex),
}

/// Indices of a layer's parameters.
#[derive(Clone, Debug)]
pub(super) struct LayerIndex {
    /// The first of its parameters; the others follow it, before those of the next layer.
    pub first: usize,
    pub mixer_norm: Option<NormIndex>,
    pub mixer: MixerIndex,
    pub mixer_output_norm: Option<NormIndex>,
    /// `None` if the block takes the mixer's input or the hidden states themselves.
    pub feed_forward_norm: Option<NormIndex>,
    pub feed_forward: FeedForwardIndex,
    pub down: LinearIndex,
    pub feed_forward_output_norm: Option<NormIndex>,
    pub input: Option<LayerInputIndex>,
    /// Constant factor of the output.
    pub scale: Option<usize>,
}

/// Index of each parameter in the list.
#[derive(Clone, Debug)]
pub(super) struct ParameterIndex {
    pub specs: Vec<ParameterSpec>,
    /// Number of the specs that can be trained; constants follow.
    pub trainable: usize,
    pub embedding: usize,
    pub positions: Option<usize>,
    pub layer_inputs: Option<LayerInputsIndex>,
    pub layers: Vec<LayerIndex>,
    pub norm: NormIndex,
    /// The embedding's index if the weights are tied.
    pub head: LinearIndex,
}

impl ParameterIndex {
    pub(super) fn new(config: &DecoderConfig) -> Self {
        let names = config.family.tensors;
        let mut builder = Builder {
            config,
            specs: Vec::new(),
        };
        let table = [config.vocab_size, config.hidden_size];
        let embedding = builder.add(format!("{}.weight", names.embedding), &table);
        let positions = config.learned_positions.then(|| {
            let shape = [config.max_length, config.hidden_size];
            builder.add(format!("{}.weight", names.positions), &shape)
        });
        let layer_inputs = builder.layer_inputs(names);
        let mut layers: Vec<LayerIndex> = (0..config.layers.len())
            .map(|layer| builder.layer(names, layer))
            .collect();
        let norm = builder.norm(names.norm, config.hidden_size);
        let head = LinearIndex {
            weight: if config.tie_word_embeddings {
                embedding
            } else {
                builder.add(format!("{}.weight", names.head), &table)
            },
            bias: config
                .biases
                .head
                .then(|| builder.add(format!("{}.bias", names.head), &table[..1])),
        };
        let trainable = builder.specs.len();
        if config.layer_scales {
            for (number, layer) in layers.iter_mut().enumerate() {
                let name = format!("{}.{number}.{}", names.layer, names.layer_scale);
                layer.scale = Some(builder.add(name, &[1]));
            }
        }
        Self {
            specs: builder.specs,
            trainable,
            embedding,
            positions,
            layer_inputs,
            layers,
            norm,
            head,
        }
    }

    /// Returns the linear layers in the order of a forward pass. The parameter of a tied head is the
    /// embedding.
    pub(super) fn linear_layers(&self, config: &DecoderConfig) -> Vec<LinearLayer> {
        let inputs = self.layer_inputs.as_ref();
        let tables = std::iter::once(self.embedding)
            .chain(self.positions)
            .chain(inputs.map(|index| index.table));
        let tables =
            tables.map(|weight| (LinearIndex { weight, bias: None }, LinearRole::Embedding));
        let tables = tables.chain(inputs.map(|index| (index.projection, LinearRole::LayerInputs)));
        let head = (self.head, LinearRole::Head);
        let layers = tables
            .chain(self.layers.iter().flat_map(roles))
            .chain([head]);
        layers
            .map(|(index, role)| {
                let spec = &self.specs[index.weight];
                let [mut outputs, mut inputs] = spec.matrix_shape();
                let transposed = match role {
                    LinearRole::Embedding => true,
                    LinearRole::Head => false,
                    _ => config.transposed_weights,
                };
                if transposed {
                    (outputs, inputs) = (inputs, outputs);
                }
                let module = match role {
                    LinearRole::Head => config.family.tensors.head,
                    _ => spec.name.trim_end_matches(".weight"),
                };
                LinearLayer {
                    parameter: index.weight,
                    bias: index.bias,
                    module: module.to_string(),
                    role,
                    outputs,
                    inputs,
                    transposed,
                }
            })
            .collect()
    }
}

/// Returns the linear layers of a layer with their roles.
fn roles(layer: &LayerIndex) -> Vec<(LinearIndex, LinearRole)> {
    let mut roles = layer.mixer.roles();
    match layer.feed_forward {
        FeedForwardIndex::Plain(up) => roles.push((up, LinearRole::Up)),
        FeedForwardIndex::Gated { gate, up } => {
            roles.extend([(gate, LinearRole::Gate), (up, LinearRole::Up)]);
        }
        FeedForwardIndex::FusedGated(fused) => roles.push((fused, LinearRole::GateAndUp)),
    }
    roles.push((layer.down, LinearRole::Down));
    roles.extend(layer.input.iter().flat_map(LayerInputIndex::roles));
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
        let hidden = config.hidden_size;
        let layer = &config.layers[number];
        let inner = layer.intermediate_size;
        let prefix = format!("{}.{number}.", names.layer);
        let first = self.specs.len();
        let name = |part: &str| format!("{prefix}{part}");

        let block = config.block;
        let norms_inputs = block.normalizes_inputs();
        let mixer_norm = norms_inputs.then(|| self.norm(&name(names.attention_norm), hidden));
        let mixer = self.mixer(names, &prefix, &layer.mixer);
        let mut norm = |part: &str, present: bool| present.then(|| self.norm(&name(part), hidden));
        let mixer_output_norm = norm(names.attention_output_norm, block.normalizes_outputs());
        let feed_forward_norm = norm(
            names.feed_forward_norm,
            norms_inputs && !block.shares_input(),
        );
        let biased = config.biases.feed_forward;
        let mut expand = |part, width| self.linear(&name(part), width, hidden, biased);
        let feed_forward = match config.feed_forward.kind {
            FeedForwardKind::Plain => FeedForwardIndex::Plain(expand(names.up, inner)),
            FeedForwardKind::Gated => FeedForwardIndex::Gated {
                gate: expand(names.gate, inner),
                up: expand(names.up, inner),
            },
            FeedForwardKind::FusedGated => {
                FeedForwardIndex::FusedGated(expand(names.gate_and_up, 2 * inner))
            }
        };
        LayerIndex {
            first,
            mixer_norm,
            mixer,
            mixer_output_norm,
            feed_forward_norm,
            feed_forward,
            down: self.linear(&name(names.down), hidden, inner, biased),
            feed_forward_output_norm: block
                .normalizes_outputs()
                .then(|| self.norm(&name(names.feed_forward_output_norm), hidden)),
            input: self.layer_input(names, &prefix),
            scale: None,
        }
    }
}
