//! The operations of a decoder: fused kernels, and tensor operations where there is none. Both compute
//! the same and are compared in the tests.

use burn::backend::Dispatch;
use burn::tensor::activation::{gelu, relu, sigmoid, silu, softmax};
use burn::tensor::{Bool, Int, Tensor, TensorData};

use super::fused::FusedBackend;
use super::visible::Visible;
use crate::matrix_product::matrix_product;
use crate::shader::has_head;

/// Which of the two ways to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One kernel an operation, where there is one for it.
    Fused,
    /// burn's tensor operations.
    Composed,
}

impl Way {
    /// The way that attention has on a device for heads of that size.
    pub(crate) fn of_attention(device: &burn::tensor::Device, head_size: usize) -> Self {
        if is_cpu(device) || has_head(head_size) {
            Self::Fused
        } else {
            Self::Composed
        }
    }
}

/// Whether a device is the CPU.
pub(super) fn is_cpu(device: &burn::tensor::Device) -> bool {
    device.clone().inner() == burn::tensor::Device::flex()
}

/// Root mean square normalisation (Zhang and Sennrich, arXiv:1910.07467) of x \[rows, width\]:
/// `x / sqrt(mean(x²) + epsilon) · weight` with weight \[1, width\].
pub fn rms_norm(way: Way, x: Tensor<2>, weight: Tensor<2>, epsilon: f32) -> Tensor<2> {
    match way {
        Way::Fused => Tensor::from_dispatch(Dispatch::rms_norm(
            x.into_dispatch(),
            weight.into_dispatch(),
            epsilon,
        )),
        Way::Composed => {
            let mean_square = (x.clone() * x.clone()).mean_dim(1);
            x / (mean_square + epsilon).sqrt() * weight
        }
    }
}

/// Rotary position embedding (Su et al., arXiv:2104.09864) of x \[batch, length, heads, size\] by
/// tables \[length, size / 2\] of cosines and sines; element i turns with element i + size / 2.
pub fn rotate(way: Way, x: Tensor<4>, cosine: Tensor<2>, sine: Tensor<2>) -> Tensor<4> {
    match way {
        Way::Fused => Tensor::from_dispatch(Dispatch::rotate(
            x.into_dispatch(),
            cosine.into_dispatch(),
            sine.into_dispatch(),
            1.0,
        )),
        Way::Composed => {
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
    }
}

/// Layer normalisation (Ba et al., arXiv:1607.06450) of x \[rows, width\]:
/// `(x − mean) / sqrt(variance + epsilon) · weight + bias` with weight and bias \[1, width\].
pub fn layer_norm(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<2>>,
    epsilon: f32,
) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(1);
    let variance = (centred.clone() * centred.clone()).mean_dim(1);
    let scaled = centred / (variance + epsilon).sqrt() * weight;
    match bias {
        Some(bias) => scaled + bias,
        None => scaled,
    }
}

/// A function between the layers of a feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x · sigmoid(x).
    Silu,
    /// x · Φ(x), Φ the normal distribution (Hendrycks and Gimpel, arXiv:1606.08415).
    Gelu,
    /// The same by its approximation with a hyperbolic tangent (there: section 2).
    GeluTanh,
    /// max(0, x).
    Relu,
}

impl Activation {
    /// By the name that configurations have for it.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "silu" | "swish" => Some(Self::Silu),
            "gelu" => Some(Self::Gelu),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Some(Self::GeluTanh),
            "relu" => Some(Self::Relu),
            _ => None,
        }
    }
}

/// The activation of every element.
pub fn activate(activation: Activation, x: Tensor<2>) -> Tensor<2> {
    match activation {
        Activation::Silu => silu(x),
        Activation::Gelu => gelu(x),
        Activation::GeluTanh => {
            // ½ (1 + tanh u) is sigmoid(2u), which no device overflows on.
            let doubled = 2.0 * (2.0 / std::f32::consts::PI).sqrt();
            let cube = x.clone() * x.clone() * x.clone();
            x.clone() * sigmoid((x + cube * 0.044_715) * doubled)
        }
        Activation::Relu => relu(x),
    }
}

/// `activation(gate) · up`, a gated linear unit (Shazeer, arXiv:2002.05202).
pub fn gate(way: Way, activation: Activation, gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    match (way, activation) {
        (Way::Fused, Activation::Silu) => Tensor::from_dispatch(Dispatch::silu_multiply(
            gate.into_dispatch(),
            up.into_dispatch(),
        )),
        _ => activate(activation, gate) * up,
    }
}

/// Causal attention of query \[batch, length, heads, size\] over key and value
/// \[batch, key length, key heads, size\]. The queries are the last of the keys' positions; each key
/// head serves `heads / key heads` query heads in a row (grouped-query attention, arXiv:2305.13245).
/// A query sees what is visible of its own position and those before it.
pub fn causal_attention(
    way: Way,
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    scale: f32,
    visible: Visible,
) -> Tensor<4> {
    let way = match way {
        Way::Fused => Way::of_attention(&query.device(), query.dims()[3]),
        Way::Composed => way,
    };
    match way {
        Way::Fused => Tensor::from_dispatch(Dispatch::causal_attention(
            query.into_dispatch(),
            key.into_dispatch(),
            value.into_dispatch(),
            scale,
            visible,
        )),
        Way::Composed => {
            let [batch, length, heads, size] = query.dims();
            let [_, key_length, key_heads, _] = key.dims();
            let group = heads / key_heads;
            let query = query
                .swap_dims(1, 2)
                .reshape([batch, key_heads, group * length, size]);
            let (key, value) = (key.swap_dims(1, 2), value.swap_dims(1, 2));
            let scores = matrix_product(query, key.swap_dims(2, 3)) * scale;
            let hidden = hidden_keys(length, key_length, &visible, &scores.device());
            let texts = hidden.dims()[0];
            let hidden = hidden
                .reshape([texts, 1, 1, length, key_length])
                .expand([batch, key_heads, group, length, key_length])
                .reshape([batch, key_heads, group * length, key_length]);
            let weights = softmax(scores.mask_fill(hidden, f32::MIN), 3);
            matrix_product(weights, value)
                .reshape([batch, heads, length, size])
                .swap_dims(1, 2)
        }
    }
}

/// True where a query must not see a key: \[1 or batch, length, key length\].
fn hidden_keys(
    length: usize,
    key_length: usize,
    visible: &Visible,
    device: &burn::tensor::Device,
) -> Tensor<3, Bool> {
    let first = key_length - length;
    let queries = Tensor::<1, Int>::arange(first as i64..key_length as i64, device);
    let keys = Tensor::<1, Int>::arange(0..key_length as i64, device);
    let whole = [1, length, key_length];
    let queries: Tensor<3, Int> = queries.reshape([1, length, 1]).expand(whole);
    let keys: Tensor<3, Int> = keys.reshape([1, 1, key_length]).expand(whole);
    let mut hidden = keys.clone().greater(queries.clone());
    if visible.window < key_length {
        hidden = hidden.bool_or(keys.clone().lower_equal(queries - visible.window as i64));
    }
    if let Some(beginnings) = &visible.beginnings {
        let batch = beginnings.len() / length;
        let whole = [batch, length, key_length];
        let beginnings: Vec<i32> = beginnings.iter().map(|&first| first as i32).collect();
        let beginnings = TensorData::new(beginnings, [batch, length, 1]);
        let beginnings = Tensor::<3, Int>::from_data(beginnings, device).expand(whole);
        hidden = hidden
            .expand(whole)
            .bool_or(keys.expand(whole).lower(beginnings));
    }
    hidden
}
