//! Short convolutions: causal, depthwise, over a few positions (as in Mamba, Gu and Dao, arXiv:2312.00752).

mod autodiff;
mod cpu;
mod reference;
mod wgsl;

pub(crate) use wgsl::kernels;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::Impl;
use super::attention::SegmentStarts;

/// What a short convolution computes besides the weighted sums.
#[derive(Clone, Debug, Default)]
pub struct ShortConv {
    /// Whether SiLU follows.
    pub silu: bool,
    /// For packed samples, whose segments must not depend on each other.
    pub segment_starts: Option<SegmentStarts>,
}

impl ShortConv {
    /// Returns how many inputs before a row's own its sum may include, where `row` is its index in
    /// \[batch, length\].
    fn reach(&self, row: usize, length: usize) -> usize {
        let starts = self.segment_starts.as_ref();
        row % length - starts.map_or(0, |starts| starts[row] as usize)
    }
}

/// Short convolution as an operation of a burn backend.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait ShortConvBackend: Backend {
    /// Short convolution of x \[batch, length, channels\] by weight \[channels, taps\] and bias
    /// \[1, channels\].
    #[fusion(dtype = x, shape = x)]
    fn short_conv(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        conv: ShortConv,
    ) -> FloatTensor<Self>;

    /// Gradients with respect to x, weight and bias.
    #[fusion(meta = |x, weight, bias, _, _| (x.clone(), weight.clone(), bias.clone()))]
    fn short_conv_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        conv: ShortConv,
        upstream: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// Returns `bias + Σ weight[:, taps - 1 - k] ⊙ x[:, t - k]` for each position t of x
/// \[batch, length, channels\] with weight \[channels, taps\] and bias \[1, channels\], with SiLU if there is
/// one. Inputs before the first position of a sample or segment are 0.
pub fn short_conv(
    implementation: Impl,
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<2>>,
    conv: ShortConv,
) -> Tensor<3> {
    let bias = bias.unwrap_or_else(|| Tensor::zeros([1, weight.dims()[0]], &x.device()));
    match implementation {
        Impl::Fused => Tensor::from_dispatch(Dispatch::short_conv(
            x.into_dispatch(),
            weight.into_dispatch(),
            bias.into_dispatch(),
            conv,
        )),
        Impl::Composed => reference::short_conv(x, weight, bias, &conv),
    }
}
