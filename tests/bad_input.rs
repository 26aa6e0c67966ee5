//! Bad input, one kind after the other: the program says what is wrong and loses nothing.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use tempfile::TempDir;

const DOMAIN: &str = "The front wheel is bent, the spokes are loose.\n\n\
                      The chain slips under load.\n\n\
                      Brake pads worn, rotor scored.\n\n\
                      The bell does not ring.\n";
const GENERAL: &str = "Once upon a time there was a cat.\n\nThe dog ran away from the big house.\n";

/// Runs the program in a folder, on the CPU.
fn minift(folder: &Path, arguments: &[&str]) -> Output {
    run(folder, &[arguments, &["--device", "cpu"]].concat())
}

/// Runs the program in a folder.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_minift");
    Command::new(program)
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What is wrong with how the program refused; nothing if all is well. It should end with a code
/// other than 0 and without a panic, and the line of its error should hold all those fragments.
fn fault(output: &Output, fragments: &[&str]) -> Option<String> {
    let errors = text(&output.stderr);
    // The last one: graphics drivers print errors of their own before it.
    let message = errors
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("error: "));
    let lacks: Vec<&&str> = fragments
        .iter()
        .filter(|fragment| !message.is_some_and(|message| message.contains(**fragment)))
        .collect();
    let what = if errors.contains("panicked") {
        "it panicked".to_string()
    } else if output.status.code().is_none_or(|code| code == 0) {
        format!("it ended with {}", output.status)
    } else if message.is_none() {
        "it printed no error".to_string()
    } else if !lacks.is_empty() {
        format!("the error lacks {lacks:?}")
    } else {
        return None;
    };
    Some(format!("{what}:\n{errors}"))
}

/// A scratch folder in which the program runs: `domain.txt`, `general.txt` and what a test adds.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        let scratch = Self(TempDir::new().unwrap());
        scratch.write("domain.txt", DOMAIN);
        scratch.write("general.txt", GENERAL);
        scratch
    }

    /// With a copy of the embedded model in `model`.
    fn with_model() -> Self {
        let scratch = Self::new();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/minift-tales-360k");
        fs::create_dir(scratch.path("model")).unwrap();
        for file in ["config.json", "model.safetensors", "tokenizer.json"] {
            fs::copy(source.join(file), scratch.path("model").join(file)).unwrap();
        }
        scratch
    }

    /// With an output folder `out` that holds something already.
    fn with_old_output() -> Self {
        let scratch = Self::new();
        fs::create_dir(scratch.path("out")).unwrap();
        scratch.write("out/notes.md", "years of work");
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn change_json(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut json = serde_json::from_slice(&self.read(name)).unwrap();
        change(&mut json);
        self.write(name, json.to_string());
    }

    /// Everything under the folder: files with their bytes, folders with none.
    fn contents(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut contents = BTreeMap::new();
        let mut folders = vec![self.0.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                    contents.insert(path, None);
                } else {
                    let bytes = fs::read(&path).unwrap();
                    contents.insert(path, Some(bytes));
                }
            }
        }
        contents
    }

    fn minift(&self, arguments: &[&str]) -> Output {
        minift(self.0.path(), arguments)
    }

    /// A short training on the two texts into `out`, but for what is given.
    fn train(&self, given: &[&str]) -> Output {
        let mut arguments = vec!["train"];
        for (name, value) in [
            ("--data", "domain.txt"),
            ("--general", "general.txt"),
            ("--out", "out"),
            ("--epochs", "1"),
            ("--batch-size", "2"),
            ("--max-length", "16"),
        ] {
            let same = |given: &&str| *given == name || given.starts_with(&format!("{name}="));
            if !given.iter().any(same) {
                arguments.extend([name, value]);
            }
        }
        arguments.extend(given);
        self.minift(&arguments)
    }

    /// What is wrong with how the program refused; that the folder is not as it was is wrong too.
    fn fault(&self, fragments: &[&str], run: impl FnOnce(&Self) -> Output) -> Option<String> {
        let before = self.contents();
        let output = run(self);
        fault(&output, fragments).or_else(|| {
            let after = self.contents();
            let differs = |path: &&PathBuf| before.get(*path) != after.get(*path);
            let paths: Vec<&PathBuf> = before.keys().chain(after.keys()).filter(differs).collect();
            (!paths.is_empty()).then(|| format!("it changed {paths:?}"))
        })
    }

    fn train_fault(&self, given: &[&str], fragments: &[&str]) -> Option<String> {
        self.fault(fragments, |scratch| scratch.train(given))
    }

    fn eval_fault(&self, given: &[&str], fragments: &[&str]) -> Option<String> {
        self.fault(fragments, |scratch| {
            scratch.minift(&[&["eval"], given].concat())
        })
    }

    /// Every command that reads the copy of the model should refuse it.
    fn model_fault(&self, fragments: &[&str]) -> Option<String> {
        self.eval_fault(&["--data", "domain.txt", "--model", "model"], fragments)
            .or_else(|| self.train_fault(&["--model", "model"], fragments))
            .or_else(|| {
                let arguments = ["generate", "--model", "model", "--prompt", "A cat"];
                self.fault(fragments, |scratch| scratch.minift(&arguments))
            })
    }
}

/// Fails with all faults of a table of cases, each under its name.
fn no_faults(faults: impl IntoIterator<Item = (String, Option<String>)>) {
    let faults: Vec<String> = faults
        .into_iter()
        .filter_map(|(name, fault)| fault.map(|fault| format!("== {name}: {fault}")))
        .collect();
    assert!(
        faults.is_empty(),
        "{} cases:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

// The model folder.

#[test]
fn a_model_folder_that_is_none_is_refused() {
    let no_folder = Scratch::new();
    let a_file = Scratch::new();
    a_file.write("model", "weights");
    let mut faults = vec![
        (
            "no folder".to_string(),
            no_folder.model_fault(&["model folder model"]),
        ),
        (
            "a file".to_string(),
            a_file.model_fault(&["model folder model"]),
        ),
    ];
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let scratch = Scratch::with_model();
        fs::remove_file(scratch.path("model").join(file)).unwrap();
        faults.push((
            format!("no {file}"),
            scratch.model_fault(&[&format!("model has no {file}")]),
        ));
    }
    no_faults(faults);
}

/// Name and fragments of the message around what makes the input bad.
type Case<'a, T> = (&'a str, T, &'a [&'a str]);

