//! Whole training steps, as they follow one another: finetuning beside minifinetuning, in turns.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::launches::{self, KernelFigures};
use super::shape::Shape;
use super::timing::{PeakMemory, middle};
use crate::data::Batch;
use crate::device::Device;
use crate::error::Result;
use crate::objective::Objective;
use crate::report::Method;
use crate::train::{TrainSettings, Trainer};

/// Pairs of steps at least, and at most.
const PAIRS: std::ops::Range<usize> = 3..200;
/// Steps of a turn at most, one after another as in a training, and seconds that it may take.
const TURN: (f64, f64) = (10.0, 0.25);
/// Kernels that are said of a step.
const KERNELS: usize = 12;

/// A training step from the second epoch on: the teacher's states are at hand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepFigures {
    /// The model.
    pub shape: Shape,
    /// What it is trained by.
    pub method: Method,
    /// Tokens that are predicted in a step.
    pub tokens: usize,
    /// Median time.
    pub seconds: f64,
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// Median time over that of finetuning.
    pub times_finetuning: f64,
    /// Kernels that are launched on the device; none on the CPU.
    pub launches: usize,
    /// Bytes at the peak of the first step, beyond the model.
    pub peak_bytes: Option<u64>,
}

pub(super) async fn measure(
    device: &Device,
    shape: Shape,
    patience: Duration,
) -> Result<(Vec<StepFigures>, Vec<KernelFigures>)> {
    let model = shape.model(device)?;
    let batch = shape.batch(model.config().decoder.vocabulary);
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
        // The first step fills the teacher's cache and compiles the kernels, the second is as all are.
        turn(&mut trainer, &batch, 1).await?;
        let peak_bytes = memory.bytes();
        let (time, launches) = launches::count(turn(&mut trainer, &batch, 1)).await;
        measured.push((method, trainer, vec![time?], launches, peak_bytes));
    }
    let mut steps = 1;
    if device.adapter().is_some() {
        let slowest = measured.iter().map(|(_, _, times, ..)| times[0]).max();
        let (most, seconds) = TURN;
        let fit = seconds / slowest.unwrap_or_default().as_secs_f64();
        steps = fit.clamp(1.0, most) as u32;
    }
    let began = Instant::now();
    let mut pairs = 1;
    while pairs < PAIRS.start || (pairs < PAIRS.end && began.elapsed() < patience) {
        for (_, trainer, times, ..) in &mut measured {
            times.push(turn(trainer, &batch, steps).await?);
        }
        pairs += 1;
    }

    let mut kernels = Vec::new();
    if device.adapter().is_some()
        && let Some((_, trainer, ..)) = measured.last_mut()
    {
        let (stepped, found) = launches::profile(shape, turn(trainer, &batch, 1)).await;
        stepped?;
        kernels = found;
        kernels.truncate(KERNELS);
    }

    let mut of_finetuning = f64::NAN;
    let steps = measured
        .into_iter()
        .map(|(method, _, times, launches, peak_bytes)| {
            let seconds = middle(times).as_secs_f64();
            if method == Method::Ft {
                of_finetuning = seconds;
            }
            StepFigures {
                shape,
                method,
                tokens: batch.positions,
                seconds,
                tokens_per_second: batch.positions as f64 / seconds,
                times_finetuning: seconds / of_finetuning,
                launches,
                peak_bytes,
            }
        });
    Ok((steps.collect(), kernels))
}

/// Time a step, of so many that follow one another.
async fn turn(trainer: &mut Trainer, batch: &Batch, steps: u32) -> Result<Duration> {
    let batch = std::slice::from_ref(batch);
    let began = Instant::now();
    for left in (0..steps).rev() {
        let next = if left > 0 { batch } else { &[] };
        trainer.step_before(batch, 1e-4, next).await?;
    }
    Ok(began.elapsed() / steps)
}
