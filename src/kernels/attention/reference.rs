//! Attention as tensor operations.

use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use super::{AttentionMask, Scores};
use crate::kernels::matmul::matmul;
use crate::kernels::soft_cap;

pub(super) fn causal_attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    scores: Scores,
    mask: &AttentionMask,
) -> Tensor<4> {
    let [batch, length, heads, size] = query.dims();
    let [_, key_length, num_kv_heads, _] = key.dims();
    let group = heads / num_kv_heads;
    let query = query
        .swap_dims(1, 2)
        .reshape([batch, num_kv_heads, group * length, size]);
    let (key, value) = (key.swap_dims(1, 2), value.swap_dims(1, 2));
    let products = matmul(query, key.swap_dims(2, 3)) * scores.scale;
    let scores = match scores.soft_cap {
        Some(cap) => soft_cap::reference::soft_cap(products, cap),
        None => products,
    };
    let masked = masked_keys(length, key_length, mask, &scores.device());
    let samples = masked.dims()[0];
    let masked = masked
        .reshape([samples, 1, 1, length, key_length])
        .expand([batch, num_kv_heads, group, length, key_length])
        .reshape([batch, num_kv_heads, group * length, key_length]);
    let weights = softmax(scores.mask_fill(masked, f32::MIN), 3);
    matmul(weights, value)
        .reshape([batch, heads, length, size])
        .swap_dims(1, 2)
}

/// True where a query must not attend to a key: \[1 or batch, length, key_length\].
fn masked_keys(
    length: usize,
    key_length: usize,
    mask: &AttentionMask,
    device: &Device,
) -> Tensor<3, Bool> {
    let first = key_length - length;
    let queries = Tensor::<1, Int>::arange(first as i64..key_length as i64, device);
    let keys = Tensor::<1, Int>::arange(0..key_length as i64, device);
    let whole = [1, length, key_length];
    let queries: Tensor<3, Int> = queries.reshape([1, length, 1]).expand(whole);
    let keys: Tensor<3, Int> = keys.reshape([1, 1, key_length]).expand(whole);
    let mut masked = keys.clone().greater(queries.clone());
    if mask.window < key_length {
        masked = masked.bool_or(keys.clone().lower_equal(queries - mask.window as i64));
    }
    if let Some(starts) = &mask.segment_starts {
        let batch = starts.len() / length;
        let whole = [batch, length, key_length];
        let starts: Vec<i32> = starts.iter().map(|&start| start as i32).collect();
        let starts = TensorData::new(starts, [batch, length, 1]);
        let starts = Tensor::<3, Int>::from_data(starts, device).expand(whole);
        masked = masked
            .expand(whole)
            .bool_or(keys.expand(whole).lower(starts));
    }
    masked
}
