//! The decoder-only transformer: token ids in, last hidden states out. It holds no values; they come
//! with each call, so that student and teacher are one decoder with two lists of parameters.

use burn::tensor::module::embedding;
use burn::tensor::{Int, Tensor};

use super::config::{Block, DecoderConfig, LayerConfig, NormKind};
use super::linear::{LinearChange, linear};
use super::ops::{Way, activate, causal_attention, gate, layer_norm, rms_norm, rotate};
use super::parameters::{
    AttentionIndex, FeedForwardIndex, LayerIndex, LinearIndex, LinearLayer, NormIndex,
    ParameterIndex, ParameterSpec,
};
use super::rotary::{Rotary, RotaryTables};

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

    /// Last hidden states \[batch · length, width\] of token ids \[batch, length\], as wide as the
    /// head: where that has a bias, with a column of ones for it.
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
        let first = cache.as_ref().map_or(0, |cache| cache.length());
        let pass = Pass::new(&self.config, weights, tokens.dims(), first);
        let mut x = self.embed(&pass, tokens);
        for (number, (index, layer)) in self
            .index
            .layers
            .iter()
            .zip(&self.config.layers)
            .enumerate()
        {
            let cache = cache.as_deref_mut().map(|cache| (cache, number));
            x = pass.layer(index, layer, x, cache);
        }
        let x = pass.norm(x, self.index.norm);
        match self.index.head.bias {
            None => x,
            Some(_) => {
                let ones = Tensor::ones([x.dims()[0], 1], &x.device());
                Tensor::cat(vec![x, ones], 1)
            }
        }
    }

    /// The hidden states that the first layer sees.
    fn embed(&self, pass: &Pass<'_>, tokens: Tensor<2, Int>) -> Tensor<2> {
        let [batch, length] = tokens.dims();
        let width = self.config.hidden_size;
        let table = pass.parameter(self.index.embedding);
        let mut x: Tensor<3> = embedding(table, tokens);
        if self.config.embedding_scale != 1.0 {
            x = x * self.config.embedding_scale;
        }
        if let Some(positions) = self.index.positions {
            let table = pass.parameter(positions);
            x = x + table
                .narrow(0, pass.first, length)
                .reshape([1, length, width]);
        }
        x.reshape([batch * length, width])
    }
}

/// One pass of a batch through the layers.
struct Pass<'a> {
    config: &'a DecoderConfig,
    weights: &'a Weights<'a>,
    way: Way,
    batch: usize,
    length: usize,
    /// Position of the first token.
    first: usize,
    /// Tables of each kind of rotation that a layer has.
    rotaries: Vec<(Rotary, RotaryTables)>,
}

impl<'a> Pass<'a> {
    fn new(
        config: &'a DecoderConfig,
        weights: &'a Weights<'a>,
        [batch, length]: [usize; 2],
        first: usize,
    ) -> Self {
        let device = weights.parameters[0].device().inner();
        let mut rotaries: Vec<(Rotary, RotaryTables)> = Vec::new();
        for rotary in config.layers.iter().filter_map(|layer| layer.rotary) {
            if rotaries.iter().all(|(known, _)| *known != rotary) {
                let tables = RotaryTables::new(&rotary, first, length, &device);
                rotaries.push((rotary, tables));
            }
        }
        Self {
            config,
            weights,
            way: Way::for_device(&device),
            batch,
            length,
            first,
            rotaries,
        }
    }

    fn parameter(&self, index: usize) -> Tensor<2> {
        self.weights.parameters[index].clone()
    }

    fn linear(&self, x: Tensor<2>, layer: LinearIndex) -> Tensor<2> {
        let change = self
            .weights
            .changes
            .get(layer.weight)
            .and_then(Option::as_ref);
        let bias = layer.bias.map(|bias| &self.weights.parameters[bias]);
        let mut weight = self.parameter(layer.weight);
        if self.config.transposed_weights {
            weight = weight.transpose();
        }
        linear(x, &weight, bias, change)
    }

    /// The norm of x \[rows, width\].
    fn norm(&self, x: Tensor<2>, index: NormIndex) -> Tensor<2> {
        let epsilon = self.config.norm.epsilon;
        let weight = self.parameter(index.weight);
        match self.config.norm.kind {
            NormKind::RootMeanSquare => rms_norm(self.way, x, weight, epsilon),
            NormKind::RootMeanSquareFromOne => rms_norm(self.way, x, weight + 1.0, epsilon),
            NormKind::Layer => layer_norm(
                x,
                weight,
                index.bias.map(|bias| self.parameter(bias)),
                epsilon,
            ),
        }
    }

