//! The gated linear unit in burn's autodiff.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::SiluGateBackend;
use crate::kernels::gradients::{constant, register};

impl<B: SiluGateBackend, C: CheckpointStrategy> SiluGateBackend for Autodiff<B, C> {
    fn silu_gate(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((gate, gate_node), (up, up_node)) = (gate.into_parts(), up.into_parts());
        let out = B::silu_gate(gate.clone(), up.clone());
        match SiluGate
            .prepare::<C>([gate_node, up_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((gate, up), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn silu_gate_backward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (grad_gate, grad_up) = B::silu_gate_backward(
            gate.into_primitive(),
            up.into_primitive(),
            upstream.into_primitive(),
        );
        (constant::<B>(grad_gate), constant::<B>(grad_up))
    }
}

#[derive(Debug)]
struct SiluGate;

impl<B: SiluGateBackend> Backward<B, 2> for SiluGate {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let (gate, up) = ops.state;
        let (grad_gate, grad_up) = B::silu_gate_backward(gate, up, upstream);
        let parents = ops.parents.map(|node| node.map(|node| node.id));
        register::<B, 2>(grads, parents, [grad_gate, grad_up]);
    }
}
