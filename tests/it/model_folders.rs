//! Model folders as people have them: of other formats, without a `tokenizer.json`, with a configuration that
//! does not fit the weights, or in Python's JSON.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::fs;
use std::path::PathBuf;

use burn::tensor::{Int, Tensor};
use common::{data, load_tiny, values};
use minift::device::Device;
use minift::error::Error;
use minift::model::{CausalLm, FileBytes, ModelFiles, Sampling, TextReader};
use pollster::block_on;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// The files of the embedded model; each can be replaced, or `None` for no such file.
fn files(changes: &[(&str, Option<Vec<u8>>)]) -> minift::Result<ModelFiles> {
    let embedded = ModelFiles::embedded();
    ModelFiles::collect(PathBuf::from("model"), |name| {
        let bytes = match changes.iter().find(|(changed, _)| *changed == name) {
            Some((_, bytes)) => bytes.clone(),
            None => match name {
                "config.json" => Some(embedded.config.to_vec()),
                "tokenizer.json" => Some(embedded.tokenizer.to_vec()),
                "model.safetensors" => Some(embedded.weights[0].1.to_vec()),
                _ => None,
            },
        };
        Ok(bytes.map(|bytes| FileBytes::InMemory(bytes.into())))
    })
}

fn load(changes: &[(&str, Option<Vec<u8>>)]) -> minift::Result<CausalLm> {
    CausalLm::from_files(files(changes)?, &Device::cpu())
}

fn config(change: impl FnOnce(&mut Map<String, Value>)) -> Option<Vec<u8>> {
    let mut config = serde_json::from_slice(&ModelFiles::embedded().config).unwrap();
    change(&mut config);
    Some(Value::Object(config).to_string().into_bytes())
}

/// The embedded model's tensors as float32, under changed names, and with others.
fn weights(
    rename: impl Fn(&str) -> Option<String>,
    others: &[(&str, &[usize], &[f32])],
) -> Option<Vec<u8>> {
    let embedded = ModelFiles::embedded();
    let file = SafeTensors::deserialize(&embedded.weights[0].1).unwrap();
    let own = file.iter().filter_map(|(name, view)| {
        let data = view.data().to_vec();
        Some((rename(name)?, view.dtype(), view.shape().to_vec(), data))
    });
    let others = others.iter().map(|(name, shape, values)| {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        (name.to_string(), Dtype::F32, shape.to_vec(), bytes)
    });
    let tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = own.chain(others).collect();
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (
            name.clone(),
            TensorView::new(*dtype, shape.clone(), bytes).unwrap(),
        )
    });
    Some(safetensors::serialize(views, None).unwrap())
}

const EMBEDDING: &str = "model.embed_tokens.weight";
const SHAPE: [usize; 2] = [1024, 64];

fn embedding() -> Vec<f32> {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    values(model.parameters()[0].clone())
}

fn logits(model: &CausalLm) -> Vec<f32> {
    let tokens = Tensor::<2, Int>::from_data([[0, 52, 514, 308]], &model.tensor_device());
    values(model.logits(tokens))
}

#[test]
fn a_stored_head_that_differs_from_the_tied_embedding_is_used_and_noted() {
    let tied = load(&[]).unwrap();
    let mut head = embedding();
    let same = weights(
        |name| Some(name.to_string()),
        &[("lm_head.weight", &SHAPE, &head)],
    );
    let copy = load(&[("model.safetensors", same)]).unwrap();
    assert!(copy.notes().is_empty() && copy.config().decoder.tie_word_embeddings);
    assert_eq!(
        logits(&copy),
        logits(&tied),
        "the same values, in another type"
    );

    head.iter_mut().for_each(|value| *value *= 2.0);
    let other = weights(
        |name| Some(name.to_string()),
        &[("lm_head.weight", &SHAPE, &head)],
    );
    let found = load(&[("model.safetensors", other)]).unwrap();
    let [note] = found.notes() else {
        panic!("{:?}", found.notes());
    };
    assert!(
        note.contains("tie_word_embeddings") && note.contains("lm_head.weight"),
        "{note}"
    );
    for (found, tied) in logits(&found).iter().zip(logits(&tied)) {
        assert!((found - 2.0 * tied).abs() < 1e-3, "{found} and {tied}");
    }
    // The saved model says so, and needs no note.
    let saved = block_on(found.to_files()).unwrap();
    let saved: Vec<(&str, Option<Vec<u8>>)> = saved
        .iter()
        .map(|(name, bytes)| (&**name, Some(bytes.clone())))
        .collect();
    let again = load(&saved).unwrap();
    assert!(again.notes().is_empty());
    assert_eq!(logits(&again), logits(&found));
}

