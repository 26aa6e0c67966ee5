//! Soft caps of logits and attention scores compared with tensor operations, forward and backward.
#![allow(clippy::unwrap_used)]

use crate::common;

use burn::tensor::{Int, Tensor, TensorData};
use common::{devices, largest, largest_error, values};
use minift::device::Device;
use minift::internals::distillation::{
    LanguageHead, Objective, Predictions, Target, distillation_loss, reference,
};
use minift::internals::packed::Weight;
use minift::internals::soft_cap::soft_cap;
use minift::internals::{Impl, WeightType};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const HIDDEN: usize = 32;

fn random<const D: usize>(shape: [usize; D], spread: f32, seed: u64, device: &Device) -> Tensor<D> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|_| random.random_range(-spread..spread))
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device.tensors())
}

/// Asserts that the values of two tensors differ by at most `tolerance` times the largest.
fn assert_near<const D: usize>(found: Tensor<D>, expected: Tensor<D>, tolerance: f64, what: &str) {
    let expected: Vec<f64> = values(expected).into_iter().map(f64::from).collect();
    let error = largest_error(&values(found), &expected) / largest(&expected);
    assert!(error <= tolerance, "{what}: off by {error:e}");
}

/// A value and its gradients.
type Results = (Tensor<2>, Vec<Tensor<2>>);

/// The loss of student and teacher with a soft cap, tiled or from all logits in tensor operations.
fn loss(
    implementation: Impl,
    [rows, vocab_size, tile]: [usize; 3],
    objective: Objective,
    cap: f32,
    device: &Device,
) -> Results {
    // Logits of up to about twice the cap.
    let spread = (2.0 * cap / HIDDEN as f32 * 3.0).sqrt();
    let input = |rows, seed| random([rows, HIDDEN], spread, seed, device);
    let [hidden, head] = [(rows, 1), (vocab_size, 2)]
        .map(|(rows, seed)| input(rows, seed).autodiff().require_grad());
    let (teacher_hidden, teacher_head) = (input(rows, 3), input(vocab_size, 4));
    // Every fifth token is masked.
    let labels: Vec<i32> = (0..rows as i32)
        .map(|row| {
            if row % 5 == 4 {
                -1
            } else {
                (row * 37) % vocab_size as i32
            }
        })
        .collect();
    let predicted = labels.iter().filter(|&&label| label >= 0).count();
    let mask: Vec<f32> = labels.iter().map(|&label| f32::from(label >= 0)).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [rows]), device.tensors());
    let loss = match implementation {
        Impl::Fused => {
            let predictions = |hidden: Tensor<2>, head: Tensor<2>| Predictions {
                hidden,
                head: LanguageHead {
                    weight: head.into(),
                    soft_cap: Some(cap),
                },
            };
            distillation_loss(
                predictions(hidden.clone(), head.clone()),
                Some(predictions(teacher_hidden, teacher_head)),
                labels,
                None,
                &objective,
                predicted,
                tile * vocab_size * size_of::<f32>(),
            )
        }
        Impl::Composed => {
            let logits = |hidden: Tensor<2>, head: Tensor<2>| {
                soft_cap(Impl::Composed, hidden.matmul(head.transpose()), cap)
            };
            let losses = reference::distillation_loss(
                logits(hidden.clone(), head.clone()),
                logits(teacher_hidden, teacher_head),
                labels.clamp_min(0),
                &objective,
            );
            let mask = Tensor::<1>::from_data(TensorData::new(mask, [rows]), device.tensors());
            (losses * mask.autodiff()).sum_dim(0) / predicted as f32
        }
    };
    let gradients = loss.backward();
    let of_inputs = [hidden, head].map(|input| input.grad(&gradients).unwrap());
    (loss.inner().reshape([1, 1]), of_inputs.into())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_loss_with_a_soft_cap_matches_tensor_operations(
        rows in 1_usize..40,
        vocab_size in 2_usize..600,
        tile in 1_usize..20,
        cap in 0.5_f32..40.0,
        kind in 0_usize..4,
    ) {
        let objective = match kind {
            0 => Objective::finetuning(),
            1 => Objective::minifinetuning(0.25),
            2 => Objective { temperature: 2.0, ..Objective::minifinetuning(0.1) },
            _ => Target::Mixture { alpha: 0.4 }.into(),
        };
        let shape = [rows, vocab_size, tile];
        let expected = loss(Impl::Composed, shape, objective, cap, &Device::cpu());
        for device in devices() {
            let found = loss(Impl::Fused, shape, objective, cap, &device);
            let name = format!("{objective:?} on {}", device.name());
            assert_near(found.0, expected.0.clone(), 1e-4, &name);
            for (found, expected) in found.1.into_iter().zip(&expected.1) {
                assert_near(found, expected.clone(), 1e-4, &format!("gradient, {name}"));
            }
        }
    }

    #[test]
    fn soft_caps_match_tensor_operations(
        rows in 1_usize..70,
        columns in 1_usize..300,
        cap in 0.1_f32..60.0,
        seed in any::<u64>(),
    ) {
        let results = |implementation, device: &Device| -> Results {
            let x = random([rows, columns], 5.0 * cap, seed, device);
            let x = x.autodiff().require_grad();
            let y = soft_cap(implementation, x.clone(), cap);
            let weights = random([rows, columns], 1.0, seed ^ 1, device);
            let gradients = (y.clone() * weights.autodiff()).sum().backward();
            (y.inner(), vec![x.grad(&gradients).unwrap()])
        };
        let expected = results(Impl::Composed, &Device::cpu());
        for device in devices() {
            let found = results(Impl::Fused, &device);
            assert_near(found.0, expected.0.clone(), 1e-6, &device.name());
            let (found, expected) = (found.1[0].clone(), expected.1[0].clone());
            assert_near(found, expected, 2e-6, &format!("gradient on {}", device.name()));
        }
    }
}

