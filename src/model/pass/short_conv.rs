//! Gated short convolutions.

use burn::tensor::Tensor;

use super::Pass;
use crate::kernels::short_conv::{ShortConv, short_conv};
use crate::model::cache::LayerCache;
use crate::model::parameter_index::{LinearIndex, ShortConvIndex};

impl Pass<'_> {
    /// Returns the output of a gated short convolution for x \[rows, width\].
    pub(super) fn short_conv(
        &self,
        index: ShortConvIndex,
        input: Tensor<2>,
        cache: Option<&mut LayerCache>,
    ) -> Tensor<2> {
        let whole = self.linear(input, index.input);
        let [rows, width] = [whole.dims()[0], whole.dims()[1] / 3];
        let [b, c, x] = [0, 1, 2].map(|part| whole.clone().narrow(1, part * width, width));
        let x = (self.apart(b) * x).reshape([self.batch, self.length, width]);
        let x = self.convolution(index.convolution, x, false, cache);
        self.linear(c * x.reshape([rows, width]), index.output)
    }

    /// Returns a causal depthwise convolution of x \[batch, length, channels\], and SiLU of it if `silu`. With a
    /// cache, the inputs before x are those in it.
    pub(super) fn convolution(
        &self,
        index: LinearIndex,
        x: Tensor<3>,
        silu: bool,
        cache: Option<&mut LayerCache>,
    ) -> Tensor<3> {
        let weight = self.parameter(index.weight);
        let bias = index.bias.map(|bias| self.parameter(bias));
        let added = x.dims()[1];
        let x = match cache {
            None => x,
            Some(cache) => cache.after_inputs(x, weight.dims()[1] - 1),
        };
        let conv = ShortConv {
            silu,
            segment_starts: self.segment_starts.clone(),
        };
        let known = x.dims()[1] - added;
        let out = short_conv(self.implementation, x, weight, bias, conv);
        match known {
            0 => out,
            _ => out.narrow(1, known, added),
        }
    }
}