fn refused_with_changed_json(file: &str, cases: &[Case<'_, fn(&mut Value)>]) {
    no_faults(cases.iter().map(|(name, change, fragments)| {
        let scratch = Scratch::with_model();
        scratch.change_json(file, change);
        (name.to_string(), scratch.model_fault(fragments))
    }));
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused() {
    refused_with_changed_json(
        "model/config.json",
        &[
            (
                "a list",
                |config| *config = json!([1]),
                &["config.json", "not a JSON object"],
            ),
            (
                "no hidden_size",
                |config| drop(config.as_object_mut().unwrap().remove("hidden_size")),
                &["config.json", "hidden_size is missing"],
            ),
            (
                "a negative hidden_size",
                |config| config["hidden_size"] = json!(-64),
                &["config.json", "hidden_size is -64"],
            ),
            (
                "a huge layer count",
                |config| config["num_hidden_layers"] = json!(u64::MAX),
                &["config.json", "num_hidden_layers"],
            ),
            (
                "no heads",
                |config| config["num_attention_heads"] = json!(0),
                &["config.json", "num_attention_heads is 0"],
            ),
            (
                "another architecture",
                |config| config["architectures"] = json!(["MambaForCausalLM"]),
                &["MambaForCausalLM", "LlamaForCausalLM", "Qwen3ForCausalLM"],
            ),
            (
                "another RoPE scaling",
                |config| config["rope_scaling"] = json!({"type": "yarn", "factor": 4.0}),
                &["config.json", "yarn", "default, linear and llama3"],
            ),
            (
                "a RoPE scaling without its factor",
                |config| config["rope_scaling"] = json!({"type": "linear"}),
                &["config.json", "rope_scaling.factor is missing"],
            ),
            (
                "a RoPE scaling by 0",
                |config| config["rope_scaling"] = json!({"type": "linear", "factor": 0.0}),
                &["config.json", "RoPE scaling", "above 0"],
            ),
            (
                "a window of nothing",
                |config| {
                    config["architectures"] = json!(["MistralForCausalLM"]);
                    config["sliding_window"] = json!(0);
                },
                &["config.json", "sliding_window is 0"],
            ),
            (
                "layers of an unknown kind",
                |config| {
                    config["architectures"] = json!(["Qwen2ForCausalLM"]);
                    config["use_sliding_window"] = json!(true);
                    config["layer_types"] = json!(vec!["linear_attention"; 6]);
                },
                &["config.json", "layer_types has linear_attention"],
            ),
            (
                "kinds of too few layers",
                |config| {
                    config["architectures"] = json!(["MistralForCausalLM"]);
                    config["layer_types"] = json!(["full_attention"]);
                },
                &["config.json", "layer_types has 1 entries", "6 layers"],
            ),
            (
                "an unknown activation",
                |config| config["hidden_act"] = json!("mish"),
                &["config.json", "hidden_act is mish", "silu"],
            ),
            (
                "softcapped logits",
                |config| {
                    config["architectures"] = json!(["Gemma3ForCausalLM"]);
                    config["final_logit_softcapping"] = json!(30.0);
                },
                &["config.json", "final_logit_softcapping is 30.0"],
            ),
            (
                "a part of heads that is none",
                |config| {
                    config["architectures"] = json!(["PhiForCausalLM"]);
                    config["partial_rotary_factor"] = json!(1.5);
                },
                &["config.json", "partial_rotary_factor is 1.5"],
            ),
            (
                "GPT-Neo's kinds of layers",
                |config| {
                    *config = json!({
                        "architectures": ["GPTNeoForCausalLM"], "hidden_size": 64, "num_heads": 4,
                        "num_layers": 2, "vocab_size": 1024,
                        "attention_types": [[["global", "local"], 18446744073709551615u64]],
                    });
                },
                &["config.json", "attention_types has 3 entries", "2 layers"],
            ),
            (
                "OpenELM's layers",
                |config| {
                    *config = json!({
                        "architectures": ["OpenELMForCausalLM"], "model_dim": 64, "head_dim": 16,
                        "num_transformer_layers": 2, "vocab_size": 1024,
                        "num_query_heads": [4, 6], "num_kv_heads": [2, 4], "ffn_multipliers": [1.0, 2.0],
                    });
                },
                &[
                    "config.json",
                    "layer 1 has 6 attention heads",
                    "multiple of its 4",
                ],
            ),
        ],
    );
    let garbage = Scratch::with_model();
    garbage.write("model/config.json", "hidden_size = 64");
    let empty = Scratch::with_model();
    empty.write("model/config.json", "");
    no_faults([
        (
            "garbage".to_string(),
            garbage.model_fault(&["config.json", "JSON"]),
        ),
        (
            "empty".to_string(),
            empty.model_fault(&["config.json", "JSON"]),
        ),
    ]);
}

#[test]
fn an_end_token_beyond_the_vocabulary_is_laid_to_the_configuration() {
    refused_with_changed_json(
        "model/config.json",
        &[(
            "eos_token_id",
            |config| config["eos_token_id"] = json!(5000),
            &["5000", "eos_token_id"],
        )],
    );
}

#[test]
fn a_tokenizer_that_is_none_or_of_another_model_is_refused() {
    let garbage = Scratch::with_model();
    garbage.write("model/tokenizer.json", [0x93, 0x00, 0xff, 0x7b]);
    let other_json = Scratch::with_model();
    other_json.write("model/tokenizer.json", "{\"version\": \"1.0\"}");
    let small_model = Scratch::with_model();
    small_model.change_json("model/config.json", |config| {
        config["vocab_size"] = json!(1000)
    });
    change_tensors(&small_model, |tensors| {
        let (_, shape, bytes) = tensors.get_mut("model.embed_tokens.weight").unwrap();
        shape[0] = 1000;
        bytes.truncate(1000 * shape[1] * 2);
    });
    no_faults([
        (
            "garbage".to_string(),
            garbage.model_fault(&["tokenizer.json"]),
        ),
        (
            "other JSON".to_string(),
            other_json.model_fault(&["tokenizer.json"]),
        ),
        (
            "a smaller model".to_string(),
            small_model.model_fault(&["tokenizer", "1023", "1000"]),
        ),
    ]);
    refused_with_changed_json(
        "model/tokenizer.json",
        &[
            (
                "another word",
                |tokenizer| tokenizer["model"]["vocab"]["velocipede"] = json!(1024),
                &["tokenizer", "token id 1024", "1024 tokens"],
            ),
            (
                "another special token",
                |tokenizer| {
                    let mut token = tokenizer["added_tokens"][0].clone();
                    token["id"] = json!(1024);
                    token["content"] = json!("<|velocipede|>");
                    tokenizer["added_tokens"]
                        .as_array_mut()
                        .unwrap()
                        .push(token);
                },
                &["tokenizer", "token id 1024", "1024 tokens"],
            ),
        ],
    );
}

// The weights.

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Changes the tensors of the copy of the model; the file stays a whole safetensors file.
fn change_tensors(scratch: &Scratch, change: impl FnOnce(&mut Tensors)) {
    let bytes = scratch.read("model/model.safetensors");
    let mut tensors: Tensors = SafeTensors::deserialize(&bytes)
        .unwrap()
        .iter()
        .map(|(name, view)| {
            (
                name.to_string(),
                (view.dtype(), view.shape().to_vec(), view.data().to_vec()),
            )
        })
        .collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    scratch.write(
        "model/model.safetensors",
        safetensors::serialize(views, None).unwrap(),
    );
}

/// Sets an element of a float16 tensor by its bits.
fn set(tensors: &mut Tensors, name: &str, index: usize, bits: u16) {
    let (dtype, _, bytes) = tensors.get_mut(name).unwrap();
    assert_eq!(*dtype, Dtype::F16);
    bytes[2 * index..2 * index + 2].copy_from_slice(&bits.to_le_bytes());
}

const UP: &str = "model.layers.3.mlp.up_proj.weight";

#[test]
fn tensors_that_do_not_make_the_model_are_refused_by_name() {
    let cases: &[Case<'_, fn(&mut Tensors)>] = &[
        (
            "missing",
            |tensors| drop(tensors.remove(UP)),
            &["lacks", UP],
        ),
        (
            "extra",
            |tensors| {
                let norm = tensors["model.norm.weight"].clone();
                tensors.insert("model.layers.6.input_layernorm.weight".to_string(), norm);
            },
            &["does not have", "model.layers.6.input_layernorm.weight"],
        ),
        (
            "of another shape",
            |tensors| tensors.get_mut(UP).unwrap().1.reverse(),
            &[UP, "[64, 192]", "[192, 64]"],
        ),
        (
            "of whole numbers",
            |tensors| {
                let norm = (Dtype::I64, vec![64], vec![1; 64 * 8]);
                tensors.insert("model.norm.weight".to_string(), norm);
            },
            &["model.norm.weight", "I64", "F16"],
        ),
        (
            "not a number",
            |tensors| set(tensors, UP, 77, 0x7e00),
            &[UP, "NaN", "element 77"],
        ),
        (
            "infinite",
            |tensors| set(tensors, UP, 5, 0xfc00),
            &[UP, "-inf", "element 5"],
        ),
    ];
    no_faults(cases.iter().map(|(name, change, fragments)| {
        let scratch = Scratch::with_model();
        change_tensors(&scratch, change);
        let fragments = [&["model.safetensors"], *fragments].concat();
        (name.to_string(), scratch.model_fault(&fragments))
    }));
}

/// Changes the header of a safetensors file and leaves the rest.
fn change_header(bytes: &mut Vec<u8>, change: impl FnOnce(&mut Value)) {
    let (length, rest) = bytes.split_at(8);
    let (header, tensors) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
    let mut header: Value = serde_json::from_slice(header).unwrap();
    change(&mut header);
    let header = header.to_string();
    let length = (header.len() as u64).to_le_bytes();
    *bytes = [&length, header.as_bytes(), tensors].concat();
}

#[test]
fn a_damaged_weights_file_is_refused() {
    type Damage = fn(&mut Vec<u8>);
    let cases: &[(&str, Damage)] = &[
        ("empty", |bytes| bytes.clear()),
        ("cut in the header's length", |bytes| bytes.truncate(5)),
        ("cut in the header", |bytes| bytes.truncate(500)),
        ("cut in the tensors", |bytes| bytes.truncate(400_000)),
        ("cut by a byte", |bytes| bytes.truncate(bytes.len() - 1)),
        ("longer by a byte", |bytes| bytes.push(0)),
        ("a header beyond the file", |bytes| bytes[..8].fill(0xff)),
        ("a header just beyond the file", |bytes| {
            let length = bytes.len() as u64;
            bytes[..8].copy_from_slice(&length.to_le_bytes());
        }),
        ("a header that is no JSON", |bytes| bytes[8..40].fill(b'#')),
        ("overlapping ranges", |bytes| {
            change_header(bytes, |header| {
                let first = header["model.layers.0.input_layernorm.weight"]["data_offsets"].clone();
                header["model.layers.1.input_layernorm.weight"]["data_offsets"] = first;
            });
        }),
        ("a range that is turned round", |bytes| {
            change_header(bytes, |header| {
                header["model.norm.weight"]["data_offsets"]
                    .as_array_mut()
                    .unwrap()
                    .reverse();
            });
        }),
        ("a shape whose product overflows", |bytes| {
            change_header(bytes, |header| {
                header["model.norm.weight"]["shape"] = json!([1_u64 << 40, 1_u64 << 40]);
            });
        }),
    ];
    no_faults(cases.iter().map(|(name, change)| {
        let scratch = Scratch::with_model();
        let mut bytes = scratch.read("model/model.safetensors");
        change(&mut bytes);
        scratch.write("model/model.safetensors", bytes);
        (
            name.to_string(),
            scratch.model_fault(&["model.safetensors"]),
        )
    }));
}

// The data.

#[test]
fn an_index_of_weights_that_leads_nowhere_is_refused() {
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
                "a part that is not there",
                map("model-2.safetensors"),
                &["model-2", "not there"],
            ),
            (
                "a way out",
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
    // With a map of what is there it is a model like any other.
    let scratch = Scratch::with_model();
    let part = "model-00001-of-00001.safetensors";
    let place = scratch.path(&format!("model/{part}"));
    fs::rename(scratch.path("model/model.safetensors"), place).unwrap();
    scratch.write("model/model.safetensors.index.json", map(part).to_string());
    let output = scratch.minift(&["eval", "--data", "domain.txt", "--model", "model"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn data_that_cannot_be_used_is_refused_by_file_and_line() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("folder.txt")).unwrap();
    let cases: &[Case<'_, Option<&[u8]>>] = &[
        ("missing.txt", None, &["missing.txt"]),
        ("folder.txt", None, &["folder.txt"]),
        ("empty.txt", Some(b""), &["empty.txt", "no sample"]),
        ("blank.txt", Some(b"\n \n\n"), &["blank.txt", "no sample"]),
        ("empty.jsonl", Some(b""), &["empty.jsonl", "no sample"]),
        (
            "latin.txt",
            Some(b"One cup.\n\nTwo caf\xe9s.\n"),
            &["latin.txt:3", "UTF-8"],
        ),
        (
            "latin.jsonl",
            Some(b"{\"text\": \"One\"}\n{\"text\": \"caf\xe9\"}\n"),
            &["latin.jsonl:2", "UTF-8"],
        ),
        (
            "broken.jsonl",
            Some(b"{\"text\": \"One\"}\n\n{\"text\": \"Two\n"),
            &["broken.jsonl:3", "JSON"],
        ),
        (
            "list.jsonl",
            Some(b"{\"text\": \"One cup\"}\n[\"Two cups\"]\n"),
            &["list.jsonl:2", "object"],
        ),
        (
            "prompt.jsonl",
            Some(b"{\"text\": \"One\"}\n{\"prompt\": \"Two\"}\n"),
            &["prompt.jsonl:2", "\"text\"", "\"prompt\""],
        ),
        (
            "number.jsonl",
            Some(b"{\"text\": 7}\n"),
            &["number.jsonl:1", "\"text\"", "string"],
        ),
        (
            "short.jsonl",
            Some(b"{\"text\": \"\"}\n{\"text\": \"\"}\n"),
            &["short.jsonl", "at least two tokens", "2 shorter"],
        ),
        (
            "report.pdf",
            Some(b"%PDF-1.7\n"),
            &["report.pdf", ".txt", ".jsonl"],
        ),
        (
            "README",
            Some(b"Some text.\n"),
            &["README", ".txt", ".jsonl"],
        ),
    ];
    let mut faults = Vec::new();
    for (name, bytes, fragments) in cases {
        if let Some(bytes) = bytes {
            scratch.write(name, bytes);
        }
        faults.push((
            format!("eval --data {name}"),
            scratch.eval_fault(&["--data", name], fragments),
        ));
        for option in ["--data", "--general", "--held-out"] {
            let fault = scratch.train_fault(&[option, name], fragments);
            faults.push((format!("train {option} {name}"), fault));
        }
    }
    no_faults(faults);
}

/// A copy of the model whose tokenizer puts no token before a text.
fn without_begin_token() -> Scratch {
    let scratch = Scratch::with_model();
    scratch.change_json("model/tokenizer.json", |tokenizer| {
        tokenizer["post_processor"] = Value::Null
    });
    scratch
}

#[test]
fn texts_of_one_token_alone_are_nothing_to_predict() {
    let scratch = without_begin_token();
    scratch.write("letters.txt", "a\n\nb\n\nc\n");
    let arguments = ["--model", "model", "--data", "letters.txt"];
    let fragments = ["letters.txt", "at least two tokens", "3 shorter"];
    no_faults([
        (
            "eval".to_string(),
            scratch.eval_fault(&arguments, &fragments),
        ),
        (
            "train".to_string(),
            scratch.train_fault(&arguments, &fragments),
        ),
    ]);
}

#[test]
fn texts_of_one_token_among_others_are_skipped_and_counted() {
    let scratch = without_begin_token();
    scratch.write(
        "mixed.txt",
        "a\n\nThe cat sat.\n\nb\n\nThe dog ran away from the big house.\n",
    );
    let arguments = [
        "eval",
        "--json",
        "--model",
        "model",
        "--data",
        "mixed.txt",
        "--max-length",
        "6",
    ];
    let output = scratch.minift(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["samples"], 2);
    assert_eq!(found["skipped"], 2);
    assert_eq!(found["truncated"], 1);
    assert!(
        found["tokens"]
            .as_u64()
            .is_some_and(|tokens| (6..=10).contains(&tokens)),
        "{found}"
    );
    assert!(
        found["perplexity"]
            .as_f64()
            .is_some_and(|perplexity| perplexity > 1.0),
        "{found}"
    );
}

// Settings.

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let scratch = Scratch::new();
    scratch.write("empty.txt", "\n\n");
    let train: &[(&[&str], &[&str])] = &[
        (&["--tau", "1.5"], &["tau", "1.5", "0 to 1"]),
        (&["--tau=-0.1"], &["tau", "-0.1", "0 to 1"]),
        (&["--tau", "nan"], &["tau", "NaN"]),
        (&["--tau", "much"], &["--tau", "much"]),
        (&["--temperature", "0"], &["temperature", "above 0"]),
        (&["--temperature", "inf"], &["temperature", "inf"]),
        (&["--lr", "0"], &["lr", "above 0"]),
        (&["--lr=-1"], &["lr", "-1", "above 0"]),
        (&["--lr", "nan"], &["lr", "NaN"]),
        (&["--weight-decay=-1"], &["weight-decay", "-1"]),
        (&["--clip", "nan"], &["clip", "NaN"]),
        (&["--epochs", "0"], &["epochs", "1 to "]),
        (&["--epochs", "2.5"], &["--epochs", "2.5"]),
        (&["--batch-size", "0"], &["batch-size", "1 to "]),
        (
            &["--grad-accumulation", "0"],
            &["grad-accumulation", "1 to "],
        ),
        (&["--samples", "0"], &["samples = 0", "1 or more"]),
        (
            &["--samples", "4"],
            &["4 samples", "domain.txt", "3 usable"],
        ),
        (
            &["--samples", "100000"],
            &["100000 samples", "domain.txt", "3 usable"],
        ),
        (
            &["--samples", "100000", "--held-out", "general.txt"],
            &["100000 samples", "domain.txt", "4 usable"],
        ),
        (&["--max-length", "0"], &["max-length = 0", "2 to 256"]),
        (&["--max-length", "1"], &["max-length = 1", "2 to 256"]),
        (
            &["--max-length", "100000"],
            &["max-length = 100000", "2 to 256"],
        ),
        (
            &["--method", "ft", "--tau", "0.25"],
            &["tau", "--method ft"],
        ),
        (
            &["--method", "ft", "--scope", "all"],
            &["scope", "--method ft"],
        ),
        (&["--method", "lora"], &["--method", "lora"]),
        (&["--adapter", "qlora"], &["--adapter", "qlora"]),
        (
            &["--adapter", "lora", "--rank", "0"],
            &["rank = 0", "1 to 65536"],
        ),
        (
            &["--adapter", "lora", "--alpha", "0"],
            &["alpha = 0", "more than 0"],
        ),
        (
            &["--adapter", "dora", "--dropout", "1"],
            &["dropout = 1", "below 1"],
        ),
        (
            &["--adapter", "ia3", "--rank", "4"],
            &["rank", "--adapter lora or dora"],
        ),
        (&["--rslora"], &["rslora", "--adapter lora or dora"]),
        (
            &["--alpha", "0.3"],
            &["alpha", "--target constant", "--adapter lora or dora"],
        ),
        (
            &["--adapter", "lora", "--alpha", "8", "--lora-alpha", "8"],
            &["alpha"],
        ),
        (
            &["--target", "constant", "--alpha", "1.5"],
            &["alpha = 1.5", "0 to 1"],
        ),
        (
            &["--target", "constant", "--tau", "0.5"],
            &["tau", "--target constant", "--alpha"],
        ),
        (
            &["--method", "ft", "--target", "constant"],
            &["target", "--method ft"],
        ),
        (&["--target", "soft"], &["--target", "soft"]),
        (&["--ewc=-1"], &["ewc = -1", "from 0"]),
        (&["--ewc", "nan"], &["ewc = NaN"]),
        (&["--ewc-text", "self"], &["required"]),
        (&["--replay-ratio", "0.5"], &["required"]),
        (
            &["--replay", "general.txt", "--replay-ratio", "1"],
            &["replay-ratio = 1", "below 1"],
        ),
        (
            &["--replay", "general.txt", "--replay-ratio=-0.1"],
            &["replay-ratio = -0.1", "0 or more"],
        ),
        (
            &["--replay", "general.txt", "--replay-ratio", "0.9999999999"],
            &["replay-ratio", "less"],
        ),
        (
            &["--replay", "nowhere.txt"],
            &["nowhere.txt", "No such file"],
        ),
        (&["--replay", "empty.txt"], &["empty.txt", "no sample"]),
        (
            &["--ewc", "1", "--ewc-text", "empty.txt"],
            &["empty.txt", "no sample"],
        ),
        (
            &["--max-degeneralization", "5"],
            &["--max-degeneralization", "5%"],
        ),
        (
            &["--max-degeneralization=-5%"],
            &["--max-degeneralization", "0%"],
        ),
        (
            &["--max-degeneralization", "5%", "--resume"],
            &["resume", "--max-degeneralization"],
        ),
        (&["--validation", "general.txt"], &["required"]),
        (
            &["--target-modules", "q_proj"],
            &["target-modules", "--adapter"],
        ),
        (
            &["--adapter", "lora", "--target-modules", "q_proj,c_attn"],
            &["target-modules = c_attn", "q_proj, k_proj", "down_proj"],
        ),
    ];
    let eval: &[(&[&str], &[&str])] = &[
        (
            &["--samples", "100000"],
            &["100000 samples", "domain.txt", "4 usable"],
        ),
        (&["--batch-size", "0"], &["batch-size", "1 or more"]),
        (&["--max-length", "1"], &["max-length = 1", "2 to 256"]),
        (
            &["--max-length", "100000"],
            &["max-length = 100000", "2 to 256"],
        ),
        (
            &["--adapter", "nowhere"],
            &["nowhere", "adapter_config.json", "No such file"],
        ),
    ];
    let train = train.iter().map(|(given, fragments)| {
        (
            format!("train {}", given.join(" ")),
            scratch.train_fault(given, fragments),
        )
    });
    let eval = eval.iter().map(|(given, fragments)| {
        let arguments = [&["--data", "domain.txt"], *given].concat();
        (
            format!("eval {}", given.join(" ")),
            scratch.eval_fault(&arguments, fragments),
        )
    });
    no_faults(train.chain(eval));
}

const RECIPE: &str = r#"
budgets = [2]
seeds = [0]
max_length = 16
general = "general.txt"
[[domain]]
name = "repairs"
data = "domain.txt"
[[method]]
name = "FT"
method = "ft"
"#;

#[test]
fn recipes_that_cannot_be_used_are_refused() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "seeds",
            "sedes",
            &["recipe.toml", "line 3", "did you mean seeds?"],
        ),
        (
            "method = ",
            "metod = ",
            &["line 11", "did you mean method?"],
        ),
        ("[[domain]]", "[[domains]]", &["did you mean domain?"]),
        ("\"ft\"", "\"sft\"", &["line 11", "sft", "mft"]),
        ("budgets = [2]", "", &["budgets"]),
        ("[2]", "[]", &["budgets is empty"]),
        ("[2]", "[-2]", &["line 2", "-2"]),
        ("[2]", "[2", &["line 3", "comma"]),
        ("[2]", "[4]", &["4 samples", "\"repairs\"", "3 usable"]),
        (
            "domain.txt",
            "nowhere.txt",
            &["nowhere.txt", "No such file"],
        ),
        ("general.txt", "self", &["general", "embedded"]),
        (
            "max_length = 16",
            "max_length = 1",
            &["max-length = 1", "2 to 256"],
        ),
        ("seeds", "model = \"nowhere\"\nseeds", &["nowhere"]),
        (
            "data = \"domain.txt\"",
            "data = \"domain.txt\"\nhold_out = 4",
            &["hold_out = 4", "1 to 3", "repairs"],
        ),
        (
            "\"ft\"",
            "\"ft\"\nadapter = \"lora\"\ntarget_modules = [\"q_porj\"]",
            &["\"FT\"", "q_porj", "q_proj"],
        ),
        ("\"ft\"", "\"ft\"\nepochs = 3", &["epochs"]),
        ("\"ft\"", "\"ft\"\nlr = 0", &["\"FT\"", "lr = 0"]),
        ("\"ft\"", "\"ft\"\nsweep = [-1]", &["\"FT\"", "lr = -1"]),
        (
            "\"ft\"",
            "\"ft\"\nadapter = \"lora\"\nrank = 0",
            &["rank = 0"],
        ),
        (
            "\"ft\"",
            "\"ft\"\nreplay_ratio = 0.5\n[training]\nepochs = 0",
            &["\"FT\"", "epochs = 0"],
        ),
        (
            "\"ft\"",
            "\"ft\"\nreplay_ratio = 1",
            &["replay-ratio = 1", "below 1"],
        ),
    ];
    let arguments = ["compare", "--recipe", "recipe.toml", "--out", "out"];
    no_faults(cases.iter().map(|&(from, to, fragments)| {
        let scratch = Scratch::new();
        let recipe = RECIPE.replacen(from, to, 1);
        assert_ne!(recipe, RECIPE, "{from}");
        scratch.write("recipe.toml", recipe);
        let fault = scratch.fault(fragments, |scratch| scratch.minift(&arguments));
        (format!("{from} → {to}"), fault)
    }));

    let scratch = Scratch::with_old_output();
    scratch.write("recipe.toml", RECIPE);
    let fault = scratch.fault(&["out", "results.jsonl"], |scratch| {
        scratch.minift(&arguments)
    });
    no_faults([("another folder".to_string(), fault)]);
    let scratch = Scratch::new();
    let fault = scratch.fault(&["recipe.toml", "No such file"], |s| s.minift(&arguments));
    no_faults([("no recipe".to_string(), fault)]);
}

