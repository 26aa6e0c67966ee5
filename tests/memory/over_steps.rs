//! Memory does not grow over training steps: host memory on the CPU, the memory pool on the GPU adapter (burn
//! issue 5212 reports memory that grows over epochs).
#![allow(clippy::unwrap_used)]

use crate::{common, counting};

use common::devices;
use counting::{bytes_now, start_counting};
use minift::demo;
use minift::device::Device;
use minift::model::Batch;
use minift::model::CausalLm;
use minift::text::Sample;
use minift::train::{TrainSettings, Trainer};
use pollster::block_on;

/// Returns the bytes in use: on the host, and in the device's memory pool if it has one.
fn bytes_in_use(device: &Device) -> [u64; 2] {
    let pool = device.tensors().memory_pool_usage();
    [
        bytes_now() as u64,
        pool.map_or(0, |usage| usage.bytes_reserved),
    ]
}

#[test]
fn memory_does_not_grow_over_steps() {
    let _turn = crate::turn();
    start_counting();
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let tickets = demo::tickets().unwrap().concat();
        let tokens = model.tokenizer().encode(&tickets).unwrap();
        // Batches of different lengths, as in a real epoch.
        let samples: Vec<Sample> = (0..8)
            .map(|i| tokens[i * 40..i * 40 + 10 + 4 * i].to_vec().into())
            .collect();
        let batches: Vec<Batch> = (0..4)
            .map(|b| Batch::new(&samples, vec![2 * b, 2 * b + 1]))
            .collect();
        let mut trainer = Trainer::new(model, TrainSettings::default()).unwrap();
        let mut epoch = || {
            for batch in &batches {
                block_on(trainer.step(std::slice::from_ref(batch), 1e-4)).unwrap();
            }
            bytes_in_use(&device)
        };
        let usage: Vec<[u64; 2]> = (0..36).map(|_| epoch()).collect();
        println!("{}: {usage:?}", device.name());
        for (settled, last) in usage[11].into_iter().zip(usage[35]) {
            assert!(
                last <= settled + settled / 50,
                "on {}: {usage:?}",
                device.name()
            );
        }
    }
}
