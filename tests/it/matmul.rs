//! Matmuls on every device compared with sums in float64: shapes around tile edges, transposed views, batches
//! and both gradients.
#![allow(clippy::unwrap_used)]

use crate::common;

use burn::tensor::{Tensor, TensorData};
use common::{devices, largest_error, values};
use minift::internals::matmul::matmul;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn random(length: usize, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..length)
        .map(|_| random.random_range(-1.0_f32..1.0))
        .collect()
}

/// Returns a [batches, rows, inner] times b [batches, inner, columns], row-major.
fn product(a: &[f32], b: &[f32], [batches, rows, inner, columns]: [usize; 4]) -> Vec<f64> {
    let mut product = Vec::with_capacity(batches * rows * columns);
    for batch in 0..batches {
        for row in 0..rows {
            for column in 0..columns {
                let term = |k: usize| {
                    let a = a[(batch * rows + row) * inner + k];
                    let b = b[(batch * inner + k) * columns + column];
                    f64::from(a) * f64::from(b)
                };
                product.push((0..inner).map(term).sum());
            }
        }
    }
    product
}

fn transposed(values: &[f32], [batches, rows, columns]: [usize; 3]) -> Vec<f32> {
    let at =
        |batch: usize, row: usize, column: usize| values[(batch * rows + row) * columns + column];
    let positions = (0..batches)
        .flat_map(|b| (0..columns).flat_map(move |c| (0..rows).map(move |r| (b, r, c))));
    positions.map(|(b, r, c)| at(b, r, c)).collect()
}

#[test]
fn products_match_at_tile_edges_and_with_transposed_views() {
    for device in devices() {
        let tensors = device.tensors();
        for shape in [
            [1, 1, 1, 1],
            [1, 1, 64, 200],
            [1, 63, 7, 65],
            [1, 64, 8, 64],
            [1, 65, 9, 127],
            [1, 200, 300, 1],
            // Split along the inner dimension, with a shorter last part.
            [1, 5, 1000, 70],
            [2, 65, 333, 66],
            [1, 3, 5000, 4],
            [3, 70, 33, 5],
            [1, 511, 5, 8],
            [2, 513, 17, 9],
            [1, 1025, 4, 16],
            [1, 600, 3, 17],
            // Of a vocabulary's size: its square exceeds 2^32.
            [1, 2, 70_000, 3],
            // More matrices than a dispatch has workgroups.
            [65_537, 1, 2, 1],
        ] {
            let [batches, rows, inner, columns] = shape;
            let (a, b) = (
                random(batches * rows * inner, 1),
                random(batches * inner * columns, 2),
            );
            let expected = product(&a, &b, shape);
            for (transpose_a, transpose_b) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                let view = |values: &[f32], [rows, columns]: [usize; 2], transpose: bool| {
                    if transpose {
                        let values = transposed(values, [batches, rows, columns]);
                        let data = TensorData::new(values, [batches, columns, rows]);
                        Tensor::<3>::from_data(data, tensors).swap_dims(1, 2)
                    } else {
                        let data = TensorData::new(values.to_vec(), [batches, rows, columns]);
                        Tensor::<3>::from_data(data, tensors)
                    }
                };
                let a = view(&a, [rows, inner], transpose_a);
                let b = view(&b, [inner, columns], transpose_b);
                let error = largest_error(&values(matmul(a, b)), &expected);
                assert!(
                    error <= 1e-6 * (inner as f64 + 3.0),
                    "{shape:?}, transposed {transpose_a} {transpose_b}, on {}: error {error:e}",
                    device.name()
                );
            }
        }
    }
}

/// Factors as in attention, with heads moved before positions.
#[test]
fn products_of_permuted_batches_match() {
    let [samples, length, heads, size] = [2, 19, 3, 8];
    let data = || random(samples * length * heads * size, 3);
    for device in devices() {
        let view = || {
            let data = TensorData::new(data(), [samples, length, heads, size]);
            Tensor::<4>::from_data(data, device.tensors()).swap_dims(1, 2)
        };
        let found = values(matmul(view(), view().swap_dims(2, 3)));
        let x = data();
        let at = |sample: usize, head: usize, position: usize, i: usize| {
            f64::from(x[((sample * length + position) * heads + head) * size + i])
        };
        let mut expected = Vec::new();
        for (sample, head) in (0..samples).flat_map(|s| (0..heads).map(move |h| (s, h))) {
            for (p, q) in (0..length).flat_map(|p| (0..length).map(move |q| (p, q))) {
                let term = |i| at(sample, head, p, i) * at(sample, head, q, i);
                expected.push((0..size).map(term).sum());
            }
        }
        let error = largest_error(&found, &expected);
        assert!(error <= 1e-5, "on {}: error {error:e}", device.name());
    }
}

#[test]
fn both_gradients_match() {
    let [rows, inner, columns] = [70, 20, 66];
    let (a, b, upstream) = (
        random(rows * inner, 4),
        random(inner * columns, 5),
        random(rows * columns, 6),
    );
    let b_transposed = transposed(&b, [1, inner, columns]);
    let expected_a = product(&upstream, &b_transposed, [1, rows, columns, inner]);
    let a_transposed = transposed(&a, [1, rows, inner]);
    let expected_b = product(&a_transposed, &upstream, [1, inner, rows, columns]);
    for device in devices() {
        let tensor = |values: &[f32], shape: [usize; 2]| {
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), device.tensors())
        };
        let tracked = |tensor: Tensor<2>| tensor.autodiff().require_grad();
        let (a, b) = (
            tracked(tensor(&a, [rows, inner])),
            tracked(tensor(&b, [inner, columns])),
        );
        let upstream = tensor(&upstream, [rows, columns]).autodiff();
        let loss = (matmul(a.clone(), b.clone()) * upstream).sum();
        let gradients = loss.backward();
        for (what, factor, expected) in [("a", a, &expected_a), ("b", b, &expected_b)] {
            let error = largest_error(&values(factor.grad(&gradients).unwrap()), expected);
            assert!(
                error <= 1e-4,
                "gradient of {what} on {}: error {error:e}",
                device.name()
            );
        }
    }
}
