//! Baselines that minifinetuning is compared with: replay, text sampled from the model, elastic weight
//! consolidation. Also the search for the strongest training within a bound.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::process::Command;
use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use common::{devices, values};
use minift::demo;
use minift::device::Device;
use minift::eval::evaluate;
use minift::model::Batch;
use minift::model::CausalLm;
use minift::text::{Preparation, Sample};
use minift::train::{
    Cancel, Event, Run, RunData, Schedule, Strength, TrainSettings, Trainer, strongest_within,
};
use minift::{Objective, Target};
use pollster::block_on;
use serde_json::Value;

fn samples(model: &CausalLm, texts: &[String], length: usize) -> Vec<Sample> {
    let samples = model
        .reader()
        .samples_of_texts(texts, &Preparation::to_length(length), "test");
    samples.unwrap().samples
}

fn data(model: &CausalLm) -> RunData {
    let (tickets, tales) = (demo::tickets().unwrap(), demo::tales().unwrap());
    RunData {
        train: samples(model, &tickets[..48], 40),
        domain: samples(model, &tickets[500..516], 40),
        general: samples(model, &tales[..24], 40),
        replay: samples(model, &tales[200..240], 40),
        consolidation: samples(model, &tales[100..132], 40),
    }
}

fn finetuning() -> TrainSettings {
    TrainSettings::default()
        .with_objective(Objective::finetuning())
        .with_epochs(2.0)
        .with_batch_size(8)
}

/// Trains and returns S and DG.
fn gain_and_cost(model: &CausalLm, data: &RunData, settings: TrainSettings) -> (f64, f64) {
    let mut run = Run::new(model.clone(), Arc::new(data.clone()), settings).unwrap();
    while block_on(run.next()).unwrap().is_some() {}
    let metrics = run.outcome().unwrap().metrics;
    (metrics.specialization, metrics.degeneralization)
}

#[test]
fn every_baseline_forgets_less_than_finetuning_and_still_learns() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = data(&model);
    let (gain, cost) = gain_and_cost(&model, &data, finetuning());
    for settings in [
        finetuning().with_replay_ratio(0.5),
        finetuning().with_ewc(100.0),
        finetuning().with_objective(Objective::constant_mixture(0.3)),
    ] {
        let title = settings.title();
        let (baseline_gain, baseline_cost) = gain_and_cost(&model, &data, settings);
        assert!(
            baseline_cost < 0.6 * cost && baseline_gain > 0.5 * gain,
            "{title}: {baseline_gain} for {baseline_cost}, finetuning {gain} for {cost}"
        );
    }
}

#[test]
fn anchors_and_loss_adaptive_rates_forget_less_than_finetuning_and_still_learn() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = data(&model);
    let (gain, cost) = gain_and_cost(&model, &data, finetuning());
    for settings in [
        finetuning().with_objective(Target::Anchored { anchor: 0.1 }.into()),
        finetuning().with_schedule(Schedule::Finch),
    ] {
        let title = settings.title();
        let (baseline_gain, baseline_cost) = gain_and_cost(&model, &data, settings);
        assert!(
            baseline_cost < 0.8 * cost && baseline_gain > 0.1 * gain,
            "{title}: {baseline_gain} for {baseline_cost}, finetuning {gain} for {cost}"
        );
    }
}

