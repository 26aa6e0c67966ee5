//! What is optimised: the corrected target of minifinetuning and the distillation loss towards it.
//!
//! For one predicted position with teacher logits t, student logits s, label y, temperature T and
//! threshold τ (Belcak et al., arXiv:2506.15702):
//!
//! ```text
//! p = softmax(t / T)                  m = argmax p
//! α = (p_m − p_y + τ) / (1 + p_m − p_y)           where m ≠ y
//! α = (min(1, p_y + τ) − p_y) / (1 − p_y)         where m = y
//! q = (1 − α) p + α e_y               the corrected target
//! L = T² KL(q ‖ softmax(s / T))       the loss, without gradient through q
//! ```
//!
//! τ = 1 makes q one-hot, so plain finetuning is the same loss. A constant mixture has one α for
//! every token in place of that rule. Three forms compute it and must
//! agree: the shaders ([`crate::shader`]), their twin in plain Rust ([`twin`], which is what the CPU device
//! runs), and burn's tensor operations ([`mod@reference`]).

mod autodiff;
mod backend;
mod cpu;
pub mod reference;
mod settings;
mod tiled;
pub mod twin;
mod wgsl;

use burn::backend::Dispatch;
use burn::tensor::{DType, Int, IntDType, Tensor};

pub use backend::{ObjectiveBackend, TeacherHidden, TeacherLogits};
pub use settings::{DEFAULT_TAU, Objective, Scope};

/// Bytes that one tile of logits may take; student and teacher have one each.
///
/// Large enough that matrix products run at full speed, small enough to be nothing beside a model:
/// 8,192 rows at a vocabulary of 1,024, 262 at 32,000, 65 at 128,256.
pub const DEFAULT_TILE_BYTES: usize = 32 << 20;

/// Next-token predictions in the form that takes no memory: logits = hidden · headᵀ.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// Last hidden states \[rows, hidden size\].
    pub hidden: Tensor<2>,
    /// Weight of the language model head \[vocabulary, hidden size\].
    pub head: Tensor<2>,
}

/// The loss `Σ loss / positions` \[1\] of the student's predictions, differentiable with respect to
/// their hidden states and head.
///
/// * `teacher`: predictions of the frozen model for the same rows; may be absent where
///   [`Objective::needs_teacher`] is false.
/// * `labels` \[rows\]: negative where a position does not count.
/// * `positions`: how many labels count; the mean is taken over them.
/// * `tile_bytes`: memory for a tile of logits, see [`DEFAULT_TILE_BYTES`].
///
/// # Panics
///
/// If shapes do not fit together, there are no rows, or a needed teacher is absent.
pub fn distillation_loss(
    student: Predictions,
    teacher: Option<Predictions>,
    labels: Tensor<1, Int>,
    objective: &Objective,
    positions: usize,
    tile_bytes: usize,
) -> Tensor<1> {
    let [rows, hidden_size] = student.hidden.dims();
    let [vocabulary, head_width] = student.head.dims();
    assert!(rows > 0, "the loss needs at least one row");
    assert_eq!(
        hidden_size, head_width,
        "hidden states and head have the same width"
    );
    assert_eq!(labels.dims(), [rows], "one label a row");
    let teacher = teacher.filter(|_| objective.needs_teacher());
    assert!(
        teacher.is_some() || !objective.needs_teacher(),
        "an objective with tau < 1 needs the teacher's predictions"
    );
    if let Some(teacher) = &teacher {
        assert_eq!(
            teacher.hidden.dims()[0],
            rows,
            "as many teacher as student rows"
        );
        assert_eq!(teacher.head.dims()[0], vocabulary, "one vocabulary");
    }
    let teacher = match teacher {
        None => TeacherHidden::Unneeded,
        Some(teacher) => TeacherHidden::Hidden {
            hidden: teacher.hidden.into_dispatch(),
            head: teacher.head.into_dispatch(),
        },
    };
    let loss = Dispatch::loss_of_hidden(
        student.hidden.into_dispatch(),
        student.head.into_dispatch(),
        teacher,
        int32(labels).into_dispatch(),
        *objective,
        1.0 / positions.max(1) as f32,
        rows_of_tile(vocabulary, tile_bytes),
    );
    Tensor::from_dispatch(loss)
}