#[test]
fn no_samples_asked_for_in_eval_is_refused_as_in_train() {
    let arguments = ["--data", "domain.txt", "--samples", "0"];
    let fault = Scratch::new().eval_fault(&arguments, &["samples = 0", "1 or more"]);
    no_faults([("eval --samples 0".to_string(), fault)]);
}

/// A minus is no option: `--lr -1` is a bad learning rate.
#[test]
fn negative_settings_are_refused_by_name() {
    let scratch = Scratch::new();
    let generate = ["generate", "--prompt", "A cat", "--temperature", "-1"];
    no_faults([
        (
            "--tau -0.1".to_string(),
            scratch.train_fault(&["--tau", "-0.1"], &["tau", "-0.1"]),
        ),
        (
            "--lr -1".to_string(),
            scratch.train_fault(&["--lr", "-1"], &["lr", "-1"]),
        ),
        (
            "--epochs -1".to_string(),
            scratch.train_fault(&["--epochs", "-1"], &["epochs", "-1"]),
        ),
        (
            "generate --temperature -1".to_string(),
            scratch.fault(&["temperature", "-1"], |scratch| scratch.minift(&generate)),
        ),
    ]);
}

#[test]
fn settings_of_generate_out_of_range_are_refused_by_name() {
    let scratch = Scratch::new();
    let long = "The cat sat on the mat. ".repeat(60);
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["--prompt", "A cat", "--temperature=-1"],
            &["temperature", "-1"],
        ),
        (
            &["--prompt", "A cat", "--temperature", "nan"],
            &["temperature", "NaN"],
        ),
        (
            &["--prompt", "A cat", "--top-p", "0"],
            &["top-p", "above 0"],
        ),
        (&["--prompt", "A cat", "--top-p", "1.5"], &["top-p", "1.5"]),
        (&["--prompt", &long], &["prompt", "255 tokens"]),
    ];
    no_faults(cases.iter().map(|(given, fragments)| {
        let arguments = [&["generate"], *given].concat();
        let fault = scratch.fault(fragments, |scratch| scratch.minift(&arguments));
        (format!("generate {}", given.join(" ")), fault)
    }));
}

