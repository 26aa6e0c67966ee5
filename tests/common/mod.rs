//! Shared helpers of the integration tests: devices, test data, comparisons.
#![allow(dead_code, clippy::unwrap_used)]

pub mod application;
mod vectors;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, OnceLock};

use burn::tensor::{Int, Tensor, TensorData};
use minift::demo;
use minift::device::{Device, DeviceChoice};
use minift::model::{CausalLm, FileBytes, ModelFiles};
use minift::text::{Preparation, Sample};
use minift::train::{Run, RunData, TrainSettings};
pub use vectors::Vectors;

/// Loads the reference values of a file in `tests/data`.
pub fn vectors(name: &str) -> Vectors {
    Vectors::parse(&std::fs::read(data(name)).unwrap())
}

/// Returns the GPU adapter, hardware or software, opened once per process. Tests fail without one.
pub fn gpu() -> Device {
    static GPU: OnceLock<Device> = OnceLock::new();
    GPU.get_or_init(|| {
        pollster::block_on(Device::open(DeviceChoice::Gpu))
            .expect("the tests require a GPU adapter: ./test.sh installs a software adapter")
    })
    .clone()
}

/// Returns the CPU and the GPU adapter.
pub fn devices() -> [Device; 2] {
    [Device::cpu(), gpu()]
}

/// Runs a command with `input` on its standard input.
pub fn output_for_input(command: &mut Command, input: &[u8]) -> Output {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = pipes.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).unwrap();
    // The end of the input.
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// Returns the path of a file in `tests/data`.
pub fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// Returns the sorted entries of a folder.
pub fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// The random models have no tokenizer; this one has two words.
pub const TOKENIZER: &str = r#"{"version": "1.0", "added_tokens": [], "normalizer": null,
    "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
    "truncation": null, "padding": null,
    "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}}"#;

/// Loads a random model with that tokenizer.
pub fn load_tiny(folder: &Path, device: &Device) -> CausalLm {
    let files = ModelFiles::collect(folder.to_path_buf(), |name| {
        let bytes = match name {
            "tokenizer.json" => Some(TOKENIZER.as_bytes().to_vec()),
            _ => std::fs::read(folder.join(name)).ok(),
        };
        Ok(bytes.map(|bytes| FileBytes::InMemory(bytes.into())))
    });
    CausalLm::from_files(files.unwrap(), device).unwrap()
}

/// Returns the samples of a step of `training.safetensors`.
pub fn samples_of_step(file: &Vectors, step: usize) -> Vec<Sample> {
    let [_, batch, length] = file.shape("input_ids").try_into().unwrap();
    let ids = file.i32("input_ids");
    ids[step * batch * length..(step + 1) * batch * length]
        .chunks(length)
        .map(|ids| ids.iter().map(|&id| id as u32).collect())
        .collect()
}

/// Checks the logits of a model for the inputs of a reference file.
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

/// Returns the largest absolute difference.
pub fn largest_error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "number of values");
    found
        .iter()
        .zip(expected)
        .map(|(&found, &expected)| (f64::from(found) - expected).abs())
        .fold(
            0.0,
            |largest, error| if error <= largest { largest } else { error },
        )
}

/// Returns the largest absolute value.
pub fn largest(values: &[f64]) -> f64 {
    values
        .iter()
        .fold(0.0, |largest, value| value.abs().max(largest))
}

/// Tokenizes the given numbers of embedded training tickets, held-out tickets and tales, each cut
/// to `length` tokens.
pub fn run_data(model: &CausalLm, length: usize, [train, domain, general]: [usize; 3]) -> RunData {
    let samples = |texts: &[String]| {
        if texts.is_empty() {
            return Vec::new();
        }
        let read = model
            .reader()
            .samples_of_texts(texts, &Preparation::to_length(length), "test");
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

/// Creates a run of the embedded model: eight steps on samples of `length` tokens.
pub fn short_run(device: &Device, length: usize) -> Run {
    let model = CausalLm::embedded(device).unwrap();
    let data = run_data(&model, length, [16, 2, 2]);
    let settings = TrainSettings::default().with_epochs(2.0).with_batch_size(4);
    Run::new(model, Arc::new(data), settings).unwrap()
}

/// Writes train.txt, held.txt and general.txt for runs of the command line to a folder.
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

/// Returns the sorted names of the entries of a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Writes the first tickets to `tickets.jsonl` in a folder.
pub fn write_tickets(folder: &Path, count: usize) {
    let tickets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tickets.jsonl");
    let tickets = std::fs::read_to_string(tickets).unwrap();
    let few: Vec<&str> = tickets.lines().take(count).collect();
    std::fs::write(folder.join("tickets.jsonl"), few.join("\n")).unwrap();
}
