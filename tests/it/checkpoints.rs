//! Checkpoints: which ones are kept, resuming from them, and damage.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{names, run_data, values, write_texts};
use minift::Error;
use minift::device::Device;
use minift::model::CausalLm;
use minift::model::adapter::{AdapterSettings, LoraSettings};
use minift::train::{Cancel, Checkpoints, Ending, Outcome, Run, TrainSettings, drive};
use pollster::block_on;
use safetensors::SafeTensors;

/// A run of twelve steps. With a large learning rate the domain perplexity soon rises again.
fn run(learning_rate: f64, evaluate_every: usize) -> Run {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = run_data(&model, 24, [8, 2, 2]);
    let settings = TrainSettings::default()
        .with_epochs(6.0)
        .with_batch_size(4)
        .with_learning_rate(learning_rate)
        .with_evaluate_every(evaluate_every);
    Run::new(model, Arc::new(data), settings).unwrap()
}

fn finish(run: &mut Run, checkpoints: &Checkpoints) -> Outcome {
    let ending = block_on(drive(run, Some(checkpoints), &Cancel::default(), |_| {}));
    match ending.unwrap() {
        Ending::Finished(outcome) => outcome,
        Ending::Cancelled => panic!("the run was not cancelled"),
    }
}

fn bits(run: &Run) -> Vec<u32> {
    let parameters = run.trained_model().parameters();
    let values = parameters.into_iter().flat_map(values);
    values.map(f32::to_bits).collect()
}

#[test]
fn the_latest_checkpoints_are_kept_and_each_can_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let checkpoints = Checkpoints {
        every: 2,
        keep: 3,
        ..Checkpoints::new(&path)
    };
    let mut whole = run(1e-3, 0);
    finish(&mut whole, &checkpoints);
    assert_eq!(names(folder.path()), ["c", "c.10", "c.8"]);
    let earlier: Vec<usize> = checkpoints
        .earlier()
        .unwrap()
        .iter()
        .map(|&(step, _)| step)
        .collect();
    assert_eq!(earlier, [8, 10]);

    // Resume from the oldest: the repeated steps replace the later checkpoints.
    let mut again = run(1e-3, 0);
    Checkpoints::new(path.with_file_name("c.8"))
        .restore(&mut again)
        .unwrap();
    assert_eq!(again.steps_done(), 8);
    finish(&mut again, &checkpoints);
    assert_eq!(bits(&again), bits(&whole));
    assert_eq!(names(folder.path()), ["c", "c.10", "c.8"]);

    // Resume from an earlier one and keep fewer: checkpoints of later steps are removed.
    std::fs::rename(&path, path.with_file_name("c.12")).unwrap();
    let mut killed = run(1e-3, 0);
    checkpoints.restore(&mut killed).unwrap();
    assert_eq!(killed.steps_done(), 12, "the newest existing checkpoint");
    let mut back = run(1e-3, 0);
    Checkpoints::new(path.with_file_name("c.8"))
        .restore(&mut back)
        .unwrap();
    block_on(back.next()).unwrap();
    let cancel = Cancel::default();
    cancel.cancel();
    let fewer = Checkpoints {
        keep: 2,
        ..checkpoints.clone()
    };
    assert_eq!(
        block_on(drive(&mut back, Some(&fewer), &cancel, |_| {})).unwrap(),
        Ending::Cancelled
    );
    assert_eq!(names(folder.path()), ["c", "c.8"]);

    fewer.remove().unwrap();
    assert!(names(folder.path()).is_empty());
    assert!(matches!(fewer.restore(&mut back), Err(Error::Io { .. })));
}

#[test]
fn one_checkpoint_is_kept_by_default() {
    let folder = tempfile::tempdir().unwrap();
    // Other files are left alone.
    for other in ["c.notes", "c.007", "c.4", "d.2"] {
        std::fs::write(folder.path().join(other), "mine").unwrap();
    }
    let checkpoints = Checkpoints {
        every: 2,
        ..Checkpoints::new(folder.path().join("c"))
    };
    finish(&mut run(1e-3, 0), &checkpoints);
    assert_eq!(
        names(folder.path()),
        ["c", "c.007", "c.4", "c.notes", "d.2"]
    );
    checkpoints.remove().unwrap();
    assert_eq!(names(folder.path()), ["c.007", "c.4", "c.notes", "d.2"]);
}

