//! Every implementation of the loss compared with the code published by minifinetuning's authors, and with the
//! formulas of the papers of the baselines.
#![allow(clippy::unwrap_used)]

use crate::common;

use burn::tensor::{Int, Tensor};
use common::{devices, labels, largest, largest_error, matrix, values, vectors};
use minift::internals::distillation::{
    self, Objective, Predictions, Scope, Target, cpu, reference,
};

struct Case {
    name: String,
    objective: Objective,
    shape: [usize; 2],
    student: Vec<f32>,
    teacher: Vec<f32>,
    labels: Vec<i32>,
    target: Vec<f64>,
    losses: Vec<f64>,
    mean: f64,
    gradient: Vec<f64>,
}

/// Returns the cases of both files.
fn cases() -> Vec<Case> {
    let published = cases_of("mft_loss.safetensors", |settings| Objective {
        target: Target::Corrected {
            tau: settings["tau"].as_f64().unwrap() as f32,
            scope: match settings["scope"].as_str().unwrap() {
                "all" => Scope::All,
                _ => Scope::Incorrect,
            },
        },
        temperature: settings["temperature"].as_f64().unwrap() as f32,
    });
    let baselines = cases_of("baseline_losses.safetensors", |settings| {
        let objective: Objective = serde_json::from_value(settings.clone()).unwrap();
        let json = serde_json::to_value(objective).unwrap();
        assert_eq!(json["method"], settings["method"]);
        objective
    });
    assert_eq!((published.len(), baselines.len()), (30, 40));
    published.into_iter().chain(baselines).collect()
}

fn cases_of(name: &str, objective: impl Fn(serde_json::Value) -> Objective) -> Vec<Case> {
    let file = vectors(name);
    let cases = file.metadata.iter().map(|(name, settings)| {
        let tensor = |kind: &str| format!("{name}.{kind}");
        Case {
            name: name.clone(),
            objective: objective(serde_json::from_str(settings).unwrap()),
            shape: file.shape(&tensor("student_logits")).try_into().unwrap(),
            student: file.f32(&tensor("student_logits")),
            teacher: file.f32(&tensor("teacher_logits")),
            labels: file.i32(&tensor("labels")),
            target: file.f64(&tensor("target")).to_vec(),
            losses: file.f64(&tensor("loss_per_token")).to_vec(),
            mean: file.f64(&tensor("loss_mean"))[0],
            gradient: file.f64(&tensor("grad_student_logits")).to_vec(),
        }
    });
    cases.collect()
}

struct Tolerance {
    target: f64,
    loss_relative: f64,
    loss_absolute: f64,
    gradient: f64,
}

const CPU: Tolerance = Tolerance {
    target: 2e-6,
    loss_relative: 5e-6,
    loss_absolute: 2e-6,
    gradient: 2e-6,
};

const DEVICE: Tolerance = Tolerance {
    target: 2e-5,
    loss_relative: 2e-5,
    loss_absolute: 2e-5,
    gradient: 2e-5,
};

impl Case {
    fn check(
        &self,
        form: &str,
        target: &[f32],
        losses: &[f32],
        gradient: &[f32],
        within: &Tolerance,
    ) {
        let name = &self.name;
        let error = largest_error(target, &self.target);
        assert!(
            error <= within.target,
            "{name}, {form}: target off by {error:e}"
        );
        for (row, (&found, &expected)) in losses.iter().zip(&self.losses).enumerate() {
            let error = (f64::from(found) - expected).abs();
            let allowed = (expected.abs() * within.loss_relative).max(within.loss_absolute);
            assert!(
                error <= allowed,
                "{name}, {form}: loss of row {row} off by {error:e} of {expected}"
            );
        }
        // Where every weight is small, the label's s - 1 still has the rounding of a probability near 1.
        let size = largest(&self.gradient).max(0.1 * f64::from(self.scale()));
        let error = largest_error(gradient, &self.gradient) / size;
        assert!(
            error <= within.gradient,
            "{name}, {form}: gradient off by {error:e}"
        );
    }

    fn scale(&self) -> f32 {
        1.0 / self.labels.len() as f32
    }
}

