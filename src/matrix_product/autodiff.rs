//! The product in burn's autodiff: ∂L/∂a = ∂L/∂c · bᵀ and ∂L/∂b = aᵀ · ∂L/∂c for c = a · b.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::backend::MatrixProductBackend;

impl<B: MatrixProductBackend, C: CheckpointStrategy> MatrixProductBackend for Autodiff<B, C> {
    fn matrix_product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        // Each factor's gradient takes the other.
        let kept_b = a.is_tracked().then(|| b.primitive().clone());
        let kept_a = b.is_tracked().then(|| a.primitive().clone());
        let (a, a_node) = a.into_parts();
        let (b, b_node) = b.into_parts();
        let product = B::matrix_product(a, b);
        match MatrixProduct
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
struct MatrixProduct;

impl<B: MatrixProductBackend> Backward<B, 2> for MatrixProduct {
    /// a where b is tracked, and b where a is.
    type State = (Option<FloatTensor<B>>, Option<FloatTensor<B>>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let [a_node, b_node] = ops.parents;
        let (a, b) = ops.state;
        if let (Some(node), Some(b)) = (a_node, b) {
            let gradient = B::matrix_product(upstream.clone(), B::float_transpose(b));
            grads.register::<B>(node.id, gradient);
        }
        if let (Some(node), Some(a)) = (b_node, a) {
            // As (∂L/∂cᵀ · a)ᵀ: b is most often a transposed weight, whose gradient then lies in memory as
            // the weight does, and needs no copy.
            let gradient = B::matrix_product(B::float_transpose(upstream), a);
            grads.register::<B>(node.id, B::float_transpose(gradient));
        }
    }
}
