//! The objective in burn's tensor operations, written like the formulas of the paper: the reference that
//! the kernels are tested against. It keeps every intermediate \[rows, vocab_size\].

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

use super::objective::Objective;
use super::target::{Scope, Target};

/// Computes the corrected target q \[rows, vocab_size\] (arXiv:2506.15702, section 3). Where it depends on the
/// student, it is that of a student that equals the teacher.
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
        Target::Label
        | Target::TokenMasking { .. }
        | Target::Dynamic
        | Target::EntropyAdaptive { .. }
        | Target::TokenAdaptive { .. } => return is_label.float(),
        Target::Anchored { anchor } => {
            let w_e = p.clone().gather(1, labels);
            return (p * anchor + is_label.float() * w_e.clone()) / (w_e + anchor);
        }
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

/// Computes the loss per row \[rows\], differentiable with respect to `student_logits`; 0 where the label is
/// negative. It is T² KL(q ‖ s) with s = softmax(student / T), or the weighted loss of a paper.
pub fn distillation_loss(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    labels: Tensor<1, Int>,
    objective: &Objective,
) -> Tensor<1> {
    let counts = labels.clone().greater_equal_elem(0).float();
    let labels = labels.clamp_min(0);
    let log_s = log_softmax(student_logits / objective.temperature, 1);
    let loss = match objective.target {
        Target::Label
        | Target::Corrected { .. }
        | Target::Mixture { .. }
        | Target::Selective { .. } => {
            let q = corrected_target(teacher_logits, labels, objective);
            divergence(q, log_s)
        }
        Target::TokenMasking { .. }
        | Target::Dynamic
        | Target::Anchored { .. }
        | Target::EntropyAdaptive { .. }
        | Target::TokenAdaptive { .. } => {
            let log_p = log_softmax(teacher_logits / objective.temperature, 1);
            weighted_loss(log_s, log_p, labels, objective.target)
        }
    };
    loss * counts * (objective.temperature * objective.temperature)
}

/// Computes KL(q ‖ s) per row \[rows\].
fn divergence(q: Tensor<2>, log_s: Tensor<2>) -> Tensor<1> {
    let log_q = q.clone().clamp_min(f32::MIN_POSITIVE).log();
    (q * (log_q - log_s)).sum_dim(1).squeeze_dim::<1>(1)
}

/// Computes − w_e log s_y + w_p KL(p ‖ s) per row \[rows\], without gradient through the weights.
fn weighted_loss(
    log_s: Tensor<2>,
    log_p: Tensor<2>,
    labels: Tensor<1, Int>,
    target: Target,
) -> Tensor<1> {
    let labels: Tensor<2, Int> = labels.unsqueeze_dim(1);
    let log_s_label = log_s.clone().gather(1, labels.clone());
    let s_label = log_s_label.clone().detach().exp();
    let w_e = match target {
        // arXiv:2501.14315, section 5: tokens of a perplexity 1 / p_y above 1 / θ are masked.
        Target::TokenMasking { threshold } => {
            let p_label = log_p.clone().gather(1, labels).exp();
            p_label.greater_equal_elem(threshold).float()
        }
        // arXiv:2508.05629, equation 9.
        Target::Dynamic | Target::Anchored { .. } => s_label,
        // arXiv:2601.02151, equation 3.
        Target::EntropyAdaptive { gamma } => match gamma {
            0.0 => s_label.ones_like(),
            _ => entropy_of_top(log_s.clone().detach()).powf_scalar(gamma),
        },
        // arXiv:2509.20758.
        Target::TokenAdaptive { gamma } => match gamma {
            0.0 => s_label.ones_like(),
            _ => s_label.powf_scalar(gamma).clamp_min(0.01),
        },
        _ => s_label.ones_like(),
    };
    let cross_entropy = -log_s_label;
    let loss = (w_e * cross_entropy).squeeze_dim::<1>(1);
    match target {
        Target::Anchored { anchor } => loss + divergence(log_p.exp(), log_s) * anchor,
        _ => loss,
    }
}

/// Computes the entropy \[rows, 1\] of the 20 most likely tokens among themselves, divided by its maximum.
fn entropy_of_top(log_s: Tensor<2>) -> Tensor<2> {
    let [rows, vocab_size] = log_s.dims();
    let columns = Tensor::<1, Int>::arange(0..vocab_size as i64, &log_s.device())
        .unsqueeze::<2>()
        .expand([rows, vocab_size]);
    let maximum = log_s.clone().max_dim(1);
    // Relative to the largest, whose own term would hide small ones.
    let mut rest = log_s - maximum;
    let (mut sum, mut weighted) = (None, None);
    let most = vocab_size.min(20);
    for place in 0..most {
        let (difference, index) = rest.clone().max_dim_with_indices(1);
        rest = rest.mask_fill(
            columns.clone().equal(index.expand([rows, vocab_size])),
            f32::MIN,
        );
        if place == 0 {
            continue;
        }
        let term = difference.clone().exp();
        let product = term.clone() * difference.clamp_min(-100.0);
        sum = Some(sum.map_or(term.clone(), |sum: Tensor<2>| sum + term));
        weighted = Some(weighted.map_or(product.clone(), |sum: Tensor<2>| sum + product));
    }
    let (Some(sum), Some(weighted)) = (sum, weighted) else {
        return Tensor::zeros([rows, 1], &columns.device());
    };
    let entropy = sum.clone().log1p() - weighted / (sum + 1.0);
    entropy / (most as f32).ln()
}
