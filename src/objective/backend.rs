//! The objective as operations of a burn backend: one trait, implemented for the CPU (by the scalar
//! twin), for devices that run WGSL (by the shaders) and for autodiff (by hand).

#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, ExtensionType, backend_extension};
#[cfg(feature = "fusion")]
use burn::tensor::Shape;

use super::settings::Objective;
use crate::matrix_product::MatrixProductBackend;

/// The teacher's side of logits \[rows, vocabulary\].
#[derive(Debug, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub enum TeacherLogits<B: Backend> {
    /// The target is one-hot and depends on no teacher.
    Unneeded,
    /// Logits of the same shape as the student's.
    Logits(FloatTensor<B>),
}

/// The teacher's side of predictions that are still to be computed.
#[derive(Debug, ExtensionType)]
pub enum TeacherHidden<B: Backend> {
    /// The target is one-hot and depends on no teacher.
    Unneeded,
    /// What logits = hidden · headᵀ are made of.
    Hidden {
        /// Hidden states \[rows, hidden\].
        hidden: FloatTensor<B>,
        /// Head weights \[vocabulary, hidden\].
        head: FloatTensor<B>,
    },
}

/// What a backend does for the objective. Logits are \[rows, vocabulary\] in `f32`, labels \[rows\]
/// in `i32`, negative where a position does not count.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait ObjectiveBackend: Backend + MatrixProductBackend {
    /// The corrected target q \[rows, vocabulary\].
    #[fusion(dtype = teacher_logits, shape = teacher_logits)]
    fn corrected_target(
        teacher_logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
    ) -> FloatTensor<Self>;

    /// Loss \[rows\], and the gradient \[rows, vocabulary\] of `gradient_scale · Σ loss` with respect
    /// to the student's logits. The logits are consumed: their memory is reused where it can be.
    #[fusion(meta = |student_logits, _, _, _, _| {
        let rows = Shape::new([student_logits.shape[0]]);
        (TensorSpec::new(rows, student_logits.dtype), student_logits.clone())
    })]
    fn loss_and_gradient(
        student_logits: FloatTensor<Self>,
        #[extension_type] teacher_logits: TeacherLogits<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
        gradient_scale: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Loss per row \[rows\], differentiable with respect to the student's logits.
    #[fusion(default)]
    fn loss_of_logits(
        student_logits: FloatTensor<Self>,
        #[extension_type] teacher_logits: TeacherLogits<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
    ) -> FloatTensor<Self> {
        Self::loss_and_gradient(student_logits, teacher_logits, labels, objective, 1.0).0
    }

    /// `scale · Σ loss` \[1\] from hidden states \[rows, hidden\] and head weights
    /// \[vocabulary, hidden\] in tiles of at most `tile` rows, differentiable with respect to the
    /// student's hidden states and head.
    #[allow(clippy::too_many_arguments)] // the signature that the macro can dispatch
    #[fusion(default)]
    fn loss_of_hidden(
        student_hidden: FloatTensor<Self>,
        student_head: FloatTensor<Self>,
        #[extension_type] teacher: TeacherHidden<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
        scale: f32,
        tile: usize,
    ) -> FloatTensor<Self> {
        let inputs = super::tiled::Inputs {
            student_hidden,
            student_head,
            teacher,
            labels,
            objective,
            scale,
            tile,
        };
        super::tiled::loss_and_gradients::<Self>(inputs, super::tiled::Wanted::default()).loss
    }
}
