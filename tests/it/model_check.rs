//! `minift doctor --expected`: models checked by the logits of `transformers`, and files that cannot be.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{TOKENIZER, Vectors, data};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tempfile::TempDir;

/// A tensor to write: name, type, shape, bytes.
type Written = (&'static str, Dtype, Vec<usize>, Vec<u8>);

/// A folder with a random model, and its reference values.
struct Model {
    folder: TempDir,
    ids: Vec<i32>,
    logits: Vec<f32>,
    shape: [usize; 3],
}

impl Model {
    fn tiny(name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        for entry in fs::read_dir(data("tiny").join(name)).unwrap() {
            let file = entry.unwrap();
            fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        fs::write(folder.path().join("tokenizer.json"), TOKENIZER).unwrap();
        let bytes = fs::read(folder.path().join("expected.safetensors")).unwrap();
        let expected = Vectors::parse(&bytes);
        Self {
            ids: expected.i32("input_ids"),
            logits: expected.f32("logits"),
            shape: expected.shape("logits").try_into().unwrap(),
            folder,
        }
    }

    fn ids(&self) -> Written {
        let [rows, length, _] = self.shape;
        (
            "input_ids",
            Dtype::I32,
            vec![rows, length],
            bytes(&self.ids, i32::to_le_bytes),
        )
    }

    fn logits(&self) -> Written {
        (
            "logits",
            Dtype::F32,
            self.shape.to_vec(),
            bytes(&self.logits, f32::to_le_bytes),
        )
    }

    fn write(&self, tensors: &[Written]) -> PathBuf {
        let path = self.folder.path().join("written.safetensors");
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        path
    }

    fn check(&self, expected: &Path, more: &[&str]) -> Output {
        doctor(self.folder.path(), expected, more)
    }
}

fn bytes<T: Copy, const N: usize>(values: &[T], bytes: fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| bytes(value)).collect()
}

fn doctor(model: &Path, expected: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_minift"))
        .args(["doctor", "--model", model.to_str().unwrap()])
        .args(["--expected", expected.to_str().unwrap()])
        .args(if more.contains(&"--device") {
            &[][..]
        } else {
            &["--device", "cpu"]
        })
        .args(more)
        .output()
        .unwrap()
}

/// Returns the JSON object of a check.
fn object(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(stdout.trim()).unwrap_or_else(|_| panic!("{stdout}{errors}"))
}

fn number(object: &Value, name: &str) -> f64 {
    object[name]
        .as_f64()
        .unwrap_or_else(|| panic!("{name} of {object}"))
}

#[test]
fn models_match_transformers_on_every_device() {
    for device in ["cpu", "gpu"] {
        for name in ["llama3", "gpt2", "gemma3", "phi"] {
            let model = Model::tiny(name);
            let file = model.folder.path().join("expected.safetensors");
            let output = model.check(&file, &["--json", "--device", device]);
            let check = object(&output);
            assert!(output.status.success(), "{name} on {device}: {check}");
            assert_eq!(check["check"], "logits");
            assert_eq!(check["ok"], true);
            assert_eq!(number(&check, "tolerance"), 2e-3);
            let [rows, length, _] = model.shape;
            assert_eq!(number(&check, "positions"), (rows * length) as f64);
            assert!(
                number(&check, "max_error") < 2e-4,
                "{name} on {device}: {check}"
            );
            assert!(number(&check, "mean_error") <= number(&check, "max_error"));
            assert_eq!(check["same_most_likely"], check["positions"]);
            let entropies = &check["cross_entropy"];
            let [expected, found] = ["expected", "found"].map(|name| number(entropies, name));
            assert!((expected - found).abs() < 1e-4, "{entropies}");
            let bytes = fs::read(&file).unwrap();
            let recorded: f64 = Vectors::parse(&bytes).metadata["cross_entropy"]
                .parse()
                .unwrap();
            assert!(
                (expected - recorded).abs() < 1e-4 * recorded,
                "{name}: {expected}, {recorded}"
            );
            let worst = check["worst"].as_array().unwrap();
            assert_eq!(worst.len(), 10);
            let errors: Vec<f64> = worst.iter().map(|at| number(at, "max_error")).collect();
            assert!(errors.is_sorted_by(|a, b| a >= b) && errors[0] == number(&check, "max_error"));
        }
    }
}

#[test]
fn gguf_files_and_adapters_are_checked() {
    let tiny = data("gguf/tiny/llama.gguf");
    let output = doctor(&tiny, &tiny.with_extension("safetensors"), &["--json"]);
    assert!(output.status.success(), "{}", object(&output));

    let adapter = data("peft/lora");
    let adapter = adapter.to_str().unwrap();
    let embedded = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/minift-tales-360k");
    let expected = data("peft/lora/expected.safetensors");
    let output = doctor(&embedded, &expected, &["--json", "--adapter-dir", adapter]);
    assert!(output.status.success(), "{}", object(&output));
    let output = doctor(&embedded, &expected, &["--json"]);
    assert_eq!(output.status.code(), Some(1), "without the adapter");
}

#[test]
fn a_wrong_logit_fails_and_is_named() {
    let mut model = Model::tiny("smollm2");
    let [_, length, vocab_size] = model.shape;
    let (row, position, token) = (1, 5, 17);
    let at = (row * length + position) * vocab_size + token;
    model.logits[at] += 0.25;
    let file = model.write(&[model.ids(), model.logits()]);
    let output = model.check(&file, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let check = object(&output);
    assert_eq!(check["ok"], false);
    assert!((number(&check, "max_error") - 0.25).abs() < 1e-3, "{check}");
    let worst = &check["worst"][0];
    for (name, expected) in [("row", row), ("position", position), ("logit_of", token)] {
        assert_eq!(worst[name], expected, "{worst}");
    }
    assert_eq!(worst["token"], model.ids[row * length + position]);
    let [expected, found] = ["expected", "found"].map(|name| number(worst, name));
    assert!((expected - f64::from(model.logits[at])).abs() < 1e-6);
    assert!((expected - found - 0.25).abs() < 1e-3);
    // The others are as good as before.
    assert!(number(&check["worst"][1], "max_error") < 2e-4, "{check}");

    let output = model.check(&file, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text
        .lines()
        .skip_while(|line| !line.contains("largest error"))
        .nth(1);
    let cells: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!([cells[0], cells[1], cells[4]], ["1", "5", "17"], "{text}");
    assert!(text.contains("differ by more than 2e-3"), "{text}");

    let output = model.check(&file, &["--tolerance", "0.3"]);
    assert!(output.status.success(), "{output:?}");
}

/// A single row, as a prompt alone has it.
#[test]
fn a_file_may_hold_one_row_in_any_type() {
    let model = Model::tiny("qwen3");
    let [_, length, vocab_size] = model.shape;
    let (ids, logits) = (&model.ids[..length], &model.logits[..length * vocab_size]);
    let wide: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    let ids = [
        (
            "input_ids",
            Dtype::I64,
            vec![length],
            bytes(&wide, i64::to_le_bytes),
        ),
        (
            "input_ids",
            Dtype::I32,
            vec![1, length],
            bytes(ids, i32::to_le_bytes),
        ),
    ];
    let halves: Vec<f16> = logits.iter().map(|&x| f16::from_f32(x)).collect();
    let brain: Vec<bf16> = logits.iter().map(|&x| bf16::from_f32(x)).collect();
    let types = [
        (Dtype::F32, bytes(logits, f32::to_le_bytes), 2e-3),
        (Dtype::F16, bytes(&halves, f16::to_le_bytes), 5e-2),
        (Dtype::BF16, bytes(&brain, bf16::to_le_bytes), 0.5),
    ];
    for ids in ids {
        for (dtype, bytes, tolerance) in &types {
            for shape in [vec![length, vocab_size], vec![1, length, vocab_size]] {
                let logits = ("logits", *dtype, shape, bytes.clone());
                let file = model.write(&[ids.clone(), logits]);
                let check = object(&model.check(&file, &["--json"]));
                assert_eq!(check["ok"], true, "{dtype:?} {check}");
                assert_eq!(number(&check, "tolerance"), *tolerance);
                assert_eq!(number(&check, "positions"), length as f64);
            }
        }
    }
}

/// The default limits hold for converted weights, and are not met by chance.
#[test]
fn converted_weights_are_within_their_limits() {
    let model = Model::tiny("llama3");
    let file = model.folder.path().join("expected.safetensors");
    for weights in ["float16", "bfloat16", "q8_0", "q4_0"] {
        let check = object(&model.check(&file, &["--json", "--weights", weights]));
        let strict = ["--json", "--weights", weights, "--tolerance", "2e-5"];
        assert_eq!(
            model.check(&file, &strict).status.code(),
            Some(1),
            "{weights}"
        );
        assert_eq!(check["ok"], true, "{weights}: {check}");
    }
}

#[test]
fn unusable_files_are_named() {
    let model = Model::tiny("smollm2");
    let [rows, length, vocab_size] = model.shape;
    let changed = |at: usize, id: i32| {
        let mut ids = model.ids.clone();
        ids[at] = id;
        (
            "input_ids",
            Dtype::I32,
            vec![rows, length],
            bytes(&ids, i32::to_le_bytes),
        )
    };
    let with_shape =
        |(name, dtype, _, bytes): Written, shape: Vec<usize>| (name, dtype, shape, bytes);
    let logit = |value: f32| {
        let mut logits = model.logits.clone();
        logits[(length + 3) * vocab_size + 2] = value;
        (
            "logits",
            Dtype::F32,
            model.shape.to_vec(),
            bytes(&logits, f32::to_le_bytes),
        )
    };
    let narrow = vocab_size - 1;
    let narrow_logits: Vec<f32> = model
        .logits
        .chunks(vocab_size)
        .flat_map(|row| &row[1..])
        .copied()
        .collect();
    let narrow_logits = bytes(&narrow_logits, f32::to_le_bytes);
    let long = 1 << 17;
    let (narrow_text, vocab_text) = (narrow.to_string(), vocab_size.to_string());
    let cases: Vec<(&str, Vec<Written>, Vec<&str>)> = vec![
        ("no logits", vec![model.ids()], vec!["missing", "logits"]),
        ("no ids", vec![model.logits()], vec!["missing", "input_ids"]),
        (
            "other vocabulary",
            vec![
                model.ids(),
                (
                    "logits",
                    Dtype::F32,
                    vec![rows, length, narrow],
                    narrow_logits,
                ),
            ],
            vec!["vocabulary", &narrow_text, &vocab_text],
        ),
        (
            "fewer ids",
            vec![
                with_shape(
                    ("input_ids", Dtype::I32, vec![], vec![0; 4 * length]),
                    vec![1, length],
                ),
                model.logits(),
            ],
            vec!["input_ids has shape", "logits has shape"],
        ),
        (
            "more ids",
            vec![
                model.ids(),
                (
                    "logits",
                    Dtype::F32,
                    vec![length, vocab_size],
                    model.logits().3[..4 * length * vocab_size].to_vec(),
                ),
            ],
            vec!["input_ids has shape", "logits has shape"],
        ),
        (
            "one dimension",
            vec![
                model.ids(),
                with_shape(model.logits(), vec![rows * length * vocab_size]),
            ],
            vec!["logits has shape", "[rows, length, vocab_size]"],
        ),
        (
            "nothing",
            vec![
                ("input_ids", Dtype::I32, vec![0, length], vec![]),
                ("logits", Dtype::F32, vec![0, length, vocab_size], vec![]),
            ],
            vec!["logits has shape [0,"],
        ),
        (
            "ids as floats",
            vec![
                ("input_ids", Dtype::F32, vec![rows, length], model.ids().3),
                model.logits(),
            ],
            vec!["input_ids has dtype F32", "I32 or I64"],
        ),
        (
            "logits as integers",
            vec![
                model.ids(),
                ("logits", Dtype::I32, model.shape.to_vec(), model.logits().3),
            ],
            vec!["logits", "I32", "F32, F16, BF16"],
        ),
        (
            "negative id",
            vec![changed(length + 2, -100), model.logits()],
            vec!["input_ids has -100 at row 1, position 2"],
        ),
        (
            "unknown id",
            vec![changed(4, vocab_size as i32), model.logits()],
            vec!["at row 0, position 4", &vocab_text],
        ),
        (
            "not a number",
            vec![model.ids(), logit(f32::NAN)],
            vec!["NaN at row 1, position 3, token 2"],
        ),
        (
            "infinite",
            vec![model.ids(), logit(f32::INFINITY)],
            vec!["inf at row 1, position 3, token 2"],
        ),
        (
            "too long",
            vec![
                ("input_ids", Dtype::I32, vec![long], vec![0; 4 * long]),
                (
                    "logits",
                    Dtype::F16,
                    vec![long, vocab_size],
                    vec![0; 2 * long * vocab_size],
                ),
            ],
            vec!["131072 tokens", "maximum length"],
        ),
    ];
    for (name, tensors, fragments) in cases {
        let file = model.write(&tensors);
        fails(
            name,
            &model.check(&file, &["--json"]),
            &[&fragments[..], &["written.safetensors"]].concat(),
        );
    }
    let garbage = model.folder.path().join("garbage");
    fs::write(&garbage, "not a safetensors file").unwrap();
    fails(
        "garbage",
        &model.check(&garbage, &["--json"]),
        &["garbage", "safetensors"],
    );
    let missing = model.folder.path().join("missing");
    fails("missing", &model.check(&missing, &["--json"]), &["missing"]);
}

#[test]
fn options_of_the_check_need_a_file() {
    let model = Model::tiny("smollm2");
    let file = model.write(&[model.ids(), model.logits()]);
    for tolerance in ["nan", "-1", "inf"] {
        let output = model.check(&file, &["--json", "--tolerance", tolerance]);
        fails(
            tolerance,
            &output,
            &["tolerance (--tolerance)", "at least 0"],
        );
    }
    for (arguments, fragment) in [
        (
            &["--model", "x", "--json"][..],
            "expected (--expected): not given",
        ),
        (
            &["--weights", "q8_0", "--json"],
            "expected (--expected): not given",
        ),
    ] {
        let program = env!("CARGO_BIN_EXE_minift");
        let output = Command::new(program).arg("doctor").args(arguments).output();
        fails(fragment, &output.unwrap(), &[fragment]);
    }
}

/// Checks that a command failed with a message that contains all fragments.
fn fails(case: &str, output: &Output, fragments: &[&str]) {
    assert_eq!(output.status.code(), Some(1), "{case}: {output:?}");
    let object = object(output);
    let message = object["message"].as_str().unwrap();
    for fragment in fragments {
        assert!(
            message.contains(fragment),
            "{case}: no {fragment} in {message}"
        );
    }
}