/// Loads a model from these files.
fn load_saved(files: &[(String, Vec<u8>)]) -> CausalLm {
    let files = ModelFiles::collect(PathBuf::from("model"), |name| {
        let found = files.iter().find(|(known, _)| known == name);
        Ok(found.map(|(_, bytes)| FileBytes::InMemory(bytes.clone().into())))
    });
    CausalLm::from_files(files.unwrap(), &Device::cpu()).unwrap()
}

/// Returns logits of a model of `tests/data/tiny`.
fn tiny_logits(model: &CausalLm) -> Vec<f32> {
    let tokens = Tensor::<2, Int>::from_data([[0, 52, 14, 30]], &model.tensor_device());
    values(model.logits(tokens))
}

#[test]
fn the_head_of_gpt_neox_is_saved_under_the_name_of_transformers_4() {
    let model = load_tiny(&data("tiny/gpt_neox"), &Device::cpu());
    let saved = block_on(model.to_files()).unwrap();
    let weights = saved.iter().find(|(name, _)| name == "model.safetensors");
    let tensors = SafeTensors::deserialize(&weights.unwrap().1).unwrap();
    assert!(tensors.tensor("embed_out.weight").is_ok());
    assert!(tensors.tensor("lm_head.weight").is_err());
    assert_eq!(tiny_logits(&load_saved(&saved)), tiny_logits(&model));
}

#[test]
fn the_text_model_of_a_model_of_text_and_images_is_loaded_and_saved() {
    let folder = data("tiny/ministral3_wrapped");
    let model = load_tiny(&folder, &Device::cpu());
    let [note] = model.notes() else {
        panic!("{:?}", model.notes());
    };
    assert!(note.contains("15 tensors for those ignored"), "{note}");
    // A text model is saved, which needs no note.
    let mut saved = block_on(model.to_files()).unwrap();
    let file = |saved: &[(String, Vec<u8>)], name: &str| {
        let found = saved.iter().position(|(known, _)| known == name);
        found.unwrap()
    };
    let config = file(&saved, "config.json");
    let json: Value = serde_json::from_slice(&saved[config].1).unwrap();
    assert_eq!(json["architectures"], json!(["Ministral3ForCausalLM"]));
    assert_eq!(json["eos_token_id"], 2);
    assert!(json.get("text_config").is_none() && json.get("vision_config").is_none());
    let again = load_saved(&saved);
    assert!(again.notes().is_empty());
    assert_eq!(tiny_logits(&again), tiny_logits(&model));

    // The names of transformers 5, and a head of its own.
    let weights = file(&saved, "model.safetensors");
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let renamed = tensors.iter().map(|(name, view)| {
        let name = match name.strip_prefix("language_model.model.") {
            Some(text) => format!("model.language_model.{text}"),
            None => format!("model.{name}"),
        };
        (name, view)
    });
    let embedding = tensors.tensor("language_model.model.embed_tokens.weight");
    let doubled: Vec<u8> = embedding
        .as_ref()
        .unwrap()
        .data()
        .chunks_exact(4)
        .flat_map(|bytes| {
            let value = f32::from_le_bytes(bytes.try_into().unwrap());
            (2.0 * value).to_le_bytes()
        })
        .collect();
    let shape = embedding.unwrap().shape().to_vec();
    let head = TensorView::new(Dtype::F32, shape, &doubled).unwrap();
    let with_head = renamed.chain([("lm_head.weight".to_string(), head)]);
    saved[weights].1 = safetensors::serialize(with_head, None).unwrap();
    saved[config].1 = fs::read(folder.join("config.json")).unwrap();
    let headed = load_saved(&saved);
    assert!(!headed.config().decoder.tie_word_embeddings);
    for (headed, tied) in tiny_logits(&headed).iter().zip(tiny_logits(&model)) {
        assert!((headed - 2.0 * tied).abs() < 1e-3, "{headed} and {tied}");
    }
}

