//! Malformed and malicious files: loading any file yields a model or a typed error.
//! (Data files and chat templates have such tests next to their readers.)
#![allow(clippy::unwrap_used)]

use crate::common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use common::data;
use minift::device::Device;
use minift::internals::Decoder;
use minift::model::{CausalLm, FileBytes, ModelConfig, ModelFiles};
use minift::text::Tokenizer;
use minift::text::chat::ChatTemplate;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A byte-level tokenizer with every section of such a file.
const SMALL_TOKENIZER: &str = r#"{
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "_"}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "[a-z]+"}, "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
    "post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
        "vocab": {"<s>": 0, "h": 1, "e": 2, "l": 3, "o": 4, "he": 5, "ll": 6, "t": 7},
        "merges": [["h", "e"], ["l", "l"]]}
}"#;

/// The configurations of all model families.
fn configurations() -> &'static [Map<String, Value>] {
    static CONFIGURATIONS: OnceLock<Vec<Map<String, Value>>> = OnceLock::new();
    CONFIGURATIONS.get_or_init(read_configurations)
}

fn read_configurations() -> Vec<Map<String, Value>> {
    let folders = fs::read_dir(data("tiny")).unwrap();
    let mut paths: Vec<PathBuf> = folders.map(|folder| folder.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(path.join("config.json")).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    paths.into_iter().map(read).collect()
}

/// Any JSON, including numbers that overflow sums and products.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0_u64..70).prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        Just(json!(0)),
        Just(json!(-1)),
        Just(json!(1e308)),
        "[a-z_]{0,12}".prop_map(Value::from),
        Just(json!("full_attention")),
        Just(json!("llama3")),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{1,16}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// A decoder can be built from every mutated configuration that is accepted.
    #[test]
    fn mutated_configurations_are_accepted_or_rejected(
        (family, changes) in (any::<prop::sample::Index>(),
            prop::collection::vec((any::<prop::sample::Index>(), json_value()), 1..4)),
    ) {
        let all = configurations();
        let mut config = family.get(all).clone();
        for (field, value) in changes {
            let name = field.get(&config.keys().cloned().collect::<Vec<_>>()).clone();
            config.insert(name, value);
        }
        let bytes = serde_json::to_vec(&config).unwrap();
        match ModelConfig::parse(&bytes, Path::new("config.json")) {
            Ok(config) => prop_assert!(!Decoder::new(config.decoder).parameters().is_empty()),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn random_bytes_are_not_a_configuration(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(ModelConfig::parse(&bytes, Path::new("config.json")).is_err());
    }

    /// An index only requests files of its folder.
    #[test]
    fn a_random_index_requests_no_file_outside_its_folder(index in json_value(), map in json_value(), whole in any::<bool>()) {
        let index = if whole { index } else { json!({ "weight_map": map }) };
        let mut asked = Vec::new();
        let found = ModelFiles::collect(PathBuf::from("model"), |name| {
            asked.push(name.to_string());
            let bytes = match name {
                "config.json" | "tokenizer.json" => b"{}".to_vec(),
                "model.safetensors.index.json" => index.to_string().into_bytes(),
                _ => return Ok(None),
            };
            Ok(Some(FileBytes::InMemory(bytes.into())))
        });
        prop_assert!(found.is_err());
        for name in asked {
            prop_assert_eq!(Path::new(&name).file_name().unwrap().to_str(), Some(&*name));
        }
    }
}

/// Replaces a part of a JSON value.
fn put(json: &mut Value, place: &[prop::sample::Index], value: Value) {
    let Some((first, rest)) = place.split_first() else {
        *json = value;
        return;
    };
    match json {
        Value::Array(list) if !list.is_empty() => {
            let index = first.index(list.len());
            put(&mut list[index], rest, value);
        }
        Value::Object(fields) if !fields.is_empty() => {
            let name = fields
                .keys()
                .nth(first.index(fields.len()))
                .unwrap()
                .clone();
            put(&mut fields[&name], rest, value);
        }
        other => *other = value,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_tokenizer_configs_are_accepted_or_rejected(
        whole in prop::option::of(json_value()),
        fields in prop::collection::hash_map(
            prop::sample::select(vec!["chat_template", "bos_token", "eos_token", "pad_token", "name"]),
            json_value(),
            0..4,
        ),
        template in prop::option::of("[a-z{}%# '\\[\\].|]{0,40}"),
    ) {
        let mut config: Map<String, Value> =
            fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        if let Some(template) = template {
            config.insert("chat_template".to_string(), template.into());
        }
        let bytes = whole.unwrap_or(Value::Object(config)).to_string();
        let messages = [json!({"role": "user", "content": "hi"}), json!({"role": "assistant", "content": "yo"})];
        match ChatTemplate::parse(None, Some(bytes.as_bytes()), Path::new("model")) {
            Ok(Some(template)) => {
                if let Err(error) = template.render_marked(&messages, None) {
                    prop_assert!(!error.to_string().is_empty());
                }
            }
            Ok(None) => {}
            Err(error) => prop_assert!(error.to_string().contains("tokenizer_config.json")),
        }
    }

    #[test]
    fn mutated_tokenizers_are_accepted_or_rejected(
        changes in prop::collection::vec(
            (prop::collection::vec(any::<prop::sample::Index>(), 1..5), json_value()),
            1..3,
        ),
    ) {
        let mut json: Value = serde_json::from_str(SMALL_TOKENIZER).unwrap();
        for (place, value) in changes {
            put(&mut json, &place, value);
        }
        let found = Tokenizer::parse(json.to_string().as_bytes(), Path::new("tokenizer.json"), 300);
        if let Ok(tokenizer) = found
            && let Ok(ids) = tokenizer.encode("Hello there, <s>you.")
        {
            prop_assert!(ids.iter().all(|&id| id < 300));
            let _ = tokenizer.decode(&ids);
        }
    }
}

/// The values of a JSON file, each replaced by others: single changes that a damaged file may have.
fn single_changes(json: &Value) -> Vec<Value> {
    fn places(json: &Value, place: String, found: &mut Vec<String>) {
        let inner: Vec<(String, &Value)> = match json {
            Value::Object(object) => object
                .iter()
                .map(|(name, value)| (name.clone(), value))
                .collect(),
            Value::Array(list) => {
                let list = list.iter().enumerate();
                list.map(|(index, value)| (index.to_string(), value))
                    .collect()
            }
            _ => Vec::new(),
        };
        for (name, value) in inner {
            let name = name.replace('~', "~0").replace('/', "~1");
            let place = format!("{place}/{name}");
            found.push(place.clone());
            places(value, place, found);
        }
    }
    let mut found = Vec::new();
    places(json, String::new(), &mut found);
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(4_294_967_295_u32),
        json!(""),
        json!("é"),
        json!("<s>"),
        json!([]),
        json!({}),
    ];
    let changes = found.iter().flat_map(|place| {
        values.iter().map(move |value| {
            let mut json = json.clone();
            *json.pointer_mut(place).unwrap() = value.clone();
            json
        })
    });
    changes.collect()
}

/// Texts of panics of the standard library.
const PANICS: [&str; 5] = [
    "index out of",
    "called `",
    "out of range",
    "byte index",
    "not implemented",
];

/// The crate's panics on damaged tokenizers are errors, and nothing of them is printed: a process of its own
/// looks at what is.
#[test]
fn no_panic_on_a_damaged_tokenizer_is_printed() {
    const CHILD: &str = "MINIFT_TEST_PANICS";
    if std::env::var_os(CHILD).is_some() {
        let mut caught = 0;
        let mut tried = 0;
        let byte_level: Value = serde_json::from_str(SMALL_TOKENIZER).unwrap();
        for name in ["word_piece", "unigram", "byte_fallback", "splits"] {
            let path = format!(
                "{}/fuzz/seeds/tokenizer/{name}.json",
                env!("CARGO_MANIFEST_DIR")
            );
            let seed: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            for json in single_changes(&seed)
                .into_iter()
                .chain(single_changes(&byte_level))
            {
                tried += 1;
                let path = Path::new("tokenizer.json");
                let found = Tokenizer::parse(json.to_string().as_bytes(), path, 300);
                let encoded = found.and_then(|tokenizer| {
                    let ids = tokenizer.encode("Hello there, <s>you. éé")?;
                    tokenizer.tokens("Hello  <s> é", true)?;
                    tokenizer.decode(&ids)
                });
                let message = encoded.err().map_or(String::new(), |error| error.report());
                if PANICS.iter().any(|part| message.contains(part)) {
                    println!("caught: {message}");
                    caught += 1;
                }
            }
        }
        println!("{tried} tried, {caught} caught");
        assert!(tried > 3000 && caught > 0);
        return;
    }
    let name = "hostile_files::no_panic_on_a_damaged_tokenizer_is_printed";
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&child.stderr);
    assert!(
        child.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&child.stdout)
    );
    assert!(!printed.contains("panicked at"), "{printed}");
}

