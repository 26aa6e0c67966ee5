//! Float16 storage on the CPU; see `shaders/half/`.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::backend::HalfBackend;
use crate::kernels::profile::{self, Operation, Work};

impl HalfBackend for Flex {
    fn pack(tensor: FlexTensor) -> FlexTensor {
        let tensor = tensor.to_contiguous();
        let values: &[f32] = tensor.storage();
        let mut words = vec![0_i32; values.len().div_ceil(2)];
        let moved = values.len() + words.len();
        let _span = profile::operation(Operation::Conversion, || Work::moving(moved));
        let halves: &mut [f16] = bytemuck::cast_slice_mut(&mut words);
        to_halves(values, &mut halves[..values.len()]);
        let length = words.len();
        FlexTensor::from_data(TensorData::new(words, [length]))
    }

    fn unpack(packed: FlexTensor, rows: usize, columns: usize) -> FlexTensor {
        let packed = packed.to_contiguous();
        let halves: &[f16] = bytemuck::cast_slice(packed.storage::<i32>());
        let mut values = vec![0.0_f32; rows * columns];
        let moved = values.len() + values.len() / 2;
        let _span = profile::operation(Operation::Conversion, || Work::moving(moved));
        halves[..rows * columns].convert_to_f32_slice(&mut values);
        FlexTensor::from_data(TensorData::new(values, [rows, columns]))
    }
}

/// Rounds values to float16. Values out of range are clamped to the largest float16.
pub(crate) fn to_halves(values: &[f32], halves: &mut [f16]) {
    let largest = f16::MAX.to_f32();
    let clamped: Vec<f32> = values
        .iter()
        .map(|value| value.clamp(-largest, largest))
        .collect();
    halves.convert_from_f32_slice(&clamped);
}
