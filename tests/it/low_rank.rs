//! Low-rank layers as one operation against tensor operations, on every device.

use burn::tensor::Tensor;
use minift::device::Device;
use minift::internals::WeightType;
use minift::internals::low_rank::{low_rank_linear, low_rank_linear_reference};
use minift::model::Weight;
use proptest::prelude::*;

use crate::common::{devices, values};
use crate::packed::{assert_near, both, random};

/// Results and gradients of `x`, A and B, of both.
fn layers_match(device: &Device, kind: Option<WeightType>, sizes: [usize; 4], seed: u64) {
    const SCALE: f32 = 1.75;
    let [n, rows, columns, rank] = sizes;
    let what = format!("{kind:?} {sizes:?} on {}", device.name());
    let tensors = device.tensors();
    let (weight, float) = match kind {
        Some(kind) => both(kind, [rows, columns], seed, tensors),
        None => {
            // As the transpose of what is in memory, as in GPT-2.
            let float = random([columns, rows], seed, tensors).transpose();
            (Weight::from(float.clone().autodiff()), float)
        }
    };
    let inputs = [[n, columns], [rank, columns], [rows, rank]];
    let mut seed = seed;
    let mut next = |shape| {
        seed += 1;
        random(shape, seed, tensors)
    };
    let [x, a, b] = inputs.map(&mut next);
    let upstream = next([n, rows]).autodiff();
    let of = |layer: &dyn Fn(Tensor<2>, Tensor<2>, Tensor<2>) -> Tensor<2>| {
        let leaves = [&x, &a, &b].map(|leaf| leaf.clone().autodiff().require_grad());
        let [x, a, b] = leaves.clone();
        let y = layer(x, a, b);
        let gradients = (y.clone() * upstream.clone()).sum().backward();
        let [x, a, b] = leaves.map(|leaf| leaf.grad(&gradients).unwrap());
        [y.inner(), x, a, b]
    };
    let found = of(&|x, a, b| low_rank_linear(x, &weight, &a, &b, SCALE));
    let float = float.autodiff();
    let expected = of(&|x, a, b| low_rank_linear_reference(x, float.clone(), a, b, SCALE));
    for ((name, found), expected) in ["y", "∂x", "∂A", "∂B"].iter().zip(found).zip(expected) {
        assert_eq!(found.dims(), expected.dims());
        assert!(values(found.clone()).iter().any(|&value| value != 0.0));
        assert_near(found, expected, 1e-5, &format!("{name}, {what}"));
    }
}

#[test]
fn layers_and_gradients_match_tensor_operations() {
    for device in devices() {
        for kind in [None, Some("q8_0"), Some("bfloat16")] {
            let kind = kind.map(|name| name.parse().unwrap());
            // The last is shared among threads.
            for sizes in [[1, 70, 64, 1], [5, 130, 96, 16], [200, 320, 128, 128]] {
                layers_match(&device, kind, sizes, 7);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn layers_of_any_shape_match(
        n in 1_usize..60,
        rows in 1_usize..100,
        columns in 1_usize..100,
        rank in 1_usize..20,
        seed in any::<u32>(),
    ) {
        for device in devices() {
            layers_match(&device, None, [n, rows, columns, rank], u64::from(seed));
        }
    }
}
