//! Thread safety: which types are `Send` and `Sync`, and that concurrent runs do not affect each other.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::sync::Arc;

use common::run_data;
use minift::device::Device;
use minift::files::FolderWriter;
use minift::model::CausalLm;
use minift::text::Samples;
use minift::train::{Cancel, Checkpoints, Event, Run, RunData, TrainSettings};
use pollster::block_on;

/// Checks `Send`.
fn is_send<T: Send>() {}

/// Checks `Send` and `Sync`.
fn is_sync<T: Send + Sync>() {}

#[test]
fn public_types_are_send_and_sync() {
    is_sync::<Device>();
    is_sync::<CausalLm>();
    is_sync::<Samples>();
    is_sync::<RunData>();
    is_sync::<TrainSettings>();
    is_sync::<Cancel>();
    is_sync::<Checkpoints>();
    is_sync::<Event>();
    is_sync::<minift::Error>();
    is_send::<Run>();
    is_send::<FolderWriter>();
}

fn run(model: &CausalLm, settings: TrainSettings) -> Run {
    let data = run_data(model, 48, [24, 4, 4]);
    Run::new(model.clone(), Arc::new(data), settings).unwrap()
}

/// Losses, perplexities and weights of a run.
type Results = (Vec<f32>, Vec<f64>, Vec<u8>);

fn results(mut run: Run) -> Results {
    while block_on(run.next()).unwrap().is_some() {}
    let outcome = run.outcome().unwrap();
    let perplexities = [outcome.before, outcome.after].map(|both| [both.domain, both.general]);
    let files = block_on(run.trained_model().to_files()).unwrap();
    let (_, weights) = files
        .into_iter()
        .find(|(name, _)| name == "model.safetensors")
        .unwrap();
    (run.losses().to_vec(), perplexities.concat(), weights)
}

/// Concurrent runs of one model and of another share the CPU cores of the process. Each computes bit for bit
/// what it computes alone.
#[test]
fn concurrent_runs_do_not_affect_each_other() {
    let settings = |seed| {
        TrainSettings::default()
            .with_epochs(2.0)
            .with_batch_size(4)
            .with_seed(seed)
    };
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let other = CausalLm::embedded(&Device::cpu()).unwrap();
    let alone = [0, 1].map(|seed| results(run(&model, settings(seed))));
    assert_ne!(alone[0], alone[1]);
    let concurrent = [(&model, 0), (&model, 1), (&other, 0)].map(|(model, seed)| {
        // Created on this thread, driven on another.
        let run = run(model, settings(seed));
        (seed, std::thread::spawn(move || results(run)))
    });
    for (seed, thread) in concurrent {
        let found = thread.join().unwrap();
        assert!(found == alone[seed as usize], "seed {seed}");
    }
}
