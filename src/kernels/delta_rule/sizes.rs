//! Sizes and offsets of a delta rule on the CPU; mirrors `sweep.wgsl` of `shaders/delta_rule/`.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;

use crate::kernels::profile::Work;

/// Sizes of a delta rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub batch: usize,
    pub length: usize,
    /// Heads of values, gates and states.
    pub heads: usize,
    /// Heads of queries and keys; each serves `heads / key_heads` consecutive heads.
    pub key_heads: usize,
    pub key_size: usize,
    pub value_size: usize,
}

impl Sizes {
    pub(super) fn new(key: &FlexTensor, value: &FlexTensor) -> Self {
        let [batch, length, key_heads, key_size] = key.shape().dims();
        let [_, _, heads, value_size] = value.shape().dims();
        Self {
            batch,
            length,
            heads,
            key_heads,
            key_size,
            value_size,
        }
    }

    /// Returns the work of the forward pass: for every token, a state is decayed, read twice and written once.
    pub(super) fn forward_work(&self) -> Work {
        let tokens = (self.batch * self.length) as f64;
        let per_token = 2.0 * 3.0 * (self.heads * self.state()) as f64;
        let keys = 2 * self.key_heads * self.key_size;
        let values = self.batch * self.length * (keys + 2 * self.heads * (self.value_size + 1));
        Work {
            flops: tokens * per_token,
            ..Work::moving(values + 2 * self.batch * self.heads * self.state())
        }
    }

    /// Returns the work of the backward pass: the states again, and twice the products of the forward pass.
    pub(super) fn backward_work(&self) -> Work {
        let forward = self.forward_work();
        Work {
            flops: 3.0 * forward.flops,
            bytes: 2.0 * forward.bytes,
        }
    }

    /// Returns the number of heads per key head.
    pub(super) fn group(&self) -> usize {
        self.heads / self.key_heads
    }

    /// Returns the number of elements of a head's state.
    pub(super) fn state(&self) -> usize {
        self.key_size * self.value_size
    }

    /// Offset of a query's or key's head in \[batch, length, key_heads, key_size\].
    pub(super) fn key_at(&self, batch: usize, position: usize, head: usize) -> usize {
        ((batch * self.length + position) * self.key_heads + head) * self.key_size
    }

    /// Offset of a value's head in \[batch, length, heads, value_size\].
    pub(super) fn value_at(&self, batch: usize, position: usize, head: usize) -> usize {
        ((batch * self.length + position) * self.heads + head) * self.value_size
    }

    /// Offset of a head's decay in the gates \[batch, length, 2, heads\]; its beta is `heads` later.
    pub(super) fn decay_at(&self, batch: usize, position: usize, head: usize) -> usize {
        (batch * self.length + position) * 2 * self.heads + head
    }
}
