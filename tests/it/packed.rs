//! Packed weights against the same weights in float32, on every device.

use burn::tensor::{Device, Int, Tensor, TensorData};
use minift::device::Device as Opened;
use minift::internals::WeightType;
use minift::internals::distillation::{Objective, Predictions, distillation_loss};
use minift::model::Weight;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::common::{devices, values};

const TYPES: [&str; 7] = [
    "float16", "bfloat16", "q8_0", "q4_0", "q4_1", "q4_k", "q6_k",
];

/// Bytes of random weights: any bits, but scales and 16-bit floats that are numbers of moderate size.
fn random_bytes(kind: WeightType, values: usize, random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..values / kind.block() {
        let mut block: Vec<u8> = (0..kind.block_bytes()).map(|_| random.random()).collect();
        for &at in kind.scales() {
            let sign = block[at + 1] & 0x80;
            block[at + 1] = match kind.name() {
                // From 2^-12 to 2^-1.
                "bfloat16" => sign | random.random_range(0x3a..0x3f),
                // From 2^-8 to 2^-4.
                _ => sign | random.random_range(0x1c..0x2c),
            };
        }
        bytes.extend(block);
    }
    bytes
}

/// A random weight, packed and in float32.
pub fn both(
    kind: WeightType,
    shape: [usize; 2],
    seed: u64,
    device: &Device,
) -> (Weight, Tensor<2>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let bytes = random_bytes(kind, shape[0] * shape[1], &mut random);
    let mut values = vec![0.0; shape[0] * shape[1]];
    kind.unpack(&bytes, &mut values);
    assert!(values.iter().all(|value| value.abs() < 1000.0), "{kind}");
    (
        Weight::packed(kind, shape, &bytes, device),
        Tensor::from_data(TensorData::new(values, shape), device),
    )
}

pub fn random(shape: [usize; 2], seed: u64, device: &Device) -> Tensor<2> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let values = (0..shape[0] * shape[1]).map(|_| random.random_range(-1.0_f32..1.0));
    Tensor::from_data(TensorData::new(values.collect::<Vec<_>>(), shape), device)
}

/// Asserts that the largest difference is within `limit` of the largest value.
pub fn assert_near(found: Tensor<2>, expected: Tensor<2>, limit: f32, what: &str) {
    let (found, expected) = (values(found), values(expected));
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
    for (found, expected) in found.iter().zip(&expected) {
        let error = (found - expected).abs();
        assert!(error <= limit * largest, "{what}: {found}, not {expected}");
    }
}

#[test]
fn values_are_those_of_the_storage_type() {
    for device in devices() {
        for kind in TYPES.map(|name| name.parse::<WeightType>().unwrap()) {
            let what = format!("{kind} on {}", device.name());
            let (weight, expected) = both(kind, [37, 512], 1, device.tensors());
            assert_eq!(weight.dims(), [37, 512]);
            assert_near(weight.float(), expected.clone(), 0.0, &what);
            let rows = vec![36, 0, 5, 5, 36, 1];
            let rows = TensorData::new(rows, [2, 3]);
            let rows = Tensor::<2, Int>::from_data(rows, device.tensors());
            let selected = expected.clone().select(0, rows.clone().reshape([6]));
            assert_near(weight.rows(rows.clone()), selected, 0.0, &what);
            let turned = weight.transpose();
            assert_eq!(turned.dims(), [512, 37]);
            assert_near(turned.float(), expected.clone().transpose(), 0.0, &what);
            let selected = expected.transpose().select(0, rows.clone().reshape([6]));
            assert_near(turned.rows(rows), selected, 0.0, &what);
        }
    }
}

