//! State that a run resumes from: checkpoints and teacher hidden states.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use minift::Error;
use minift::text::Sample;
use minift::train::{Run, RunData, TrainSettings};
use pollster::block_on;
use safetensors::SafeTensors;
use tempfile::TempDir;

use super::check_error;
use super::small_model::model;

/// A run of two steps.
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
    let settings = TrainSettings::default().with_epochs(1.0).with_batch_size(1);
    Run::new(model().clone(), data.clone(), settings).unwrap()
}

/// Trains to the end, or to a non-finite loss.
fn finish(run: &mut Run) {
    loop {
        match block_on(run.next()) {
            Ok(Some(_)) => {}
            Ok(None) => break assert!(run.outcome().is_some()),
            Err(error @ Error::NonFiniteLoss { .. }) => break check_error(&error, 0),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads a checkpoint. An accepted checkpoint serializes unchanged, and training resumes from it.
pub fn checkpoint(data: &[u8]) -> bool {
    let restored = |bytes: &[u8]| {
        let mut run = run();
        run.restore(bytes, Path::new("out.checkpoint"))
            .map(|()| run)
    };
    match restored(data) {
        Ok(mut run) => {
            let written = block_on(run.checkpoint()).unwrap();
            let again = restored(&written).expect("serialized output can be read");
            assert!(run.steps_done() <= run.steps());
            assert_eq!(again.losses(), run.losses());
            let rewritten = block_on(again.checkpoint()).unwrap();
            assert!(rewritten == written, "written and read again");
            finish(&mut run);
            true
        }
        Err(error) => {
            check_error(&error, data.len());
            false
        }
    }
}

/// Removes the checksum of a checkpoint, as in those of minift 0.1: changes of the others are all refused for
/// it.
fn without_checksum(checkpoint: &[u8]) -> Vec<u8> {
    const CHECKSUM: &str = "crc32";
    let (length, _) = SafeTensors::read_metadata(checkpoint).unwrap();
    let (header, values) = checkpoint[size_of::<u64>()..].split_at(length);
    let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
    header.as_object_mut().unwrap().remove(CHECKSUM).unwrap();
    let header = header.to_string().into_bytes();
    let values = &values[..values.len() - size_of::<u32>()];
    let length = (header.len() as u64).to_le_bytes();
    [&length, &*header, values].concat()
}

/// Checkpoints before, during and after training.
pub fn checkpoint_seeds() -> Vec<Vec<u8>> {
    let mut run = run();
    let mut checkpoints = vec![block_on(run.checkpoint()).unwrap()];
    while block_on(run.next()).unwrap().is_some() {
        checkpoints.push(block_on(run.checkpoint()).unwrap());
    }
    let mut seeds: Vec<Vec<u8>> = checkpoints
        .iter()
        .map(|bytes| without_checksum(bytes))
        .collect();
    seeds.push(beyond_float32(seeds.last().unwrap()));
    seeds.extend(checkpoints.pop());
    seeds
}

/// Replaces the first loss with a number beyond the range of float32.
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

/// A folder with the teacher hidden states of the run, their file, and its contents.
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

/// Reads cached teacher hidden states. Training with accepted states completes.
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
            check_error(&error, data.len());
            false
        }
    }
}

/// The unmodified states.
pub fn states_seeds() -> Vec<Vec<u8>> {
    vec![states().2.clone()]
}