#[test]
fn cpu_kernel_matches_reference_values() {
    for case in cases() {
        let mut target = case.teacher.clone();
        cpu::corrected_target(&mut target, &case.labels, &case.objective);
        let mut gradient = case.student.clone();
        let mut losses = vec![0.0; case.labels.len()];
        cpu::loss_and_gradient(
            &mut gradient,
            &mut case.teacher.clone(),
            &case.labels,
            &case.objective,
            case.scale(),
            &mut losses,
        );
        case.check("cpu", &target, &losses, &gradient, &CPU);
    }
}

#[test]
fn kernels_match_reference_values_on_every_device() {
    for device in devices() {
        let tensors = device.tensors();
        for case in cases() {
            let teacher = matrix(&case.teacher, case.shape, tensors);
            let labels = labels(&case.labels, tensors);
            let target = values(distillation::corrected_target(
                teacher.clone(),
                labels.clone(),
                &case.objective,
            ));
            let (losses, gradient) = distillation::loss_and_gradient(
                matrix(&case.student, case.shape, tensors),
                Some(teacher),
                labels,
                &case.objective,
                case.scale(),
            );
            case.check(
                &device.name(),
                &target,
                &values(losses),
                &values(gradient),
                &DEVICE,
            );
        }
    }
}

/// A differentiable loss per row, with teacher and labels.
type LossOfLogits = fn(Tensor<2>, Tensor<2>, Tensor<1, Int>, &Objective) -> Tensor<1>;

#[test]
fn autodiff_matches_reference_values_on_every_device() {
    let forms: [(&str, LossOfLogits); 2] = [
        ("kernel", |student, teacher, labels, objective| {
            distillation::distillation_loss_of_logits(student, Some(teacher), labels, objective)
        }),
        ("tensor operations", reference::distillation_loss),
    ];
    for device in devices() {
        let tensors = device.tensors();
        for case in cases() {
            for (form, loss) in forms {
                let student = matrix(&case.student, case.shape, tensors)
                    .autodiff()
                    .require_grad();
                let teacher = matrix(&case.teacher, case.shape, tensors);
                let labels = labels(&case.labels, tensors);
                let target =
                    reference::corrected_target(teacher.clone(), labels.clone(), &case.objective);
                let losses = loss(student.clone(), teacher, labels, &case.objective);
                let gradients = losses.clone().mean().backward();
                let gradient = student.grad(&gradients).unwrap();
                case.check(
                    &format!("{form} on {}", device.name()),
                    &values(target),
                    &values(losses.inner()),
                    &values(gradient),
                    &DEVICE,
                );
            }
        }
    }
}

/// With the identity as head, hidden states are logits. Checks tiles of one row, of five, and of all rows.
#[test]
fn tiled_loss_matches_reference_values_on_every_device() {
    for device in devices() {
        let tensors = device.tensors();
        for case in cases().iter().filter(|case| case.shape[1] <= 1000) {
            let [rows, vocabulary] = case.shape;
            for rows_of_tile in [1, 5, rows] {
                let head = Tensor::<2>::eye(vocabulary, tensors);
                let hidden = matrix(&case.student, case.shape, tensors)
                    .autodiff()
                    .require_grad();
                let loss = distillation::distillation_loss(
                    Predictions {
                        hidden: hidden.clone(),
                        head: head.clone().autodiff().into(),
                    },
                    Some(Predictions {
                        hidden: matrix(&case.teacher, case.shape, tensors),
                        head: head.into(),
                    }),
                    labels(&case.labels, tensors),
                    None,
                    &case.objective,
                    rows,
                    rows_of_tile * vocabulary * 4,
                );
                let gradients = loss.backward();
                let gradient = values(hidden.grad(&gradients).unwrap());
                let loss = f64::from(values(loss.inner())[0]);
                let (name, device) = (&case.name, device.name());
                let error = (loss - case.mean).abs();
                assert!(
                    error <= (2e-5 * case.mean).max(2e-5),
                    "{name} on {device}: mean off by {error:e}"
                );
                let error = largest_error(&gradient, &case.gradient) / largest(&case.gradient);
                assert!(
                    error <= 2e-5,
                    "{name} on {device}, tile {rows_of_tile}: gradient off by {error:e}"
                );
            }
        }
    }
}
