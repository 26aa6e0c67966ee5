//! Reference values from safetensors files.
#![allow(dead_code, clippy::unwrap_used)] // each test binary uses some of the items

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};

/// Shapes and values of the tensors in a safetensors file, and its metadata.
pub struct Vectors {
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
    pub metadata: BTreeMap<String, String>,
}

impl Vectors {
    pub fn parse(bytes: &[u8]) -> Self {
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        let metadata = header
            .metadata()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect();
        let file = SafeTensors::deserialize(bytes).unwrap();
        let tensors = file
            .iter()
            .map(|(name, view)| {
                let bytes = view.data();
                let values = match view.dtype() {
                    Dtype::F32 => numbers::<4>(bytes, |b| f64::from(f32::from_le_bytes(b))),
                    Dtype::F64 => numbers::<8>(bytes, f64::from_le_bytes),
                    Dtype::I64 => numbers::<8>(bytes, |b| i64::from_le_bytes(b) as f64),
                    Dtype::I32 => numbers::<4>(bytes, |b| f64::from(i32::from_le_bytes(b))),
                    other => panic!("{name} has unsupported type {other:?}"),
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
            .unwrap_or_else(|| panic!("no tensor {name}"))
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
            .unwrap_or_else(|| panic!("no tensor {name}"))
            .0
    }
}

fn numbers<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes
        .chunks_exact(N)
        .map(|chunk| read(chunk.try_into().unwrap()))
        .collect()
}
