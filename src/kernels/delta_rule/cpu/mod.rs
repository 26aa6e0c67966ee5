//! The gated delta rule on the CPU: what the shaders of `shaders/delta_rule/` compute token by token, for a chunk
//! of tokens at a time, in matrix products (section 3.3 of arXiv:2412.06464).
//!
//! Each task has the heads of one key head, so that the order of every sum is independent of the number of
//! threads.

mod backward;
mod chunk;
mod forward;
mod gradients;
mod rows;

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;

use super::DeltaRuleBackend;
use super::sizes::Sizes;
use crate::kernels::flex_tensor;
use crate::kernels::profile::{self, Operation};

/// Tokens per chunk. More of them are fewer passes over the states, and more products within the chunk.
const CHUNK: usize = 32;

/// The inputs of a delta rule.
#[derive(Clone, Copy)]
struct Rule<'a> {
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
    gates: &'a [f32],
    sizes: Sizes,
    /// Tokens per chunk.
    chunk: usize,
}

impl<'a> Rule<'a> {
    /// Returns the delta rule of contiguous tensors.
    fn new(
        query: &'a FlexTensor,
        key: &'a FlexTensor,
        value: &'a FlexTensor,
        gates: &'a FlexTensor,
    ) -> Self {
        Self {
            query: query.storage(),
            key: key.storage(),
            value: value.storage(),
            gates: gates.storage(),
            sizes: Sizes::new(key, value),
            chunk: CHUNK,
        }
    }
}

impl DeltaRuleBackend for Flex {
    fn delta_rule(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        gates: FlexTensor,
        state: FlexTensor,
    ) -> (FlexTensor, FlexTensor) {
        let [query, key, value, gates] =
            [query, key, value, gates].map(|tensor| tensor.to_contiguous());
        let mut state = state.to_contiguous();
        let rule = Rule::new(&query, &key, &value, &gates);
        let _span = profile::operation(Operation::DeltaRule, || rule.sizes.forward_work());
        let out = rule.forward(state.storage_mut());
        (flex_tensor(out, value.shape()), state)
    }

    fn delta_rule_backward(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        gates: FlexTensor,
        state: FlexTensor,
        upstream: FlexTensor,
    ) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
        let [query, key, value, gates, state, upstream] =
            [query, key, value, gates, state, upstream].map(|tensor| tensor.to_contiguous());
        let rule = Rule::new(&query, &key, &value, &gates);
        let _span = profile::operation(Operation::DeltaRule, || rule.sizes.backward_work());
        let [grad_query, grad_key, grad_value, grad_gates] =
            rule.gradients(state.storage(), upstream.storage());
        (
            flex_tensor(grad_query, query.shape()),
            flex_tensor(grad_key, key.shape()),
            flex_tensor(grad_value, value.shape()),
            flex_tensor(grad_gates, gates.shape()),
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn values(length: usize, seed: usize) -> Vec<f32> {
        (0..length)
            .map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0)
            .collect()
    }

    /// Outputs, last state and gradients with chunks of that many tokens.
    fn with_chunk(chunk: usize) -> Vec<Vec<f32>> {
        let sizes = Sizes {
            batch: 2,
            length: 37,
            heads: 4,
            key_heads: 2,
            key_size: 6,
            value_size: 10,
        };
        let tokens = sizes.batch * sizes.length;
        let [mut query, mut key] =
            [1, 2].map(|seed| values(tokens * sizes.key_heads * sizes.key_size, seed));
        for x in query.iter_mut().chain(&mut key) {
            *x *= 0.5;
        }
        let value = values(tokens * sizes.heads * sizes.value_size, 3);
        let mut gates = values(tokens * 2 * sizes.heads, 4);
        for gates in gates.chunks_mut(2 * sizes.heads) {
            let (decays, betas) = gates.split_at_mut(sizes.heads);
            decays.iter_mut().for_each(|g| *g = (*g - 1.0) * 0.5);
            betas.iter_mut().for_each(|beta| *beta = 0.5 + *beta / 2.0);
        }
        // A segment starts in the middle.
        for head in 0..sizes.heads {
            gates[sizes.decay_at(0, 17, head)] = super::super::RESTART;
        }
        let rule = Rule {
            query: &query,
            key: &key,
            value: &value,
            gates: &gates,
            sizes,
            chunk,
        };
        let mut state = values(sizes.batch * sizes.heads * sizes.state(), 5);
        let upstream = values(value.len(), 6);
        let gradients = rule.gradients(&state, &upstream);
        let out = rule.forward(&mut state);
        [vec![out, state], gradients.to_vec()].concat()
    }

    #[test]
    fn chunks_differ_only_by_rounding() {
        let expected = with_chunk(1);
        for chunk in [2, 3, 8, 17, 32, 37, 64] {
            for (which, (expected, found)) in expected.iter().zip(with_chunk(chunk)).enumerate() {
                let largest = expected.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
                for (a, b) in expected.iter().zip(found) {
                    let error = (a - b).abs() / largest;
                    assert!(error < 2e-6, "chunk {chunk}, result {which}: {a} and {b}");
                }
            }
        }
    }
}
