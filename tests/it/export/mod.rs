//! What `minift export` writes, read by a small reader of its own, and the types of saved weights.
#![allow(clippy::unwrap_used)]

mod reader;
mod save_types;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use burn::tensor::{Int, Tensor};
use minift::device::Device;
use minift::internals::WeightType;
use minift::model::{CausalLm, ModelFiles};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{data, largest_error, values};
use reader::{File, read};

const EMBEDDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/minift-tales-360k");

struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn export(&self, arguments: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_minift"))
            .args(["export", "--device", "cpu"])
            .args(arguments)
            .current_dir(self.0.path())
            .output();
        output.unwrap()
    }

    /// Exports to `out.gguf`, and returns it with what was printed.
    fn exported(&self, arguments: &[&str]) -> (File, String) {
        let arguments = [arguments, &["--out", "out.gguf", "--force"]].concat();
        let output = self.export(&arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        let file = read(&fs::read(self.path("out.gguf")).unwrap());
        (file, String::from_utf8(output.stdout).unwrap())
    }

    /// Runs an export that fails, and returns the error.
    fn fault(&self, arguments: &[&str]) -> String {
        let output = self.export(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Copies a tiny model, with the embedded model's tokenizer.
    fn tiny(&self, name: &str) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir(&folder).unwrap();
        for entry in fs::read_dir(data("tiny").join(name)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
        for file in ["tokenizer.json", "tokenizer_config.json"] {
            fs::copy(Path::new(EMBEDDED).join(file), folder.join(file)).unwrap();
        }
        folder
    }
}

/// Returns the values of a parameter.
fn parameter(model: &CausalLm, name: &str) -> (Vec<usize>, Vec<f32>) {
    let specs = model.decoder().parameters();
    let index = specs.iter().position(|spec| spec.name == name).unwrap();
    let values = values(model.parameters()[index].clone());
    (specs[index].shape.clone(), values)
}

/// Packs values.
fn packed(kind: WeightType, values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    kind.pack(values, &mut bytes);
    bytes
}

#[test]
fn the_embedded_model_is_exported_with_all_that_llama_cpp_needs() {
    let scratch = Scratch::new();
    let (file, printed) = scratch.exported(&[]);
    assert!(printed.contains("float16"), "{printed}");
    for (key, value) in [
        ("general.architecture", json!("llama")),
        ("general.type", json!("model")),
        ("general.name", json!("minift-tales-360k")),
        ("general.size_label", json!("361K")),
        ("general.file_type", json!(1)),
        ("general.quantization_version", json!(2)),
        ("llama.block_count", json!(6)),
        ("llama.context_length", json!(256)),
        ("llama.embedding_length", json!(64)),
        ("llama.feed_forward_length", json!(192)),
        ("llama.attention.head_count", json!(8)),
        ("llama.attention.head_count_kv", json!(4)),
        ("llama.rope.dimension_count", json!(8)),
        ("llama.rope.freq_base", json!(10000.0)),
        ("llama.vocab_size", json!(1024)),
        ("tokenizer.ggml.model", json!("gpt2")),
        ("tokenizer.ggml.pre", json!("gpt-2")),
        ("tokenizer.ggml.bos_token_id", json!(0)),
        ("tokenizer.ggml.eos_token_id", json!(0)),
        ("tokenizer.ggml.add_bos_token", json!(true)),
        ("tokenizer.ggml.add_eos_token", json!(false)),
    ] {
        assert_eq!(file.metadata.get(key), Some(&value), "{key}");
    }
    let epsilon = &file.metadata["llama.attention.layer_norm_rms_epsilon"];
    assert!((epsilon.as_f64().unwrap() - 1e-5).abs() < 1e-9);
    let tokens = file.metadata["tokenizer.ggml.tokens"].as_array().unwrap();
    assert_eq!((tokens.len(), &tokens[0]), (1024, &json!("<|endoftext|>")));
    assert_eq!(file.metadata["tokenizer.ggml.token_type"][0], 3);
    assert_eq!(file.metadata["tokenizer.ggml.merges"][0], "h e");

    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    assert_eq!(file.tensors.len(), model.decoder().parameters().len());
    for (name, other) in [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output_norm.weight", "model.norm.weight"),
        (
            "blk.3.ffn_down.weight",
            "model.layers.3.mlp.down_proj.weight",
        ),
        (
            "blk.5.attn_v.weight",
            "model.layers.5.self_attn.v_proj.weight",
        ),
    ] {
        let (shape, values) = parameter(&model, other);
        let tensor = &file.tensors[name];
        let kind = match shape.len() {
            1 => WeightType::Float32,
            _ => WeightType::Float16,
        };
        assert_eq!((tensor.kind, &tensor.shape), (kind, &shape), "{name}");
        assert_eq!(tensor.values(), values, "{name}");
    }
    // Within a head, the rows of both halves alternate.
    let (_, query) = parameter(&model, "model.layers.0.self_attn.q_proj.weight");
    let found = file.tensors["blk.0.attn_q.weight"].values();
    for (row, of) in [(0, 0), (1, 4), (2, 1), (7, 7), (8, 8), (9, 12)] {
        assert_eq!(found[row * 64..][..64], query[of * 64..][..64], "row {row}");
    }
    let modelfile = fs::read_to_string(scratch.path("Modelfile")).unwrap();
    for line in [
        "FROM ./out.gguf",
        "TEMPLATE \"\"\"{{ .Prompt }}\"\"\"",
        "PARAMETER stop \"<|endoftext|>\"",
        "PARAMETER num_ctx 256",
    ] {
        assert!(modelfile.lines().any(|found| found == line), "{modelfile}");
    }
}

#[test]
fn quantized_weights_are_packed_by_rows() {
    let scratch = Scratch::new();
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let (_, up) = parameter(&model, "model.layers.1.mlp.up_proj.weight");
    let (_, embedding) = parameter(&model, "model.embed_tokens.weight");
    for (name, kind, number) in [
        ("q8_0", WeightType::Q8_0, 7),
        ("q4_0", WeightType::Q4_0, 2),
        ("bf16", WeightType::Bfloat16, 32),
        ("f32", WeightType::Float32, 0),
    ] {
        let (file, printed) = scratch.exported(&["--type", name]);
        assert_eq!(file.metadata["general.file_type"], number);
        let tensor = &file.tensors["blk.1.ffn_up.weight"];
        assert_eq!(tensor.kind, kind);
        assert!(tensor.bytes == packed(kind, &up), "{name}");
        // The embedding is the head as well.
        let of_head = match kind {
            WeightType::Q4_0 => WeightType::Q8_0,
            kind => kind,
        };
        let tensor = &file.tensors["token_embd.weight"];
        assert!(tensor.bytes == packed(of_head, &embedding), "{name}");
        let note = "token_embd.weight is stored as q8_0";
        assert_eq!(
            printed.contains(note),
            kind == WeightType::Q4_0,
            "{printed}"
        );
        let norm = &file.tensors["blk.1.ffn_norm.weight"];
        assert_eq!(norm.kind, WeightType::Float32);
    }
}

/// Architectures whose files are read again.
const COUSINS: [&str; 11] = [
    "gemma2",
    "gemma4",
    "smollm3",
    "granite",
    "phi3",
    "olmo2",
    "ernie4_5",
    "hunyuan-dense",
    "gptneox",
    "lfm2",
    "qwen35",
];

#[test]
fn every_family_of_llama_cpp_is_exported() {
    let scratch = Scratch::new();
    for (name, architecture) in [
        ("llama3", "llama"),
        ("mistral", "llama"),
        ("qwen2", "qwen2"),
        ("qwen3", "qwen3"),
        ("gemma2", "gemma2"),
        ("gemma3", "gemma3"),
        ("gemma4", "gemma4"),
        ("gemma4_wrapped", "gemma4"),
        ("gpt2", "gpt2"),
        ("phi", "phi2"),
        ("openelm", "openelm"),
        ("smollm3", "smollm3"),
        ("granite", "granite"),
        ("phi3", "phi3"),
        ("olmo2", "olmo2"),
        ("olmo3", "olmo2"),
        ("ernie4_5", "ernie4_5"),
        ("hunyuan_dense", "hunyuan-dense"),
        ("gpt_neox", "gptneox"),
        ("lfm2", "lfm2"),
        ("qwen3_5", "qwen35"),
    ] {
        let folder = scratch.tiny(name);
        let (file, printed) = scratch.exported(&["--model", name]);
        assert_eq!(file.metadata["general.architecture"], architecture);
        assert!(printed.contains("tokens of the tokenizer are not exported"));
        let model = CausalLm::from_files(ModelFiles::read(&folder).unwrap(), &Device::cpu());
        let model = model.unwrap();
        let parameters = model.decoder().parameters().len();
        let layers = model.config().decoder.layers.len();
        let added = match name {
            "llama3" | "gemma4" | "gemma4_wrapped" => 1,
            "openelm" => layers,
            _ => 0,
        };
        assert_eq!(file.tensors.len(), parameters + added, "{name}");
        check_family(name, &file, &model);
        if COUSINS.contains(&architecture) {
            let read = CausalLm::load(scratch.path("out.gguf"), &Device::cpu()).unwrap();
            let logits = |model: &CausalLm| {
                let tokens = [[
                    0, 52, 14, 30, 7, 99, 100, 3, 52, 14, 0, 61, 2, 2, 90, 17, 33, 8,
                ]];
                values(model.logits(Tensor::<2, Int>::from_data(tokens, &model.tensor_device())))
            };
            let expected: Vec<f64> = logits(&model).into_iter().map(f64::from).collect();
            let error = largest_error(&logits(&read), &expected);
            assert!(error < 1e-5, "{name}: {error:e}");
        }
    }
    scratch.tiny("gpt_neo");
    let error = scratch.fault(&["--model", "gpt_neo", "--out", "neo.gguf", "--force"]);
    for part in ["GPT-Neo", "LlamaForCausalLM", "OpenELMForCausalLM"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!scratch.path("neo.gguf").exists());
}

/// Checks what is particular about a family.
fn check_family(name: &str, file: &File, model: &CausalLm) {
    let of_tensor = |name: &str| file.tensors[name].values();
    match name {
        "llama3" => {
            let factors = of_tensor("rope_freqs.weight");
            assert_eq!((factors.len(), factors[0]), (8, 1.0));
            assert_eq!(*factors.last().unwrap(), 8.0);
        }
        "gemma2" => {
            for (field, value) in [
                ("attn_logit_softcapping", 50.0),
                ("final_logit_softcapping", 30.0),
                ("attention.sliding_window", 16.0),
            ] {
                let found = file.metadata[&format!("gemma2.{field}")].as_f64();
                assert_eq!(found, Some(value), "{field}");
            }
        }
        "gemma3" => {
            let (_, norm) = parameter(model, "model.norm.weight");
            let expected: Vec<f32> = norm.iter().map(|value| value + 1.0).collect();
            assert_eq!(of_tensor("output_norm.weight"), expected);
            assert_eq!(file.metadata["gemma3.attention.sliding_window"], 16);
            assert_eq!(file.metadata["gemma3.rope.freq_base_swa"], 10000.0);
        }
        "gemma4_wrapped" => {
            let factors = of_tensor("rope_freqs.weight");
            assert_eq!((factors.len(), factors[2], factors[3]), (12, 1.0, 1e30));
            for (field, value) in [
                ("attention.key_length", json!(24)),
                ("attention.key_length_swa", json!(12)),
                ("attention.shared_kv_layers", json!(3)),
                ("attention.head_count_kv", json!([4, 4, 2, 4, 4, 2])),
                ("feed_forward_length", json!([40, 40, 40, 80, 80, 80])),
                ("embedding_length_per_layer_input", json!(8)),
                ("final_logit_softcapping", json!(2.0)),
            ] {
                assert_eq!(file.metadata[&format!("gemma4.{field}")], value, "{field}");
            }
            assert_eq!(file.metadata["tokenizer.ggml.model"], "gpt2");
        }
        "gpt2" => {
            let (shape, weight) = parameter(model, "transformer.h.0.attn.c_attn.weight");
            let tensor = &file.tensors["blk.0.attn_qkv.weight"];
            assert_eq!(tensor.shape, [shape[1], shape[0]]);
            assert_eq!(tensor.values()[1], weight[shape[1]]);
            let positions = &file.tensors["position_embd.weight"];
            assert_eq!(positions.kind, WeightType::Float32);
        }
        "openelm" => {
            let (_, both) = parameter(model, "transformer.layers.0.ffn.proj_1.weight");
            let halves = ["gate", "up"].map(|half| of_tensor(&format!("blk.0.ffn_{half}.weight")));
            assert_eq!(halves.concat(), both);
            assert!(file.metadata["openelm.attention.head_count"].is_array());
        }
        "lfm2" => {
            assert_eq!(file.metadata["lfm2.attention.head_count"], 4);
            let heads = &file.metadata["lfm2.attention.head_count_kv"];
            assert_eq!(*heads, json!([0, 0, 2, 0]));
            assert_eq!(file.metadata["lfm2.shortconv.l_cache"], 3);
            let (shape, weight) = parameter(model, "model.layers.1.conv.conv.weight");
            let tensor = &file.tensors["blk.1.shortconv.conv.weight"];
            assert_eq!((shape, &*tensor.shape), (vec![64, 1, 3], &[64, 3][..]));
            assert_eq!(tensor.values(), weight);
            assert!(file.tensors.contains_key("token_embd_norm.weight"));
        }
        "qwen35" => {
            let metadata = |key: &str| &file.metadata[&format!("qwen35.{key}")];
            assert_eq!(*metadata("full_attention_interval"), 4);
            assert_eq!(*metadata("attention.head_count_kv"), 2);
            assert_eq!(*metadata("ssm.group_count"), 2);
            assert_eq!(*metadata("ssm.time_step_rank"), 4);
            assert_eq!(*metadata("ssm.inner_size"), 64);
            assert_eq!(*metadata("ssm.state_size"), 16);
            assert_eq!(*metadata("ssm.conv_kernel"), 4);
            assert_eq!(*metadata("rope.dimension_sections"), json!([11, 11, 10, 0]));
            // Heads 0 and 1 are those of the first key head, which llama.cpp has as heads 0 and 2.
            let (_, rates) = parameter(model, "model.layers.0.linear_attn.A_log");
            let tensor = &file.tensors["blk.0.ssm_a"];
            let expected = [0, 2, 1, 3].map(|head| -rates[head].exp());
            assert_eq!(
                (&*tensor.shape, tensor.values()),
                (&[4][..], expected.to_vec())
            );
            let (_, output) = parameter(model, "model.layers.0.linear_attn.out_proj.weight");
            let tensor = file.tensors["blk.0.ssm_out.weight"].values();
            assert_eq!(
                (&tensor[..16], &tensor[16..32]),
                (&output[..16], &output[32..48])
            );
            let (_, mixed) = parameter(model, "model.layers.0.linear_attn.in_proj_qkv.weight");
            let tensor = file.tensors["blk.0.attn_qkv.weight"].values();
            let row = |row: usize| row * 64..(row + 1) * 64;
            assert_eq!(tensor[row(63)], mixed[row(63)]);
            assert_eq!(tensor[row(64 + 16)], mixed[row(64 + 32)]);
            assert!(file.tensors.contains_key("blk.0.ssm_dt.bias"));
            assert_eq!(file.tensors["blk.0.ssm_conv1d.weight"].shape, [128, 4]);
        }
        _ => {}
    }
}

#[test]
fn what_llama_cpp_does_not_have_is_an_error() {
    let scratch = Scratch::new();
    let folder = scratch.tiny("smollm2");
    let change = |file: &str, change: &dyn Fn(&mut Value)| {
        let path = folder.join(file);
        let before = fs::read(&path).unwrap();
        let mut json: Value = serde_json::from_slice(&before).unwrap();
        change(&mut json);
        fs::write(&path, json.to_string()).unwrap();
        let error = scratch.fault(&["--model", "smollm2", "--out", "out.gguf"]);
        fs::write(&path, before).unwrap();
        assert!(!scratch.path("out.gguf").exists());
        error
    };
    let error = change("tokenizer.json", &|json| {
        json["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "[a-z]+"}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]});
    });
    assert!(
        error.contains("tokenizer.json") && error.contains("pre_tokenizer"),
        "{error}"
    );
    let error = change("config.json", &|json| json["hidden_act"] = json!("gelu"));
    assert!(
        error.contains("config.json") && error.contains("feed-forward"),
        "{error}"
    );
    let error = change("config.json", &|json| {
        json["rope_parameters"] = json!({"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0});
    });
    assert!(error.contains("RoPE scaling of type dynamic"), "{error}");
}

#[test]
fn outputs_are_not_replaced_unless_forced() {
    let scratch = Scratch::new();
    scratch.exported(&[]);
    let before = fs::read(scratch.path("out.gguf")).unwrap();
    let error = scratch.fault(&["--out", "out.gguf", "--type", "q8_0"]);
    assert!(
        error.contains("out.gguf already exists") && error.contains("--force"),
        "{error}"
    );
    let error = scratch.fault(&["--out", "other.gguf"]);
    assert!(error.contains("Modelfile already exists"), "{error}");
    assert!(fs::read(scratch.path("out.gguf")).unwrap() == before);
    let error = scratch.fault(&["--out", "model.bin", "--force"]);
    assert!(error.contains("ends with .gguf"), "{error}");
    let wrong = scratch.export(&["--out", "out.gguf", "--type", "q5_k", "--force"]);
    assert_eq!(wrong.status.code(), Some(2));
    let (file, _) = scratch.exported(&["--type", "q8_0"]);
    assert_eq!(file.metadata["general.file_type"], 7);
}

#[test]
fn lora_adapters_are_exported_alone_or_merged() {
    let scratch = Scratch::new();
    let texts = minift::demo::tickets().unwrap()[..12].join("\n\n");
    fs::write(scratch.path("tickets.txt"), texts).unwrap();
    let train = |kind: &str, out: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_minift"))
            .args([
                "train",
                "--device",
                "cpu",
                "--data",
                "tickets.txt",
                "--max-length",
                "24",
            ])
            .args(["--max-steps", "2", "--adapter", kind, "--out", out])
            .current_dir(scratch.0.path())
            .output();
        assert!(output.unwrap().status.success());
    };
    train("lora", "lora");
    let alone = ["--adapter-dir", "lora", "--adapter-only"];
    let (file, _) = scratch.exported(&alone);
    assert!(!scratch.path("Modelfile").exists());
    for (key, value) in [
        ("general.architecture", "llama"),
        ("general.type", "adapter"),
        ("adapter.type", "lora"),
        ("general.base_model.0.name", "minift-tales-360k (embedded)"),
        ("general.dataset.0.name", "tickets.txt"),
        ("minift.method", "mft"),
    ] {
        assert_eq!(file.metadata[key], value, "{key}");
    }
    let config = fs::read(scratch.path("lora/adapter_config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(
        file.metadata["adapter.lora.alpha"].as_f64(),
        config["lora_alpha"].as_f64()
    );
    let weights = fs::read(scratch.path("lora/adapter_model.safetensors")).unwrap();
    let weights = safetensors::SafeTensors::deserialize(&weights).unwrap();
    let peft = |name: &str| {
        let view = weights.tensor(&format!("base_model.model.model.layers.0.{name}.weight"));
        let bytes = view.unwrap().data().to_vec();
        let floats = bytes.as_chunks::<4>().0.iter();
        floats
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect::<Vec<_>>()
    };
    for (name, other) in [
        ("ffn_up.weight.lora_a", "mlp.up_proj.lora_A"),
        ("ffn_up.weight.lora_b", "mlp.up_proj.lora_B"),
        ("attn_q.weight.lora_a", "self_attn.q_proj.lora_A"),
    ] {
        let tensor = &file.tensors[&format!("blk.0.{name}")];
        assert_eq!(tensor.values(), peft(other), "{name}");
    }
    let query = &file.tensors["blk.0.attn_q.weight.lora_b"];
    let (rank, theirs) = (query.shape[1], peft("self_attn.q_proj.lora_B"));
    assert_eq!(query.values()[rank..2 * rank], theirs[4 * rank..5 * rank]);

    let (merged, _) = scratch.exported(&["--adapter-dir", "lora"]);
    assert_eq!(merged.metadata["general.type"], "model");
    assert_eq!(merged.metadata["minift.method"], "mft");
    fs::remove_file(scratch.path("Modelfile")).unwrap();

    for kind in ["dora", "ia3"] {
        train(kind, kind);
        let arguments = [
            "--adapter-dir",
            kind,
            "--adapter-only",
            "--out",
            "other.gguf",
        ];
        let error = scratch.fault(&arguments);
        assert!(error.contains("export the merged model"), "{error}");
    }
    let arguments = [&alone[..], &["--out", "a.gguf", "--type", "q8_0"]].concat();
    let error = scratch.fault(&arguments);
    assert!(
        error.contains("--type") && error.contains("f32, f16 or bf16"),
        "{error}"
    );
}
