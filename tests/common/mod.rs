//! What the integration tests share: devices, test data, comparisons.
#![allow(dead_code, clippy::unwrap_used)]

mod vectors;

use std::path::PathBuf;
use std::sync::OnceLock;

use burn::tensor::{Int, Tensor, TensorData};
use minift::data::Sample;
use minift::device::{Device, DeviceChoice};
use minift::model::CausalLm;
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
