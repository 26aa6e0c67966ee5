//! `minift bench`: how fast the device is at what a training asks of it.

use std::time::Duration;

use super::Ended;
use super::args::BenchArguments;
use super::output::{Output, thousands};
use crate::bench::{self, Figures, KernelFigures, LossFigures, Rates, Shape, StepFigures, Way};
use crate::device::{Device, DeviceChoice};
use crate::error::Result;

pub async fn run(
    arguments: &BenchArguments,
    choice: DeviceChoice,
    output: &Output,
) -> Result<Ended> {
    let device = Device::open(choice).await?;
    output.text(format!("device   {}: {}", device.name(), device.reason()));
    if let Some(adapter) = device.adapter() {
        output.text(format!("driver   {}", adapter.driver));
    }
    output.object(&serde_json::json!({
        "measured": "device",
        "device": device.name(),
        "adapter": device.adapter(),
        "version": env!("CARGO_PKG_VERSION"),
    }));
    let shapes = match arguments.shape.as_slice() {
        [] => &Shape::ALL,
        chosen => chosen,
    };
    let patience = Duration::from_secs_f64(arguments.seconds);
    let mut heading = None;
    bench::measure(&device, shapes, patience, |figures| {
        output.object(&figures);
        let (title, line) = lines(&figures);
        if heading != Some(title) {
            output.text(format!("\n{title}"));
            heading = Some(title);
        }
        output.text(line);
    })
    .await?;
    device.check()?;
    Ok(Ended::Well)
}

/// A table's head and a figure's line in it.
fn lines(figures: &Figures) -> (&'static str, String) {
    match figures {
        Figures::Rates(rates) => ("peak rates", of_rates(rates)),
        Figures::Loss(loss) => (
            "loss and gradient, 1,024 × 32,000   time      of the bandwidth   extra memory",
            of_loss(loss),
        ),
        Figures::Step(step) => (
            "step    method          time        tokens/s   of FT's time   launches   peak memory",
            of_step(step),
        ),
        Figures::Kernel(kernel) => (
            "kernels of an MFT step                            launches   on the device   moved   of needed",
            of_kernel(kernel),
        ),
    }
}

fn of_rates(rates: &Rates) -> String {
    let Rates {
        bandwidth,
        matrix_product,
        side,
    } = rates;
    format!(
        "copy                {:>9.1} GB/s\nmatrix product      {:>9.1} GFLOP/s   (float32, {side} × {side})",
        bandwidth / 1e9,
        matrix_product / 1e9
    )
}

fn of_loss(loss: &LossFigures) -> String {
    let way = match loss.way {
        Way::Kernel => "kernel",
        Way::TensorOperations => "tensor operations",
    };
    format!(
        "{way:<30}{}   {:>13.0} %   {}",
        time(loss.seconds),
        100.0 * loss.share_of_bandwidth,
        memory(loss.extra_bytes)
    )
}

fn of_step(step: &StepFigures) -> String {
    format!(
        "{:<6}  {:<14}{}   {:>9}   {:>12.2}   {:>8}   {}",
        step.shape.name(),
        step.method.name(),
        time(step.seconds),
        thousands(step.tokens_per_second),
        step.times_finetuning,
        step.launches,
        memory(step.peak_bytes)
    )
}

fn of_kernel(kernel: &KernelFigures) -> String {
    let traffic = match (kernel.bytes_moved, kernel.bytes_needed) {
        (Some(moved), Some(needed)) => format!(
            "{:>8.1} MiB   {:.2}",
            moved as f64 / f64::from(1 << 20),
            moved as f64 / needed as f64
        ),
        _ => String::new(),
    };
    format!(
        "{:<6}  {:<42}{:>8}   {}{traffic}",
        kernel.shape.name(),
        kernel.kernel,
        kernel.launches,
        time(kernel.seconds)
    )
}

/// A time in ten columns, in the unit that suits it.
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
        None => format!("{:>12}", "not told"),
    }
}
