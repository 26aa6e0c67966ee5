//! `minift bench` as a program sees it: a JSON object a figure, and words for what it does not know.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_minift"))
        .args(["bench", "--device", "cpu"])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn every_figure_is_an_object() {
    let output = bench(&["--shape", "360k", "--seconds", "0", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let figures: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<&str> = figures
        .iter()
        .map(|figure| figure["measured"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["device", "rates", "loss", "loss", "step", "step"]);
    let number = |figure: usize, field: &str| figures[figure][field].as_f64().unwrap();
    assert!(number(1, "bandwidth") > 0.0 && number(1, "matrix_product") > 0.0);

    assert_eq!(figures[2]["way"], "kernel");
    assert_eq!(figures[3]["way"], "tensor_operations");
    assert!(number(2, "extra_bytes") < number(3, "extra_bytes") / 2.0);
    assert_eq!(number(2, "bytes_needed"), 3.0 * 1024.0 * 32_000.0 * 4.0);

    for (figure, method) in [(4, "ft"), (5, "mft")] {
        assert_eq!(figures[figure]["method"], method);
        assert_eq!(number(figure, "tokens"), 2048.0);
        let rate = number(figure, "tokens") / number(figure, "seconds");
        assert!((rate / number(figure, "tokens_per_second") - 1.0).abs() < 1e-9);
        assert!(number(figure, "peak_bytes") > 0.0);
        assert_eq!(number(figure, "launches"), 0.0);
    }
    assert_eq!(number(4, "times_finetuning"), 1.0);
}

#[test]
fn an_unknown_shape_and_an_endless_measurement_are_refused() {
    for (arguments, expected) in [
        (["--shape", "7b"], "360k, 15m or 135m"),
        (["--seconds", "inf"], "0 to 3600"),
    ] {
        let output = bench(&arguments);
        assert!(!output.status.success());
        let message = String::from_utf8_lossy(&output.stderr).to_string();
        assert!(message.contains(expected), "{message}");
    }
}
