//! The gated delta rule (Yang et al., Gated Delta Networks, arXiv:2412.06464): linear attention with a state of
//! fixed size per head, which decays and is corrected towards the value of each token.
//!
//! The CPU computes chunks of tokens as matrix products (section 3.3 of the paper), GPUs one token after the
//! other, for all columns of all states at a time.

mod autodiff;
mod cpu;
mod reference;
mod sizes;
mod wgsl;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Bool, Device, Tensor, TensorData};

use super::attention::SegmentStarts;
use super::{Impl, is_cpu};

pub(crate) use wgsl::kernels;

/// Elements of the largest head that the shaders support.
const LARGEST_HEAD: usize = 256;
/// Log decay at the first token of a segment: its exponential is 0.
const RESTART: f32 = -1e4;

/// The gated delta rule as an operation of a burn backend.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait DeltaRuleBackend: Backend {
    /// Returns the outputs and the state after the last token, for query and key
    /// \[batch, length, key_heads, key_size\], value \[batch, length, heads, value_size\], gates
    /// \[batch, length, 2, heads\] (log decay and beta), and the state before the first token
    /// \[batch, heads, key_size, value_size\]. Neither state has a gradient.
    #[fusion(meta = |_, _, value, _, state| (value.clone(), state.clone()))]
    fn delta_rule(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        state: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients with respect to query, key, value and gates.
    #[fusion(meta = |query, key, value, gates, _, _| {
        (query.clone(), key.clone(), value.clone(), gates.clone())
    })]
    fn delta_rule_backward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        state: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    );
}

/// The inputs of [`delta_rule`].
#[derive(Clone, Debug)]
pub struct DeltaRuleInputs {
    /// Queries \[batch, length, key_heads, key_size\].
    pub query: Tensor<4>,
    /// Keys, of the same shape. Each serves `heads / key_heads` consecutive heads, as each query does.
    pub key: Tensor<4>,
    /// Values \[batch, length, heads, value_size\].
    pub value: Tensor<4>,
    /// Logarithms g ≤ 0 of the factors by which the states decay \[batch, length, heads\].
    pub decay: Tensor<3>,
    /// Strengths β of the corrections, between 0 and 1 \[batch, length, heads\].
    pub beta: Tensor<3>,
}

/// Returns the outputs o \[batch, length, heads, value_size\], and the state S after the last token
/// \[batch, heads, key_size, value_size\], of
///
/// ```text
/// δ_t = β_t (v_t − exp(g_t) S_(t−1)ᵀ k_t)
/// S_t = exp(g_t) S_(t−1) + k_t δ_tᵀ
/// o_t = S_tᵀ q_t
/// ```
///
/// (equation 10 of the paper, transposed). The state before the first token is zero unless given; it is zero
/// again before each segment of packed samples. Neither state has a gradient. Head sizes without a kernel are
/// computed as [`Impl::Composed`].
pub fn delta_rule(
    implementation: Impl,
    inputs: DeltaRuleInputs,
    state: Option<Tensor<4>>,
    segment_starts: Option<&SegmentStarts>,
) -> (Tensor<4>, Tensor<4>) {
    let DeltaRuleInputs {
        query,
        key,
        value,
        decay,
        beta,
    } = inputs;
    let device = value.device();
    let [batch, _, heads, value_size] = value.dims();
    let key_size = key.dims()[3];
    let decay = match segment_starts {
        Some(starts) => decay
            .clone()
            .mask_fill(first_of_segments(starts, &decay), RESTART),
        None => decay,
    };
    let gates = Tensor::stack(vec![decay, beta], 2);
    let state = state.unwrap_or_else(|| {
        Tensor::zeros(
            [batch, heads, key_size, value_size],
            &device.clone().inner(),
        )
    });
    let available = available(&device, key_size, value_size);
    match (implementation, available) {
        (Impl::Fused, Impl::Fused) => {
            let (out, state) = Dispatch::delta_rule(
                query.into_dispatch(),
                key.into_dispatch(),
                value.into_dispatch(),
                gates.into_dispatch(),
                state.into_dispatch(),
            );
            (Tensor::from_dispatch(out), Tensor::from_dispatch(state))
        }
        _ => reference::delta_rule(query, key, value, gates, state),
    }
}

/// Returns the fastest implementation that a device has for heads of that size.
fn available(device: &Device, key_size: usize, value_size: usize) -> Impl {
    let supported = |size: usize| size.is_multiple_of(4) && (1..=LARGEST_HEAD).contains(&size);
    if is_cpu(device) || (supported(key_size) && supported(value_size)) {
        Impl::Fused
    } else {
        Impl::Composed
    }
}

/// Returns where the tokens of \[batch, length, heads\] are the first of their segments.
fn first_of_segments(starts: &SegmentStarts, like: &Tensor<3>) -> Tensor<3, Bool> {
    let [batch, length, heads] = like.dims();
    let first = starts
        .iter()
        .enumerate()
        .map(|(token, &start)| start as usize == token % length);
    let first = TensorData::new(first.collect::<Vec<bool>>(), [batch, length, 1]);
    Tensor::<3, Bool>::from_data(first, &like.device()).expand([batch, length, heads])
}
