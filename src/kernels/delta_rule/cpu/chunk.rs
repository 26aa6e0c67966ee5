//! What the passes over the chunks of a delta rule share.

use super::Rule;
use super::rows::{scale_rows, substitute, weigh};
use crate::kernels::gemm::{Matrix, Out, Threads, Update, multiply};
use crate::kernels::vector::exp;

/// A chunk of the tokens of one key head.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    pub batch: usize,
    pub key_head: usize,
    /// Position of its first token.
    pub first: usize,
    /// Number of its tokens.
    pub count: usize,
}

/// The products of the keys and queries of a chunk \[count, count\].
#[derive(Default)]
pub(super) struct Overlaps {
    pub keys_keys: Vec<f32>,
    pub queries_keys: Vec<f32>,
}

/// The gates of a chunk's head.
#[derive(Default)]
pub(super) struct Gates {
    pub head: usize,
    /// Product of the decays after token j up to token i, 0 for j > i: \[count, count\].
    pub between: Vec<f32>,
    /// Product of the decays up to each token.
    pub since_start: Vec<f32>,
    pub betas: Vec<f32>,
}

impl Gates {
    /// Returns the product of the decays after each token.
    pub(super) fn to_end(&self) -> &[f32] {
        &self.between[self.between.len() - self.betas.len()..]
    }

    /// Returns the product of all decays.
    pub(super) fn whole(&self) -> f32 {
        self.since_start.last().copied().unwrap_or(1.0)
    }
}

