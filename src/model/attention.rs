//! The attention of a layer, from its input to the outputs of its heads.

use burn::tensor::Tensor;

use super::carried::{Carried, Slot};
use super::config::{KeysAndValues, LayerConfig, QkNorm};
use super::kv_cache::KeyValueCache;
use super::parameters::{AttentionIndex, LayerIndex, NormIndex};
use super::pass::Pass;
use super::rotary::neighbours_apart;
use crate::kernels::attention::{AttentionMask, Scores, causal_attention};
use crate::kernels::rms_norm::rms_norm;
use crate::kernels::rotary::rotate;

impl Pass<'_> {
    /// Returns the outputs \[rows, heads · size\] of the attention heads of a layer. With a KV cache, they attend
    /// to the cached positions, too, and the keys and values are added to it.
    pub(super) fn attention(
        &self,
        number: usize,
        input: Tensor<2>,
        carried: &mut Carried,
        cache: Option<&mut KeyValueCache>,
    ) -> Tensor<2> {
        let (index, layer) = (&self.index.layers[number], &self.config.layers[number]);
        let rotated = |x, norm| match self.config.qk_norm {
            Some(QkNorm::RotatedHeads) => self.qk_norm(self.rotate(layer, x), norm),
            _ => self.rotate(layer, self.qk_norm(x, norm)),
        };
        let (query, projected) = self.projections(index, layer, input);
        let mut query = rotated(query, index.query_norm);
        if let Some(factors) = &self.query_factors {
            let factors = Tensor::<4>::from_data(factors.clone(), &query.device());
            query = query * factors;
        }
        let [key, value] = match projected {
            Some([key, value]) => {
                let mut pair = [rotated(key, index.key_norm), self.value_norm(value)];
                if let Some(cache) = cache {
                    pair = cache.append(number, pair);
                }
                if self.config.is_shared(number) {
                    self.carry_keys_and_values(number, &pair, carried);
                }
                pair
            }
            None => self.carried_keys_and_values(layer, carried),
        };
        let mask = AttentionMask {
            window: layer.window,
            segment_starts: self.segment_starts.clone(),
        };
        let scores = Scores {
            scale: layer.attention_scale,
            soft_cap: self.config.attention_soft_cap,
        };
        causal_attention(self.implementation, query, key, value, scores, mask)
            .reshape([self.batch * self.length, layer.heads * layer.head_size])
    }

    /// Carries the keys and values of a layer for later ones.
    fn carry_keys_and_values(&self, number: usize, pair: &[Tensor<4>; 2], carried: &mut Carried) {
        let slots = [Slot::Keys(number), Slot::Values(number)];
        for (slot, tensor) in slots.into_iter().zip(pair) {
            let [batch, length, heads, size] = tensor.dims();
            let rows = tensor.clone().reshape([batch * length, heads * size]);
            carried.insert(slot, rows);
        }
    }

    /// Returns the keys and values \[batch, key length, heads, size\] that this layer takes from another.
    fn carried_keys_and_values(&self, layer: &LayerConfig, carried: &Carried) -> [Tensor<4>; 2] {
        let KeysAndValues::OfLayer(of) = layer.keys_and_values else {
            unreachable!("other layers project their own");
        };
        [Slot::Keys(of), Slot::Values(of)].map(|slot| {
            let rows = carried[&slot].clone();
            let length = rows.dims()[0] / self.batch;
            rows.reshape([self.batch, length, layer.num_kv_heads, layer.head_size])
        })
    }

    /// Returns queries, and keys and values if the layer projects them, each \[batch, length, heads, size\].
    fn projections(
        &self,
        index: &LayerIndex,
        layer: &LayerConfig,
        input: Tensor<2>,
    ) -> (Tensor<4>, Option<[Tensor<4>; 2]>) {
        let size = layer.head_size;
        let heads = [layer.heads, layer.num_kv_heads, layer.num_kv_heads];
        let shape = |heads| [self.batch, self.length, heads, size];
        let [query, key, value] = match index.attention {
            AttentionIndex::Separate { query, key, value } => {
                let project = |part, heads| self.linear(input.clone(), part).reshape(shape(heads));
                let query = project(query, heads[0]);
                let Some(key) = key.map(|key| project(key, heads[1])) else {
                    return (query, None);
                };
                let value = value.map_or_else(|| key.clone(), |value| project(value, heads[2]));
                [query, key, value]
            }
            AttentionIndex::Fused(fused) => {
                let whole = self.linear(input, fused);
                let mut first = 0;
                heads.map(|heads| {
                    let part = whole.clone().narrow(1, first, heads * size);
                    first += heads * size;
                    self.apart(part).reshape(shape(heads))
                })
            }
            AttentionIndex::FusedByHead(fused) => {
                let whole = self.linear(input, fused);
                let whole: Tensor<4> =
                    whole.reshape([self.batch, self.length, layer.heads, 3 * size]);
                [0, 1, 2].map(|part| self.apart(whole.clone().narrow(3, part * size, size)))
            }
        };
        (query, Some([key, value]))
    }

    fn qk_norm(&self, x: Tensor<4>, index: Option<NormIndex>) -> Tensor<4> {
        let Some(index) = index else { return x };
        let shape @ [batch, length, heads, size] = x.dims();
        let rows = match self.config.qk_norm {
            Some(QkNorm::Whole) => [batch * length, heads * size],
            _ => [batch * length * heads, size],
        };
        self.norm(x.reshape(rows), index).reshape(shape)
    }

    /// Normalizes the values of each head, if they are normalized.
    fn value_norm(&self, x: Tensor<4>) -> Tensor<4> {
        if !self.config.value_norm {
            return x;
        }
        let shape @ [batch, length, heads, size] = x.dims();
        let ones = Tensor::ones([1, size], &x.device());
        let rows = x.reshape([batch * length * heads, size]);
        let epsilon = self.config.norm.epsilon;
        rms_norm(self.implementation, rows, ones, epsilon).reshape(shape)
    }

    /// Applies the layer's rotary embedding, if it has one.
    fn rotate(&self, layer: &LayerConfig, x: Tensor<4>) -> Tensor<4> {
        let Some((rotary, tables)) = layer
            .rotary
            .as_ref()
            .and_then(|rotary| self.rotaries.iter().find(|(known, _)| known == rotary))
        else {
            return x;
        };
        let rotated = |x| {
            // In this order queries and keys have the same products.
            let x = if rotary.interleaved {
                neighbours_apart(x)
            } else {
                x
            };
            let shape = x.dims();
            let x = match self.segment_starts {
                // Their tables have a row per token.
                Some(_) => x.reshape([1, shape[0] * shape[1], shape[2], shape[3]]),
                None => x,
            };
            let (cosine, sine) = (tables.cosine.clone(), tables.sine.clone());
            rotate(self.implementation, x, cosine, sine).reshape(shape)
        };
        let size = layer.head_size;
        if rotary.size == size {
            return rotated(x);
        }
        let low = rotated(x.clone().narrow(3, 0, rotary.size));
        let rest = x.narrow(3, rotary.size, size - rotary.size);
        Tensor::cat(vec![low, rest], 3)
    }
}
