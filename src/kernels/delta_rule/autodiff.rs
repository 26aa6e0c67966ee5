//! The gated delta rule in burn's autodiff.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::DeltaRuleBackend;
use crate::kernels::gradients::{constant, register};

impl<B: DeltaRuleBackend, C: CheckpointStrategy> DeltaRuleBackend for Autodiff<B, C> {
    fn delta_rule(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        state: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (query, query_node) = query.into_parts();
        let (key, key_node) = key.into_parts();
        let (value, value_node) = value.into_parts();
        let (gates, gates_node) = gates.into_parts();
        let (state, _) = state.into_parts();
        let (out, last) = B::delta_rule(
            query.clone(),
            key.clone(),
            value.clone(),
            gates.clone(),
            state.clone(),
        );
        let out = match DeltaRule
            .prepare::<C>([query_node, key_node, value_node, gates_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish([query, key, value, gates, state], out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        };
        (out, Self::FloatTensorPrimitive::new(last))
    }

    fn delta_rule_backward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        state: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        let (grad_query, grad_key, grad_value, grad_gates) = B::delta_rule_backward(
            query.into_primitive(),
            key.into_primitive(),
            value.into_primitive(),
            gates.into_primitive(),
            state.into_primitive(),
            upstream.into_primitive(),
        );
        (
            constant::<B>(grad_query),
            constant::<B>(grad_key),
            constant::<B>(grad_value),
            constant::<B>(grad_gates),
        )
    }
}

#[derive(Debug)]
struct DeltaRule;

impl<B: DeltaRuleBackend> Backward<B, 4> for DeltaRule {
    type State = [FloatTensor<B>; 5];

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let [query, key, value, gates, state] = ops.state;
        let (grad_query, grad_key, grad_value, grad_gates) =
            B::delta_rule_backward(query, key, value, gates, state, upstream);
        let parents = ops.parents.map(|node| node.map(|node| node.id));
        let gradients = [grad_query, grad_key, grad_value, grad_gates];
        register::<B, 4>(grads, parents, gradients);
    }
}
