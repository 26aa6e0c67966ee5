//! Trainings on several processes of this machine, under OpenMPI's mpirun: their results are those of one process, and
//! whatever happens to a rank ends all of them with a clear error.
//!
//! Built with the feature `mpi`; `test.sh` does so on Linux.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::write_texts;
use minift::demo;
use serde_json::Value;

/// Largest relative difference of losses and perplexities from those of one process.
const TOLERANCE: f64 = 1e-5;
/// Time within which a job ends after a rank has failed.
const LIMIT: Duration = Duration::from_secs(30);
/// Time for a whole training on a slow machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A folder with texts. Only one exists at a time, since each test has all the cores.
struct Scratch {
    folder: tempfile::TempDir,
    /// Seconds from SIGTERM to SIGKILL where mpirun ends its ranks.
    patience: u32,
    _turn: MutexGuard<'static, ()>,
}

/// A job that was started.
struct Job {
    child: Child,
    name: String,
    folder: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let folder = tempfile::tempdir().unwrap();
        write_texts(folder.path());
        let write =
            |name, texts: &[String]| fs::write(folder.path().join(name), texts.join("\n\n"));
        let (tickets, tales) = (demo::tickets().unwrap(), demo::tales().unwrap());
        write("many.txt", &tickets[..37]).unwrap();
        write("replay.txt", &tales[20..29]).unwrap();
        Self {
            folder,
            patience: 1,
            _turn: turn,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a training: 0 ranks for a process without MPI. `arguments` are those of the ranks, in groups.
    fn start(&self, name: &str, groups: &[(usize, String)]) -> Job {
        let program = env!("CARGO_BIN_EXE_minift");
        let shell = |arguments: &str| {
            format!("trap '' XFSZ; exec {program} --json --device cpu train {arguments}")
        };
        let mut command = match groups {
            [(0, arguments)] => {
                let mut command = Command::new("sh");
                command.arg("-c").arg(shell(arguments));
                command
            }
            groups => {
                let mut command = Command::new("mpirun");
                command.args([
                    "--allow-run-as-root",
                    "--oversubscribe",
                    "--bind-to",
                    "none",
                ]);
                let patience = self.patience.to_string();
                command.args(["--mca", "odls_base_sigkill_timeout", &patience]);
                // OpenMPI counts the bytes that each rank sends.
                command.args(["--mca", "pml_monitoring_enable", "1"]);
                command.args(["--mca", "pml_monitoring_enable_output", "3"]);
                command.args(["--mca", "pml_monitoring_filename", &format!("{name}.bytes")]);
                for (number, (count, arguments)) in groups.iter().enumerate() {
                    if number > 0 {
                        command.arg(":");
                    }
                    // Directly to the file: mpirun reads no more output of its ranks after Ctrl-C.
                    let ranks = format!("{} >>{name}.json", shell(arguments));
                    command.args(["-n", &count.to_string(), "sh", "-c", &ranks]);
                }
                command
            }
        };
        let file = |end: &str| File::create(self.path(&format!("{name}.{end}"))).unwrap();
        let command = command.current_dir(self.folder.path());
        let child = command.stdout(file("json")).stderr(file("err"));
        Job {
            child: child.spawn().unwrap(),
            name: name.to_string(),
            folder: self.folder.path().to_path_buf(),
        }
    }

    /// Trains with a number of ranks to the end.
    fn train(&self, name: &str, ranks: usize, arguments: &str) -> Outcome {
        let arguments = format!("{BASE} --out {name} {arguments}");
        let mut job = self.start(name, &[(ranks, arguments)]);
        let status = job.end(PATIENCE);
        assert!(status.success(), "{name}: {}", job.text("err"));
        Outcome::read(&self.path(name), &job)
    }
}

/// The arguments of every training.
const BASE: &str =
    "--held-out held.txt --general general.txt --max-length 40 --batch-size 5 --no-dial";

impl Job {
    /// Waits for the end, within a limit.
    fn end(&mut self, limit: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if began.elapsed() > limit {
                let text = self.text("err");
                self.ranks().iter().for_each(|pid| signal("-KILL", *pid));
                self.child.kill().unwrap();
                panic!("{} hangs: {text}", self.name);
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Returns what it has written so far.
    fn text(&self, end: &str) -> String {
        let path = self.folder.join(format!("{}.{end}", self.name));
        fs::read_to_string(path).unwrap_or_default()
    }

    /// Returns the events that it has printed.
    fn events(&self, kind: &str) -> Vec<Value> {
        let text = self.text("json");
        let events = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        events
            .filter(|event: &Value| event["event"] == kind)
            .collect()
    }

    /// Waits until it has taken some steps.
    fn wait_for_steps(&mut self, steps: usize) {
        let began = Instant::now();
        while self.events("step").len() < steps {
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "{}",
                self.text("err")
            );
            assert!(began.elapsed() < PATIENCE, "{}", self.text("err"));
            sleep(Duration::from_millis(10));
        }
    }

    /// Returns the processes of its ranks, in their order: the children of mpirun.
    fn ranks(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
                continue;
            };
            let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
            let status = String::from_utf8_lossy(&read("status")).into_owned();
            let is_child = status.lines().any(|line| {
                line.strip_prefix("PPid:")
                    .is_some_and(|parent| parent.trim() == self.child.id().to_string())
            });
            let environment = String::from_utf8_lossy(&read("environ")).into_owned();
            let mut variables = environment.split('\0');
            let rank = variables.find_map(|one| one.strip_prefix("OMPI_COMM_WORLD_RANK="));
            if let (true, Some(rank)) = (is_child, rank) {
                found.push((rank.parse::<usize>().unwrap(), pid));
            }
        }
        found.sort_unstable();
        found.into_iter().map(|(_, pid)| pid).collect()
    }

