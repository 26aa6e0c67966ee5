//! Products with packed weights in burn's autodiff: ∂L/∂x = ∂L/∂y · Wᵀ for y = x · W.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};

use super::backend::{Layout, PackedBackend};

impl<B: PackedBackend, C: CheckpointStrategy> PackedBackend for Autodiff<B, C> {
    fn packed_matmul(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        layout: Layout,
        transposed: bool,
    ) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let product = B::packed_matmul(x, words.clone(), layout, transposed);
        match PackedMatmul.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((words, layout, transposed), product),
            OpsKind::UnTracked(prep) => prep.finish(product),
        }
    }
}

#[derive(Debug)]
struct PackedMatmul;

impl<B: PackedBackend> Backward<B, 1> for PackedMatmul {
    /// The weight, and whether the product was with its transpose.
    type State = (IntTensor<B>, Layout, bool);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let [node] = ops.parents;
        let (words, layout, transposed) = ops.state;
        if let Some(node) = node {
            let gradient = B::packed_matmul(upstream, words, layout, !transposed);
            grads.register::<B>(node.id, gradient);
        }
    }
}
