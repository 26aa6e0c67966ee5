//! Invariants of the method for any logits: q is a distribution, the margin is exactly τ, α is in [0, 1], and
//! the other tokens keep their proportions. Properties of the loss, and of the weights of the baselines.
#![allow(clippy::unwrap_used)]

use crate::common;

use common::{gpu, labels, matrix, values};
use minift::internals::distillation::{self, Objective, Scope, Target, cpu, reference};
use proptest::prelude::*;

fn softmax(logits: &[f32], temperature: f32) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = logits
        .iter()
        .map(|&logit| (f64::from(logit - largest) / f64::from(temperature)).exp())
        .collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|x| x / sum).collect()
}

fn first_largest(p: &[f64]) -> usize {
    (0..p.len()).fold(0, |best, i| if p[i] > p[best] { i } else { best })
}

/// Returns the weights w_e of the label and w_p of the teacher's distribution of a baseline that gives both, from
/// the distributions of teacher and student.
fn weights(target: Target, p: &[f64], s: &[f64], label: usize) -> Option<(f64, f64)> {
    match target {
        Target::TokenMasking { threshold } => {
            Some((f64::from(u8::from(p[label] >= f64::from(threshold))), 0.0))
        }
        Target::Dynamic => Some((s[label], 0.0)),
        Target::Anchored { anchor } => Some((s[label], f64::from(anchor))),
        Target::EntropyAdaptive { gamma } => {
            let mut top = s.to_vec();
            top.sort_by(|a, b| b.total_cmp(a));
            top.truncate(20);
            let sum: f64 = top.iter().sum();
            let terms = top.iter().map(|s| s / sum).filter(|r| *r > 0.0);
            let entropy: f64 = terms.map(|r| -r * r.ln()).sum();
            let share = (entropy / (top.len() as f64).ln()).clamp(0.0, 1.0);
            Some((share.powf(f64::from(gamma)), 0.0))
        }
        Target::TokenAdaptive { gamma } => Some((s[label].powf(f64::from(gamma)).max(0.01), 0.0)),
        _ => None,
    }
}

/// Whether rounding may decide a token's weight.
fn is_undecided(target: Target, p: &[f64], label: usize) -> bool {
    match target {
        Target::TokenMasking { threshold } => (p[label] - f64::from(threshold)).abs() < 1e-5,
        _ => false,
    }
}

/// Checks a corrected target against the teacher's distribution.
fn check(
    logits: &[f32],
    label: usize,
    objective: &Objective,
    q: &[f32],
) -> Result<(), TestCaseError> {
    let p = softmax(logits, objective.temperature);
    let q: Vec<f64> = q.iter().copied().map(f64::from).collect();
    let tau = f64::from(objective.target.tau().unwrap_or(1.0));
    let largest = first_largest(&p);

    prop_assert!(
        (q.iter().sum::<f64>() - 1.0).abs() < 1e-5,
        "q sums to {}",
        q.iter().sum::<f64>()
    );
    prop_assert!(
        q.iter().all(|q| (-1e-7..=1.0 + 1e-6).contains(q)),
        "q outside [0, 1]"
    );

    if let Some(alpha) = objective.target.alpha().map(f64::from) {
        for (i, (q, p)) in q.iter().zip(&p).enumerate() {
            let expected = (1.0 - alpha) * p + if i == label { alpha } else { 0.0 };
            prop_assert!((q - expected).abs() < 2e-6, "{q} for {expected}");
        }
        return Ok(());
    }
    // The target of a student that equals the teacher.
    if let Some((w_e, w_p)) = weights(objective.target, &p, &p, label) {
        for (i, (q, p)) in q.iter().zip(&p).enumerate() {
            let one_hot = f64::from(u8::from(i == label));
            let expected = match w_p > 0.0 {
                true => (w_e * one_hot + w_p * p) / (w_e + w_p),
                false => one_hot,
            };
            prop_assert!((q - expected).abs() < 2e-6, "{q} for {expected}");
        }
        return Ok(());
    }
    let scope = match objective.target {
        Target::Corrected { scope, .. } => scope,
        Target::Selective { threshold } => {
            let distance = p[label] - f64::from(threshold);
            for (i, (q, p)) in q.iter().zip(&p).enumerate() {
                let one_hot = f64::from(u8::from(i == label));
                let expected = if distance < 0.0 { *p } else { one_hot };
                // Rounding decides at the threshold itself.
                let fits = (q - expected).abs() < 2e-6 || distance.abs() < 1e-5;
                prop_assert!(fits, "{q} for {expected}");
            }
            return Ok(());
        }
        _ => Scope::All,
    };
    if scope == Scope::Incorrect && largest == label {
        for (q, p) in q.iter().zip(&p) {
            prop_assert!(
                (q - p).abs() < 2e-6,
                "a correctly predicted token was corrected"
            );
        }
        return Ok(());
    }
    // 1 − α, from the probability that the other tokens keep.
    let others: f64 = 1.0 - p[label];
    if others > 1e-3 {
        let alpha = 1.0 - (1.0 - q[label]) / others;
        prop_assert!((-1e-3..=1.0 + 1e-3).contains(&alpha), "alpha is {alpha}");
        for i in (0..p.len()).filter(|&i| i != label) {
            prop_assert!(
                (q[i] - (1.0 - alpha) * p[i]).abs() < 2e-5,
                "proportions are not kept"
            );
        }
    }
    if largest == label {
        prop_assert!((q[label] - (p[label] + tau).min(1.0)).abs() < 1e-5);
    } else {
        prop_assert!(
            (q[label] - q[largest] - tau).abs() < 1e-5,
            "margin is {}",
            q[label] - q[largest]
        );
    }
    Ok(())
}

