//! How the program reports errors: exit status, stderr, JSON object, and every command that reads a model.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::weights::{UP, change_tensors, set};
use super::{Scratch, fault, no_faults};

/// Checks that every command rejects the model.
fn check_every_command(scratch: &Scratch, fragments: &[&str]) -> Option<String> {
    scratch
        .eval_fault(&["--data", "domain.txt", "--model", "model"], fragments)
        .or_else(|| scratch.train_fault(&["--model", "model"], fragments))
        .or_else(|| {
            let arguments = ["generate", "--model", "model", "--prompt", "A cat"];
            scratch.fault(fragments, |scratch| scratch.minift(&arguments))
        })
}

#[test]
fn every_command_rejects_an_unreadable_model() {
    let no_folder = Scratch::new();
    let a_file = Scratch::new();
    a_file.write("model", "weights");
    let no_weights = Scratch::with_model();
    fs::remove_file(no_weights.path("model/model.safetensors")).unwrap();
    let not_a_number = Scratch::with_model();
    change_tensors(&not_a_number, |tensors| set(tensors, UP, 77, 0x7e00));
    no_faults([
        (
            "no folder".to_string(),
            check_every_command(&no_folder, &["model folder model"]),
        ),
        (
            "a file".to_string(),
            check_every_command(&a_file, &["model folder model"]),
        ),
        (
            "no weights".to_string(),
            check_every_command(&no_weights, &["model is missing model.safetensors"]),
        ),
        (
            "not a number".to_string(),
            check_every_command(&not_a_number, &["model.safetensors", UP, "NaN"]),
        ),
    ]);
}

#[test]
fn json_output_includes_errors() {
    let output = Scratch::new().minift(&["eval", "--json", "--data", "missing.txt"]);
    assert_eq!(fault(&output, &["missing.txt"]), None);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["event"], "error");
    assert!(
        object["message"]
            .as_str()
            .is_some_and(|message| message.contains("missing.txt"))
    );
}

/// Results that are lost because the disk is full are an error.
#[test]
#[cfg(target_os = "linux")]
fn unwritable_results_are_an_error() {
    let scratch = Scratch::new();
    let cases: [&[&str]; 2] = [
        &["eval", "--json", "--data", "domain.txt"],
        &[
            "generate",
            "--json",
            "--prompt",
            "A cat",
            "--max-new-tokens",
            "2",
        ],
    ];
    no_faults(cases.into_iter().map(|arguments| {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_minift"))
            .current_dir(scratch.0.path())
            .args([arguments, &["--device", "cpu"]].concat())
            .stdout(full)
            .output()
            .unwrap();
        (
            arguments.join(" "),
            fault(&output, &["cannot write to standard output"]),
        )
    }));
}

/// A training does not fail because its log cannot be written.
#[cfg(target_os = "linux")]
#[test]
fn a_run_continues_if_stderr_is_full() {
    let scratch = Scratch::new();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let arguments = "train --data domain.txt --general general.txt --epochs 1 --max-length 16 \
                     --device cpu --out out";
    let status = Command::new(env!("CARGO_BIN_EXE_minift"))
        .current_dir(scratch.path("."))
        .args(arguments.split_whitespace())
        .stdout(std::process::Stdio::null())
        .stderr(full)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    assert!(scratch.path("out/model.safetensors").exists());
}
