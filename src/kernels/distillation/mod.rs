//! The objective: the corrected target of minifinetuning, and the distillation loss towards it.
//!
//! For a predicted token with teacher logits t, student logits s, label y, temperature T and
//! margin τ (Belcak et al., arXiv:2506.15702):
//!
//! ```text
//! p = softmax(t / T)                  m = argmax p
//! α = (p_m − p_y + τ) / (1 + p_m − p_y)           where m ≠ y
//! α = (min(1, p_y + τ) − p_y) / (1 − p_y)         where m = y
//! q = (1 − α) p + α e_y               the corrected target
//! L = T² KL(q ‖ softmax(s / T))       the loss, without gradient through q
//! ```
//!
//! [`Target`] lists the available q, and the weights of loss and gradient. Three implementations must agree: the shaders
//! (`shaders/distillation/`), the CPU kernels ([`cpu`]), and burn's tensor operations
//! ([`mod@reference`]).

mod autodiff;
mod backend;
mod by_row;
pub mod cpu;
mod head;
mod objective;
mod options;
pub mod reference;
mod row_weights;
mod strength;
mod target;
mod teacher;
mod tiled;
mod wgsl;

use burn::backend::Dispatch;
use burn::tensor::{DType, Int, IntDType, Tensor};

pub use backend::ObjectiveBackend;
pub(crate) use by_row::losses_by_row;
pub use head::{LanguageHead, Predictions};
pub use objective::Objective;
#[cfg_attr(not(feature = "c"), allow(unused_imports))]
pub(crate) use options::OPTIONAL_KEYS;
pub use options::TargetOptions;
pub use row_weights::RowWeights;
pub use strength::TargetStrength;
pub use target::{DEFAULT_ALPHA, DEFAULT_TAU, Method, Scope, Target};
pub use teacher::{TeacherHidden, TeacherLogits};
pub(crate) use wgsl::kernels;

/// Default size in bytes of a tile of logits, one for the student and one for the teacher.
///
/// Large enough for matmuls at full speed, yet small compared with a model: 8,192 rows at a vocabulary
/// of 1,024, 262 at 32,000, 65 at 128,256.
pub const DEFAULT_TILE_BYTES: usize = 32 << 20;

/// Computes the mean loss `Σ weight · loss / predicted` \[1\] of the student's predictions, differentiable with
/// respect to their hidden states and head.
///
/// * `teacher`: predictions of the frozen model for the same rows; may be absent if
///   [`Objective::needs_teacher`] is false.
/// * `labels` \[rows\]: negative for masked tokens.
/// * `weights` \[rows\]: 1 each where absent.
/// * `predicted`: number of tokens that the loss is averaged over.
/// * `tile_bytes`: memory per tile of logits, see [`DEFAULT_TILE_BYTES`].
///
/// # Panics
///
/// If shapes do not match, there are no rows, or a required teacher is absent.
pub fn distillation_loss(
    student: Predictions,
    teacher: Option<Predictions>,
    labels: Tensor<1, Int>,
    weights: Option<Tensor<1>>,
    objective: &Objective,
    predicted: usize,
    tile_bytes: usize,
) -> Tensor<1> {
    let [rows, hidden_size] = student.hidden.dims();
    let [vocab_size, head_width] = student.head.weight.dims();
    assert!(rows > 0, "the loss requires at least one row");
    assert_eq!(
        hidden_size, head_width,
        "hidden states and head must have the same width"
    );
    assert_eq!(labels.dims(), [rows], "one label per row");
    let teacher = teacher.filter(|_| objective.needs_teacher());
    assert!(
        teacher.is_some() || !objective.needs_teacher(),
        "this objective requires the teacher's predictions"
    );
    if let Some(teacher) = &teacher {
        assert_eq!(
            teacher.hidden.dims()[0],
            rows,
            "teacher and student must have the same number of rows"
        );
        assert_eq!(
            teacher.head.weight.dims()[0],
            vocab_size,
            "teacher and student must have the same vocabulary"
        );
        assert_eq!(
            teacher.head.soft_cap, student.head.soft_cap,
            "teacher and student must have the same soft cap"
        );
    }
    let teacher = match teacher {
        None => TeacherHidden::Unneeded,
        Some(teacher) => TeacherHidden::Hidden {
            hidden: teacher.hidden.into_dispatch(),
            head: teacher.head.weight.into_head(),
        },
    };
    let weights = match weights {
        None => RowWeights::Equal,
        Some(weights) => RowWeights::Weights(weights.reshape([rows, 1]).into_dispatch()),
    };
    let loss = Dispatch::loss_of_hidden(
        student.hidden.into_dispatch(),
        student.head.weight.into_head(),
        teacher,
        student.head.soft_cap,
        int32(labels).into_dispatch(),
        weights,
        *objective,
        1.0 / predicted.max(1) as f32,
        rows_of_tile(vocab_size, tile_bytes),
    );
    Tensor::from_dispatch(loss)
}

/// Computes the loss per row \[rows\] of student logits \[rows, vocab_size\], differentiable with respect
/// to them.
///
/// Training uses [`distillation_loss`], which never materializes the logits.
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

/// Computes the loss \[rows\], and the gradient \[rows, vocab_size\] of `gradient_scale · Σ loss` with
/// respect to the student's logits, without autodiff.
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

/// Computes the corrected target q \[rows, vocab_size\] of teacher logits. Rows with a negative label are
/// the teacher's own distribution. Where the target depends on the student, it is that of a student that equals
/// the teacher, as before the first step.
///
/// # Panics
///
/// If the number of labels is not the number of rows.
pub fn corrected_target(
    teacher_logits: Tensor<2>,
    labels: Tensor<1, Int>,
    objective: &Objective,
) -> Tensor<2> {
    assert_eq!(
        labels.dims()[0],
        teacher_logits.dims()[0],
        "one label per row"
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
    assert_eq!(labels.dims()[0], student.dims()[0], "one label per row");
    match teacher {
        Some(teacher) => assert_eq!(
            teacher.dims(),
            student.dims(),
            "teacher and student logits must have the same shape"
        ),
        None => assert!(
            !objective.needs_teacher(),
            "this objective requires the teacher's logits"
        ),
    }
}

fn dispatched(teacher_logits: Option<Tensor<2>>) -> TeacherLogits<Dispatch> {
    match teacher_logits {
        None => TeacherLogits::Unneeded,
        Some(logits) => TeacherLogits::Logits(logits.into_dispatch()),
    }
}

/// Returns the number of rows whose logits fit into `tile_bytes`, at least one.
fn rows_of_tile(vocab_size: usize, tile_bytes: usize) -> usize {
    (tile_bytes / (vocab_size.max(1) * size_of::<f32>())).max(1)
}

/// Casts labels to the type of the kernels.
fn int32(labels: Tensor<1, Int>) -> Tensor<1, Int> {
    match labels.dtype() {
        DType::I32 => labels,
        _ => labels.cast(IntDType::I32),
    }
}