    /// Returns the bytes that all ranks sent, by OpenMPI's own count.
    fn bytes(&self) -> f64 {
        let mut bytes = 0.0;
        for entry in fs::read_dir(&self.folder).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_count = name.starts_with(&format!("{}.bytes.", self.name));
            if !is_count {
                continue;
            }
            // Lines such as `I 0 1 4096 bytes 2 msgs sent …`: kind, sender, receiver, bytes.
            for line in fs::read_to_string(entry.path()).unwrap().lines() {
                let fields: Vec<&str> = line.split_whitespace().collect();
                if let [kind, _, _, count, "bytes", ..] = fields[..]
                    && matches!(kind, "I" | "E")
                {
                    bytes += count.parse::<f64>().unwrap();
                }
            }
        }
        bytes
    }
}

fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").arg(name).arg(pid.to_string()).status();
    assert!(status.unwrap().success());
}

/// The result of a training.
#[derive(Debug)]
struct Outcome {
    losses: Vec<f64>,
    perplexities: Vec<f64>,
    weights: Vec<u8>,
    /// Tokens whose teacher hidden states were computed.
    computed: Option<u64>,
    /// Number of trained values.
    trained: f64,
    bytes: f64,
}

impl Outcome {
    fn read(folder: &Path, job: &Job) -> Self {
        let run = fs::read(folder.join("run.json")).unwrap();
        let run: Value = serde_json::from_slice(&run).unwrap();
        let run = &run["runs"][0];
        let number = |value: &Value| value.as_f64().unwrap();
        let names = ["domain_perplexity", "general_perplexity"];
        let names = names
            .iter()
            .flat_map(|name| [format!("{name}_before"), format!("{name}_after")]);
        let files = ["model.safetensors", "adapter_model.safetensors"];
        let cache = job.events("teacher_cache");
        Self {
            losses: run["losses"]
                .as_array()
                .unwrap()
                .iter()
                .map(number)
                .collect(),
            perplexities: names.map(|name| number(&run["result"][name])).collect(),
            weights: files
                .iter()
                .find_map(|name| fs::read(folder.join(name)).ok())
                .unwrap(),
            computed: cache
                .first()
                .map(|event| event["cache"]["computed_tokens"].as_u64().unwrap()),
            trained: number(&run["trainable_parameters"]),
            bytes: job.bytes(),
        }
    }

    /// Returns the largest relative difference of losses and perplexities.
    fn difference(&self, other: &Self) -> f64 {
        let pairs = |a: &[f64], b: &[f64]| {
            assert_eq!(a.len(), b.len());
            let pairs = a.iter().zip(b).map(|(a, b)| (a - b).abs() / b.abs());
            pairs.fold(0.0, f64::max)
        };
        let losses = pairs(&self.losses, &other.losses);
        losses.max(pairs(&self.perplexities, &other.perplexities))
    }
}

