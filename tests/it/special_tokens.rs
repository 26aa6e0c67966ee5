//! The tokens that begin and end a text: read from every file that names them, and used by data preparation
//! and generation.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use minift::device::Device;
use minift::model::{CausalLm, FileBytes, ModelFiles, Sampling, TextReader};
use minift::text::{Preparation, Record};
use pollster::block_on;
use serde_json::{Value, json};

const PROMPT: &str = "Once upon a time, there was a little";

/// The files of the embedded model, with others in place of its generation and tokenizer settings, and with
/// `eos_token_id` in `config.json`.
fn files(end_in_config: Value, others: &[(&str, Value)]) -> ModelFiles {
    let embedded = ModelFiles::embedded();
    let found = ModelFiles::collect(PathBuf::from("model"), |name| {
        let bytes = match name {
            "config.json" => {
                let mut config: Value = serde_json::from_slice(&embedded.config).unwrap();
                config["eos_token_id"] = end_in_config.clone();
                config.to_string().into_bytes()
            }
            "tokenizer.json" => embedded.tokenizer.to_vec(),
            "model.safetensors" => embedded.weights[0].1.to_vec(),
            _ => match others.iter().find(|(other, _)| *other == name) {
                Some((_, json)) => json.to_string().into_bytes(),
                None => return Ok(None),
            },
        };
        Ok(Some(FileBytes::InMemory(bytes.into())))
    });
    found.unwrap()
}

/// The token that ends a text, and all at which generation stops.
fn ends(end_in_config: Value, others: &[(&str, Value)]) -> (Option<u32>, Vec<u32>) {
    let reader = TextReader::new(files(end_in_config, others)).unwrap();
    assert_eq!(reader.notes(), [""; 0]);
    (reader.end_token(), reader.end_tokens().to_vec())
}

#[test]
fn end_tokens_come_from_every_file_and_the_tokenizers_is_first() {
    let token = |id: u32| {
        let reader = TextReader::new(ModelFiles::embedded()).unwrap();
        reader.tokenizer().decode_all(&[id]).unwrap()
    };
    let generation = ("generation_config.json", json!({"eos_token_id": [300, 7]}));
    let tokenizer = ("tokenizer_config.json", json!({"eos_token": token(300)}));
    let object =
        json!({"eos_token": {"__type": "AddedToken", "content": token(400), "special": true}});
    let map = ("special_tokens_map.json", object.clone());
    let null = (
        "tokenizer_config.json",
        json!({"eos_token": null, "bos_token": null}),
    );
    for none in [json!(null), json!(-1), json!([]), json!([-1])] {
        assert_eq!(ends(none, &[]), (None, vec![]));
    }
    assert_eq!(ends(json!([7, 5]), &[]), (Some(7), vec![7, 5]));
    assert_eq!(
        ends(json!(5), std::slice::from_ref(&generation)),
        (Some(5), vec![5, 300, 7])
    );
    assert_eq!(
        ends(json!(-1), std::slice::from_ref(&generation)),
        (Some(300), vec![300, 7])
    );
    let all = [generation, tokenizer, map.clone()];
    assert_eq!(ends(json!(5), &all), (Some(300), vec![300, 400, 5, 7]));
    assert_eq!(ends(json!(5), &[null, map]), (Some(400), vec![400, 5]));
    let object = ("tokenizer_config.json", object);
    assert_eq!(ends(json!(null), &[object]), (Some(400), vec![400]));
    let unknown = ("tokenizer_config.json", json!({"eos_token": "<|nowhere|>"}));
    assert_eq!(ends(json!(5), &[unknown]), (Some(5), vec![5]));
}

#[test]
fn end_tokens_that_the_model_cannot_produce_are_noted() {
    let generation = ("generation_config.json", json!({"eos_token_id": [5000, 7]}));
    let reader = TextReader::new(files(json!(5000), &[generation])).unwrap();
    assert_eq!(
        (reader.end_token(), reader.end_tokens()),
        (Some(7), [7].as_slice())
    );
    let [note] = reader.notes() else {
        panic!("{:?}", reader.notes());
    };
    assert!(
        note.contains("end token 5000") && note.contains("1024"),
        "{note}"
    );
}

#[test]
fn invalid_files_are_named() {
    for (file, json, part) in [
        (
            "tokenizer_config.json",
            json!({"eos_token": 5}),
            "eos_token is 5",
        ),
        ("special_tokens_map.json", json!([]), "JSON object"),
        (
            "generation_config.json",
            json!({"eos_token_id": "x"}),
            "eos_token_id is \"x\"",
        ),
    ] {
        let error = TextReader::new(files(json!(0), &[(file, json)]))
            .unwrap_err()
            .report();
        assert!(error.contains(file) && error.contains(part), "{error}");
    }
}

#[test]
fn a_text_with_a_begin_token_gets_no_second_one() {
    let reader = TextReader::new(ModelFiles::embedded()).unwrap();
    let begin = reader.begin_token().unwrap();
    let tokenizer = reader.tokenizer();
    let text = tokenizer.decode_all(&[begin]).unwrap();
    let bare = tokenizer.encode("The wheel.").unwrap();
    assert_eq!(bare[0], begin);
    let whole = format!("{text}The wheel.");
    assert_eq!(tokenizer.encode(&whole).unwrap(), bare);
    let tokens = tokenizer.tokens(&whole, true).unwrap();
    assert_eq!(
        tokens.iter().map(|token| token.id).collect::<Vec<_>>(),
        bare
    );
    assert_eq!(tokens[0].text, 0..text.len(), "the one in the text stays");
    // A second one in the text is the text's own.
    let twice = tokenizer.encode(&format!("{text}{whole}")).unwrap();
    assert_eq!(twice[..2], [begin, begin]);
    assert_eq!(twice[2..], bare[1..]);
    assert_eq!(tokenizer.encode("").unwrap(), [begin]);
    assert_eq!(tokenizer.encode(&text).unwrap(), [begin]);

    let record = Record::Completion {
        prompt: format!("{text}The wheel"),
        completion: " is bent.".to_string(),
    };
    let samples = reader
        .samples(&[record], &Preparation::to_length(64), "test")
        .unwrap();
    let tokens = samples.samples[0].tokens();
    assert!(tokens[0] == begin && tokens[1] != begin, "{tokens:?}");
}

#[test]
fn generation_stops_at_the_end_tokens_of_any_file() {
    let text = |files: ModelFiles| {
        let model = CausalLm::from_files(files, &Device::cpu()).unwrap();
        block_on(model.generate(PROMPT, 20, &Sampling::default(), |_| ())).unwrap()
    };
    let whole = text(files(json!(null), &[]));
    let reader = TextReader::new(ModelFiles::embedded()).unwrap();
    // The embedded model's texts continue with whole words, whose tokens are the same after any text.
    let tokens = reader
        .tokenizer()
        .encode(&format!("{PROMPT}{whole}"))
        .unwrap();
    let prompt = reader.tokenizer().encode(PROMPT).unwrap();
    let end = tokens[prompt.len() + 6];
    // The file writes a space so.
    let token = reader.tokenizer().decode_all(&[end]).unwrap();
    let token = token.replace(' ', "Ġ");
    for (file, json) in [
        ("generation_config.json", json!({"eos_token_id": [9, end]})),
        ("tokenizer_config.json", json!({"eos_token": token})),
    ] {
        let ended = text(files(json!(0), &[(file, json)]));
        assert!(
            ended.len() < whole.len() && whole.starts_with(&ended),
            "{file}: {ended:?} of {whole:?}"
        );
    }
}