impl Rule<'_> {
    /// Returns the chunks of a key head.
    pub(super) fn chunks(
        &self,
        batch: usize,
        key_head: usize,
    ) -> impl DoubleEndedIterator<Item = Chunk> + use<> {
        let (length, chunk) = (self.sizes.length, self.chunk);
        (0..length.div_ceil(chunk)).map(move |number| Chunk {
            batch,
            key_head,
            first: number * chunk,
            count: chunk.min(length - number * chunk),
        })
    }

    /// Returns the heads that a key head serves.
    pub(super) fn heads(&self, key_head: usize) -> std::ops::Range<usize> {
        let group = self.sizes.group();
        key_head * group..(key_head + 1) * group
    }

    /// Returns the chunk's rows \[count, key_size\] of queries or keys.
    pub(super) fn keys(&self, of: &[f32], chunk: Chunk) -> Matrix {
        let first = self.sizes.key_at(chunk.batch, chunk.first, chunk.key_head);
        Matrix::rows(of, first, self.sizes.key_heads * self.sizes.key_size)
    }

    /// Returns the chunk's row of queries or keys of a token.
    pub(super) fn key_row<'b>(&self, of: &'b [f32], chunk: Chunk, token: usize) -> &'b [f32] {
        let position = chunk.first + token;
        let first = self.sizes.key_at(chunk.batch, position, chunk.key_head);
        &of[first..first + self.sizes.key_size]
    }

    /// Returns the chunk's rows \[count, value_size\] of values or outputs.
    pub(super) fn values(&self, of: &[f32], chunk: Chunk, head: usize) -> Matrix {
        let first = self.sizes.value_at(chunk.batch, chunk.first, head);
        Matrix::rows(of, first, self.sizes.heads * self.sizes.value_size)
    }

    /// Computes the products of keys and queries.
    pub(super) fn overlaps(&self, chunk: Chunk, overlaps: &mut Overlaps) {
        let Chunk { count, .. } = chunk;
        let key = self.keys(self.key, chunk);
        let of_rows = [
            (&mut overlaps.keys_keys, key),
            (&mut overlaps.queries_keys, self.keys(self.query, chunk)),
        ];
        for (products, rows) in of_rows {
            products.resize(count * count, 0.0);
            let out = Out::new(products.as_mut_ptr(), count);
            let sizes = [count, count, self.sizes.key_size];
            // SAFETY: the chunk's rows are within the tensors, and the products have room for all pairs.
            unsafe {
                multiply(
                    sizes,
                    out,
                    Update::REPLACE,
                    rows,
                    key.transpose(),
                    Threads::One,
                )
            };
        }
    }

    /// Computes the decays between the chunk's tokens.
    ///
    /// As products, not as differences of sums of logarithms, which lose digits where decays are strong.
    pub(super) fn gates(&self, chunk: Chunk, head: usize, gates: &mut Gates) {
        let Chunk { count, .. } = chunk;
        gates.head = head;
        gates.between.clear();
        gates.between.resize(count * count, 0.0);
        gates.since_start.clear();
        gates.betas.clear();
        let mut since_start = 1.0;
        for i in 0..count {
            let at = self.sizes.decay_at(chunk.batch, chunk.first + i, head);
            let decay = exp(self.gates[at]);
            since_start *= decay;
            gates.since_start.push(since_start);
            gates.betas.push(self.gates[at + self.sizes.heads]);
            let (before, row) = gates.between.split_at_mut(i * count);
            if let Some(previous) = before.rchunks(count).next() {
                for (weight, previous) in row[..i].iter_mut().zip(previous) {
                    *weight = previous * decay;
                }
            }
            row[i] = 1.0;
        }
    }

    /// Copies the chunk's rows of queries or keys, times a factor each.
    pub(super) fn scaled_keys(
        &self,
        of: &[f32],
        chunk: Chunk,
        factors: &[f32],
        scaled: &mut Vec<f32>,
    ) {
        scaled.clear();
        for token in 0..chunk.count {
            scaled.extend_from_slice(self.key_row(of, chunk, token));
        }
        scale_rows(scaled, factors);
    }

    /// Computes the errors e = v - (decayed state)ᵀ k \[count, value_size\] of the chunk's tokens from the state
    /// before them, and the deltas β e.
    ///
    /// The errors solve a triangular system: those of a token are what its value differs by from what the state
    /// before the chunk and the deltas of the chunk's earlier tokens have for its key.
    pub(super) fn errors(
        &self,
        chunk: Chunk,
        overlaps: &Overlaps,
        gates: &Gates,
        state: &[f32],
        [scaled, pairs]: &mut [Vec<f32>; 2],
        [errors, deltas]: [&mut [f32]; 2],
    ) {
        let (count, width) = (chunk.count, self.sizes.value_size);
        for (token, row) in errors.chunks_exact_mut(width).enumerate() {
            let first = self
                .sizes
                .value_at(chunk.batch, chunk.first + token, gates.head);
            row.copy_from_slice(&self.value[first..first + width]);
        }
        self.scaled_keys(self.key, chunk, &gates.since_start, scaled);
        let keys = Matrix::rows(scaled, 0, self.sizes.key_size);
        let out = Out::new(errors.as_mut_ptr(), width);
        let sizes = [count, width, self.sizes.key_size];
        let state = Matrix::rows(state, 0, width);
        // SAFETY: all matrices have these sizes, and only this task has the errors.
        unsafe {
            multiply(
                sizes,
                out,
                Update {
                    adds: true,
                    factor: -1.0,
                },
                keys,
                state,
                Threads::One,
            )
        };
        weigh(&overlaps.keys_keys, &gates.between, pairs);
        substitute(pairs, &gates.betas, errors, deltas, false);
    }

    /// Changes a state to that after the chunk.
    pub(super) fn advance(
        &self,
        chunk: Chunk,
        gates: &Gates,
        deltas: &[f32],
        scaled: &mut Vec<f32>,
        state: &mut [f32],
    ) {
        let (count, size, width) = (chunk.count, self.sizes.key_size, self.sizes.value_size);
        scale_rows(state, &[gates.whole()]);
        self.scaled_keys(self.key, chunk, gates.to_end(), scaled);
        let keys = Matrix::rows(scaled, 0, size).transpose();
        let out = Out::new(state.as_mut_ptr(), width);
        let deltas = Matrix::rows(deltas, 0, width);
        // SAFETY: all matrices have these sizes, and only this task has the state.
        unsafe {
            let sizes = [size, width, count];
            multiply(sizes, out, Update::ADD, keys, deltas, Threads::One);
        }
    }
}
