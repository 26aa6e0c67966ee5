//! The forward pass of a batch through a decoder.

mod attention;
mod gated_delta;
mod layer_inputs;
mod short_conv;

use burn::tensor::{Int, Tensor, TensorData};

use super::cache::DecoderCache;
use super::carried::Carried;
use super::config::{Block, DecoderConfig, NormKind};
use super::inputs::{Inputs, Weights};
use super::linear::{linear, look_up};
use super::ops::{activate, gate, layer_norm};
use super::parameter_index::{
    FeedForwardIndex, LayerIndex, LinearIndex, MixerIndex, NormIndex, ParameterIndex,
};
use super::positions::{packed_position_ids, query_factors};
use super::rotary::{Rotary, RotaryTables};
use crate::kernels::attention::SegmentStarts;
use crate::kernels::rms_norm::rms_norm;
use crate::kernels::{Impl, is_cpu};

/// A forward pass: [`Self::embed`], [`Self::layer`] for each layer, [`Self::finish`].
pub(crate) struct Pass<'a> {
    config: &'a DecoderConfig,
    index: &'a ParameterIndex,
    weights: &'a Weights<'a>,
    implementation: Impl,
    on_cpu: bool,
    batch: usize,
    length: usize,
    /// Position id of the first token.
    first: usize,
    segment_starts: Option<SegmentStarts>,
    /// Tables of each distinct rotary embedding.
    rotaries: Vec<(Rotary, RotaryTables)>,
    /// Factors of the queries, unless all are 1.
    query_factors: Option<TensorData>,
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
        let sequence = inputs.sequence_length.unwrap_or(first + length);
        let positions = inputs.segment_starts.as_ref().map(|starts| {
            packed_position_ids(starts, [batch, length], &device).reshape([batch * length])
        });
        for rotary in config.rotaries() {
            if rotaries.iter().all(|(known, _)| known != rotary) {
                let tables = RotaryTables::new(rotary, first, length, sequence, &device);
                let tables = match &positions {
                    Some(positions) => tables.at(positions),
                    None => tables,
                };
                rotaries.push((rotary.clone(), tables));
            }
        }
        Self {
            config,
            index,
            weights,
            implementation: Impl::Fused,
            on_cpu: is_cpu(&device),
            batch,
            length,
            first,
            segment_starts: inputs.segment_starts.clone(),
            rotaries,
            query_factors: config.query_scaling.and_then(|scaling| {
                query_factors(scaling, first, length, inputs.segment_starts.as_ref())
            }),
        }
    }

    /// Returns the input of the first layer, and carries what later ones take besides.
    pub(crate) fn embed(&self, tokens: Tensor<2, Int>, carried: &mut Carried) -> Tensor<2> {
        let [batch, length] = tokens.dims();
        let width = self.config.hidden_size;
        let x = self.look_up_tokens(self.index.embedding, tokens.clone());
        let x = scaled(x, self.config.embedding_scale);
        self.carry_layer_inputs(tokens.clone(), &x, carried);
        let mut x: Tensor<3> = x.reshape([batch, length, width]);
        if let Some(positions) = self.index.positions {
            x = x + match &self.segment_starts {
                None => {
                    let table = self.weights.table(positions);
                    let table = table.narrow(0, self.first, length);
                    table.reshape([1, length, width])
                }
                Some(segment_starts) => {
                    let ids =
                        packed_position_ids(segment_starts, [batch, length], &tokens.device());
                    self.look_up(positions, ids).reshape([batch, length, width])
                }
            };
        }
        x.reshape([batch * length, width])
    }

    /// Returns the last hidden states, as wide as the head.
    pub(crate) fn finish(&self, x: Tensor<2>) -> Tensor<2> {
        let x = self.norm(x, self.index.norm);
        let x = if self.weights.head_has_bias(self.index.head) {
            let ones = Tensor::ones([x.dims()[0], 1], &x.device());
            Tensor::cat(vec![x, ones], 1)
        } else {
            x
        };
        // A factor of the hidden states and of the bias's column is one of the logits.
        scaled(x, self.config.logits_scale)
    }

    /// Returns the rows \[tokens, width\] of an embedding.
    fn look_up(&self, index: usize, ids: Tensor<2, Int>) -> Tensor<2> {
        let (table, change) = (&self.weights.parameters[index], self.weights.change(index));
        look_up(ids, table, change)
    }

    /// Returns the rows of an embedding of tokens; that of the padding token gets no gradient.
    fn look_up_tokens(&self, index: usize, tokens: Tensor<2, Int>) -> Tensor<2> {
        let rows = self.look_up(index, tokens.clone());
        let is_trained = !self.weights.parameters[index].is_frozen_head();
        let Some(padding) = self.config.padding_token.filter(|_| is_trained) else {
            return rows;
        };
        let [count, width] = rows.dims();
        let is_padding = tokens.equal_elem(padding as i32).reshape([count, 1]);
        let constant = rows.clone().detach();
        rows.mask_where(is_padding.expand([count, width]), constant)
    }

    fn parameter(&self, index: usize) -> Tensor<2> {
        self.weights.parameters[index].float()
    }

    fn linear(&self, x: Tensor<2>, layer: LinearIndex) -> Tensor<2> {
        let change = self.weights.change(layer.weight);
        let bias = layer.bias.map(|bias| self.parameter(bias));
        let mut weight = self.weights.parameters[layer.weight].clone();
        if self.config.transposed_weights {
            weight = weight.transpose();
        }
        linear(x, &weight, bias.as_ref(), change)
    }

    /// Normalizes x \[rows, width\].
    fn norm(&self, x: Tensor<2>, index: NormIndex) -> Tensor<2> {
        let epsilon = self.config.norm.epsilon;
        let weight = self.parameter(index.weight);
        match self.config.norm.kind {
            NormKind::RootMeanSquare => rms_norm(self.implementation, x, weight, epsilon),
            NormKind::RootMeanSquareFromOne => {
                rms_norm(self.implementation, x, weight + 1.0, epsilon)
            }
            NormKind::Layer => layer_norm(
                x,
                weight,
                index.bias.map(|bias| self.parameter(bias)),
                epsilon,
            ),
        }
    }

    /// Normalizes x if there is a norm.
    fn optional_norm(&self, x: Tensor<2>, index: Option<NormIndex>) -> Tensor<2> {
        match index {
            Some(index) => self.norm(x, index),
            None => x,
        }
    }

    /// Applies a layer to hidden states. With a cache, the layer continues the positions in it, and this pass is
    /// added to the cache.
    pub(crate) fn layer(
        &self,
        number: usize,
        x: Tensor<2>,
        carried: &mut Carried,
        cache: Option<&mut DecoderCache>,
    ) -> Tensor<2> {
        let index = &self.index.layers[number];
        let cache = cache.map(|cache| cache.layer(number));
        let residual_scale = self.config.residual_scale;
        let input = self.optional_norm(x.clone(), index.mixer_norm);
        let mixed = match &index.mixer {
            MixerIndex::Attention(index) => {
                self.attention(number, index, input.clone(), carried, cache)
            }
            MixerIndex::ShortConv(index) => self.short_conv(*index, input.clone(), cache),
            MixerIndex::GatedDelta(index) => self.gated_delta(index, input.clone(), cache),
        };
        let x = match self.config.block {
            Block::Sequential | Block::Sandwiched | Block::PostNorm => {
                let mixed = self.optional_norm(mixed, index.mixer_output_norm);
                let x = x + scaled(mixed, residual_scale);
                let input = self.optional_norm(x.clone(), index.feed_forward_norm);
                let output = self.feed_forward(index, input);
                let output = self.optional_norm(output, index.feed_forward_output_norm);
                x + scaled(output, residual_scale)
            }
            Block::Parallel | Block::ParallelNorms => {
                let input = match index.feed_forward_norm {
                    Some(norm) => self.norm(x.clone(), norm),
                    None => input,
                };
                let output = self.feed_forward(index, input);
                x + scaled(mixed, residual_scale) + scaled(output, residual_scale)
            }
        };
        let x = self.add_layer_input(number, index, x, carried);
        match index.scale {
            Some(scale) => x * self.parameter(scale),
            None => x,
        }
    }

    /// Returns a part of a tensor, copied on GPUs: WebGPU does not allow a kernel two writable views of a
    /// buffer.
    fn apart<const D: usize>(&self, part: Tensor<D>) -> Tensor<D> {
        if self.on_cpu { part } else { part * 1.0 }
    }

    fn feed_forward(&self, index: &LayerIndex, input: Tensor<2>) -> Tensor<2> {
        let activation = self.config.feed_forward.activation;
        let inner = match index.feed_forward {
            FeedForwardIndex::Plain(up) => activate(activation, self.linear(input, up)),
            FeedForwardIndex::Gated { gate: of_gate, up } => {
                let of_gate = self.linear(input.clone(), of_gate);
                gate(
                    self.implementation,
                    activation,
                    of_gate,
                    self.linear(input, up),
                )
            }
            FeedForwardIndex::FusedGated(fused) => {
                let both = self.linear(input, fused);
                let inner = both.dims()[1] / 2;
                let [of_gate, up] = [0, inner].map(|first| both.clone().narrow(1, first, inner));
                gate(self.implementation, activation, of_gate, up)
            }
        };
        self.linear(inner, index.down)
    }
}

/// Returns x times a factor.
fn scaled(x: Tensor<2>, factor: f32) -> Tensor<2> {
    if factor == 1.0 { x } else { x * factor }
}
