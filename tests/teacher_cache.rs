//! What keeping the teacher's hidden states must not change, and what it saves.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::devices;
use minift::Error;
use minift::data::{Sample, Samples};
use minift::demo;
use minift::device::Device;
use minift::model::CausalLm;
use minift::train::{KeptStates, Run, RunData, TeacherCache, TrainSettings};
use pollster::block_on;
use safetensors::SafeTensors;

/// Tickets of several lengths, so that batches are padded.
fn data(model: &CausalLm) -> Arc<RunData> {
    let samples = |texts: &[String]| {
        let read = Samples::tokenize(texts, model.tokenizer(), 40, "test");
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
    TrainSettings {
        epochs: 3,
        batch_size: 4,
        ..TrainSettings::default()
    }
}

/// Its losses, and what came of keeping states.
fn finished(mut run: Run) -> (Vec<f32>, TeacherCache) {
    finish(&mut run);
    (run.losses().to_vec(), run.teacher_cache().unwrap())
}

fn finish(run: &mut Run) {
    while block_on(run.next()).unwrap().is_some() {}
}

/// Kept as float16, the teacher's states take half the memory, and losses are nearly the same.
#[test]
fn teacher_states_as_float16_change_losses_by_less_than_a_thousandth() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let trained = |teacher_states: KeptStates| {
            let settings = TrainSettings {
                epochs: 3,
                teacher_states,
                ..settings()
            };
            finished(Run::new(model.clone(), data(&model), settings).unwrap())
        };
        let (exact, cache) = trained(KeptStates::Float32);
        let (rounded, small) = trained(KeptStates::Float16);
        assert_eq!(2 * small.device_bytes, cache.device_bytes);
        assert!(cache.device_bytes > 0);
        // Two of three epochs find all of them.
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

/// States that are in the host's memory, or nowhere, lead to the same losses as those on the device.
#[test]
fn where_states_are_kept_changes_nothing() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let trained = |teacher_cache_bytes, teacher_host_bytes| {
            let settings = TrainSettings {
                teacher_cache_bytes,
                teacher_host_bytes,
                ..settings()
            };
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
        close(&losses, &expected);

        let (losses, cache) = trained(0, 0);
        assert_eq!(cache.hit_rate(), 0.0);
        close(&losses, &expected);
    }
}

/// States that are computed anew are so in other batches, which sum in another order.
fn close(losses: &[f32], expected: &[f32]) {
    for (loss, expected) in losses.iter().zip(expected) {
        assert!((loss - expected).abs() < 1e-4, "{losses:?} {expected:?}");
    }
}

#[test]
fn a_run_begins_with_the_states_that_another_one_left() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        for teacher_states in [KeptStates::Float32, KeptStates::Float16] {
            let folder = tempfile::tempdir().unwrap();
            // Some on the device, some in the host's memory.
            let settings = TrainSettings {
                teacher_states,
                teacher_cache_bytes: 20_000,
                ..settings()
            };
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

/// The one file of a folder.
fn file_in(folder: &Path) -> PathBuf {
    let mut files = fs::read_dir(folder).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

/// A run that was stopped leaves what it computed; the next one adds to it.
#[test]
fn states_of_a_stopped_run_are_completed_by_the_next() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = data(&model);
    // Beside the checksum.
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

/// Other samples, other numbers, another model: another file.
#[test]
fn states_are_found_by_all_that_they_depend_on() {
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
    // What is not trained on does not matter, nor how it is trained on.
    let elsewhere = RunData {
        domain: data.general.clone(),
        ..(*data).clone()
    };
    let otherwise = TrainSettings {
        seed: 1,
        learning_rate: 1e-4,
        ..settings()
    };
    assert!(found(elsewhere, otherwise));

    let halves = TrainSettings {
        teacher_states: KeptStates::Float16,
        ..settings()
    };
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
fn a_damaged_file_of_states_is_refused() {
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
        // It can go on without.
        block_on(run.next()).unwrap();
    }
}

/// The program with `--teacher-cache`: its exit status and what it says.
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
fn the_program_keeps_states_between_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (succeeded, text) = train(folder.path(), &[]);
    assert!(
        succeeded && text.contains("at hand for 0 % of the tokens"),
        "{text}"
    );
    let (succeeded, text) = train(folder.path(), &["--lr", "0.0001"]);
    assert!(
        succeeded && text.contains("at hand from another run"),
        "{text}"
    );
    assert!(text.contains("at hand for 100 % of the tokens"), "{text}");

    // A damaged file is said and replaced.
    let path = file_in(&folder.path().join("states"));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..100]).unwrap();
    let (succeeded, text) = train(folder.path(), &[]);
    assert!(succeeded && text.contains("computed anew"), "{text}");
    assert!(fs::read(&path).unwrap() == whole);

    let (succeeded, text) = train(folder.path(), &["--method", "ft"]);
    assert!(
        !succeeded && text.contains("which has no teacher"),
        "{text}"
    );
}
