//! What a training goes on from: checkpoints, and the teacher's states.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use minift::Error;
use minift::data::Sample;
use minift::train::{Run, RunData, TrainSettings};
use pollster::block_on;
use safetensors::SafeTensors;
use tempfile::TempDir;

use super::is_told;
use super::small_model::model;

/// A training of two steps.
pub fn run() -> Run {
    static DATA: OnceLock<Arc<RunData>> = OnceLock::new();
    let data = DATA.get_or_init(|| {
        let samples = |texts: &[&[u32]]| {
            texts
                .iter()
                .map(|text| Sample::new(text.to_vec()))
                .collect()
        };
        Arc::new(RunData {
            train: samples(&[&[0, 2, 3, 4], &[0, 5, 6]]),
            domain: samples(&[&[0, 2, 3]]),
            general: samples(&[&[0, 7, 6]]),
            ..RunData::default()
        })
    });
    let settings = TrainSettings {
        epochs: 1,
        batch_size: 1,
        ..TrainSettings::default()
    };
    Run::new(model().clone(), data.clone(), settings).unwrap()
}

/// Trains to the end; a loss that is no number any more is told.
fn finish(run: &mut Run) {
    loop {
        match block_on(run.next()) {
            Ok(Some(_)) => {}
            Ok(None) => break assert!(run.outcome().is_some()),
            Err(error @ Error::NonFiniteLoss { .. }) => break is_told(&error, 0),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads bytes as a checkpoint. One that is accepted is written as it is read, and the training can go
/// on from it.
pub fn checkpoint(data: &[u8]) -> bool {
    let restored = |bytes: &[u8]| {
        let mut run = run();
        run.restore(bytes, Path::new("out.checkpoint"))
            .map(|()| run)
    };
    match restored(data) {
        Ok(mut run) => {
            let written = block_on(run.checkpoint()).unwrap();
            let again = restored(&written).expect("what is written can be read");
            assert!(run.steps_done() <= run.steps());
            assert_eq!(again.losses(), run.losses());
            let rewritten = block_on(again.checkpoint()).unwrap();
            assert!(
                parts(&rewritten) == parts(&written),
                "written and read again"
            );
            finish(&mut run);
            true
        }
        Err(error) => {
            is_told(&error, data.len());
            false
        }
    }
}

/// Metadata and tensors of a checkpoint; the metadata is in no order.
fn parts(checkpoint: &[u8]) -> (BTreeMap<String, String>, &[u8]) {
    let (length, header) = SafeTensors::read_metadata(checkpoint).unwrap();
    let metadata = header.metadata().clone().unwrap().into_iter();
    (metadata.collect(), &checkpoint[size_of::<u64>() + length..])
}

/// Checkpoints before, in and after the training.
pub fn seeds_of_checkpoints() -> Vec<Vec<u8>> {
    let mut run = run();
    let mut seeds = vec![block_on(run.checkpoint()).unwrap()];
    while block_on(run.next()).unwrap().is_some() {
        seeds.push(block_on(run.checkpoint()).unwrap());
    }
    seeds.push(beyond_float32(seeds.last().unwrap()));
    seeds
}

/// The same with a first loss that is a number in JSON, and none as float32.
fn beyond_float32(checkpoint: &[u8]) -> Vec<u8> {
    const LOSSES: &[u8] = br#"losses\":["#;
    let mut bytes = checkpoint.to_vec();
    let losses = bytes.windows(LOSSES.len()).position(|part| part == LOSSES);
    let begin = losses.unwrap() + LOSSES.len();
    let digits = bytes[begin..].iter().take_while(|&&byte| byte != b',');
    let end = begin + digits.count();
    bytes[begin..end].fill(b' ');
    bytes[begin..begin + 4].copy_from_slice(b"1e99");
    bytes
}

/// A folder with the teacher's states of the training, and the file that they are in.
fn states() -> &'static (TempDir, PathBuf, Vec<u8>) {
    static STATES: OnceLock<(TempDir, PathBuf, Vec<u8>)> = OnceLock::new();
    STATES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let mut run = run();
        finish(&mut run);
        block_on(run.write_teacher_states(folder.path())).unwrap();
        let file = fs::read_dir(folder.path())
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let bytes = fs::read(&file).unwrap();
        (folder, file, bytes)
    })
}

/// Reads bytes as a file of the teacher's states. With one that is accepted the training goes to its
/// end.
pub fn teacher_states(data: &[u8]) -> bool {
    let (folder, file, _) = states();
    fs::write(file, data).unwrap();
    let mut run = run();
    match run.read_teacher_states(folder.path()) {
        Ok(found) => {
            assert!(found);
            finish(&mut run);
            true
        }
        Err(error) => {
            is_told(&error, data.len());
            false
        }
    }
}

/// The states as they were left.
pub fn seeds_of_states() -> Vec<Vec<u8>> {
    vec![states().2.clone()]
}
