//! The corrected target itself; see `shaders/distillation/corrected_target.wgsl`.

use super::{Correction, TeacherRow, correct};
use crate::kernels::distillation::Objective;
use crate::kernels::vector::{exponentiate, first_index_of, maximum};

/// Overwrites a row of teacher logits by the target of its label; a masked row (label < 0) becomes the
/// teacher's own distribution. Where the target depends on the student, it is that of a student that equals
/// the teacher.
pub(super) fn work_on_row(teacher: &mut [f32], label: i32, objective: &Objective) {
    let inverse_temperature = 1.0 / objective.temperature;
    let label = usize::try_from(label).ok();
    let x_label = label.map_or(0.0, |label| teacher[label] * inverse_temperature);

    let largest = maximum(teacher);
    let argmax = first_index_of(teacher, largest);
    let teacher_maximum = largest * inverse_temperature;
    let teacher_row = TeacherRow {
        sum: exponentiate(teacher, teacher_maximum, inverse_temperature),
        argmax,
        contrast: 0.0,
    };

    let log_p_label = f64::from(x_label) - f64::from(teacher_maximum) - teacher_row.sum.ln();
    let correction = match label {
        Some(label) => {
            let s_label = log_p_label.exp();
            correct(&teacher_row, log_p_label, label, s_label, 0.0, objective)
        }
        None => Correction {
            kept: 1.0,
            q_label: 0.0,
            weight: 1.0,
        },
    };

    let factor = (correction.kept / teacher_row.sum) as f32;
    for weight in teacher.iter_mut() {
        *weight *= factor;
    }
    if let Some(label) = label {
        teacher[label] = correction.q_label as f32;
    }
}
