//! Sizes and offsets of an attention; mirrors `shape.wgsl` and `keys.wgsl` of
//! `shaders/attention/`.

use std::ops::Range;

use burn::backend::TensorMetadata;

use super::AttentionMask;
use crate::kernels::profile::Work;

/// Sizes of an attention, and its mask.
#[derive(Clone, Debug)]
pub(super) struct AttentionShape {
    pub batch: usize,
    /// Positions of the queries, which are the last of the keys' positions.
    pub length: usize,
    /// Positions of keys and values.
    pub key_length: usize,
    pub heads: usize,
    /// Heads of keys and values; each serves `heads / num_kv_heads` consecutive query heads.
    pub num_kv_heads: usize,
    pub size: usize,
    pub mask: AttentionMask,
}

impl AttentionShape {
    pub(super) fn new<T: TensorMetadata>(query: &T, key: &T, mask: AttentionMask) -> Self {
        let [batch, length, heads, size] = query.shape().dims();
        let [_, key_length, num_kv_heads, _] = key.shape().dims();
        Self {
            batch,
            length,
            key_length,
            heads,
            num_kv_heads,
            size,
            mask,
        }
    }

    /// Returns the work of `products` products of matrices with an entry per query and key that it attends to,
    /// and of reading or writing `queries` tensors of the query's shape and `keys` of the key's.
    fn work(&self, products: usize, queries: usize, keys: usize) -> Work {
        let positions = (0..self.batch).flat_map(|batch| (0..self.length).map(move |i| (batch, i)));
        let pairs: usize = positions.map(|(batch, i)| self.seen(batch, i).len()).sum();
        let of_queries = self.batch * self.length * self.heads * self.size;
        let of_keys = self.batch * self.key_length * self.num_kv_heads * self.size;
        Work {
            flops: (2 * products * pairs * self.heads * self.size) as f64,
            ..Work::moving(queries * of_queries + keys * of_keys)
        }
    }

    /// Returns the work of the forward pass: scores and their product with the values.
    pub(super) fn forward_work(&self) -> Work {
        self.work(2, 2, 2)
    }

    /// Returns the work of the backward pass: the scores again, and four gradients.
    pub(super) fn backward_work(&self) -> Work {
        self.work(5, 3, 4)
    }

    /// Returns the number of query heads per key head.
    pub(super) fn group(&self) -> usize {
        self.heads / self.num_kv_heads
    }

    /// Offset of a query's head in \[batch, length, heads, size\].
    pub(super) fn query_at(&self, batch: usize, position: usize, head: usize) -> usize {
        ((batch * self.length + position) * self.heads + head) * self.size
    }

    /// Offset of a key's or value's head in \[batch, key_length, num_kv_heads, size\].
    pub(super) fn key_at(&self, batch: usize, position: usize, head: usize) -> usize {
        ((batch * self.key_length + position) * self.num_kv_heads + head) * self.size
    }

    /// One past the last key that the query at a position attends to.
    fn end_seen(&self, position: usize) -> usize {
        self.key_length - self.length + position + 1
    }

    /// The first key that the query at a position attends to.
    fn first_seen(&self, batch: usize, position: usize) -> usize {
        let query = batch * self.length + position;
        self.mask.first_seen(query, self.end_seen(position))
    }

    /// The keys that the query at a position attends to.
    pub(super) fn seen(&self, batch: usize, position: usize) -> Range<usize> {
        self.first_seen(batch, position)..self.end_seen(position)
    }
}
