//! Attention blocks.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use super::Pass;
use crate::kernels::attention::{AttentionMask, Scores, causal_attention};
use crate::kernels::rms_norm::rms_norm;
use crate::kernels::rotary::rotate;
use crate::model::cache::LayerCache;
use crate::model::carried::{Carried, Slot};
use crate::model::config::{AttentionConfig, KeysAndValues, QkNorm};
use crate::model::parameter_index::{AttentionIndex, NormIndex, ProjectionIndex};
use crate::model::rotary::neighbours_apart;

/// What an attention block computes from its input, each \[batch, length, heads, size\].
struct Projected {
    query: Tensor<4>,
    /// `None` if the block takes those of another layer.
    key_and_value: Option<[Tensor<4>; 2]>,
    /// Gates of the outputs, if there are some.
    gate: Option<Tensor<4>>,
}

/// Carries keys or values \[batch, key length, heads, size\] to later layers.
fn carry(slot: Slot, tensor: Tensor<4>, carried: &mut Carried) {
    let [batch, length, heads, size] = tensor.dims();
    carried.insert(slot, tensor.reshape([batch * length, heads * size]));
}

impl Pass<'_> {
    /// Returns the output of the attention block of a layer for x \[rows, width\].
    pub(super) fn attention(
        &self,
        number: usize,
        index: &AttentionIndex,
        input: Tensor<2>,
        carried: &mut Carried,
        cache: Option<&mut LayerCache>,
    ) -> Tensor<2> {
        let config = &index.config;
        let Projected {
            query,
            key_and_value,
            gate,
        } = self.projections(index, input);
        let rotated = |x, norm| match self.config.qk_norm {
            Some(QkNorm::RotatedHeads) => self.qk_norm(self.rotate(config, x), norm),
            _ => self.rotate(config, self.qk_norm(x, norm)),
        };
        let mut query = rotated(query, index.query_norm);
        if let Some(factors) = &self.query_factors {
            let factors = Tensor::<4>::from_data(factors.clone(), &query.device());
            query = query * factors;
        }
        let (key, value) = match key_and_value {
            Some([key, value]) => {
                let mut pair = (rotated(key, index.key_norm), self.value_norm(value));
                if let Some(cache) = cache {
                    pair = cache.append(pair.0, pair.1);
                }
                if self.config.is_shared(number) {
                    let (key, value) = pair.clone();
                    carry(Slot::Keys(number), key, carried);
                    carry(Slot::Values(number), value, carried);
                }
                pair
            }
            None => self.carried_pair(config, carried),
        };
        let mask = AttentionMask {
            window: config.window,
            segment_starts: self.segment_starts.clone(),
        };
        let scores = Scores {
            scale: config.scale,
            soft_cap: self.config.attention_soft_cap,
        };
        let width = config.heads * config.head_size;
        let attended = causal_attention(self.implementation, query, key, value, scores, mask)
            .reshape([self.batch * self.length, width]);
        let attended = match gate {
            None => attended,
            Some(gate) => attended * sigmoid(gate).reshape([self.batch * self.length, width]),
        };
        self.linear(attended, index.output)
    }

    /// Returns the keys and values \[batch, key length, heads, size\] that a block takes from another layer.
    fn carried_pair(&self, config: &AttentionConfig, carried: &Carried) -> (Tensor<4>, Tensor<4>) {
        let KeysAndValues::OfLayer(layer) = config.keys_and_values else {
            unreachable!("other blocks project their own");
        };
        let heads = |slot| {
            let rows: Tensor<2> = carried[&slot].clone();
            let length = rows.dims()[0] / self.batch;
            rows.reshape([self.batch, length, config.num_kv_heads, config.head_size])
        };
        (heads(Slot::Keys(layer)), heads(Slot::Values(layer)))
    }

    fn projections(&self, index: &AttentionIndex, input: Tensor<2>) -> Projected {
        let AttentionConfig {
            heads,
            num_kv_heads,
            head_size: size,
            ..
        } = index.config;
        let shape = |heads| [self.batch, self.length, heads, size];
        let project = |part, heads| self.linear(input.clone(), part).reshape(shape(heads));
        let [query, key, value] = match index.projections {
            ProjectionIndex::Gated { query, key, value } => {
                let whole = self.linear(input.clone(), query);
                let whole: Tensor<4> = whole.reshape([self.batch, self.length, heads, 2 * size]);
                let [query, gate] =
                    [0, 1].map(|part| self.apart(whole.clone().narrow(3, part * size, size)));
                return Projected {
                    query,
                    key_and_value: Some([key, value].map(|part| project(part, num_kv_heads))),
                    gate: Some(gate),
                };
            }
            ProjectionIndex::Separate { query, key, value } => {
                let query = project(query, heads);
                let key = key.map(|key| project(key, num_kv_heads));
                let key_and_value = key.map(|key| match value {
                    Some(value) => [key, project(value, num_kv_heads)],
                    None => [key.clone(), key],
                });
                return Projected {
                    query,
                    key_and_value,
                    gate: None,
                };
            }
            ProjectionIndex::Fused(fused) => {
                let whole = self.linear(input.clone(), fused);
                let mut first = 0;
                [heads, num_kv_heads, num_kv_heads].map(|heads| {
                    let part = whole.clone().narrow(1, first, heads * size);
                    first += heads * size;
                    self.apart(part).reshape(shape(heads))
                })
            }
            ProjectionIndex::FusedByHead(fused) => {
                let whole = self.linear(input.clone(), fused);
                let whole: Tensor<4> = whole.reshape([self.batch, self.length, heads, 3 * size]);
                [0, 1, 2].map(|part| self.apart(whole.clone().narrow(3, part * size, size)))
            }
        };
        Projected {
            query,
            key_and_value: Some([key, value]),
            gate: None,
        }
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

    fn qk_norm(&self, x: Tensor<4>, index: Option<NormIndex>) -> Tensor<4> {
        let Some(index) = index else { return x };
        let shape @ [batch, length, heads, size] = x.dims();
        let rows = match self.config.qk_norm {
            Some(QkNorm::Whole) => [batch * length, heads * size],
            _ => [batch * length * heads, size],
        };
        self.norm(x.reshape(rows), index).reshape(shape)
    }

    /// Applies the block's rotary embedding, if it has one.
    fn rotate(&self, config: &AttentionConfig, x: Tensor<4>) -> Tensor<4> {
        let Some((rotary, tables)) = config
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
        let size = config.head_size;
        if rotary.size == size {
            return rotated(x);
        }
        let low = rotated(x.clone().narrow(3, 0, rotary.size));
        let rest = x.narrow(3, rotary.size, size - rotary.size);
        Tensor::cat(vec![low, rest], 3)
    }
}
