//! `minift train --config`: a run is repeated from a file, and from the record of an earlier run.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::common::write_texts;

const RUN: &str = "--device cpu --data train.txt --held-out held.txt --general general.txt --max-length 24 \
                   --batch-size 4 --max-steps 3 --adapter lora --rank 2 --method constant --mix-alpha 0.2 \
                   --schedule linear --lr 0.01 --seed 5 --evaluate-every 2 --replay self --prompt Cat";

fn train(folder: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_minift"))
        .arg("train")
        .args(line.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn succeeds(folder: &Path, line: &str) -> String {
    let output = train(folder, line);
    assert!(output.status.success(), "{line}: {output:?}");
    text(&output.stdout).to_string()
}

fn fails(folder: &Path, line: &str, fragments: &[&str]) {
    let output = train(folder, line);
    assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
    let error = text(&output.stderr);
    for fragment in fragments {
        assert!(error.contains(fragment), "{line}: {fragment:?} in {error}");
    }
}

/// Returns what a run computed, without times.
fn figures(out: &Path) -> Value {
    let json = std::fs::read(out.join("run.json")).unwrap();
    let mut record: Value = serde_json::from_slice(&json).unwrap();
    let mut run = record["runs"][0].take();
    for key in ["seconds", "tokens_per_second", "out"] {
        run["result"].as_object_mut().unwrap().remove(key);
    }
    if let Some(front) = run["front"].as_object_mut() {
        front.remove("seconds");
    }
    run
}

#[test]
fn a_run_is_repeated_from_its_record_and_from_its_printed_settings() {
    let scratch = TempDir::new().unwrap();
    let (folder, elsewhere) = (scratch.path(), scratch.path().join("elsewhere"));
    write_texts(folder);
    std::fs::create_dir(&elsewhere).unwrap();
    let printed = succeeds(folder, &format!("{RUN} --out first --print-config"));
    assert!(!folder.join("first").exists(), "nothing is trained");
    std::fs::write(elsewhere.join("run.toml"), &printed).unwrap();

    succeeds(folder, &format!("{RUN} --out first"));
    let expected = figures(&folder.join("first"));
    assert_eq!(expected["losses"].as_array().unwrap().len(), 3);
    for config in ["../first/run.json", "run.toml"] {
        let out = format!("--out {}", config.rsplit('.').next().unwrap());
        succeeds(&elsewhere, &format!("--config {config} {out}"));
    }
    for out in ["json", "toml"] {
        assert_eq!(figures(&elsewhere.join(out)), expected, "{out}");
    }

    // The command line wins; its method leaves no strength of the other.
    let line = "--config run.toml --max-steps 1 --method mft --adapter none --out again";
    succeeds(&elsewhere, line);
    let again = figures(&elsewhere.join("again"));
    assert_eq!(again["losses"].as_array().unwrap().len(), 1);
    assert_eq!(again["result"]["method"], "mft");
    assert!(again["settings"]["adapter"].is_null());

    // The output is that of the file.
    fails(&elsewhere, "--config run.toml", &["first", "--force"]);
    let json = succeeds(&elsewhere, "--config run.toml --print-config --json");
    let config: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&config["event"], &config["config"]["alpha"]),
        (&"config".into(), &0.2.into())
    );
}

#[test]
fn faults_of_a_configuration_are_reported() {
    let scratch = TempDir::new().unwrap();
    let folder = scratch.path();
    write_texts(folder);
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write(
        "typo.toml",
        "out = \"out\"\ndata = [\"train.txt\"]\nbatchsize = 3\n",
    );
    write("no-data.toml", "out = \"out\"\n");
    write("old.json", "{\"minift\": \"0.1.0\", \"runs\": []}");
    write("half.json", "{\"minift\": ");
    for (line, fragments) in [
        (
            "--config typo.toml",
            &["typo.toml: line 3", "did you mean batch_size?"][..],
        ),
        ("--config no-data.toml", &["data (--data): not given"]),
        (
            "--config old.json",
            &["old.json", "has no \"config\"", "0.2"],
        ),
        ("--config half.json", &["half.json", "record of a run"]),
        ("--config nowhere.toml", &["nowhere.toml"]),
        (
            "--data train.txt --out out --best",
            &["best (--best)", "without --evaluate-every"],
        ),
    ] {
        fails(folder, line, fragments);
    }
    // Without a file, what is missing is an error of the command line.
    let output = train(folder, "--data train.txt");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("--out"), "{output:?}");
}
