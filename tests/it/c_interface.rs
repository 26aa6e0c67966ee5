//! The C interface as C programs see it: the header is current, the example works, and misuse
//! returns statuses, all under sanitizers as well.
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, OnceLock};

use minift::demo;
use minift::device::Device;
use minift::eval::Evaluation;
use minift::model::CausalLm;
use minift::text::Preparation;
use minift::train::{Run, RunData, TrainSettings};
use pollster::block_on;
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const TARGET_TMP: &str = env!("CARGO_TARGET_TMPDIR");
/// The header and the programs compile without any of these warnings.
const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
const SANITIZERS: [&str; 3] = [
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
];
/// Number of texts for the example, a tenth of which is held out.
const TICKETS: usize = 60;

/// The static library that the C programs link.
struct Library {
    archive: PathBuf,
    /// System libraries that it depends on.
    native: Vec<String>,
}

/// Builds the library once, with the cargo and the target directory of the tests.
fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let target = Path::new(TARGET_TMP).parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["rustc", "--locked", "--lib", "--features", "c"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        cargo.args(["--crate-type", "staticlib", "--message-format", "json"]);
        // The interface is tested, not its speed: less optimized, it is built in less time.
        cargo.args(["--config", "profile.release.package.minift.opt-level=1"]);
        cargo.arg("--target-dir").arg(target).current_dir(ROOT);
        // The variables that cargo sets for this test would trigger rebuilds of crates whose build scripts
        // read them.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let prefixes = [
                "CARGO_PKG_",
                "CARGO_MANIFEST_",
                "CARGO_BIN_",
                "CARGO_CRATE_NAME",
            ];
            if prefixes.iter().any(|prefix| name.starts_with(prefix))
                || name == "CARGO_PRIMARY_PACKAGE"
            {
                cargo.env_remove(&*name);
            }
        }
        cargo.args(["--", "--print", "native-static-libs"]);
        let built = cargo.stderr(Stdio::inherit()).output().unwrap();
        assert!(built.status.success(), "cannot build the static library");
        let mut archive = None;
        let mut native = Vec::new();
        for line in String::from_utf8(built.stdout).unwrap().lines() {
            let message: Value = serde_json::from_str(line).unwrap();
            if message["target"]["name"] != "minift" {
                continue;
            }
            let note = message["message"]["message"].as_str();
            if let Some(names) = note.and_then(|note| note.strip_prefix("native-static-libs: ")) {
                native = names.split_whitespace().map(String::from).collect();
            }
            let files = message["filenames"].as_array().into_iter().flatten();
            let paths = files.filter_map(Value::as_str).map(PathBuf::from);
            archive = archive.or_else(|| {
                paths
                    .into_iter()
                    .find(|path| path.extension().is_some_and(|extension| extension == "a"))
            });
        }
        Library {
            archive: archive.expect("cargo reports the path of the library"),
            native,
        }
    })
}

/// Runs a compiler, named by an environment variable or by default.
fn compiler(variable: &str, default: &str, arguments: &[&str], files: &[&Path]) -> Output {
    let name = std::env::var(variable).unwrap_or_else(|_| default.to_string());
    let mut compiler = Command::new(&name);
    compiler.args(arguments).args(WARNINGS).arg("-I");
    compiler.arg(Path::new(ROOT).join("include")).args(files);
    compiler.output().unwrap_or_else(|error| {
        panic!(
            "cannot run {name} ({error}): the tests require a C and a C++ compiler (Debian: \
             apt-get install build-essential); set CC and CXX to use others"
        )
    })
}

/// Compiles a C program.
fn compile(source: &str, name: &str, flags: &[&str]) -> PathBuf {
    let program = Path::new(TARGET_TMP).join(name);
    let Library { archive, native } = library();
    let mut arguments = vec!["-std=c11", "-pthread", "-o", program.to_str().unwrap()];
    arguments.extend(flags);
    let source = Path::new(ROOT).join(source);
    let mut files: Vec<&Path> = vec![&source, archive];
    files.extend(native.iter().map(Path::new));
    let output = compiler("CC", "cc", &arguments, &files);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    program
}

