//! The decoder-only transformer, from token ids to last hidden states. It holds no parameters; each call
//! passes them, so that student and teacher are one decoder with two lists of parameters.

use burn::tensor::{Int, Tensor};

use super::cache::DecoderCache;
use super::carried::Carried;
use super::config::{DecoderConfig, KeysAndValues};
use super::inputs::{Inputs, Weights};
use super::linear::{merged, merged_bias};
use super::parameter_index::ParameterIndex;
use super::parameters::{LinearLayer, ParameterSpec};
use super::pass::Pass;
use crate::kernels::distillation::LanguageHead;
use crate::kernels::packed::Weight;

/// A decoder-only transformer of a given configuration.
#[derive(Clone, Debug)]
pub struct Decoder {
    config: DecoderConfig,
    index: ParameterIndex,
}

impl Decoder {
    /// Creates a decoder of that configuration.
    pub fn new(config: DecoderConfig) -> Self {
        let index = ParameterIndex::new(&config);
        Self { config, index }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Returns the names and shapes of the parameters, in the order in which their values are passed.
    pub fn parameters(&self) -> &[ParameterSpec] {
        &self.index.specs
    }

    /// Returns those that can be trained, which come first; the others are constants.
    pub(crate) fn trainable_parameters(&self) -> &[ParameterSpec] {
        &self.index.specs[..self.index.trainable]
    }

    /// Returns the index of a layer's first parameter. Those from it on are of this layer and of what follows it.
    pub(crate) fn first_parameter(&self, layer: usize) -> usize {
        self.index.layers[layer].first
    }

    /// Returns the indices of the parameters that the input of the first layer depends on, and what the embedding
    /// computes for others.
    pub(super) fn embedding_parameters(&self) -> Vec<usize> {
        let index = &self.index;
        let inputs = index.layer_inputs.iter();
        let inputs = inputs.flat_map(|index| [index.table, index.projection.weight]);
        let first = std::iter::once(index.embedding).chain(index.positions);
        first.chain(inputs).collect()
    }

    /// Returns the names of tensors that files may have for projections of layers that take the keys and values
    /// of others.
    pub(super) fn unused_tensors(&self) -> Vec<String> {
        let names = self.config.family.tensors;
        let parts = [names.key, names.value, names.key_norm];
        let layers = self.config.layers.iter().enumerate();
        let shared = layers.filter(|(_, layer)| {
            let attention = layer.mixer.attention();
            let source = attention.map(|attention| attention.keys_and_values);
            matches!(source, Some(KeysAndValues::OfLayer(_)))
        });
        shared
            .flat_map(|(number, _)| parts.map(|part| format!("{}.{number}.{part}", names.layer)))
            .flat_map(|name| [format!("{name}.weight"), format!("{name}.bias")])
            .collect()
    }

    /// Returns the linear layers, embeddings and head, which adapters can change.
    pub fn linear_layers(&self) -> Vec<LinearLayer> {
        self.index.linear_layers(&self.config)
    }

    /// Returns the indices of the head's parameters.
    pub(crate) fn head_parameters(&self) -> Vec<usize> {
        let head = self.index.head;
        std::iter::once(head.weight).chain(head.bias).collect()
    }

    /// Returns the head \[vocab_size, width\] with an adapter's change. A bias is its last column.
    pub fn head(&self, weights: &Weights<'_>) -> LanguageHead {
        LanguageHead {
            weight: self.head_weight(weights),
            soft_cap: self.config.logits_soft_cap,
        }
    }

    fn head_weight(&self, weights: &Weights<'_>) -> Weight {
        let index = self.index.head;
        let weight = &weights.parameters[index.weight];
        let change = weights.change(index.weight);
        let merged = change.map_or_else(|| weight.clone(), |change| merged(weight, change).into());
        if !weights.head_has_bias(index) {
            return merged;
        }
        let bias = match index.bias {
            Some(bias) => weights.parameters[bias].float(),
            None => Tensor::zeros([1, weight.dims()[0]], &weight.device()),
        };
        let bias = change.map_or_else(|| bias.clone(), |change| merged_bias(&bias, change));
        Tensor::cat(vec![merged.float(), bias.transpose()], 1).into()
    }

    /// Returns the last hidden states \[batch · length, width\] of tokens \[batch, length\]. If the head
    /// has a bias, their last column is 1.
    pub fn hidden_states(&self, weights: &Weights<'_>, inputs: impl Into<Inputs>) -> Tensor<2> {
        self.forward(weights, inputs.into(), None)
    }

    /// Returns the last hidden states of tokens that follow those in the cache, and adds them to it.
    pub fn continue_hidden_states(
        &self,
        weights: &Weights<'_>,
        tokens: Tensor<2, Int>,
        cache: &mut DecoderCache,
    ) -> Tensor<2> {
        self.forward(weights, tokens.into(), Some(cache))
    }

    /// Prepares a forward pass; `first` is the position of the first token.
    pub(crate) fn pass<'a>(
        &'a self,
        weights: &'a Weights<'a>,
        inputs: &Inputs,
        first: usize,
    ) -> Pass<'a> {
        Pass::new(&self.config, &self.index, weights, inputs, first)
    }

    fn forward(
        &self,
        weights: &Weights<'_>,
        mut inputs: Inputs,
        mut cache: Option<&mut DecoderCache>,
    ) -> Tensor<2> {
        let [batch, added] = inputs.tokens.dims();
        if self.config.switches_frequencies()
            && let Some(cache) = cache.as_deref_mut()
        {
            let variant = |length| self.config.rope_variant(length);
            inputs.tokens = cache.tokens_to_compute(inputs.tokens, variant);
        }
        let [_, computed] = inputs.tokens.dims();
        let first = cache
            .as_deref_mut()
            .map_or(0, |cache| cache.begin(computed));
        let pass = self.pass(weights, &inputs, first);
        let mut carried = Carried::default();
        let mut x = pass.embed(inputs.tokens, &mut carried);
        for number in 0..self.config.layers.len() {
            x = pass.layer(number, x, &mut carried, cache.as_deref_mut());
        }
        let x = pass.finish(x);
        if computed == added {
            return x;
        }
        let [_, width] = x.dims();
        x.reshape([batch, computed, width])
            .narrow(1, computed - added, added)
            .reshape([batch * added, width])
    }
}