#[test]
fn the_best_checkpoint_holds_the_model_with_the_lowest_domain_perplexity() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints {
        every: 1,
        best: true,
        ..Checkpoints::new(folder.path().join("c"))
    };
    let mut overfitted = run(3e-2, 1);
    let last = finish(&mut overfitted, &checkpoints);
    assert_eq!(names(folder.path()), ["c", "c.best"]);
    let evaluations = overfitted.evaluations().to_vec();
    let trained = evaluations.iter().filter(|found| found.step > 0);
    let best = trained
        .min_by(|a, b| a.perplexities.domain.total_cmp(&b.perplexities.domain))
        .unwrap();
    assert!(best.step < 12 && best.perplexities.domain < last.after.domain);
    assert_eq!(overfitted.best_step(), Some(best.step));

    let mut restored = run(3e-2, 1);
    checkpoints.restore_best(&mut restored).unwrap();
    let outcome = restored.outcome_so_far().unwrap();
    assert_eq!(
        (outcome.steps, outcome.after),
        (best.step, best.perplexities)
    );
    // Training can be resumed from it too.
    finish(&mut restored, &checkpoints);
    assert_eq!(bits(&restored), bits(&overfitted));
}

/// A run that trains a small adapter, so that its checkpoints are small.
fn lora_run() -> Run {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = run_data(&model, 24, [8, 2, 2]);
    let lora = LoraSettings {
        rank: 1,
        ..LoraSettings::default()
    };
    let settings = TrainSettings::default()
        .with_adapter(Some(AdapterSettings::Lora(lora)))
        .with_epochs(2.0)
        .with_batch_size(4);
    Run::new(model, Arc::new(data), settings).unwrap()
}

fn lora_checkpoint() -> Vec<u8> {
    let mut run = lora_run();
    while run.steps_done() < 2 {
        block_on(run.next()).unwrap();
    }
    block_on(run.checkpoint()).unwrap()
}

/// Bits all over the file: the header's length, the header with its metadata, the values, the checksum.
#[test]
fn any_flipped_bit_is_detected() {
    let whole = lora_checkpoint();
    let (length, _) = SafeTensors::read_metadata(&whole).unwrap();
    let values = 8 + length;
    let name = b"\"crc32\"";
    let entry = whole.windows(name.len()).position(|part| part == name);
    let [all, entry, values, checksum] =
        [whole.len(), entry.unwrap(), values, whole.len() - 4].map(|byte| 8 * byte);
    let bits = (0..64)
        .chain((64..entry).step_by(11))
        .chain(entry..values)
        .chain((values..checksum).step_by(499))
        .chain(checksum..all);
    let mut run = lora_run();
    run.restore(&whole, Path::new("whole")).unwrap();
    let mut flips = 0;
    for bit in bits {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let refused = run.restore(&damaged, Path::new("some.checkpoint"));
        assert!(
            matches!(&refused, Err(Error::Checkpoint { path, .. }) if path == Path::new("some.checkpoint")),
            "bit {bit} of {all}: {refused:?}"
        );
        flips += 1;
    }
    println!("{flips} bits of {all}");
    assert!(flips > 2000, "{flips}");
}

/// The error names the file, whether the latest or the best checkpoint is resumed.
#[test]
fn resuming_from_a_damaged_file_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path().join("c"));
    let mut damaged = lora_checkpoint();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&checkpoints.path, &damaged).unwrap();
    std::fs::write(checkpoints.best_path(), &damaged).unwrap();
    let refused = |result: minift::error::Result<()>, expected: PathBuf| match result {
        Err(Error::Checkpoint { path, message }) => {
            assert_eq!(path, expected);
            assert!(message.contains("checksum does not match"), "{message}");
        }
        other => panic!("{other:?}"),
    };
    let mut run = lora_run();
    refused(checkpoints.restore(&mut run), checkpoints.path.clone());
    refused(checkpoints.restore_best(&mut run), checkpoints.best_path());
    assert_eq!(run.steps_done(), 0);
}

#[test]
fn checkpoints_of_equal_runs_have_equal_bytes() {
    let bytes = lora_checkpoint();
    for _ in 0..8 {
        let mut run = lora_run();
        run.restore(&bytes, Path::new("test")).unwrap();
        assert!(block_on(run.checkpoint()).unwrap() == bytes);
    }
}

/// The command that trains in a folder with texts.
fn minift(folder: &Path, arguments: &str) -> std::process::Command {
    minift_to(folder, "out", arguments)
}

/// Like [`minift`], with an output folder.
fn minift_to(folder: &Path, out: &str, arguments: &str) -> std::process::Command {
    write_texts(folder);
    let default = "train --data train.txt --held-out held.txt --general general.txt --max-length 24 \
                 --batch-size 4 --checkpoint-every 2";
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_minift"));
    command
        .args(default.split_whitespace())
        .args(["--out", out])
        .args(arguments.split_whitespace())
        .current_dir(folder);
    command
}

