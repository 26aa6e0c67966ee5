//! Choosing continuations and answers by likelihood, and exact match.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use common::{data, devices, run_data, values};
use minift::Objective;
use minift::demo;
use minift::device::Device;
use minift::eval::{ChoiceEvaluation, ChoiceQuestion, Continuations, ExactMatch, choose};
use minift::model::CausalLm;
use minift::text::{Sample, TestAnswer, TestQuestion, parse_test};
use minift::train::{Run, TrainSettings};
use pollster::block_on;
use serde_json::Value;
use tempfile::TempDir;

/// Computes the mean log-likelihood of a sample's predicted tokens from its logits, in float64.
fn log_likelihood(model: &CausalLm, sample: &Sample) -> f64 {
    let tokens = sample.tokens();
    let inputs: Vec<i32> = tokens[..tokens.len() - 1]
        .iter()
        .map(|&id| id as i32)
        .collect();
    let shape = [1, inputs.len()];
    let inputs =
        Tensor::<2, Int>::from_data(TensorData::new(inputs, shape), &model.tensor_device());
    let logits = values(model.logits(inputs));
    let vocab_size = model.config().decoder.vocab_size;
    let mut sum = 0.0;
    for (place, logits) in logits.chunks(vocab_size).enumerate() {
        if sample.loss_mask()[place + 1] {
            let logit = |id: usize| f64::from(logits[id]);
            let total: f64 = (0..vocab_size).map(|id| logit(id).exp()).sum();
            sum += logit(tokens[place + 1] as usize) - total.ln();
        }
    }
    sum / sample.predicted_tokens() as f64
}

#[test]
fn likelihoods_are_those_of_a_plain_computation() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let samples = run_data(&model, 40, [0, 6, 0]).domain;
        let questions = Continuations::new(&samples, 3, 0, model.reader()).unwrap();
        let questions = questions.questions;
        assert_eq!(questions.len(), 6);
        // Batches of different lengths, which are padded.
        let mut evaluation = ChoiceEvaluation::new(&questions, 4).unwrap();
        let found = loop {
            if let Some(found) = block_on(evaluation.advance(&model)).unwrap() {
                break found;
            }
        };
        let choices = questions.iter().flat_map(|question| &question.choices);
        let expected: Vec<f64> = choices
            .map(|choice| log_likelihood(&model, choice))
            .collect();
        assert_eq!(evaluation.log_likelihoods().len(), 18);
        for (found, expected) in evaluation.log_likelihoods().iter().zip(&expected) {
            let error = (found - expected).abs();
            assert!(error < 1e-4, "{found} for {expected} on {}", device.name());
        }
        let right = questions
            .iter()
            .zip(expected.chunks(3))
            .filter(|(question, of_choices)| {
                let best = (0..3).max_by(|&a, &b| of_choices[a].total_cmp(&of_choices[b]));
                best == Some(question.answer)
            });
        assert_eq!(found.correct, right.count());
    }
}

