//! Outputs and states; mirrors `forward.wgsl`.

use rayon::prelude::*;

use super::Rule;
use super::chunk::{Chunk, Gates, Overlaps};
use super::rows::weigh;
use crate::kernels::gemm::{Matrix, Out, Threads, Update, multiply, written};

/// Memory of a task.
#[derive(Default)]
struct Work {
    overlaps: Overlaps,
    gates: Gates,
    buffers: [Vec<f32>; 2],
    errors: Vec<f32>,
    deltas: Vec<f32>,
}

impl Rule<'_> {
    /// Returns the outputs, and changes the states \[batch, heads, key_size, value_size\] from those before the
    /// first token to those after the last.
    pub(super) fn forward(&self, states: &mut [f32]) -> Vec<f32> {
        let sizes = &self.sizes;
        // SAFETY: every head of every token is written, by one task.
        unsafe {
            written(self.value.len(), |out| {
                let out = Out::new(out, sizes.heads * sizes.value_size);
                states
                    .par_chunks_exact_mut(sizes.group() * sizes.state())
                    .enumerate()
                    .for_each_init(Work::default, |work, (task, states)| {
                        let (batch, key_head) = (task / sizes.key_heads, task % sizes.key_heads);
                        for chunk in self.chunks(batch, key_head) {
                            self.overlaps(chunk, &mut work.overlaps);
                            let states = states.chunks_exact_mut(sizes.state());
                            for (head, state) in self.heads(key_head).zip(states) {
                                self.forward_chunk(chunk, head, work, state, out);
                            }
                        }
                    });
            })
        }
    }

    /// Computes the outputs of a chunk's head, and changes its state to that after the chunk.
    ///
    /// # Safety
    ///
    /// `out` has the values' shape, and no other task writes this part.
    unsafe fn forward_chunk(
        &self,
        chunk: Chunk,
        head: usize,
        work: &mut Work,
        state: &mut [f32],
        out: Out,
    ) {
        let (count, size, width) = (chunk.count, self.sizes.key_size, self.sizes.value_size);
        let Work {
            overlaps,
            gates,
            buffers,
            errors,
            deltas,
        } = work;
        self.gates(chunk, head, gates);
        errors.resize(count * width, 0.0);
        deltas.resize(count * width, 0.0);
        self.errors(chunk, overlaps, gates, state, buffers, [errors, deltas]);

        let [scaled, pairs] = buffers;
        self.scaled_keys(self.query, chunk, &gates.since_start, scaled);
        weigh(&overlaps.queries_keys, &gates.between, pairs);
        let queries = Matrix::rows(scaled, 0, size);
        let pairs = Matrix::rows(pairs, 0, count);
        let [before, within] = [state as &[f32], deltas].map(|of| Matrix::rows(of, 0, width));
        // SAFETY: all matrices have these sizes; for `out` as promised by the caller.
        unsafe {
            let out = out.from(self.sizes.value_at(chunk.batch, chunk.first, head));
            let of_state = [count, width, size];
            multiply(
                of_state,
                out,
                Update::REPLACE,
                queries,
                before,
                Threads::One,
            );
            let of_pairs = [count, width, count];
            multiply(of_pairs, out, Update::ADD, pairs, within, Threads::One);
        }
        self.advance(chunk, gates, deltas, scaled, state);
    }
}
