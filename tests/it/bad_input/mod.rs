//! Invalid input, by kind: library and program report the fault, and the program changes no files.
#![allow(clippy::unwrap_used)]

mod checkpoints;
mod configuration;
mod data;
mod model;
mod options;
mod output;
mod program;
mod recipes;
mod settings;
mod weights;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use minift::device::Device;
use minift::model::CausalLm;
use serde_json::Value;
use tempfile::TempDir;

const DOMAIN: &str = "The front wheel is bent, the spokes are loose.\n\n\
                      The chain slips under load.\n\n\
                      Brake pads worn, rotor scored.\n\n\
                      The bell does not ring.\n";
const GENERAL: &str = "Once upon a time there was a cat.\n\nThe dog ran away from the big house.\n";

/// Runs the program in a folder, on the CPU.
fn minift(folder: &Path, arguments: &[&str]) -> Output {
    run(folder, &[arguments, &["--device", "cpu"]].concat())
}

/// Runs the program in a folder.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_minift");
    Command::new(program)
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Checks that the program failed with an exit code other than 0, without a panic, and with an error line that
/// contains all fragments. Returns what is wrong, if anything.
fn fault(output: &Output, fragments: &[&str]) -> Option<String> {
    let errors = text(&output.stderr);
    // The last error line, since graphics drivers print errors before it.
    let message = errors
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("error: "));
    let lacks: Vec<&&str> = fragments
        .iter()
        .filter(|fragment| !message.is_some_and(|message| message.contains(**fragment)))
        .collect();
    let what = if errors.contains("panicked") {
        "it panicked".to_string()
    } else if output.status.code().is_none_or(|code| code == 0) {
        format!("it exited with {}", output.status)
    } else if message.is_none() {
        "it printed no error".to_string()
    } else if !lacks.is_empty() {
        format!("the error lacks {lacks:?}")
    } else {
        return None;
    };
    Some(format!("{what}:\n{errors}"))
}

/// A working folder for the program, with `domain.txt` and `general.txt`.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        let scratch = Self(TempDir::new().unwrap());
        scratch.write("domain.txt", DOMAIN);
        scratch.write("general.txt", GENERAL);
        scratch
    }

    /// Creates a folder with a copy of the embedded model in `model`.
    fn with_model() -> Self {
        let scratch = Self::new();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/minift-tales-360k");
        fs::create_dir(scratch.path("model")).unwrap();
        for file in ["config.json", "model.safetensors", "tokenizer.json"] {
            fs::copy(source.join(file), scratch.path("model").join(file)).unwrap();
        }
        scratch
    }

    /// Creates a folder with an output folder `out` that is not empty.
    fn with_old_output() -> Self {
        let scratch = Self::new();
        fs::create_dir(scratch.path("out")).unwrap();
        scratch.write("out/notes.md", "years of work");
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn change_json(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut json = serde_json::from_slice(&self.read(name)).unwrap();
        change(&mut json);
        self.write(name, json.to_string());
    }

    /// Returns everything in the folder: files with their bytes, and folders.
    fn contents(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut contents = BTreeMap::new();
        let mut folders = vec![self.0.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                    contents.insert(path, None);
                } else {
                    let bytes = fs::read(&path).unwrap();
                    contents.insert(path, Some(bytes));
                }
            }
        }
        contents
    }

    fn minift(&self, arguments: &[&str]) -> Output {
        minift(self.0.path(), arguments)
    }

    /// Runs a short training on the two texts, with output `out`, unless overridden by the given arguments.
    fn train(&self, given: &[&str]) -> Output {
        let mut arguments = vec!["train"];
        for (name, value) in [
            ("--data", "domain.txt"),
            ("--general", "general.txt"),
            ("--out", "out"),
            ("--epochs", "1"),
            ("--batch-size", "2"),
            ("--max-length", "16"),
        ] {
            let same = |given: &&str| *given == name || given.starts_with(&format!("{name}="));
            if !given.iter().any(same) {
                arguments.extend([name, value]);
            }
        }
        arguments.extend(given);
        self.minift(&arguments)
    }

    /// Checks that the program failed as expected and left the folder unchanged. Returns what is wrong, if
    /// anything.
    fn fault(&self, fragments: &[&str], run: impl FnOnce(&Self) -> Output) -> Option<String> {
        let before = self.contents();
        let output = run(self);
        fault(&output, fragments).or_else(|| {
            let after = self.contents();
            let differs = |path: &&PathBuf| before.get(*path) != after.get(*path);
            let paths: Vec<&PathBuf> = before.keys().chain(after.keys()).filter(differs).collect();
            (!paths.is_empty()).then(|| format!("it changed {paths:?}"))
        })
    }

    fn train_fault(&self, given: &[&str], fragments: &[&str]) -> Option<String> {
        self.fault(fragments, |scratch| scratch.train(given))
    }

    fn eval_fault(&self, given: &[&str], fragments: &[&str]) -> Option<String> {
        self.fault(fragments, |scratch| {
            scratch.minift(&[&["eval"], given].concat())
        })
    }

    /// Loads the copy of the model.
    fn load(&self) -> minift::Result<CausalLm> {
        CausalLm::load(self.path("model"), &Device::cpu())
    }

    /// Checks that the library rejects the copy of the model.
    fn model_fault(&self, fragments: &[&str]) -> Option<String> {
        refusal(self.load(), fragments)
    }
}

/// Checks that the library returned an error that contains all fragments. Returns what is wrong, if
/// anything.
fn refusal<T>(result: minift::Result<T>, fragments: &[&str]) -> Option<String> {
    let Err(error) = result else {
        return Some("it was accepted".to_string());
    };
    let message = error.report();
    let mut fragments = fragments.iter();
    let lacks = fragments.find(|fragment| !message.contains(**fragment))?;
    Some(format!("the error lacks {lacks:?}: {message}"))
}

/// Name, invalid input, and fragments of the message.
type Case<'a, T> = (&'a str, T, &'a [&'a str]);

/// Asserts that no case has a fault; reports all of them by name.
fn no_faults(faults: impl IntoIterator<Item = (String, Option<String>)>) {
    let faults: Vec<String> = faults
        .into_iter()
        .filter_map(|(name, fault)| fault.map(|fault| format!("== {name}: {fault}")))
        .collect();
    assert!(
        faults.is_empty(),
        "{} cases:\n{}",
        faults.len(),
        faults.join("\n")
    );
}