#[test]
fn a_tied_head_without_an_embedding_is_both() {
    let rename = |name: &str| {
        Some(
            if name == EMBEDDING {
                "lm_head.weight"
            } else {
                name
            }
            .to_string(),
        )
    };
    let found = load(&[("model.safetensors", weights(rename, &[]))]).unwrap();
    assert!(found.notes().is_empty());
    assert_eq!(logits(&found), logits(&load(&[]).unwrap()));
}

#[test]
fn base_models_and_names_without_their_prefix_are_read() {
    let rename = |name: &str| Some(name.trim_start_matches("model.").to_string());
    let base = config(|config| {
        config.insert("architectures".to_string(), json!(["LlamaModel"]));
    });
    let changes = [
        ("model.safetensors", weights(rename, &[])),
        ("config.json", base),
    ];
    assert_eq!(
        logits(&load(&changes).unwrap()),
        logits(&load(&[]).unwrap())
    );
    let untied = config(|config| {
        config.insert("tie_word_embeddings".to_string(), false.into());
    });
    let error = load(&[("config.json", untied)]).unwrap_err();
    assert!(matches!(error, Error::MissingTensors { .. }), "{error}");
}

#[test]
fn pythons_numbers_in_unused_fields_are_kept() {
    let text = String::from_utf8(ModelFiles::embedded().config.to_vec()).unwrap();
    let text = text.replacen('{', "{\"limit\": [0.0, Infinity], \"other\": NaN,", 1);
    let model = load(&[("config.json", Some(text.clone().into_bytes()))]).unwrap();
    assert_eq!(logits(&model), logits(&load(&[]).unwrap()));
    let saved = block_on(model.to_files()).unwrap();
    let (_, saved) = saved
        .iter()
        .find(|(name, _)| name == "config.json")
        .unwrap();
    let saved: Value = serde_json::from_slice(saved).unwrap();
    assert_eq!(saved["limit"], json!([0.0, {"__float__": "Infinity"}]));
    let used = text.replace("1e-05", "-Infinity").into_bytes();
    let error = load(&[("config.json", Some(used))]).unwrap_err().report();
    assert!(
        error.contains("rms_norm_eps is") && error.contains("-Infinity"),
        "{error}"
    );
}

#[test]
fn quantized_models_are_named() {
    let gptq = config(|config| {
        let quantized = json!({"quant_method": "gptq", "bits": 4, "group_size": 128});
        config.insert("quantization_config".to_string(), quantized);
    });
    let error = load(&[("config.json", gptq)]).unwrap_err().report();
    assert!(
        error.contains("config.json: the weights are quantized by GPTQ (4 bits)"),
        "{error}"
    );
    // A configuration that does not say so.
    let extra: [(&str, &[usize], &[f32]); 1] = [(
        "model.layers.0.mlp.up_proj.weight.absmax",
        &[2],
        &[1.0, 2.0],
    )];
    let weights = weights(|name| Some(name.to_string()), &extra);
    let error = load(&[("model.safetensors", weights)])
        .unwrap_err()
        .report();
    assert!(
        error.contains("bitsandbytes") && error.contains("absmax"),
        "{error}"
    );
}

