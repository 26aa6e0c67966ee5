//! AdamW as operations of a burn backend: one pass over memory instead of a dozen tensor operations.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
#[cfg(feature = "fusion")]
use burn::tensor::Shape;

use super::AdamWStep;
#[cfg(feature = "fusion")]
use super::StepStats;

/// Returns the number of partial sums that the squares of a tensor's elements are reduced to: one per few
/// thousand elements, up to enough to occupy a large GPU.
pub(crate) fn partial_sums(elements: usize) -> usize {
    elements.div_ceil(1 << 12).clamp(1, 256)
}

/// The optimizer's operations.
#[backend_extension(Cube, Flex, Fusion: cfg(feature = "fusion"))]
pub(crate) trait AdamWBackend: Backend {
    /// Updates a parameter and both moments from its gradient, all of one shape, with the statistics of
    /// [`Self::step_stats`]. Leaves them unchanged if the clip factor is not finite. Returns parameter and
    /// moments, in place if no other handle shares their memory.
    #[fusion(meta = |parameter, _, first, second, _| (parameter.clone(), first.clone(), second.clone()))]
    fn adamw_step(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first_moment: FloatTensor<Self>,
        second_moment: FloatTensor<Self>,
        stats: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Writes the [`partial_sums`] of a tensor's squares to `sums` \[n\], starting at index `at`.
    #[fusion(dtype = sums, shape = sums)]
    fn put_sums_of_squares(
        sums: FloatTensor<Self>,
        at: usize,
        tensor: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Computes the [`StepStats`](super::StepStats) \[6\] from the sums of squares of the gradients and the
    /// loss \[1\]. Gradients are clipped to norm `clip`; 0 disables clipping.
    #[fusion(dtype = sums, shape = Shape::new([StepStats::LEN]))]
    fn step_stats(
        sums: FloatTensor<Self>,
        loss: FloatTensor<Self>,
        clip: f32,
        step: AdamWStep,
    ) -> FloatTensor<Self>;
}
