//! The linear layers of a decoder, which adapters can change.

use super::config::DecoderConfig;
use super::parameters::{
    AttentionIndex, FeedForwardIndex, LayerIndex, LinearIndex, ParameterIndex,
};

/// Role of a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinearRole {
    /// Query projection.
    Query,
    /// Key projection.
    Key,
    /// Value projection.
    Value,
    /// Fused query, key and value projection.
    QueryKeyValue,
    /// Output projection of the attention.
    AttentionOutput,
    /// Gate projection of a feed-forward block.
    Gate,
    /// Up projection.
    Up,
    /// Fused gate and up projection.
    GateAndUp,
    /// Down projection.
    Down,
    /// Projection of the embeddings to the inputs of all layers.
    LayerInputs,
    /// Gate of a layer's input.
    LayerInputGate,
    /// Projection of a layer's gated input.
    LayerInput,
    /// Embedding of tokens or positions: the transposed weight of a layer with one input per row.
    Embedding,
    /// Head.
    Head,
}

/// A linear layer of a decoder; embeddings and head are some, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearLayer {
    /// Index of the weight in the decoder's parameters.
    pub parameter: usize,
    /// Index of the bias, if it has one.
    pub bias: Option<usize>,
    /// Name, such as `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// Role.
    pub role: LinearRole,
    /// Output width.
    pub outputs: usize,
    /// Input width.
    pub inputs: usize,
    /// Whether the weight is \[in, out\].
    pub transposed: bool,
}

impl ParameterIndex {
    /// Returns the linear layers in the order of a forward pass. The parameter of a tied head is the
    /// embedding.
    pub(super) fn linear_layers(&self, config: &DecoderConfig) -> Vec<LinearLayer> {
        let per_layer = self.per_layer_inputs.as_ref();
        let tables = std::iter::once(self.embedding)
            .chain(self.positions)
            .chain(per_layer.map(|index| index.table));
        let tables =
            tables.map(|weight| (LinearIndex { weight, bias: None }, LinearRole::Embedding));
        let tables =
            tables.chain(per_layer.map(|index| (index.projection, LinearRole::LayerInputs)));
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
    let mut roles = match layer.attention {
        AttentionIndex::Separate { query, key, value } => [
            Some((query, LinearRole::Query)),
            key.map(|key| (key, LinearRole::Key)),
            value.map(|value| (value, LinearRole::Value)),
        ]
        .into_iter()
        .flatten()
        .collect(),
        AttentionIndex::Fused(fused) | AttentionIndex::FusedByHead(fused) => {
            vec![(fused, LinearRole::QueryKeyValue)]
        }
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
    if let Some(input) = layer.input {
        roles.extend([
            (input.gate, LinearRole::LayerInputGate),
            (input.projection, LinearRole::LayerInput),
        ]);
    }
    roles
}