/// Evaluation and generation from a packed head have the same cap.
#[test]
fn a_packed_head_has_the_soft_cap() {
    for device in devices() {
        let values: Vec<f32> = (0..100 * HIDDEN).map(|i| (i % 7) as f32).collect();
        let kind: WeightType = "bfloat16".parse().unwrap();
        let mut bytes = Vec::new();
        kind.pack(&values, &mut bytes);
        let float =
            Tensor::<2>::from_data(TensorData::new(values, [100, HIDDEN]), device.tensors());
        let hidden = random([5, HIDDEN], 1.0, 1, &device);
        let head = LanguageHead {
            weight: Weight::packed(kind, [100, HIDDEN], &bytes, device.tensors()),
            soft_cap: Some(3.0),
        };
        let products = hidden.clone().matmul(float.transpose());
        let expected = (products / 3.0).tanh() * 3.0;
        assert_near(head.logits(hidden), expected, 1e-5, &device.name());
    }
}

/// Numbers that are not finite stay what they are, so that training can notice them.
#[test]
fn soft_caps_of_extremes() {
    for device in devices() {
        let extremes = vec![f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 0.0, f32::NAN];
        let x = Tensor::<2>::from_data(TensorData::new(extremes, [1, 6]), device.tensors());
        let capped = values(soft_cap(Impl::Fused, x, 30.0));
        assert_eq!(
            capped[..5],
            [30.0, -30.0, 30.0, -30.0, 0.0],
            "{}",
            device.name()
        );
        assert!(capped[5].is_nan(), "{}: {}", device.name(), capped[5]);
    }
}

/// Without a cap the attention kernels compute no hyperbolic tangent.
#[test]
fn attention_kernels_are_specialized_for_scores_without_a_cap() {
    let shaders = minift::internals::shaders();
    let attention = shaders
        .iter()
        .filter(|shader| shader.name.starts_with("attention/"));
    let (capped, plain): (Vec<_>, Vec<_>) =
        attention.partition(|shader| shader.source.contains("hyperbolic_tangent"));
    assert!(!plain.is_empty() && capped.len() == plain.len());
}
