//! The distillation loss and its gradient; see `shaders/distillation/loss.wgsl`.

use multiversion::multiversion;

use super::student_entropy::entropy_of_student;
use super::{Correction, TeacherRow, correct};
use crate::kernels::distillation::{Objective, Target};
use crate::kernels::vector::{exp, exponentiate, first_index_of, map_and_sum, maximum};

/// The terms of a row's loss.
struct Gathered {
    /// Sum of exp(x − maximum) over the student's row.
    student_sum: f64,
    student_maximum: f32,
    teacher: TeacherRow,
    teacher_maximum: f32,
}

/// The terms of a row's gradient.
struct Row {
    label: usize,
    q_label: f32,
    /// 1 / sum
    student_scale: f64,
    /// (1 − α) / sum
    teacher_scale: f32,
    gradient_scale: f32,
}

/// Accumulates the terms of the loss over a row. Overwrites both rows of logits with exp(x − maximum). The
/// teacher's row is empty for a one-hot target. `labels` are the student's and the teacher's logit of the label.
#[inline(always)]
fn gather(
    student: &mut [f32],
    teacher: &mut [f32],
    labels: [f32; 2],
    inverse_temperature: f32,
) -> Gathered {
    let student_maximum = maximum(student) * inverse_temperature;
    if teacher.is_empty() {
        return Gathered {
            student_sum: exponentiate(student, student_maximum, inverse_temperature),
            student_maximum,
            teacher: TeacherRow {
                sum: 1.0,
                argmax: 0,
                contrast: 0.0,
            },
            teacher_maximum: 0.0,
        };
    }
    let largest = maximum(teacher);
    let argmax = first_index_of(teacher, largest);
    let teacher_maximum = largest * inverse_temperature;
    let [student_label, teacher_label] = labels;
    let [student_sum, sum, contrast] = map_and_sum(student, teacher, |student, teacher| {
        let x_student = *student * inverse_temperature;
        let x_teacher = *teacher * inverse_temperature;
        let contrast = (x_teacher - teacher_label) - (x_student - student_label);
        *student = exp(x_student - student_maximum);
        *teacher = exp(x_teacher - teacher_maximum);
        // A token of probability 0 adds nothing, even if its contrast is infinite.
        let counted = if *teacher > 0.0 { contrast } else { 0.0 };
        [*student, *teacher, *teacher * counted]
    });
    Gathered {
        student_sum,
        student_maximum,
        teacher: TeacherRow {
            sum,
            argmax,
            contrast,
        },
        teacher_maximum,
    }
}

/// Returns L / T², 0 for a weight of 0; the last two arguments are logarithms of the label's probabilities.
fn loss_of_row(
    target: Target,
    teacher: &TeacherRow,
    correction: &Correction,
    log_student_label: f64,
    log_p_label: f64,
) -> f64 {
    if correction.weight == 0.0 {
        return 0.0;
    }
    let mut loss = -log_student_label;
    if matches!(target, Target::Anchored { .. }) {
        if correction.kept > 0.0 {
            loss += correction.kept * (teacher.contrast / teacher.sum + log_p_label);
        }
        return correction.weight * loss;
    }
    if correction.kept > 0.0 {
        loss += correction.kept * teacher.contrast / teacher.sum
            + (1.0 - correction.q_label) * (correction.kept.ln() + log_p_label);
    }
    if correction.q_label > 0.0 {
        loss += correction.q_label * correction.q_label.ln();
    }
    correction.weight * loss
}

/// Overwrites the student's row by its gradient. Both rows hold exp(x − maximum).
#[inline(always)]
fn put_gradient(student: &mut [f32], teacher: &[f32], row: &Row) {
    let gradient_scale = row.gradient_scale;
    let p_student_label = (f64::from(student[row.label]) * row.student_scale) as f32;
    let student_factor = gradient_scale * row.student_scale as f32;
    if row.teacher_scale > 0.0 {
        let teacher_factor = gradient_scale * row.teacher_scale;
        for (student, &teacher) in student.iter_mut().zip(teacher) {
            *student = *student * student_factor - teacher * teacher_factor;
        }
    } else {
        for student in student.iter_mut() {
            *student *= student_factor;
        }
    }
    student[row.label] = gradient_scale * (p_student_label - row.q_label);
}

/// Computes loss and gradient of one row. `student` holds logits and is overwritten by the gradient;
/// `teacher` holds logits and is overwritten, or is empty where the target is one-hot. A masked row
/// (label < 0) gets loss and gradient 0.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
pub(super) fn work_on_row(
    student: &mut [f32],
    teacher: &mut [f32],
    label: i32,
    objective: &Objective,
    gradient_scale: f32,
) -> f32 {
    let Ok(label) = usize::try_from(label) else {
        student.fill(0.0);
        return 0.0;
    };
    let inverse_temperature = 1.0 / objective.temperature;
    let one_hot = teacher.is_empty();
    let student_label = student[label] * inverse_temperature;
    let teacher_label = if one_hot {
        0.0
    } else {
        teacher[label] * inverse_temperature
    };
    let gathered = gather(
        student,
        teacher,
        [student_label, teacher_label],
        inverse_temperature,
    );

    let log_student_label =
        f64::from(student_label) - f64::from(gathered.student_maximum) - gathered.student_sum.ln();
    let s_label = log_student_label.exp();
    let entropy = match objective.target {
        Target::EntropyAdaptive { .. } => entropy_of_student(student),
        _ => 0.0,
    };
    let mut log_p_label = 0.0;
    let mut correction = Correction {
        kept: 0.0,
        q_label: 1.0,
        weight: objective.target.weight(0.0, s_label, entropy),
    };
    if !one_hot {
        log_p_label = f64::from(teacher_label)
            - f64::from(gathered.teacher_maximum)
            - gathered.teacher.sum.ln();
        correction = correct(
            &gathered.teacher,
            log_p_label,
            label,
            s_label,
            entropy,
            objective,
        );
    }
    let loss = loss_of_row(
        objective.target,
        &gathered.teacher,
        &correction,
        log_student_label,
        log_p_label,
    );
    let row = Row {
        label,
        q_label: correction.q_label as f32,
        student_scale: 1.0 / gathered.student_sum,
        teacher_scale: (correction.kept / gathered.teacher.sum) as f32,
        gradient_scale: gradient_scale * correction.weight as f32,
    };
    put_gradient(student, teacher, &row);
    objective.temperature * objective.temperature * loss as f32
}
