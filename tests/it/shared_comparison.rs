//! `minift compare` in several processes that write to one folder: shares, single trainings, killed processes.
#![allow(clippy::unwrap_used)]

use crate::common::write_tickets;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const RECIPE: &str = r#"
budgets = [8, 16]
seeds = [0]
max_length = 24
evaluation_samples = 6

[training]
epochs = 1
batch_size = 4
warmup_steps = 0

[[domain]]
name = "tickets"
data = "tickets.jsonl"
hold_out = 10

[[method]]
name = "FT"
method = "ft"

[[method]]
name = "MFT"
method = "mft"
# 1 is plain finetuning.
sweep = [0.5, 1.0]
"#;

struct Scratch(TempDir);

impl Scratch {
    fn new(recipe: &str) -> Self {
        let scratch = Self(TempDir::new().unwrap());
        write_tickets(scratch.0.path(), 40);
        fs::write(scratch.path("recipe.toml"), recipe).unwrap();
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_minift"));
        command
            .current_dir(self.0.path())
            .args(["compare", "--recipe", "recipe.toml", "--device", "cpu"])
            .args(["--out", out])
            .args(more);
        command
    }

    fn run(&self, out: &str, more: &[&str]) -> String {
        succeeds(&self.command(out, more).output().unwrap())
    }

    fn ids(&self) -> Vec<String> {
        let text = self.run("unused", &["--list"]);
        assert!(!self.path("unused").exists());
        text.lines().map(str::to_string).collect()
    }

    /// The records without what depends on time.
    fn records(&self, out: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(out).join("results.jsonl")).unwrap();
        let timeless = |line: &str| {
            let mut record: Value = serde_json::from_str(line).unwrap();
            for name in ["seconds", "tokens_per_second"] {
                assert!(record.as_object_mut().unwrap().remove(name).is_some());
            }
            record.to_string()
        };
        text.lines().map(timeless).collect()
    }
}

fn succeeds(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn shares_in_parallel_equal_one_process() {
    let scratch = Scratch::new(RECIPE);
    let ids = scratch.ids();
    // τ = 1 and FT are one training: two methods and one more strength, on two budgets.
    assert_eq!(ids.len(), 6, "{ids:?}");
    assert_eq!(ids[0], "tickets-ft-0.001-n8-s0");

    let all = scratch.run("single", &[]);
    assert!(all.contains("8 trainings"), "{all}");
    let processes = ["1/3", "2/3", "3/3"].map(|shard| {
        let mut command = scratch.command("shared", &["--shard", shard]);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    });
    for process in processes {
        let text = succeeds(&process.wait_with_output().unwrap());
        assert!(text.contains("2 trainings\n"), "{text}");
    }
    let text = scratch.run("shared", &["--collect"]);
    assert!(text.contains("all complete"), "{text}");
    assert_eq!(scratch.records("shared"), scratch.records("single"));
    assert!(scratch.path("shared/report.html").exists());
    assert!(scratch.path("shared/results.csv").exists());
    let left: Vec<_> = fs::read_dir(scratch.path("shared/cells"))
        .unwrap()
        .collect();
    assert_eq!(left.len(), 6, "only results are left: {left:?}");
    // What is complete is not run again, in any way of running.
    for more in [&["--shard", "1/1"][..], &["--cell", &ids[0]], &[]] {
        let text = scratch.run("shared", more);
        assert!(!text.contains(", seed "), "{text}");
    }
}

#[test]
fn collecting_says_what_is_missing() {
    let scratch = Scratch::new(RECIPE);
    let ids = scratch.ids();
    scratch.run("out", &["--cell", &ids[3]]);
    // A result that was not completely written is missing.
    scratch.run("out", &["--cell", &ids[1]]);
    let partial = scratch.path("out/cells").join(format!("{}.json", ids[1]));
    let bytes = fs::read(&partial).unwrap();
    fs::write(&partial, &bytes[..bytes.len() / 2]).unwrap();

    let text = scratch.run("out", &["--collect", "--json"]);
    let event: Value = serde_json::from_str(text.lines().next_back().unwrap()).unwrap();
    assert_eq!(event["event"], "collected", "{text}");
    let missing: Vec<&str> = event["missing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect();
    assert!(
        missing.contains(&ids[1].as_str()) && !missing.contains(&ids[3].as_str()),
        "{missing:?}"
    );
    assert_eq!(scratch.records("out").len(), 1);

    let output = scratch
        .command("out", &["--cell", "tickets-ft"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("as --list prints it"), "{errors}");
    for shard in ["0/2", "3/2", "x"] {
        let output = scratch
            .command("out", &["--shard", shard])
            .output()
            .unwrap();
        assert!(!output.status.success(), "{shard}");
    }
}

/// A killed process leaves a checkpoint, from which the next one continues to the same result.
#[test]
fn a_killed_training_continues_from_its_checkpoint() {
    let recipe = RECIPE
        .replace("epochs = 1", "epochs = 40")
        .replace("[8, 16]", "[16]");
    let scratch = Scratch::new(&recipe);
    let id = &scratch.ids()[1];
    scratch.run("undisturbed", &["--cell", id]);

    let mut process = scratch
        .command("out", &["--cell", id])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let checkpoint = scratch.path("out/cells").join(format!("{id}.checkpoint"));
    let patience = Instant::now() + Duration::from_secs(120);
    while !checkpoint.exists() {
        assert!(Instant::now() < patience && process.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(2));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let result = scratch.path("out/cells").join(format!("{id}.json"));
    assert!(!result.exists(), "killed too late");

    let text = scratch.run("out", &["--cell", id]);
    assert!(!text.contains("starts over"), "{text}");
    assert!(!checkpoint.exists());
    for out in ["out", "undisturbed"] {
        scratch.run(out, &["--collect"]);
    }
    assert_eq!(scratch.records("out"), scratch.records("undisturbed"));

    // A checkpoint that cannot be used is not an obstacle.
    fs::create_dir_all(scratch.path("other/cells")).unwrap();
    fs::write(
        scratch.path("other/cells").join(format!("{id}.checkpoint")),
        "damaged",
    )
    .unwrap();
    let text = scratch.run("other", &["--cell", id]);
    assert!(text.contains("starts over"), "{text}");
    scratch.run("other", &["--collect"]);
    assert_eq!(scratch.records("other"), scratch.records("undisturbed"));
}