#[test]
fn a_prompt_that_train_cannot_continue_is_refused_before_training() {
    let scratch = Scratch::new();
    let long = "The cat sat on the mat. ".repeat(60);
    no_faults([(
        "long".to_string(),
        scratch.train_fault(&["--prompt", &long], &["prompt", "255 tokens"]),
    )]);
}

#[test]
fn devices_that_are_not_there_are_refused() {
    let scratch = Scratch::new();
    let cases: [(&str, &[&str]); 4] = [
        ("gpu:99", &["adapter"]),
        ("gpu:x", &["device", "gpu:x", "gpu:N"]),
        ("banana", &["device", "banana", "cpu"]),
        ("", &["device", "cpu"]),
    ];
    no_faults(cases.into_iter().map(|(device, fragments)| {
        let arguments = ["eval", "--data", "domain.txt", "--device", device];
        let fault = scratch.fault(fragments, |scratch| run(scratch.0.path(), &arguments));
        (format!("--device {device}"), fault)
    }));
}

#[test]
fn reference_values_that_are_none_are_refused() {
    let scratch = Scratch::with_model();
    scratch.write("garbage.safetensors", "not a safetensors file at all");
    let cases: [(&str, &[&str]); 3] = [
        ("missing.safetensors", &["missing.safetensors"]),
        ("garbage.safetensors", &["garbage.safetensors"]),
        ("model/model.safetensors", &["model/model.safetensors"]),
    ];
    no_faults(cases.into_iter().map(|(file, fragments)| {
        let arguments = ["doctor", "--vectors", file];
        (
            file.to_string(),
            scratch.fault(fragments, |scratch| scratch.minift(&arguments)),
        )
    }));
}

