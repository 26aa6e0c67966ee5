//! Attention blocks.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use super::Pass;
use crate::kernels::attention::{AttentionMask, causal_attention};
use crate::kernels::rotary::rotate;
use crate::model::cache::LayerCache;
use crate::model::config::{AttentionConfig, QkNorm};
use crate::model::parameter_index::{AttentionIndex, NormIndex, ProjectionIndex};
use crate::model::rotary::neighbours_apart;

impl Pass<'_> {
    /// Returns the output of an attention block for x \[rows, width\].
    pub(super) fn attention(
        &self,
        index: &AttentionIndex,
        input: Tensor<2>,
        cache: Option<&mut LayerCache>,
    ) -> Tensor<2> {
        let config = &index.config;
        let ([query, key, value], gate) = self.projections(index, input);
        let rotated = |x, norm| match self.config.qk_norm {
            Some(QkNorm::RotatedHeads) => self.qk_norm(self.rotate(config, x), norm),
            _ => self.rotate(config, self.qk_norm(x, norm)),
        };
        let mut query = rotated(query, index.query_norm);
        let mut key = rotated(key, index.key_norm);
        let mut value = value;
        if let Some(factors) = &self.query_factors {
            let factors = Tensor::<4>::from_data(factors.clone(), &query.device());
            query = query * factors;
        }
        if let Some(cache) = cache {
            (key, value) = cache.append(key, value);
        }
        let mask = AttentionMask {
            window: config.window,
            segment_starts: self.segment_starts.clone(),
        };
        let width = config.heads * self.config.head_size;
        let attended = causal_attention(self.implementation, query, key, value, config.scale, mask)
            .reshape([self.batch * self.length, width]);
        let attended = match gate {
            None => attended,
            Some(gate) => attended * sigmoid(gate).reshape([self.batch * self.length, width]),
        };
        self.linear(attended, index.output)
    }

    /// Returns queries, keys and values, and the gates of the outputs if there are some, each
    /// \[batch, length, heads, size\].
    fn projections(
        &self,
        index: &AttentionIndex,
        input: Tensor<2>,
    ) -> ([Tensor<4>; 3], Option<Tensor<4>>) {
        let size = self.config.head_size;
        let AttentionConfig {
            heads,
            num_kv_heads,
            ..
        } = index.config;
        let heads = [heads, num_kv_heads, num_kv_heads];
        let shape = |heads| [self.batch, self.length, heads, size];
        let parts = match index.projections {
            ProjectionIndex::Gated { query, key, value } => {
                let whole = self.linear(input.clone(), query);
                let whole: Tensor<4> = whole.reshape([self.batch, self.length, heads[0], 2 * size]);
                let [query, gate] =
                    [0, 1].map(|part| self.apart(whole.clone().narrow(3, part * size, size)));
                let [key, value] = [(key, heads[1]), (value, heads[2])]
                    .map(|(part, heads)| self.linear(input.clone(), part).reshape(shape(heads)));
                return ([query, key, value], Some(gate));
            }
            ProjectionIndex::Separate { query, key, value } => {
                let parts = [(query, heads[0]), (key, heads[1]), (value, heads[2])];
                parts.map(|(part, heads)| self.linear(input.clone(), part).reshape(shape(heads)))
            }
            ProjectionIndex::Fused(fused) => {
                let whole = self.linear(input, fused);
                let mut first = 0;
                heads.map(|heads| {
                    let part = whole.clone().narrow(1, first, heads * size);
                    first += heads * size;
                    self.apart(part).reshape(shape(heads))
                })
            }
            ProjectionIndex::FusedByHead(fused) => {
                let whole = self.linear(input, fused);
                let whole: Tensor<4> = whole.reshape([self.batch, self.length, heads[0], 3 * size]);
                [0, 1, 2].map(|part| self.apart(whole.clone().narrow(3, part * size, size)))
            }
        };
        (parts, None)
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
        let size = self.config.head_size;
        if rotary.size == size {
            return rotated(x);
        }
        let low = rotated(x.clone().narrow(3, 0, rotary.size));
        let rest = x.narrow(3, rotary.size, size - rotary.size);
        Tensor::cat(vec![low, rest], 3)
    }
}