/// The rate of every step is that of the running mean of the losses up to its own, also after a future was
/// dropped and in a resumed run.
#[test]
fn the_schedule_finch_follows_the_loss() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let settings = finetuning()
            .with_schedule(Schedule::Finch)
            .with_warmup_steps(2)
            .with_learning_rate(1e-3);
        let new = || Run::new(model.clone(), Arc::new(data(&model)), settings.clone()).unwrap();
        let mut run = new();
        let (mut mean, mut checkpoint) = (None, None);
        while let Some(event) = block_on(run.next()).unwrap() {
            let Event::Step {
                step,
                loss,
                learning_rate,
                ..
            } = event
            else {
                continue;
            };
            let loss = f64::from(loss);
            let now = mean.map_or(loss, |mean: f64| 0.9 * mean + 0.1 * loss);
            mean = Some(now);
            let expected = 1e-3 * (step as f64 / 2.0).min(1.0) / now.sqrt();
            let error = (learning_rate / expected - 1.0).abs();
            assert!(error < 1e-6, "step {step}: {learning_rate} for {expected}");
            if step == 5 {
                checkpoint = Some(block_on(run.checkpoint()).unwrap());
            }
        }
        let mut resumed = new();
        resumed.restore(&checkpoint.unwrap(), "checkpoint").unwrap();
        while block_on(resumed.next()).unwrap().is_some() {}
        assert_eq!(resumed.losses(), run.losses());
    }
}

#[test]
fn replay_takes_its_share_of_the_steps_and_requires_text() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let settings = finetuning().with_replay_ratio(0.25);
    let run = |data: RunData| Run::new(model.clone(), Arc::new(data), settings.clone());
    // 48 samples and 16 replayed ones are 8 batches per epoch.
    assert_eq!(run(data(&model)).unwrap().steps(), 16);
    let without = RunData {
        replay: Vec::new(),
        ..data(&model)
    };
    let error = run(without).unwrap_err().to_string();
    assert!(error.contains("the text to replay"), "{error}");
}

/// F is the sum of the squared gradients of each text's log-likelihood, per predicted token. The penalty and
/// its gradient follow from F.
#[test]
fn elastic_weight_consolidation_matches_its_formula() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let data = data(&model);
        let texts = &data.consolidation[..3];
        let strength = 7.0;
        let settings = finetuning().with_ewc(strength).with_gradient_clip(0.0);
        let mut held = Trainer::new(model.clone(), settings.clone()).unwrap();
        let mut free = Trainer::new(model.clone(), settings.with_ewc(0.0)).unwrap();
        let mut importance: Option<Vec<Vec<f64>>> = None;
        let mut tokens = 0.0;
        for text in 0..texts.len() {
            let batch = Batch::new(texts, vec![text]);
            block_on(held.consolidate(&batch)).unwrap();
            let count = batch.predicted_tokens as f64;
            tokens += count;
            let (_, gradients) = block_on(free.gradients(&[batch])).unwrap();
            let squares: Vec<Vec<f64>> = gradients
                .into_iter()
                .map(|gradient| {
                    values(gradient)
                        .iter()
                        .map(|&g| (f64::from(g) * count).powi(2))
                        .collect()
                })
                .collect();
            importance = Some(match importance {
                None => squares,
                Some(sum) => sum
                    .iter()
                    .zip(&squares)
                    .map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect())
                    .collect(),
            });
        }
        assert_eq!(held.consolidated(), Some(3));

        // The penalty is 0 at the initial weights, so the first step is the same with and without it.
        let batch = || [Batch::new(&data.train, (0..8).collect())];
        let [a, b] =
            [&mut held, &mut free].map(|trainer| block_on(trainer.step(&batch(), 1e-3)).unwrap());
        assert!((a.loss - b.loss).abs() < 1e-5 * b.loss);
        let moved: Vec<Vec<f64>> = held
            .model()
            .parameters()
            .iter()
            .zip(model.parameters())
            .map(|(now, before)| {
                values(now.clone() - before.clone())
                    .into_iter()
                    .map(f64::from)
                    .collect()
            })
            .collect();
        let penalty: f64 = importance
            .unwrap()
            .iter()
            .zip(&moved)
            .flat_map(|(squares, moved)| squares.iter().zip(moved))
            .map(|(square, moved)| 0.5 * strength * square / tokens * moved * moved)
            .sum();
        let [a, b] =
            [&mut held, &mut free].map(|trainer| block_on(trainer.step(&batch(), 1e-3)).unwrap());
        let found = f64::from(a.loss) - f64::from(b.loss);
        assert!(
            penalty > 0.01,
            "the penalty {penalty} is too small to measure"
        );
        assert!(
            (found - penalty).abs() < 0.02 * penalty,
            "{found} for {penalty} on {}",
            device.name()
        );
    }
}