/// Loss \[rows\] of student logits \[rows, vocabulary\], differentiable with respect to them.
///
/// For logits that exist already; training uses [`distillation_loss`], which never makes them whole.
///
/// # Panics
///
/// If shapes do not fit together or a needed teacher is absent.
pub fn distillation_loss_of_logits(
    student_logits: Tensor<2>,
    teacher_logits: Option<Tensor<2>>,
    labels: Tensor<1, Int>,
    objective: &Objective,
) -> Tensor<1> {
    let teacher_logits = teacher_logits.filter(|_| objective.needs_teacher());
    check_logits(&student_logits, teacher_logits.as_ref(), &labels, objective);
    Tensor::from_dispatch(Dispatch::loss_of_logits(
        student_logits.into_dispatch(),
        dispatched(teacher_logits),
        int32(labels).into_dispatch(),
        *objective,
    ))
}

/// Loss \[rows\], and the gradient \[rows, vocabulary\] of `gradient_scale · Σ loss` with respect to
/// the student's logits, without autodiff.
///
/// # Panics
///
/// If shapes do not fit together or a needed teacher is absent.
pub fn loss_and_gradient(
    student_logits: Tensor<2>,
    teacher_logits: Option<Tensor<2>>,
    labels: Tensor<1, Int>,
    objective: &Objective,
    gradient_scale: f32,
) -> (Tensor<1>, Tensor<2>) {
    let teacher_logits = teacher_logits.filter(|_| objective.needs_teacher());
    check_logits(&student_logits, teacher_logits.as_ref(), &labels, objective);
    let (losses, gradient) = Dispatch::loss_and_gradient(
        student_logits.into_dispatch(),
        dispatched(teacher_logits),
        int32(labels).into_dispatch(),
        *objective,
        gradient_scale,
    );
    (
        Tensor::from_dispatch(losses),
        Tensor::from_dispatch(gradient),
    )
}

/// The corrected target q \[rows, vocabulary\] of teacher logits; rows with a negative label are the
/// teacher's own distribution.
///
/// # Panics
///
/// If there is not one label a row.
pub fn corrected_target(
    teacher_logits: Tensor<2>,
    labels: Tensor<1, Int>,
    objective: &Objective,
) -> Tensor<2> {
    assert_eq!(
        labels.dims()[0],
        teacher_logits.dims()[0],
        "one label a row"
    );
    Tensor::from_dispatch(Dispatch::corrected_target(
        teacher_logits.into_dispatch(),
        int32(labels).into_dispatch(),
        *objective,
    ))
}

fn check_logits(
    student: &Tensor<2>,
    teacher: Option<&Tensor<2>>,
    labels: &Tensor<1, Int>,
    objective: &Objective,
) {
    assert_eq!(labels.dims()[0], student.dims()[0], "one label a row");
    match teacher {
        Some(teacher) => assert_eq!(teacher.dims(), student.dims(), "logits of one shape"),
        None => assert!(
            !objective.needs_teacher(),
            "tau < 1 needs the teacher's logits"
        ),
    }
}

fn dispatched(teacher_logits: Option<Tensor<2>>) -> TeacherLogits<Dispatch> {
    match teacher_logits {
        None => TeacherLogits::Unneeded,
        Some(logits) => TeacherLogits::Logits(logits.into_dispatch()),
    }
}

/// Rows whose logits fit into `tile_bytes`, at least one.
fn rows_of_tile(vocabulary: usize, tile_bytes: usize) -> usize {
    (tile_bytes / (vocabulary.max(1) * size_of::<f32>())).max(1)
}

/// Labels as the kernels take them.
fn int32(labels: Tensor<1, Int>) -> Tensor<1, Int> {
    match labels.dtype() {
        DType::I32 => labels,
        _ => labels.cast(IntDType::I32),
    }
}
