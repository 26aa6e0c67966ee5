//! Training steps of finetuning and minifinetuning, measured alternately.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::launches::{self, KernelStats};
use super::shape::Shape;
use super::timing::{PeakMemory, middle};
use crate::device::Device;
use crate::error::Result;
use crate::kernels::distillation::{Method, Objective};
use crate::model::Batch;
use crate::train::{TrainSettings, Trainer};

/// Minimum and maximum number of measurements per method.
const MEASUREMENTS: std::ops::Range<usize> = 3..200;
/// Maximum number of consecutive steps per measurement, and its duration in seconds.
const RUN: (f64, f64) = (10.0, 0.25);
/// Number of kernels listed per step.
const KERNELS: usize = 12;

/// Statistics of a training step with cached teacher hidden states, as from the second epoch on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct StepStats {
    /// The model.
    pub shape: Shape,
    /// The training method.
    pub method: Method,
    /// Predicted tokens per step.
    pub tokens: usize,
    /// Median time.
    pub seconds: f64,
    /// Predicted tokens per second.
    pub tokens_per_second: f64,
    /// Median time relative to finetuning.
    pub times_finetuning: f64,
    /// Kernel launches per step; 0 on the CPU.
    pub launches: usize,
    /// Peak memory of the first step in bytes, without the model.
    pub peak_bytes: Option<u64>,
}

pub(super) async fn measure(
    device: &Device,
    shape: Shape,
    budget: Duration,
) -> Result<(Vec<StepStats>, Vec<KernelStats>)> {
    let model = shape.model(device)?;
    let batch = shape.batch(model.config().decoder.vocab_size);
    let methods = [
        (Method::Ft, Objective::finetuning()),
        (Method::Mft, Objective::default()),
    ];
    let mut measured = Vec::new();
    for (method, objective) in methods {
        let memory = PeakMemory::begin(device);
        let settings = TrainSettings {
            objective,
            ..TrainSettings::default()
        };
        let mut trainer = Trainer::new(model.clone(), settings)?;
        // The first step fills the teacher cache and compiles the kernels.
        run(&mut trainer, &batch, 1).await?;
        let peak_bytes = memory.bytes();
        let (time, launches) = launches::count(run(&mut trainer, &batch, 1)).await;
        measured.push((method, trainer, vec![time?], launches, peak_bytes));
    }
    let slowest = measured.iter().map(|(_, _, times, ..)| times[0]).max();
    let steps = consecutive(device, slowest.unwrap_or_default());
    let began = Instant::now();
    let mut count = 1;
    while count < MEASUREMENTS.start || (count < MEASUREMENTS.end && began.elapsed() < budget) {
        for (_, trainer, times, ..) in &mut measured {
            times.push(run(trainer, &batch, steps).await?);
        }
        count += 1;
    }

    let mut kernels = Vec::new();
    if device.adapter().is_some()
        && let Some((_, trainer, ..)) = measured.last_mut()
    {
        let (stepped, found) = launches::profile(shape, run(trainer, &batch, 1)).await;
        stepped?;
        kernels = found;
        kernels.truncate(KERNELS);
    }

    let mut finetuning = f64::NAN;
    let steps = measured
        .into_iter()
        .map(|(method, _, times, launches, peak_bytes)| {
            let seconds = middle(times).as_secs_f64();
            if method == Method::Ft {
                finetuning = seconds;
            }
            StepStats {
                shape,
                method,
                tokens: batch.predicted_tokens,
                seconds,
                tokens_per_second: batch.predicted_tokens as f64 / seconds,
                times_finetuning: seconds / finetuning,
                launches,
                peak_bytes,
            }
        });
    Ok((steps.collect(), kernels))
}

/// Returns the number of consecutive steps per measurement, for steps that take `time`.
pub(super) fn consecutive(device: &Device, time: Duration) -> u32 {
    let (most, seconds) = RUN;
    match device.adapter() {
        Some(_) => (seconds / time.as_secs_f64()).clamp(1.0, most) as u32,
        None => 1,
    }
}

/// Returns the time per step of consecutive steps.
pub(super) async fn run(trainer: &mut Trainer, batch: &Batch, steps: u32) -> Result<Duration> {
    let batch = std::slice::from_ref(batch);
    let began = Instant::now();
    for left in (0..steps).rev() {
        let next = if left > 0 { batch } else { &[] };
        trainer.step_before(batch, 1e-4, next).await?;
    }
    Ok(began.elapsed() / steps)
}
