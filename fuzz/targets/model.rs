//! Model configurations, weights, and indexes of sharded weights.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burn::tensor::{Int, Tensor, TensorData};
use minift::internals::Decoder;
use minift::model::{CausalLm, FileBytes, Mixer, ModelConfig, ModelFiles};
use pollster::block_on;
use safetensors::Dtype;
use serde_json::Value;

use super::check_error;
use super::small_model::{CONFIG, FOLDER, TOKENIZER, cpu, files, weights as small_weights};

/// Reads `config.json`. An accepted configuration serializes unchanged, has tensor sizes whose
/// product does not overflow, and builds a model only if the weights have those sizes.
pub fn config(data: &[u8]) -> bool {
    let path = Path::new("config.json");
    let config = match ModelConfig::parse(data, path) {
        Ok(config) => config,
        Err(error) => {
            check_error(&error, data.len());
            return false;
        }
    };
    let decoder = &config.decoder;
    let written = serde_json::to_vec(&config.to_json()).unwrap();
    let again = ModelConfig::parse(&written, path).expect("serialized output can be read");
    assert_eq!(again.decoder, *decoder, "round trip");
    for layer in &decoder.layers {
        match &layer.mixer {
            Mixer::Attention(attention) => {
                assert!(attention.scale.is_finite());
                assert!(attention.heads >= attention.num_kv_heads && attention.window >= 1);
            }
            Mixer::ShortConv(conv) => assert!(conv.taps >= 1),
            Mixer::GatedDelta(delta) => {
                assert!(delta.heads >= delta.key_heads && delta.taps >= 1);
            }
        }
    }
    let specs = Decoder::new(decoder.clone());
    let specs = specs.parameters();
    let names: BTreeSet<&str> = specs.iter().map(|spec| &*spec.name).collect();
    assert_eq!(names.len(), specs.len(), "tensor names are unique");
    for spec in specs {
        let sizes = spec
            .shape
            .iter()
            .try_fold(1_usize, |all, &size| all.checked_mul(size));
        assert!(sizes.is_some_and(|all| all > 0), "{spec:?}");
    }
    // The weights are checked against the configured sizes before anything is allocated.
    let weights = small_weights(Dtype::F32);
    let found = files(data, TOKENIZER.as_bytes(), &weights);
    match CausalLm::from_files(found.unwrap(), cpu()) {
        Ok(model) => {
            let tokens = TensorData::new(vec![0, 1, 2], [1, 3]);
            let tokens = Tensor::<2, Int>::from_data(tokens, cpu().tensors());
            assert_eq!(model.logits(tokens).dims()[..2], [1, 3]);
        }
        Err(error) => check_error(&error, data.len()),
    }
    true
}

/// Reads `model.safetensors` of the small model. Accepted weights are finite and serialize
/// unchanged.
pub fn weights(data: &[u8]) -> bool {
    let load = |weights: &[u8]| {
        let files = files(CONFIG.as_bytes(), TOKENIZER.as_bytes(), weights);
        CausalLm::from_files(files.unwrap(), cpu())
    };
    match load(data) {
        Ok(model) => {
            let checked = ModelFiles::check(Path::new(FOLDER), "model.safetensors", data);
            assert!(
                checked.is_ok(),
                "accepted weights pass the check of single files"
            );
            let written = weights_of(&model);
            let values = safetensors::SafeTensors::deserialize(&written).unwrap();
            for (name, view) in values.iter() {
                let (numbers, rest) = view.data().as_chunks::<4>();
                assert!(rest.is_empty());
                let mut numbers = numbers.iter().map(|&bytes| f32::from_le_bytes(bytes));
                assert!(numbers.all(f32::is_finite), "{name}");
            }
            let again = weights_of(&load(&written).unwrap());
            assert!(again == written, "round trip");
            true
        }
        Err(error) => {
            check_error(&error, data.len());
            false
        }
    }
}

fn weights_of(model: &CausalLm) -> Vec<u8> {
    let files = block_on(model.to_files()).unwrap();
    let found = files
        .into_iter()
        .find(|(name, _)| name == "model.safetensors");
    found.unwrap().1
}

/// Weights in every type, and files whose header exceeds their size.
pub fn weights_seeds() -> Vec<Vec<u8>> {
    let file = |header: &str, data: &[u8]| {
        [
            &(header.len() as u64).to_le_bytes(),
            header.as_bytes(),
            data,
        ]
        .concat()
    };
    let tensor = |shape: &str, end: &str| {
        let header = format!(
            r#"{{"model.norm.weight":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#
        );
        file(&header, &[0; 16])
    };
    let kinds = [Dtype::F32, Dtype::F16, Dtype::BF16];
    let mut seeds: Vec<Vec<u8>> = kinds.into_iter().map(small_weights).collect();
    let mut infinite = seeds[0].clone();
    let end = infinite.len();
    infinite[end - size_of::<f32>()..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    seeds.push(infinite);
    seeds.extend([
        tensor("[4]", "16"),
        tensor("[4294967296,4294967296]", "16"),
        tensor("[0,18446744073709551615]", "0"),
        tensor("[4]", "18446744073709551615"),
        file("{}", &[]),
        u64::MAX.to_le_bytes().to_vec(),
    ]);
    seeds
}

/// Reads `model.safetensors.index.json`. Only plain file names in the folder are requested, and an
/// accepted index reads exactly the files that it names.
pub fn index(data: &[u8]) -> bool {
    const INDEX: &str = "model.safetensors.index.json";
    let mut requested = Vec::new();
    let found = ModelFiles::collect(PathBuf::from(FOLDER), |name| {
        requested.push(name.to_string());
        let bytes = match name {
            INDEX => data,
            // Not the unsharded weights; an index may still name a shard so.
            "model.safetensors" if requested.len() < 3 => return Ok(None),
            _ => b"{}",
        };
        Ok(Some(FileBytes::InMemory(bytes.to_vec().into())))
    });
    for name in &requested {
        let escapes = |byte: char| matches!(byte, '/' | '\\' | ':' | '\0') || byte.is_control();
        assert!(
            !name.is_empty() && !name.starts_with('.') && !name.contains(escapes),
            "{name:?}"
        );
    }
    let checked = ModelFiles::check(Path::new(FOLDER), INDEX, data);
    match found {
        Ok(files) => {
            assert!(checked.is_ok());
            // Strings that are not used may be invalid.
            if let Ok(json) = serde_json::from_slice::<Value>(data) {
                let map = json["weight_map"].as_object().unwrap().values();
                let named: BTreeSet<&str> = map.map(|name| name.as_str().unwrap()).collect();
                let read: BTreeSet<&str> = files.weights.iter().map(|(name, _)| &**name).collect();
                assert_eq!(read, named);
            }
            // These shards are not valid weights.
            let model = CausalLm::from_files(files, cpu());
            check_error(&model.err().unwrap(), data.len());
            true
        }
        Err(error) => {
            assert!(
                checked.is_err(),
                "every file exists, so only a rejected index fails"
            );
            check_error(&error, data.len());
            false
        }
    }
}
