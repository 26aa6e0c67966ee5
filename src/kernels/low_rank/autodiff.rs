//! Low-rank layers in burn's autodiff. With u = ∂L/∂y and h = x · Aᵀ: ∂L/∂B = scale · uᵀ · h,
//! ∂L/∂A = (scale · u · B)ᵀ · x, and ∂L/∂x = u · W + (scale · u · B) · A.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;

use super::LowRankBackend;
use crate::kernels::matmul::MatmulBackend;
use crate::kernels::packed::{Head, times_head};

impl<B: LowRankBackend, C: CheckpointStrategy> LowRankBackend for Autodiff<B, C> {
    fn add_product(
        sum: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        let product = Self::matmul(a, b);
        Self::float_add(sum, Self::float_mul_scalar(product, scale.into()))
    }

    fn low_rank_linear(
        x: FloatTensor<Self>,
        weight: Head<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let weight = match weight {
            Head::Float(values) => Head::Float(values.into_parts().0),
            Head::Packed { words, layout } => Head::Packed { words, layout },
        };
        let (x, x_node) = x.into_parts();
        let (a, a_node) = a.into_parts();
        let (b, b_node) = b.into_parts();
        let (y, narrow) =
            B::low_rank_linear(x.clone(), weight.clone(), a.clone(), b.clone(), scale);
        let y = match LowRank
            .prepare::<C>([x_node, a_node, b_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let state = State {
                    x,
                    weight,
                    a,
                    b,
                    narrow: narrow.clone(),
                    scale,
                };
                prep.finish(state, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        (y, Self::FloatTensorPrimitive::new(narrow))
    }
}

#[derive(Debug)]
struct LowRank;

#[derive(Clone, Debug)]
struct State<B: LowRankBackend> {
    x: FloatTensor<B>,
    weight: Head<B>,
    a: FloatTensor<B>,
    b: FloatTensor<B>,
    /// `x · Aᵀ`.
    narrow: FloatTensor<B>,
    scale: f32,
}

impl<B: LowRankBackend> Backward<B, 3> for LowRank {
    type State = State<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let [x_node, a_node, b_node] = ops.parents;
        let State {
            x,
            weight,
            a,
            b,
            narrow,
            scale,
        } = ops.state;
        let scaled = |tensor| B::float_mul_scalar(tensor, scale.into());
        if let Some(node) = b_node {
            let gradient = B::matmul(B::float_transpose(upstream.clone()), narrow);
            grads.register::<B>(node.id, scaled(gradient));
        }
        let narrow_gradient = scaled(B::matmul(upstream.clone(), b));
        if let Some(node) = a_node {
            let gradient = B::matmul(B::float_transpose(narrow_gradient.clone()), x);
            grads.register::<B>(node.id, gradient);
        }
        if let Some(node) = x_node {
            let gradient = times_head(upstream, &weight, false);
            let gradient = B::add_product(gradient, narrow_gradient, a, 1.0);
            grads.register::<B>(node.id, gradient);
        }
    }
}
