//! A model's configuration, its weights, and the index of weights in parts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burn::tensor::{Int, Tensor, TensorData};
use minift::model::{CausalLm, Decoder, FileBytes, ModelConfig, ModelFiles};
use pollster::block_on;
use safetensors::Dtype;
use serde_json::Value;

use super::is_told;
use super::small_model::{CONFIG, FOLDER, TOKENIZER, cpu, files, weights as small_weights};

/// Reads bytes as `config.json`. What is accepted is written as it is read, its sizes are small enough
/// to be multiplied, and a model is made of it only where the weights are of those sizes.
pub fn config(data: &[u8]) -> bool {
    let path = Path::new("config.json");
    let config = match ModelConfig::parse(data, path) {
        Ok(config) => config,
        Err(error) => {
            is_told(&error, data.len());
            return false;
        }
    };
    let decoder = &config.decoder;
    let written = serde_json::to_vec(&config.to_json()).unwrap();
    let again = ModelConfig::parse(&written, path).expect("what is written can be read");
    assert_eq!(again.decoder, *decoder, "written and read again");
    for layer in &decoder.layers {
        assert!(layer.attention_scale.is_finite());
        assert!(layer.heads >= layer.key_heads && layer.window >= 1);
    }
    let specs = Decoder::new(decoder.clone());
    let specs = specs.parameters();
    let names: BTreeSet<&str> = specs.iter().map(|spec| &*spec.name).collect();
    assert_eq!(names.len(), specs.len(), "every tensor has its own name");
    for spec in specs {
        let sizes = spec
            .shape
            .iter()
            .try_fold(1_usize, |all, &size| all.checked_mul(size));
        assert!(sizes.is_some_and(|all| all > 0), "{spec:?}");
    }
    // However large it says that it is, the weights are looked at before anything is made of it.
    let weights = small_weights(Dtype::F32);
    let found = files(data, TOKENIZER.as_bytes(), &weights);
    match CausalLm::from_files(found.unwrap(), cpu()) {
        Ok(model) => {
            let tokens = TensorData::new(vec![0, 1, 2], [1, 3]);
            let tokens = Tensor::<2, Int>::from_data(tokens, cpu().tensors());
            assert_eq!(model.logits(tokens).dims()[..2], [1, 3]);
        }
        Err(error) => is_told(&error, data.len()),
    }
    true
}

/// Reads bytes as `model.safetensors` of the small model. What is accepted is finite, and written as it
/// is read.
pub fn weights(data: &[u8]) -> bool {
    let load = |weights: &[u8]| {
        let files = files(CONFIG.as_bytes(), TOKENIZER.as_bytes(), weights);
        CausalLm::from_files(files.unwrap(), cpu())
    };
    match load(data) {
        Ok(model) => {
            let checked = ModelFiles::check(Path::new(FOLDER), "model.safetensors", data);
            assert!(checked.is_ok(), "what makes a model is a file of weights");
            let written = weights_of(&model);
            let values = safetensors::SafeTensors::deserialize(&written).unwrap();
            for (name, view) in values.iter() {
                let (numbers, rest) = view.data().as_chunks::<4>();
                assert!(rest.is_empty());
                let mut numbers = numbers.iter().map(|&bytes| f32::from_le_bytes(bytes));
                assert!(numbers.all(f32::is_finite), "{name}");
            }
            let again = weights_of(&load(&written).unwrap());
            assert!(again == written, "written and read again");
            true
        }
        Err(error) => {
            is_told(&error, data.len());
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

/// Weights in every type, and files that say they are larger than they are.
pub fn seeds_of_weights() -> Vec<Vec<u8>> {
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

/// Reads bytes as `model.safetensors.index.json`. Whatever it names, no file is asked for that is not
/// plainly in the folder, and what is accepted is what it names.
pub fn index(data: &[u8]) -> bool {
    const INDEX: &str = "model.safetensors.index.json";
    let mut asked = Vec::new();
    let found = ModelFiles::collect(PathBuf::from(FOLDER), |name| {
        asked.push(name.to_string());
        let bytes = match name {
            INDEX => data,
            // Not as a whole, but an index may call a part so.
            "model.safetensors" if asked.len() < 3 => return Ok(None),
            _ => b"{}",
        };
        Ok(Some(FileBytes::InMemory(bytes.to_vec().into())))
    });
    for name in &asked {
        let leads_out = |byte: char| matches!(byte, '/' | '\\' | ':' | '\0') || byte.is_control();
        assert!(
            !name.is_empty() && !name.starts_with('.') && !name.contains(leads_out),
            "{name:?}"
        );
    }
    let checked = ModelFiles::check(Path::new(FOLDER), INDEX, data);
    match found {
        Ok(files) => {
            assert!(checked.is_ok());
            // Strings that nobody looks at may be damaged.
            if let Ok(json) = serde_json::from_slice::<Value>(data) {
                let map = json["weight_map"].as_object().unwrap().values();
                let named: BTreeSet<&str> = map.map(|name| name.as_str().unwrap()).collect();
                let read: BTreeSet<&str> = files.weights.iter().map(|(name, _)| &**name).collect();
                assert_eq!(read, named);
            }
            // Such parts are no weights, which is told.
            let model = CausalLm::from_files(files, cpu());
            is_told(&model.err().unwrap(), data.len());
            true
        }
        Err(error) => {
            assert!(
                checked.is_err(),
                "all that it names is there, but for what is refused"
            );
            is_told(&error, data.len());
            false
        }
    }
}
