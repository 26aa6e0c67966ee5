//! Scaled rotary embeddings compared with `transformers`: the same small model with several configurations.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::path::PathBuf;

use burn::tensor::{Int, Tensor, TensorData};
use common::{data, devices, values};
use minift::device::Device;
use minift::eval::evaluate;
use minift::model::{CausalLm, FileBytes, ModelFiles};
use minift::text::Sample;
use pollster::block_on;
use serde::Deserialize;
use serde_json::{Value, json};

/// A tokenizer of two words, since the texts are ids.
const TOKENIZER: &str = r#"{"version": "1.0", "added_tokens": [], "normalizer": null,
    "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
    "truncation": null, "padding": null,
    "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}}"#;

#[derive(Deserialize)]
struct Expected {
    input_ids: Vec<u32>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    config: Value,
    lengths: Vec<usize>,
    logits: Vec<Vec<f32>>,
}

fn expected() -> Expected {
    serde_json::from_slice(&std::fs::read(data("rope/expected.json")).unwrap()).unwrap()
}

fn load(config: &Value, device: &Device) -> minift::Result<CausalLm> {
    let files = ModelFiles::collect(PathBuf::from("rope"), |name| {
        Ok(match name {
            "config.json" => Some(config.to_string().into_bytes()),
            "tokenizer.json" => Some(TOKENIZER.as_bytes().to_vec()),
            "model.safetensors" => Some(std::fs::read(data("rope/model.safetensors")).unwrap()),
            _ => None,
        }
        .map(|bytes| FileBytes::InMemory(bytes.into())))
    });
    CausalLm::from_files(files?, device)
}

#[test]
fn scaled_rotary_embeddings_match_transformers() {
    let expected = expected();
    assert_eq!(expected.cases.len(), 10);
    for device in devices() {
        for case in &expected.cases {
            let model = load(&case.config, &device).unwrap();
            for (&length, logits) in case.lengths.iter().zip(&case.logits) {
                let ids: Vec<i32> = expected.input_ids[..length]
                    .iter()
                    .map(|&id| id as i32)
                    .collect();
                let tokens = TensorData::new(ids, [1, length]);
                let tokens = Tensor::<2, Int>::from_data(tokens, &model.tensor_device());
                let found = values(model.logits(tokens).narrow(1, length - 1, 1));
                let errors = found.iter().zip(logits).map(|(a, b)| (a - b).abs());
                let error = errors.fold(0.0, f32::max);
                assert!(error < 2e-4, "{} at {length}: off by {error}", case.name);
            }
        }
    }
}

/// Where the frequencies depend on the length, a batch with a longer text must not change the others.
#[test]
fn a_texts_perplexity_does_not_depend_on_its_batch() {
    let expected = expected();
    let samples: Vec<Sample> = [9, 16, 17, 24, 40, 12]
        .map(|length| Sample::new(expected.input_ids[..length].to_vec()))
        .into();
    let mut compared = 0;
    for case in &expected.cases {
        let model = load(&case.config, &Device::cpu()).unwrap();
        let perplexity = |size| block_on(evaluate(&model, &samples, size)).unwrap();
        let (alone, together) = (perplexity(1), perplexity(6));
        assert_eq!(alone.tokens, together.tokens);
        let error = (alone.perplexity / together.perplexity - 1.0).abs();
        assert!(error < 1e-5, "{}: {alone:?} and {together:?}", case.name);
        compared += 1;
    }
    assert_eq!(compared, 10);
}

#[test]
fn scaling_for_longer_texts_allows_them() {
    let expected = expected();
    let length = |name: &str| {
        let case = expected
            .cases
            .iter()
            .find(|case| case.name == name)
            .unwrap();
        load(&case.config, &Device::cpu())
            .unwrap()
            .config()
            .decoder
            .max_length
    };
    // 3 times 16; and yarn's original 16 · 4, which is what the configuration says.
    assert_eq!(length("dynamic"), 48);
    assert_eq!(length("yarn, in the older form"), 64);
    assert_eq!(length("yarn, without an original length"), 128);
    assert_eq!(length("longrope"), 64);
}

#[test]
fn invalid_scaling_is_rejected() {
    let base = &expected().cases[0].config;
    let lists = json!([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    for (scaling, parts) in [
        (
            json!({"type": "yarn", "factor": 0.0}),
            ["RoPE scaling", "above 0"],
        ),
        (
            json!({"type": "yarn", "factor": 2.0, "beta_fast": 1, "beta_slow": 2}),
            ["RoPE", "beta_fast"],
        ),
        (
            json!({"type": "dynamic", "factor": 0.5}),
            ["RoPE scaling", "at least 1"],
        ),
        (
            json!({"type": "dynamic"}),
            ["rope_scaling.factor", "missing"],
        ),
        (
            json!({"type": "longrope", "long_factor": lists}),
            ["short_factor", "missing"],
        ),
        (
            json!({"type": "longrope", "long_factor": lists, "short_factor": [1.0]}),
            ["short_factor has 1 numbers", "expected 8"],
        ),
        (
            json!({"type": "longrope", "long_factor": lists, "short_factor": lists,
                "original_max_position_embeddings": 0}),
            ["RoPE scaling", "above 0"],
        ),
        (json!({"type": "mrope"}), ["type mrope", "longrope"]),
    ] {
        let mut config = base.clone();
        config["rope_scaling"] = scaling.clone();
        let error = load(&config, &Device::cpu()).unwrap_err().report();
        assert!(
            parts.iter().all(|part| error.contains(part)),
            "{scaling}: {error}"
        );
    }
}
