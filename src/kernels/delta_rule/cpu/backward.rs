//! Gradients; mirrors `value_gradient.wgsl`, `query_gradient.wgsl`, `key_gradient.wgsl` and
//! `gate_gradient.wgsl`.
//!
//! A first pass computes errors, deltas and the state before each chunk again, a second one, from the last chunk
//! to the first, the gradients.

use std::ops::Range;

use rayon::prelude::*;

use super::Rule;
use super::chunk::{Chunk, Gates, Overlaps};
use super::gradients::{ChunkGradients, Gradients, Head};
use super::rows::{add, add_row_products, decay_gradients, product, scale_rows, substitute, weigh};
use crate::kernels::gemm::{Matrix, Out, Threads, Update, multiply};

/// Memory of a task.
#[derive(Default)]
struct Work {
    overlaps: Overlaps,
    gates: Gates,
    buffers: [Vec<f32>; 2],
    /// States before each chunk \[chunks + 1, group, key_size, value_size\].
    states: Vec<f32>,
    /// Errors and deltas, \[group, count, value_size\] of each chunk.
    errors: Vec<f32>,
    deltas: Vec<f32>,
    /// Gradients of the states after a chunk \[group, key_size, value_size\].
    grad_states: Vec<f32>,
    grad: ChunkGradients,
}