/// Trains 50 steps with 1, 2 and 4 ranks, and twice with 2.
fn equals_one_process(arguments: &str) {
    let scratch = Scratch::new();
    let arguments = format!("{arguments} --max-steps 50 --evaluate-every 20");
    let one = scratch.train("one", 0, &arguments);
    assert_eq!(one.losses.len(), 50);
    let two = scratch.train("two", 2, &arguments);
    let again = scratch.train("again", 2, &arguments);
    assert_eq!(two.losses, again.losses);
    assert!(two.weights == again.weights, "the weights differ");
    let four = scratch.train("four", 4, &arguments);
    for (ranks, found) in [(2, &two), (4, &four)] {
        let difference = found.difference(&one);
        println!("{arguments}: {ranks} ranks differ by {difference:.1e}");
        assert!(difference <= TOLERANCE, "{ranks} ranks: {difference:e}");
        // The teacher works once for every sample of the job; for a whole batch where one of its samples is new.
        assert!(found.computed <= one.computed, "{ranks} ranks");
    }
}

#[test]
fn minifinetuning_with_packing_replay_and_accumulation() {
    equals_one_process(
        "--data many.txt --pack --replay replay.txt --grad-accumulation 2 --lr 3e-4",
    );
}

#[test]
fn minifinetuning_of_an_adapter_with_dropout_and_ewc() {
    equals_one_process(
        "--data many.txt --adapter lora --dropout 0.1 --ewc 0.5 --ewc-text replay.txt --lr 2e-3",
    );
}

#[test]
fn finetuning_with_ewc_and_gradient_checkpointing() {
    equals_one_process(
        "--data many.txt --method ft --ewc 0.5 --ewc-text replay.txt --gradient-checkpointing --grad-accumulation 3",
    );
}

#[test]
fn a_single_rank_is_one_process() {
    let scratch = Scratch::new();
    let arguments = "--data train.txt --max-steps 3";
    let one = scratch.train("one", 0, arguments);
    let rank = scratch.train("rank", 1, arguments);
    assert_eq!((&one.losses, &one.weights), (&rank.losses, &rank.weights));
}

#[test]
fn ranks_send_as_many_bytes_as_an_all_reduce_takes() {
    let scratch = Scratch::new();
    for (name, ranks, adapter) in [
        ("full-2", 2, ""),
        ("full-4", 4, ""),
        ("lora-2", 2, "--adapter lora"),
    ] {
        let train = |steps: usize| {
            let arguments = format!("--data train.txt --method ft --max-steps {steps} {adapter}");
            scratch.train(&format!("{name}-{steps}"), ranks, &arguments)
        };
        let (long, short) = (train(12), train(2));
        let bytes = (long.bytes - short.bytes) / 10.0;
        // To sum over n ranks, n - 1 of them send their values and get the sum: each float32 of the gradient, and the
        // loss. Each rank also tells the others whether to stop, as a float64.
        let others = (ranks - 1) as f64;
        let theory = 2.0 * others * 4.0 * (long.trained + 1.0) + ranks as f64 * others * 8.0;
        println!("{name}: {bytes} bytes per step, {theory} in theory");
        assert!(
            (bytes / theory - 1.0).abs() < 0.001,
            "{name}: {bytes}, expected {theory}"
        );
    }
}

#[test]
fn a_checkpoint_resumes_with_another_number_of_ranks() {
    let scratch = Scratch::new();
    let arguments = format!("{BASE} --data many.txt --max-steps 60 --evaluate-every 25");
    let whole = scratch.train(
        "whole",
        0,
        "--data many.txt --max-steps 60 --evaluate-every 25",
    );
    let mut job = scratch.start("two", &[(2, format!("{arguments} --out two"))]);
    job.wait_for_steps(4);
    // A signal to any rank stops all of them.
    signal("-INT", job.ranks()[1]);
    assert!(!job.end(PATIENCE).success());
    let cancelled = job.events("cancelled");
    assert_eq!(cancelled.len(), 1, "{}", job.text("err"));
    assert!(cancelled[0]["step"].as_u64().unwrap() < 60);
    for ranks in [0, 2, 4] {
        let name = format!("with-{ranks}");
        let checkpoint = scratch.path(&format!("{name}.checkpoint"));
        fs::copy(scratch.path("two.checkpoint"), checkpoint).unwrap();
        let resume = "--data many.txt --max-steps 60 --evaluate-every 25 --resume";
        let found = scratch.train(&name, ranks, resume);
        let difference = found.difference(&whole);
        println!("resumed with {ranks}: {difference:.1e}");
        assert!(difference <= TOLERANCE, "{ranks} ranks: {difference:e}");
    }
}

