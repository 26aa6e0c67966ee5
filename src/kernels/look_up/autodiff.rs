//! The look-up in burn's autodiff.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IndexingUpdateOp, IntTensor};
use burn::backend::{Autodiff, TensorMetadata};

use super::LookUpBackend;

impl<B: LookUpBackend, C: CheckpointStrategy> LookUpBackend for Autodiff<B, C> {
    fn look_up(table: FloatTensor<Self>, indices: IntTensor<Self>) -> FloatTensor<Self> {
        let parent = table.clone();
        let (values, node) = table.into_parts();
        let rows = B::look_up(values, indices.clone());
        match LookUp.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((parent, indices), rows),
            OpsKind::UnTracked(prep) => prep.finish(rows),
        }
    }
}

#[derive(Debug)]
struct LookUp;

impl<B: LookUpBackend> Backward<B, 1> for LookUp {
    /// The table, which has the gradient so far, and the indices.
    type State = (FloatTensor<Autodiff<B>>, IntTensor<B>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let (table, indices) = ops.state;
        let [Some(node)] = ops.parents else {
            return;
        };
        let so_far = grads.remove::<B>(&table).unwrap_or_else(|| {
            let (shape, device) = (table.shape(), upstream.device());
            B::float_zeros(shape, &device, upstream.dtype().into())
        });
        let sum = B::float_select_assign(so_far, 0, indices, upstream, IndexingUpdateOp::Add);
        grads.register::<B>(node.id, sum);
    }
}
