//! Compute kernels, in WGSL for GPUs and in Rust for the CPU: operations that make one pass over memory
//! where burn's tensor operations make many.
//!
//! Each operation has a folder: the operation on tensors and its backend trait in `mod.rs` (or
//! `backend.rs`), the CPU kernel in `cpu.rs`, the WGSL launch in `wgsl.rs`, the gradient in `autodiff.rs`,
//! and the same computation in tensor operations, which the tests compare with, in `reference.rs`. A new
//! kernel has its folder here and in `shaders/`, and a line in [`kernels`].

pub(crate) mod adamw;
pub mod attention;
pub mod delta_rule;
pub mod distillation;
pub(crate) mod gemm;
mod gradients;
pub(crate) mod half;
pub mod launch;
pub(crate) mod look_up;
pub mod low_rank;
pub mod matmul;
pub mod packed;
pub(crate) mod profile;
pub mod rms_norm;
pub mod rotary;
pub mod short_conv;
pub mod silu_gate;
pub mod soft_cap;
pub(crate) mod vector;

use burn::backend::flex::FlexTensor;
use burn::tensor::{Device, Shape, TensorData};

use launch::{Shader, Specialized};

/// How an operation is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impl {
    /// As one kernel, where there is one for it.
    Fused,
    /// As a sequence of burn's tensor operations.
    Composed,
}

/// Returns every kernel, in every specialization that differs in more than a size.
pub(crate) fn kernels() -> Vec<Specialized> {
    [
        adamw::kernels(),
        attention::kernels(),
        delta_rule::kernels(),
        distillation::kernels(),
        half::kernels(),
        matmul::kernels(),
        packed::kernels(),
        rms_norm::kernels(),
        rotary::kernels(),
        short_conv::kernels(),
        silu_gate::kernels(),
        soft_cap::kernels(),
    ]
    .concat()
}

/// Returns the complete WGSL text of every kernel.
pub fn shaders() -> Vec<Shader> {
    kernels().into_iter().map(Shader::from).collect()
}

/// Returns whether a device is the CPU.
pub(crate) fn is_cpu(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}

/// Elements per task of an element-wise CPU kernel.
const ELEMENTS_PER_TASK: usize = 1 << 15;

/// Returns a CPU tensor of these values.
fn flex_tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// Returns the tensor with contiguous elements, without another handle to its memory.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    let contiguous = tensor.to_contiguous();
    drop(tensor);
    contiguous
}

/// Converts a size to WGSL's type.
fn wgsl_size(size: usize) -> u32 {
    u32::try_from(size).expect("a batch's tensor has fewer than 2^32 elements")
}
