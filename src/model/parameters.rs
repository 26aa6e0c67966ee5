//! The parameters of a model: names, shapes, and values as a flat list of tensors.

use burn::tensor::Tensor;

use super::config::{DecoderConfig, FeedForwardKind, NormKind, QkNorm, QueryKeyValue};
use super::names::ParameterNames;

/// A parameter's name and shape, as in the model's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Name, such as `model.layers.0.mlp.up_proj.weight`.
    pub name: String,
    /// One or two sizes; a linear layer's weight is \[out, in\], or \[in, out\] in families with transposed
    /// weights.
    pub shape: Vec<usize>,
}

impl ParameterSpec {
    /// Returns the number of elements, saturated on overflow.
    pub fn elements(&self) -> usize {
        let sizes = self.shape.iter();
        sizes.fold(1, |all, &size| all.saturating_mul(size))
    }

    /// Returns the shape as a matrix; vectors are one row.
    pub fn matrix_shape(&self) -> [usize; 2] {
        match self.shape[..] {
            [width] => [1, width],
            [rows, columns] => [rows, columns],
            _ => unreachable!("parameters have one or two dimensions"),
        }
    }
}

/// The values of parameters in float32, in the order of their specs; vectors are matrices of one row.
pub type Parameters = Vec<Tensor<2>>;

/// Indices of a linear layer's parameters.
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

/// Indices of the query, key and value projections.
#[derive(Clone, Copy, Debug)]
pub(super) enum AttentionIndex {
    /// Without keys and values if those of another layer are taken, and without values if keys are values.
    Separate {
        query: LinearIndex,
        key: Option<LinearIndex>,
        value: Option<LinearIndex>,
    },
    Fused(LinearIndex),
    FusedByHead(LinearIndex),
}

/// Indices of the first layers of a feed-forward block.
#[derive(Clone, Copy, Debug)]
pub(super) enum FeedForwardIndex {
    Plain(LinearIndex),
    Gated { gate: LinearIndex, up: LinearIndex },
    FusedGated(LinearIndex),
}

/// Indices of the parameters of the inputs that layers have beside the hidden states.
#[derive(Clone, Copy, Debug)]
pub(super) struct PerLayerInputsIndex {
    pub table: usize,
    pub projection: LinearIndex,
    pub norm: NormIndex,
}

/// Indices of the parameters by which a layer adds its input.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerInputIndex {
    pub gate: LinearIndex,
    pub projection: LinearIndex,
    pub norm: NormIndex,
}

/// Indices of a layer's parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerIndex {
    pub attention_norm: Option<NormIndex>,
    pub attention: AttentionIndex,
    pub query_norm: Option<NormIndex>,
    pub key_norm: Option<NormIndex>,
    pub attention_output: LinearIndex,
    pub attention_output_norm: Option<NormIndex>,
    /// `None` if the block takes the attention's input or the hidden states themselves.
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
    pub per_layer_inputs: Option<PerLayerInputsIndex>,
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
        let per_layer_inputs = builder.per_layer_inputs();
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
            per_layer_inputs,
            layers,
            norm,
            head,
        }
    }
}

/// Collects the parameters of a configuration.
pub(super) struct Builder<'a> {
    pub config: &'a DecoderConfig,
    specs: Vec<ParameterSpec>,
}

impl Builder<'_> {
    pub(super) fn add(&mut self, name: String, shape: &[usize]) -> usize {
        self.specs.push(ParameterSpec {
            name,
            shape: shape.to_vec(),
        });
        self.specs.len() - 1
    }

    pub(super) fn linear(
        &mut self,
        name: &str,
        outputs: usize,
        inputs: usize,
        biased: bool,
    ) -> LinearIndex {
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

    pub(super) fn norm(&mut self, name: &str, width: usize) -> NormIndex {
        let biased = self.config.norm.kind == NormKind::Layer;
        NormIndex {
            weight: self.add(format!("{name}.weight"), &[width]),
            bias: biased.then(|| self.add(format!("{name}.bias"), &[width])),
        }
    }

    fn layer(&mut self, names: &ParameterNames, number: usize) -> LayerIndex {
        let config = self.config;
        let (hidden, biases) = (config.hidden_size, config.biases);
        let layer = &config.layers[number];
        let size = layer.head_size;
        let [heads, keys] = [layer.heads, layer.num_kv_heads].map(|heads| heads * size);
        let inner = layer.intermediate_size;
        let name = |part: &str| format!("{}.{number}.{part}", names.layer);

        let block = config.block;
        let mut norm = |part: &str, present: bool| present.then(|| self.norm(&name(part), hidden));
        let attention_norm = norm(names.attention_norm, block.normalizes_inputs());
        let mut project = |part, width| self.linear(&name(part), width, hidden, biases.attention);
        let attention = match config.query_key_value {
            QueryKeyValue::Separate => AttentionIndex::Separate {
                query: project(names.query, heads),
                key: layer
                    .keys_and_values
                    .has_keys()
                    .then(|| project(names.key, keys)),
                value: layer
                    .keys_and_values
                    .has_values()
                    .then(|| project(names.value, keys)),
            },
            QueryKeyValue::Fused => {
                AttentionIndex::Fused(project(names.query_key_value, heads + 2 * keys))
            }
            QueryKeyValue::FusedByHead => {
                AttentionIndex::FusedByHead(project(names.query_key_value, heads + 2 * keys))
            }
        };
        let [of_query, of_key] = match config.qk_norm {
            Some(QkNorm::Whole) => [heads, keys],
            _ => [size, size],
        };
        let mut norm = |part: &str, width, present: bool| {
            let present = present && config.qk_norm.is_some();
            present.then(|| self.norm(&name(part), width))
        };
        let query_norm = norm(names.query_norm, of_query, true);
        let key_norm = norm(names.key_norm, of_key, layer.keys_and_values.has_keys());
        let attention_output = self.linear(
            &name(names.attention_output),
            hidden,
            heads,
            biases.attention_output,
        );
        let mut norm = |part: &str, present: bool| present.then(|| self.norm(&name(part), hidden));
        let attention_output_norm = norm(names.attention_output_norm, block.normalizes_outputs());
        let feed_forward_norm = norm(
            names.feed_forward_norm,
            block.normalizes_inputs() && !block.shares_input(),
        );
        let mut expand = |part, width| self.linear(&name(part), width, hidden, biases.feed_forward);
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
            attention_norm,
            attention,
            query_norm,
            key_norm,
            attention_output,
            attention_output_norm,
            feed_forward_norm,
            feed_forward,
            down: self.linear(&name(names.down), hidden, inner, biases.feed_forward),
            feed_forward_output_norm: block
                .normalizes_outputs()
                .then(|| self.norm(&name(names.feed_forward_output_norm), hidden)),
            input: self.layer_input(number),
            scale: None,
        }
    }
}
