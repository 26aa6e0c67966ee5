//! Matrix multiplication in burn's autodiff: ∂L/∂a = ∂L/∂c · bᵀ and ∂L/∂b = aᵀ · ∂L/∂c for c = a · b.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::MatmulBackend;

impl<B: MatmulBackend, C: CheckpointStrategy> MatmulBackend for Autodiff<B, C> {
    fn matmul(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        // The gradient of each factor needs the other.
        let kept_b = a.is_tracked().then(|| b.primitive().clone());
        let kept_a = b.is_tracked().then(|| a.primitive().clone());
        let (a, a_node) = a.into_parts();
        let (b, b_node) = b.into_parts();
        let product = B::matmul(a, b);
        match Matmul
            .prepare::<C>([a_node, b_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((kept_a, kept_b), product),
            OpsKind::UnTracked(prep) => prep.finish(product),
        }
    }
}

#[derive(Debug)]
struct Matmul;

impl<B: MatmulBackend> Backward<B, 2> for Matmul {
    /// a if b is tracked, and b if a is.
    type State = (Option<FloatTensor<B>>, Option<FloatTensor<B>>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let [a_node, b_node] = ops.parents;
        let (a, b) = ops.state;
        if let (Some(node), Some(b)) = (a_node, b) {
            let gradient = B::matmul(upstream.clone(), B::float_transpose(b));
            grads.register::<B>(node.id, gradient);
        }
        if let (Some(node), Some(a)) = (b_node, a) {
            // As (∂L/∂cᵀ · a)ᵀ: b is usually a transposed weight, whose gradient then has the weight's
            // memory layout and needs no copy.
            let gradient = B::matmul(B::float_transpose(upstream), a);
            grads.register::<B>(node.id, B::float_transpose(gradient));
        }
    }
}
