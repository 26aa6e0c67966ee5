//! The decoder's kernels compared with tensor operations, forward and backward.
#![allow(clippy::unwrap_used)]

use crate::common;

use burn::tensor::{Tensor, TensorData};
use common::{devices, values};
use minift::device::Device;
use minift::internals::Impl;
use minift::internals::attention::{AttentionMask, SegmentStarts, causal_attention};
use minift::internals::delta_rule::{DeltaRuleInputs, delta_rule};
use minift::internals::rms_norm::rms_norm;
use minift::internals::rotary::rotate;
use minift::internals::silu_gate::silu_gate;

fn tensor<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
    let length = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..length)
        .map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device.tensors())
}

/// Returns the function's value, and the gradients of its weighted sum with respect to every input.
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
                    2.8 / size.max(8) as f32,
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

/// Sizes of a delta rule: batch, length, heads of keys and values, sizes of keys and values.
type DeltaRuleSizes = ([usize; 2], [usize; 2], [usize; 2]);

/// The inputs of a delta rule from tensors that may have any values, and its state.
fn delta_rule_of(inputs: &[Tensor<4>]) -> (DeltaRuleInputs, Option<Tensor<4>>) {
    let size = inputs[1].dims()[3] as f32;
    let unit = |x: &Tensor<4>| {
        let norm = (x.clone() * x.clone()).sum_dim(3) + 1e-3;
        x.clone() / norm.sqrt()
    };
    let inputs_of_rule = DeltaRuleInputs {
        query: unit(&inputs[0]) / size.sqrt(),
        key: unit(&inputs[1]),
        value: inputs[2].clone(),
        // Some heads forget within a few tokens, others remember for long.
        decay: (inputs[3].clone() * 4.0 - 4.0).exp().neg().squeeze_dim(3),
        beta: burn::tensor::activation::sigmoid(inputs[4].clone() * 3.0).squeeze_dim(3),
    };
    (inputs_of_rule, inputs.get(5).cloned())
}

fn delta_rule_shapes((tokens, heads, sizes): DeltaRuleSizes) -> [[usize; 4]; 6] {
    let ([batch, length], [key_heads, heads], [key_size, value_size]) = (tokens, heads, sizes);
    let key = [batch, length, key_heads, key_size];
    let gate = [batch, length, heads, 1];
    let value = [batch, length, heads, value_size];
    [
        key,
        key,
        value,
        gate,
        gate,
        [batch, heads, key_size, value_size],
    ]
}

/// Segments of several lengths, one of them of one token, and one that starts at a chunk's first token.
fn segments(batch: usize, length: usize) -> SegmentStarts {
    let first = |position: usize, row: usize| {
        let starts = [0, 3, 4, 32, 41 + row, 60];
        let before = starts.into_iter().filter(|&start| start <= position);
        before.max().unwrap_or(0) as u32
    };
    (0..batch * length)
        .map(|token| first(token % length, token / length))
        .collect()
}

#[test]
fn delta_rules() {
    for (sizes, packed) in [
        (([1, 1], [1, 1], [4, 4]), false),
        (([2, 5], [1, 2], [8, 12]), false),
        (([2, 70], [2, 4], [16, 16]), true),
        (([1, 67], [2, 2], [64, 36]), false),
        (([1, 33], [1, 1], [36, 128]), true),
        (([1, 9], [1, 2], [256, 256]), false),
        (([1, 40], [1, 2], [6, 10]), true),
    ] {
        let ([batch, length], ..) = sizes;
        let starts = packed.then(|| segments(batch, length));
        // Without a state before the first token.
        check(
            &format!("delta rule {sizes:?}, packed: {packed}"),
            &delta_rule_shapes(sizes)[..5],
            |implementation, _, inputs| {
                let (inputs, _) = delta_rule_of(inputs);
                delta_rule(implementation, inputs, None, starts.as_ref()).0
            },
        );
    }
}

#[test]
fn delta_rules_continue_from_a_state() {
    let sizes = ([2, 50], [2, 4], [8, 16]);
    let shapes = delta_rule_shapes(sizes);
    for device in devices() {
        let inputs: Vec<Tensor<4>> = (0..6).map(|i| tensor(shapes[i], i, &device)).collect();
        let whole = |implementation| {
            let (inputs, state) = delta_rule_of(&inputs);
            let (out, state) = delta_rule(implementation, inputs, state, None);
            [values(out), values(state)]
        };
        let expected = whole(Impl::Composed);
        compare(&device.name(), &expected, &whole(Impl::Fused));
        // The same in parts, as a text is generated.
        for ends in [vec![49, 50], vec![1, 2, 40, 50], vec![32, 50]] {
            let (mut first, mut outs) = (0, Vec::new());
            let mut state = Some(inputs[5].clone());
            for end in ends {
                let part: Vec<Tensor<4>> = inputs[..5]
                    .iter()
                    .map(|input| input.clone().narrow(1, first, end - first))
                    .collect();
                let (part, _) = delta_rule_of(&part);
                let (out, after) = delta_rule(Impl::Fused, part, state, None);
                outs.push(out);
                (state, first) = (Some(after), end);
            }
            let found = [values(Tensor::cat(outs, 1)), values(state.unwrap())];
            compare(&device.name(), &expected, &found);
        }
    }
}

#[test]
fn gradients_of_a_delta_rule_with_a_state_are_those_of_the_reference() {
    let sizes = ([2, 70], [1, 2], [12, 8]);
    let shapes = delta_rule_shapes(sizes);
    check(
        "with a state",
        &shapes[..5],
        |implementation, device, inputs| {
            let state = tensor(shapes[5], 5, device);
            let (inputs, _) = delta_rule_of(inputs);
            delta_rule(implementation, inputs, Some(state), None).0
        },
    );
}

#[test]
fn gradients_of_a_delta_rule_are_its_derivatives() {
    let shapes = delta_rule_shapes(([1, 35], [1, 2], [8, 4]));
    let [cpu, _] = devices();
    let inputs: Vec<Tensor<4>> = (0..5).map(|i| tensor(shapes[i], i, &cpu)).collect();
    let out = |inputs: &[Tensor<4>]| {
        let (inputs, _) = delta_rule_of(inputs);
        delta_rule(Impl::Fused, inputs, None, None).0
    };
    let gradients = evaluate(&inputs, out);
    let value = |inputs: &[Tensor<4>]| -> f64 {
        let out = values(out(inputs));
        let weights = (0..out.len()).map(|i| ((i * 31) % 17) as f64 / 17.0 - 0.4);
        out.iter()
            .zip(weights)
            .map(|(&out, weight)| f64::from(out) * weight)
            .sum()
    };
    for (number, gradient) in gradients[1..].iter().enumerate() {
        let direction = tensor(shapes[number], number + 50, &cpu);
        let moved = |step: f32| {
            let mut inputs = inputs.clone();
            inputs[number] = inputs[number].clone() + direction.clone() * step;
            value(&inputs)
        };
        let step = 2e-3;
        let expected = (moved(step) - moved(-step)) / f64::from(2.0 * step);
        let pairs = gradient.iter().zip(values(direction));
        let found: f64 = pairs.map(|(&a, b)| f64::from(a) * f64::from(b)).sum();
        let error = (expected - found).abs() / expected.abs().max(0.1);
        assert!(
            error < 3e-3,
            "input {number}: expected {expected}, found {found}"
        );
    }
}
