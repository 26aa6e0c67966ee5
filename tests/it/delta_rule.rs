//! The gated delta rule compared with its recurrence in tensor operations, forward and backward.
#![allow(clippy::unwrap_used)]

use crate::common::{devices, values};
use crate::decoder_ops::{check, compare, evaluate, tensor};

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use minift::internals::Impl;
use minift::internals::attention::SegmentStarts;
use minift::internals::delta_rule::{DeltaRuleInputs, delta_rule};

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
        beta: sigmoid(inputs[4].clone() * 3.0).squeeze_dim(3),
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
        (([2, 270], [1, 2], [8, 12]), true),
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

/// Gradients of decays that leave almost nothing of the state are small beside those of others, and have to be
/// right all the same.
#[test]
fn gradients_of_strong_decays_keep_their_digits() {
    let shapes = delta_rule_shapes(([2, 150], [1, 2], [16, 12]));
    for device in devices() {
        let inputs: Vec<Tensor<4>> = (0..5).map(|i| tensor(shapes[i], i, &device)).collect();
        let of_decays = |implementation| {
            let out = |inputs: &[Tensor<4>]| {
                let (mut inputs, _) = delta_rule_of(inputs);
                inputs.decay = inputs.decay.clone() - 12.0 + inputs.decay * 2.0;
                delta_rule(implementation, inputs, None, None).0
            };
            evaluate(&inputs, out).swap_remove(4)
        };
        let expected = of_decays(Impl::Composed);
        assert!(expected.iter().all(|gradient| gradient.abs() < 1e-3));
        compare(&device.name(), &[expected], &[of_decays(Impl::Fused)]);
    }
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
