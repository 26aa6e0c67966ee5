//! Weights of samples in the loss, and FLOW, which derives them from the untouched model's losses.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use common::{devices, largest, largest_error, run_data, values};
use minift::device::Device;
use minift::eval::evaluate;
use minift::internals::distillation::{
    Objective, Predictions, Target, distillation_loss, reference,
};
use minift::model::{Batch, CausalLm};
use minift::train::{Event, Run, SampleWeights, TrainSettings, Trainer};
use pollster::block_on;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const HIDDEN: usize = 32;

fn random(count: usize, spread: f32, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|_| random.random_range(-spread..spread))
        .collect()
}

fn assert_near<const D: usize>(found: Tensor<D>, expected: Tensor<D>, what: &str) {
    let expected: Vec<f64> = values(expected).into_iter().map(f64::from).collect();
    let error = largest_error(&values(found), &expected) / largest(&expected);
    assert!(error <= 2e-5, "{what}: off by {error:e}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Loss and gradients of the tiled loss equal those of the weighted losses of all rows in tensor operations.
    #[test]
    fn weighted_losses_match_tensor_operations(
        rows in 1_usize..40,
        vocab_size in 2_usize..300,
        tile in 1_usize..50,
        target in prop_oneof![
            Just(Objective::finetuning()),
            Just(Objective::minifinetuning(0.25)),
            Just(Target::Anchored { anchor: 0.5 }.into()),
        ],
        seed in 0_u64..1000,
    ) {
        for device in devices() {
            let tensors = device.tensors();
            let matrix = |rows, seed| {
                let values = random(rows * HIDDEN, 0.7, seed);
                Tensor::<2>::from_data(TensorData::new(values, [rows, HIDDEN]), tensors)
            };
            let tracked = |rows, seed| matrix(rows, seed).autodiff().require_grad();
            let [teacher_hidden, teacher_head] = [matrix(rows, seed + 1), matrix(vocab_size, seed + 2)];
            let id = |row: usize| if row % 5 == 4 { -1 } else { (row * 37 % vocab_size) as i32 };
            let ids: Vec<i32> = (0..rows).map(id).collect();
            let mask: Vec<f32> = ids.iter().map(|&id| f32::from(id >= 0)).collect();
            let labels = Tensor::<1, Int>::from_data(TensorData::new(ids, [rows]), tensors);
            let of_rows = |values: Vec<f32>| Tensor::<1>::from_data(TensorData::new(values, [rows]), tensors);
            // Also rows without weight.
            let weights: Vec<f32> = random(rows, 1.0, seed + 3).into_iter().map(|weight| weight.max(0.0)).collect();
            let weights = of_rows(weights);

            let (hidden, head) = (tracked(rows, seed + 4), tracked(vocab_size, seed + 5));
            let loss = distillation_loss(
                Predictions { hidden: hidden.clone(), head: head.clone().into() },
                Some(Predictions { hidden: teacher_hidden.clone(), head: teacher_head.clone().into() }),
                labels.clone(),
                Some(weights.clone()),
                &target,
                7,
                tile * vocab_size * size_of::<f32>(),
            );
            let gradients = loss.backward();
            let found = [hidden, head].map(|input| input.grad(&gradients).unwrap());

            let (hidden, head) = (tracked(rows, seed + 4), tracked(vocab_size, seed + 5));
            let losses = reference::distillation_loss(
                hidden.clone().matmul(head.clone().transpose()),
                teacher_hidden.matmul(teacher_head.transpose()).autodiff(),
                labels.clamp_min(0),
                &target,
            );
            let expected_loss = (losses * (weights * of_rows(mask)).autodiff()).sum_dim(0) / 7.0;
            let gradients = expected_loss.backward();
            let expected = [hidden, head].map(|input| input.grad(&gradients).unwrap());

            let what = format!("{target:?} on {}", device.name());
            // Sums of rows without weight are 0, and have no relative error.
            if values(expected_loss.clone().inner())[0] != 0.0 {
                assert_near(loss.inner(), expected_loss.inner(), &what);
                for (found, expected) in found.into_iter().zip(expected) {
                    assert_near(found, expected, &what);
                }
            }
        }
    }
}

fn finetuning() -> TrainSettings {
    TrainSettings::default()
        .with_objective(Objective::finetuning())
        .with_max_steps(Some(6))
        .with_batch_size(4)
}

/// Drives a run to its end, and returns its events.
fn events(run: &mut Run) -> Vec<Event> {
    std::iter::from_fn(|| block_on(run.next()).unwrap()).collect()
}

/// Before the first update the student is the untouched model, so the first loss is Σ w_i f_i t_i / Σ t_i with the
/// losses f_i and tokens t_i of the batch, and w_i = exp(−f_i / median f) over all samples.
#[test]
fn flow_weighs_samples_by_the_untouched_models_losses() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let data = run_data(&model, 40, [12, 4, 4]);
        let measured = data.train.iter().map(|sample| {
            let found = block_on(evaluate(&model, std::slice::from_ref(sample), 1)).unwrap();
            (found.perplexity.ln(), found.tokens as f64)
        });
        let measured: Vec<(f64, f64)> = measured.collect();
        let mut losses: Vec<f64> = measured.iter().map(|(loss, _)| *loss).collect();
        losses.sort_by(f64::total_cmp);
        let median = (losses[5] + losses[6]) / 2.0;
        let weight = |loss: f64| (-loss / median).exp();
        let sums = measured
            .iter()
            .map(|(loss, tokens)| (weight(*loss) * loss * tokens, tokens));
        let (sum, tokens) = sums.fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));

        let settings = finetuning().with_sample_weights(SampleWeights::Flow);
        // All samples in one batch.
        let whole = settings.clone().with_batch_size(12);
        let mut run = Run::new(model.clone(), Arc::new(data.clone()), whole).unwrap();
        events(&mut run);
        let (found, expected) = (f64::from(run.losses()[0]), sum / tokens);
        let error = (found / expected - 1.0).abs();
        assert!(error < 2e-5, "{found} for {expected} on {}", device.name());

        // Weighing comes after the first evaluation and before the first step, also in a resumed run.
        let new = || Run::new(model.clone(), Arc::new(data.clone()), settings.clone()).unwrap();
        let mut run = new();
        let mut checkpoint = None;
        let mut kinds = Vec::new();
        while let Some(event) = block_on(run.next()).unwrap() {
            match event {
                Event::Weighing { done, total } => kinds.push(format!("{done}/{total}")),
                Event::Step { step, .. } => kinds.push(step.to_string()),
                _ => {}
            }
            if run.steps_done() == 2 && checkpoint.is_none() {
                checkpoint = Some(block_on(run.checkpoint()).unwrap());
            }
        }
        let expected = ["1/3", "2/3", "3/3", "1", "2", "3", "4", "5", "6"];
        assert_eq!(kinds, expected);
        let mut resumed = new();
        resumed.restore(&checkpoint.unwrap(), "checkpoint").unwrap();
        let weighed = events(&mut resumed);
        assert!(matches!(weighed[0], Event::Weighing { done: 1, total: 3 }));
        assert_eq!(resumed.losses(), run.losses());

        let mut equal = Run::new(model.clone(), Arc::new(data.clone()), finetuning()).unwrap();
        let all = events(&mut equal);
        assert!(
            !all.iter()
                .any(|event| matches!(event, Event::Weighing { .. }))
        );
        assert_ne!(equal.losses()[0], run.losses()[0]);
    }
}

#[test]
fn a_trainer_takes_weights_of_samples() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = run_data(&model, 40, [4, 1, 1]);
    let loss_of = |samples: &[usize], weights: &[f32]| {
        let mut trainer = Trainer::new(model.clone(), finetuning()).unwrap();
        trainer.set_sample_weights(weights);
        let batch = Batch::new(&data.train, samples.to_vec());
        let output = block_on(trainer.step(std::slice::from_ref(&batch), 0.0)).unwrap();
        f64::from(output.loss) * batch.predicted_tokens as f64
    };
    let alone = |sample| loss_of(&[sample], &[]);
    let expected = 0.25 * alone(3) + 2.0 * alone(1) + alone(2);
    let found = loss_of(&[3, 1, 0, 2], &[0.0, 2.0, 1.0, 0.25]);
    assert!(
        (found / expected - 1.0).abs() < 1e-5,
        "{found} for {expected}"
    );
    // Samples beyond the weights count once.
    let expected = 0.5 * alone(0) + alone(3);
    let found = loss_of(&[0, 3], &[0.5]);
    assert!(
        (found / expected - 1.0).abs() < 1e-5,
        "{found} for {expected}"
    );
}
