//! Inputs that each layer has beside the hidden states, from the tokens and their embeddings (per-layer
//! embeddings, as in Gemma 3n and Gemma 4).

use burn::tensor::{Int, Tensor};

use super::Pass;
use crate::model::carried::{Carried, Slot};
use crate::model::ops::gate;
use crate::model::parameter_index::LayerIndex;

impl Pass<'_> {
    /// Carries the input \[rows, size\] of each layer: the sum of an embedding of its own and of its part of a
    /// projection of the token embeddings x \[rows, width\], which is normalized, over √2.
    pub(super) fn carry_layer_inputs(
        &self,
        tokens: Tensor<2, Int>,
        x: &Tensor<2>,
        carried: &mut Carried,
    ) {
        let index = self.index.layer_inputs;
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
        index: &LayerIndex,
        x: Tensor<2>,
        carried: &Carried,
    ) -> Tensor<2> {
        let input = carried.get(&Slot::Input(number));
        let Some((index, input)) = index.input.zip(input) else {
            return x;
        };
        let of_gate = self.linear(x.clone(), index.gate);
        let activation = self.config.feed_forward.activation;
        let gated = gate(self.implementation, activation, of_gate, input.clone());
        x + self.norm(self.linear(gated, index.projection), index.norm)
    }
}
