//! The loss from hidden states, one tile of rows at a time: logits are computed, reduced to loss and
//! gradient, and dropped. The full student and teacher logits are never materialized.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Slice, TensorMetadata};
use burn::tensor::Shape;

use super::objective::Objective;
use super::row_weights::RowWeights;
use super::teacher::{TeacherHidden, TeacherLogits};
use crate::kernels::matmul::MatmulBackend;
use crate::kernels::packed::{Head, PackedBackend, times_head};
use crate::kernels::soft_cap::SoftCapBackend;

/// Inputs of the tiled loss; see `ObjectiveBackend::loss_of_hidden`.
pub(super) struct Inputs<B: MatmulBackend + PackedBackend + SoftCapBackend> {
    pub student_hidden: FloatTensor<B>,
    pub student_head: Head<B>,
    pub teacher: TeacherHidden<B>,
    pub soft_cap: Option<f32>,
    pub labels: IntTensor<B>,
    pub weights: RowWeights<B>,
    pub objective: Objective,
    pub scale: f32,
    pub tile: usize,
}

/// The gradients to compute.
#[derive(Clone, Copy, Default)]
pub(super) struct Requested {
    pub hidden: bool,
    pub head: bool,
}

/// The loss \[1\] and its gradients with respect to hidden states \[rows, hidden\] and head
/// \[vocab_size, hidden\].
pub(super) struct LossAndGradients<B: MatmulBackend> {
    pub loss: FloatTensor<B>,
    pub hidden: Option<FloatTensor<B>>,
    pub head: Option<FloatTensor<B>>,
}

/// The kernel per tile: the backend's [`loss_and_gradient`](super::loss_and_gradient).
type Kernel<B> = fn(
    FloatTensor<B>,
    TeacherLogits<B>,
    IntTensor<B>,
    Objective,
    f32,
) -> (FloatTensor<B>, FloatTensor<B>);

/// Computes the loss and the requested gradients tile by tile.
pub(super) fn loss_and_gradients<B: MatmulBackend + PackedBackend + SoftCapBackend>(
    inputs: Inputs<B>,
    requested: Requested,
    kernel: Kernel<B>,
) -> LossAndGradients<B> {
    let [rows, hidden_size] = inputs.student_hidden.shape().dims();
    let rows_of = |tensor: &FloatTensor<B>, start: usize, end: usize| {
        let columns = Slice::from(0..hidden_size);
        B::float_slice(tensor.clone(), &[Slice::from(start..end), columns])
    };
    let logits = |hidden, head: &Head<B>| {
        let products = times_head(hidden, head, true);
        match inputs.soft_cap {
            Some(cap) => B::soft_cap(products, cap),
            None => products,
        }
    };
    let is_differentiated = requested.hidden || requested.head;

    let mut loss: Option<FloatTensor<B>> = None;
    let mut hidden_gradients = Vec::new();
    let mut head_gradient: Option<FloatTensor<B>> = None;
    for start in (0..rows).step_by(inputs.tile.max(1)) {
        let end = (start + inputs.tile.max(1)).min(rows);
        let hidden = rows_of(&inputs.student_hidden, start, end);
        let student_logits = logits(hidden.clone(), &inputs.student_head);
        let teacher_logits = match &inputs.teacher {
            TeacherHidden::Unneeded => TeacherLogits::Unneeded,
            TeacherHidden::Hidden { hidden, head } => {
                TeacherLogits::Logits(logits(rows_of(hidden, start, end), head))
            }
        };
        let labels = B::int_slice(inputs.labels.clone(), &[Slice::from(start..end)]);
        // The kernel overwrites logits without another handle.
        let capped = inputs.soft_cap.filter(|_| is_differentiated);
        let capped = capped.map(|cap| (student_logits.clone(), cap));
        let (losses, gradient) = kernel(
            student_logits,
            teacher_logits,
            labels,
            inputs.objective,
            inputs.scale,
        );

        // Rows of the hidden states are multiplied, since the logits' gradient is larger.
        let weights = inputs.weights.of_rows(start, end);
        // Along the only dimension, see `crate::device::sum`.
        add::<B>(&mut loss, B::float_sum_dim(weights.times(losses), 0));
        let gradient = match capped {
            Some((logits, cap)) => B::soft_cap_backward(logits, gradient, cap),
            None => gradient,
        };
        if requested.hidden {
            let of_hidden = times_head(gradient.clone(), &inputs.student_head, false);
            hidden_gradients.push(weights.times(of_hidden));
        }
        if requested.head {
            add::<B>(
                &mut head_gradient,
                B::matmul(B::float_transpose(gradient), weights.times(hidden)),
            );
        }
    }

    let loss = loss.expect("the public functions check that there is a row");
    LossAndGradients {
        loss: B::float_reshape(
            B::float_mul_scalar(loss, inputs.scale.into()),
            Shape::new([1]),
        ),
        hidden: match hidden_gradients.len() {
            0 => None,
            1 => hidden_gradients.pop(),
            _ => Some(B::float_cat(hidden_gradients, 0)),
        },
        head: head_gradient,
    }
}

fn add<B: MatmulBackend>(sum: &mut Option<FloatTensor<B>>, term: FloatTensor<B>) {
    *sum = Some(match sum.take() {
        Some(sum) => B::float_add(sum, term),
        None => term,
    });
}
