//! Attention on the CPU: the formulas of `forward.wgsl`, `query_gradient.wgsl` and `key_gradient.wgsl` of
//! `shaders/attention/`, for a block of queries of one head at a time, whose products are matrix products.
//!
//! Heads are read and written where they are. Both gradients are computed in one pass. The order of every sum
//! is independent of the number of threads.

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use rayon::prelude::*;

use super::rows::{
    cap_scores, combine, normalize, score_gradients, scores_of, slopes_of, softmax_weights,
};
use super::shape::AttentionShape;
use super::{AttentionBackend, AttentionMask, Scores};
use crate::kernels::flex_tensor;
use crate::kernels::gemm::{Matrix, Out, Threads, Update, multiply, written};
use crate::kernels::profile::{self, Operation};

/// Queries per block: few enough that little is computed for keys after a query's own position.
const QUERIES: usize = 64;
/// Queries up to which each is computed on its own, as when a text is generated.
const FEW_QUERIES: usize = 4;

impl AttentionBackend for Flex {
    fn causal_attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        scores: Scores,
        mask: AttentionMask,
    ) -> FlexTensor {
        let shape = AttentionShape::new(&query, &key, mask);
        let _span = profile::operation(Operation::Attention, || shape.forward_work());
        let [query, key, value] = [query, key, value].map(|tensor| tensor.to_contiguous());
        let heads = Heads {
            query: query.storage(),
            key: key.storage(),
            value: value.storage(),
            shape: &shape,
            scores,
        };
        flex_tensor(heads.attention(), query.shape())
    }

    fn causal_attention_backward(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        scores: Scores,
        mask: AttentionMask,
        upstream: FlexTensor,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let shape = AttentionShape::new(&query, &key, mask);
        let _span = profile::operation(Operation::Attention, || shape.backward_work());
        let [query, key, value, upstream] =
            [query, key, value, upstream].map(|tensor| tensor.to_contiguous());
        let heads = Heads {
            query: query.storage(),
            key: key.storage(),
            value: value.storage(),
            shape: &shape,
            scores,
        };
        let [grad_query, grad_key, grad_value] = heads.gradients(upstream.storage());
        (
            flex_tensor(grad_query, query.shape()),
            flex_tensor(grad_key, key.shape()),
            flex_tensor(grad_value, value.shape()),
        )
    }
}

/// The inputs of an attention.
struct Heads<'a> {
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
    shape: &'a AttentionShape,
    scores: Scores,
}

/// Working memory for the gradients of a block, each \[count, width\].
#[derive(Default)]
struct Buffers {
    weights: Vec<f32>,
    /// Derivatives of the scores by the scaled products, if scores have a soft cap.
    slopes: Vec<f32>,
    grad_scores: Vec<f32>,
}

/// A block of queries of one head.
#[derive(Clone, Copy)]
struct Block {
    batch: usize,
    head: usize,
    key_head: usize,
    /// Position of its first query.
    first: usize,
    /// Number of its queries.
    count: usize,
    /// The keys that any of its queries attends to.
    keys: (usize, usize),
}

impl Block {
    fn width(self) -> usize {
        self.keys.1 - self.keys.0
    }
}

