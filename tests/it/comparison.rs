//! `minift compare` on a recipe of a few short trainings.
#![allow(clippy::unwrap_used)]

use crate::common::write_tickets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use minift::compare::{Plan, Recipe};
use serde_json::Value;
use tempfile::TempDir;

const RECIPE: &str = r#"
budgets = [8, 16]
seeds = [0, 1]
max_length = 24
evaluation_samples = 6
choices = 3
dial = [0.5]
replay = "embedded"

[sweep]
budgets = [16]
seeds = [0]

[training]
epochs = 1
batch_size = 4
warmup_steps = 0

[[domain]]
name = "tickets"
data = "tickets.jsonl"
hold_out = 10

[[method]]
name = "FT"
method = "ft"

[[method]]
name = "MFT & replay"
method = "mft"
replay_ratio = 0.2
sweep = [0.5, 0.75]
"#;

struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        let scratch = Self(TempDir::new().unwrap());
        write_tickets(scratch.0.path(), 40);
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn compare(&self, recipe: &str) -> Output {
        fs::write(self.path("recipe.toml"), recipe).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_minift"))
            .current_dir(self.0.path())
            .args(["compare", "--recipe", "recipe.toml", "--out", "out"])
            .args(["--device", "cpu"])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        output
    }

    /// Runs the comparison and returns the number of trainings.
    fn trainings(&self, recipe: &str) -> usize {
        let output = self.compare(recipe);
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|line| line.contains(", seed ")).count()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn records(&self) -> Vec<Value> {
        let text = self.read("out/results.jsonl");
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

#[test]
fn a_comparison_is_complete_and_its_report_matches_the_records() {
    let scratch = Scratch::new();
    // Two methods, two budgets, two seeds; two more strengths on one budget and seed.
    assert_eq!(scratch.trainings(RECIPE), 10);
    let records = scratch.records();
    assert_eq!(records.len(), 10);
    let number = |record: &Value, name: &str| record[name].as_f64().unwrap();
    for record in &records {
        let of = |when: &str, set: &str| record[when][set].as_f64().unwrap();
        let gained = of("before", "domain") - of("after", "domain");
        assert!((number(record, "specialization") - gained).abs() < 1e-9);
        let lost = of("after", "general") - of("before", "general");
        assert!((number(record, "degeneralization") - lost).abs() < 1e-9);
        let replays = record["method"] == "MFT & replay";
        let samples = number(record, "budget") * if replays { 1.25 } else { 1.0 };
        assert_eq!(number(record, "steps"), (samples / 4.0).ceil());
        assert!(number(record, "kl_divergence") > 0.0);
        let choices = &record["choices"];
        assert_eq!(choices["before"], records[0]["choices"]["before"]);
        for of in [&choices["before"], &choices["after"]] {
            assert_eq!(of["questions"], 6);
            assert_eq!(of["accuracy"], of["correct"].as_f64().unwrap() / 6.0);
            assert_eq!(of["chance"], 1.0 / 3.0);
        }
    }

    for record in &records {
        let points = record["front"]["points"].as_array().unwrap();
        let weights: Vec<f64> = points.iter().map(|point| number(point, "weight")).collect();
        assert_eq!(weights, [0.0, 0.5, 1.0]);
        for (point, when) in [(&points[0], "before"), (&points[2], "after")] {
            assert_eq!(point["domain"], record[when]["domain"]);
            assert_eq!(point["general"], record[when]["general"]);
        }
        let domain = |place: usize| number(&points[place], "domain");
        assert!(domain(2) < domain(1) && domain(1) < domain(0));
    }

    let table = scratch.read("out/results.csv");
    assert_eq!(table.lines().count(), 11);
    assert!(table.starts_with("domain,method,title,strength,value,"));
    let header = table.lines().next().unwrap();
    let new = ",kl_divergence,choice_accuracy_before,choice_accuracy_after";
    assert!(header.ends_with(new), "{header}");
    for (line, record) in table.lines().skip(1).zip(&records) {
        let accuracy = number(&record["choices"]["after"], "accuracy");
        assert!(line.ends_with(&format!(",{accuracy:?}")), "{line}");
    }

    let report = scratch.read("out/report.html");
    for fragment in [
        "<!DOCTYPE html>",
        "MFT &amp; replay",
        "<svg",
        "S against DG",
        "General perplexity over steps",
        "16 samples",
        "KL, nats",
        "right choices, %",
        "Gain at equal forgetting",
        "FT + dial",
        "rank correlation",
        "of 6 texts in",
    ] {
        assert!(report.contains(fragment), "{fragment}");
    }
    for outside in ["<script", "src=", "@import", "url("] {
        assert!(!report.contains(outside), "{outside}");
    }
    // Mean and sample standard deviation over the two seeds of a cell.
    let gains: Vec<f64> = records
        .iter()
        .filter(|record| record["method"] == "FT" && record["budget"] == 16)
        .map(|record| number(record, "specialization"))
        .collect();
    assert_eq!(gains.len(), 2);
    let (mean, deviation) = (
        (gains[0] + gains[1]) / 2.0,
        (gains[0] - gains[1]).abs() / 2.0_f64.sqrt(),
    );
    let rounded = |x: f64| match x {
        x if x >= 100.0 => format!("{x:.0}"),
        x if x >= 10.0 => format!("{x:.1}"),
        x => format!("{x:.2}"),
    };
    let cell = format!("{} ± {}", rounded(mean), rounded(deviation));
    assert!(report.contains(&cell), "{cell}");
}

#[test]
fn the_included_recipes_are_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let recipe = Recipe::read(&path).unwrap();
        let plan = Plan::new(&recipe, recipe.methods(&path).unwrap()).unwrap();
        assert!(plan.cells.len() > 50, "{}", path.display());
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn only_new_or_changed_trainings_are_run() {
    let scratch = Scratch::new();
    assert_eq!(scratch.trainings(RECIPE), 10);
    let files = ["out/results.jsonl", "out/results.csv", "out/report.html"];
    let before = files.map(|name| scratch.read(name));
    assert_eq!(scratch.trainings(RECIPE), 0);
    assert!(files.map(|name| scratch.read(name)) == before);

    // Renaming a method runs nothing; changing a setting runs its method again.
    let renamed = RECIPE.replace("\"FT\"", "\"plain & simple\"");
    assert_eq!(scratch.trainings(&renamed), 0);
    assert!(
        scratch
            .read("out/report.html")
            .contains("plain &amp; simple")
    );
    assert!(scratch.read("out/results.csv").contains("plain & simple"));
    let lower = RECIPE.replace("method = \"ft\"", "method = \"ft\"\nlr = 5e-4");
    assert_eq!(scratch.trainings(&lower), 4);
    assert_eq!(scratch.trainings(RECIPE), 0);
    // Another number of choices, and none.
    for other in ["choices = 2\n", ""] {
        assert_eq!(
            scratch.trainings(&RECIPE.replace("choices = 3\n", other)),
            10
        );
    }
    let report = scratch.read("out/report.html");
    assert!(report.contains("KL, nats") && !report.contains("right choices, %"));
    // A larger budget; one more seed.
    assert_eq!(
        scratch.trainings(&RECIPE.replace("[8, 16]", "[8, 16, 24]")),
        4
    );
    assert_eq!(scratch.trainings(&RECIPE.replace("[0, 1]", "[0, 1, 2]")), 4);
    // Other data.
    let tickets = scratch.read("tickets.jsonl");
    let fewer: Vec<&str> = tickets.lines().skip(1).collect();
    fs::write(scratch.path("tickets.jsonl"), fewer.join("\n")).unwrap();
    assert_eq!(scratch.trainings(RECIPE), 10);
}

#[test]
fn a_truncated_record_is_run_again() {
    let scratch = Scratch::new();
    scratch.compare(RECIPE);
    let text = scratch.read("out/results.jsonl");
    fs::write(scratch.path("out/results.jsonl"), &text[..text.len() - 50]).unwrap();
    assert_eq!(scratch.trainings(RECIPE), 1);
}

/// Unreadable lines are kept, and only one comparison writes to a folder at a time.
#[test]
fn unreadable_lines_are_kept_and_the_folder_is_locked() {
    let scratch = Scratch::new();
    scratch.compare(RECIPE);
    let results = scratch.path("out/results.jsonl");
    let mut bytes = fs::read(&results).unwrap();
    bytes.extend_from_slice(b"\xff\xfe mine\n");
    fs::write(&results, &bytes).unwrap();
    assert_eq!(scratch.trainings(RECIPE), 0);
    assert_eq!(fs::read(&results).unwrap(), bytes);
    assert_eq!(scratch.trainings(&RECIPE.replace("[0, 1]", "[0, 1, 2]")), 4);
    assert!(fs::read(&results).unwrap().starts_with(&bytes));

    let lock = fs::File::create(scratch.path("out/results.lock")).unwrap();
    lock.lock().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_minift"))
        .current_dir(scratch.0.path())
        .args([
            "compare",
            "--recipe",
            "recipe.toml",
            "--out",
            "out",
            "--device",
            "cpu",
        ])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("no other comparison is writing to"),
        "{errors}"
    );
}

/// Methods with the same settings keep their own names.
#[test]
fn equal_settings_of_two_methods_are_trained_once_and_keep_both_names() {
    let scratch = Scratch::new();
    let recipe = RECIPE
        .replace("sweep = [0.5, 0.75]", "sweep = [0.5, 1.0]")
        .replace("replay_ratio = 0.2\n", "");
    // τ = 1 is plain finetuning.
    assert_eq!(scratch.trainings(&recipe), 9);
    let report = scratch.read("out/report.html");
    assert!(report.contains("MFT &amp; replay (τ 1)") && report.contains("FT (lr 1e-3)"));
}

/// A diverging learning rate does not end the comparison, and does not reach the axes.
#[test]
fn diverged_trainings_are_skipped() {
    let scratch = Scratch::new();
    let recipe = RECIPE.replace(
        "method = \"ft\"",
        "method = \"ft\"\nsweep = [0.5, 10.0, 1e30]",
    );
    let output = scratch.compare(&recipe);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("the loss diverged, skipped"), "{text}");
    for record in scratch.records() {
        assert!(record["after"]["domain"].is_f64(), "{record}");
    }
    assert!(scratch.records().len() >= 10);
    assert!(scratch.read("out/report.html").contains("S against DG"));
}
