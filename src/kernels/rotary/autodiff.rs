//! Rotary embedding in burn's autodiff: the gradient rotates back.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::RotaryBackend;

impl<B: RotaryBackend, C: CheckpointStrategy> RotaryBackend for Autodiff<B, C> {
    fn rotate(
        x: FloatTensor<Self>,
        cosine: FloatTensor<Self>,
        sine: FloatTensor<Self>,
        direction: f32,
    ) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let (cosine, sine) = (cosine.into_primitive(), sine.into_primitive());
        let out = B::rotate(x, cosine.clone(), sine.clone(), direction);
        match Rotate.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((cosine, sine, direction), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

#[derive(Debug)]
struct Rotate;

impl<B: RotaryBackend> Backward<B, 1> for Rotate {
    type State = (FloatTensor<B>, FloatTensor<B>, f32);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let (cosine, sine, direction) = ops.state;
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::rotate(upstream, cosine, sine, -direction));
        }
    }
}
