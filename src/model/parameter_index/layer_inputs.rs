//! The parameters of inputs that each layer has beside the hidden states.

use super::{Builder, LinearIndex, NormIndex};
use crate::model::names::ParameterNames;
use crate::model::parameters::LinearRole;

/// Indices of the parameters of the inputs of all layers.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct LayerInputsIndex {
    pub table: usize,
    pub projection: LinearIndex,
    pub norm: NormIndex,
}

/// Indices of the parameters by which a layer adds its input.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct LayerInputIndex {
    pub gate: LinearIndex,
    pub projection: LinearIndex,
    pub norm: NormIndex,
}

impl LayerInputIndex {
    /// Returns the linear layers with their roles.
    pub(super) fn roles(&self) -> [(LinearIndex, LinearRole); 2] {
        [
            (self.gate, LinearRole::LayerInputGate),
            (self.projection, LinearRole::LayerInput),
        ]
    }
}

impl Builder<'_> {
    /// Adds the parameters of the inputs of all layers, if they have any.
    pub(super) fn layer_inputs(&mut self, names: &ParameterNames) -> Option<LayerInputsIndex> {
        let config = self.config;
        let inputs = config.per_layer_inputs?;
        let (hidden, width) = (config.hidden_size, config.layers.len() * inputs.size);
        let table = format!("{}.weight", names.layer_inputs_table);
        Some(LayerInputsIndex {
            table: self.add(table, &[inputs.vocab_size, width]),
            projection: self.linear(names.layer_inputs_projection, width, hidden, false),
            norm: self.norm(names.layer_inputs_norm, inputs.size),
        })
    }

    /// Adds the parameters by which a layer adds its input, if it has one; `prefix` is that of its names.
    pub(super) fn layer_input(
        &mut self,
        names: &ParameterNames,
        prefix: &str,
    ) -> Option<LayerInputIndex> {
        let size = self.config.per_layer_inputs?.size;
        let hidden = self.config.hidden_size;
        let name = |part: &str| format!("{prefix}{part}");
        Some(LayerInputIndex {
            gate: self.linear(&name(names.layer_input_gate), size, hidden, false),
            projection: self.linear(&name(names.layer_input_projection), hidden, size, false),
            norm: self.norm(&name(names.layer_input_norm), hidden),
        })
    }
}
