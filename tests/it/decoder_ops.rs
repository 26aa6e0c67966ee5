//! The decoder's kernels compared with tensor operations, forward and backward.
#![allow(clippy::unwrap_used)]

use crate::common;

use burn::tensor::{Tensor, TensorData};
use common::{devices, values};
use minift::device::Device;
use minift::internals::Impl;
use minift::internals::attention::{AttentionMask, Scores, causal_attention};
use minift::internals::rms_norm::rms_norm;
use minift::internals::rotary::rotate;
use minift::internals::silu_gate::silu_gate;

pub(crate) fn tensor<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
    let length = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..length)
        .map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device.tensors())
}

/// Returns the function's value, and the gradients of its weighted sum with respect to every input.
pub(crate) fn evaluate<const D: usize>(
    inputs: &[Tensor<D>],
    f: impl Fn(&[Tensor<D>]) -> Tensor<D>,
) -> Vec<Vec<f32>> {
    let inputs: Vec<Tensor<D>> = inputs
        .iter()
        .map(|input| input.clone().autodiff().require_grad())
        .collect();
    let out = f(&inputs);
    let length = out.shape().num_elements();
    let weights: Vec<f32> = (0..length)
        .map(|i| ((i * 31) % 17) as f32 / 17.0 - 0.4)
        .collect();
    let weights = Tensor::<1>::from_data(TensorData::new(weights, [length]), &out.device().inner())
        .reshape(out.shape());
    let gradients = (out.clone() * weights.autodiff()).sum().backward();
    let mut results = vec![values(out.inner())];
    results.extend(
        inputs
            .iter()
            .map(|input| values(input.grad(&gradients).unwrap())),
    );
    results
}

pub(crate) fn compare(name: &str, expected: &[Vec<f32>], found: &[Vec<f32>]) {
    assert_eq!(expected.len(), found.len());
    for (number, (expected, found)) in expected.iter().zip(found).enumerate() {
        assert_eq!(expected.len(), found.len());
        let largest = expected.iter().fold(1e-6_f32, |a, b| a.max(b.abs()));
        for (i, (a, b)) in expected.iter().zip(found).enumerate() {
            let error = (a - b).abs() / largest;
            assert!(
                error < 2e-5,
                "{name}, result {number}, element {i}: expected {a}, found {b}"
            );
        }
    }
}

/// Compares fused and composed on both devices with composed on the CPU.
pub(crate) fn check<const D: usize>(
    name: &str,
    shapes: &[[usize; D]],
    f: impl Fn(Impl, &Device, &[Tensor<D>]) -> Tensor<D>,
) {
    let inputs = |device: &Device| -> Vec<Tensor<D>> {
        shapes
            .iter()
            .enumerate()
            .map(|(seed, &shape)| tensor(shape, seed, device))
            .collect()
    };
    let [cpu, gpu] = devices();
    let expected = evaluate(&inputs(&cpu), |inputs| f(Impl::Composed, &cpu, inputs));
    let fused = evaluate(&inputs(&cpu), |inputs| f(Impl::Fused, &cpu, inputs));
    compare(&format!("{name}, fused"), &expected, &fused);
    for implementation in [Impl::Composed, Impl::Fused] {
        let on_gpu = evaluate(&inputs(&gpu), |inputs| f(implementation, &gpu, inputs));
        compare(
            &format!("{name}, {implementation:?}, {}", gpu.name()),
            &expected,
            &on_gpu,
        );
    }
}

#[test]
fn rms_norms() {
    for [rows, width] in [[1, 8], [300, 64], [7, 33]] {
        check(
            &format!("{rows} × {width}"),
            &[[rows, width], [1, width]],
            |implementation, _, inputs| {
                rms_norm(implementation, inputs[0].clone(), inputs[1].clone(), 1e-5)
            },
        );
    }
}

#[test]
fn silu_gates() {
    for [rows, width] in [[1, 1], [300, 192], [5, 17]] {
        check(
            &format!("{rows} × {width}"),
            &[[rows, width], [rows, width]],
            |implementation, _, inputs| {
                silu_gate(implementation, inputs[0].clone() * 20.0, inputs[1].clone())
            },
        );
    }
}

#[test]
fn rotary_embeddings() {
    for [batch, length, heads, size] in [[1, 1, 1, 2], [3, 37, 4, 8]] {
        let table = |device: &Device, seed: usize| tensor([length, size / 2], seed, device);
        check(
            "rotary",
            &[[batch, length, heads, size]],
            |implementation, device, inputs| {
                rotate(
                    implementation,
                    inputs[0].clone(),
                    table(device, 8),
                    table(device, 9),
                )
            },
        );
    }
}

#[test]
fn attention() {
    attention_with(None);
}

/// The cap changes most scores, which are up to ±3.
#[test]
fn attention_with_a_soft_cap() {
    attention_with(Some(1.5));
}

fn attention_with(soft_cap: Option<f32>) {
    // The last case has several segments per sample.
    for ([batch, length, heads, size], key_length, num_kv_heads, window) in [
        ([1, 1, 1, 4], 1, 1, usize::MAX),
        ([2, 37, 8, 8], 37, 4, usize::MAX),
        ([1, 66, 6, 6], 66, 2, usize::MAX),
        ([3, 5, 4, 16], 12, 1, usize::MAX),
        ([1, 1, 4, 8], 9, 4, usize::MAX),
        ([2, 37, 4, 8], 37, 2, 16),
        ([1, 9, 2, 8], 30, 1, 5),
        ([1, 7, 2, 8], 7, 2, 1),
        ([2, 150, 2, 64], 150, 1, usize::MAX),
        ([1, 70, 2, 128], 200, 1, 90),
        ([1, 131, 1, 80], 131, 1, 70),
        ([1, 9, 1, 256], 9, 1, usize::MAX),
        ([2, 70, 2, 256], 90, 1, 40),
        ([1, 37, 2, 512], 37, 2, usize::MAX),
        ([1, 35, 1, 384], 35, 1, 9),
        // 65 groups of four are not a whole number per part.
        ([1, 5, 1, 260], 5, 1, usize::MAX),
        ([2, 33, 4, 8], 33, 2, 9),
    ] {
        let keys = [batch, key_length, num_kv_heads, size];
        let name = format!(
            "length {length} of {key_length}, {heads} heads, {num_kv_heads} key heads, size {size}, window {window}"
        );
        check(
            &name,
            &[[batch, length, heads, size], keys, keys],
            |implementation, _, inputs| {
                causal_attention(
                    implementation,
                    inputs[0].clone() * 3.0,
                    inputs[1].clone(),
                    inputs[2].clone(),
                    // Keeps the softmax weights comparable for every head size.
                    Scores {
                        scale: 2.8 / size.max(8) as f32,
                        soft_cap,
                    },
                    AttentionMask {
                        window,
                        segment_starts: (length == 33).then(|| {
                            // The first sample's segments start at 0, 5 and 20, the second's at 0 and 32.
                            let segment_start =
                                |query: usize| match (query / length, query % length) {
                                    (0, 5..20) => 5,
                                    (0, 20..) => 20,
                                    (1, 32) => 32,
                                    _ => 0,
                                };
                            (0..batch * length).map(segment_start).collect()
                        }),
                    },
                )
            },
        );
    }
}
