//! The objective in plain Rust: what the CPU device runs, and what the shaders are checked against.
//!
//! The names and the order of lines are those of `shaders/distillation_loss.wgsl` and
//! `shaders/correction.wgsl`. Two things differ because a processor has caches and `f64`: a row's
//! maximum is found first, so that every exponential is computed once, and sums are carried in
//! `f64` beyond a few hundred elements.

use multiversion::multiversion;
use rayon::prelude::*;

use super::settings::{Objective, Scope};
use crate::vector::{exp, exponentiate, first_index_of, map_and_sum, maximum};

/// Label of a position that does not count: no loss, no gradient. Any negative label does this.
pub const MASKED: i32 = -1;

/// What the corrected target needs to know of one row of teacher logits.
struct TeacherRow {
    /// Sum of exp((logit - maximum) / T).
    sum: f64,
    /// Whether the label is the most likely token (the lowest index wins a tie).
    label_is_argmax: bool,
    log_p_label: f64,
    /// Sum of exp((logit - maximum) / T) · contrast.
    contrast: f64,
}

/// The corrected target of a row: every token keeps `kept` = 1 − α of its probability, the label
/// gets the rest.
struct Correction {
    kept: f64,
    q_label: f64,
}

impl Correction {
    const ONE_HOT: Self = Self {
        kept: 0.0,
        q_label: 1.0,
    };

    fn of(teacher_row: &TeacherRow, objective: &Objective) -> Self {
        let p_max = 1.0 / teacher_row.sum;
        let p_label = if teacher_row.label_is_argmax {
            p_max
        } else {
            teacher_row.log_p_label.exp()
        };
        let kept = one_minus_alpha(p_label, p_max, teacher_row.label_is_argmax, objective);
        Self {
            kept,
            q_label: kept * p_label + (1.0 - kept),
        }
    }
}

/// 1 − α, see `shaders/correction.wgsl`; computed as such it loses no digits where α is near 1.
fn one_minus_alpha(p_label: f64, p_max: f64, label_is_argmax: bool, objective: &Objective) -> f64 {
    if let Some(alpha) = objective.alpha {
        return 1.0 - f64::from(alpha);
    }
    let tau = f64::from(objective.tau);
    if !label_is_argmax {
        return (1.0 - tau) / (1.0 + p_max - p_label);
    }
    if objective.scope == Scope::Incorrect {
        return 1.0;
    }
    if p_label + tau >= 1.0 {
        return 0.0;
    }
    (1.0 - p_label - tau) / (1.0 - p_label)
}

/// Loss and gradient of one row whose label counts. `student` holds logits and is overwritten by
/// the gradient; `teacher` holds logits and is overwritten by unnormalised probabilities, or is
/// empty where the target is one-hot.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn loss_and_gradient_of_row(
    student: &mut [f32],
    teacher: &mut [f32],
    label: usize,
    objective: &Objective,
    gradient_scale: f32,
) -> f32 {
    let inverse_temperature = 1.0 / objective.temperature;
    let student_label = student[label] * inverse_temperature;
    let student_maximum = maximum(student) * inverse_temperature;

    let student_sum;
    let mut correction = Correction::ONE_HOT;
    let mut loss = 0.0;
    let mut teacher_sum = 1.0;
    if teacher.is_empty() {
        student_sum = exponentiate(student, student_maximum, inverse_temperature);
    } else {
        let largest = maximum(teacher);
        let teacher_label = teacher[label] * inverse_temperature;
        let teacher_maximum = largest * inverse_temperature;
        let label_is_argmax = first_index_of(teacher, largest) == label;

        let sums = map_and_sum(student, teacher, |student, teacher| {
            let x_student = *student * inverse_temperature;
            let x_teacher = *teacher * inverse_temperature;
            let contrast = (x_teacher - teacher_label) - (x_student - student_label);
            *student = exp(x_student - student_maximum);
            *teacher = exp(x_teacher - teacher_maximum);
            // Nothing times an infinite contrast is nothing.
            let weighted = if *teacher == 0.0 {
                0.0
            } else {
                *teacher * contrast
            };
            [*student, *teacher, weighted]
        });

        student_sum = sums[0];
        let teacher_row = TeacherRow {
            sum: sums[1],
            label_is_argmax,
            log_p_label: f64::from(teacher_label) - f64::from(teacher_maximum) - sums[1].ln(),
            contrast: sums[2],
        };
        correction = Correction::of(&teacher_row, objective);
        let Correction { kept, q_label } = correction;
        if kept > 0.0 {
            loss += kept * teacher_row.contrast / teacher_row.sum
                + (1.0 - q_label) * (kept.ln() + teacher_row.log_p_label);
        }
        if q_label > 0.0 {
            loss += q_label * q_label.ln();
        }
        teacher_sum = teacher_row.sum;
    }
    loss -= f64::from(student_label) - f64::from(student_maximum) - student_sum.ln();

    let p_student_label = (f64::from(student[label]) / student_sum) as f32;
    let student_factor = gradient_scale * (1.0 / student_sum) as f32;
    if correction.kept > 0.0 {
        let teacher_factor = gradient_scale * (correction.kept / teacher_sum) as f32;
        for (student, &teacher) in student.iter_mut().zip(teacher.iter()) {
            *student = *student * student_factor - teacher * teacher_factor;
        }
    } else {
        for student in student.iter_mut() {
            *student *= student_factor;
        }
    }
    student[label] = gradient_scale * (p_student_label - correction.q_label as f32);

    objective.temperature * objective.temperature * loss as f32
}

