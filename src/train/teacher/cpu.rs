//! Float16 numbers on the CPU.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::backend::HalvesBackend;
use super::host;

impl HalvesBackend for Flex {
    fn to_halves(tensor: FlexTensor) -> FlexTensor {
        let tensor = tensor.to_contiguous();
        let values: &[f32] = tensor.storage();
        let mut words = vec![0_i32; values.len().div_ceil(2)];
        let halves: &mut [f16] = bytemuck::cast_slice_mut(&mut words);
        host::to_halves(values, &mut halves[..values.len()]);
        let length = words.len();
        FlexTensor::from_data(TensorData::new(words, [length]))
    }

    fn from_halves(halves: FlexTensor, rows: usize, columns: usize) -> FlexTensor {
        let halves = halves.to_contiguous();
        let halves: &[f16] = bytemuck::cast_slice(halves.storage::<i32>());
        let mut values = vec![0.0_f32; rows * columns];
        halves[..rows * columns].convert_to_f32_slice(&mut values);
        FlexTensor::from_data(TensorData::new(values, [rows, columns]))
    }
}
