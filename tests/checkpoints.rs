//! Which checkpoints of a run stay, and what can be done with them.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{names, run_data, values, write_texts};
use minift::Error;
use minift::device::Device;
use minift::model::CausalLm;
use minift::train::{Cancel, Checkpoints, Ending, Outcome, Run, TrainSettings, drive};
use pollster::block_on;

/// A run of twelve steps; with a learning rate that large the domain is soon found harder again.
fn run(learning_rate: f64, evaluate_every: usize) -> Run {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = run_data(&model, 24, [8, 2, 2]);
    let settings = TrainSettings {
        epochs: 6,
        batch_size: 4,
        learning_rate,
        evaluate_every,
        ..TrainSettings::default()
    };
    Run::new(model, Arc::new(data), settings).unwrap()
}

fn finish(run: &mut Run, checkpoints: &Checkpoints) -> Outcome {
    let ending = block_on(drive(run, Some(checkpoints), &Cancel::default(), |_| {}));
    match ending.unwrap() {
        Ending::Finished(outcome) => outcome,
        Ending::Cancelled => panic!("nobody asked it to stop"),
    }
}

fn bits(run: &Run) -> Vec<u32> {
    let parameters = run.trained_model().parameters().to_vec();
    let values = parameters.into_iter().flat_map(values);
    values.map(f32::to_bits).collect()
}

#[test]
fn the_last_ones_stay_and_a_run_goes_on_from_each_of_them() {
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

    // From the one before the last but one: what is then done again replaces what was there.
    let mut again = run(1e-3, 0);
    Checkpoints::new(path.with_file_name("c.8"))
        .restore(&mut again)
        .unwrap();
    assert_eq!(again.steps_done(), 8);
    finish(&mut again, &checkpoints);
    assert_eq!(bits(&again), bits(&whole));
    assert_eq!(names(folder.path()), ["c", "c.10", "c.8"]);

    // From further back with fewer to keep: later ones are of a run that never was.
    std::fs::rename(&path, path.with_file_name("c.12")).unwrap();
    let mut killed = run(1e-3, 0);
    checkpoints.restore(&mut killed).unwrap();
    assert_eq!(killed.steps_done(), 12, "the newest that is there");
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
fn one_stays_where_nobody_asks_for_more() {
    let folder = tempfile::tempdir().unwrap();
    // Other files are nobody's business.
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
fn the_best_one_stays_and_gives_the_model_that_found_the_domain_easiest() {
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
    // It is a checkpoint as others are.
    finish(&mut restored, &checkpoints);
    assert_eq!(bits(&restored), bits(&overfitted));
}

/// The program in a folder with texts.
fn minift(folder: &Path, arguments: &str) -> std::process::Command {
    minift_to(folder, "out", arguments)
}

/// The same, to an output of that name.
fn minift_to(folder: &Path, out: &str, arguments: &str) -> std::process::Command {
    write_texts(folder);
    let usual = "train --data train.txt --held-out held.txt --general general.txt --max-length 24 \
                 --batch-size 4 --checkpoint-every 2";
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_minift"));
    command
        .args(usual.split_whitespace())
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
fn the_program_writes_the_best_model_and_goes_on_from_any_checkpoint() {
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

    // What stayed is not overwritten by a run that does not know of it.
    std::fs::remove_dir_all(folder.join("out")).unwrap();
    assert!(fails(minift(folder, arguments)).contains("--resume"));
    let resumed = format!("{arguments} --resume out.checkpoint.8");
    assert!(succeeds(minift(folder, &resumed)).contains("after step 8 of 9"));
    assert!(weights() == last_weights);

    std::fs::remove_dir_all(folder.join("out")).unwrap();
    let said = succeeds(minift(folder, &format!("{arguments} --best --force")));
    assert!(
        said.contains(&format!("Best     step {} of 9", best["step"])),
        "{said}"
    );
    let found = report();
    assert_eq!(found["result"]["domain_perplexity_after"], best["domain"]);
    assert_eq!(found["result"]["steps"], best["step"]);
    assert_eq!(found["evaluations"].as_array().unwrap(), evaluations);
    assert!(weights() != last_weights);
    assert!(folder.join("out.checkpoint.best").exists());

    // The best one goes along to another place, and it is said at once where it is missing.
    let best_weights = weights();
    let place = |line: &str| minift_to(folder, "elsewhere", &format!("{arguments} --best {line}"));
    succeeds(place("--resume out.checkpoint.8"));
    let elsewhere = std::fs::read(folder.join("elsewhere/model.safetensors")).unwrap();
    assert!(elsewhere == best_weights);
    std::fs::rename(folder.join("out.checkpoint.best"), folder.join("best")).unwrap();
    for other in [None, Some("out.checkpoint.8")] {
        if let Some(other) = other {
            std::fs::copy(folder.join(other), folder.join("out.checkpoint.best")).unwrap();
        }
        let told = fails(place("--force --resume out.checkpoint"));
        assert!(
            told.contains("without --best") && !told.contains("MFT"),
            "{told}"
        );
    }

    let told = fails(minift(folder, "--device cpu --best"));
    assert!(told.contains("--evaluate-every"), "{told}");
}

/// An adapter that is there when a training begins, and not when it goes on.
#[test]
fn a_training_goes_on_elsewhere_when_its_adapter_is_gone() {
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
        // No driver is found there, whatever the graphics API.
        let none = folder.join("none.json");
        command
            .env("VK_DRIVER_FILES", &none)
            .env("VK_ICD_FILENAMES", &none);
        command
    };
    if cfg!(target_os = "linux") {
        for device in ["gpu", "gpu:0"] {
            let told = fails(without_adapters(device));
            assert!(told.contains("no GPU adapter was found"), "{told}");
        }
        assert!(folder.join("out.checkpoint.4").exists() && !folder.join("out").exists());
        assert!(succeeds(without_adapters("auto")).contains("after step 4 of 9"));
    } else {
        succeeds(minift(folder, "--resume out.checkpoint.4 --device cpu"));
    }
    assert!(folder.join("out/model.safetensors").exists());
}
