//! What minifinetuning is compared with: replay, text that the model writes itself, elastic weight
//! consolidation; and the search for the strongest training within a bound.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::Command;
use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use common::{devices, values};
use minift::data::{Batch, Sample, Samples};
use minift::demo;
use minift::device::Device;
use minift::error::Error;
use minift::eval::evaluate;
use minift::model::CausalLm;
use minift::objective::Objective;
use minift::train::{
    Cancel, Event, Run, RunData, Strength, TrainSettings, Trainer, strongest_within,
};
use pollster::block_on;
use serde_json::Value;

fn samples(model: &CausalLm, texts: &[String], length: usize) -> Vec<Sample> {
    let samples = Samples::tokenize(texts, model.tokenizer(), length, "test");
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
    TrainSettings {
        objective: Objective::finetuning(),
        epochs: 2,
        batch_size: 8,
        ..TrainSettings::default()
    }
}

/// S and DG of a training.
fn gain_and_cost(model: &CausalLm, data: &RunData, settings: TrainSettings) -> (f64, f64) {
    let mut run = Run::new(model.clone(), Arc::new(data.clone()), settings).unwrap();
    while block_on(run.next()).unwrap().is_some() {}
    let metrics = run.outcome().unwrap().metrics;
    (metrics.specialization, metrics.degeneralization)
}

#[test]
fn every_rival_forgets_less_than_finetuning_and_still_learns() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = data(&model);
    let (gain, cost) = gain_and_cost(&model, &data, finetuning());
    for settings in [
        TrainSettings {
            replay_ratio: 0.5,
            ..finetuning()
        },
        TrainSettings {
            ewc: 100.0,
            ..finetuning()
        },
        TrainSettings {
            objective: Objective::constant_mixture(0.3),
            ..finetuning()
        },
    ] {
        let title = settings.title();
        let (rival_gain, rival_cost) = gain_and_cost(&model, &data, settings);
        assert!(
            rival_cost < 0.6 * cost && rival_gain > 0.5 * gain,
            "{title}: {rival_gain} for {rival_cost}, finetuning {gain} for {cost}"
        );
    }
}

#[test]
fn replay_takes_its_share_of_the_steps_and_needs_text() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let settings = TrainSettings {
        replay_ratio: 0.25,
        ..finetuning()
    };
    let run = |data: RunData| Run::new(model.clone(), Arc::new(data), settings.clone());
    // 48 samples and 16 replayed ones make 8 batches an epoch.
    assert_eq!(run(data(&model)).unwrap().steps(), 16);
    let without = RunData {
        replay: Vec::new(),
        ..data(&model)
    };
    let error = run(without).unwrap_err().to_string();
    assert!(error.contains("the text to replay"), "{error}");
}

/// The importance of weights is the sum of squared gradients of each text's log-likelihood, a
/// predicted token; the penalty and its pull follow from it.
#[test]
fn elastic_weight_consolidation_is_its_formula() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let data = data(&model);
        let texts = &data.consolidation[..3];
        let strength = 7.0;
        let settings = TrainSettings {
            ewc: strength,
            gradient_clip: 0.0,
            ..finetuning()
        };
        let mut held = Trainer::new(model.clone(), settings.clone()).unwrap();
        let mut free = Trainer::new(
            model.clone(),
            TrainSettings {
                ewc: 0.0,
                ..settings
            },
        )
        .unwrap();
        let mut importance: Option<Vec<Vec<f64>>> = None;
        let mut tokens = 0.0;
        for text in 0..texts.len() {
            let batch = Batch::new(texts, vec![text]);
            block_on(held.consolidate(&batch)).unwrap();
            let count = batch.positions as f64;
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

        // Untouched weights pay nothing; the first step of both is the same.
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
        assert!(penalty > 0.01, "{penalty} is too little to be seen");
        assert!(
            (found - penalty).abs() < 0.02 * penalty,
            "{found} for {penalty} on {}",
            device.name()
        );
    }
}

/// Text drawn from a model is as surprising to it as its own uncertainty says.
#[test]
fn texts_that_the_model_writes_follow_its_distribution() {
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
        let surprise = block_on(evaluate(&model, &texts, 8))
            .unwrap()
            .perplexity
            .ln();
        let entropy = entropy / count;
        assert!(
            (surprise - entropy).abs() < 0.06 * entropy,
            "{surprise} nats a token, its entropy is {entropy}, on {}",
            device.name()
        );
    }
}

#[test]
fn the_strongest_training_within_a_bound_is_found() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = Arc::new(data(&model));
    for settings in [
        TrainSettings {
            epochs: 2,
            ..TrainSettings::default()
        },
        finetuning(),
    ] {
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
        // The next stronger value was tried and is too strong, or there is none.
        let values = found.strength.values(&settings);
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
fn a_bound_that_nothing_meets_stops_the_weakest_training_early() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = Arc::new(data(&model));
    let search = |bound: f64, cancel: &Cancel| {
        let settings = TrainSettings {
            learning_rate: 0.05,
            warmup_steps: 0,
            ..finetuning()
        };
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
    // A training that goes wrong is one that forgets too much.
    let settings = TrainSettings {
        learning_rate: 1e30,
        warmup_steps: 0,
        gradient_clip: 0.0,
        ..finetuning()
    };
    let none = Cancel::default();
    let found = strongest_within(
        Strength::LearningRate,
        0.1,
        &model,
        &data,
        &settings,
        &none,
        |_, _| (),
        |_, _| (),
    );
    match block_on(found) {
        Ok(found) => assert!(!found.unwrap().taken.within),
        Err(error) => assert!(matches!(error, Error::NonFiniteLoss { .. }), "{error}"),
    }
    let cancelled = Cancel::default();
    cancelled.cancel();
    assert!(search(-0.5, &cancelled).is_none());
}

#[test]
fn consolidation_comes_after_the_first_evaluation_and_before_the_first_step() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let settings = TrainSettings {
        ewc: 1.0,
        ..finetuning()
    };
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

/// The command line's way to a bound: the validation set decides, the general set is what is reported.
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
    // The forty tales that decide are not the two hundred that are reported.
    let reported = number(&run["result"]["general_perplexity_after"]);
    assert_ne!(reported, number(&taken["perplexities"]["general"]));
    assert!(text.contains("Taken: τ"), "{text}");
}
