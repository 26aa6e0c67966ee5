//! Rotary embedding as tensor operations.

use burn::tensor::Tensor;

pub(super) fn rotate(x: Tensor<4>, cosine: Tensor<2>, sine: Tensor<2>) -> Tensor<4> {
    let [_, length, _, size] = x.dims();
    let half = size / 2;
    let table = |table: Tensor<2>| table.reshape([1, length, 1, half]);
    let (cosine, sine) = (table(cosine), table(sine));
    let low = x.clone().narrow(3, 0, half);
    let high = x.narrow(3, half, half);
    Tensor::cat(
        vec![
            low.clone() * cosine.clone() - high.clone() * sine.clone(),
            high * cosine + low * sine,
        ],
        3,
    )
}
