//! A model of a few hundred weights, to load files into and to train.

use std::path::PathBuf;
use std::sync::OnceLock;

use minift::device::Device;
use minift::internals::Decoder;
use minift::model::{CausalLm, FileBytes, ModelConfig, ModelFiles};
use safetensors::{Dtype, serialize, tensor::TensorView};

pub const CONFIG: &str = include_str!("../seeds/model_config/llama_small.json");
pub const TOKENIZER: &str = include_str!("../seeds/tokenizer/words_small.json");
pub const FOLDER: &str = "model";

/// The CPU device, opened once.
pub fn cpu() -> &'static Device {
    static CPU: OnceLock<Device> = OnceLock::new();
    CPU.get_or_init(Device::cpu)
}

/// Returns small distinct values.
fn numbers(count: usize, salt: usize) -> Vec<f32> {
    let number = |index: usize| ((index * 37 + salt * 101) % 113) as f32 / 113.0 - 0.5;
    (0..count).map(number).collect()
}

/// Returns its weights in a data type.
pub fn weights(dtype: Dtype) -> Vec<u8> {
    let config = ModelConfig::parse(CONFIG.as_bytes(), &PathBuf::from("config.json")).unwrap();
    let decoder = Decoder::new(config.decoder);
    let specs = decoder.parameters().iter().enumerate();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = specs
        .map(|(salt, spec)| {
            let values = numbers(spec.elements(), salt).into_iter();
            let bytes = match dtype {
                Dtype::F16 => values
                    .flat_map(|value| half::f16::from_f32(value).to_le_bytes())
                    .collect(),
                Dtype::BF16 => values
                    .flat_map(|value| half::bf16::from_f32(value).to_le_bytes())
                    .collect(),
                _ => values.flat_map(f32::to_le_bytes).collect(),
            };
            (spec.name.clone(), spec.shape.clone(), bytes)
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    serialize(views, None).unwrap()
}

/// Returns model files in memory.
pub fn files(config: &[u8], tokenizer: &[u8], weights: &[u8]) -> minift::Result<ModelFiles> {
    ModelFiles::collect(PathBuf::from(FOLDER), |name| {
        let bytes = match name {
            "config.json" => config,
            "tokenizer.json" => tokenizer,
            "model.safetensors" => weights,
            _ => return Ok(None),
        };
        Ok(Some(FileBytes::InMemory(bytes.to_vec().into())))
    })
}

/// The model on the CPU, loaded once.
pub fn model() -> &'static CausalLm {
    static MODEL: OnceLock<CausalLm> = OnceLock::new();
    MODEL.get_or_init(|| {
        let weights = weights(Dtype::F32);
        let files = files(CONFIG.as_bytes(), TOKENIZER.as_bytes(), &weights);
        CausalLm::from_files(files.unwrap(), cpu()).unwrap()
    })
}