    /// The norm where there is one.
    fn optional_norm(&self, x: Tensor<2>, index: Option<NormIndex>) -> Tensor<2> {
        match index {
            Some(index) => self.norm(x, index),
            None => x,
        }
    }

    /// One layer, from hidden states to hidden states.
    fn layer(
        &self,
        index: &LayerIndex,
        layer: &LayerConfig,
        x: Tensor<2>,
        cache: Option<(&mut KeyValueCache, usize)>,
    ) -> Tensor<2> {
        let input = self.norm(x.clone(), index.attention_norm);
        let attended = self.attention(index, layer, input.clone(), cache);
        let attended = self.linear(attended, index.attention_output);
        match self.config.block {
            Block::Sequential | Block::Sandwiched => {
                let x = x + self.optional_norm(attended, index.attention_output_norm);
                let input = self.optional_norm(x.clone(), index.feed_forward_norm);
                let made = self.feed_forward(index, input);
                x + self.optional_norm(made, index.feed_forward_output_norm)
            }
            Block::Parallel => x + attended + self.feed_forward(index, input),
        }
    }

    fn feed_forward(&self, index: &LayerIndex, input: Tensor<2>) -> Tensor<2> {
        let activation = self.config.feed_forward.activation;
        let inner = match index.feed_forward {
            FeedForwardIndex::Plain(up) => activate(activation, self.linear(input, up)),
            FeedForwardIndex::Gated { gate: of_gate, up } => {
                let of_gate = self.linear(input.clone(), of_gate);
                gate(self.way, activation, of_gate, self.linear(input, up))
            }
            FeedForwardIndex::FusedGated(fused) => {
                let both = self.linear(input, fused);
                let inner = both.dims()[1] / 2;
                let [of_gate, up] = [0, inner].map(|first| both.clone().narrow(1, first, inner));
                gate(self.way, activation, of_gate, up)
            }
        };
        self.linear(inner, index.down)
    }

    fn attention(
        &self,
        index: &LayerIndex,
        layer: &LayerConfig,
        input: Tensor<2>,
        cache: Option<(&mut KeyValueCache, usize)>,
    ) -> Tensor<2> {
        let size = self.config.head_size;
        let [query, key, value] = self.projections(index, layer, input);
        let query = self.turn(layer, self.norm_of_heads(query, index.query_norm));
        let mut key = self.turn(layer, self.norm_of_heads(key, index.key_norm));
        let mut value = value;
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
        let scale = layer.attention_scale;
        causal_attention(self.way, query, key, value, scale, layer.window)
            .reshape([self.batch * self.length, layer.heads * size])
    }

    /// Queries, keys and values, each \[batch, length, heads, size\] with heads of its own.
    fn projections(
        &self,
        index: &LayerIndex,
        layer: &LayerConfig,
        input: Tensor<2>,
    ) -> [Tensor<4>; 3] {
        let size = self.config.head_size;
        let heads = [layer.heads, layer.key_heads, layer.key_heads];
        let parts = match index.attention {
            AttentionIndex::Separate { query, key, value } => {
                [query, key, value].map(|part| self.linear(input.clone(), part))
            }
            AttentionIndex::Fused(fused) => {
                let whole = self.linear(input, fused);
                let mut first = 0;
                heads.map(|heads| {
                    let part = whole.clone().narrow(1, first, heads * size);
                    first += heads * size;
                    part
                })
            }
        };
        let mut heads = heads.into_iter();
        parts.map(|part| {
            let heads = heads.next().unwrap_or(layer.heads);
            part.reshape([self.batch, self.length, heads, size])
        })
    }

    fn norm_of_heads(&self, x: Tensor<4>, index: Option<NormIndex>) -> Tensor<4> {
        match index {
            None => x,
            Some(index) => {
                let shape = x.dims();
                let rows = x.reshape([shape[0] * shape[1] * shape[2], shape[3]]);
                self.norm(rows, index).reshape(shape)
            }
        }
    }

    /// Turns heads by their positions, as far as the layer does.
    fn turn(&self, layer: &LayerConfig, x: Tensor<4>) -> Tensor<4> {
        let Some((rotary, tables)) = layer
            .rotary
            .and_then(|rotary| self.rotaries.iter().find(|(known, _)| *known == rotary))
        else {
            return x;
        };
        let turn = |x| rotate(self.way, x, tables.cosine.clone(), tables.sine.clone());
        let size = self.config.head_size;
        if rotary.size == size {
            return turn(x);
        }
        let turned = turn(x.clone().narrow(3, 0, rotary.size));
        let rest = x.narrow(3, rotary.size, size - rotary.size);
        Tensor::cat(vec![turned, rest], 3)
    }
}