/// Products with W and Wᵀ, and their gradients, for shapes that are no multiples of tiles.
fn products_match(device: &Opened, kind: WeightType, [n, rows, blocks]: [usize; 3], seed: u64) {
    let columns = kind.block().max(8) * blocks;
    let what = format!("{kind} {n} × {rows} × {columns} on {}", device.name());
    let (packed, float) = both(kind, [rows, columns], seed, device.tensors());
    let (turned, float_turned) = (packed.transpose(), float.clone().transpose());
    for (packed, float) in [(packed, float), (turned, float_turned)] {
        let [outputs, inputs] = packed.dims();
        let input = random([n, inputs], seed + 1, device.tensors());
        let upstream = random([n, outputs], seed + 2, device.tensors()).autodiff();
        let results = [packed, Weight::from(float.autodiff())].map(|weight| {
            let x = input.clone().autodiff().require_grad();
            let product = weight.times_transposed(x.clone());
            let gradients = (product.clone() * upstream.clone()).sum().backward();
            (product.inner(), x.grad(&gradients).unwrap())
        });
        let [found, expected] = results;
        assert_near(found.0, expected.0, 1e-5, &what);
        assert_near(found.1, expected.1, 1e-5, &format!("gradient, {what}"));
    }
}

#[test]
fn products_and_gradients_match_float32() {
    for device in devices() {
        for kind in TYPES.map(|name| name.parse::<WeightType>().unwrap()) {
            for shape in [[1, 70, 3], [5, 130, 2], [67, 33, 3], [3, 1, 1]] {
                products_match(&device, kind, shape, 7);
            }
        }
    }
}

/// A head of 70,000 tokens, more than the root of 2^32.
#[test]
fn products_of_a_large_vocabulary_match_float32() {
    for device in devices() {
        products_match(&device, WeightType::Q8_0, [2, 70_000, 1], 9);
    }
}

/// Products of sizes that the CPU device computes by other instructions, and in several blocks.
#[test]
fn large_products_match_float32() {
    let device = Opened::cpu();
    for kind in TYPES.map(|name| name.parse::<WeightType>().unwrap()) {
        let blocks = 1024 / kind.block().max(8);
        products_match(&device, kind, [260, 600, blocks], 8);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn products_of_any_shape_match_float32(
        kind in proptest::sample::select(&TYPES),
        n in 1_usize..40,
        rows in 1_usize..200,
        blocks in 1_usize..4,
        seed in any::<u32>(),
    ) {
        for device in devices() {
            products_match(&device, kind.parse().unwrap(), [n, rows, blocks], u64::from(seed));
        }
    }
}

/// The loss with a packed head of student and teacher, over several tiles.
#[test]
fn the_loss_of_a_packed_head_matches_float32() {
    const ROWS: usize = 21;
    const VOCABULARY: usize = 300;
    for device in devices() {
        for kind in TYPES.map(|name| name.parse::<WeightType>().unwrap()) {
            let width = kind.block().max(64);
            let (packed, float) = both(kind, [VOCABULARY, width], 3, device.tensors());
            let [hidden, teacher] = [4, 5].map(|i| random([ROWS, width], i, device.tensors()));
            let labels = (0..ROWS as i32).map(|row| (row * 37) % 290 - 10);
            let labels = TensorData::new(labels.collect::<Vec<_>>(), [ROWS]);
            let labels = Tensor::<1, Int>::from_data(labels, device.tensors());
            let weights = (0..ROWS).map(|row| row as f32 / ROWS as f32);
            let weights = TensorData::new(weights.collect::<Vec<_>>(), [ROWS]);
            let weights = Tensor::<1>::from_data(weights, device.tensors());
            let results = [packed, float.into()].map(|head: Weight| {
                let hidden = hidden.clone().autodiff().require_grad();
                let loss = distillation_loss(
                    Predictions {
                        hidden: hidden.clone(),
                        head: head.clone().into(),
                    },
                    Some(Predictions {
                        hidden: teacher.clone(),
                        head: head.into(),
                    }),
                    labels.clone(),
                    Some(weights.clone()),
                    &Objective::default(),
                    17,
                    8 * VOCABULARY * size_of::<f32>(),
                );
                let gradient = hidden.grad(&loss.backward()).unwrap();
                (loss.inner().reshape([1, 1]), gradient)
            });
            let [found, expected] = results;
            let what = format!("{kind} on {}", device.name());
            assert_near(found.0, expected.0, 1e-5, &what);
            assert_near(found.1, expected.1, 1e-5, &format!("gradient, {what}"));
        }
    }
}