#[test]
fn with_json_the_error_is_an_object_too() {
    let output = Scratch::new().minift(&["eval", "--json", "--data", "missing.txt"]);
    assert_eq!(fault(&output, &["missing.txt"]), None);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["event"], "error");
    assert!(
        object["message"]
            .as_str()
            .is_some_and(|message| message.contains("missing.txt"))
    );
}

#[test]
fn a_batch_larger_than_any_data_does_not_panic() {
    // Sixteen times as many are none at all in 64 bits.
    let output = Scratch::new().train(&["--batch-size", "1152921504606846976"]);
    if !output.status.success() {
        assert_eq!(fault(&output, &["batch-size"]), None);
    }
}

/// A full disk under the results is an error: whoever reads them would find none.
#[test]
#[cfg(target_os = "linux")]
fn results_that_cannot_be_written_are_an_error() {
    let scratch = Scratch::new();
    let cases: [&[&str]; 2] = [
        &["eval", "--json", "--data", "domain.txt"],
        &[
            "generate",
            "--json",
            "--prompt",
            "A cat",
            "--max-new-tokens",
            "2",
        ],
    ];
    no_faults(cases.into_iter().map(|arguments| {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_minift"))
            .current_dir(scratch.0.path())
            .args([arguments, &["--device", "cpu"]].concat())
            .stdout(full)
            .output()
            .unwrap();
        (arguments.join(" "), fault(&output, &["cannot write"]))
    }));
}

