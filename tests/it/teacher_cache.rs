//! The teacher cache: its hits, its files, and that it does not change results.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::devices;
use minift::Error;
use minift::demo;
use minift::device::Device;
use minift::model::CausalLm;
use minift::text::{Preparation, Sample};
use minift::train::{KeptStates, Run, RunData, TeacherCache, TrainSettings};
use pollster::block_on;
use safetensors::SafeTensors;

/// Tickets of different lengths, so that batches are padded.
fn data(model: &CausalLm) -> Arc<RunData> {
    let samples = |texts: &[String]| {
        let read = model
            .reader()
            .samples_of_texts(texts, &Preparation::to_length(40), "test");
        read.unwrap().samples
    };
    let (tickets, tales) = (demo::tickets().unwrap(), demo::tales().unwrap());
    let mut train = samples(&tickets[..12]);
    for (number, sample) in train.iter_mut().enumerate() {
        *sample = Sample::new(sample.tokens()[..20 + number % 20].to_vec());
    }
    Arc::new(RunData {
        train,
        domain: samples(&tickets[500..502]),
        general: samples(&tales[..2]),
        ..RunData::default()
    })
}

fn settings() -> TrainSettings {
    TrainSettings::default().with_epochs(3.0).with_batch_size(4)
}

/// Trains to the end and returns the losses and the cache statistics.
fn finished(mut run: Run) -> (Vec<f32>, TeacherCache) {
    finish(&mut run);
    (run.losses().to_vec(), run.teacher_cache().unwrap())
}

fn finish(run: &mut Run) {
    while block_on(run.next()).unwrap().is_some() {}
}

/// As float16, teacher hidden states take half the memory, and losses are nearly the same.
#[test]
fn teacher_states_as_float16_change_losses_by_less_than_a_thousandth() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let trained = |teacher_states: KeptStates| {
            let settings = settings()
                .with_epochs(3.0)
                .with_teacher_states(teacher_states);
            finished(Run::new(model.clone(), data(&model), settings).unwrap())
        };
        let (exact, cache) = trained(KeptStates::Float32);
        let (rounded, small) = trained(KeptStates::Float16);
        assert_eq!(2 * small.device_bytes, cache.device_bytes);
        assert!(cache.device_bytes > 0);
        // Two of three epochs hit the cache for every sample.
        assert_eq!(cache.reused_tokens, 2 * cache.computed_tokens);
        assert!((small.hit_rate() - 2.0 / 3.0).abs() < 1e-9);
        let mut largest = 0.0_f32;
        for (exact, rounded) in exact.iter().zip(&rounded) {
            largest = largest.max((exact - rounded).abs() / exact);
        }
        println!("{}: {largest:e}", device.name());
        assert!(largest > 0.0 && largest < 1e-3, "{largest}");
    }
}

/// Hidden states cached in host memory, or not at all, give the same losses as those on the device.
#[test]
fn the_location_of_the_cache_does_not_change_losses() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let trained = |teacher_cache_bytes, teacher_host_bytes| {
            let settings = settings()
                .with_teacher_cache_bytes(teacher_cache_bytes)
                .with_teacher_host_bytes(teacher_host_bytes);
            finished(Run::new(model.clone(), data(&model), settings).unwrap())
        };
        let (expected, all) = trained(usize::MAX, 0);
        let whole = all.device_bytes;
        assert_eq!(all.host_bytes, 0);

        let (losses, cache) = trained(whole / 3, usize::MAX);
        assert!(cache.device_bytes > 0 && cache.device_bytes <= whole / 3);
        assert_eq!(cache.device_bytes + cache.host_bytes, whole);
        assert_eq!(cache.reused_tokens, all.reused_tokens);
        assert_eq!(losses, expected);

        let (losses, cache) = trained(0, whole / 2);
        assert_eq!(cache.device_bytes, 0);
        assert!(cache.host_bytes > 0 && cache.host_bytes <= whole / 2);
        assert!(cache.reused_tokens < all.reused_tokens);
        assert_close(&losses, &expected);

        let (losses, cache) = trained(0, 0);
        assert_eq!(cache.hit_rate(), 0.0);
        assert_close(&losses, &expected);
    }
}

/// Asserts nearly equal losses: recomputed hidden states come from other batches, which sum in another order.
fn assert_close(losses: &[f32], expected: &[f32]) {
    for (loss, expected) in losses.iter().zip(expected) {
        assert!((loss - expected).abs() < 1e-4, "{losses:?} {expected:?}");
    }
}

#[test]
fn a_run_reuses_hidden_states_of_an_earlier_run() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        for teacher_states in [KeptStates::Float32, KeptStates::Float16] {
            let folder = tempfile::tempdir().unwrap();
            // Some on the device, some in host memory.
            let settings = settings()
                .with_teacher_states(teacher_states)
                .with_teacher_cache_bytes(20_000);
            let new = || Run::new(model.clone(), data(&model), settings.clone()).unwrap();
            let mut first = new();
            assert!(!first.read_teacher_states(folder.path()).unwrap());
            finish(&mut first);
            block_on(first.write_teacher_states(folder.path())).unwrap();
            let cache = first.teacher_cache().unwrap();
            assert!(cache.device_bytes > 0 && cache.host_bytes > 0);

            let mut second = new();
            assert!(second.read_teacher_states(folder.path()).unwrap());
            finish(&mut second);
            let cache = second.teacher_cache().unwrap();
            assert_eq!(cache.computed_tokens, 0);
            assert_eq!(cache.hit_rate(), 1.0);
            assert_eq!(first.losses(), second.losses());
        }
    }
}

