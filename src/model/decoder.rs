//! The decoder-only transformer: token ids in, last hidden states out. It holds no values; they come
//! with each call, so that student and teacher are one decoder with two lists of parameters.

use burn::tensor::module::embedding;
use burn::tensor::{Int, Tensor};

use super::config::DecoderConfig;
use super::linear::{LinearChange, linear};
use super::ops::{Way, causal_attention, rms_norm, rotate, silu_multiply};
use super::parameters::{LayerIndex, LinearIndex, LinearLayer, ParameterIndex, ParameterSpec};
use super::rotary::RotaryTables;

/// A decoder of some configuration.
#[derive(Clone, Debug)]
pub struct Decoder {
    config: DecoderConfig,
    index: ParameterIndex,
}

/// What a decoder computes with.
#[derive(Clone, Debug)]
pub struct Weights<'a> {
    /// The values of its parameters, in the order of [`Decoder::parameters`].
    pub parameters: &'a [Tensor<2>],
    /// What an adapter changes about each of them; empty for nothing.
    pub changes: Vec<Option<LinearChange>>,
}

impl Weights<'_> {
    fn linear(&self, x: Tensor<2>, layer: LinearIndex) -> Tensor<2> {
        let change = self.changes.get(layer.weight).and_then(Option::as_ref);
        let bias = layer.bias.map(|bias| &self.parameters[bias]);
        linear(x, &self.parameters[layer.weight], bias, change)
    }
}

/// Keys and values of positions that were computed before, layer by layer.
#[derive(Clone, Debug, Default)]
pub struct KeyValueCache {
    layers: Vec<(Tensor<4>, Tensor<4>)>,
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
        self.index.linear_layers()
    }

    /// The head's weight \[vocabulary, hidden size\]: logits = hidden · headᵀ.
    pub fn head<'a>(&self, parameters: &'a [Tensor<2>]) -> &'a Tensor<2> {
        &parameters[self.index.head]
    }

    /// Last hidden states \[batch · length, hidden size\] of token ids \[batch, length\].
    pub fn hidden_states(&self, weights: &Weights<'_>, tokens: Tensor<2, Int>) -> Tensor<2> {
        self.forward(weights, tokens, None)
    }

    /// The same for tokens that continue what the cache holds; the cache then holds them too.
    pub fn continue_hidden_states(
        &self,
        weights: &Weights<'_>,
        tokens: Tensor<2, Int>,
        cache: &mut KeyValueCache,
    ) -> Tensor<2> {
        self.forward(weights, tokens, Some(cache))
    }

    fn forward(
        &self,
        weights: &Weights<'_>,
        tokens: Tensor<2, Int>,
        mut cache: Option<&mut KeyValueCache>,
    ) -> Tensor<2> {
        let [batch, length] = tokens.dims();
        let parameters = weights.parameters;
        let device = parameters[0].device().inner();
        let way = Way::for_device(&device);
        let first = cache.as_ref().map_or(0, |cache| cache.length());
        let rotary = RotaryTables::new(&self.config, first, length, &device);
        let rows = batch * length;
        let norm = |x: Tensor<2>, weight: usize| {
            rms_norm(way, x, parameters[weight].clone(), self.config.norm_epsilon)
        };

        let mut x = embedding(parameters[self.index.embedding].clone(), tokens)
            .reshape([rows, self.config.hidden_size]);
        for (number, layer) in self.index.layers.iter().enumerate() {
            let input = norm(x.clone(), layer.attention_norm);
            let layer_cache = cache.as_deref_mut().map(|cache| (cache, number));
            let attended = self.attention(
                way,
                weights,
                layer,
                input,
                [batch, length],
                &rotary,
                layer_cache,
            );
            x = x + weights.linear(attended, layer.attention_output);
            let input = norm(x.clone(), layer.feed_forward_norm);
            let gate = weights.linear(input.clone(), layer.gate);
            let up = weights.linear(input, layer.up);
            x = x + weights.linear(silu_multiply(way, gate, up), layer.down);
        }
        norm(x, self.index.norm)
    }

    #[allow(clippy::too_many_arguments)] // the parts of one formula
    fn attention(
        &self,
        way: Way,
        weights: &Weights<'_>,
        layer: &LayerIndex,
        input: Tensor<2>,
        [batch, length]: [usize; 2],
        rotary: &RotaryTables,
        cache: Option<(&mut KeyValueCache, usize)>,
    ) -> Tensor<2> {
        let DecoderConfig {
            heads,
            key_heads,
            head_size,
            norm_epsilon,
            window,
            ..
        } = self.config;
        let heads_of = |linear: LinearIndex, heads: usize| {
            let x = weights.linear(input.clone(), linear);
            x.reshape([batch, length, heads, head_size])
        };
        let norm_of_heads = |x: Tensor<4>, weight: Option<usize>| match weight {
            None => x,
            Some(weight) => {
                let shape = x.dims();
                let rows = x.reshape([batch * length * shape[2], head_size]);
                let weight = weights.parameters[weight].clone();
                rms_norm(way, rows, weight, norm_epsilon).reshape(shape)
            }
        };
        let turn = |x: Tensor<4>| rotate(way, x, rotary.cosine.clone(), rotary.sine.clone());
        let query = turn(norm_of_heads(
            heads_of(layer.query, heads),
            layer.query_norm,
        ));
        let mut key = turn(norm_of_heads(
            heads_of(layer.key, key_heads),
            layer.key_norm,
        ));
        let mut value = heads_of(layer.value, key_heads);
        if let Some((cache, number)) = cache {
            match cache.layers.get_mut(number) {
                Some((old_key, old_value)) => {
                    key = Tensor::cat(vec![old_key.clone(), key], 1);
                    value = Tensor::cat(vec![old_value.clone(), value], 1);
                    (*old_key, *old_value) = (key.clone(), value.clone());
                }
                None => cache.layers.push((key.clone(), value.clone())),
            }
        }
        let scale = 1.0 / (head_size as f32).sqrt();
        causal_attention(way, query, key, value, scale, window)
            .reshape([batch * length, heads * head_size])
    }
}