#[test]
fn folders_and_files_of_other_formats_are_named() {
    let read = |names: &[&str]| {
        let folder = TempDir::new().unwrap();
        for name in names {
            fs::write(folder.path().join(name), "{    }").unwrap();
        }
        ModelFiles::read(folder.path()).unwrap_err().report()
    };
    for (names, parts) in [
        (
            &["config.json", "tokenizer.json", "pytorch_model.bin"][..],
            ["pytorch_model.bin: weights in a pickle", "save_pretrained"],
        ),
        (
            &["model-Q4_1.gguf"],
            ["model-Q4_1.gguf: not a GGUF file", "expected GGUF"],
        ),
        (
            &["adapter_config.json", "adapter_model.safetensors"],
            ["an adapter", "base model"],
        ),
        (
            &["config.json", "README.md"],
            ["is missing model.safetensors", "config.json"],
        ),
    ] {
        let error = read(names);
        assert!(
            parts.iter().all(|part| error.contains(part)),
            "{names:?}: {error}"
        );
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("model.gguf");
    fs::write(&file, "GGUF").unwrap();
    let error = ModelFiles::read(&file).unwrap_err().report();
    assert!(error.contains("model.gguf: 4 bytes expected"), "{error}");
}

#[derive(Deserialize)]
struct Expected {
    texts: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    model_type: String,
    files: Map<String, Value>,
    ids: Vec<Vec<u32>>,
    end_token: u32,
}

/// `vocab.json` and `merges.txt` of the embedded model.
fn vocab_and_merges() -> [(&'static str, Option<Vec<u8>>); 3] {
    let json: Value = serde_json::from_slice(&ModelFiles::embedded().tokenizer).unwrap();
    let merges = json["model"]["merges"].as_array().unwrap().iter();
    let merges = merges.map(|merge| match merge {
        Value::String(pair) => pair.clone(),
        pair => format!(
            "{} {}",
            pair[0].as_str().unwrap(),
            pair[1].as_str().unwrap()
        ),
    });
    let merges = format!("#version: 0.2\n{}\n", merges.collect::<Vec<_>>().join("\n"));
    [
        (
            "vocab.json",
            Some(json["model"]["vocab"].to_string().into_bytes()),
        ),
        ("merges.txt", Some(merges.into_bytes())),
        ("tokenizer.json", None),
    ]
}

#[test]
fn tokenizers_of_vocab_and_merges_match_transformers() {
    let bytes = fs::read(data("vocab_and_merges.json")).unwrap();
    let expected: Expected = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(expected.cases.len(), 6);
    for case in &expected.cases {
        let mut changes = vocab_and_merges().to_vec();
        // The family counts for the tokenizer only.
        let model_type = config(|config| {
            config.insert("model_type".to_string(), case.model_type.clone().into());
            config.insert("vocab_size".to_string(), 1040.into());
        });
        changes.push(("config.json", model_type));
        let others = case.files.iter();
        changes.extend(others.map(|(name, json)| (&**name, Some(json.to_string().into_bytes()))));
        let reader = TextReader::new(files(&changes).unwrap()).unwrap();
        assert_eq!(reader.end_token(), Some(case.end_token), "{}", case.name);
        for (text, ids) in expected.texts.iter().zip(&case.ids) {
            let found = reader.tokenizer().encode(text).unwrap();
            // A text that begins with the begin token gets no second one here.
            let ids = if ids.starts_with(&[0, 0]) {
                &ids[1..]
            } else {
                ids
            };
            assert_eq!(found, *ids, "{}: {text:?}", case.name);
            assert_eq!(
                reader.tokenizer().decode_all(&found).unwrap().is_empty(),
                ids.is_empty()
            );
        }
    }
}

/// The tokenizers of Llama's family put the begin token before a text.
#[test]
fn a_llama_of_vocab_and_merges_is_the_one_with_a_tokenizer_file_and_saves_one() {
    let mut changes = vocab_and_merges().to_vec();
    let settings = json!({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast"});
    changes.push((
        "tokenizer_config.json",
        Some(settings.to_string().into_bytes()),
    ));
    let model = load(&changes).unwrap();
    let own = load(&[]).unwrap();
    for text in [
        "Once upon a time, there was a little girl.",
        "",
        " 12 <|endoftext|>\n\nnaïve",
    ] {
        let ids = own.tokenizer().encode(text).unwrap();
        assert_eq!(model.tokenizer().encode(text).unwrap(), ids, "{text:?}");
        assert_eq!(
            model.tokenizer().decode(&ids).unwrap(),
            own.tokenizer().decode(&ids).unwrap()
        );
    }
    let saved = block_on(model.to_files()).unwrap();
    let names: Vec<&str> = saved.iter().map(|(name, _)| &**name).collect();
    for name in [
        "tokenizer.json",
        "vocab.json",
        "merges.txt",
        "tokenizer_config.json",
    ] {
        assert!(names.contains(&name), "{name} of {names:?}");
    }
}

#[test]
fn invalid_tokenizer_files_are_named() {
    let read = |name: &'static str, bytes: Option<&str>| {
        let mut changes = vocab_and_merges().to_vec();
        changes.retain(|(changed, _)| *changed != name);
        changes.push((name, bytes.map(|bytes| bytes.as_bytes().to_vec())));
        files(&changes).map(drop).unwrap_err().report()
    };
    for (name, bytes, parts) in [
        ("vocab.json", Some("[]"), ["vocab.json", "JSON object"]),
        (
            "vocab.json",
            Some("{\"Ġa\": -1}"),
            ["vocab.json", "expected its id"],
        ),
        (
            "vocab.json",
            Some("{\"\u{2581}a\": 0}"),
            ["vocab.json", "byte-level"],
        ),
        (
            "merges.txt",
            Some("#version: 0.2\nh e\nhe"),
            ["merges.txt: line 3", "two tokens"],
        ),
        ("merges.txt", Some("Q Q"), ["merges.txt: line 1", "\"QQ\""]),
        ("merges.txt", None, ["missing tokenizer.json", ""]),
    ] {
        let error = read(name, bytes);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    let piece = [
        ("tokenizer.json", None),
        ("tokenizer.model", Some(b"x".to_vec())),
    ];
    let error = files(&piece).map(drop).unwrap_err().report();
    assert!(
        error.contains("tokenizer.model") && error.contains("AutoTokenizer"),
        "{error}"
    );
}

#[test]
fn a_tokenizer_may_have_more_tokens_than_the_model() {
    let smaller = config(|config| {
        config.insert("vocab_size".to_string(), 1000.into());
    });
    let reader = TextReader::new(files(&[("config.json", smaller)]).unwrap()).unwrap();
    let tokenizer = reader.tokenizer();
    assert!(!tokenizer.encode("Once upon a time").unwrap().is_empty());
    // The last words of the vocabulary.
    let error = tokenizer.encode("the truck is great").unwrap_err();
    assert!(
        matches!(
            error,
            Error::TokenBeyondVocabulary {
                id: 1000..,
                vocab_size: 1000
            }
        ),
        "{error}"
    );
    assert!(tokenizer.tokens("the truck is great", true).is_err());

    let mut json: Value = serde_json::from_slice(&ModelFiles::embedded().tokenizer).unwrap();
    let mut token = json["added_tokens"][0].clone();
    token["id"] = 1024.into();
    token["content"] = "<pad>".into();
    json["added_tokens"].as_array_mut().unwrap().push(token);
    let model = load(&[("tokenizer.json", Some(json.to_string().into_bytes()))]).unwrap();
    let generate = |prompt| block_on(model.generate(prompt, 3, &Sampling::default(), |_| ()));
    assert!(!generate("Once upon a time").unwrap().is_empty());
    let error = generate("Once <pad>").unwrap_err().report();
    assert!(
        error.contains("token 1024") && error.contains("1024 tokens"),
        "{error}"
    );
}

/// Files on the Hub have projections that layers with the keys and values of others do not use.
#[test]
fn the_text_model_of_gemma_4_is_loaded_and_saved() {
    let model = load_tiny(&data("tiny/gemma4_wrapped"), &Device::cpu());
    let [note] = model.notes() else {
        panic!("{:?}", model.notes());
    };
    assert!(note.contains("86 tensors for those ignored"), "{note}");
    let saved = block_on(model.to_files()).unwrap();
    let again = load_saved(&saved);
    assert!(again.notes().is_empty());
    assert_eq!(tiny_logits(&again), tiny_logits(&model));
    let weights = saved.iter().find(|(name, _)| name == "model.safetensors");
    let tensors = SafeTensors::deserialize(&weights.unwrap().1).unwrap();
    assert!(tensors.tensor("model.layers.5.layer_scalar").is_ok());
    assert!(
        tensors
            .tensor("model.layers.5.self_attn.k_proj.weight")
            .is_err()
    );
    // Constants are saved, and not trained.
    let constants = model.decoder().parameters().len() - model.trainable_parameters().len();
    assert_eq!(constants, 6);
}
