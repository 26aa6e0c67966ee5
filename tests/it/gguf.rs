//! Models in GGUF: those of `tests/write_gguf_tiny.py` against `transformers`, and the models of `tests/data/tiny`
//! written as GGUF against their folders.
#![allow(clippy::unwrap_used)]

use crate::common;
use crate::gguf_file;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Int, Tensor, TensorData};
use common::{Vectors, check_logits, data, devices, load_tiny, values};
use gguf_file::{GgufFile, Value};
use minift::Error;
use minift::device::Device;
use minift::model::{CausalLm, FileBytes, ModelFiles, SaveType, TextReader};
use pollster::block_on;
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::Value as Json;

const MODELS: [&str; 10] = [
    "gemma3",
    "gpt2",
    "lfm2",
    "llama",
    "phi2",
    "qwen2",
    "qwen3",
    "qwen35",
    "sentencepiece",
    "smollm",
];

fn tiny(name: &str) -> PathBuf {
    data("gguf/tiny").join(format!("{name}.gguf"))
}

fn of_bytes(bytes: Vec<u8>) -> minift::Result<ModelFiles> {
    let files = vec![("model.gguf".to_string(), FileBytes::InMemory(bytes.into()))];
    ModelFiles::from_gguf(PathBuf::from("model.gguf"), files)
}

fn load(file: &GgufFile) -> minift::Result<CausalLm> {
    CausalLm::from_files(of_bytes(file.bytes())?, &Device::cpu())
}

fn report(file: &GgufFile) -> String {
    load(file).unwrap_err().report()
}

fn text(value: &str) -> Value {
    Value::Text(value.to_string())
}

#[test]
fn logits_match_transformers() {
    for device in devices() {
        for name in MODELS {
            let expected = fs::read(tiny(name).with_extension("safetensors")).unwrap();
            let model = CausalLm::load(tiny(name), &device).unwrap();
            assert_eq!(model.notes(), [""; 0], "{name}");
            check_logits(&model, &Vectors::parse(&expected), "logits", 2e-4, &device);
        }
    }
}

/// The file has 98 MB: `MINIFT_SMOLLM2=SmolLM2-135M-Instruct.Q4_1.gguf cargo test -- --ignored smollm2`.
#[test]
#[ignore = "needs the file that MINIFT_SMOLLM2 names, see tests/data/README.md"]
fn the_real_smollm2_matches_transformers() {
    let path = std::env::var_os("MINIFT_SMOLLM2").expect("MINIFT_SMOLLM2 names the file");
    let expected = Vectors::parse(&fs::read(data("gguf/smollm2.safetensors")).unwrap());
    let entropies: BTreeMap<String, f64> =
        serde_json::from_str(&expected.metadata["mean_cross_entropy"]).unwrap();
    let greedy: Vec<i32> = serde_json::from_str(&expected.metadata["greedy_ids"]).unwrap();
    for device in devices() {
        let model = CausalLm::load(&path, &device).unwrap();
        let vocabulary = model.config().decoder.vocab_size;
        let logits = |ids: &[i32]| {
            let tokens = TensorData::new(ids.to_vec(), [1, ids.len()]);
            values(model.logits(Tensor::<2, Int>::from_data(tokens, &model.tensor_device())))
        };
        for (text, entropy) in &entropies {
            let ids = expected.i32(&format!("{text}.input_ids"));
            let found = logits(&ids);
            let rows: Vec<&[f32]> = found.chunks_exact(vocabulary).collect();
            let last = expected.f64(&format!("{text}.last_logits"));
            let error = common::largest_error(rows[ids.len() - 1], last);
            let losses = rows.iter().zip(&ids[1..]).map(|(row, &next)| {
                let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
                sum.ln() - f64::from(row[next as usize])
            });
            let mean = losses.sum::<f64>() / (ids.len() - 1) as f64;
            println!("{} {text}: {error:e}, {:e}", device.name(), mean - entropy);
            assert!(error <= 2e-3, "text {text} on {}: {error:e}", device.name());
            assert!((mean - entropy).abs() <= 1e-4, "text {text}: {mean}");
        }
        // Each token is the most likely one after those before it.
        let prompt = model
            .tokenizer()
            .encode("The capital of France is")
            .unwrap();
        let prompt: Vec<i32> = prompt.into_iter().map(|id| id as i32).collect();
        assert_eq!(greedy[..prompt.len()], prompt);
        let found = logits(&greedy);
        for (at, &next) in greedy.iter().enumerate().skip(prompt.len()) {
            let row = &found[(at - 1) * vocabulary..at * vocabulary];
            let best = (0..vocabulary).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            assert_eq!(best, Some(next as usize), "token {at} on {}", device.name());
        }
    }
}

