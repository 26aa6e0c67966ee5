//! The optimiser as operations of a burn backend: one pass over memory for what tensor operations do in
//! a dozen.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
#[cfg(feature = "fusion")]
use burn::tensor::Shape;

use super::AdamWStep;

/// Partial sums that the squares of a tensor of so many elements are brought down to: enough of them to
/// keep a large GPU busy, one for a few thousand elements.
pub(super) fn partial_sums(elements: usize) -> usize {
    elements.div_ceil(1 << 12).clamp(1, 256)
}

/// What a backend does for the optimiser.
#[backend_extension(Cube, Flex, Fusion: cfg(feature = "fusion"))]
pub trait OptimizerBackend: Backend {
    /// A step on parameter, gradient and both moments, of one shape, by what [`Self::step_figures`] gave:
    /// every gradient is multiplied by the factor, and nothing moves where that is not finite. Returns
    /// parameter and moments, in the memory of the old ones where nobody else holds it.
    #[fusion(meta = |parameter, _, first, second, _| (parameter.clone(), first.clone(), second.clone()))]
    fn adamw(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first_moment: FloatTensor<Self>,
        second_moment: FloatTensor<Self>,
        figures: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Puts the [`partial_sums`] of a tensor's squares into `sums` \[n\] from place `at` on, which nobody
    /// else holds.
    #[fusion(dtype = sums, shape = sums)]
    fn put_sums_of_squares(
        sums: FloatTensor<Self>,
        at: usize,
        tensor: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// \[factor, norm, loss\] and what `step` says after that, from a gradient's sums of squares and a loss
    /// \[1\]: the gradient's norm, and what brings it down to `clip` if that is not 0. The factor is not
    /// finite where norm or loss is not.
    #[fusion(dtype = sums, shape = Shape::new([6]))]
    fn step_figures(
        sums: FloatTensor<Self>,
        loss: FloatTensor<Self>,
        clip: f32,
        step: AdamWStep,
    ) -> FloatTensor<Self>;
}
