//! Short convolutions as tensor operations.

use burn::tensor::activation::silu;
use burn::tensor::{Tensor, TensorData};

use super::ShortConv;

pub(super) fn short_conv(
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Tensor<2>,
    conv: &ShortConv,
) -> Tensor<3> {
    let [batch, length, channels] = x.dims();
    let taps = weight.dims()[1];
    let device = x.device();
    let of_channels = |values: Tensor<2>| values.reshape([1, 1, channels]);
    let mut sum = of_channels(bias).expand([batch, length, channels]);
    for back in 0..taps.min(length) {
        let before = Tensor::zeros([batch, back, channels], &device);
        let shifted = Tensor::cat(vec![before, x.clone().narrow(1, 0, length - back)], 1);
        let reaches = |row| f32::from(u8::from(conv.reach(row, length) >= back));
        let reached: Vec<f32> = (0..batch * length).map(reaches).collect();
        let reached = TensorData::new(reached, [batch, length, 1]);
        let reached = Tensor::<3>::from_data(reached, &device);
        let tap = of_channels(weight.clone().narrow(1, taps - 1 - back, 1));
        sum = sum + shifted * tap * reached;
    }
    if conv.silu { silu(sum) } else { sum }
}
