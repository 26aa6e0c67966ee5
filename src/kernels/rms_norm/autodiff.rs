//! RMS norm in burn's autodiff.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::RmsNormBackend;
use crate::kernels::gradients::{constant, register};

impl<B: RmsNormBackend, C: CheckpointStrategy> RmsNormBackend for Autodiff<B, C> {
    fn rms_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let out = B::rms_norm(x.clone(), weight.clone(), epsilon);
        match RmsNorm
            .prepare::<C>([x_node, weight_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((x, weight, epsilon), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn rms_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
        upstream: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (grad_x, grad_weight) = B::rms_norm_backward(
            x.into_primitive(),
            weight.into_primitive(),
            epsilon,
            upstream.into_primitive(),
        );
        (constant::<B>(grad_x), constant::<B>(grad_weight))
    }
}

#[derive(Debug)]
struct RmsNorm;

impl<B: RmsNormBackend> Backward<B, 2> for RmsNorm {
    type State = (FloatTensor<B>, FloatTensor<B>, f32);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let (x, weight, epsilon) = ops.state;
        let (grad_x, grad_weight) = B::rms_norm_backward(x, weight, epsilon, upstream);
        let parents = ops.parents.map(|node| node.map(|node| node.id));
        register::<B, 2>(grads, parents, [grad_x, grad_weight]);
    }
}
