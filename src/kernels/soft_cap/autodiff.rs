//! Soft caps in burn's autodiff.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::SoftCapBackend;
use crate::kernels::gradients::{constant, register};

impl<B: SoftCapBackend, C: CheckpointStrategy> SoftCapBackend for Autodiff<B, C> {
    fn soft_cap(x: FloatTensor<Self>, cap: f32) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let capped = B::soft_cap(x, cap);
        match SoftCap.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((capped.clone(), cap), capped),
            OpsKind::UnTracked(prep) => prep.finish(capped),
        }
    }

    fn soft_cap_backward(
        capped: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        cap: f32,
    ) -> FloatTensor<Self> {
        let (capped, upstream) = (capped.into_primitive(), upstream.into_primitive());
        constant::<B>(B::soft_cap_backward(capped, upstream, cap))
    }
}

#[derive(Debug)]
struct SoftCap;

impl<B: SoftCapBackend> Backward<B, 1> for SoftCap {
    /// The capped values, and the cap.
    type State = (FloatTensor<B>, f32);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let (capped, cap) = ops.state;
        let gradient = B::soft_cap_backward(capped, upstream, cap);
        let parents = ops.parents.map(|node| node.map(|node| node.id));
        register::<B, 1>(grads, parents, [gradient]);
    }
}