/// A command for a program, with leak detection where sanitizers support it.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    if cfg!(target_os = "linux") {
        command.env("ASAN_OPTIONS", "detect_leaks=1");
    }
    command
}

/// Returns the standard output of a successful program.
fn stdout_of(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out.into_owned()
}

#[test]
fn header_is_current() {
    let config = cbindgen::Config::from_file(Path::new(ROOT).join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(Path::new(ROOT).join("src/bindings/c/mod.rs"))
        .generate()
        .unwrap();
    let mut declared = Vec::new();
    bindings.write(&mut declared);
    let declared = String::from_utf8(declared).unwrap();
    let committed = std::fs::read_to_string(Path::new(ROOT).join("include/minift.h"));
    if committed.ok().as_ref() != Some(&declared) {
        let generated = Path::new(TARGET_TMP).join("minift.h");
        std::fs::write(&generated, declared).unwrap();
        panic!(
            "include/minift.h is out of date: cp {} include/minift.h",
            generated.display()
        );
    }
    // cbindgen silently skips items that it cannot parse.
    let sources = std::fs::read_dir(Path::new(ROOT).join("src/bindings/c")).unwrap();
    let exported: usize = sources
        .map(|source| std::fs::read_to_string(source.unwrap().path()).unwrap())
        .map(|text| text.matches("#[unsafe(no_mangle)]").count())
        .sum();
    let functions = declared.lines().filter(|line| {
        let name = line.split('(').next().unwrap_or_default();
        !line.starts_with("//") && line.contains('(') && name.contains(" minift_")
            || !line.starts_with("//") && name.contains(" *minift_")
    });
    assert_eq!(functions.count(), exported);
}

#[test]
fn misuse_returns_statuses() {
    let program = compile("tests/c/abuse.c", "abuse", &SANITIZERS);
    let folder = tempfile::tempdir().unwrap();
    let output = command(&program).arg(folder.path()).output().unwrap();
    // The library itself prints nothing to stdout.
    assert_eq!(stdout_of(&output), "all checks passed\n");
}

/// Writes the texts for the example to a file.
fn texts(folder: &Path) -> PathBuf {
    let texts = demo::tickets().unwrap();
    let lines = texts[..TICKETS].iter();
    let lines = lines.map(|text| format!("{}\n", serde_json::json!({ "text": text })));
    let path = folder.join("tickets.jsonl");
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    path
}

fn adapt(program: &Path, folder: &Path, out: &str, settings: &str) -> Command {
    let mut adapt = command(program);
    let texts = texts(folder);
    adapt
        .arg(folder.join(out))
        .arg(texts)
        .args(["cpu", settings]);
    adapt
}

/// The same run through the Rust API.
fn expected() -> Run {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let length = model.reader().sample_length(None).unwrap();
    let samples = |texts: &[String]| {
        model
            .reader()
            .samples_of_texts(texts, &Preparation::to_length(length), "test")
            .unwrap()
    };
    let mut tickets = samples(&demo::tickets().unwrap()[..TICKETS]);
    let domain = tickets.draw(TICKETS / 10, 0).samples;
    let data = RunData {
        train: tickets.samples,
        domain,
        general: samples(&demo::tales().unwrap()[..demo::GENERAL_TALES]).samples,
        ..RunData::default()
    };
    let settings = TrainSettings::default().with_epochs(1.0);
    let mut run = Run::new(model, Arc::new(data), settings).unwrap();
    while block_on(run.next()).unwrap().is_some() {}
    run
}

#[test]
fn example_matches_the_rust_api() {
    let settings = r#"{"epochs": 1}"#;
    let folder = tempfile::tempdir().unwrap();
    let plain = compile("examples/c/adapt.c", "adapt", &["-O2"]);
    let sanitized = compile("examples/c/adapt.c", "adapt_sanitized", &SANITIZERS);
    let run = expected();
    let outcome = run.outcome().unwrap();
    for (program, out) in [(&plain, "out"), (&sanitized, "sanitized")] {
        let output = adapt(program, folder.path(), out, settings)
            .output()
            .unwrap();
        let shown = stdout_of(&output);
        let perplexities = format!(
            "domain perplexity {:.2} -> {:.2}, general perplexity {:.2} -> {:.2}\n",
            outcome.before.domain,
            outcome.after.domain,
            outcome.before.general,
            outcome.after.general
        );
        assert!(shown.contains(&perplexities), "{shown}{perplexities}");
        for line in [
            "54 texts to train on, 6 held out",
            "original: ...",
            "adapted: ...",
        ] {
            assert!(shown.contains(line), "{shown}");
        }

        let out = folder.path().join(out);
        let json: Value =
            serde_json::from_slice(&std::fs::read(out.join("run.json")).unwrap()).unwrap();
        let losses: Vec<f32> = serde_json::from_value(json["runs"][0]["losses"].clone()).unwrap();
        assert_eq!(losses, run.losses());
        let result = &json["runs"][0]["result"];
        assert_eq!(result["domain_perplexity_after"], outcome.after.domain);
        assert_eq!(result["general_perplexity_after"], outcome.after.general);
        assert_eq!(json["runs"][0]["settings"]["epochs"], 1);
        assert_eq!(json["setup"]["train"]["texts"], 54);
        let written = CausalLm::load(&out, &Device::cpu()).unwrap();
        let general = &demo::tales().unwrap()[..demo::GENERAL_TALES];
        let general = written
            .reader()
            .samples_of_texts(general, &Preparation::to_length(256), "test")
            .unwrap();
        let mut evaluation = Evaluation::new(&general.samples, 8).unwrap();
        let found = loop {
            if let Some(found) = block_on(evaluation.advance(&written, &general.samples)).unwrap() {
                break found;
            }
        };
        // The weights are rounded to the type of the embedded model, float16.
        let error = found.perplexity / outcome.after.general - 1.0;
        assert!(error.abs() < 2e-3, "off by {error}");
        // The existing output is not replaced.
        let refused = adapt(program, folder.path(), out.to_str().unwrap(), settings);
        let refused = { refused }.output().unwrap();
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("error 10"));
    }
}

