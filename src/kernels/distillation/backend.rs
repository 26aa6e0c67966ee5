//! The objective as operations of a burn backend: a trait, implemented here for the CPU, in [`super::wgsl`]
//! for devices that run WGSL, and in [`super::autodiff`] with gradients.

use burn::backend::flex::FlexTensor;
#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Flex, TensorMetadata, backend_extension};
use burn::tensor::DType;
#[cfg(feature = "fusion")]
use burn::tensor::Shape;

use super::cpu;
use super::objective::Objective;
use super::row_weights::RowWeights;
use super::teacher::{TeacherHidden, TeacherLogits};
use super::tiled;
use crate::kernels::contiguous;
use crate::kernels::matmul::MatmulBackend;
use crate::kernels::packed::{Head, PackedBackend};
use crate::kernels::profile::{self, Operation, Work};
use crate::kernels::soft_cap::SoftCapBackend;

/// The objective's operations. Logits are \[rows, vocab_size\] in `f32`, labels \[rows\] in `i32`, negative
/// for masked tokens.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait ObjectiveBackend: Backend + MatmulBackend + PackedBackend + SoftCapBackend {
    /// Computes the corrected target q \[rows, vocab_size\].
    #[fusion(dtype = teacher_logits, shape = teacher_logits)]
    fn corrected_target(
        teacher_logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
    ) -> FloatTensor<Self>;

    /// Computes the loss \[rows\], and the gradient \[rows, vocab_size\] of `gradient_scale · Σ loss` with
    /// respect to the student's logits. Reuses the logits' memory if no other handle shares it.
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

    /// Computes the loss per row \[rows\], differentiable with respect to the student's logits.
    #[fusion(default)]
    fn loss_of_logits(
        student_logits: FloatTensor<Self>,
        #[extension_type] teacher_logits: TeacherLogits<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
    ) -> FloatTensor<Self> {
        Self::loss_and_gradient(student_logits, teacher_logits, labels, objective, 1.0).0
    }

    /// Computes `scale · Σ weight · loss` \[1\] from hidden states \[rows, hidden\] and head weights
    /// \[vocab_size, hidden\] in tiles of at most `tile` rows, with a soft cap of the student's and the
    /// teacher's logits if there is one. Differentiable with respect to the student's hidden states and head.
    #[allow(clippy::too_many_arguments)] // the macro can dispatch only plain arguments
    #[fusion(default)]
    fn loss_of_hidden(
        student_hidden: FloatTensor<Self>,
        #[extension_type] student_head: Head<Self>,
        #[extension_type] teacher: TeacherHidden<Self>,
        soft_cap: Option<f32>,
        labels: IntTensor<Self>,
        #[extension_type] weights: RowWeights<Self>,
        objective: Objective,
        scale: f32,
        tile: usize,
    ) -> FloatTensor<Self> {
        let inputs = tiled::Inputs {
            student_hidden,
            student_head,
            teacher,
            soft_cap,
            labels,
            weights,
            objective,
            scale,
            tile,
        };
        let kernel = Self::loss_and_gradient;
        tiled::loss_and_gradients(inputs, tiled::Requested::default(), kernel).loss
    }

    /// Returns a gradient \[m, n\] of the loss times the upstream gradient \[1, 1\].
    #[fusion(default)]
    fn times_upstream(
        gradient: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::float_mul(gradient, upstream)
    }
}

impl ObjectiveBackend for Flex {
    fn corrected_target(
        teacher_logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
    ) -> FloatTensor<Self> {
        let values = || 2 * teacher_logits.shape().num_elements();
        let _span = profile::operation(Operation::Loss, || Work::moving(values()));
        let mut target = contiguous(teacher_logits);
        let labels = contiguous(labels);
        cpu::corrected_target(target.storage_mut(), labels.storage(), &objective);
        target
    }

    fn loss_and_gradient(
        student_logits: FloatTensor<Self>,
        teacher_logits: TeacherLogits<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
        gradient_scale: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        // Both logits are read, and the gradient is written.
        let tensors = if objective.needs_teacher() { 3 } else { 2 };
        let values = || tensors * student_logits.shape().num_elements();
        let _span = profile::operation(Operation::Loss, || Work::moving(values()));
        let mut gradient = contiguous(student_logits);
        let mut teacher = match teacher_logits {
            TeacherLogits::Logits(logits) if objective.needs_teacher() => Some(contiguous(logits)),
            _ => None,
        };
        let labels = contiguous(labels);
        let mut losses = FlexTensor::zeros(labels.shape(), DType::F32);
        cpu::loss_and_gradient(
            gradient.storage_mut(),
            teacher.as_mut().map_or(&mut [], FlexTensor::storage_mut),
            labels.storage(),
            &objective,
            gradient_scale,
            losses.storage_mut(),
        );
        (losses, gradient)
    }

    /// Skips the pass over a head's gradient where the loss is what is differentiated.
    fn times_upstream(
        gradient: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        if upstream.storage::<f32>() == [1.0] {
            return gradient;
        }
        Self::float_mul(gradient, upstream)
    }
}
