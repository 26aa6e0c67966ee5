//! Short convolutions in burn's autodiff.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{ShortConv, ShortConvBackend};
use crate::kernels::gradients::{constant, register};

impl<B: ShortConvBackend, C: CheckpointStrategy> ShortConvBackend for Autodiff<B, C> {
    fn short_conv(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        conv: ShortConv,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        let out = B::short_conv(x.clone(), weight.clone(), bias.clone(), conv.clone());
        match Convolve
            .prepare::<C>([x_node, weight_node, bias_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((x, weight, bias, conv), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn short_conv_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        conv: ShortConv,
        upstream: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (grad_x, grad_weight, grad_bias) = B::short_conv_backward(
            x.into_primitive(),
            weight.into_primitive(),
            bias.into_primitive(),
            conv,
            upstream.into_primitive(),
        );
        (
            constant::<B>(grad_x),
            constant::<B>(grad_weight),
            constant::<B>(grad_bias),
        )
    }
}

#[derive(Debug)]
struct Convolve;

impl<B: ShortConvBackend> Backward<B, 3> for Convolve {
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, ShortConv);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let (x, weight, bias, conv) = ops.state;
        let (grad_x, grad_weight, grad_bias) =
            B::short_conv_backward(x, weight, bias, conv, upstream);
        let parents = ops.parents.map(|node| node.map(|node| node.id));
        register::<B, 3>(grads, parents, [grad_x, grad_weight, grad_bias]);
    }
}