/// On text sampled from a model, its cross-entropy equals the entropy of its predictions.
#[test]
fn sampled_texts_follow_the_distribution_of_the_model() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let written = |seed| block_on(model.sample_texts(40, 48, seed, |_| ())).unwrap();
        let texts = written(1);
        assert_eq!(texts.len(), 40);
        assert!(texts == written(1) && texts != written(2));
        let beginning = model.tokenizer().encode("").unwrap();
        for text in &texts {
            assert!(text.tokens().starts_with(&beginning) && (2..=48).contains(&text.len()));
        }

        let mut entropy = 0.0;
        let mut count = 0.0;
        for text in &texts {
            let inputs = text.tokens()[..text.len() - 1].iter();
            let inputs: Vec<i32> = inputs.map(|&id| id as i32).collect();
            let shape = [1, inputs.len()];
            let tokens =
                Tensor::<2, Int>::from_data(TensorData::new(inputs, shape), &model.tensor_device());
            let logits = model.logits(tokens);
            let vocabulary = logits.dims()[2];
            for row in values(logits).chunks(vocabulary) {
                let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let weights: Vec<f64> = row.iter().map(|x| f64::from(x - largest).exp()).collect();
                let sum: f64 = weights.iter().sum();
                entropy -= weights
                    .iter()
                    .map(|w| w / sum * (w / sum).max(1e-300).ln())
                    .sum::<f64>();
                count += 1.0;
            }
        }
        let cross_entropy = block_on(evaluate(&model, &texts, 8))
            .unwrap()
            .perplexity
            .ln();
        let entropy = entropy / count;
        assert!(
            (cross_entropy - entropy).abs() < 0.06 * entropy,
            "cross-entropy {cross_entropy}, entropy {entropy} nats per token on {}",
            device.name()
        );
    }
}

#[test]
fn the_strongest_training_within_a_bound_is_found() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = Arc::new(data(&model));
    for settings in [TrainSettings::default().with_epochs(2.0), finetuning()] {
        let bound = 0.05;
        let mut seen = 0;
        let cancel = Cancel::default();
        let found = strongest_within(
            Strength::of(&settings),
            bound,
            &model,
            &data,
            &settings,
            &cancel,
            |_, _| (),
            |_, _| seen += 1,
        );
        let found = block_on(found).unwrap().unwrap();
        assert_eq!(seen, found.trials.len());
        assert!(found.taken.within && found.taken.degeneralization <= bound);
        // The next stronger value was tried and exceeds the bound, or there is none.
        let values = found.strength.grid(&settings);
        let place = values.iter().position(|&v| v == found.taken.value).unwrap();
        if let Some(stronger) = place.checked_sub(1).map(|place| values[place]) {
            let trial = found
                .trials
                .iter()
                .find(|trial| trial.value == stronger)
                .unwrap();
            assert!(!trial.within && trial.degeneralization > bound, "{trial:?}");
        }
        let after = block_on(evaluate(&found.model, &data.general, 8)).unwrap();
        let expected = found.taken.perplexities.general;
        assert!((after.perplexity - expected).abs() < 1e-9 * expected);
        assert_eq!(found.strength.value(&found.settings), found.taken.value);
    }
}

#[test]
fn a_bound_that_no_training_meets_stops_the_weakest_one_early() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = Arc::new(data(&model));
    let search = |bound: f64, cancel: &Cancel| {
        let settings = finetuning().with_learning_rate(0.05).with_warmup_steps(0);
        block_on(strongest_within(
            Strength::LearningRate,
            bound,
            &model,
            &data,
            &settings,
            cancel,
            |_, _| (),
            |_, _| (),
        ))
        .unwrap()
    };
    let found = search(-0.5, &Cancel::default()).unwrap();
    assert_eq!(found.strength, Strength::LearningRate);
    assert!(!found.taken.within);
    assert!(found.taken.steps < 12, "{:?}", found.taken);
    assert_eq!(found.losses.len(), found.taken.steps);
    let cancelled = Cancel::default();
    cancelled.cancel();
    assert!(search(-0.5, &cancelled).is_none());
}

