//! `minift bench`: measures the speed of a device.

pub mod allocator;
mod launches;
mod loss;
mod measure;
mod profile;
mod rates;
mod shape;
mod step;
mod timing;
mod weights;

use std::time::Duration;

use clap::Args;

use super::Ended;
use super::output::{Output, thousands};
use crate::device::{Device, DeviceChoice};
use crate::error::Result;
use crate::kernels::gemm::uses_amx;
use launches::KernelStats;
use loss::{Impl, LossStats};
use measure::Measurement;
use rates::Rates;
use shape::Shape;
use step::StepStats;
use weights::WeightStats;

#[derive(Clone, Debug, Args)]
pub(super) struct BenchArguments {
    /// Model to measure: 360k (embedded), 15m, 135m, lfm2 or qwen3.5 (random weights); repeatable [default: the first
    /// three]
    #[arg(long, value_name = "SHAPE")]
    pub shape: Vec<Shape>,
    /// Duration of each measurement in seconds, with at least three repetitions
    #[arg(long, value_name = "N", default_value_t = 3.0, value_parser = seconds)]
    pub seconds: f64,
    /// Show where the time of a training step goes, instead of the other measurements
    #[arg(long)]
    pub profile: bool,
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number".to_string())?;
    match (0.0..=3600.0).contains(&seconds) {
        true => Ok(seconds),
        false => Err("expected 0 to 3600".to_string()),
    }
}

pub(super) async fn run(
    arguments: &BenchArguments,
    choice: DeviceChoice,
    output: &Output,
) -> Result<Ended> {
    let device = Device::open(choice).await?;
    output.text(format!("device   {}: {}", device.name(), device.reason()));
    let uses_amx = device.adapter().is_none() && uses_amx();
    if let Some(adapter) = device.adapter() {
        output.text(format!("driver   {}", adapter.driver));
    } else if uses_amx {
        output.text("matmul   by AMX");
    }
    output.object(&serde_json::json!({
        "measured": "device",
        "device": device.name(),
        "uses_amx": uses_amx,
        "adapter": device.adapter(),
        "version": env!("CARGO_PKG_VERSION"),
    }));
    let shapes = match arguments.shape.as_slice() {
        [] => &Shape::DEFAULTS,
        chosen => chosen,
    };
    let budget = Duration::from_secs_f64(arguments.seconds);
    let mut heading = None;
    let on_result = |measurement: Measurement| {
        output.object(&measurement);
        let (title, line) = lines(&measurement);
        if heading != Some(title) {
            output.text(format!("\n{title}"));
            heading = Some(title);
        }
        output.text(line);
    };
    if arguments.profile {
        measure::profile(&device, shapes, budget, on_result).await?;
    } else {
        measure::measure(&device, shapes, budget, on_result).await?;
    }
    device.check()?;
    Ok(Ended::Success)
}

/// Returns the header of a table and the row of a measurement.
fn lines(measurement: &Measurement) -> (&'static str, String) {
    match measurement {
        Measurement::Rates(rates) => ("peak rates", rates_row(rates)),
        Measurement::Loss(loss) => (
            "loss and gradient, 1,024 × 32,000       time   % of bandwidth   extra memory",
            loss_row(loss),
        ),
        Measurement::Step(step) => (
            "step     method              time    tokens/s    time vs. FT   launches    peak memory",
            step_row(step),
        ),
        Measurement::Kernel(kernel) => (
            "kernels of an MFT step                             launches         time       moved   moved/needed",
            kernel_row(kernel),
        ),
        Measurement::Weights(weights) => (
            "LoRA by type of the weights     memory    MFT step   tokens/s   vs. float32   decoding/s   vs. float32",
            weights_row(weights),
        ),
        Measurement::Profile(profile) => (
            "where the time of a training step goes",
            profile::table(profile),
        ),
    }
}

fn rates_row(rates: &Rates) -> String {
    let Rates {
        bandwidth,
        matrix_product,
        side,
    } = rates;
    format!(
        "copy                {:>9.1} GB/s\nmatmul              {:>9.1} GFLOP/s   (float32, {side} × {side})",
        bandwidth / 1e9,
        matrix_product / 1e9
    )
}

fn loss_row(loss: &LossStats) -> String {
    let way = match loss.way {
        Impl::Kernel => "kernel",
        Impl::TensorOperations => "tensor operations",
    };
    format!(
        "{way:<34}{}   {:>14.0}   {}",
        time(loss.seconds),
        100.0 * loss.share_of_bandwidth,
        memory(loss.extra_bytes)
    )
}

fn step_row(step: &StepStats) -> String {
    format!(
        "{:<7}  {:<14}{}   {:>9}   {:>12.2}   {:>8}   {}",
        step.shape.name(),
        step.method.name(),
        time(step.seconds),
        thousands(step.tokens_per_second),
        step.times_finetuning,
        step.launches,
        memory(step.peak_bytes)
    )
}

fn kernel_row(kernel: &KernelStats) -> String {
    let traffic = match (kernel.bytes_moved, kernel.bytes_needed) {
        (Some(moved), Some(needed)) => format!(
            "{:>8.1} MiB   {:.2}",
            moved as f64 / f64::from(1 << 20),
            moved as f64 / needed as f64
        ),
        _ => String::new(),
    };
    format!(
        "{:<7}  {:<42}{:>8}   {}{traffic}",
        kernel.shape.name(),
        kernel.kernel,
        kernel.launches,
        time(kernel.seconds)
    )
}

fn weights_row(weights: &WeightStats) -> String {
    format!(
        "{:<7}  {:<17}{}  {}  {:>9}   {:>11.2}   {:>10.1}   {:>11.2}",
        weights.shape.name(),
        weights.weights,
        memory(Some(weights.bytes as u64)),
        time(weights.step_seconds),
        thousands(weights.tokens_per_second),
        weights.times_float32,
        weights.decoded_per_second,
        weights.decoding_times_float32
    )
}

/// Formats a time in ten columns, in a readable unit.
fn time(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 1e-3 => format!("{:>7.1} µs", 1e6 * seconds),
        seconds if seconds < 1.0 => format!("{:>7.2} ms", 1e3 * seconds),
        seconds => format!("{seconds:>7.2} s "),
    }
}

fn memory(bytes: Option<u64>) -> String {
    match bytes {
        Some(bytes) => format!("{:>8.1} MiB", bytes as f64 / f64::from(1 << 20)),
        None => format!("{:>12}", "unknown"),
    }
}
