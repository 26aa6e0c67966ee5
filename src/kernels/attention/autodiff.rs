//! Attention in burn's autodiff.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{AttentionBackend, AttentionMask, Scores};
use crate::kernels::gradients::{constant, register};

impl<B: AttentionBackend, C: CheckpointStrategy> AttentionBackend for Autodiff<B, C> {
    fn causal_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        scores: Scores,
        mask: AttentionMask,
    ) -> FloatTensor<Self> {
        let (query, query_node) = query.into_parts();
        let (key, key_node) = key.into_parts();
        let (value, value_node) = value.into_parts();
        let out = B::causal_attention(
            query.clone(),
            key.clone(),
            value.clone(),
            scores,
            mask.clone(),
        );
        let nodes = [query_node, key_node, value_node];
        match CausalAttention
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((query, key, value, scores, mask), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn causal_attention_backward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        scores: Scores,
        mask: AttentionMask,
        upstream: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (grad_query, grad_key, grad_value) = B::causal_attention_backward(
            query.into_primitive(),
            key.into_primitive(),
            value.into_primitive(),
            scores,
            mask,
            upstream.into_primitive(),
        );
        (
            constant::<B>(grad_query),
            constant::<B>(grad_key),
            constant::<B>(grad_value),
        )
    }
}

#[derive(Debug)]
struct CausalAttention;

impl<B: AttentionBackend> Backward<B, 3> for CausalAttention {
    type State = (
        FloatTensor<B>,
        FloatTensor<B>,
        FloatTensor<B>,
        Scores,
        AttentionMask,
    );

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let (query, key, value, scores, mask) = ops.state;
        let (grad_query, grad_key, grad_value) =
            B::causal_attention_backward(query, key, value, scores, mask, upstream);
        let parents = ops.parents.map(|node| node.map(|node| node.id));
        register::<B, 3>(grads, parents, [grad_query, grad_key, grad_value]);
    }
}
