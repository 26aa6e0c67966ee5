//! What the integration tests share: devices, test data, comparisons.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use burn::tensor::{Int, Tensor, TensorData};
use minift::device::{Device, DeviceChoice};
use safetensors::{Dtype, SafeTensors};

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

/// Tensors of a safetensors file as `f32`, with shapes and metadata.
pub struct Vectors {
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
    pub metadata: BTreeMap<String, String>,
}

impl Vectors {
    pub fn read(name: &str) -> Self {
        let bytes = std::fs::read(data(name)).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header
            .metadata()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file
            .iter()
            .map(|(name, view)| {
                let bytes = view.data();
                let values = match view.dtype() {
                    Dtype::F32 => numbers::<4>(bytes, |b| f64::from(f32::from_le_bytes(b))),
                    Dtype::F64 => numbers::<8>(bytes, f64::from_le_bytes),
                    Dtype::I64 => numbers::<8>(bytes, |b| i64::from_le_bytes(b) as f64),
                    Dtype::I32 => numbers::<4>(bytes, |b| f64::from(i32::from_le_bytes(b))),
                    other => panic!("{name} is {other:?}"),
                };
                (name.to_string(), (view.shape().to_vec(), values))
            })
            .collect();
        Self { tensors, metadata }
    }

    pub fn f64(&self, name: &str) -> &[f64] {
        &self
            .tensors
            .get(name)
            .unwrap_or_else(|| panic!("no {name}"))
            .1
    }

    pub fn f32(&self, name: &str) -> Vec<f32> {
        self.f64(name).iter().map(|&x| x as f32).collect()
    }

    pub fn i32(&self, name: &str) -> Vec<i32> {
        self.f64(name).iter().map(|&x| x as i32).collect()
    }

    pub fn shape(&self, name: &str) -> &[usize] {
        &self
            .tensors
            .get(name)
            .unwrap_or_else(|| panic!("no {name}"))
            .0
    }
}

fn numbers<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes
        .chunks_exact(N)
        .map(|chunk| read(chunk.try_into().unwrap()))
        .collect()
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