// Checkpoints.

#[test]
fn a_checkpoint_that_is_none_is_refused() {
    let missing = Scratch::new();
    let garbage = Scratch::new();
    garbage.write("out.checkpoint", "not a checkpoint at all");
    let weights = Scratch::with_model();
    weights.write("out.checkpoint", weights.read("model/model.safetensors"));
    no_faults([
        (
            "missing".to_string(),
            missing.train_fault(&["--resume"], &["out.checkpoint"]),
        ),
        (
            "garbage".to_string(),
            garbage.train_fault(&["--resume"], &["out.checkpoint", "not a whole checkpoint"]),
        ),
        (
            "weights".to_string(),
            weights.train_fault(
                &["--resume"],
                &["out.checkpoint", "not a checkpoint of minift"],
            ),
        ),
    ]);
}

/// A learning rate with which the loss is soon no number.
const BURSTING: [&str; 4] = ["--lr", "1e30", "--epochs", "3"];

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let scratch = Scratch::new();
    assert_eq!(
        fault(&scratch.train(&BURSTING), &["loss", "out.checkpoint"]),
        None
    );
    let whole = scratch.read("out.checkpoint");
    let resume = |given: &[&str], fragments: &[&str]| {
        let arguments = [&["--resume", "--epochs", "3"], given].concat();
        scratch.train_fault(&arguments, &[&["out.checkpoint"], fragments].concat())
    };
    let mut faults = vec![
        (
            "another rate".to_string(),
            resume(&["--lr", "1e-3"], &["other settings", "learning_rate"]),
        ),
        (
            "other data".to_string(),
            resume(
                &["--lr", "1e30", "--general", "domain.txt"],
                &["other data"],
            ),
        ),
    ];
    for length in [0, 7, 1000, whole.len() / 2, whole.len() - 1] {
        scratch.write("out.checkpoint", &whole[..length]);
        let fault = resume(&["--lr", "1e30"], &["not a whole checkpoint"]);
        faults.push((format!("cut to {length} bytes"), fault));
    }
    no_faults(faults);
}

