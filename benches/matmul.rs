//! Matmuls on a GPU adapter: the WGSL kernel compared with burn's, in the shapes of a training step of the
//! embedded model (batch 8 × 256) and of larger models.
//!
//! Runs on the default adapter, or with `MINIFT_DEVICE=gpu:N` on that one.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use burn::tensor::{Distribution, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use minift::device::{Device, read};
use minift::internals::matmul::matmul;
use pollster::block_on;

/// Names, and batches, rows, inner and columns.
const SHAPES: [(&str, [usize; 4]); 6] = [
    ("projection", [1, 2048, 64, 192]),
    ("logits", [1, 2048, 64, 1024]),
    ("gradient of a weight", [1, 64, 2048, 192]),
    ("attention scores", [32, 512, 8, 256]),
    ("attention values", [32, 512, 256, 8]),
    ("projection, hidden size 576", [1, 256, 576, 1536]),
];

fn products(criterion: &mut Criterion) {
    let choice = std::env::var("MINIFT_DEVICE").unwrap_or_else(|_| "gpu".to_string());
    let device = block_on(Device::open(choice.parse().unwrap())).unwrap();
    let mut group = criterion.benchmark_group(format!("matmul on {}", device.name()));
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(2));
    for (name, [batches, rows, inner, columns]) in SHAPES {
        let random =
            |shape| Tensor::<3>::random(shape, Distribution::Uniform(-1.0, 1.0), device.tensors());
        let a = random([batches, rows, inner]);
        let b = random([batches, inner, columns]);
        // Reads the last value to wait for the product.
        let finish = |product: Tensor<3>| {
            let last = product.slice([batches - 1..batches, rows - 1..rows, columns - 1..columns]);
            block_on(read(last)).unwrap()
        };
        group.throughput(Throughput::ElementsAndBytes {
            elements: (2 * batches * rows * inner * columns) as u64,
            bytes: (4 * batches * (rows * inner + inner * columns + rows * columns)) as u64,
        });
        group.bench_function(BenchmarkId::new("ours", name), |bencher| {
            bencher.iter(|| finish(matmul(a.clone(), b.clone())));
        });
        group.bench_function(BenchmarkId::new("burn", name), |bencher| {
            bencher.iter(|| finish(a.clone().matmul(b.clone())));
        });
    }
    group.finish();
}

criterion_group!(benches, products);
criterion_main!(benches);