#[test]
fn ctrl_c_ends_the_job_with_a_checkpoint() {
    let scratch = Scratch {
        patience: 5,
        ..Scratch::new()
    };
    let arguments =
        format!("{BASE} --data train.txt --max-steps 100000 --checkpoint-every 0 --out out");
    let mut job = scratch.start("interrupted", &[(2, arguments)]);
    job.wait_for_steps(2);
    signal("-INT", job.child.id());
    assert!(!job.end(LIMIT).success());
    assert!(
        scratch.path("out.checkpoint").exists(),
        "{}",
        job.text("err")
    );
}

/// Starts a long training of two ranks that writes a checkpoint after every step.
fn long(scratch: &Scratch, name: &str) -> Job {
    let arguments =
        format!("{BASE} --data train.txt --max-steps 100000 --checkpoint-every 1 --out {name}");
    let mut job = scratch.start(name, &[(2, arguments)]);
    job.wait_for_steps(3);
    job
}

#[test]
fn a_killed_rank_ends_the_job_and_its_checkpoint_resumes() {
    let scratch = Scratch::new();
    let mut job = long(&scratch, "killed");
    signal("-KILL", job.ranks()[1]);
    assert!(!job.end(LIMIT).success());
    let text = job.text("err");
    assert!(text.contains("exited on signal 9"), "{text}");
    let arguments =
        format!("{BASE} --data train.txt --max-steps 100000 --checkpoint-every 1 --resume");
    let mut resumed = scratch.start("resumed", &[(1, format!("{arguments} --out killed"))]);
    resumed.wait_for_steps(2);
    let first = resumed.events("step")[0]["step"].as_u64().unwrap();
    assert!(first >= 3, "resumed at step {first}");
    signal("-INT", resumed.ranks()[0]);
    resumed.end(LIMIT);
}

#[test]
fn a_stopped_rank_ends_the_job() {
    let scratch = Scratch::new();
    let start = |rank: usize| (rank, long(&scratch, &format!("stopped-{rank}")));
    let mut jobs = [1, 0].map(start);
    for (rank, job) in &jobs {
        signal("-STOP", job.ranks()[*rank]);
    }
    for (rank, job) in &mut jobs {
        assert!(!job.end(LIMIT).success());
        let text = job.text("err");
        let expected = format!("rank {rank} on ");
        assert!(
            text.contains(&expected) && text.contains("has not answered for"),
            "{text}"
        );
    }
}

#[test]
fn other_data_on_one_rank_is_an_error() {
    let scratch = Scratch::new();
    let of = |data: &str| format!("{BASE} --data {data} --max-steps 5 --out other");
    for (name, second, expected) in [
        (
            "data",
            of("many.txt"),
            "has different training data than rank 0",
        ),
        (
            "settings",
            format!("{} --lr 3e-3", of("train.txt")),
            "has different settings than rank 0",
        ),
    ] {
        let mut job = scratch.start(name, &[(1, of("train.txt")), (1, second)]);
        assert!(!job.end(LIMIT + PATIENCE).success());
        let text = job.text("err");
        assert!(text.contains(expected), "{text}");
        assert_eq!(job.events("step").len(), 0);
        assert_eq!(text.matches("error:").count(), 1, "{text}");
    }
    // A rank that has no data at all.
    let mut job = scratch.start("missing", &[(1, of("train.txt")), (1, of("missing.txt"))]);
    assert!(!job.end(LIMIT + PATIENCE).success());
    let text = job.text("err");
    assert!(
        text.contains("rank 1 on ") && text.contains("missing.txt"),
        "{text}"
    );
}

#[test]
fn a_full_disk_ends_the_job() {
    let scratch = Scratch::new();
    let mut job = long(&scratch, "full");
    // From now on, rank 0 can write no more than 100 KiB per file.
    let limited = Command::new("prlimit")
        .args([
            "--fsize=102400:102400",
            "--pid",
            &job.ranks()[0].to_string(),
        ])
        .status();
    assert!(limited.unwrap().success());
    assert!(!job.end(LIMIT).success());
    let text = job.text("err");
    assert!(text.contains("error: cannot write"), "{text}");
    // The last checkpoint is kept.
    assert!(scratch.path("full.checkpoint").exists());
}

#[test]
fn a_diverged_training_ends_on_all_ranks() {
    let scratch = Scratch::new();
    let arguments =
        format!("{BASE} --data train.txt --max-steps 50 --lr 1e30 --warmup 0 --out nan");
    let mut job = scratch.start("nan", &[(2, arguments)]);
    assert!(!job.end(LIMIT + PATIENCE).success());
    let text = job.text("err");
    assert_eq!(text.matches("error: the loss became").count(), 1, "{text}");
    assert!(scratch.path("nan.checkpoint").exists());
}
