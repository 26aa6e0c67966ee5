//! The decoder-only transformer: token ids in, last hidden states out. It holds no values; they come
//! with each call, so that student and teacher are one decoder with two lists of parameters.

use burn::tensor::{Int, Tensor};

use super::config::DecoderConfig;
use super::linear::LinearChange;
use super::parameters::{LinearLayer, ParameterIndex, ParameterSpec};
use super::pass::Pass;
use super::visible::Beginnings;

/// A decoder of some configuration.
#[derive(Clone, Debug)]
pub struct Decoder {
    config: DecoderConfig,
    index: ParameterIndex,
}

/// What a decoder reads.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Token ids \[batch, length\].
    pub tokens: Tensor<2, Int>,
    /// Where the text of each token begins, where samples hold several.
    pub beginnings: Option<Beginnings>,
}

impl From<Tensor<2, Int>> for Inputs {
    fn from(tokens: Tensor<2, Int>) -> Self {
        Self {
            tokens,
            beginnings: None,
        }
    }
}

/// What a decoder computes with.
#[derive(Clone, Debug)]
pub struct Weights<'a> {
    /// The values of its parameters, in the order of [`Decoder::parameters`].
    pub parameters: &'a [Tensor<2>],
    /// What an adapter changes about each of them; empty for nothing.
    pub changes: Vec<Option<LinearChange>>,
}

/// Keys and values of positions that were computed before, layer by layer.
#[derive(Clone, Debug, Default)]
pub struct KeyValueCache {
    pub(super) layers: Vec<(Tensor<4>, Tensor<4>)>,
}

impl KeyValueCache {
    /// Positions that it holds.
    pub fn length(&self) -> usize {
        self.layers.first().map_or(0, |(key, _)| key.dims()[1])
    }
}

impl Decoder {
    /// A decoder of that configuration.
    pub fn new(config: DecoderConfig) -> Self {
        let index = ParameterIndex::new(&config);
        Self { config, index }
    }

    /// Its configuration.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Names and shapes of its parameters, in the order in which values are given.
    pub fn parameters(&self) -> &[ParameterSpec] {
        &self.index.specs
    }

    /// Its linear layers, which adapters can change.
    pub fn linear_layers(&self) -> Vec<LinearLayer> {
        self.index.linear_layers(&self.config)
    }

    /// The head \[vocabulary, width\]: logits = hidden states · headᵀ. A head's bias is its last column.
    pub fn head(&self, parameters: &[Tensor<2>]) -> Tensor<2> {
        let weight = parameters[self.index.head.weight].clone();
        match self.index.head.bias {
            None => weight,
            Some(bias) => Tensor::cat(vec![weight, parameters[bias].clone().transpose()], 1),
        }
    }

    /// Last hidden states \[batch · length, width\] of tokens \[batch, length\], as wide as the head:
    /// where that has a bias, with a column of ones for it.
    pub fn hidden_states(&self, weights: &Weights<'_>, inputs: impl Into<Inputs>) -> Tensor<2> {
        self.forward(weights, inputs.into(), None)
    }

    /// The same for tokens that continue what the cache holds; the cache then holds them too.
    pub fn continue_hidden_states(
        &self,
        weights: &Weights<'_>,
        tokens: Tensor<2, Int>,
        cache: &mut KeyValueCache,
    ) -> Tensor<2> {
        self.forward(weights, tokens.into(), Some(cache))
    }

    /// A pass of inputs through the layers; the first token stands at position `first`.
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
        inputs: Inputs,
        mut cache: Option<&mut KeyValueCache>,
    ) -> Tensor<2> {
        let first = cache.as_ref().map_or(0, |cache| cache.length());
        let pass = self.pass(weights, &inputs, first);
        let mut x = pass.embed(inputs.tokens);
        for number in 0..self.config.layers.len() {
            x = pass.layer(number, x, cache.as_deref_mut());
        }
        pass.finish(x)
    }
}