// The output folder.

#[test]
fn what_stands_in_the_place_of_the_output_is_kept() {
    let a_folder = Scratch::with_old_output();
    let a_file = Scratch::new();
    a_file.write("out", "years of work");
    let demo = ["demo", "--out", "out"];
    let fragments = ["out exists", "--force"];
    let no_folder = ["out", "no folder"];
    no_faults([
        (
            "train on a folder".to_string(),
            a_folder.train_fault(&[], &fragments),
        ),
        (
            "train on a file".to_string(),
            a_file.train_fault(&[], &no_folder),
        ),
        (
            "train on a file with --force".to_string(),
            a_file.train_fault(&["--force"], &no_folder),
        ),
        (
            "demo on a folder".to_string(),
            a_folder.fault(&fragments, |scratch| scratch.minift(&demo)),
        ),
    ]);
}

/// What a run needs is not in the place of what it writes: `--force` would replace it.
#[test]
fn an_output_that_holds_an_input_is_refused() {
    let scratch = Scratch::with_old_output();
    fs::copy(scratch.path("domain.txt"), scratch.path("out/in.txt")).unwrap();
    for given in [
        ["--data", "out/in.txt"],
        ["--data", "./out/../out/*.txt"],
        ["--general", "out/in.txt"],
        ["--teacher-cache", "out/states"],
        ["--teacher-cache", "out"],
        ["--replay", "out/in.txt"],
    ] {
        let arguments = [&given[..], &["--force"]].concat();
        let fault = scratch.train_fault(&arguments, &["out", "does not hold"]);
        no_faults([(given.join(" "), fault)]);
    }
    let merge = "merge --adapter out --out out --force";
    let merge: Vec<&str> = merge.split(' ').collect();
    let merged = fault(&scratch.minift(&merge), &["does not hold out"]);
    no_faults([("merge".to_string(), merged)]);
    assert!(scratch.path("out/in.txt").exists());
}

