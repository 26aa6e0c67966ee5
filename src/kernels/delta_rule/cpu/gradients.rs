//! What the passes of the gradients have in memory.

use super::chunk::Chunk;
use crate::kernels::gemm::Out;

/// Gradients of a chunk.
#[derive(Default)]
pub(super) struct ChunkGradients {
    /// Of queries and keys, for all heads of the group \[count, key_size\].
    pub(super) query: Vec<f32>,
    pub(super) key: Vec<f32>,
    /// A part of one of them.
    pub(super) part: Vec<f32>,
    /// Of deltas and values \[count, value_size\].
    pub(super) delta: Vec<f32>,
    pub(super) value: Vec<f32>,
    /// Of the products of queries with keys, and of keys with keys \[count, count\].
    pub(super) queries_keys: Vec<f32>,
    pub(super) keys_keys: Vec<f32>,
    /// By the logarithms of the decays up to each token, and after each token.
    pub(super) since_start: Vec<f32>,
    pub(super) to_end: Vec<f32>,
}

/// The gradients of the inputs.
#[derive(Clone, Copy)]
pub(super) struct Gradients {
    pub(super) query: Out,
    pub(super) key: Out,
    pub(super) value: Out,
    pub(super) gates: Out,
}

/// A head of a chunk.
pub(super) struct Head<'a> {
    pub(super) chunk: Chunk,
    pub(super) head: usize,
    pub(super) upstream: &'a [f32],
    /// The state before the chunk.
    pub(super) state: &'a [f32],
    pub(super) errors: &'a [f32],
    pub(super) deltas: &'a [f32],
}
