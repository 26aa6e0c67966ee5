//! The objective in burn's tensor operations, written like the formulas of the paper: the reference that
//! the kernels are tested against. It keeps every intermediate \[rows, vocab_size\].

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

use super::objective::Objective;
use super::target::{Scope, Target};

/// Computes the corrected target q \[rows, vocab_size\] (arXiv:2506.15702, section 3).
///
/// `labels` \[rows\] must be from 0 to below the vocab_size size: masked tokens have to be replaced before.
pub fn corrected_target(
    teacher_logits: Tensor<2>,
    labels: Tensor<1, Int>,
    objective: &Objective,
) -> Tensor<2> {
    let [rows, vocab_size] = teacher_logits.dims();
    let device = teacher_logits.device();
    let labels: Tensor<2, Int> = labels.unsqueeze_dim(1);
    let columns = Tensor::<1, Int>::arange(0..vocab_size as i64, &device)
        .unsqueeze::<2>()
        .expand([rows, vocab_size]);
    let is_label = columns
        .clone()
        .equal(labels.clone().expand([rows, vocab_size]));

    let p = log_softmax(teacher_logits.clone() / objective.temperature, 1).exp();
    let (tau, scope) = match objective.target {
        Target::Label => return is_label.float(),
        Target::Mixture { alpha } => return p * (1.0 - alpha) + is_label.float() * alpha,
        Target::Selective { threshold } => {
            let p_label = p.clone().gather(1, labels);
            let trained = p_label.greater_equal_elem(threshold).float();
            return p * (-trained.clone() + 1.0) + is_label.float() * trained;
        }
        Target::Corrected { tau, scope } => (tau, scope),
    };
    let p_label = p.clone().gather(1, labels.clone());
    let largest = teacher_logits.clone().max_dim(1);
    let argmax = columns
        .mask_fill(
            teacher_logits.lower(largest.expand([rows, vocab_size])),
            vocab_size as i64,
        )
        .min_dim(1);
    let p_max = p.clone().gather(1, argmax.clone());

    let when_wrong = (p_max.clone() - p_label.clone() + tau) / (p_max - p_label.clone() + 1.0);
    let one_minus_p = -p_label.clone() + 1.0;
    let when_right = match scope {
        Scope::All => {
            let alpha = ((p_label.clone() + tau).clamp_max(1.0) - p_label.clone())
                / one_minus_p.clone().clamp_min(f32::MIN_POSITIVE);
            alpha.mask_fill(one_minus_p.equal_elem(0.0), 1.0)
        }
        Scope::Incorrect => p_label.zeros_like(),
    };
    let alpha = when_wrong.mask_where(argmax.equal(labels), when_right);
    p * (-alpha.clone() + 1.0) + is_label.float() * alpha
}

/// Computes the loss per row \[rows\], T² KL(q ‖ softmax(s / T)), differentiable with respect to
/// `student_logits`; 0 where the label is negative.
pub fn distillation_loss(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    labels: Tensor<1, Int>,
    objective: &Objective,
) -> Tensor<1> {
    let counts = labels.clone().greater_equal_elem(0).float();
    let q = corrected_target(teacher_logits, labels.clamp_min(0), objective);
    let log_q = q.clone().clamp_min(f32::MIN_POSITIVE).log();
    let log_student = log_softmax(student_logits / objective.temperature, 1);
    let divergence = (q * (log_q - log_student)).sum_dim(1).squeeze_dim::<1>(1);
    divergence * counts * (objective.temperature * objective.temperature)
}
