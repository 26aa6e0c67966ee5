//! The loss from hidden states: logits are made a tile of rows at a time, turned into loss and
//! gradient at once, and dropped. Student and teacher logits never exist whole.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Slice, TensorMetadata};
use burn::tensor::Shape;

use super::backend::{ObjectiveBackend, TeacherHidden, TeacherLogits};
use super::settings::Objective;

/// What the tiled loss works on; see [`ObjectiveBackend::loss_of_hidden`].
pub(super) struct Inputs<B: ObjectiveBackend> {
    pub student_hidden: FloatTensor<B>,
    pub student_head: FloatTensor<B>,
    pub teacher: TeacherHidden<B>,
    pub labels: IntTensor<B>,
    pub objective: Objective,
    pub scale: f32,
    pub tile: usize,
}

/// Which gradients are wanted.
#[derive(Clone, Copy, Default)]
pub(super) struct Wanted {
    pub hidden: bool,
    pub head: bool,
}

/// Loss \[1\] and its gradients with respect to hidden states \[rows, hidden\] and head
/// \[vocabulary, hidden\].
pub(super) struct LossAndGradients<B: ObjectiveBackend> {
    pub loss: FloatTensor<B>,
    pub hidden: Option<FloatTensor<B>>,
    pub head: Option<FloatTensor<B>>,
}

pub(super) fn loss_and_gradients<B: ObjectiveBackend>(
    inputs: Inputs<B>,
    wanted: Wanted,
) -> LossAndGradients<B> {
    let [rows, hidden_size] = inputs.student_hidden.shape().dims();
    let rows_of = |tensor: &FloatTensor<B>, start: usize, end: usize| {
        let columns = Slice::from(0..hidden_size);
        B::float_slice(tensor.clone(), &[Slice::from(start..end), columns])
    };
    let logits = |hidden: FloatTensor<B>, head: &FloatTensor<B>| {
        B::matrix_product(hidden, B::float_transpose(head.clone()))
    };

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
        let (losses, gradient) = B::loss_and_gradient(
            student_logits,
            teacher_logits,
            labels,
            inputs.objective,
            inputs.scale,
        );

        // Along its one dimension, see `crate::device::sum`.
        add::<B>(&mut loss, B::float_sum_dim(losses, 0));
        if wanted.hidden {
            hidden_gradients.push(B::matrix_product(
                gradient.clone(),
                inputs.student_head.clone(),
            ));
        }
        if wanted.head {
            add::<B>(
                &mut head_gradient,
                B::matrix_product(B::float_transpose(gradient), hidden),
            );
        }
    }

    let loss = loss.expect("at least one row: the public functions check it");
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

fn add<B: ObjectiveBackend>(sum: &mut Option<FloatTensor<B>>, term: FloatTensor<B>) {
    *sum = Some(match sum.take() {
        Some(sum) => B::float_add(sum, term),
        None => term,
    });
}
