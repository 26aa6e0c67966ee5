//! The commands of docs/tutorial.md, run as they are written. The Hub's cache has a tiny model under the name of the
//! tutorial's; the place of Ollama is taken by minift's own reading of the GGUF file, and by llama.cpp where
//! `MINIFT_LLAMA_PYTHON` names a Python that has xllamacpp.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use minift::device::Device;
use minift::model::{CausalLm, FileBytes, ModelFiles};
use pollster::block_on;
use serde_json::Value;
use tempfile::TempDir;

const MODEL: &str = "HuggingFaceTB/SmolLM2-135M-Instruct";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// The chat template of the tutorial's model without its default system message, after the token with which llama.cpp
/// begins every text of the tiny model.
const TEMPLATE: &str = "<|endoftext|>{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + \
                        '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}\
                        {% endif %}";
/// Compared tokens of an answer: longer ones come to tokens that are almost as likely as others.
const TOKENS: &str = "5";
/// The largest relative difference of perplexity that weights in q8_0 make.
const Q8_0_DIFFERENCE: f64 = 0.02;

/// A folder with notes, and a cache of the Hub with the tutorial's model.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(TempDir::new().unwrap());
        let cache = scene
            .cache()
            .join(format!("models--{}", MODEL.replace('/', "--")));
        let snapshot = cache.join("snapshots").join(COMMIT);
        fs::create_dir_all(cache.join("refs")).unwrap();
        fs::create_dir_all(snapshot.parent().unwrap()).unwrap();
        fs::write(cache.join("refs/main"), COMMIT).unwrap();
        let mut files = ModelFiles::embedded();
        let template = FileBytes::InMemory(TEMPLATE.as_bytes().into());
        files.companions.push(("chat_template.jinja", template));
        let model = CausalLm::from_files(files, &Device::cpu()).unwrap();
        block_on(model.save(&snapshot)).unwrap();

        let notes = scene.path("notes");
        fs::create_dir(&notes).unwrap();
        let tickets = fs::read_to_string(root().join("assets/tickets.jsonl")).unwrap();
        let texts: Vec<String> = tickets
            .lines()
            .take(60)
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["text"]
                    .as_str()
                    .unwrap()
                    .into()
            })
            .collect();
        for (number, part) in texts.chunks(20).enumerate() {
            fs::write(notes.join(format!("{number}.md")), part.join("\n\n")).unwrap();
        }
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn cache(&self) -> PathBuf {
        self.path("hub")
    }

    /// Runs a line of a shell in the folder, with the program on the path.
    fn run(&self, line: &str, input: &str) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_minift"));
        let mut path = program.parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(self.0.path());
        shell.env("PATH", path).env("HF_HUB_CACHE", self.cache());
        shell.env("HF_HUB_OFFLINE", "1");
        let output = common::output_for_input(&mut shell, input.as_bytes());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {error}");
        output
    }

    /// Runs a command of the program with `--json`, and returns the last object that it prints.
    fn object(&self, line: &str) -> Value {
        let output = self.run(&format!("{line} --json"), "");
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the lines of the `sh` blocks of a document.
fn commands(text: &str) -> Vec<&str> {
    let mut in_block = false;
    text.lines()
        .filter(|line| {
            let fence = line.starts_with("```");
            in_block = if fence { *line == "```sh" } else { in_block };
            in_block && !fence && !line.is_empty()
        })
        .collect()
}

/// What `ollama create` reads: the file that a Modelfile names, and whether it has a template of turns.
fn from_of(modelfile: &Path) -> PathBuf {
    let text = fs::read_to_string(modelfile).unwrap();
    assert!(
        text.contains("\nTEMPLATE ") && text.contains("<|im_start|>user"),
        "{text}"
    );
    let from = text
        .lines()
        .find_map(|line| line.strip_prefix("FROM "))
        .unwrap();
    modelfile.parent().unwrap().join(from)
}

#[test]
fn the_commands_of_the_tutorial_work() {
    let scene = Scene::new();
    let text = fs::read_to_string(root().join("docs/tutorial.md")).unwrap();
    let mut created = None;
    let mut steps = Vec::new();
    for line in commands(&text) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            // tests/packages.sh installs the wheel.
            ["pip", "install", "minift"] => steps.push("pip"),
            ["minift", "chat", ..] => {
                steps.push("chat");
                let output = scene.run(line, "What is wrong with the bike?\n/quit\n");
                assert!(!output.stdout.is_empty(), "{line} printed nothing");
            }
            ["minift", command, ..] => {
                steps.push(command);
                scene.run(line, "");
            }
            ["ollama", "create", name, "-f", modelfile] => {
                steps.push("create");
                created = Some((name, from_of(&scene.path(modelfile))));
            }
            ["ollama", "run", name, ..] => {
                steps.push("run");
                let (created, file) = created.as_ref().expect("ollama create comes first");
                assert_eq!(name, *created);
                let question = line.split('"').nth(1).expect("a question in quotes");
                check_answer(&scene, file, question);
            }
            _ => panic!("docs/tutorial.md: no check for `{line}`"),
        }
    }
    assert_eq!(
        steps,
        [
            "pip", "doctor", "data", "train", "dial", "chat", "export", "create", "run"
        ]
    );
    // The exported file is the model at the strength that the tutorial chose.
    let perplexity = |model: &str| {
        let evaluated = scene.object(&format!("minift eval {model} --data notes"));
        evaluated["perplexity"].as_f64().unwrap()
    };
    let (_, file) = created.unwrap();
    let exported = perplexity(&format!("--model {}", file.display()));
    let chosen = perplexity("--adapter-dir gentle");
    let difference = exported / chosen - 1.0;
    assert!(
        difference.abs() < Q8_0_DIFFERENCE,
        "{exported} after export, {chosen} before"
    );
    assert!(
        chosen < 0.5 * perplexity(&format!("--model {MODEL}")),
        "{chosen} after training"
    );
}

/// Compares the answer of the exported model with that of the adapter that it was exported from, and with that of
/// llama.cpp.
fn check_answer(scene: &Scene, file: &Path, question: &str) {
    let answer = |model: &str| {
        let line = format!(
            "minift generate {model} --chat --prompt '{question}' --max-new-tokens {TOKENS}"
        );
        scene.object(&line)["text"].as_str().unwrap().to_string()
    };
    let found = answer(&format!("--model {}", file.display()));
    assert!(!found.is_empty());
    assert_eq!(found, answer("--adapter-dir gentle"));
    if let Some(python) = std::env::var_os("MINIFT_LLAMA_PYTHON") {
        let output = Command::new(python)
            .arg(root().join("tests/ask_llama.py"))
            .args([file.as_os_str(), question.as_ref(), TOKENS.as_ref()])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        assert_eq!(
            String::from_utf8(output.stdout).unwrap().trim(),
            found.trim()
        );
    }
}
