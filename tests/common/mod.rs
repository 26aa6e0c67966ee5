//! What the integration tests share: devices, test data, comparisons.
#![allow(dead_code, clippy::unwrap_used)]

pub mod application;
mod vectors;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use burn::tensor::{Int, Tensor, TensorData};
use minift::data::{Sample, Samples};
use minift::demo;
use minift::device::{Device, DeviceChoice};
use minift::model::CausalLm;
use minift::train::{Run, RunData, TrainSettings};
pub use vectors::Vectors;

/// Reference values of `tests/data`.
pub fn vectors(name: &str) -> Vectors {
    Vectors::parse(&std::fs::read(data(name)).unwrap())
}

/// The GPU adapter, hardware or software, opened once a process. Without one the tests fail.
pub fn gpu() -> Device {
    static GPU: OnceLock<Device> = OnceLock::new();
    GPU.get_or_init(|| {
        pollster::block_on(Device::open(DeviceChoice::Gpu))
            .expect("the tests need a GPU adapter: ./test.sh installs a software one")
    })
    .clone()
}

/// CPU and GPU adapter.
pub fn devices() -> [Device; 2] {
    [Device::cpu(), gpu()]
}

/// A file of `tests/data`.
pub fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// Token ids that a step of `training.safetensors` is trained on.
pub fn samples_of_step(file: &Vectors, step: usize) -> Vec<Sample> {
    let [_, batch, length] = file.shape("input_ids").try_into().unwrap();
    let ids = file.i32("input_ids");
    ids[step * batch * length..(step + 1) * batch * length]
        .chunks(length)
        .map(|ids| ids.iter().map(|&id| id as u32).collect())
        .collect()
}

/// Fails where a model's logits for the file's first token ids are not those of that name.
pub fn check_logits(
    model: &CausalLm,
    file: &Vectors,
    expected: &str,
    tolerance: f64,
    device: &Device,
) {
    let [rows, length, _] = file.shape(expected).try_into().unwrap();
    let ids = file.i32("input_ids")[..rows * length].to_vec();
    let tokens =
        Tensor::<2, Int>::from_data(TensorData::new(ids, [rows, length]), device.tensors());
    let error = largest_error(&values(model.logits(tokens)), file.f64(expected));
    assert!(
        error <= tolerance,
        "{expected} on {}: off by {error:e}",
        device.name()
    );
}

pub fn matrix(values: &[f32], shape: [usize; 2], device: &burn::tensor::Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

pub fn labels(values: &[i32], device: &burn::tensor::Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Largest difference.
pub fn largest_error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "as many values");
    found
        .iter()
        .zip(expected)
        .map(|(&found, &expected)| (f64::from(found) - expected).abs())
        .fold(
            0.0,
            |largest, error| if error <= largest { largest } else { error },
        )
}

/// Largest absolute value.
pub fn largest(values: &[f64]) -> f64 {
    values
        .iter()
        .fold(0.0, |largest, value| value.abs().max(largest))
}

/// The embedded texts as samples of at most so many tokens: so many tickets to train on, and so many
/// tickets and tales to measure by.
pub fn run_data(model: &CausalLm, length: usize, [train, domain, general]: [usize; 3]) -> RunData {
    let samples = |texts: &[String]| {
        let read = Samples::tokenize(texts, model.tokenizer(), length, "test");
        read.unwrap().samples
    };
    let (tickets, tales) = (demo::tickets().unwrap(), demo::tales().unwrap());
    RunData {
        train: samples(&tickets[..train]),
        domain: samples(&tickets[500..500 + domain]),
        general: samples(&tales[..general]),
        ..RunData::default()
    }
}

/// A run of the embedded model, of eight steps, on samples of so many tokens.
pub fn short_run(device: &Device, length: usize) -> Run {
    let model = CausalLm::embedded(device).unwrap();
    let data = run_data(&model, length, [16, 2, 2]);
    let settings = TrainSettings {
        epochs: 2,
        batch_size: 4,
        ..TrainSettings::default()
    };
    Run::new(model, Arc::new(data), settings).unwrap()
}

/// Puts texts for the program to train on and to measure by into a folder: train.txt, held.txt and
/// general.txt.
pub fn write_texts(folder: &Path) {
    let (tickets, tales) = (demo::tickets().unwrap(), demo::tales().unwrap());
    let texts = [
        ("train.txt", &tickets[..12]),
        ("held.txt", &tickets[500..504]),
        ("general.txt", &tales[..8]),
    ];
    for (name, texts) in texts {
        std::fs::write(folder.join(name), texts.join("\n\n")).unwrap();
    }
}

/// Names of what is in a folder, in their order.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
