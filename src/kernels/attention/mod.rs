//! Causal grouped-query attention (Ainslie et al., arXiv:2305.13245).

mod autodiff;
mod cpu;
mod mask;
mod reference;
mod rows;
mod scores;
mod shape;
mod wgsl;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Device, Tensor};

use super::{Impl, is_cpu};

pub use mask::{AttentionMask, SegmentStarts};
pub use scores::Scores;
pub(crate) use wgsl::kernels;

/// Elements of the largest head that the shaders support.
const LARGEST_HEAD: usize = 512;
/// Elements of the largest head, or part of a head, that an invocation holds.
const LARGEST_PART: usize = 128;

/// Attention as an operation of a burn backend.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait AttentionBackend: Backend {
    /// Causal attention of query \[batch, length, heads, size\] over key and value
    /// \[batch, key_length, num_kv_heads, size\].
    #[fusion(dtype = query, shape = query)]
    fn causal_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        scores: Scores,
        mask: AttentionMask,
    ) -> FloatTensor<Self>;

    /// Gradients with respect to query, key and value.
    #[fusion(meta = |query, key, value, _, _, _| (query.clone(), key.clone(), value.clone()))]
    fn causal_attention_backward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        scores: Scores,
        mask: AttentionMask,
        upstream: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// Causal attention of query \[batch, length, heads, size\] over key and value
/// \[batch, key_length, num_kv_heads, size\].
///
/// The queries are at the last `length` of the keys' positions, and each key head serves
/// `heads / num_kv_heads` consecutive query heads. A query attends to its own position and the earlier
/// ones that the mask allows. Head sizes without a kernel are computed as [`Impl::Composed`].
pub fn causal_attention(
    implementation: Impl,
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    scores: Scores,
    mask: AttentionMask,
) -> Tensor<4> {
    let available = available(&query.device(), query.dims()[3]);
    match (implementation, available) {
        (Impl::Fused, Impl::Fused) => Tensor::from_dispatch(Dispatch::causal_attention(
            query.into_dispatch(),
            key.into_dispatch(),
            value.into_dispatch(),
            scores,
            mask,
        )),
        _ => reference::causal_attention(query, key, value, scores, &mask),
    }
}

/// Returns the fastest implementation that a device has for heads of that size.
pub(crate) fn available(device: &Device, head_size: usize) -> Impl {
    let parts = head_size.div_ceil(LARGEST_PART);
    let has_kernel = head_size.is_multiple_of(4 * parts) && (1..=LARGEST_HEAD).contains(&head_size);
    if is_cpu(device) || has_kernel {
        Impl::Fused
    } else {
        Impl::Composed
    }
}