/// A log that can no longer be written to is no reason to end a training.
#[cfg(target_os = "linux")]
#[test]
fn a_run_whose_stderr_is_full_ends_well() {
    let scratch = Scratch::new();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let arguments = "train --data domain.txt --general general.txt --epochs 1 --max-length 16 \
                     --device cpu --out out";
    let status = Command::new(env!("CARGO_BIN_EXE_minift"))
        .current_dir(scratch.path("."))
        .args(arguments.split_whitespace())
        .stdout(std::process::Stdio::null())
        .stderr(full)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    assert!(scratch.path("out/model.safetensors").exists());
}

#[test]
fn a_failing_run_with_force_leaves_the_old_output() {
    let scratch = Scratch::with_old_output();
    let cases: &[(&[&str], &str)] = &[
        (&["--tau", "1.5"], "tau"),
        (&["--data", "missing.txt"], "missing.txt"),
        (&["--general", "missing.txt"], "missing.txt"),
        (&["--model", "missing"], "missing"),
        (&["--max-length", "100000"], "max-length"),
        (&["--resume"], "out.checkpoint"),
    ];
    no_faults(cases.iter().map(|(given, fragment)| {
        let arguments = [&["--force"], *given].concat();
        (
            given.join(" "),
            scratch.train_fault(&arguments, &[fragment]),
        )
    }));
}

#[test]
fn a_run_with_force_that_fails_late_leaves_the_old_output_and_a_checkpoint() {
    let scratch = Scratch::with_old_output();
    let mut expected = scratch.contents();
    let output = scratch.train(&[&["--force"], &BURSTING[..]].concat());
    assert_eq!(
        fault(&output, &["loss", "learning rate", "out.checkpoint"]),
        None
    );
    expected.insert(
        scratch.path("out.checkpoint"),
        Some(scratch.read("out.checkpoint")),
    );
    assert!(
        scratch.contents() == expected,
        "{:?}",
        scratch.contents().keys()
    );
}

#[test]
fn a_run_with_force_replaces_the_old_output_by_a_whole_one() {
    let scratch = Scratch::with_old_output();
    let output = scratch.train(&["--force"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!scratch.path("out/notes.md").exists());
    for file in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "run.json",
    ] {
        assert!(scratch.path("out").join(file).is_file(), "{file}");
    }
    let mut names: Vec<_> = fs::read_dir(scratch.0.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["domain.txt", "general.txt", "out"]);
    let output = scratch.minift(&["eval", "--model", "out", "--data", "domain.txt"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// Hours of training should not end in a folder that could never be written.
#[test]
fn an_output_that_cannot_be_written_is_refused_before_training() {
    for out in ["general.txt/out", "general.txt/deep/out"] {
        let scratch = Scratch::new();
        let before = scratch.contents();
        let output = scratch.train(&["--json", "--out", out]);
        assert_eq!(fault(&output, &["general.txt"]), None, "{out}");
        assert!(
            scratch.contents() == before,
            "{out}: {:?}",
            scratch.contents().keys()
        );
        assert!(
            !text(&output.stdout).contains("\"event\":\"step\""),
            "{out}: trained first"
        );
    }
    let scratch = Scratch::new();
    let demo = ["demo", "--out", "general.txt/out"];
    no_faults([(
        "demo".to_string(),
        scratch.fault(&["general.txt"], |scratch| scratch.minift(&demo)),
    )]);
}

#[test]
fn folders_above_the_output_are_made() {
    let scratch = Scratch::new();
    let output = scratch.train(&["--out", "new/deep/out"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(scratch.path("new/deep/out/model.safetensors").is_file());
}

#[test]
fn an_output_without_a_name_is_refused_before_training() {
    for out in [".", "..", "/"] {
        let scratch = Scratch::new();
        let before = scratch.contents();
        let output = scratch.train(&["--out", out, "--force"]);
        assert_eq!(fault(&output, &["out = ", out]), None, "{out}");
        assert!(scratch.contents() == before, "{out}");
    }
}

#[test]
fn counts_beyond_all_measure_are_refused() {
    let output = Scratch::new().train(&["--epochs", "18446744073709551615"]);
    assert_eq!(fault(&output, &["epochs", "1 to "]), None);
}

/// The checkpoint of a stopped run may be hours of work.
#[test]
fn a_checkpoint_that_a_stopped_run_left_is_not_overwritten_unasked() {
    let scratch = Scratch::new();
    fs::write(scratch.path("out.checkpoint"), "hours of work").unwrap();
    let output = scratch.train(&["--out", "out"]);
    assert_eq!(
        fault(&output, &["out.checkpoint", "--resume", "--force"]),
        None
    );
    let kept = fs::read_to_string(scratch.path("out.checkpoint")).unwrap();
    assert_eq!(kept, "hours of work");
}
