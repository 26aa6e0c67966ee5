//! The gated linear unit on the CPU; mirrors `forward.wgsl` and `backward.wgsl` of `shaders/silu_gate/`.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::DType;
use multiversion::multiversion;
use rayon::prelude::*;

use super::SiluGateBackend;
use crate::kernels::ELEMENTS_PER_TASK;
use crate::kernels::profile::{self, Operation, Work};
use crate::kernels::vector::sigmoid;

impl SiluGateBackend for Flex {
    fn silu_gate(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        let values = || 3 * gate.shape().num_elements();
        let _span = profile::operation(Operation::Gate, || Work::moving(values()));
        let (gate, up) = (gate.to_contiguous(), up.to_contiguous());
        let mut out = FlexTensor::empty(gate.shape(), DType::F32);
        silu_gate(gate.storage(), up.storage(), out.storage_mut());
        out
    }

    fn silu_gate_backward(
        gate: FlexTensor,
        up: FlexTensor,
        upstream: FlexTensor,
    ) -> (FlexTensor, FlexTensor) {
        let values = || 5 * gate.shape().num_elements();
        let _span = profile::operation(Operation::Gate, || Work::moving(values()));
        let (gate, up, upstream) = (
            gate.to_contiguous(),
            up.to_contiguous(),
            upstream.to_contiguous(),
        );
        let mut grad_gate = FlexTensor::empty(gate.shape(), DType::F32);
        let mut grad_up = FlexTensor::empty(gate.shape(), DType::F32);
        silu_gate_backward(
            gate.storage(),
            up.storage(),
            upstream.storage(),
            grad_gate.storage_mut(),
            grad_up.storage_mut(),
        );
        (grad_gate, grad_up)
    }
}

/// `out = silu(gate) · up`.
fn silu_gate(gate: &[f32], up: &[f32], out: &mut [f32]) {
    (
        gate.par_chunks(ELEMENTS_PER_TASK),
        up.par_chunks(ELEMENTS_PER_TASK),
        out.par_chunks_mut(ELEMENTS_PER_TASK),
    )
        .into_par_iter()
        .for_each(|(gate, up, out)| silu_gate_block(gate, up, out));
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn silu_gate_block(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
        *out = gate * sigmoid(gate) * up;
    }
}

/// Gradients of [`silu_gate`] with respect to gate and up.
fn silu_gate_backward(
    gate: &[f32],
    up: &[f32],
    upstream: &[f32],
    grad_gate: &mut [f32],
    grad_up: &mut [f32],
) {
    (
        gate.par_chunks(ELEMENTS_PER_TASK),
        up.par_chunks(ELEMENTS_PER_TASK),
        upstream.par_chunks(ELEMENTS_PER_TASK),
        grad_gate.par_chunks_mut(ELEMENTS_PER_TASK),
        grad_up.par_chunks_mut(ELEMENTS_PER_TASK),
    )
        .into_par_iter()
        .for_each(|(gate, up, upstream, grad_gate, grad_up)| {
            silu_gate_backward_block(gate, up, upstream, grad_gate, grad_up);
        });
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn silu_gate_backward_block(
    gate: &[f32],
    up: &[f32],
    upstream: &[f32],
    grad_gate: &mut [f32],
    grad_up: &mut [f32],
) {
    let inputs = gate.iter().zip(up).zip(upstream);
    for (((&gate, &up), &upstream), (grad_gate, grad_up)) in
        inputs.zip(grad_gate.iter_mut().zip(grad_up))
    {
        let sigmoid = sigmoid(gate);
        *grad_gate = upstream * up * sigmoid * (1.0 + gate * (1.0 - sigmoid));
        *grad_up = upstream * gate * sigmoid;
    }
}
