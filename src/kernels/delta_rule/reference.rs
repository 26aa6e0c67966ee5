//! The gated delta rule as tensor operations, one token after the other.

use burn::tensor::Tensor;

pub(super) fn delta_rule(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    gates: Tensor<4>,
    mut state: Tensor<4>,
) -> (Tensor<4>, Tensor<4>) {
    let [batch, length, heads, value_size] = value.dims();
    let [_, _, key_heads, key_size] = key.dims();
    // Each query and key as a column [batch, heads, key_size, 1] for every head that it serves.
    let columns = |x: &Tensor<4>, t: usize| {
        let whole = [batch, key_heads, heads / key_heads, key_size];
        let x: Tensor<4> = x.clone().narrow(1, t, 1).swap_dims(1, 2);
        x.expand(whole).reshape([batch, heads, key_size, 1])
    };
    let gate = |t: usize, which: usize| {
        let gate = gates.clone().narrow(1, t, 1).narrow(2, which, 1);
        gate.reshape([batch, heads, 1, 1])
    };
    let mut out = Vec::with_capacity(length);
    for t in 0..length {
        let (query, key) = (columns(&query, t), columns(&key, t));
        let value = value
            .clone()
            .narrow(1, t, 1)
            .reshape([batch, heads, 1, value_size]);
        state = state * gate(t, 0).exp();
        let remembered = (state.clone() * key.clone()).sum_dim(2);
        let delta = (value - remembered) * gate(t, 1);
        state = state + key * delta;
        out.push((state.clone() * query).sum_dim(2).swap_dims(1, 2));
    }
    (Tensor::cat(out, 1), state)
}
