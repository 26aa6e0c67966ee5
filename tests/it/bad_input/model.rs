//! Missing model files, and invalid tokenizers and weight indices.

use std::fs;

use minift::model::Sampling;
use minift::text::Preparation;
use serde_json::{Value, json};

use super::{Scratch, no_faults, refusal};

#[test]
fn missing_model_files_are_named() {
    let mut faults = Vec::new();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let scratch = Scratch::with_model();
        fs::remove_file(scratch.path("model").join(file)).unwrap();
        faults.push((
            format!("no {file}"),
            scratch.model_fault(&[&format!("model is missing {file}")]),
        ));
    }
    no_faults(faults);
}

#[test]
fn invalid_tokenizers_are_rejected() {
    let garbage = Scratch::with_model();
    garbage.write("model/tokenizer.json", [0x93, 0x00, 0xff, 0x7b]);
    let other_json = Scratch::with_model();
    other_json.write("model/tokenizer.json", "{\"version\": \"1.0\"}");
    no_faults([
        (
            "garbage".to_string(),
            garbage.model_fault(&["tokenizer.json"]),
        ),
        (
            "other JSON".to_string(),
            other_json.model_fault(&["tokenizer.json"]),
        ),
    ]);
}

#[test]
fn a_text_with_a_token_beyond_the_vocabulary_is_rejected() {
    let scratch = Scratch::with_model();
    scratch.change_json("model/tokenizer.json", |tokenizer| {
        let mut token = tokenizer["added_tokens"][0].clone();
        token["id"] = json!(1024);
        token["content"] = json!("<|velocipede|>");
        let tokens = tokenizer["added_tokens"].as_array_mut().unwrap();
        tokens.push(token);
    });
    // The model is usable as long as no text has the token.
    let model = scratch.load().unwrap();
    let samples = |text: &str| {
        let preparation = Preparation::to_length(64);
        let reader = model.reader();
        reader
            .samples_of_texts(&[text], &preparation, "test")
            .map(drop)
    };
    assert!(samples("The wheel is bent.").is_ok());
    let refused = samples("The <|velocipede|> is bent.");
    assert_eq!(refusal(refused, &["token 1024", "1024 tokens"]), None);
    let generated =
        pollster::block_on(model.generate("<|velocipede|>", 4, &Sampling::default(), |_| ()));
    assert_eq!(refusal(generated, &["token 1024", "1024 tokens"]), None);
}

#[test]
fn invalid_weight_indices_are_rejected() {
    let index = |map: Value, fragments: &[&str]| {
        let scratch = Scratch::with_model();
        let part = "model/model-00001-of-00001.safetensors";
        fs::rename(scratch.path("model/model.safetensors"), scratch.path(part)).unwrap();
        scratch.write("model/model.safetensors.index.json", map.to_string());
        scratch.model_fault(fragments)
    };
    let map = |name: &str| json!({ "weight_map": { "model.norm.weight": name } });
    no_faults(
        [
            ("no map", json!({}), &["index.json", "weight_map"][..]),
            (
                "an empty map",
                json!({"weight_map": {}}),
                &["names no file"],
            ),
            (
                "a missing shard",
                map("model-2.safetensors"),
                &["model-2", "does not exist"],
            ),
            (
                "a path out of the folder",
                map("../model-2.safetensors"),
                &["../model-2", "expected the name"],
            ),
            (
                "an absolute path",
                map("/etc/passwd"),
                &["/etc/passwd", "expected the name"],
            ),
            (
                "another kind of file",
                map("config.json"),
                &["config.json", ".safetensors"],
            ),
        ]
        .map(|(name, map, fragments)| (name.to_string(), index(map, fragments))),
    );
    // A valid index loads.
    let scratch = Scratch::with_model();
    let part = "model-00001-of-00001.safetensors";
    let place = scratch.path(&format!("model/{part}"));
    fs::rename(scratch.path("model/model.safetensors"), place).unwrap();
    scratch.write("model/model.safetensors.index.json", map(part).to_string());
    scratch.load().unwrap();
}
