//! Time and peak memory of the loss and its gradient: the kernel compared with tensor operations.
//!
//! Runs on the CPU, or with `MINIFT_DEVICE=gpu` (or `gpu:N`) on that adapter, where memory is not measured.
#![allow(clippy::unwrap_used)]

#[path = "../tests/common/counting.rs"]
mod counting;

use std::time::Duration;

use burn::tensor::{Int, Tensor, TensorData};
use counting::peak_bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use minift::device::{self, Device};
use minift::internals::distillation::{self, Objective, reference};

/// Inputs of the loss.
struct Inputs {
    student: Tensor<2>,
    teacher: Tensor<2>,
    labels: Tensor<1, Int>,
}

fn inputs(rows: usize, vocabulary: usize, device: &Device) -> Inputs {
    let logits = |seed: usize| {
        let value = |i: usize| ((i * 7919 + seed) % 2003) as f32 / 200.0 - 5.0;
        let values: Vec<f32> = (0..rows * vocabulary).map(value).collect();
        Tensor::from_data(
            TensorData::new(values, [rows, vocabulary]),
            device.tensors(),
        )
    };
    let labels: Vec<i32> = (0..rows)
        .map(|row| (row * 31 % vocabulary) as i32)
        .collect();
    Inputs {
        student: logits(0),
        teacher: logits(1),
        labels: Tensor::from_data(TensorData::new(labels, [rows]), device.tensors()),
    }
}

/// Computes loss and gradient, and reads one value to wait for the result.
fn run(inputs: &Inputs, kernel: bool) -> f32 {
    let objective = Objective::default();
    let student = inputs.student.clone().autodiff().require_grad();
    let (teacher, labels) = (inputs.teacher.clone(), inputs.labels.clone());
    let losses = if kernel {
        distillation::distillation_loss_of_logits(
            student.clone(),
            Some(teacher),
            labels,
            &objective,
        )
    } else {
        reference::distillation_loss(student.clone(), teacher, labels, &objective)
    };
    let gradients = losses.mean().backward();
    let gradient = student.grad(&gradients).unwrap();
    pollster::block_on(device::read(gradient.narrow(0, 0, 1).narrow(1, 0, 1))).unwrap()[0]
}

fn loss(criterion: &mut Criterion) {
    let choice = std::env::var("MINIFT_DEVICE").unwrap_or_else(|_| "cpu".to_string());
    let device = pollster::block_on(Device::open(choice.parse().unwrap())).unwrap();
    let mut group = criterion.benchmark_group(format!("loss on {}", device.name()));
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500));
    for (rows, vocabulary) in [(1024, 512), (1024, 32_000), (256, 128_256)] {
        let inputs = inputs(rows, vocabulary, &device);
        group.throughput(Throughput::Elements((rows * vocabulary) as u64));
        for (form, kernel) in [("kernel", true), ("tensor operations", false)] {
            let (_, peak) = peak_bytes(|| run(&inputs, kernel));
            if device.adapter().is_none() {
                let logits = (rows * vocabulary * 4) as f64;
                println!(
                    "{form}, {rows} × {vocabulary}: peak of {:.0} MiB beyond the inputs, {:.1} times the logits",
                    peak as f64 / f64::from(1 << 20),
                    peak as f64 / logits
                );
            }
            group.bench_function(
                BenchmarkId::new(form, format!("{rows}x{vocabulary}")),
                |bencher| {
                    bencher.iter(|| run(&inputs, kernel));
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, loss);
criterion_main!(benches);
