//! Training steps of the embedded model, batch 8 × 256: finetuning, and minifinetuning with cached teacher
//! hidden states (from the second epoch on) and without (the first epoch).
//!
//! Runs on the CPU, or with `MINIFT_DEVICE=gpu` (or `gpu:N`) on that adapter.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use minift::Objective;
use minift::demo;
use minift::device::Device;
use minift::model::Batch;
use minift::model::CausalLm;
use minift::text::Sample;
use minift::train::{TrainSettings, Trainer};
use pollster::block_on;

/// Returns a batch of eight samples of 257 tokens from the tickets.
fn batch(model: &CausalLm) -> Batch {
    let tickets = demo::tickets().unwrap().concat();
    let tokens = model.tokenizer().encode(&tickets).unwrap();
    let samples: Vec<Sample> = tokens
        .chunks_exact(257)
        .take(8)
        .map(|tokens| Sample::new(tokens.to_vec()))
        .collect();
    Batch::new(&samples, (0..8).collect())
}

fn step(criterion: &mut Criterion) {
    let choice = std::env::var("MINIFT_DEVICE").unwrap_or_else(|_| "cpu".to_string());
    let device = block_on(Device::open(choice.parse().unwrap())).unwrap();
    let model = CausalLm::embedded(&device).unwrap();
    let batch = batch(&model);
    let mut group = criterion.benchmark_group(format!("step on {}", device.name()));
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(8));
    group.throughput(Throughput::Elements(batch.predicted_tokens as u64));
    let cases = [
        ("finetuning", Objective::finetuning(), 0),
        (
            "minifinetuning, teacher cached",
            Objective::default(),
            1 << 30,
        ),
        ("minifinetuning, teacher computed", Objective::default(), 0),
    ];
    for (name, objective, teacher_cache_bytes) in cases {
        let settings = TrainSettings::default()
            .with_objective(objective)
            .with_teacher_cache_bytes(teacher_cache_bytes);
        let mut trainer = Trainer::new(model.clone(), settings).unwrap();
        group.bench_function(name, |bencher| {
            let batch = std::slice::from_ref(&batch);
            bencher.iter(|| block_on(trainer.step_before(batch, 1e-3, batch)).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, step);
criterion_main!(benches);
