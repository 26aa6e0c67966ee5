//! The distillation kernels on the CPU. Each file has the functions of the shader of the same name in
//! `shaders/distillation/`, in the same order, and `correction.wgsl` is in `target.rs` and here.
//!
//! Three things differ, since a CPU has caches and `f64`: a row's maximum is found first, so that every
//! exponential is computed once, sums are carried in `f64` beyond a few hundred elements, and the most likely
//! tokens are collected in a short list.

mod corrected_target;
mod loss;
mod student_entropy;

use rayon::prelude::*;

use super::objective::Objective;

/// Label of a masked token: no loss, no gradient. Any negative label does this.
pub const MASKED: i32 = -1;

/// The statistics of a row of teacher logits that the correction depends on.
struct TeacherRow {
    /// Sum of exp((logit − maximum) / T).
    sum: f64,
    /// Index of the largest logit; the lowest index wins a tie.
    argmax: usize,
    /// Sum of exp((logit − maximum) / T) · contrast, see `shaders/distillation/loss.wgsl`.
    contrast: f64,
}

/// How far a target is moved from the teacher's distribution towards the label.
struct Correction {
    /// 1 − α: what every token keeps of its probability.
    kept: f64,
    /// The label's probability in the target.
    q_label: f64,
    /// w: the factor of loss and gradient.
    weight: f64,
}

/// See `shaders/distillation/correction.wgsl`.
fn correct(
    row: &TeacherRow,
    log_p_label: f64,
    label: usize,
    s_label: f64,
    entropy: f64,
    objective: &Objective,
) -> Correction {
    let p_max = 1.0 / row.sum;
    let label_is_argmax = row.argmax == label;
    let p_label = if label_is_argmax {
        p_max
    } else {
        log_p_label.exp()
    };
    let target = objective.target;
    let kept = target.one_minus_alpha(p_label, p_max, label_is_argmax, s_label);
    Correction {
        kept,
        q_label: kept * p_label + (1.0 - kept),
        weight: target.weight(p_label, s_label, entropy),
    }
}

/// Computes the loss per row and the gradient with respect to the student's logits.
///
/// * `student`: logits \[rows, vocab_size\], overwritten by the gradient of
///   `gradient_scale · Σ loss` with respect to them.
/// * `teacher`: logits \[rows, vocab_size\], used as working memory; empty where
///   [`Objective::needs_teacher`] is false.
/// * `labels`: one per row; negative where the token is masked.
/// * `losses`: one per row.
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
    let vocab_size = vocab_size_of(student.len(), labels);
    assert_eq!(losses.len(), labels.len(), "one loss per row");
    let with_teacher = objective.needs_teacher();
    if with_teacher {
        assert_eq!(
            teacher.len(),
            student.len(),
            "teacher and student must have the same number of logits"
        );
    }
    let gradient_scale = gradient_scale * objective.temperature;
    let rows = (student.par_chunks_mut(vocab_size), labels, losses);
    let rows_per_task = rows_per_task(vocab_size);
    if with_teacher {
        (rows, teacher.par_chunks_mut(vocab_size))
            .into_par_iter()
            .with_min_len(rows_per_task)
            .for_each(|((student, &label, loss), teacher)| {
                *loss = loss::work_on_row(student, teacher, label, objective, gradient_scale);
            });
    } else {
        rows.into_par_iter()
            .with_min_len(rows_per_task)
            .for_each(|(student, &label, loss)| {
                *loss = loss::work_on_row(student, &mut [], label, objective, gradient_scale);
            });
    }
}

/// Overwrites teacher logits \[rows, vocab_size\] with the corrected target q. Rows with a negative label
/// become the teacher's own distribution.
///
/// # Panics
///
/// If the lengths do not fit together or a label is not below the vocabulary size.
pub fn corrected_target(teacher: &mut [f32], labels: &[i32], objective: &Objective) {
    let vocab_size = vocab_size_of(teacher.len(), labels);
    (teacher.par_chunks_mut(vocab_size), labels)
        .into_par_iter()
        .with_min_len(rows_per_task(vocab_size))
        .for_each(|(teacher, &label)| corrected_target::work_on_row(teacher, label, objective));
}

/// Returns the min number of rows per task: fewer than about 16,000 logits do not justify a task.
fn rows_per_task(vocab_size: usize) -> usize {
    (16_384 / vocab_size).max(1)
}

fn vocab_size_of(logits: usize, labels: &[i32]) -> usize {
    if labels.is_empty() {
        return 1;
    }
    let vocab_size = logits / labels.len();
    assert_eq!(
        logits,
        vocab_size * labels.len(),
        "logits are [rows, vocab_size]"
    );
    assert!(
        labels
            .iter()
            .all(|&label| i64::from(label) < vocab_size as i64),
        "a label is not below the vocabulary size of {vocab_size}"
    );
    vocab_size.max(1)
}

#[cfg(test)]
mod tests {
    /// The functions that a text declares, in order.
    fn functions(text: &str) -> Vec<&str> {
        text.lines()
            .filter_map(|line| {
                let line = line.trim_start().trim_start_matches("pub(super) ");
                let name = line.trim_start_matches("pub ").strip_prefix("fn ")?;
                name.split(['(', '<']).next()
            })
            .collect()
    }

    #[test]
    fn cpu_kernels_have_the_functions_of_their_shaders_in_the_same_order() {
        let loss = include_str!("loss.rs");
        let corrected_target = include_str!("corrected_target.rs");
        for (shader, cpu) in [
            (
                include_str!("../../../../shaders/distillation/loss.wgsl"),
                loss,
            ),
            (
                include_str!("../../../../shaders/distillation/corrected_target.wgsl"),
                corrected_target,
            ),
        ] {
            assert_eq!(functions(shader), functions(cpu));
        }
        let correction = include_str!("../../../../shaders/distillation/correction.wgsl");
        let [one_minus_alpha, weight, correct] = functions(correction)[..] else {
            panic!("correction.wgsl has other functions");
        };
        let rules = functions(include_str!("../target.rs"));
        assert!(rules.contains(&one_minus_alpha) && rules.contains(&weight));
        assert!(functions(include_str!("mod.rs")).contains(&correct));
    }
}