#[derive(Deserialize)]
struct Tokens {
    texts: Vec<String>,
    ids: BTreeMap<String, Vec<Vec<u32>>>,
}

#[test]
fn token_ids_match_tokenizers_and_sentencepiece() {
    let json = fs::read(data("gguf/tiny/tokens.json")).unwrap();
    let Tokens { texts, ids } = serde_json::from_slice(&json).unwrap();
    assert_eq!(ids.len(), MODELS.len());
    for (name, ids) in ids {
        let reader = TextReader::new(ModelFiles::read(tiny(&name)).unwrap()).unwrap();
        // SentencePiece itself does not match control tokens in texts.
        let all = ids.len() == texts.len();
        let texts = texts.iter().filter(|text| all || !text.contains("<s>"));
        for (text, ids) in texts.zip(ids) {
            assert_eq!(
                reader.tokenizer().encode(text).unwrap(),
                ids,
                "{name}: {text:?}"
            );
        }
    }
}

#[test]
fn special_tokens_and_templates_are_read() {
    let reader = |name: &str| TextReader::new(ModelFiles::read(tiny(name)).unwrap()).unwrap();
    let ends = |name: &str| {
        let reader = reader(name);
        let texts = reader
            .end_tokens()
            .iter()
            .map(|&id| reader.tokenizer().decode_all(&[id]));
        texts.collect::<Result<Vec<_>, _>>().unwrap()
    };
    assert_eq!(ends("smollm"), ["<|im_end|>", "<|endoftext|>"]);
    assert_eq!(ends("llama"), ["<|end_of_text|>", "<|eot_id|>"]);
    assert_eq!(ends("gemma3")[1], "<end_of_turn>");
    assert_eq!(reader("qwen2").begin_token(), None);
    let qwen = reader("qwen2");
    let template = qwen.chat_template().unwrap().unwrap();
    let messages = [serde_json::json!({"role": "user", "content": "Hi"})];
    assert_eq!(
        template.render(&messages, None, true).unwrap(),
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn saved_models_are_hugging_face_folders() {
    let device = Device::cpu();
    for name in MODELS {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("saved");
        let model = CausalLm::load(tiny(name), &device).unwrap();
        assert_eq!(model.name(), format!("{name}.gguf"));
        block_on(model.with_save_type(Some(SaveType::Float32)).save(&place)).unwrap();
        for file in [
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "generation_config.json",
        ] {
            assert!(place.join(file).exists(), "{name}: {file}");
        }
        let saved = CausalLm::load(&place, &device).unwrap();
        let expected = fs::read(tiny(name).with_extension("safetensors")).unwrap();
        check_logits(&saved, &Vectors::parse(&expected), "logits", 2e-4, &device);
        let ids = |model: &CausalLm| model.tokenizer().encode("a  b <s>\n\n12").unwrap();
        assert_eq!(ids(&saved), ids(&model));
        assert_eq!(saved.reader().end_tokens(), model.reader().end_tokens());
    }
}

#[test]
fn files_folders_and_parts_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let file = GgufFile::small();
    // By its first bytes, and as the only model of a folder.
    fs::write(path("sha256-abc"), file.bytes()).unwrap();
    ModelFiles::read(path("sha256-abc")).unwrap();
    fs::write(path("model.gguf"), file.bytes()).unwrap();
    fs::write(path("mmproj-model.gguf"), "").unwrap();
    let files = ModelFiles::read(folder.path()).unwrap();
    assert_eq!(files.folder, path("model.gguf"));
    fs::write(path("other.gguf"), file.bytes()).unwrap();
    let error = ModelFiles::read(folder.path()).unwrap_err().report();
    assert!(
        error.contains("2 models in GGUF: give the path of one"),
        "{error}"
    );

    let parts = tempfile::tempdir().unwrap();
    let part = |number: usize| parts.path().join(format!("a-0000{number}-of-00003.gguf"));
    let mut list: Vec<GgufFile> = file
        .tensors
        .chunks(4)
        .map(|tensors| GgufFile {
            tensors: tensors.to_vec(),
            metadata: Vec::new(),
            ..file.clone()
        })
        .collect();
    list[0].metadata = file.metadata.clone();
    for (number, part_of_list) in list.iter_mut().enumerate() {
        part_of_list.set("split.no", Value::U32(number as u32));
        part_of_list.set("split.count", Value::U32(3));
        fs::write(part(number + 1), part_of_list.bytes()).unwrap();
    }
    let whole = values(load(&file).unwrap().parameters()[3].clone());
    for given in [part(1), part(3), parts.path().to_path_buf()] {
        let model = CausalLm::load(given, &Device::cpu()).unwrap();
        assert_eq!(values(model.parameters()[3].clone()), whole);
    }
    let alone = parts.path().join("alone.gguf");
    fs::copy(part(1), &alone).unwrap();
    let error = ModelFiles::read(&alone).unwrap_err().report();
    assert!(error.contains("part 1 of 3"), "{error}");
    fs::remove_file(&alone).unwrap();
    fs::remove_file(part(2)).unwrap();
    let error = ModelFiles::read(part(1)).unwrap_err().report();
    assert!(
        error.contains("a-00002-of-00003.gguf is missing"),
        "{error}"
    );
}

#[test]
fn versions_and_kinds_that_are_not_read_are_named() {
    let changed = |change: &dyn Fn(&mut GgufFile)| {
        let mut file = GgufFile::small();
        change(&mut file);
        report(&file)
    };
    let set = |key: &str, value: Value| {
        changed(&|file| {
            file.set(key, value.clone());
        })
    };
    let mut version_2 = GgufFile::small();
    version_2.version = 2;
    load(&version_2).unwrap();
    for (error, parts) in [
        (
            changed(&|file| file.version = 1),
            "GGUF version 1, which is unsupported",
        ),
        (changed(&|file| file.version = 3 << 24), "big-endian"),
        (changed(&|file| file.version = 4), "expected 2 or 3"),
        (
            set("general.architecture", text("mamba")),
            "mamba in model.gguf; supported: llama, qwen2",
        ),
        (
            set("general.type", text("adapter")),
            "general.type is \"adapter\"",
        ),
        (
            set("llama.block_count", text("1")),
            "llama.block_count is string \"1\": expected a whole number",
        ),
        (
            set("llama.rope.dimension_count", Value::U32(1)),
            "expected the size of heads, 2",
        ),
        (
            set("llama.logit_scale", Value::F32(2.0)),
            "may change what the model computes",
        ),
        (
            set("llama.expert_count", Value::U32(8)),
            "llama.expert_count is uint32 8: unsupported",
        ),
        (
            set("llama.rope.scaling.type", text("odd")),
            "expected none, linear or yarn",
        ),
        (
            set("tokenizer.ggml.model", text("t5")),
            "is \"t5\": expected gpt2, llama or gemma4",
        ),
        (
            set("tokenizer.ggml.pre", text("odd")),
            "is \"odd\", an unknown way to split texts",
        ),
        (
            set(
                "tokenizer.ggml.merges",
                Value::Texts(vec!["a x".to_string()]),
            ),
            "has \"x\", which is no token",
        ),
        (
            set("tokenizer.ggml.token_type", Value::I32s(vec![1])),
            "8 entries, one per token",
        ),
        (
            changed(&|file| file.tensors[3].kind = 16),
            "tensor type iq2_xxs, which is unsupported",
        ),
        (
            changed(&|file| file.tensors[3].kind = 2),
            "rows of 4 values in q4_0: expected a multiple of 32",
        ),
        (
            changed(&|file| file.tensors[3].name = "blk.0.odd.weight".to_string()),
            "blk.0.odd.weight",
        ),
        (
            changed(&|file| drop(file.tensors.pop())),
            "missing 1 tensor",
        ),
    ] {
        assert!(error.contains(parts), "{error}\nexpected: {parts}");
    }
    // Values that turn a computation off.
    let mut file = GgufFile::small();
    file.set("llama.expert_count", Value::U32(0))
        .set("llama.vocab_size", Value::U32(8));
    load(&file).unwrap();
}

/// Names in the folders of `tests/data/tiny` and in GGUF, for the families without a file of their own above.
fn written(folder: &Path, architecture: &str, names: &[(&str, &str)]) -> GgufFile {
    let mut file = GgufFile::small();
    file.metadata
        .retain(|(key, _)| key.starts_with("tokenizer."));
    file.tensors.clear();
    file.set("general.architecture", text(architecture));
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    for (name, view) in SafeTensors::deserialize(&bytes).unwrap().iter() {
        let mut name = name.to_string();
        for (from, to) in names {
            name = name.replace(from, to);
        }
        let (numbers, _) = view.data().as_chunks::<4>();
        let numbers: Vec<f32> = numbers
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect();
        file.tensor(&name, view.shape(), &numbers);
    }
    file
}

/// Replaces tensors by one.
fn replace(file: &mut GgufFile, old: &[&str], new: &[(&str, std::ops::Range<usize>)]) {
    let mut rows = Vec::new();
    let mut width = 4;
    let mut is_vector = false;
    for name in old {
        let place = file
            .tensors
            .iter()
            .position(|tensor| tensor.name == *name)
            .unwrap();
        let tensor = file.tensors.remove(place);
        is_vector = tensor.shape.len() == 1;
        width = if is_vector {
            4
        } else {
            tensor.shape[0] as usize * 4
        };
        rows.extend(tensor.bytes.chunks_exact(width).map(<[u8]>::to_vec));
    }
    for (name, range) in new {
        let bytes = rows[range.clone()].concat();
        let mut shape = vec![(width / 4) as u64, range.len() as u64];
        if is_vector {
            shape.remove(0);
        }
        let name = name.to_string();
        file.tensors.push(gguf_file::Stored {
            name,
            shape,
            kind: 0,
            bytes,
        });
    }
}

fn check_equal(folder: &Path, file: &GgufFile) {
    let device = Device::cpu();
    let (expected, model) = (load_tiny(folder, &device), load(file).unwrap());
    let logits = |model: &CausalLm| {
        let tokens = TensorData::new((0..24).collect::<Vec<i32>>(), [1, 24]);
        values(model.logits(Tensor::<2, Int>::from_data(tokens, device.tensors())))
    };
    assert_eq!(logits(&model), logits(&expected), "{}", folder.display());
}

#[test]
fn openelm_is_put_together_from_its_parts() {
    let folder = data("tiny/openelm");
    let config: Json =
        serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
    let mut file = written(
        &folder,
        "openelm",
        &[
            ("transformer.layers.", "blk."),
            ("transformer.token_embeddings", "token_embd"),
            ("transformer.norm", "output_norm"),
            ("attn.qkv_proj", "attn_qkv"),
            ("attn.q_norm", "attn_q_norm"),
            ("attn.k_norm", "attn_k_norm"),
            ("attn.out_proj", "attn_output"),
            ("ffn.proj_1", "proj_1"),
            ("ffn.proj_2", "ffn_down"),
        ],
    );
    let mut widths = Vec::new();
    for layer in 0..4 {
        let name = format!("blk.{layer}.proj_1.weight");
        let tensor = file
            .tensors
            .iter()
            .find(|tensor| tensor.name == name)
            .unwrap();
        let width = tensor.shape[1] as usize / 2;
        widths.push(width as i32);
        let [gate, up] = ["gate", "up"].map(|part| format!("blk.{layer}.ffn_{part}.weight"));
        replace(
            &mut file,
            &[&name],
            &[(&gate, 0..width), (&up, width..2 * width)],
        );
    }
    let list = |name: &str| {
        let list = config[name].as_array().unwrap().iter();
        Value::I32s(list.map(|number| number.as_i64().unwrap() as i32).collect())
    };
    file.set("openelm.block_count", Value::U32(4))
        .set("openelm.context_length", Value::U32(128))
        .set("openelm.embedding_length", Value::U32(64))
        .set("openelm.feed_forward_length", Value::I32s(widths))
        .set("openelm.attention.head_count", list("num_query_heads"))
        .set("openelm.attention.head_count_kv", list("num_kv_heads"))
        .set("openelm.attention.key_length", Value::U32(16))
        .set("openelm.attention.value_length", Value::U32(16))
        .set("openelm.attention.layer_norm_rms_epsilon", Value::F32(1e-6))
        .set("openelm.rope.freq_base", Value::F32(10_000.0))
        .set("openelm.rope.dimension_count", Value::U32(16));
    check_equal(&folder, &file);
}

#[test]
fn fused_projections_of_phi_are_split() {
    let folder = data("tiny/phi");
    let mut file = written(
        &folder,
        "phi2",
        &[
            ("model.layers.", "blk."),
            ("model.embed_tokens", "token_embd"),
            ("model.final_layernorm", "output_norm"),
            ("lm_head", "output"),
            ("input_layernorm", "attn_norm"),
            ("self_attn.q_proj", "attn_q"),
            ("self_attn.k_proj", "attn_k"),
            ("self_attn.v_proj", "attn_v"),
            ("self_attn.dense", "attn_output"),
            ("mlp.fc1", "ffn_up"),
            ("mlp.fc2", "ffn_down"),
        ],
    );
    for layer in 0..2 {
        for kind in ["weight", "bias"] {
            let old = ["q", "k", "v"].map(|part| format!("blk.{layer}.attn_{part}.{kind}"));
            let old: Vec<&str> = old.iter().map(String::as_str).collect();
            replace(
                &mut file,
                &old,
                &[(&format!("blk.{layer}.attn_qkv.{kind}"), 0..192)],
            );
        }
    }
    file.set("phi2.block_count", Value::U32(2))
        .set("phi2.context_length", Value::U32(128))
        .set("phi2.embedding_length", Value::U32(64))
        .set("phi2.feed_forward_length", Value::U32(256))
        .set("phi2.attention.head_count", Value::U32(4))
        .set("phi2.attention.head_count_kv", Value::U32(4))
        .set("phi2.attention.layer_norm_epsilon", Value::F32(1e-5))
        .set("phi2.rope.dimension_count", Value::U32(8));
    check_equal(&folder, &file);
}

#[test]
fn damaged_files_are_errors() {
    let bytes = GgufFile::small().bytes();
    for end in 0..bytes.len() {
        assert!(of_bytes(bytes[..end].to_vec()).is_err(), "cut at {end}");
    }
    // A cut tensor, a shared place, and values that are not finite.
    let mut file = GgufFile::small();
    file.tensors[0].bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(matches!(
        load(&file).unwrap_err(),
        Error::NonFiniteWeight { .. }
    ));
    let mut file = GgufFile::small();
    let twice = file.tensors[1].clone();
    file.tensors.push(twice);
    assert!(report(&file).contains("output_norm.weight occurs twice"));
    let mut file = GgufFile::small();
    let pair = file.metadata[1].clone();
    file.metadata.push(pair);
    assert!(report(&file).contains("occurs twice"));
    let mut bytes = GgufFile::small().bytes();
    let name = b"blk.0.attn_v.weight";
    let place = bytes
        .windows(name.len())
        .position(|part| part == name)
        .unwrap();
    // After the name: dimensions, two sizes and the type.
    let offset = place + name.len() + 4 + 16 + 4;
    bytes[offset..offset + 8].copy_from_slice(&0_u64.to_le_bytes());
    let error = of_bytes(bytes).unwrap_err().report();
    assert!(error.contains("overlap"), "{error}");
}

#[test]
fn counts_and_sizes_are_bounded_by_the_file() {
    let raw = |kind: u32, count: u64| {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend(count.to_le_bytes());
        Value::Raw(9, bytes)
    };
    for kind in 0..14 {
        for count in [u64::MAX, 1 << 62, u64::from(u32::MAX), 1 << 20] {
            let mut file = GgufFile::small();
            file.set("a.b", raw(kind, count));
            file.metadata.rotate_right(1);
            file.tensors.clear();
            file.metadata.truncate(1);
            assert!(load(&file).is_err(), "{count} values of type {kind}");
        }
    }
    for place in [8, 16] {
        let mut bytes = GgufFile::small().bytes();
        bytes[place..place + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(of_bytes(bytes).is_err());
    }
    // 2⁶² + 1 values have 4 bytes modulo 2⁶⁴.
    for sizes in [
        [u64::MAX, 1],
        [1 << 32, 1 << 32],
        [0, 4],
        [4, 1 << 40],
        [(1 << 62) + 1, 1],
    ] {
        let mut file = GgufFile::small();
        file.tensors[0].shape = sizes.to_vec();
        assert!(load(&file).is_err(), "{sizes:?}");
    }
    for layers in [0, 1 << 31, u32::MAX] {
        let mut file = GgufFile::small();
        file.set("llama.block_count", Value::U32(layers));
        assert!(report(&file).contains("expected 1 to 4096"));
    }
    let mut file = GgufFile::small();
    file.set("llama.rope.freq_base", Value::F32(f32::NAN));
    assert!(report(&file).contains("expected a finite float"));
}
