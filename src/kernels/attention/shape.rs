//! Sizes and offsets of an attention on the CPU; mirrors `shape.wgsl` and `keys.wgsl` of
//! `shaders/attention/`.

use std::ops::Range;

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::AttentionMask;

/// Positions per task where results are collected.
const POSITIONS_PER_TASK: usize = 64;

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
    pub(super) fn new(query: &FlexTensor, key: &FlexTensor, mask: AttentionMask) -> Self {
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

    /// Returns the number of query heads per key head.
    pub(super) fn group(&self) -> usize {
        self.heads / self.num_kv_heads
    }

    /// Returns sample and key head of each task.
    pub(super) fn tasks(&self) -> impl IndexedParallelIterator<Item = (usize, usize)> + use<> {
        let num_kv_heads = self.num_kv_heads;
        (0..self.batch * num_kv_heads)
            .into_par_iter()
            .map(move |task| (task / num_kv_heads, task % num_kv_heads))
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

    /// Returns keys or values of one head as \[size, key_length\].
    pub(super) fn transposed(&self, keys: &[f32], batch: usize, head: usize) -> Vec<f32> {
        let mut transposed = vec![0.0; self.size * self.key_length];
        for position in 0..self.key_length {
            let at = self.key_at(batch, position, head);
            for (i, &x) in keys[at..at + self.size].iter().enumerate() {
                transposed[i * self.key_length + position] = x;
            }
        }
        transposed
    }

    /// Collects each task's gradients \[size, key_length\] into \[batch, key_length, num_kv_heads, size\].
    pub(super) fn untransposed(&self, parts: &[&[f32]]) -> Vec<f32> {
        let mut whole = vec![0.0; self.batch * self.key_length * self.num_kv_heads * self.size];
        let row = self.num_kv_heads * self.size;
        whole
            .par_chunks_mut(row)
            .with_min_len(POSITIONS_PER_TASK)
            .enumerate()
            .for_each(|(at, whole)| {
                let (batch, position) = (at / self.key_length, at % self.key_length);
                for (head, whole) in whole.chunks_exact_mut(self.size).enumerate() {
                    let part = parts[batch * self.num_kv_heads + head];
                    for (i, x) in whole.iter_mut().enumerate() {
                        *x = part[i * self.key_length + position];
                    }
                }
            });
        whole
    }

    /// Collects each task's results \[group, length, size\] into \[batch, length, heads, size\].
    pub(super) fn ungrouped(&self, parts: &[&[f32]]) -> Vec<f32> {
        let mut whole = vec![0.0; self.batch * self.length * self.heads * self.size];
        let row = self.heads * self.size;
        whole
            .par_chunks_mut(row)
            .with_min_len(POSITIONS_PER_TASK)
            .enumerate()
            .for_each(|(at, whole)| {
                let (batch, position) = (at / self.length, at % self.length);
                for (head, whole) in whole.chunks_exact_mut(self.size).enumerate() {
                    let part = parts[batch * self.num_kv_heads + head / self.group()];
                    let from = (head % self.group() * self.length + position) * self.size;
                    whole.copy_from_slice(&part[from..from + self.size]);
                }
            });
        whole
    }
}
