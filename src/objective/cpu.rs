//! The CPU device: the scalar twin on burn's `flex` tensors, in place where nobody else holds them.

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::DType;

use super::backend::{ObjectiveBackend, TeacherLogits};
use super::settings::Objective;
use super::twin;

impl ObjectiveBackend for Flex {
    fn corrected_target(
        teacher_logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
    ) -> FloatTensor<Self> {
        let mut target = contiguous(teacher_logits);
        let labels = contiguous(labels);
        twin::corrected_target(target.storage_mut(), labels.storage(), &objective);
        target
    }

    fn loss_and_gradient(
        student_logits: FloatTensor<Self>,
        teacher_logits: TeacherLogits<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
        gradient_scale: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let mut gradient = contiguous(student_logits);
        let mut teacher = match teacher_logits {
            TeacherLogits::Logits(logits) if objective.needs_teacher() => Some(contiguous(logits)),
            _ => None,
        };
        let labels = contiguous(labels);
        let mut losses = FlexTensor::zeros(labels.shape(), DType::F32);
        twin::loss_and_gradient(
            gradient.storage_mut(),
            teacher.as_mut().map_or(&mut [], FlexTensor::storage_mut),
            labels.storage(),
            &objective,
            gradient_scale,
            losses.storage_mut(),
        );
        (losses, gradient)
    }
}

/// The tensor with its elements in order, sharing memory with nothing that this function saw.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    let contiguous = tensor.to_contiguous();
    drop(tensor);
    contiguous
}