impl Heads<'_> {
    /// Returns the attention, which has the query's shape.
    fn attention(&self) -> Vec<f32> {
        let shape = self.shape;
        // SAFETY: every head of every position is written, by one task.
        unsafe {
            written(self.query.len(), |out| {
                let out = Out::new(out, shape.heads * shape.size);
                (0..shape.batch * shape.heads)
                    .into_par_iter()
                    .for_each_init(Vec::new, |scores, task| {
                        let (batch, head) = (task / shape.heads, task % shape.heads);
                        if shape.length <= FEW_QUERIES {
                            for position in 0..shape.length {
                                self.attend_alone([batch, position, head], scores, out);
                            }
                            return;
                        }
                        for block in self.blocks(batch, head) {
                            self.attend(block, scores, out);
                        }
                    });
            })
        }
    }

    /// Computes the attention of a query.
    ///
    /// # Safety
    ///
    /// `out` has the query's shape, and no other task writes this part.
    unsafe fn attend_alone(
        &self,
        [batch, position, head]: [usize; 3],
        weights: &mut Vec<f32>,
        out: Out,
    ) {
        let shape = self.shape;
        let key_head = head / shape.group();
        let at = shape.query_at(batch, position, head);
        let seen = shape.seen(batch, position);
        weights.resize(seen.len(), 0.0);
        let first = shape.key_at(batch, seen.start, key_head);
        let row = shape.num_kv_heads * shape.size;
        scores_of(
            &self.query[at..at + shape.size],
            &self.key[first..],
            row,
            weights,
        );
        let scale = self.cap(weights);
        let inverse = softmax_weights(weights, scale);
        let mut attended = vec![0.0; shape.size];
        combine(weights, inverse, &self.value[first..], row, &mut attended);
        for (i, &value) in attended.iter().enumerate() {
            // SAFETY: as promised by the caller.
            unsafe { out.put(at + i, value) };
        }
    }

    /// Computes the attention of a block of queries.
    ///
    /// # Safety
    ///
    /// As [`Self::attend_alone`].
    unsafe fn attend(&self, block: Block, weights: &mut Vec<f32>, out: Out) {
        let size = self.shape.size;
        // SAFETY: the block's queries and keys are within the tensors.
        unsafe {
            self.weights(block, weights, None);
            multiply(
                [block.count, size, block.width()],
                out.from(self.query_at(block)),
                Update::REPLACE,
                Matrix::rows(weights, 0, block.width()),
                self.keys(self.value, block),
                Threads::One,
            );
        }
    }

    /// Returns the gradients of query, key and value.
    fn gradients(&self, upstream: &[f32]) -> [Vec<f32>; 3] {
        let shape = self.shape;
        let [mut grad_key, mut grad_value] = [self.key, self.value].map(|of| vec![0.0; of.len()]);
        let keys_and_values = [&mut grad_key, &mut grad_value]
            .map(|gradient| Out::new(gradient.as_mut_ptr(), shape.num_kv_heads * shape.size));
        // SAFETY: every head of every query is written, by one task; a head of keys and values, too, is written
        // by one task.
        let grad_query = unsafe {
            written(self.query.len(), |grad_query| {
                let grad_query = Out::new(grad_query, shape.heads * shape.size);
                let [grad_key, grad_value] = keys_and_values;
                (0..shape.batch * shape.num_kv_heads)
                    .into_par_iter()
                    .for_each_init(Default::default, |buffers: &mut Buffers, task| {
                        let (batch, key_head) =
                            (task / shape.num_kv_heads, task % shape.num_kv_heads);
                        for head in (0..shape.group()).map(|i| key_head * shape.group() + i) {
                            for block in self.blocks(batch, head) {
                                let out = [grad_query, grad_key, grad_value];
                                self.add_gradients(block, upstream, buffers, out);
                            }
                        }
                    });
            })
        };
        [grad_query, grad_key, grad_value]
    }

    /// Computes the gradient of a block of queries, and adds its parts of those of keys and values.
    ///
    /// # Safety
    ///
    /// The gradients have the shapes of query, key and value, and no other task writes these parts.
    unsafe fn add_gradients(
        &self,
        block: Block,
        upstream: &[f32],
        Buffers {
            weights,
            slopes,
            grad_scores,
        }: &mut Buffers,
        [grad_query, grad_key, grad_value]: [Out; 3],
    ) {
        let Block { count, .. } = block;
        let (width, size) = (block.width(), self.shape.size);
        let of_queries = |values| Matrix::rows(values, self.query_at(block), self.query_row());
        let (query, upstream) = (of_queries(self.query), of_queries(upstream));
        let (key, value) = (self.keys(self.key, block), self.keys(self.value, block));
        grad_scores.resize(count * width, 0.0);
        // SAFETY: the block's queries and keys are within the tensors.
        unsafe {
            self.weights(block, weights, Some(slopes));
            let scores = Out::new(grad_scores.as_mut_ptr(), width);
            let (all, one) = ([count, width, size], Threads::One);
            multiply(
                all,
                scores,
                Update::REPLACE,
                upstream,
                value.transpose(),
                one,
            );
        }
        for i in 0..count {
            let seen = self.seen(block, i);
            let row = i * width..(i + 1) * width;
            let gradients = &mut grad_scores[row.clone()];
            score_gradients(&weights[row.clone()], gradients, seen, self.scores.scale);
            if self.scores.soft_cap.is_some() {
                let slopes = &slopes[row][seen.0..seen.1];
                let gradients = gradients[seen.0..seen.1].iter_mut();
                gradients
                    .zip(slopes)
                    .for_each(|(gradient, slope)| *gradient *= slope);
            }
        }
        let [weights, grad_scores] = [weights, grad_scores].map(|of| Matrix::rows(of, 0, width));
        let first_key = self.shape.key_at(block.batch, block.keys.0, block.key_head);
        let to_queries = [count, size, width];
        let to_keys = [width, size, count];
        // SAFETY: as above, and as promised by the caller.
        unsafe {
            let (one, query_at) = (Threads::One, self.query_at(block));
            multiply(
                to_queries,
                grad_query.from(query_at),
                Update::REPLACE,
                grad_scores,
                key,
                one,
            );
            let [grad_key, grad_value] = [grad_key, grad_value].map(|out| out.from(first_key));
            multiply(
                to_keys,
                grad_key,
                Update::ADD,
                grad_scores.transpose(),
                query,
                one,
            );
            multiply(
                to_keys,
                grad_value,
                Update::ADD,
                weights.transpose(),
                upstream,
                one,
            );
        }
    }

    /// Applies the soft cap to the products of a query with the keys that it attends to. Returns the factor
    /// that the scores lack.
    fn cap(&self, products: &mut [f32]) -> f32 {
        match self.scores.soft_cap {
            None => self.scores.scale,
            Some(cap) => {
                cap_scores(products, self.scores.scale, cap);
                1.0
            }
        }
    }

    /// Computes the attention weights \[count, width\] of a block; 0 for keys that a query does not attend to.
    /// If scores have a soft cap, `slopes` gets their derivatives by the scaled products.
    ///
    /// # Safety
    ///
    /// The block's queries and keys are within the tensors.
    unsafe fn weights(
        &self,
        block: Block,
        weights: &mut Vec<f32>,
        mut slopes: Option<&mut Vec<f32>>,
    ) {
        let width = block.width();
        weights.resize(block.count * width, 0.0);
        // SAFETY: as promised by the caller.
        unsafe {
            multiply(
                [block.count, width, self.shape.size],
                Out::new(weights.as_mut_ptr(), width),
                Update::REPLACE,
                Matrix::rows(self.query, self.query_at(block), self.query_row()),
                self.keys(self.key, block).transpose(),
                Threads::One,
            );
        }
        for i in 0..block.count {
            let seen @ (first, end) = self.seen(block, i);
            let row = &mut weights[i * width..(i + 1) * width];
            let scale = self.cap(&mut row[first..end]);
            if let (Some(slopes), Some(cap)) = (&mut slopes, self.scores.soft_cap) {
                slopes.resize(block.count * width, 0.0);
                let slopes = &mut slopes[i * width..(i + 1) * width];
                slopes_of(&row[first..end], &mut slopes[first..end], cap);
            }
            normalize(row, seen, scale);
        }
    }

    /// Returns the blocks of a head.
    fn blocks(&self, batch: usize, head: usize) -> impl Iterator<Item = Block> {
        let shape = self.shape;
        (0..shape.length).step_by(QUERIES).map(move |first| {
            let count = QUERIES.min(shape.length - first);
            // Neither windows nor segments begin earlier at a later position.
            let keys = (
                shape.seen(batch, first).start,
                shape.seen(batch, first + count - 1).end,
            );
            Block {
                batch,
                head,
                key_head: head / shape.group(),
                first,
                count,
                keys,
            }
        })
    }

    /// Returns the keys that a query of a block attends to, from the block's first key on.
    fn seen(&self, block: Block, query: usize) -> (usize, usize) {
        let seen = self.shape.seen(block.batch, block.first + query);
        (seen.start - block.keys.0, seen.end - block.keys.0)
    }

    fn query_at(&self, block: Block) -> usize {
        self.shape.query_at(block.batch, block.first, block.head)
    }

    fn query_row(&self) -> usize {
        self.shape.heads * self.shape.size
    }

    /// Returns the keys or values \[width, size\] of a block.
    fn keys(&self, of: &[f32], block: Block) -> Matrix {
        let first = self.shape.key_at(block.batch, block.keys.0, block.key_head);
        Matrix::rows(of, first, self.shape.num_kv_heads * self.shape.size)
    }
}