/// Loss per row and gradient with respect to the student's logits.
///
/// * `student`: logits \[rows, vocabulary\], overwritten by the gradient of
///   `gradient_scale · Σ loss` with respect to them.
/// * `teacher`: logits \[rows, vocabulary\], used as working memory; empty where
///   [`Objective::needs_teacher`] is false.
/// * `labels`: one a row; negative where the position does not count.
/// * `losses`: one a row.
///
/// # Panics
///
/// If the lengths do not fit together or a label is not below the vocabulary size.
pub fn loss_and_gradient(
    student: &mut [f32],
    teacher: &mut [f32],
    labels: &[i32],
    objective: &Objective,
    gradient_scale: f32,
    losses: &mut [f32],
) {
    let vocabulary = vocabulary_of(student.len(), labels);
    assert_eq!(losses.len(), labels.len(), "one loss a row");
    let with_teacher = objective.needs_teacher();
    if with_teacher {
        assert_eq!(
            teacher.len(),
            student.len(),
            "as many teacher as student logits"
        );
    }
    let gradient_scale = gradient_scale * objective.temperature;
    let row = |student: &mut [f32], teacher: &mut [f32], label: i32| match usize::try_from(label) {
        Ok(label) => loss_and_gradient_of_row(student, teacher, label, objective, gradient_scale),
        Err(_) => {
            student.fill(0.0);
            0.0
        }
    };
    let rows = (student.par_chunks_mut(vocabulary), labels, losses);
    let rows_a_task = rows_a_task(vocabulary);
    if with_teacher {
        (rows, teacher.par_chunks_mut(vocabulary))
            .into_par_iter()
            .with_min_len(rows_a_task)
            .for_each(|((student, &label, loss), teacher)| *loss = row(student, teacher, label));
    } else {
        rows.into_par_iter()
            .with_min_len(rows_a_task)
            .for_each(|(student, &label, loss)| *loss = row(student, &mut [], label));
    }
}

/// The corrected target q \[rows, vocabulary\] of teacher logits, written over them. Rows with a
/// negative label become the teacher's own distribution.
///
/// # Panics
///
/// If the lengths do not fit together or a label is not below the vocabulary size.
pub fn corrected_target(teacher: &mut [f32], labels: &[i32], objective: &Objective) {
    let vocabulary = vocabulary_of(teacher.len(), labels);
    (teacher.par_chunks_mut(vocabulary), labels)
        .into_par_iter()
        .with_min_len(rows_a_task(vocabulary))
        .for_each(|(teacher, &label)| {
            let inverse_temperature = 1.0 / objective.temperature;
            let largest = maximum(teacher);
            let argmax = first_index_of(teacher, largest);
            let x_label = usize::try_from(label).map(|label| teacher[label] * inverse_temperature);
            let sum = exponentiate(teacher, largest * inverse_temperature, inverse_temperature);
            let (label, correction) = match (usize::try_from(label), x_label) {
                (Ok(label), Ok(x_label)) => {
                    let row = TeacherRow {
                        sum,
                        label_is_argmax: argmax == label,
                        log_p_label: f64::from(x_label)
                            - f64::from(largest * inverse_temperature)
                            - sum.ln(),
                        contrast: 0.0,
                    };
                    (Some(label), Correction::of(&row, objective))
                }
                _ => (
                    None,
                    Correction {
                        kept: 1.0,
                        q_label: 0.0,
                    },
                ),
            };
            let factor = (correction.kept / sum) as f32;
            for weight in teacher.iter_mut() {
                *weight *= factor;
            }
            if let Some(label) = label {
                teacher[label] = correction.q_label as f32;
            }
        });
}

/// Work below some ten thousand logits is not worth a task of its own.
fn rows_a_task(vocabulary: usize) -> usize {
    (16_384 / vocabulary).max(1)
}

fn vocabulary_of(logits: usize, labels: &[i32]) -> usize {
    if labels.is_empty() {
        return 1;
    }
    let vocabulary = logits / labels.len();
    assert_eq!(
        logits,
        vocabulary * labels.len(),
        "logits are [rows, vocabulary]"
    );
    assert!(
        labels
            .iter()
            .all(|&label| i64::from(label) < vocabulary as i64),
        "a label is not below the vocabulary size of {vocabulary}"
    );
    vocabulary.max(1)
}
