//! What `minift train` says about data and runs from which less can be learned than a person may think.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let tickets = minift::demo::tickets().unwrap();
        std::fs::write(
            folder.path().join("tickets.txt"),
            tickets[..12].join("\n\n"),
        )
        .unwrap();
        let tales = minift::demo::tales().unwrap();
        std::fs::write(folder.path().join("tales.txt"), tales[..2].join("\n\n")).unwrap();
        std::fs::write(folder.path().join("one.txt"), &tickets[0]).unwrap();
        Self(folder)
    }

    fn train(&self, data: &str, general: &str, others: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_minift"))
            .args(["train", "--device", "cpu", "--max-length", "24", "--force"])
            .args(["--data", data, "--general", general, "--out", "out"])
            .args(others)
            .current_dir(self.0.path())
            .output();
        output.unwrap()
    }

    fn record(&self) -> Value {
        let json = std::fs::read(self.0.path().join("out/run.json")).unwrap();
        serde_json::from_slice(&json).unwrap()
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn epochs_may_be_a_fraction_and_steps_may_be_given() {
    let scratch = Scratch::new();
    // 10 training texts: 5 steps per epoch.
    for (length, steps) in [
        (["--epochs", "0.5"], 3),
        (["--epochs", "1.2"], 6),
        (["--max-steps", "7"], 7),
    ] {
        let found = scratch.train(
            "tickets.txt",
            "tales.txt",
            &[&length[..], &["--batch-size", "2"]].concat(),
        );
        assert!(found.status.success(), "{found:?}");
        let record = scratch.record();
        assert_eq!(
            record["runs"][0]["losses"].as_array().unwrap().len(),
            steps,
            "{length:?}"
        );
        assert_eq!(record["setup"]["general_in_training"], 0);
    }
    let both = ["--epochs", "1", "--max-steps", "7"];
    assert!(
        !scratch
            .train("tickets.txt", "tales.txt", &both)
            .status
            .success()
    );
}

#[test]
fn one_text_is_trained_with_held_out_text_and_otherwise_not_split() {
    let scratch = Scratch::new();
    let alone = scratch.train("one.txt", "tales.txt", &[]);
    let error = text(&alone.stderr);
    assert!(
        !alone.status.success() && error.contains("one.txt: it has one text"),
        "{error}"
    );
    let held_out = ["--held-out", "tickets.txt", "--max-steps", "1"];
    let found = scratch.train("one.txt", "tales.txt", &held_out);
    assert!(found.status.success(), "{found:?}");
    assert!(
        text(&found.stdout).contains("Train    1 sample,"),
        "{found:?}"
    );
}

#[test]
fn forgetting_is_not_measured_on_the_training_text() {
    let scratch = Scratch::new();
    let found = scratch.train("tickets.txt", "tickets.txt", &["--max-steps", "2"]);
    let said = text(&found.stdout);
    assert!(found.status.success(), "{found:?}");
    assert!(
        said.contains("have 10 samples in common: nothing can be said about forgetting"),
        "{said}"
    );
    assert!(
        said.contains("not measured") && !said.contains("nothing forgotten"),
        "{said}"
    );
    assert_eq!(scratch.record()["setup"]["general_in_training"], 10);
    let found = scratch.train("tickets.txt", "tales.txt", &["--max-steps", "2"]);
    assert!(!text(&found.stdout).contains("not measured"), "{found:?}");
}

#[test]
fn a_run_with_an_infinite_perplexity_fails() {
    let scratch = Scratch::new();
    let huge = [
        "--lr",
        "100",
        "--clip",
        "0",
        "--warmup",
        "1",
        "--max-steps",
        "3",
    ];
    let found = scratch.train("tickets.txt", "tales.txt", &huge);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert!(
        text(&found.stdout).contains("Failed   the training diverged"),
        "{found:?}"
    );
    assert!(scratch.record()["runs"][0]["result"]["domain_perplexity_after"].is_null());
}
