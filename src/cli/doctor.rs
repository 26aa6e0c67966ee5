//! `minift doctor`: verifies a device; its output belongs into every bug report. With `--expected`, verifies a
//! model.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::Ended;
use super::models::LoadArguments;
use super::output::{Output, counted, thousands};
use super::{models, setup};
use crate::device::{Device, DeviceChoice};
use crate::doctor::{ExpectedLogits, LogitsCheck, check_logits, examine, logits_tolerance};
use crate::error::{Error, Result};
use crate::kernels::gemm::uses_amx;
use crate::model::FileBytes;

#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)] // so that the error names the setting
pub(super) struct DoctorArguments {
    /// Reference values in safetensors format to check in addition
    #[arg(long, value_name = "FILE", conflicts_with = "expected")]
    pub vectors: Option<PathBuf>,
    #[command(flatten)]
    pub model: LoadArguments,
    /// Adapter folder
    #[arg(
        long,
        alias = "adapter",
        value_name = "DIR",
        requires = "expected",
        help_heading = "Model"
    )]
    pub adapter_dir: Option<PathBuf>,
    /// Check a model instead of the device: input_ids, and the logits of another program for them, in
    /// safetensors format
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub expected: Option<PathBuf>,
    /// Largest acceptable error of a logit [default: 2e-3; more for --weights and logits of less precision]
    #[arg(
        long,
        value_name = "ERROR",
        requires = "expected",
        help_heading = "Model"
    )]
    pub tolerance: Option<f64>,
}

pub(super) async fn run(
    arguments: &DoctorArguments,
    choice: DeviceChoice,
    output: &Output,
) -> Result<Ended> {
    match &arguments.expected {
        Some(file) => model(arguments, file, choice, output).await,
        None if arguments.model.are_default() => device(arguments, choice, output).await,
        None => {
            let expected = "a file with the logits that the model is checked against";
            Err(Error::setting("expected", "not given", expected))
        }
    }
}

/// Checks a device.
async fn device(
    arguments: &DoctorArguments,
    choice: DeviceChoice,
    output: &Output,
) -> Result<Ended> {
    let device = Device::open(choice).await?;
    output.text(format!(
        "minift {} on {} {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    ));
    output.text(format!("device   {}: {}", device.name(), device.reason()));
    if let Some(adapter) = device.adapter() {
        let limits = adapter.limits;
        output.text(format!("driver   {}", adapter.driver));
        output.text(format!(
            "limits   buffer {} B, binding {} B, {} workgroups per dimension, {} invocations and {} B per workgroup",
            limits.max_buffer_bytes,
            limits.max_binding_bytes,
            limits.max_workgroups,
            limits.max_invocations,
            limits.workgroup_bytes
        ));
    } else if uses_amx() {
        output.text("matmul   by AMX");
    }
    output.text(format!(
        "\n{:<58} {:>10} {:>10}",
        "check", "error", "tolerance"
    ));
    let vectors = match &arguments.vectors {
        Some(path) => Some((
            path.as_path(),
            std::fs::read(path).map_err(Error::io("read", path))?,
        )),
        None => None,
    };
    let vectors = vectors
        .as_ref()
        .map(|(path, bytes)| (*path, bytes.as_slice()));
    let checks = examine(&device, vectors, |check| {
        output.object(check);
        output.text(format!(
            "{:<58} {:>10.1e} {:>10.1e}  {}",
            check.check,
            check.max_error,
            check.tolerance,
            if check.ok { "ok" } else { "FAILED" }
        ));
    })
    .await?;
    let failed = checks.iter().filter(|check| !check.ok).count();
    if failed == 0 {
        output.text(format!(
            "\nAll {} checks passed: this device computes correct results.",
            checks.len()
        ));
        return Ok(Ended::Success);
    }
    output.text(format!(
        "\n{failed} of {} checks failed: do not train on this device. Try another driver version or \
         --device cpu, and report this output.",
        checks.len()
    ));
    Ok(Ended::Failed)
}

/// Checks a model by the logits of a file.
async fn model(
    arguments: &DoctorArguments,
    file: &Path,
    choice: DeviceChoice,
    output: &Output,
) -> Result<Ended> {
    if let Some(tolerance) = arguments.tolerance
        && !(0.0..f64::INFINITY).contains(&tolerance)
    {
        return Err(Error::setting(
            "tolerance",
            tolerance,
            "a number of at least 0",
        ));
    }
    let bytes = FileBytes::map(file)?;
    let expected = ExpectedLogits::parse(file, &bytes)?;
    let [rows, length, vocab_size] = expected.dims();
    let device = setup::device(choice, output).await?;
    let adapter = arguments.adapter_dir.as_deref();
    let say = |note: String| output.text(note);
    let named = arguments.model.model().or_base_of(adapter, &say)?;
    let (model, name) = named.announced(&device, output)?;
    let model = models::adapted(model, adapter, &say)?;
    output.text(format!(
        "Expected {}: {} of {}, {} logits each in {}",
        file.display(),
        counted(rows, "row"),
        counted(length, "token"),
        thousands(vocab_size as f64),
        expected.kind()
    ));
    let default = logits_tolerance(&model, &expected);
    let tolerance = arguments.tolerance.unwrap_or(default);
    let check = check_logits(&model, &expected, tolerance, |done| {
        output.progress("computing logits", done, rows, &[]);
    })
    .await?;
    output.finish();
    let mut object =
        json!({ "check": "logits", "model": name, "expected": file.display().to_string() });
    if let (Some(object), Ok(serde_json::Value::Object(fields))) =
        (object.as_object_mut(), serde_json::to_value(&check))
    {
        object.extend(fields);
    }
    output.object(&object);
    describe(&check, vocab_size, output);
    Ok(if check.ok {
        Ended::Success
    } else {
        Ended::Failed
    })
}

/// Prints the comparison of a model's logits.
fn describe(check: &LogitsCheck, vocab_size: usize, output: &Output) {
    output.text(format!(
        "\n{:>5} {:>9} {:>8} {:>14} {:>9} {:>13} {:>13}",
        "row", "position", "token", "largest error", "of token", "expected", "found"
    ));
    for worst in &check.worst {
        output.text(format!(
            "{:>5} {:>9} {:>8} {:>14.1e} {:>9} {:>13.6} {:>13.6}",
            worst.row,
            worst.position,
            worst.token,
            worst.max_error,
            worst.logit_of,
            worst.expected,
            worst.found
        ));
    }
    if check.positions > check.worst.len() {
        let rest = check.positions - check.worst.len();
        output.text(format!(
            "and {} with smaller errors",
            counted(rest, "position")
        ));
    }
    output.text(format!(
        "\nerror            largest {:.1e}, mean {:.1e} of {} logits",
        check.max_error,
        check.mean_error,
        thousands((check.positions * vocab_size) as f64)
    ));
    output.text(format!(
        "most likely      the same token at {} of {}",
        thousands(check.same_most_likely as f64),
        counted(check.positions, "position")
    ));
    if let Some(entropy) = check.cross_entropy {
        output.text(format!(
            "cross-entropy    {:.6} expected, {:.6} found: {:+.1e} nats per token",
            entropy.expected,
            entropy.found,
            entropy.found - entropy.expected
        ));
    }
    let tolerance = check.tolerance;
    output.text(match check.ok {
        true => format!("\nThe logits match: no error exceeds {tolerance:e}."),
        false => format!(
            "\nThe logits differ by more than {tolerance:e}. Check that both are of the same weights, the same \
             token ids without padding, and computed in float32; or pass --tolerance."
        ),
    });
}
