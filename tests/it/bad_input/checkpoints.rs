//! Invalid checkpoints.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use minift::device::Device;
use minift::model::CausalLm;
use minift::train::{Checkpoints, Run, RunData, TrainSettings};
use pollster::block_on;

use super::{Scratch, fault, no_faults, refusal};
use crate::common::run_data;

fn model() -> CausalLm {
    CausalLm::embedded(&Device::cpu()).unwrap()
}

fn data(model: &CausalLm) -> RunData {
    run_data(model, 16, [4, 1, 1])
}

fn run(model: &CausalLm, data: RunData, learning_rate: f64) -> Run {
    let settings = TrainSettings::default()
        .with_epochs(1.0)
        .with_batch_size(2)
        .with_learning_rate(learning_rate);
    Run::new(model.clone(), Arc::new(data), settings).unwrap()
}

#[test]
fn invalid_checkpoints_are_rejected() {
    let scratch = Scratch::with_model();
    scratch.write("garbage.checkpoint", "not a checkpoint");
    scratch.write(
        "weights.checkpoint",
        scratch.read("model/model.safetensors"),
    );
    let model = model();
    let cases: [(&str, &[&str]); 3] = [
        ("missing.checkpoint", &["missing.checkpoint"]),
        (
            "garbage.checkpoint",
            &["garbage.checkpoint", "damaged checkpoint"],
        ),
        (
            "weights.checkpoint",
            &["weights.checkpoint", "not a minift checkpoint"],
        ),
    ];
    no_faults(cases.map(|(name, fragments)| {
        let mut run = run(&model, data(&model), 1e-3);
        let restored = Checkpoints::new(scratch.path(name)).restore(&mut run);
        (name.to_string(), refusal(restored, fragments))
    }));
}

#[test]
fn checkpoints_of_another_run_and_truncated_ones_are_rejected() {
    let model = model();
    let mut first = run(&model, data(&model), 1e-3);
    while first.steps_done() < 1 {
        block_on(first.next()).unwrap();
    }
    let whole = block_on(first.checkpoint()).unwrap();
    let restore = |bytes: &[u8], mut run: Run, fragments: &[&str]| {
        let fragments = [&["out.checkpoint"], fragments].concat();
        refusal(run.restore(bytes, Path::new("out.checkpoint")), &fragments)
    };
    let elsewhere = RunData {
        general: data(&model).domain,
        ..data(&model)
    };
    let mut faults = vec![
        (
            "different learning rate".to_string(),
            restore(
                &whole,
                run(&model, data(&model), 1e-4),
                &["different settings", "learning_rate"],
            ),
        ),
        (
            "different data".to_string(),
            restore(&whole, run(&model, elsewhere, 1e-3), &["different data"]),
        ),
    ];
    for length in [0, 7, 1000, whole.len() / 2, whole.len() - 1] {
        let run = run(&model, data(&model), 1e-3);
        let fault = restore(&whole[..length], run, &["damaged checkpoint"]);
        faults.push((format!("truncated to {length} bytes"), fault));
    }
    no_faults(faults);
    run(&model, data(&model), 1e-3)
        .restore(&whole, Path::new("out.checkpoint"))
        .unwrap();
}

#[test]
fn resuming_without_a_valid_checkpoint_is_an_error() {
    let scratch = Scratch::new();
    let missing = scratch.train_fault(&["--resume"], &["out.checkpoint"]);
    scratch.write("out.checkpoint", "not a checkpoint");
    let fragments = ["out.checkpoint", "damaged checkpoint"];
    let garbage = scratch.train_fault(&["--resume"], &fragments);
    no_faults([
        ("missing".to_string(), missing),
        ("garbage".to_string(), garbage),
    ]);
}

/// The checkpoint of a stopped run may contain hours of training.
#[test]
fn the_checkpoint_of_a_stopped_run_is_not_overwritten_without_force() {
    let scratch = Scratch::new();
    fs::write(scratch.path("out.checkpoint"), "hours of work").unwrap();
    let output = scratch.train(&["--out", "out"]);
    assert_eq!(
        fault(&output, &["out.checkpoint", "--resume", "--force"]),
        None
    );
    let kept = fs::read_to_string(scratch.path("out.checkpoint")).unwrap();
    assert_eq!(kept, "hours of work");
}
