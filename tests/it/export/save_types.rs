//! The types and files of saved weights.

use std::fs;
use std::path::Path;

use minift::device::Device;
use minift::files::FolderWriter;
use minift::model::{CausalLm, FileBytes, ModelFiles, SaveType};
use pollster::block_on;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::{Scratch, parameter};

/// Returns the types of the tensors in a saved model, and the type in its `config.json`.
fn types(model: &CausalLm) -> (Vec<Dtype>, String) {
    let files = block_on(model.to_files()).unwrap();
    let file = |name: &str| &files.iter().find(|(file, _)| file == name).unwrap().1;
    let weights = SafeTensors::deserialize(file("model.safetensors")).unwrap();
    let mut types: Vec<Dtype> = weights.iter().map(|(_, view)| view.dtype()).collect();
    types.dedup();
    let config: Value = serde_json::from_slice(file("config.json")).unwrap();
    let name = config.get("dtype").or(config.get("torch_dtype")).unwrap();
    (types, name.as_str().unwrap().to_string())
}

#[test]
fn a_saved_model_keeps_its_types() {
    let scratch = Scratch::new();
    let device = Device::cpu();
    for (name, kind) in [("smollm2", Dtype::F32), ("llama_bf16_sharded", Dtype::BF16)] {
        let model = CausalLm::load(scratch.tiny(name), &device).unwrap();
        let expected = match kind {
            Dtype::BF16 => "bfloat16",
            _ => "float32",
        };
        assert_eq!(types(&model), (vec![kind], expected.to_string()), "{name}");
    }
    let model = CausalLm::embedded(&device).unwrap();
    assert_eq!(types(&model), (vec![Dtype::F16], "float16".to_string()));
    for (kind, dtype) in [
        (SaveType::Float32, Dtype::F32),
        (SaveType::Bfloat16, Dtype::BF16),
    ] {
        let model = model.with_save_type(Some(kind));
        assert_eq!(types(&model), (vec![dtype], kind.name().to_string()));
    }
}

#[test]
fn large_weights_are_split_into_files() {
    let scratch = Scratch::new();
    let device = Device::cpu();
    let model = CausalLm::load(scratch.tiny("llama_bf16_sharded"), &device).unwrap();
    let folder = FolderWriter::new(scratch.path("saved"), false).unwrap();
    block_on(model.write_shards(&folder, "", 100_000)).unwrap();
    folder.finish().unwrap();
    let index = fs::read(scratch.path("saved/model.safetensors.index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let elements = model.parameter_count();
    assert_eq!(index["metadata"]["total_size"], 2 * elements);
    let files: std::collections::BTreeSet<&str> = index["weight_map"]
        .as_object()
        .unwrap()
        .values()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert!(files.len() > 1);
    for (number, name) in (1..).zip(&files) {
        let expected = format!("model-{number:05}-of-{:05}.safetensors", files.len());
        assert_eq!(*name, expected);
        let size = fs::metadata(scratch.path("saved").join(name))
            .unwrap()
            .len();
        assert!(size < 110_000, "{size}");
    }
    assert!(!scratch.path("saved/model.safetensors").exists());
    let again = CausalLm::load(scratch.path("saved"), &device).unwrap();
    for spec in model.decoder().parameters() {
        let name = &spec.name;
        assert_eq!(parameter(&again, name), parameter(&model, name), "{name}");
    }
}

/// Returns the embedded model with one weight that float16 does not have.
fn with_large_weight() -> CausalLm {
    let embedded = ModelFiles::embedded();
    let (_, bytes) = &embedded.weights[0];
    let file = SafeTensors::deserialize(bytes).unwrap();
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let mut parameters = model.parameters().clone();
    let specs = model.decoder().parameters();
    let name = "model.layers.2.mlp.up_proj.weight";
    let index = specs.iter().position(|spec| spec.name == name).unwrap();
    assert!(file.tensor(name).is_ok());
    parameters[index] = parameters[index].clone() * 1e6;
    model.with_trainable_values(parameters)
}

#[test]
fn weights_beyond_float16_are_never_saved_as_infinite() {
    let model = with_large_weight();
    let (found, main) = types(&model);
    assert!(found.contains(&Dtype::F32) && found.contains(&Dtype::F16));
    assert_eq!(main, "float16");
    let requested = model.with_save_type(Some(SaveType::Float16));
    let error = block_on(requested.to_files()).unwrap_err().to_string();
    for part in ["save_type", "float16", "model.layers.2.mlp.up_proj.weight"] {
        assert!(error.contains(part), "{error}");
    }
    let files = block_on(model.to_files()).unwrap();
    let files = ModelFiles::collect(Path::new("again").into(), |name| {
        let found = files.iter().find(|(file, _)| file == name);
        Ok(found.map(|(_, bytes)| FileBytes::InMemory(bytes.clone().into())))
    });
    assert!(CausalLm::from_files(files.unwrap(), &Device::cpu()).is_ok());
}