prop_compose! {
    fn rows()(vocabulary in 2_usize..80)
        (logits in prop::collection::vec(-30.0_f32..30.0, vocabulary),
         student in prop::collection::vec(-30.0_f32..30.0, vocabulary),
         label in 0..vocabulary) -> (Vec<f32>, Vec<f32>, usize) {
        (logits, student, label)
    }
}

fn objectives() -> impl Strategy<Value = Objective> {
    let target = (0.0_f32..=1.0, 0..11).prop_map(|(strength, kind)| match kind {
        0 => Target::Mixture { alpha: strength },
        1 => Target::Selective {
            threshold: strength,
        },
        2 => Target::TokenMasking {
            threshold: strength,
        },
        3 => Target::Dynamic,
        4 => Target::Anchored {
            anchor: 3.0 * strength,
        },
        5 => Target::EntropyAdaptive {
            gamma: 4.0 * strength,
        },
        6 => Target::TokenAdaptive {
            gamma: 4.0 * strength,
        },
        7 | 8 => Target::Corrected {
            tau: strength,
            scope: Scope::Incorrect,
        },
        _ => Target::Corrected {
            tau: strength,
            scope: Scope::All,
        },
    });
    (target, 0.3_f32..4.0).prop_map(|(target, temperature)| Objective {
        target,
        temperature,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_target_satisfies_the_invariants((logits, _, label) in rows(), objective in objectives()) {
        let mut q = logits.clone();
        cpu::corrected_target(&mut q, &[label as i32], &objective);
        check(&logits, label, &objective, &q)?;
    }

    #[test]
    fn the_loss_is_a_divergence_and_its_gradient_sums_to_zero(
        (logits, student, label) in rows(),
        objective in objectives(),
    ) {
        let mut gradient = student.clone();
        let mut loss = [0.0];
        cpu::loss_and_gradient(
            &mut gradient, &mut logits.clone(), &[label as i32], &objective, 1.0, &mut loss,
        );
        prop_assert!(loss[0] >= -1e-4, "negative divergence {}", loss[0]);
        let sum: f64 = gradient.iter().copied().map(f64::from).sum();
        prop_assert!(sum.abs() < 1e-5, "the gradient sums to {sum}");

        // The definitions of loss and gradient, in f64.
        let mut q = logits.clone();
        cpu::corrected_target(&mut q, &[label as i32], &objective);
        let temperature = f64::from(objective.temperature);
        let (p, s) = (softmax(&logits, objective.temperature), softmax(&student, objective.temperature));
        prop_assume!(!is_undecided(objective.target, &p, label));
        let of_label = |i: usize| f64::from(u8::from(i == label));
        let expected = match weights(objective.target, &p, &s, label) {
            Some((w_e, w_p)) => {
                for (i, (&gradient, s)) in gradient.iter().zip(&s).enumerate() {
                    let expected = temperature * (w_e * (s - of_label(i)) + w_p * (s - p[i]));
                    prop_assert!((f64::from(gradient) - expected).abs() < 1e-5 * (w_e + w_p).max(1.0));
                }
                let terms = p.iter().zip(&s).filter(|(p, _)| **p > 0.0);
                w_p * terms.map(|(p, s)| p * (p.ln() - s.ln())).sum::<f64>() - w_e * s[label].ln()
            }
            None => q.iter().zip(&s).filter(|(q, _)| **q > 0.0)
                .map(|(&q, s)| f64::from(q) * (f64::from(q).ln() - s.ln())).sum(),
        };
        let expected = expected * temperature.powi(2);
        prop_assert!((f64::from(loss[0]) - expected).abs() <= 1e-4 * expected.abs().max(1.0));
    }

    #[test]
    fn adding_a_constant_to_logits_does_not_change_the_loss((logits, student, label) in rows(), shift in -50.0_f32..50.0) {
        let run = |shift: f32| {
            let mut gradient: Vec<f32> = student.iter().map(|x| x + shift).collect();
            let mut teacher: Vec<f32> = logits.iter().map(|x| x - shift).collect();
            let mut loss = [0.0];
            cpu::loss_and_gradient(
                &mut gradient, &mut teacher, &[label as i32], &Objective::default(), 1.0, &mut loss,
            );
            (loss[0], gradient)
        };
        let ((loss, gradient), (shifted_loss, shifted_gradient)) = (run(0.0), run(shift));
        prop_assert!((loss - shifted_loss).abs() <= 1e-3 * loss.abs().max(1.0));
        for (a, b) in gradient.iter().zip(&shifted_gradient) {
            prop_assert!((a - b).abs() < 1e-3);
        }
    }
}

/// The invariants hold for the shader, on many rows at once.
#[test]
fn the_shader_satisfies_the_invariants() {
    let device = gpu();
    let (rows, vocabulary) = (500, 77);
    let logits: Vec<f32> = (0..rows * vocabulary)
        .map(|i| (((i * 7919) % 2003) as f32 / 2003.0 - 0.5) * 40.0)
        .collect();
    let truth: Vec<i32> = (0..rows)
        .map(|row| ((row * 31) % vocabulary) as i32)
        .collect();
    for objective in [
        Objective::minifinetuning(0.0),
        Objective::minifinetuning(0.25),
        Objective::from(Target::Corrected {
            tau: 0.6,
            scope: Scope::Incorrect,
        }),
        Objective {
            temperature: 2.5,
            ..Objective::minifinetuning(0.9)
        },
        Objective::finetuning(),
        Objective::from(Target::Selective { threshold: 0.02 }),
        Objective::from(Target::TokenMasking { threshold: 0.02 }),
        Objective::from(Target::Anchored { anchor: 0.3 }),
        Objective::from(Target::Dynamic),
        Objective::from(Target::EntropyAdaptive { gamma: 0.3 }),
        Objective::from(Target::TokenAdaptive { gamma: 0.3 }),
        Objective::constant_mixture(0.0),
        Objective::constant_mixture(0.3),
        Objective::constant_mixture(1.0),
    ] {
        let q = values(distillation::corrected_target(
            matrix(&logits, [rows, vocabulary], device.tensors()),
            labels(&truth, device.tensors()),
            &objective,
        ));
        for (row, (logits, q)) in logits
            .chunks(vocabulary)
            .zip(q.chunks(vocabulary))
            .enumerate()
        {
            check(logits, truth[row] as usize, &objective, q).unwrap();
        }
    }
}

/// Shader, CPU kernel and tensor operations agree on baselines with weights: for rows of every length, with ties,
/// masked tokens and weights of 0, and for logits of any size.
#[test]
fn all_forms_of_weighted_losses_agree() {
    let device = gpu();
    let targets = [
        Target::TokenMasking { threshold: 0.02 },
        Target::TokenMasking { threshold: 0.0 },
        Target::Dynamic,
        Target::Anchored { anchor: 0.0 },
        Target::Anchored { anchor: 0.1 },
        Target::Anchored { anchor: 5.0 },
        Target::EntropyAdaptive { gamma: 0.0 },
        Target::EntropyAdaptive { gamma: 0.3 },
        Target::EntropyAdaptive { gamma: 1.0 },
        Target::EntropyAdaptive { gamma: 3.0 },
        Target::TokenAdaptive { gamma: 0.0 },
        Target::TokenAdaptive { gamma: 0.3 },
        Target::TokenAdaptive { gamma: 2.0 },
    ];
    for (rows, vocabulary, spread) in [
        (40, 7, 10.0),
        (40, 77, 10.0),
        (30, 1024, 10.0),
        (30, 1000, 0.0),
        (8, 9001, 20.0),
        (30, 64, 200.0),
        (30, 64, 1e30),
    ] {
        let random = |i: usize, by: usize| ((i * by) % 2003) as f32 / 2003.0 - 0.5;
        let logits = |by: usize| -> Vec<f32> {
            let coarse = |i: usize| (random(i, by) * 64.0).round() / 64.0 * spread;
            (0..rows * vocabulary).map(coarse).collect()
        };
        let (student, teacher) = (logits(7919), logits(104_729));
        let mut truth: Vec<i32> = (0..rows)
            .map(|row| (row * 31 % vocabulary) as i32)
            .collect();
        truth
            .iter_mut()
            .step_by(5)
            .for_each(|label| *label = cpu::MASKED);
        for (target, temperature) in targets
            .iter()
            .flat_map(|&target| [(target, 1.0), (target, 2.0)])
        {
            let objective = Objective {
                target,
                temperature,
            };
            // Terms of this size are added up.
            let weight = match target {
                Target::Anchored { anchor } => 1.0 + anchor,
                _ => 1.0,
            };
            let scale = weight * temperature * temperature;
            let mut gradient = student.clone();
            let mut losses = vec![0.0; rows];
            let mut teacher_logits = teacher.clone();
            cpu::loss_and_gradient(
                &mut gradient,
                &mut teacher_logits,
                &truth,
                &objective,
                1.0,
                &mut losses,
            );

            let on = |logits: &[f32]| matrix(logits, [rows, vocabulary], device.tensors());
            let truths = labels(&truth, device.tensors());
            let (losses_on_gpu, gradient_on_gpu) = distillation::loss_and_gradient(
                on(&student),
                Some(on(&teacher)),
                truths.clone(),
                &objective,
                1.0,
            );
            let tracked = on(&student).autodiff().require_grad();
            let losses_in_tensors =
                reference::distillation_loss(tracked.clone(), on(&teacher), truths, &objective);
            let gradients = losses_in_tensors.clone().sum().backward();
            let name = format!("{target:?}, {vocabulary} by {spread}, temperature {temperature}");
            let forms = [
                ("shader", values(losses_on_gpu), values(gradient_on_gpu)),
                (
                    "tensor operations",
                    values(losses_in_tensors.inner()),
                    values(tracked.grad(&gradients).unwrap()),
                ),
            ];
            for (form, other_losses, other_gradient) in forms {
                for (row, (loss, other)) in losses.iter().zip(&other_losses).enumerate() {
                    let allowed = 2e-5 * loss.abs().max(scale);
                    assert!(
                        (loss - other).abs() <= allowed,
                        "{name}, {form}, row {row}: {other} for {loss}"
                    );
                }
                let largest = gradient
                    .iter()
                    .fold(1.0_f32, |largest, x| largest.max(x.abs()));
                for (at, (expected, other)) in gradient.iter().zip(&other_gradient).enumerate() {
                    let error = (expected - other).abs();
                    assert!(
                        error <= 2e-5 * largest,
                        "{name}, {form}, logit {at}: {other} for {expected}"
                    );
                }
            }
            for (row, &label) in truth.iter().enumerate() {
                let of_row = &gradient[row * vocabulary..(row + 1) * vocabulary];
                let counts = label >= 0;
                assert!(
                    counts || losses[row] == 0.0 && of_row.iter().all(|&x| x == 0.0),
                    "{name}"
                );
            }
        }
    }
}

/// The label wins a tie only if its index is the lowest.
#[test]
fn the_lowest_index_wins_a_tie() {
    for (label, expected) in [(0, [0.75, 0.25]), (1, [0.375, 0.625])] {
        let mut q = [1.0, 1.0];
        cpu::corrected_target(&mut q, &[label], &Objective::minifinetuning(0.25));
        assert_eq!(q, expected);
        let q = values(distillation::corrected_target(
            matrix(&[1.0, 1.0], [1, 2], gpu().tensors()),
            labels(&[label], gpu().tensors()),
            &Objective::minifinetuning(0.25),
        ));
        assert!(
            q.iter().zip(expected).all(|(q, e)| (q - e).abs() < 1e-6),
            "{q:?}"
        );
    }
}