fn succeeds(mut command: std::process::Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    format!("{}{errors}", String::from_utf8_lossy(&output.stdout))
}

fn fails(mut command: std::process::Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{errors}");
    errors
}

fn names_beside_texts(folder: &Path) -> Vec<String> {
    let mut names = names(folder);
    names.retain(|name| !name.ends_with(".txt"));
    names
}

#[test]
fn the_program_writes_the_best_model_and_resumes_from_any_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let report = || {
        let bytes = std::fs::read(folder.join("out/run.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        report["runs"][0].clone()
    };
    let weights = || std::fs::read(folder.join("out/model.safetensors")).unwrap();
    let arguments = "--device cpu --lr 0.06 --evaluate-every 1 --keep-checkpoints 2";
    succeeds(minift(folder, arguments));
    assert_eq!(
        names_beside_texts(folder),
        ["out", "out.checkpoint", "out.checkpoint.8"]
    );
    let last = report();
    let evaluations = last["evaluations"].as_array().unwrap();
    assert_eq!(evaluations.len(), 10);
    let domain = |evaluation: &serde_json::Value| evaluation["domain"].as_f64().unwrap();
    let best = evaluations[1..]
        .iter()
        .min_by(|a, b| domain(a).total_cmp(&domain(b)))
        .unwrap();
    assert!(best["step"].as_u64().unwrap() < 9, "{evaluations:?}");
    let last_weights = weights();

    // A run without --resume does not overwrite existing checkpoints.
    std::fs::remove_dir_all(folder.join("out")).unwrap();
    assert!(fails(minift(folder, arguments)).contains("--resume"));
    let resumed = format!("{arguments} --resume out.checkpoint.8");
    assert!(succeeds(minift(folder, &resumed)).contains("after step 8 of 9"));
    assert!(weights() == last_weights);

    std::fs::remove_dir_all(folder.join("out")).unwrap();
    let output = succeeds(minift(folder, &format!("{arguments} --best --force")));
    assert!(
        output.contains(&format!("Best     step {} of 9", best["step"])),
        "{output}"
    );
    let found = report();
    assert_eq!(found["result"]["domain_perplexity_after"], best["domain"]);
    assert_eq!(found["result"]["steps"], best["step"]);
    assert_eq!(found["evaluations"].as_array().unwrap(), evaluations);
    assert!(weights() != last_weights);
    assert!(folder.join("out.checkpoint.best").exists());

    // The best checkpoint is copied along to another output. If it is missing, the error comes before training.
    let best_weights = weights();
    let elsewhere =
        |line: &str| minift_to(folder, "elsewhere", &format!("{arguments} --best {line}"));
    succeeds(elsewhere("--resume out.checkpoint.8"));
    let copied = std::fs::read(folder.join("elsewhere/model.safetensors")).unwrap();
    assert!(copied == best_weights);
    std::fs::rename(folder.join("out.checkpoint.best"), folder.join("best")).unwrap();
    for other in [None, Some("out.checkpoint.8")] {
        if let Some(other) = other {
            std::fs::copy(folder.join(other), folder.join("out.checkpoint.best")).unwrap();
        }
        let error = fails(elsewhere("--force --resume out.checkpoint"));
        assert!(
            error.contains("resume without `best`") && !error.contains("MFT"),
            "{error}"
        );
    }

    let error = fails(minift(folder, "--device cpu --best"));
    assert!(error.contains("--evaluate-every"), "{error}");
}

/// A GPU adapter that is present when training starts, and missing when it resumes.
#[test]
fn training_resumes_on_another_device_when_its_gpu_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeeds(minift(
        folder,
        "--device gpu --keep-checkpoints 9 --time-slice 4",
    ));
    std::fs::remove_dir_all(folder.join("out")).unwrap();
    let without_adapters = |device: &str| {
        let mut command = minift(
            folder,
            &format!("--resume out.checkpoint.4 --device {device}"),
        );
        // Hides the Vulkan drivers.
        let none = folder.join("none.json");
        command
            .env("VK_DRIVER_FILES", &none)
            .env("VK_ICD_FILENAMES", &none);
        command
    };
    if cfg!(target_os = "linux") {
        for device in ["gpu", "gpu:0"] {
            let error = fails(without_adapters(device));
            assert!(error.contains("no GPU adapter found"), "{error}");
        }
        assert!(folder.join("out.checkpoint.4").exists() && !folder.join("out").exists());
        assert!(succeeds(without_adapters("auto")).contains("after step 4 of 9"));
    } else {
        succeeds(minift(folder, "--resume out.checkpoint.4 --device cpu"));
    }
    assert!(folder.join("out/model.safetensors").exists());
}
