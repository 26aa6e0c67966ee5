//! The decoder's fused kernels against tensor operations, forward and gradient.
#![allow(clippy::unwrap_used)]

mod common;

use burn::tensor::{Tensor, TensorData};
use common::{devices, values};
use minift::device::Device;
use minift::model::Visible;
use minift::model::ops::{Activation, Way, causal_attention, gate, rms_norm, rotate};

fn tensor<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
    let length = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..length)
        .map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device.tensors())
}

/// The function's value, and the gradients of its weighted sum with respect to every input.
fn evaluate<const D: usize>(
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

fn compare(name: &str, expected: &[Vec<f32>], found: &[Vec<f32>]) {
    assert_eq!(expected.len(), found.len());
    for (number, (expected, found)) in expected.iter().zip(found).enumerate() {
        assert_eq!(expected.len(), found.len());
        let largest = expected.iter().fold(1e-6_f32, |a, b| a.max(b.abs()));
        for (i, (a, b)) in expected.iter().zip(found).enumerate() {
            let error = (a - b).abs() / largest;
            assert!(
                error < 2e-5,
                "{name}, result {number}, element {i}: {b} instead of {a}"
            );
        }
    }
}

/// Fused and composed on both devices must agree with composed on the CPU.
fn check<const D: usize>(
    name: &str,
    shapes: &[[usize; D]],
    f: impl Fn(Way, &Device, &[Tensor<D>]) -> Tensor<D>,
) {
    let inputs = |device: &Device| -> Vec<Tensor<D>> {
        shapes
            .iter()
            .enumerate()
            .map(|(seed, &shape)| tensor(shape, seed, device))
            .collect()
    };
    let [cpu, gpu] = devices();
    let expected = evaluate(&inputs(&cpu), |inputs| f(Way::Composed, &cpu, inputs));
    let fused = evaluate(&inputs(&cpu), |inputs| f(Way::Fused, &cpu, inputs));
    compare(&format!("{name}, fused"), &expected, &fused);
    for way in [Way::Composed, Way::Fused] {
        let on_gpu = evaluate(&inputs(&gpu), |inputs| f(way, &gpu, inputs));
        compare(
            &format!("{name}, {way:?}, {}", gpu.name()),
            &expected,
            &on_gpu,
        );
    }
}

#[test]
fn normalisation() {
    for [rows, width] in [[1, 8], [300, 64], [7, 33]] {
        check(
            &format!("{rows} × {width}"),
            &[[rows, width], [1, width]],
            |way, _, inputs| rms_norm(way, inputs[0].clone(), inputs[1].clone(), 1e-5),
        );
    }
}

#[test]
fn gated_unit() {
    for [rows, width] in [[1, 1], [300, 192], [5, 17]] {
        check(
            &format!("{rows} × {width}"),
            &[[rows, width], [rows, width]],
            |way, _, inputs| {
                gate(
                    way,
                    Activation::Silu,
                    inputs[0].clone() * 20.0,
                    inputs[1].clone(),
                )
            },
        );
    }
}

#[test]
fn rotary_embedding() {
    for [batch, length, heads, size] in [[1, 1, 1, 2], [3, 37, 4, 8]] {
        let table = |device: &Device, seed: usize| tensor([length, size / 2], seed, device);
        check(
            "rotary",
            &[[batch, length, heads, size]],
            |way, device, inputs| {
                rotate(way, inputs[0].clone(), table(device, 8), table(device, 9))
            },
        );
    }
}

#[test]
fn attention() {
    // The last case holds several texts a sample.
    for ([batch, length, heads, size], key_length, key_heads, window) in [
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
        ([2, 33, 4, 8], 33, 2, 9),
    ] {
        let keys = [batch, key_length, key_heads, size];
        let name = format!(
            "{length} of {key_length}, {heads} over {key_heads} heads of {size}, window {window}"
        );
        check(
            &name,
            &[[batch, length, heads, size], keys, keys],
            |way, _, inputs| {
                causal_attention(
                    way,
                    inputs[0].clone() * 3.0,
                    inputs[1].clone(),
                    inputs[2].clone(),
                    // Weights that all matter, however many products make a score.
                    2.8 / size.max(8) as f32,
                    Visible {
                        window,
                        beginnings: (length == 33).then(|| {
                            // The first sample's texts begin at 0, 5 and 20, the second's at 0 and 32.
                            let beginning = |query: usize| match (query / length, query % length) {
                                (0, 5..20) => 5,
                                (0, 20..) => 20,
                                (1, 32) => 32,
                                _ => 0,
                            };
                            (0..batch * length).map(beginning).collect()
                        }),
                    },
                )
            },
        );
    }
}