#[test]
fn a_random_model_chooses_at_random_and_one_that_knows_the_texts_chooses_right() {
    let random = common::load_tiny(&data("tiny/llama3"), &Device::cpu());
    let vocab_size = random.config().decoder.vocab_size as u32;
    // A generator of Lehmer: any tokens will do.
    let mut state = 1_u64;
    let mut next = || {
        state = state * 48_271 % 2_147_483_647;
        state as u32 % vocab_size
    };
    let texts: Vec<Sample> = (0..240)
        .map(|_| (0..16).map(|_| next()).collect())
        .collect();
    let questions = Continuations::new(&texts, 4, 0, random.reader()).unwrap();
    assert_eq!((questions.questions.len(), questions.skipped), (240, 0));
    let found = block_on(choose(&random, &questions.questions, 32)).unwrap();
    let (chance, error) = (found.chance.unwrap(), found.standard_error.unwrap());
    assert_eq!(chance, 0.25);
    assert!((found.accuracy - chance).abs() < 4.0 * error, "{found:?}");

    // Trained on the texts until it knows them.
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let mut texts = run_data(&model, 32, [12, 2, 2]);
    texts.domain = texts.train.clone();
    let questions = Continuations::new(&texts.train, 4, 0, model.reader()).unwrap();
    let questions = questions.questions;
    let before = block_on(choose(&model, &questions, 8)).unwrap();
    let settings = TrainSettings::default()
        .with_objective(Objective::finetuning())
        .with_epochs(40.0)
        .with_batch_size(4)
        .with_learning_rate(3e-3);
    let mut run = Run::new(model, Arc::new(texts), settings).unwrap();
    while block_on(run.next()).unwrap().is_some() {}
    let after = block_on(choose(&run.trained_model(), &questions, 8)).unwrap();
    assert_eq!(
        (after.accuracy, after.standard_error),
        (1.0, Some(0.0)),
        "before: {before:?}"
    );
    // Wrong answers are wrong.
    let wrong = questions.iter().map(|question| ChoiceQuestion {
        answer: (question.answer + 1) % 4,
        ..question.clone()
    });
    let wrong: Vec<_> = wrong.collect();
    assert_eq!(
        block_on(choose(&run.trained_model(), &wrong, 8))
            .unwrap()
            .correct,
        0
    );
}

/// The model is better than chance on its own kind of text, though some texts are likelier than others alone.
#[test]
fn the_embedded_model_knows_its_tales() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let tales = run_data(&model, 128, [0, 0, 240]).general;
    let questions = Continuations::new(&tales, 4, 0, model.reader()).unwrap();
    let found = block_on(choose(&model, &questions.questions, 16)).unwrap();
    let (chance, error) = (found.chance.unwrap(), found.standard_error.unwrap());
    assert!(found.accuracy > chance + 2.0 * error, "{found:?}");
}

/// What the model generates is the exact match, and nothing else is.
#[test]
fn exact_match_compares_the_whole_answer() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let question = TestQuestion {
        question: "Once upon a time, there was a".to_string(),
        answer: TestAnswer::Text(String::new()),
        place: parse_test(b"{\"question\": \"a\", \"answer\": \"b\"}", "t.jsonl").unwrap()[0]
            .place
            .clone(),
    };
    let prompt = "Once upon a time, there was a\n";
    let sampling = minift::model::Sampling::default();
    let text = block_on(model.generate(prompt, 1000, &sampling, |_| ())).unwrap();
    let line = text.trim_start().lines().next().unwrap().trim().to_string();
    let mut shorter = line.clone();
    shorter.pop();
    assert!(shorter.trim_end().len() > 1, "{text:?}");
    let mut exact_match = ExactMatch::new(&model).unwrap();
    let mut is_right = |answer: &str| block_on(exact_match.is_right(&question, answer)).unwrap();
    assert!(is_right(&line));
    assert!(is_right(&format!(" {line} \n")));
    assert!(!is_right(&shorter));
    assert!(!is_right(&format!("{line}!")));
    assert!(!is_right("Teapot"));
}

struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn eval(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_minift"))
            .current_dir(self.0.path())
            .args(["eval", "--device", "cpu"])
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Returns the JSON object of an evaluation.
    fn found(&self, arguments: &[&str]) -> Value {
        let output = self.eval(&[arguments, &["--json"]].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    fn error(&self, arguments: &[&str]) -> String {
        let output = self.eval(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

const TEST: &str = r#"{"question": "The sky is", "choices": ["blue", "qzx"], "answer": "blue"}
{"question": "She had a red", "choices": ["xvq zqx", "ball", "qq"], "answer": 1, "subject": "toys"}

{"question": "Who?", "answer": "Teapot"}
"#;

#[test]
fn eval_measures_choices_and_tests() {
    let scratch = Scratch::new();
    let tales = demo::tales().unwrap();
    let texts = tales[..30].iter().map(String::as_str).chain(["A"]);
    let lines = texts.map(|text| serde_json::json!({ "text": text }).to_string());
    scratch.write("tales.jsonl", &lines.collect::<Vec<_>>().join("\n"));
    scratch.write("test.jsonl", TEST);
    let plain = scratch.found(&["--data", "tales.jsonl"]);
    assert!(plain.get("choices").is_none() && plain.get("multiple_choice").is_none());
    let found = scratch.found(&[
        "--data",
        "tales.jsonl",
        "--choices",
        "4",
        "--test",
        "test.jsonl",
    ]);
    for key in ["perplexity", "tokens", "samples"] {
        assert_eq!(found[key], plain[key], "{key}");
    }
    let choices = &found["choices"];
    assert_eq!(
        (&choices["questions"], &choices["chance"]),
        (&30.into(), &0.25.into())
    );
    assert_eq!(choices["skipped"], 1);
    let [accuracy, error] =
        ["accuracy", "standard_error"].map(|key| choices[key].as_f64().unwrap());
    assert_eq!(accuracy, choices["correct"].as_f64().unwrap() / 30.0);
    assert!((error - (accuracy * (1.0 - accuracy) / 29.0).sqrt()).abs() < 1e-12);
    assert_eq!(found["multiple_choice"]["correct"], 2);
    assert_eq!(found["multiple_choice"]["chance"], (0.5 + 1.0 / 3.0) / 2.0);
    assert_eq!(found["exact_match"]["questions"], 1);
    assert_eq!(found["exact_match"]["correct"], 0);

    let only = scratch.found(&["--test", "test.jsonl"]);
    assert!(only.get("perplexity").is_none());
    assert_eq!(only["multiple_choice"], found["multiple_choice"]);
    let output = scratch.eval(&["--test", "test.jsonl"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("Multiple choice 100.0 ± 0.0 % (2 of 2 questions right, chance 41.7 %)"),
        "{text}"
    );
    assert!(
        text.contains("Exact match 0.0 % (0 of 1 question right)"),
        "{text}"
    );
}

/// The answers of conversations are chosen among the answers of others.
#[test]
fn prompts_with_completions_are_split_before_the_completion() {
    let scratch = Scratch::new();
    let completions = (0..6).map(|number| {
        format!("{{\"prompt\": \"Tale {number}: \", \"completion\": \"It was number {number}{number}.\"}}")
    });
    scratch.write("data.jsonl", &completions.collect::<Vec<_>>().join("\n"));
    let found = scratch.found(&["--data", "data.jsonl", "--choices", "2"]);
    assert_eq!(found["choices"]["questions"], 6);
    assert_eq!(found["choices"]["skipped"], 0);
}

#[test]
fn faults_of_choices_and_tests_are_named() {
    let scratch = Scratch::new();
    scratch.write("texts.txt", &demo::tickets().unwrap()[..3].join("\n\n"));
    scratch.write(
        "bad.jsonl",
        &format!("{TEST}{{\"question\": \"a\", \"choices\": [\"b\"]}}\n"),
    );
    scratch.write("empty.jsonl", "");
    for (arguments, expected) in [
        (
            &["--data", "texts.txt", "--choices", "4"][..],
            "choices (--choices): 4, expected 2 to 3",
        ),
        (
            &["--data", "texts.txt", "--choices", "1"],
            "choices (--choices): 1, expected 2 to 3",
        ),
        (
            &["--test", "bad.jsonl"],
            "bad.jsonl:5: \"choices\" has 1: expected at least 2",
        ),
        (
            &["--test", "empty.jsonl"],
            "empty.jsonl: it contains no question",
        ),
        (&["--test", "none.jsonl"], "cannot read none.jsonl"),
        (&["--test", "texts.txt"], "expected JSON lines"),
        (&["--choices", "4", "--test", "bad.jsonl"], "--data"),
        (&[], "--data"),
    ] {
        let error = scratch.error(arguments);
        assert!(error.contains(expected), "{expected:?} in {error:?}");
    }
}
