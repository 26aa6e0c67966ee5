//! `minift train --log-dir` and `--report`. `tests/check_logs.py` reads the event files with TensorBoard.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::common::{names, write_texts};

const RUN: &str = "--device cpu --data train.txt --held-out held.txt --general general.txt --max-length 24 \
                   --batch-size 4 --max-steps 6 --evaluate-every 2 --prompt Cat --checkpoint-every 2";

fn train(folder: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_minift"))
        .arg("train")
        .args(RUN.split_whitespace().chain(line.split_whitespace()))
        .current_dir(folder)
        .output()
        .unwrap()
}

/// Returns the rows of a table without their header.
fn rows(path: &Path) -> Vec<Vec<f64>> {
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().skip(1).map(|row| {
        let cells = row.split(',');
        cells.map(|cell| cell.parse().unwrap_or(f64::NAN)).collect()
    });
    rows.collect()
}

fn run_of(out: &Path) -> Value {
    let json = std::fs::read(out.join("run.json")).unwrap();
    let mut record: Value = serde_json::from_slice(&json).unwrap();
    record["runs"][0].take()
}

#[test]
fn tables_hold_what_the_record_holds() {
    let scratch = TempDir::new().unwrap();
    let folder = scratch.path();
    write_texts(folder);
    let output = train(folder, "--out out --log-dir logs/run --report out");
    assert!(output.status.success(), "{output:?}");
    let run = run_of(&folder.join("out"));

    let steps = rows(&folder.join("logs/run/steps.csv"));
    let losses: Vec<f32> = serde_json::from_value(run["losses"].clone()).unwrap();
    assert_eq!(steps.len(), 6);
    for ((row, loss), step) in steps.iter().zip(losses).zip(1..) {
        assert_eq!((row[0], row[2] as f32), (f64::from(step), loss));
        // The warmup of 10 steps to the default rate of 0.001.
        let rate = 1e-4 * f64::from(step);
        assert!(
            (row[4] - rate).abs() < 1e-12 && row[3] > 0.0 && row[5] > 0.0,
            "{row:?}"
        );
    }
    let evaluations = rows(&folder.join("logs/run/evaluations.csv"));
    let recorded = run["evaluations"].as_array().unwrap();
    assert_eq!(evaluations.len(), recorded.len());
    for (row, recorded) in evaluations.iter().zip(recorded) {
        let number = |name: &str| recorded[name].as_f64().unwrap_or(f64::NAN);
        assert_eq!(
            row[..3],
            [number("step"), number("domain"), number("general")]
        );
        assert!(
            (row[3] - (evaluations[0][1] - row[1])).abs() < 1e-9,
            "S of {row:?}"
        );
    }
    let files = names(&folder.join("logs/run"));
    assert_eq!(files.len(), 3, "{files:?}");

    // The report is in the output folder, with the training, the dial and all plots.
    let report = std::fs::read_to_string(folder.join("out/report.html")).unwrap();
    for part in [
        "MFT τ 0.25",
        "The dial",
        "Training loss",
        "Learning rate",
        "Gradient norm",
    ] {
        assert!(report.contains(part), "{part}");
    }
    assert_eq!(report.matches("<svg").count(), 5);
    assert!(report.contains("max_steps = 6") && !report.contains("<script"));

    // The logs of a complete run stay.
    let again = train(folder, "--out other --log-dir logs/run");
    let error = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        again.status.code() == Some(1) && error.contains("logs/run"),
        "{error}"
    );
    let inside = train(folder, "--out logs --log-dir logs/run");
    let error = String::from_utf8_lossy(&inside.stderr).into_owned();
    assert!(error.contains("does not contain"), "{error}");
    let replaced = train(folder, "--out out --log-dir logs/run --force");
    assert!(replaced.status.success(), "{replaced:?}");
    assert_eq!(names(&folder.join("logs/run")).len(), 3);
}

#[test]
fn a_resumed_run_continues_its_logs() {
    let scratch = TempDir::new().unwrap();
    let folder = scratch.path();
    write_texts(folder);
    let whole = train(folder, "--out whole --log-dir whole-logs");
    assert!(whole.status.success(), "{whole:?}");
    let kept = train(folder, "--out out --log-dir logs --keep-checkpoints 3");
    assert!(kept.status.success(), "{kept:?}");
    // From an earlier step, as after a kill: rows of later steps are written again, once.
    let from = "--out out --log-dir logs --force --resume out.checkpoint.4 --report reports/a.html";
    let resumed = train(folder, from);
    assert!(resumed.status.success(), "{resumed:?}");
    for (table, columns) in [("steps.csv", 5), ("evaluations.csv", 3)] {
        let read = |name: &str| -> Vec<Vec<f64>> {
            let rows = rows(&folder.join(name).join(table)).into_iter();
            rows.map(|row| row[..columns].to_vec()).collect()
        };
        assert_eq!(read("logs"), read("whole-logs"), "{table}");
    }
    let events = names(&folder.join("logs"));
    let events = events.iter().filter(|name| name.starts_with("events"));
    assert_eq!(events.count(), 2);
    let report = std::fs::read_to_string(folder.join("reports/a.html")).unwrap();
    assert!(report.contains("Since the run resumed at step 5."));
}