#[test]
fn example_resumes_after_an_interrupt() {
    let settings = r#"{"epochs": 3}"#;
    let folder = tempfile::tempdir().unwrap();
    let program = compile("examples/c/adapt.c", "adapt_stopped", &SANITIZERS);
    let checkpoint = folder.path().join("out.checkpoint");
    let mut stopped = adapt(&program, folder.path(), "out", settings);
    stopped.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = stopped.spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut log = Vec::new();
    let mut byte = [0];
    while !log.ends_with(b"step 1 of 21") {
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "no step was taken");
        log.push(byte[0]);
    }
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    stderr.read_to_end(&mut log).unwrap();
    let log = String::from_utf8_lossy(&log);
    assert_eq!(child.wait().unwrap().code(), Some(1), "{log}");
    assert!(log.contains("the same command resumes"), "{log}");
    assert!(checkpoint.exists() && !folder.path().join("out").exists());

    let output = adapt(&program, folder.path(), "out", settings)
        .output()
        .unwrap();
    let shown = stdout_of(&output);
    assert!(
        shown.contains("resuming after step") && shown.contains("of 21"),
        "{shown}"
    );
    assert!(!checkpoint.exists() && folder.path().join("out/model.safetensors").exists());
}

#[test]
fn header_and_example_compile_as_cpp() {
    let source = Path::new(ROOT).join("examples/c/adapt.c");
    let arguments = ["-std=c++17", "-fsyntax-only", "-x", "c++"];
    let output = compiler("CXX", "c++", &arguments, &[&source]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}