/// Post-processor templates that the tokenizers crate accepts but panics on.
#[test]
fn inconsistent_post_processors_are_rejected() {
    let template = |single: Value| {
        json!({ "type": "TemplateProcessing", "single": single, "pair": [],
            "special_tokens": { "<s>": { "id": "<s>", "ids": [0], "tokens": ["<s>"] } } })
    };
    let special = |id: &str| json!({ "SpecialToken": { "id": id, "type_id": 0 } });
    let text = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
    let good = template(json!([special("<s>"), text("A")]));
    let cases = [
        (good.clone(), None),
        (
            template(json!([special("</s>"), text("A")])),
            Some("\"</s>\""),
        ),
        (template(json!([text("A"), text("B")])), Some("second text")),
        (
            json!({ "type": "Sequence", "processors": [good.clone(), good] }),
            Some("2 templates"),
        ),
    ];
    for (processor, expected) in cases {
        let mut json: Value = serde_json::from_str(SMALL_TOKENIZER).unwrap();
        json["post_processor"] = processor;
        let found = Tokenizer::parse(
            json.to_string().as_bytes(),
            Path::new("tokenizer.json"),
            300,
        );
        match (found, expected) {
            (Ok(tokenizer), None) => assert_eq!(tokenizer.encode("he").unwrap(), [0, 5]),
            (Err(error), Some(expected)) => {
                assert!(error.to_string().contains(expected), "{error}");
            }
            (found, _) => panic!("{expected:?}: {found:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Weights with modified, truncated or replaced bytes.
    #[test]
    fn damaged_weights_are_accepted_or_rejected(
        cut in 0_usize..400_000,
        changes in prop::collection::vec((0_usize..4_000, any::<u8>()), 0..6),
        header in prop::option::of(any::<u64>()),
    ) {
        let folder = data("tiny/qwen2");
        let mut weights = fs::read(folder.join("model.safetensors")).unwrap();
        weights.truncate(cut.max(16));
        let length = weights.len();
        for (place, byte) in changes {
            weights[place % length] = byte;
        }
        if let Some(header) = header {
            weights[..8].copy_from_slice(&header.to_le_bytes());
        }
        let files = ModelFiles::collect(folder.clone(), |name| {
            let bytes = match name {
                "model.safetensors" => weights.clone(),
                "tokenizer.json" => br#"{"version": "1.0", "added_tokens": [], "normalizer": null,
                    "pre_tokenizer": null, "post_processor": null, "decoder": null, "truncation": null,
                    "padding": null, "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}"#
                    .to_vec(),
                name => match fs::read(folder.join(name)) {
                    Ok(bytes) => bytes,
                    Err(_) => return Ok(None),
                },
            };
            Ok(Some(FileBytes::InMemory(bytes.into())))
        });
        // Modified values of a tensor cannot be detected here; all other damage is an error.
        if let Err(error) = CausalLm::from_files(files.unwrap(), &Device::cpu()) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

/// Reading a pipe would block, and a device is endless.
#[cfg(unix)]
#[test]
fn only_regular_files_are_read() {
    use std::os::unix::fs::symlink;

    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let rejected = |error: minift::Error, name: &str| {
        let text = error.report();
        assert!(
            text.contains(name) && text.contains("expected a regular file"),
            "{text}"
        );
    };
    for name in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "LICENSE",
    ] {
        let folder = tempfile::tempdir().unwrap();
        for other in ["config.json", "model.safetensors", "tokenizer.json"] {
            fs::write(folder.path().join(other), "{}").unwrap();
        }
        let place = folder.path().join(name);
        let _ = fs::remove_file(&place);
        symlink("/dev/null", &place).unwrap();
        rejected(ModelFiles::read(folder.path()).unwrap_err(), name);
        fs::remove_file(&place).unwrap();
        fs::create_dir(&place).unwrap();
        rejected(ModelFiles::read(folder.path()).unwrap_err(), name);
    }
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("adapter_config.json"), "{}").unwrap();
        let _ = fs::remove_file(folder.path().join(name));
        symlink("/dev/null", folder.path().join(name)).unwrap();
        rejected(model.load_adapter(folder.path()).unwrap_err(), name);
    }
}

/// The Hub cache consists of links that lead out of a model's folder.
#[cfg(unix)]
#[test]
fn links_to_files_are_followed() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/minift-tales-360k");
        symlink(assets.join(name), folder.path().join(name)).unwrap();
    }
    assert!(CausalLm::load(folder.path(), &Device::cpu()).is_ok());
}

#[test]
fn oversized_files_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let file = fs::File::create(folder.path().join("config.json")).unwrap();
    // A sparse file.
    file.set_len(1 << 30).unwrap();
    let error = ModelFiles::read(folder.path()).unwrap_err().report();
    assert!(
        error.contains("config.json") && error.contains("1073741824 bytes"),
        "{error}"
    );
}
