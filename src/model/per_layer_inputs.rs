//! Inputs that each layer has beside the hidden states, from the tokens and their embeddings (per-layer
//! embeddings, as in Gemma 3n and Gemma 4): their parameters and their part of the forward pass.

use burn::tensor::{Int, Tensor};

use super::carried::{Carried, Slot};
use super::ops::gate;
use super::parameters::{Builder, LayerInputIndex, PerLayerInputsIndex};
use super::pass::Pass;

impl Builder<'_> {
    /// Adds the parameters of the inputs of all layers, if they have any.
    pub(super) fn per_layer_inputs(&mut self) -> Option<PerLayerInputsIndex> {
        let config = self.config;
        let inputs = config.per_layer_inputs?;
        let names = config.family.tensors;
        let width = config.layers.len() * inputs.size;
        let table = format!("{}.weight", names.layer_inputs_table);
        Some(PerLayerInputsIndex {
            table: self.add(table, &[inputs.vocab_size, width]),
            projection: self.linear(
                names.layer_inputs_projection,
                width,
                config.hidden_size,
                false,
            ),
            norm: self.norm(names.layer_inputs_norm, inputs.size),
        })
    }

    /// Adds the parameters by which a layer adds its input, if it has one.
    pub(super) fn layer_input(&mut self, number: usize) -> Option<LayerInputIndex> {
        let config = self.config;
        let size = config.per_layer_inputs?.size;
        let (names, hidden) = (config.family.tensors, config.hidden_size);
        let name = |part: &str| format!("{}.{number}.{part}", names.layer);
        Some(LayerInputIndex {
            gate: self.linear(&name(names.layer_input_gate), size, hidden, false),
            projection: self.linear(&name(names.layer_input_projection), hidden, size, false),
            norm: self.norm(&name(names.layer_input_norm), hidden),
        })
    }
}

impl Pass<'_> {
    /// Carries the input \[rows, size\] of each layer: the sum of an embedding of its own and of its part of a
    /// projection of the token embeddings x \[rows, width\], which is normalized, over √2.
    pub(super) fn carry_layer_inputs(
        &self,
        tokens: Tensor<2, Int>,
        x: &Tensor<2>,
        carried: &mut Carried,
    ) {
        let index = self.index.per_layer_inputs;
        let Some((index, inputs)) = index.zip(self.config.per_layer_inputs) else {
            return;
        };
        let [rows, width] = x.dims();
        let (layers, size) = (self.config.layers.len(), inputs.size);
        let projected = self.linear(x.clone(), index.projection) * (1.0 / (width as f32).sqrt());
        let projected = self.norm(projected.reshape([rows * layers, size]), index.norm);
        let own = self.look_up_tokens(index.table, tokens) * (size as f32).sqrt();
        let sum = projected.reshape([rows, layers * size]) + own;
        let sum = sum * std::f32::consts::FRAC_1_SQRT_2;
        for layer in 0..layers {
            let input = self.apart(sum.clone().narrow(1, layer * size, size));
            carried.insert(Slot::Input(layer), input);
        }
    }

    /// Returns the hidden states with a layer's input added, if it has one.
    pub(super) fn add_layer_input(
        &self,
        number: usize,
        x: Tensor<2>,
        carried: &Carried,
    ) -> Tensor<2> {
        let index = self.index.layers[number].input;
        let Some((index, input)) = index.zip(carried.get(&Slot::Input(number))) else {
            return x;
        };
        let of_gate = self.linear(x.clone(), index.gate);
        let activation = self.config.feed_forward.activation;
        let gated = gate(self.implementation, activation, of_gate, input.clone());
        x + self.norm(self.linear(gated, index.projection), index.norm)
    }
}
