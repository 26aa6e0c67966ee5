//! What is promised of threads: what may go from one to another, and that runs at once are as alone.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::run_data;
use minift::data::Samples;
use minift::device::Device;
use minift::files::FolderWriter;
use minift::model::CausalLm;
use minift::train::{Cancel, Checkpoints, Event, Run, RunData, TrainSettings};
use pollster::block_on;

/// Goes from thread to thread.
fn is_send<T: Send>() {}

/// Is used by several threads at once.
fn is_shared<T: Send + Sync>() {}

#[test]
fn handles_go_from_thread_to_thread() {
    is_shared::<Device>();
    is_shared::<CausalLm>();
    is_shared::<Samples>();
    is_shared::<RunData>();
    is_shared::<TrainSettings>();
    is_shared::<Cancel>();
    is_shared::<Checkpoints>();
    is_shared::<Event>();
    is_shared::<minift::Error>();
    is_send::<Run>();
    is_send::<FolderWriter>();
}

fn run(model: &CausalLm, settings: TrainSettings) -> Run {
    let data = run_data(model, 48, [24, 4, 4]);
    Run::new(model.clone(), Arc::new(data), settings).unwrap()
}

/// Everything that a run computes.
type Figures = (Vec<f32>, Vec<f64>, Vec<u8>);

fn figures(mut run: Run) -> Figures {
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

/// Different runs of one model and of another one, at once in one process, on the CPU whose cores they
/// share: each gives bit for bit what it gives alone.
#[test]
fn runs_at_once_are_as_alone() {
    let settings = |seed| TrainSettings {
        epochs: 2,
        batch_size: 4,
        seed,
        ..TrainSettings::default()
    };
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let other = CausalLm::embedded(&Device::cpu()).unwrap();
    let alone = [0, 1].map(|seed| figures(run(&model, settings(seed))));
    assert_ne!(alone[0], alone[1]);
    let at_once = [(&model, 0), (&model, 1), (&other, 0)].map(|(model, seed)| {
        // Made here, and driven there.
        let run = run(model, settings(seed));
        (seed, std::thread::spawn(move || figures(run)))
    });
    for (seed, thread) in at_once {
        let found = thread.join().unwrap();
        assert!(found == alone[seed as usize], "seed {seed}");
    }
}
