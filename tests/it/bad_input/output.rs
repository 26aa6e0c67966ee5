//! Invalid output folders, and existing ones.

use std::fs;

use super::{Scratch, fault, no_faults, text};

/// A learning rate at which training diverges.
const DIVERGING: [&str; 4] = ["--lr", "1e30", "--epochs", "3"];

#[test]
fn existing_outputs_are_kept() {
    let a_folder = Scratch::with_old_output();
    let a_file = Scratch::new();
    a_file.write("out", "years of work");
    let demo = ["demo", "--out", "out"];
    let fragments = ["out already exists", "--force"];
    let no_folder = ["out", "not a folder"];
    no_faults([
        (
            "train on a folder".to_string(),
            a_folder.train_fault(&[], &fragments),
        ),
        (
            "train on a file".to_string(),
            a_file.train_fault(&[], &no_folder),
        ),
        (
            "train on a file with --force".to_string(),
            a_file.train_fault(&["--force"], &no_folder),
        ),
        (
            "demo on a folder".to_string(),
            a_folder.fault(&fragments, |scratch| scratch.minift(&demo)),
        ),
    ]);
}

/// With `--force`, the output would replace the input.
#[test]
fn outputs_that_contain_an_input_are_rejected() {
    let scratch = Scratch::with_old_output();
    fs::copy(scratch.path("domain.txt"), scratch.path("out/in.txt")).unwrap();
    for given in [
        ["--data", "out/in.txt"],
        ["--data", "./out/../out/*.txt"],
        ["--general", "out/in.txt"],
        ["--teacher-cache", "out/states"],
        ["--teacher-cache", "out"],
        ["--replay", "out/in.txt"],
    ] {
        let arguments = [&given[..], &["--force"]].concat();
        let fault = scratch.train_fault(&arguments, &["out", "does not contain"]);
        no_faults([(given.join(" "), fault)]);
    }
    let merge = "merge --adapter out --out out --force";
    let merge: Vec<&str> = merge.split(' ').collect();
    let merged = fault(&scratch.minift(&merge), &["does not contain out"]);
    no_faults([("merge".to_string(), merged)]);
    assert!(scratch.path("out/in.txt").exists());
}

#[test]
fn a_run_with_force_that_fails_early_keeps_the_old_output() {
    let scratch = Scratch::with_old_output();
    let cases: &[(&[&str], &str)] = &[
        (&["--tau", "1.5"], "tau"),
        (&["--data", "missing.txt"], "missing.txt"),
        (&["--general", "missing.txt"], "missing.txt"),
        (&["--model", "missing"], "missing"),
        (&["--max-length", "100000"], "max-length"),
        (&["--resume"], "out.checkpoint"),
    ];
    no_faults(cases.iter().map(|(given, fragment)| {
        let arguments = [&["--force"], *given].concat();
        (
            given.join(" "),
            scratch.train_fault(&arguments, &[fragment]),
        )
    }));
}

#[test]
fn a_run_with_force_that_fails_late_keeps_the_old_output_and_a_checkpoint() {
    let scratch = Scratch::with_old_output();
    let mut expected = scratch.contents();
    let output = scratch.train(&[&["--force"], &DIVERGING[..]].concat());
    assert_eq!(
        fault(&output, &["loss", "learning rate", "out.checkpoint"]),
        None
    );
    expected.insert(
        scratch.path("out.checkpoint"),
        Some(scratch.read("out.checkpoint")),
    );
    assert!(
        scratch.contents() == expected,
        "{:?}",
        scratch.contents().keys()
    );
}

#[test]
fn a_run_with_force_replaces_the_old_output_completely() {
    let scratch = Scratch::with_old_output();
    let output = scratch.train(&["--force"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!scratch.path("out/notes.md").exists());
    for file in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "run.json",
    ] {
        assert!(scratch.path("out").join(file).is_file(), "{file}");
    }
    let mut names: Vec<_> = fs::read_dir(scratch.0.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["domain.txt", "general.txt", "out"]);
    let output = scratch.minift(&["eval", "--model", "out", "--data", "domain.txt"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// A training must not fail to write its result after hours.
#[test]
fn unwritable_outputs_are_rejected_before_training() {
    for out in ["general.txt/out", "general.txt/deep/out"] {
        let scratch = Scratch::new();
        let before = scratch.contents();
        let output = scratch.train(&["--json", "--out", out]);
        assert_eq!(fault(&output, &["general.txt"]), None, "{out}");
        assert!(
            scratch.contents() == before,
            "{out}: {:?}",
            scratch.contents().keys()
        );
        assert!(
            !text(&output.stdout).contains("\"event\":\"step\""),
            "{out}: trained first"
        );
    }
    let scratch = Scratch::new();
    let demo = ["demo", "--out", "general.txt/out"];
    no_faults([(
        "demo".to_string(),
        scratch.fault(&["general.txt"], |scratch| scratch.minift(&demo)),
    )]);
}

#[test]
fn parent_folders_of_the_output_are_created() {
    let scratch = Scratch::new();
    let output = scratch.train(&["--out", "new/deep/out"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(scratch.path("new/deep/out/model.safetensors").is_file());
}

#[test]
fn outputs_without_a_name_are_rejected_before_training() {
    for out in [".", "..", "/"] {
        let scratch = Scratch::new();
        let before = scratch.contents();
        let output = scratch.train(&["--out", out, "--force"]);
        assert_eq!(fault(&output, &["out (--out): ", out]), None, "{out}");
        assert!(scratch.contents() == before, "{out}");
    }
}
