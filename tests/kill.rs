//! A training that is killed at any moment resumes with the same result, and a failed write loses nothing.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{names, write_texts};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use serde_json::Value;

/// Min number of kills per case; `MINIFT_KILLS` overrides it.
const KILLS: usize = 12;
/// Kills a process; it cannot be caught.
const SIGKILL: i32 = 9;
/// Sent to a process that exceeds its file size limit.
const SIGXFSZ: i32 = 25;

/// A working folder with texts.
struct Scratch {
    folder: tempfile::TempDir,
    arguments: Vec<&'static str>,
}

impl Scratch {
    fn new(arguments: &[&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_texts(folder.path());
        Self {
            folder,
            arguments: arguments.to_vec(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the arguments of the program, with --resume if there is a checkpoint.
    fn all_arguments(&self) -> Vec<&'static str> {
        let defaults = "train --device cpu --data train.txt --held-out held.txt --general general.txt \
                     --max-length 24 --batch-size 4 --checkpoint-every 1 --out out";
        let resume = self.has_checkpoint().then_some("--resume");
        let defaults = defaults.split_whitespace();
        defaults
            .chain(self.arguments.iter().copied())
            .chain(resume)
            .collect()
    }

    fn start(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_minift"))
            .args(self.all_arguments())
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs the program until it succeeds and returns its duration.
    fn finish(&self) -> Duration {
        let began = Instant::now();
        let output = self.start().wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        began.elapsed()
    }

    /// Returns the bytes of the weights, the losses and the perplexities.
    fn result(&self) -> (Vec<u8>, Value, Vec<Value>) {
        let out = self.path("out");
        let weights = ["model.safetensors", "adapter_model.safetensors"]
            .iter()
            .find_map(|name| fs::read(out.join(name)).ok())
            .unwrap();
        assert!(SafeTensors::deserialize(&weights).is_ok());
        let run: Value = serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap();
        let result = &run["runs"][0]["result"];
        let perplexities = [
            "domain_perplexity_before",
            "domain_perplexity_after",
            "general_perplexity_before",
            "general_perplexity_after",
        ];
        self.check_logs(&run["runs"][0]["losses"]);
        let perplexities = perplexities.map(|name| {
            assert!(result[name].is_number(), "{result}");
            result[name].clone()
        });
        (
            weights,
            run["runs"][0]["losses"].clone(),
            perplexities.to_vec(),
        )
    }

    /// Checks that the table of steps, if any, has every step once.
    fn check_logs(&self, losses: &Value) {
        let Ok(steps) = fs::read_to_string(self.path("logs/steps.csv")) else {
            return;
        };
        let rows: Vec<Vec<&str>> = steps.lines().map(|row| row.split(',').collect()).collect();
        let losses = losses.as_array().unwrap();
        assert_eq!(rows.len(), 1 + losses.len(), "{steps}");
        for ((row, loss), step) in rows[1..].iter().zip(losses).zip(1..) {
            assert_eq!(row[0], step.to_string());
            let (found, loss): (f64, _) = (row[2].parse().unwrap(), loss.as_f64().unwrap());
            assert_eq!(found as f32, loss as f32);
        }
    }

    /// Returns whether there is a result, and checks that it is complete.
    fn is_done(&self) -> bool {
        let done = self.path("out").exists();
        if done {
            self.result();
        }
        done
    }

    /// Returns the names of all files and folders except the texts.
    fn names(&self) -> Vec<String> {
        let mut names = names(self.folder.path());
        names.retain(|name| !name.ends_with(".txt"));
        names
    }

    fn has_checkpoint(&self) -> bool {
        !self.checkpoints().is_empty()
    }

    fn checkpoints(&self) -> Vec<String> {
        let mut names = self.names();
        names.retain(|name| name.starts_with("out.checkpoint"));
        names
    }

    fn clear(&self) {
        let _ = fs::remove_dir_all(self.path("out"));
        let _ = fs::remove_dir_all(self.path("states"));
        let _ = fs::remove_dir_all(self.path("logs"));
        let _ = fs::remove_file(self.path("report.html"));
        for name in self.checkpoints() {
            fs::remove_file(self.path(&name)).unwrap();
        }
    }
}

/// Kills a training at random moments until it completes, repeatedly.
fn killed(arguments: &[&'static str], seed: u64) {
    let scratch = Scratch::new(arguments);
    let duration = scratch.finish();
    let expected = scratch.result();
    let undisturbed = scratch.names();
    let requested = std::env::var("MINIFT_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());

    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut kills, mut resumed) = (0, 0);
    while kills < requested {
        scratch.clear();
        loop {
            resumed += usize::from(scratch.has_checkpoint());
            let mut child = scratch.start();
            sleep(duration.mul_f64(random.random_range(0.0..1.2)));
            // It may have exited already.
            let _ = child.kill();
            let output = child.wait_with_output().unwrap();
            if output.status.signal() == Some(SIGKILL) {
                kills += 1;
                if scratch.is_done() {
                    // Killed after the result was in place.
                    break;
                }
            } else {
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{errors}");
                assert_eq!(scratch.names(), undisturbed);
                break;
            }
        }
        assert!(scratch.result() == expected, "after {kills} kills");
    }
    assert!(
        resumed > requested / 10,
        "{resumed} of {kills} had a checkpoint to resume"
    );
}

#[test]
fn full_finetuning_survives_kills() {
    killed(&[], 1);
}

#[test]
fn an_adapter_with_float16_states_survives_kills() {
    let arguments = "--adapter lora --dropout 0.1 --teacher-states float16 --schedule cosine";
    killed(&arguments.split(' ').collect::<Vec<_>>(), 2);
}

#[test]
fn accumulation_with_a_teacher_cache_survives_kills() {
    let arguments = "--grad-accumulation 2 --teacher-cache states --schedule linear --seed 3";
    killed(&arguments.split(' ').collect::<Vec<_>>(), 3);
}

#[test]
fn replay_with_consolidation_survives_kills() {
    let arguments = "--replay general.txt --ewc 1 --ewc-text general.txt";
    killed(&arguments.split(' ').collect::<Vec<_>>(), 4);
}

#[test]
fn kept_checkpoints_survive_kills() {
    let arguments = "--keep-checkpoints 3 --evaluate-every 2 --best --lr 0.02";
    killed(&arguments.split(' ').collect::<Vec<_>>(), 5);
}

#[test]
fn logs_survive_kills() {
    let arguments = "--log-dir logs --report report.html --evaluate-every 2 --lr 0.01";
    killed(&arguments.split(' ').collect::<Vec<_>>(), 6);
}

/// Runs the program with a file size limit in KiB. A write beyond it kills the program or, if `fails`, fails.
fn limited(scratch: &Scratch, kibibytes: u64, fails: bool) -> std::process::Output {
    let trap = if fails { "trap '' XFSZ; " } else { "" };
    Command::new("bash")
        .arg("-c")
        .arg(format!("{trap}ulimit -f {kibibytes}; exec \"$@\""))
        .arg("bash")
        .arg(env!("CARGO_BIN_EXE_minift"))
        .args(scratch.all_arguments())
        .current_dir(scratch.folder.path())
        .output()
        .unwrap()
}

/// Limits in KiB within the parts of a checkpoint and of a model.
const LIMITS: [u64; 9] = [0, 1, 5, 300, 1000, 1450, 3000, 4200, 4240];

#[test]
fn a_training_killed_in_the_middle_of_a_write_resumes() {
    let scratch = Scratch::new(&["--teacher-cache", "states"]);
    scratch.finish();
    let expected = scratch.result();
    let undisturbed = scratch.names();
    for kibibytes in LIMITS {
        scratch.clear();
        let output = limited(&scratch, kibibytes, false);
        assert_eq!(
            output.status.signal(),
            Some(SIGXFSZ),
            "{kibibytes} KiB: {output:?}"
        );
        assert!(!scratch.is_done());
        scratch.finish();
        assert!(scratch.result() == expected, "{kibibytes} KiB");
        assert_eq!(scratch.names(), undisturbed, "{kibibytes} KiB");
    }
}

/// As on a full disk: the error names the file, and existing files are kept.
#[test]
fn a_failed_write_is_reported_and_loses_nothing() {
    let scratch = Scratch::new(&["--teacher-cache", "states"]);
    scratch.finish();
    let expected = scratch.result();
    for kibibytes in LIMITS {
        scratch.clear();
        let output = limited(&scratch, kibibytes, true);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{kibibytes} KiB: {output:?}");
        assert!(errors.contains("cannot write out"), "{errors}");
        let there = scratch.names();
        assert!(there.iter().all(|name| !name.starts_with('.')), "{there:?}");
        scratch.finish();
        assert!(scratch.result() == expected, "{kibibytes} KiB");
    }

    // An old result is kept where the new one cannot be written.
    let scratch = Scratch::new(&["--force"]);
    fs::create_dir(scratch.path("out")).unwrap();
    fs::write(scratch.path("out/old.txt"), "precious").unwrap();
    let output = limited(&scratch, 1000, true);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(fs::read(scratch.path("out/old.txt")).unwrap(), b"precious");
}

/// A second program with the same output fails immediately and changes nothing.
#[test]
fn only_one_program_writes_to_an_output() {
    let scratch = Scratch::new(&["--epochs", "150"]);
    let mut first = scratch.start();
    let began = Instant::now();
    while !scratch.path("out.checkpoint").exists() {
        assert!(began.elapsed() < Duration::from_secs(60));
        sleep(Duration::from_millis(5));
    }
    let second = scratch.start().wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("is in use by another minift process"),
        "{errors}"
    );
    assert!(first.try_wait().unwrap().is_none(), "the first continues");
    first.kill().unwrap();
    first.wait().unwrap();
    // The lock is free, although the killed process could not remove its file.
    assert!(scratch.names().contains(&".out.minift-lock".to_string()));
    scratch.finish();
    assert_eq!(scratch.names(), ["out"]);
}

/// A process killed between the two renames of a replacement leaves a complete new folder.
#[test]
fn an_interrupted_replacement_is_completed() {
    let scratch = Scratch::new(&["--force"]);
    let put = |folder: &str, text: &str| {
        fs::create_dir(scratch.path(folder)).unwrap();
        fs::write(scratch.path(folder).join("file"), text).unwrap();
    };
    let writer = |replace| minift::files::FolderWriter::new(scratch.path("out"), replace);
    let content = || fs::read_to_string(scratch.path("out/file")).unwrap();

    put(".out.minift-old", "old");
    put(".out.minift-new", "new");
    assert!(matches!(
        writer(false),
        Err(minift::Error::OutputExists { .. })
    ));
    assert_eq!(
        (content().as_str(), scratch.names().as_slice()),
        ("new", &["out".to_string()][..])
    );

    // Before the first rename the new folder may be incomplete; after the second the old one is obsolete.
    put(".out.minift-new", "part");
    drop(writer(true).unwrap());
    assert_eq!(content(), "new");
    put(".out.minift-old", "old");
    drop(writer(true).unwrap());
    assert_eq!(content(), "new");

    fs::rename(scratch.path("out"), scratch.path(".out.minift-old")).unwrap();
    // The folder was created again in the meantime.
    fs::create_dir(scratch.path("out")).unwrap();
    drop(writer(true).unwrap());
    assert_eq!(
        (content().as_str(), scratch.names().as_slice()),
        ("new", &["out".to_string()][..])
    );
}
