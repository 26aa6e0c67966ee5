//! Encoding of teacher hidden states in host memory and in files: little-endian, row-major.

use burn::tensor::{Device, Tensor, TensorData};
use half::f16;

use super::KeptStates;
use crate::kernels::half::to_halves;

impl KeptStates {
    /// Encodes values as bytes.
    pub(super) fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::Float32 => values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            Self::Float16 => {
                let mut halves = vec![f16::ZERO; values.len()];
                to_halves(values, &mut halves);
                halves.iter().flat_map(|half| half.to_le_bytes()).collect()
            }
        }
    }

    /// Decodes bytes to a tensor \[rows, width\].
    pub(super) fn decode(self, bytes: &[u8], width: usize, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = match self {
            Self::Float32 => {
                let fours = bytes.as_chunks().0.iter();
                fours.map(|&four| f32::from_le_bytes(four)).collect()
            }
            Self::Float16 => {
                let pairs = bytes.as_chunks().0.iter();
                pairs
                    .map(|&pair| f16::from_le_bytes(pair).to_f32())
                    .collect()
            }
        };
        let rows = values.len() / width;
        Tensor::from_data(TensorData::new(values, [rows, width]), device)
    }
}
