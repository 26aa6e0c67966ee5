//! `minift bench --profile`: times that add up, and work that is known.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_minift"))
        .args(["bench", "--profile", "--shape", "360k", "--seconds", "0"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

fn objects(device: &str) -> Vec<Value> {
    let output = bench(&["--json", "--device", device]);
    let lines = String::from_utf8(output.stdout).unwrap();
    let objects = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    objects.collect()
}

fn number(object: &Value, name: &str) -> f64 {
    object[name]
        .as_f64()
        .unwrap_or_else(|| panic!("{name} of {object}"))
}

/// Returns the sum of a number over the rows of a kind.
fn sum(profile: &Value, kind: &str, name: &str) -> f64 {
    let rows = profile["operations"].as_array().unwrap().iter();
    let of_kind = rows.filter(|row| row["operation"] == kind);
    of_kind.map(|row| number(row, name)).sum()
}

/// Layers of the embedded model, values of their matrices, and of the head.
const LAYERS: f64 = 6.0;
const MATRICES: f64 = LAYERS * (2.0 * 64.0 * 64.0 + 2.0 * 64.0 * 32.0 + 3.0 * 64.0 * 192.0);
const HEAD: f64 = 1024.0 * 64.0;
/// Tokens of the batch: eight samples of 256.
const ROWS: f64 = 2048.0;

fn check(device: &str) {
    let objects = objects(device);
    let kinds: Vec<&Value> = objects.iter().map(|object| &object["measured"]).collect();
    assert_eq!(kinds, ["device", "rates", "profile", "profile"]);
    for (profile, training) in objects[2..].iter().zip(["full", "lora"]) {
        assert_eq!(profile["training"], training);
        assert_eq!(number(profile, "tokens"), ROWS);
        let seconds = number(profile, "seconds");
        let rows = profile["operations"].as_array().unwrap();
        let times: Vec<f64> = rows.iter().map(|row| number(row, "seconds")).collect();
        let all: f64 = times.iter().sum();
        assert!(
            (all - seconds).abs() < 1e-6 * seconds,
            "{all} of {seconds}: {profile}"
        );
        assert!(times.iter().all(|&time| time >= 0.0), "{profile}");
        let shares: f64 = rows.iter().map(|row| number(row, "share")).sum();
        assert!((shares - 1.0).abs() < 1e-6, "{shares}");
        // Largest first, but for the rest of the step.
        assert!(
            times[..times.len() - 1].is_sorted_by(|a, b| a >= b),
            "{profile}"
        );
        let rest = if device == "cpu" { "other" } else { "idle" };
        assert_eq!(rows.last().unwrap()["operation"], rest);

        for kind in [
            "product",
            "attention",
            "norm",
            "rotary",
            "gate",
            "loss",
            "optimizer",
        ] {
            assert!(sum(profile, kind, "calls") > 0.0, "{kind}: {profile}");
            assert!(sum(profile, kind, "seconds") > 0.0, "{kind}: {profile}");
            assert!(sum(profile, kind, "bytes") > 0.0, "{kind}: {profile}");
        }
        assert_eq!(sum(profile, "attention", "calls"), 2.0 * LAYERS);
        assert_eq!(sum(profile, "gate", "calls"), 2.0 * LAYERS);
        let phases = profile["phases"].as_array().unwrap();
        let names: Vec<&Value> = phases.iter().map(|phase| &phase["phase"]).collect();
        let expected = [
            "teacher",
            "forward",
            "loss",
            "backward",
            "optimizer",
            "readback",
        ];
        assert_eq!(names, expected);
        for name in ["forward", "loss", "backward", "optimizer"] {
            let phase = phases.iter().find(|phase| phase["phase"] == name).unwrap();
            assert!(number(phase, "seconds") > 0.0, "{name}: {profile}");
        }
    }
    let [full, lora] = [&objects[2], &objects[3]];
    // Three products per matrix: outputs, gradients of inputs and of the matrix. The head has one more, the teacher's.
    let expected = 2.0 * ROWS * (3.0 * MATRICES + 4.0 * HEAD);
    assert_eq!(sum(full, "product", "flops"), expected);
    assert!(sum(lora, "product", "flops") < expected);
    // Two products of scores forward and five backward, over half of all pairs of positions.
    let pairs = 8.0 * 256.0 * 257.0 / 2.0;
    for profile in [full, lora] {
        assert_eq!(
            sum(profile, "attention", "flops"),
            LAYERS * 2.0 * 7.0 * pairs * 64.0
        );
    }
}

#[test]
fn a_profile_of_the_cpu_adds_up() {
    check("cpu");
}

#[test]
fn a_profile_of_a_gpu_adds_up() {
    check("gpu");
}

#[test]
fn a_profile_is_a_table() {
    let output = bench(&["--device", "cpu"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "MFT step of 360k, full finetuning: 2,048 tokens",
        "MFT step of 360k, LoRA",
        "times by the host's clock",
        "burn and autodiff",
        "of peak",
        "phases: teacher",
        "matmul",
    ] {
        assert!(text.contains(expected), "no {expected}:\n{text}");
    }
    assert!(!text.contains("tensor operations"), "{text}");
}
