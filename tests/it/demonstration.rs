//! The main commands of the program on the embedded model and texts.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn minift(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_minift"))
        .args(arguments)
        .output()
        .unwrap()
}

fn objects(output: &Output) -> Vec<Value> {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let stdout = std::str::from_utf8(&output.stdout).unwrap();
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn number(object: &Value, name: &str) -> f64 {
    object[name]
        .as_f64()
        .unwrap_or_else(|| panic!("{name} of {object}"))
}

#[test]
fn minifinetuning_learns_like_finetuning_and_forgets_far_less() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let out = out.to_str().unwrap();
    let events = objects(&minift(&[
        "demo", "--json", "--device", "cpu", "--out", out,
    ]));
    let done: Vec<&Value> = events
        .iter()
        .filter(|event| event["event"] == "done")
        .collect();
    let [ft, mft] = done[..] else {
        panic!("{done:?}")
    };
    assert_eq!(
        (&ft["method"], &mft["method"]),
        (&"ft".into(), &"mft".into())
    );
    assert_eq!(number(mft, "tau"), 0.25);
    assert_eq!(ft["steps"], mft["steps"]);

    // Python on the same texts: FT 534 → 14.4 and 27.4 → 89.8, MFT 534 → 25.1 and 27.4 → 28.3.
    let ratio_of = |done: &Value| match &done["ratio"] {
        Value::Null => f64::INFINITY,
        ratio => ratio.as_f64().unwrap(),
    };
    assert!(ratio_of(mft) >= 2.0 * ratio_of(ft), "{mft} against {ft}");
    assert!(
        number(mft, "specialization") >= 0.95 * number(ft, "specialization"),
        "{mft} {ft}"
    );
    assert!(number(ft, "degeneralization") > 20.0, "{ft}");

    let file = std::fs::read(Path::new(out).join("run.json")).unwrap();
    let run: Value = serde_json::from_slice(&file).unwrap();
    for (number_of_run, done) in [ft, mft].into_iter().enumerate() {
        let report = &run["runs"][number_of_run];
        assert_eq!(&report["result"], done);
        assert_eq!(report["settings"]["epochs"], 3);
        assert_eq!(
            report["losses"].as_array().unwrap().len() as u64,
            done["steps"].as_u64().unwrap()
        );
        assert_eq!(report["continuations"].as_array().unwrap().len(), 2);
    }

    // The written model is the evaluated one, rounded to the type of the embedded model, float16.
    let tales = scratch.path().join("tales.jsonl");
    let lines: Vec<String> = minift::demo::tales().unwrap()[..200]
        .iter()
        .map(|text| serde_json::json!({ "text": text }).to_string())
        .collect();
    std::fs::write(&tales, lines.join("\n")).unwrap();
    let model = Path::new(out).join("mft");
    let found = objects(&minift(&[
        "eval",
        "--json",
        "--device",
        "cpu",
        "--model",
        model.to_str().unwrap(),
        "--data",
        tales.to_str().unwrap(),
    ]));
    let error = number(&found[0], "perplexity") - number(mft, "general_perplexity_after");
    assert!(error.abs() < 0.02, "off by {error}");
}

#[test]
fn train_writes_a_model_a_report_and_no_leftovers() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("tickets.jsonl");
    std::fs::copy(
        concat!(env!("CARGO_MANIFEST_DIR"), "/assets/tickets.jsonl"),
        &data,
    )
    .unwrap();
    let text = scratch.path().join("general.txt");
    std::fs::write(&text, minift::demo::tales().unwrap()[..5].join("\n\n")).unwrap();
    let out = scratch.path().join("out");
    let arguments = [
        "train",
        "--json",
        "--device",
        "cpu",
        "--data",
        data.to_str().unwrap(),
        "--general",
        text.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--samples",
        "650",
        "--epochs",
        "1",
        "--batch-size",
        "50",
        "--max-length",
        "24",
        "--checkpoint-every",
        "2",
        "--prompt",
        "Bike:",
    ];
    let events = objects(&minift(&arguments));
    assert_eq!(events.first().unwrap()["event"], "started");
    let steps = events
        .iter()
        .filter(|event| event["event"] == "step")
        .count();
    let done = events.last().unwrap();
    assert_eq!(
        (done["event"].as_str(), done["steps"].as_u64()),
        (Some("done"), Some(steps as u64))
    );
    assert_eq!(steps, 13);
    for name in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "generation_config.json",
        "run.json",
    ] {
        assert!(out.join(name).is_file(), "{name}");
    }
    let mut left: Vec<_> = std::fs::read_dir(scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["general.txt", "out", "tickets.jsonl"]);

    let generated = objects(&minift(&[
        "generate",
        "--json",
        "--device",
        "cpu",
        "--model",
        out.to_str().unwrap(),
        "--prompt",
        "Once upon a time",
        "--max-new-tokens",
        "5",
    ]));
    assert!(!generated[0]["text"].as_str().unwrap().is_empty());
}

#[test]
fn doctor_passes_on_every_device() {
    let vectors = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/mft_loss.safetensors"
    );
    for device in ["cpu", "gpu"] {
        let checks = objects(&minift(&[
            "doctor",
            "--json",
            "--device",
            device,
            "--vectors",
            vectors,
        ]));
        assert!(checks.len() > 150, "{}", checks.len());
        for check in &checks {
            assert_eq!(check["ok"], true, "{check}");
            assert!(number(check, "max_error") <= number(check, "tolerance"));
            assert!(check["check"].is_string() && check["device"].is_string());
        }
    }
}

#[test]
fn doctor_fails_on_wrong_values() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("wrong.safetensors");
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/mft_loss.safetensors"
    );
    let mut bytes = std::fs::read(source).unwrap();
    let (header_length, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let (start, _) = header
        .info("v512_sharp.loss_per_token")
        .unwrap()
        .data_offsets;
    let at = 8 + header_length + start;
    bytes[at..at + 8].copy_from_slice(&1e3_f64.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let output = minift(&[
        "doctor",
        "--json",
        "--device",
        "cpu",
        "--vectors",
        path.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout.matches("\"ok\":false").count(), 1, "{stdout}");
}

#[test]
fn the_gpu_adapter_trains_like_the_cpu() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("tickets.txt");
    std::fs::write(&data, minift::demo::tickets().unwrap()[..20].join("\n\n")).unwrap();
    let losses = |device: &str| -> Vec<f64> {
        let out = scratch.path().join(device);
        let events = objects(&minift(&[
            "train",
            "--json",
            "--device",
            device,
            "--data",
            data.to_str().unwrap(),
            "--general",
            data.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
            "--epochs",
            "1",
            "--batch-size",
            "6",
            "--max-length",
            "20",
        ]));
        events
            .iter()
            .filter(|event| event["event"] == "step")
            .map(|event| number(event, "loss"))
            .collect()
    };
    let (cpu, gpu) = (losses("cpu"), losses("gpu"));
    assert_eq!(cpu.len(), 3);
    for (cpu, gpu) in cpu.iter().zip(&gpu) {
        assert!((cpu - gpu).abs() < 1e-3 * cpu, "{cpu} and {gpu}");
    }
}

#[test]
fn devices_lists_the_cpu_and_the_adapter() {
    let found = objects(&minift(&["devices", "--json"]));
    assert!(found.iter().any(|device| device["kind"] == "cpu"));
    assert!(
        found
            .iter()
            .any(|device| device["limits"]["max_binding_bytes"].as_u64() > Some(0))
    );
}
