//! `minift bench --json`: one object per measurement, and errors for invalid arguments.
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
fn bench_prints_one_object_per_measurement() {
    let output = bench(&["--shape", "360k", "--seconds", "0", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let objects: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<&str> = objects
        .iter()
        .map(|object| object["measured"].as_str().unwrap())
        .collect();
    let expected = ["device", "rates", "loss", "loss", "step", "step"];
    assert_eq!(kinds[..6], expected);
    assert_eq!(kinds[6..], ["weights"; 5]);
    let number = |index: usize, field: &str| objects[index][field].as_f64().unwrap();
    assert!(number(1, "bandwidth") > 0.0 && number(1, "matrix_product") > 0.0);

    assert_eq!(objects[2]["way"], "kernel");
    assert_eq!(objects[3]["way"], "tensor_operations");
    assert!(number(2, "extra_bytes") < number(3, "extra_bytes") / 2.0);
    assert_eq!(number(2, "bytes_needed"), 3.0 * 1024.0 * 32_000.0 * 4.0);

    for (index, method) in [(4, "ft"), (5, "mft")] {
        assert_eq!(objects[index]["method"], method);
        assert_eq!(number(index, "tokens"), 2048.0);
        let rate = number(index, "tokens") / number(index, "seconds");
        assert!((rate / number(index, "tokens_per_second") - 1.0).abs() < 1e-9);
        assert!(number(index, "peak_bytes") > 0.0);
        assert_eq!(number(index, "launches"), 0.0);
    }
    assert_eq!(number(4, "times_finetuning"), 1.0);

    let types = ["float32", "float16", "bfloat16", "q8_0", "q4_0"];
    for (index, weights) in (6..).zip(types) {
        assert_eq!(objects[index]["weights"], weights);
        assert!(number(index, "times_float32") > 0.0);
        assert!(number(index, "decoding_times_float32") > 0.0);
    }
    // 361,280 parameters; vectors stay float32.
    assert_eq!(number(6, "bytes"), 361_280.0 * 4.0);
    assert!(number(9, "bytes") < number(8, "bytes") * 0.55);
}

#[test]
fn unknown_shapes_and_infinite_durations_are_rejected() {
    for (arguments, expected) in [
        (["--shape", "7b"], "360k, 15m, 135m, lfm2 or qwen3.5"),
        (["--seconds", "inf"], "0 to 3600"),
    ] {
        let output = bench(&arguments);
        assert!(!output.status.success());
        let message = String::from_utf8_lossy(&output.stderr).to_string();
        assert!(message.contains(expected), "{message}");
    }
}