/// Trainings that diverge count as exceeding the bound. The weakest one is evaluated after each step, so the
/// model after its first step is the result.
#[test]
fn diverging_trainings_exceed_the_bound() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = Arc::new(data(&model));
    let settings = finetuning()
        .with_learning_rate(1e30)
        .with_warmup_steps(0)
        .with_gradient_clip(0.0);
    let cancel = Cancel::default();
    let found = strongest_within(
        Strength::LearningRate,
        0.1,
        &model,
        &data,
        &settings,
        &cancel,
        |_, _| (),
        |_, _| (),
    );
    let found = block_on(found).unwrap().unwrap();
    let values = found.strength.grid(&settings);
    // A binary search that never finds a value within the bound, then the early stop.
    let (stopped, searched) = found.trials.split_last().unwrap();
    let tried: Vec<f64> = searched.iter().map(|trial| trial.value).collect();
    assert_eq!(tried, [values[7], values[11], values[13], values[14]]);
    for trial in &found.trials {
        assert!(!trial.within, "{trial:?}");
    }
    assert_eq!((stopped.value, stopped.steps), (values[14], 1));
    assert_eq!(found.taken.steps, 1);
    assert_eq!(found.losses.len(), 1);
    assert!(found.losses[0].is_finite());
}

#[test]
fn consolidation_comes_after_the_first_evaluation_and_before_the_first_step() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let settings = finetuning().with_ewc(1.0);
    let mut run = Run::new(model.clone(), Arc::new(data(&model)), settings).unwrap();
    let mut order = Vec::new();
    while let Some(event) = block_on(run.next()).unwrap() {
        let name = match event {
            Event::Evaluated { .. } => "evaluated",
            Event::Consolidating { done, total } if done == total => "consolidated",
            Event::Step { step: 1, .. } => "first step",
            _ => continue,
        };
        order.push(name);
    }
    assert_eq!(
        order,
        ["evaluated", "consolidated", "first step", "evaluated"]
    );
}

/// `--search trainings` searches on the validation set and reports the general set.
#[test]
fn train_finds_the_strongest_tau_within_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let tickets = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tickets.jsonl");
    let few: Vec<String> = std::fs::read_to_string(tickets)
        .unwrap()
        .lines()
        .take(60)
        .map(str::to_string)
        .collect();
    std::fs::write(folder.path().join("tickets.jsonl"), few.join("\n")).unwrap();
    let train = |bound: &str, out: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_minift"))
            .current_dir(folder.path())
            .args(["train", "--data", "tickets.jsonl", "--max-length", "32"])
            .args([
                "--max-degeneralization",
                bound,
                "--search",
                "trainings",
                "--no-dial",
                "--out",
                out,
                "--device",
                "cpu",
            ])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        let run = std::fs::read(folder.path().join(out).join("run.json")).unwrap();
        let run: Value = serde_json::from_slice(&run).unwrap();
        (
            run["runs"][0].clone(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let number = |value: &Value| value.as_f64().unwrap();

    let (run, text) = train("4%", "out");
    let taken = &run["search"]["taken"];
    assert_eq!(run["search"]["strength"], "tau");
    assert!(number(&taken["degeneralization"]) <= 0.04 && taken["within"] == true);
    assert_eq!(run["settings"]["objective"]["tau"], taken["value"]);
    assert!(run["search"]["trials"].as_array().unwrap().len() >= 3);
    // The 40 tales of the search are not among the 200 of the report.
    let reported = number(&run["result"]["general_perplexity_after"]);
    assert_ne!(reported, number(&taken["perplexities"]["general"]));
    assert!(text.contains("Selected τ"), "{text}");
}