impl Rule<'_> {
    /// Returns the gradients of query, key, value and gates.
    pub(super) fn gradients(&self, states: &[f32], upstream: &[f32]) -> [Vec<f32>; 4] {
        let sizes = &self.sizes;
        let inputs = [self.query, self.key, self.value, self.gates];
        let mut gradients = inputs.map(|input| vec![0.0; input.len()]);
        let [query, key, value, gates] = gradients
            .each_mut()
            .map(|gradient| Out::new(gradient.as_mut_ptr(), 1));
        let out = Gradients {
            query,
            key,
            value,
            gates,
        };
        states
            .par_chunks_exact(sizes.group() * sizes.state())
            .enumerate()
            .for_each_init(Work::default, |work, (task, states)| {
                let (batch, key_head) = (task / sizes.key_heads, task % sizes.key_heads);
                self.states(batch, key_head, states, work);
                work.grad_states.clear();
                work.grad_states.resize(states.len(), 0.0);
                for chunk in self.chunks(batch, key_head).rev() {
                    // SAFETY: the gradients have the inputs' shapes, and only this task has these heads.
                    unsafe { self.gradients_of_chunk(chunk, upstream, work, out) };
                }
            });
        gradients
    }

    /// Computes the states before each chunk, and errors and deltas.
    fn states(&self, batch: usize, key_head: usize, states: &[f32], work: &mut Work) {
        work.states.clear();
        work.states.extend_from_slice(states);
        let values = self.sizes.length * self.sizes.group() * self.sizes.value_size;
        work.errors.resize(values, 0.0);
        work.deltas.resize(values, 0.0);
        for chunk in self.chunks(batch, key_head) {
            self.overlaps(chunk, &mut work.overlaps);
            let before = work.states.len() - states.len();
            work.states.extend_from_within(before..);
            for (number, head) in self.heads(key_head).enumerate() {
                let state = &mut work.states[before + states.len()..][self.state_of(number)];
                let values = self.values_of(chunk, number);
                let (errors, deltas) = (&mut work.errors, &mut work.deltas);
                let (errors, deltas) = (&mut errors[values.clone()], &mut deltas[values]);
                self.gates(chunk, head, &mut work.gates);
                self.errors(
                    chunk,
                    &work.overlaps,
                    &work.gates,
                    state,
                    &mut work.buffers,
                    [errors, deltas],
                );
                self.advance(chunk, &work.gates, deltas, &mut work.buffers[0], state);
            }
        }
    }

    /// Returns the place of a head's state among those of its group.
    fn state_of(&self, number: usize) -> Range<usize> {
        let size = self.sizes.state();
        number * size..(number + 1) * size
    }

    /// Returns the place of a chunk's head in errors and deltas.
    fn values_of(&self, chunk: Chunk, number: usize) -> Range<usize> {
        let width = self.sizes.value_size;
        let first = (chunk.first * self.sizes.group() + number * chunk.count) * width;
        first..first + chunk.count * width
    }

    /// Computes the gradients of a chunk of a key head, and changes those of the states to those before it.
    ///
    /// # Safety
    ///
    /// The gradients have the inputs' shapes, and no other task writes those of the key head.
    unsafe fn gradients_of_chunk(
        &self,
        chunk: Chunk,
        upstream: &[f32],
        work: &mut Work,
        out: Gradients,
    ) {
        self.overlaps(chunk, &mut work.overlaps);
        for of_keys in [&mut work.grad.query, &mut work.grad.key] {
            of_keys.clear();
            of_keys.resize(chunk.count * self.sizes.key_size, 0.0);
        }
        let group = self.sizes.group() * self.sizes.state();
        let before = chunk.first / self.chunk * group;
        for (number, head) in self.heads(chunk.key_head).enumerate() {
            let values = self.values_of(chunk, number);
            let head = Head {
                chunk,
                head,
                upstream,
                state: &work.states[before..][self.state_of(number)],
                errors: &work.errors[values.clone()],
                deltas: &work.deltas[values],
            };
            self.gates(chunk, head.head, &mut work.gates);
            let (grad, gates, overlaps) = (&mut work.grad, &work.gates, &work.overlaps);
            let grad_state = &mut work.grad_states[self.state_of(number)];
            self.value_gradient(&head, overlaps, gates, grad_state, &mut work.buffers, grad);
            self.query_gradient(&head, gates, grad);
            let whole = self.key_gradient(&head, gates, grad_state, grad);
            self.state_gradient(&head, gates, grad_state, &mut work.buffers[0], grad);
            // SAFETY: as promised by the caller.
            unsafe { self.put_head(&head, overlaps, whole, grad, out) };
        }
        for token in 0..chunk.count {
            let position = chunk.first + token;
            let at = self.sizes.key_at(chunk.batch, position, chunk.key_head);
            let size = self.sizes.key_size;
            let row = token * size..(token + 1) * size;
            // SAFETY: as promised by the caller.
            unsafe {
                out.query.put_all(at, &work.grad.query[row.clone()]);
                out.key.put_all(at, &work.grad.key[row]);
            }
        }
    }

    /// Computes the gradients of deltas and values.
    fn value_gradient(
        &self,
        head: &Head<'_>,
        overlaps: &Overlaps,
        gates: &Gates,
        grad_state: &[f32],
        [scaled, pairs]: &mut [Vec<f32>; 2],
        grad: &mut ChunkGradients,
    ) {
        let (count, size, width) = self.sizes_of(head);
        grad.delta.resize(count * width, 0.0);
        grad.value.resize(count * width, 0.0);
        weigh(&overlaps.queries_keys, &gates.between, pairs);
        self.scaled_keys(self.key, head.chunk, gates.to_end(), scaled);
        let upstream = self.values(head.upstream, head.chunk, head.head);
        let within = Matrix::rows(pairs, 0, count).transpose();
        let keys = Matrix::rows(scaled, 0, size);
        let after = Matrix::rows(grad_state, 0, width);
        let out = Out::new(grad.delta.as_mut_ptr(), width);
        // SAFETY: all matrices have these sizes, and only this task has the gradients.
        unsafe {
            let of_pairs = [count, width, count];
            multiply(
                of_pairs,
                out,
                Update::REPLACE,
                within,
                upstream,
                Threads::One,
            );
            let of_state = [count, width, size];
            multiply(of_state, out, Update::ADD, keys, after, Threads::One);
        }
        weigh(&overlaps.keys_keys, &gates.between, pairs);
        substitute(pairs, &gates.betas, &mut grad.delta, &mut grad.value, true);
    }

    /// Adds the gradients of queries and keys that flow through the state before the chunk, and computes those of
    /// the products within it.
    fn query_gradient(&self, head: &Head<'_>, gates: &Gates, grad: &mut ChunkGradients) {
        let (count, size, width) = self.sizes_of(head);
        let chunk = head.chunk;
        let upstream = self.values(head.upstream, chunk, head.head);
        let of_value = Matrix::rows(&grad.value, 0, width);
        let state = Matrix::rows(head.state, 0, width).transpose();
        grad.since_start.clear();
        grad.since_start.resize(count, 0.0);
        grad.part.resize(count * size, 0.0);
        for (rows, sign, input, sum) in [
            (upstream, 1.0, self.query, &mut grad.query),
            (of_value, -1.0, self.key, &mut grad.key),
        ] {
            let out = Out::new(grad.part.as_mut_ptr(), size);
            // SAFETY: all matrices have these sizes, and only this task has the gradients.
            unsafe {
                multiply(
                    [count, size, width],
                    out,
                    Update {
                        adds: false,
                        factor: sign,
                    },
                    rows,
                    state,
                    Threads::One,
                )
            };
            scale_rows(&mut grad.part, &gates.since_start);
            self.add_products(input, chunk, &grad.part, &mut grad.since_start);
            add(sum, &grad.part);
        }
        let deltas = Matrix::rows(head.deltas, 0, width).transpose();
        for (rows, sign, of_pairs) in [
            (upstream, 1.0, &mut grad.queries_keys),
            (of_value, -1.0, &mut grad.keys_keys),
        ] {
            grad.part.resize(count * count, 0.0);
            let out = Out::new(grad.part.as_mut_ptr(), count);
            // SAFETY: as above.
            unsafe {
                multiply(
                    [count, count, width],
                    out,
                    Update {
                        adds: false,
                        factor: sign,
                    },
                    rows,
                    deltas,
                    Threads::One,
                )
            };
            weigh(&grad.part, &gates.between, of_pairs);
        }
        // A key's product with itself has no part in its error.
        for i in 0..count {
            grad.keys_keys[i * count + i] = 0.0;
        }
    }

    /// Adds the gradients of keys that flow through the state after the chunk, and those of queries and keys that
    /// flow through the products within it. Returns the derivative of the loss by the logarithm of the product of
    /// all decays.
    fn key_gradient(
        &self,
        head: &Head<'_>,
        gates: &Gates,
        grad_state: &[f32],
        grad: &mut ChunkGradients,
    ) -> f32 {
        let (count, size, width) = self.sizes_of(head);
        let chunk = head.chunk;
        grad.to_end.clear();
        grad.to_end.resize(count, 0.0);
        grad.part.resize(count * size, 0.0);
        let deltas = Matrix::rows(head.deltas, 0, width);
        let after = Matrix::rows(grad_state, 0, width).transpose();
        let out = Out::new(grad.part.as_mut_ptr(), size);
        // SAFETY: all matrices have these sizes, and only this task has the gradients.
        unsafe {
            multiply(
                [count, size, width],
                out,
                Update::REPLACE,
                deltas,
                after,
                Threads::One,
            )
        };
        scale_rows(&mut grad.part, gates.to_end());
        self.add_products(self.key, chunk, &grad.part, &mut grad.to_end);
        add(&mut grad.key, &grad.part);

        let [of_query, of_key] =
            [&mut grad.query, &mut grad.key].map(|of| Out::new(of.as_mut_ptr(), size));
        let [queries, keys] = [self.query, self.key].map(|of| self.keys(of, chunk));
        let [queries_keys, keys_keys] =
            [&grad.queries_keys, &grad.keys_keys].map(|of| Matrix::rows(of, 0, count));
        for (out, pairs, rows) in [
            (of_query, queries_keys, keys),
            (of_key, queries_keys.transpose(), queries),
            (of_key, keys_keys, keys),
            (of_key, keys_keys.transpose(), keys),
        ] {
            // SAFETY: as above.
            unsafe {
                multiply(
                    [count, size, count],
                    out,
                    Update::ADD,
                    pairs,
                    rows,
                    Threads::One,
                )
            };
        }
        gates.whole() * product(grad_state, head.state)
    }

    /// Changes the gradient of the state after the chunk to that of the state before it.
    fn state_gradient(
        &self,
        head: &Head<'_>,
        gates: &Gates,
        grad_state: &mut [f32],
        scaled: &mut Vec<f32>,
        grad: &ChunkGradients,
    ) {
        let (count, size, width) = self.sizes_of(head);
        scale_rows(grad_state, &[gates.whole()]);
        let upstream = self.values(head.upstream, head.chunk, head.head);
        let of_value = Matrix::rows(&grad.value, 0, width);
        for (input, sign, rows) in [(self.query, 1.0, upstream), (self.key, -1.0, of_value)] {
            self.scaled_keys(input, head.chunk, &gates.since_start, scaled);
            let columns = Matrix::rows(scaled, 0, size).transpose();
            let out = Out::new(grad_state.as_mut_ptr(), width);
            // SAFETY: all matrices have these sizes, and only this task has the gradient.
            unsafe {
                multiply(
                    [size, width, count],
                    out,
                    Update {
                        adds: true,
                        factor: sign,
                    },
                    columns,
                    rows,
                    Threads::One,
                )
            };
        }
    }

    /// Writes the gradients of values and gates.
    ///
    /// # Safety
    ///
    /// The gradients have the inputs' shapes, and no other task writes those of the head.
    unsafe fn put_head(
        &self,
        head: &Head<'_>,
        overlaps: &Overlaps,
        whole: f32,
        grad: &mut ChunkGradients,
        out: Gradients,
    ) {
        let (count, _, width) = self.sizes_of(head);
        let Chunk { batch, first, .. } = head.chunk;
        let mut betas = vec![0.0; count];
        add_row_products(&grad.delta, head.errors, &mut betas);
        let pairs = &mut grad.part;
        weigh(&grad.queries_keys, &overlaps.queries_keys, pairs);
        weigh(&grad.keys_keys, &overlaps.keys_keys, &mut grad.queries_keys);
        add(pairs, &grad.queries_keys);
        let decays = decay_gradients(pairs, &grad.since_start, &grad.to_end, whole);
        for token in 0..count {
            let value_at = self.sizes.value_at(batch, first + token, head.head);
            let decay_at = self.sizes.decay_at(batch, first + token, head.head);
            let row = token * width..(token + 1) * width;
            // SAFETY: as promised by the caller.
            unsafe {
                out.value.put_all(value_at, &grad.value[row]);
                out.gates.put(decay_at, decays[token]);
                out.gates.put(decay_at + self.sizes.heads, betas[token]);
            }
        }
    }

    /// Adds the product of each row of queries or keys with one of `rows`.
    fn add_products(&self, of: &[f32], chunk: Chunk, rows: &[f32], sums: &mut [f32]) {
        let rows = rows.chunks_exact(self.sizes.key_size);
        for ((token, row), sum) in rows.enumerate().zip(sums) {
            *sum += product(self.key_row(of, chunk, token), row);
        }
    }

    /// Returns the count of the chunk's tokens, and the sizes of keys and values.
    fn sizes_of(&self, head: &Head<'_>) -> (usize, usize, usize) {
        (head.chunk.count, self.sizes.key_size, self.sizes.value_size)
    }
}
