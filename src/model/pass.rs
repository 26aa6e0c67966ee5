//! A pass of a batch through a decoder, as its formulas are written.

use burn::tensor::module::embedding;
use burn::tensor::{Int, Tensor, TensorData};

use super::config::{Block, DecoderConfig, LayerConfig, NormKind};
use super::decoder::{Inputs, KeyValueCache, Weights};
use super::linear::linear;
use super::ops::{Way, activate, causal_attention, gate, is_cpu, layer_norm, rms_norm, rotate};
use super::parameters::{
    AttentionIndex, FeedForwardIndex, LayerIndex, LinearIndex, NormIndex, ParameterIndex,
};
use super::rotary::{Rotary, RotaryTables};
use super::visible::{Beginnings, Visible};

/// Positions \[batch, length\] of tokens in their own texts.
fn own_positions(beginnings: &Beginnings, tokens: Tensor<2, Int>) -> Tensor<2, Int> {
    let [batch, length] = tokens.dims();
    let positions = beginnings
        .iter()
        .enumerate()
        .map(|(place, &beginning)| (place % length) as i32 - beginning as i32);
    let positions = TensorData::new(positions.collect::<Vec<_>>(), [batch, length]);
    Tensor::from_data(positions, &tokens.device())
}

/// One pass of a batch through the layers: embedding, one layer after the other, the end.
pub(crate) struct Pass<'a> {
    config: &'a DecoderConfig,
    index: &'a ParameterIndex,
    weights: &'a Weights<'a>,
    way: Way,
    on_cpu: bool,
    batch: usize,
    length: usize,
    /// Position of the first token.
    first: usize,
    beginnings: Option<Beginnings>,
    /// Tables of each kind of rotation that a layer has.
    rotaries: Vec<(Rotary, RotaryTables)>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        config: &'a DecoderConfig,
        index: &'a ParameterIndex,
        weights: &'a Weights<'a>,
        inputs: &Inputs,
        first: usize,
    ) -> Self {
        let [batch, length] = inputs.tokens.dims();
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
            index,
            weights,
            way: Way::Fused,
            on_cpu: is_cpu(&device),
            batch,
            length,
            first,
            beginnings: inputs.beginnings.clone(),
            rotaries,
        }
    }

    /// The hidden states that the first layer sees.
    pub fn embed(&self, tokens: Tensor<2, Int>) -> Tensor<2> {
        let [batch, length] = tokens.dims();
        let width = self.config.hidden_size;
        let table = self.parameter(self.index.embedding);
        let mut x: Tensor<3> = embedding(table, tokens.clone());
        if self.config.embedding_scale != 1.0 {
            x = x * self.config.embedding_scale;
        }
        if let Some(positions) = self.index.positions {
            let table = self.parameter(positions);
            x = x + match &self.beginnings {
                None => table
                    .narrow(0, self.first, length)
                    .reshape([1, length, width]),
                Some(beginnings) => embedding(table, own_positions(beginnings, tokens)),
            };
        }
        x.reshape([batch * length, width])
    }

    /// The last hidden states, as wide as the head.
    pub fn finish(&self, x: Tensor<2>) -> Tensor<2> {
        let x = self.norm(x, self.index.norm);
        match self.index.head.bias {
            None => x,
            Some(_) => {
                let ones = Tensor::ones([x.dims()[0], 1], &x.device());
                Tensor::cat(vec![x, ones], 1)
            }
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

    /// One layer, from hidden states to hidden states. With a cache it sees what that holds, which
    /// then holds this pass too.
    pub fn layer(
        &self,
        number: usize,
        x: Tensor<2>,
        cache: Option<&mut KeyValueCache>,
    ) -> Tensor<2> {
        let (index, layer) = (&self.index.layers[number], &self.config.layers[number]);
        let cache = cache.map(|cache| (cache, number));
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
        let visible = Visible {
            window: layer.window,
            beginnings: self.beginnings.clone(),
        };
        causal_attention(self.way, query, key, value, layer.attention_scale, visible)
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
                    if self.on_cpu {
                        part
                    } else {
                        // Copied: WebGPU gives no kernel two views of one buffer.
                        part * 1.0
                    }
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
