//! Runs the self-test of the window: on a virtual display on Linux, on the screen elsewhere.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use minift::device::Device;
use minift::model::{CausalLm, Sampling};
use serde_json::Value;

/// Must match the worker.
const ANSWER_TOKENS: usize = 48;

/// Windows compete for the CPU, which affects frame times: run one at a time.
static SCREEN: Mutex<()> = Mutex::new(());

/// Runs the self-test and returns its report.
fn drive(folder: &Path, arguments: &str) -> Value {
    let _guard = SCREEN.lock().unwrap_or_else(PoisonError::into_inner);
    let program = env!("CARGO_BIN_EXE_minift-desktop");
    let mut command = if cfg!(target_os = "linux") {
        let mut display = Command::new("xvfb-run");
        display.args(["-a", "-s", "-screen 0 1280x800x24", program]);
        // Do not open the window in the user's session.
        display.env_remove("WAYLAND_DISPLAY");
        display
    } else {
        Command::new(program)
    };
    let output = command
        .args(arguments.split(' '))
        .arg("--drive")
        .arg(folder)
        .output()
        .expect("xvfb-run (Debian packages xvfb and xauth) runs");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {log}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
    println!("{arguments}: {report:#}");
    report
}

fn number(report: &Value, path: &str) -> f64 {
    let value = report.pointer(path).and_then(Value::as_f64);
    value.unwrap_or_else(|| panic!("no number {path} in {report:#}"))
}

/// Checks a report, independent of the device.
fn check(report: &Value, steps: f64) {
    assert_eq!(number(report, "/steps"), steps);
    let paused_at = number(report, "/paused_at_step");
    assert!(
        (3.0..steps).contains(&paused_at),
        "paused at step {paused_at}"
    );
    let [before, after] =
        ["before", "after"].map(|when| number(report, &format!("/result/{when}/domain")));
    assert!(after < before, "domain perplexity {before} → {after}");
    for when in ["memory_of_finished", "memory_of_cancelled"] {
        let [most, after] =
            ["most", "after"].map(|what| number(report, &format!("/{when}/{what}")));
        assert!(after < most, "{when}: {most} → {after} bytes");
    }
    assert!(number(report, "/frames_while_training/frames") >= 20.0);
    assert_ne!(
        report["full_strength"]["untouched"],
        report["full_strength"]["trained"]
    );

    // At a part of the strength, the model has gained and forgotten a part.
    let weight = number(report, "/strength/weight");
    assert!((0.55..=0.65).contains(&weight), "strength {weight}");
    let domain = number(report, "/strength/domain");
    assert!(
        after < domain && domain < before,
        "domain perplexity {before} → {domain} at {weight} → {after}"
    );
    assert_eq!(
        report["answers"]["untouched"],
        report["full_strength"]["untouched"]
    );

    let picture = PathBuf::from(
        report["picture"]["path"]
            .as_str()
            .expect("the report has a path"),
    );
    let picture = image::open(&picture).expect("the screenshot is readable");
    assert_eq!([picture.width(), picture.height()], [1100, 760]);
}

#[test]
fn trains_on_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("cpu");
    let report = drive(
        &folder,
        "--device cpu --samples 160 --epochs 2 --theme light",
    );
    check(&report, 40.0);

    // The saved model, at the chosen strength, reproduces the answer.
    let model = CausalLm::load(folder.join("model"), &Device::cpu()).unwrap();
    let prompt = report["answers"]["prompt"].as_str().unwrap();
    let sampling = Sampling::default();
    let text = model.generate(prompt, ANSWER_TOKENS, &sampling, |_| ());
    assert_eq!(
        report["answers"]["trained"],
        pollster::block_on(text).unwrap()
    );
}

#[test]
fn trains_on_the_gpu_of_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("window");
    // Software adapters are slow: use small steps and few evaluation texts.
    let arguments =
        "--device window --samples 16 --epochs 1 --batch-size 2 --evaluated 4 --theme dark";
    let report = drive(&folder, arguments);
    check(&report, 8.0);
    assert!(report["device"].as_str().unwrap().contains("vulkan") || !cfg!(target_os = "linux"));
    CausalLm::load(folder.join("model"), &Device::cpu()).unwrap();
}