/// Returns the only file of a folder.
fn file_in(folder: &Path) -> PathBuf {
    let mut files = fs::read_dir(folder).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

/// A stopped run writes the hidden states that it computed; the next run adds the others.
#[test]
fn the_next_run_completes_the_hidden_states_of_a_stopped_run() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = data(&model);
    // Without the checksum tensor.
    let count = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        SafeTensors::deserialize(&bytes).unwrap().len() - 1
    };
    let new = || Run::new(model.clone(), data.clone(), settings()).unwrap();

    let mut run = new();
    while run.steps_done() < 2 {
        block_on(run.next()).unwrap();
    }
    block_on(run.write_teacher_states(folder.path())).unwrap();
    assert_eq!(count(&file_in(folder.path())), 8);

    let mut run = new();
    assert!(run.read_teacher_states(folder.path()).unwrap());
    finish(&mut run);
    block_on(run.write_teacher_states(folder.path())).unwrap();
    let cache = run.teacher_cache().unwrap();
    assert!(cache.computed_tokens > 0 && cache.hit_rate() > 2.0 / 3.0);
    assert_eq!(count(&file_in(folder.path())), data.train.len());
}

/// Different samples, data types or models use different files.
#[test]
fn hidden_states_are_keyed_by_everything_they_depend_on() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = data(&model);
    let mut run = Run::new(model.clone(), data.clone(), settings()).unwrap();
    finish(&mut run);
    block_on(run.write_teacher_states(folder.path())).unwrap();

    let found = |data: RunData, settings: TrainSettings| {
        let mut run = Run::new(model.clone(), Arc::new(data), settings).unwrap();
        run.read_teacher_states(folder.path()).unwrap()
    };
    // Evaluation sets and optimizer settings do not matter.
    let other_evaluation = RunData {
        domain: data.general.clone(),
        ..(*data).clone()
    };
    let other_optimizer = settings().with_seed(1).with_learning_rate(1e-4);
    assert!(found(other_evaluation, other_optimizer));

    let halves = settings().with_teacher_states(KeptStates::Float16);
    assert!(!found((*data).clone(), halves));
    let mut fewer = (*data).clone();
    fewer.train.pop();
    assert!(!found(fewer, settings()));
    let mut packed = (*data).clone();
    let last = packed.train.pop().unwrap();
    let [first, second] =
        [0..9, 9..last.len()].map(|part| Sample::new(last.tokens()[part].to_vec()));
    packed.train.push(Sample::packed([first, second]));
    assert!(!found(packed, settings()));
}

#[test]
fn a_damaged_file_of_hidden_states_is_rejected() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::new(model.clone(), data(&model), settings()).unwrap();
    finish(&mut run);
    block_on(run.write_teacher_states(folder.path())).unwrap();
    let path = file_in(folder.path());
    let whole = fs::read(&path).unwrap();

    let text = String::from_utf8_lossy(&whole[..200]).into_owned();
    assert!(text.contains("\"dtype\":\"F32\""), "{text}");
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = whole
            .windows(from.len())
            .position(|part| part == from.as_bytes());
        let mut bytes = whole.clone();
        bytes[at.unwrap()..][..to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let damaged = [
        Vec::new(),
        b"{}".to_vec(),
        vec![0xff; 100],
        whole[..whole.len() - 1].to_vec(),
        whole[..50].to_vec(),
        replaced("\"F32\"", "\"I32\""),
        replaced("\"1\":", "\"x\":"),
        replaced(",64]", ",65]"),
        replaced("\"crc32\"", "\"crc16\""),
        flipped(whole.len() / 2),
        flipped(whole.len() - 1),
    ];
    for (number, bytes) in damaged.iter().enumerate() {
        fs::write(&path, bytes).unwrap();
        let mut run = Run::new(model.clone(), data(&model), settings()).unwrap();
        let refused = run.read_teacher_states(folder.path());
        assert!(
            matches!(refused, Err(Error::TeacherStates { .. })),
            "case {number}: {refused:?}"
        );
        // The run works without them.
        block_on(run.next()).unwrap();
    }
}

/// Runs the program with `--teacher-cache`. Returns whether it succeeded, and its output.
fn train(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let tickets = demo::tickets().unwrap()[..20].join("\n\n");
    fs::write(folder.join("tickets.txt"), tickets).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_minift"))
        .args([
            "train",
            "--device",
            "cpu",
            "--data",
            "tickets.txt",
            "--max-length",
            "24",
        ])
        .args([
            "--general",
            "tickets.txt",
            "--epochs",
            "1",
            "--out",
            "out",
            "--force",
        ])
        .args(["--teacher-cache", "states"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.into_owned())
}

#[test]
fn the_program_reuses_hidden_states_across_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (succeeded, text) = train(folder.path(), &[]);
    assert!(
        succeeded && text.contains("teacher cache: 0 % hits"),
        "{text}"
    );
    let (succeeded, text) = train(folder.path(), &["--lr", "0.0001"]);
    assert!(
        succeeded && text.contains("hidden states loaded from the cache"),
        "{text}"
    );
    assert!(text.contains("teacher cache: 100 % hits"), "{text}");

    // A damaged file is reported and replaced.
    let path = file_in(&folder.path().join("states"));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..100]).unwrap();
    let (succeeded, text) = train(folder.path(), &[]);
    assert!(succeeded && text.contains("computing them again"), "{text}");
    assert!(fs::read(&path).unwrap() == whole);

    let (succeeded, text) = train(folder.path(), &["--method", "ft"]);
    assert!(
        !succeeded && text.contains("which has no teacher"),
        "{text}"
    );
}
