//! `minift bench --profile`: where the time of a training step goes, for full finetuning and for LoRA.

mod recording;
mod rows;
mod table;

use std::time::{Duration, Instant};

use serde::Serialize;

use super::rates::Rates;
use super::shape::Shape;
use super::step::{self, run};
use crate::device::Device;
use crate::error::Result;
use crate::model::adapter::{AdapterSettings, LoraSettings};
use crate::train::{TrainSettings, Trainer};
use recording::Recording;

pub(super) use table::table;

/// Minimum and maximum number of measurements.
const MEASUREMENTS: std::ops::Range<usize> = 3..100;
/// Rank of the adapter, which is of all linear layers.
const RANK: usize = 16;

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Training {
    /// All parameters.
    Full,
    /// A LoRA adapter.
    Lora,
}

impl Training {
    pub(super) const ALL: [Self; 2] = [Self::Full, Self::Lora];

    fn settings(self) -> TrainSettings {
        let lora = LoraSettings {
            rank: RANK,
            target_modules: vec!["all-linear".to_string()],
            ..LoraSettings::default()
        };
        let adapter = (self == Self::Lora).then_some(AdapterSettings::Lora(lora));
        TrainSettings::default().with_adapter(adapter)
    }
}

/// What measured the times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Clock {
    /// The host's clock: the CPU computes an operation while the host waits for it.
    Host,
    /// The device's timestamps before and after every kernel.
    Device,
    /// The host's clock around every kernel and its submission, for a device without timestamps.
    HostPerKernel,
}

/// The profile of a step of minifinetuning with cached teacher hidden states: means per step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Profile {
    /// The model.
    pub shape: Shape,
    /// What is trained.
    pub training: Training,
    /// Predicted tokens.
    pub tokens: usize,
    /// The time of a step, and the sum of the operations' times. On a GPU that of steps without timestamps, or of
    /// the kernels if that is longer.
    pub seconds: f64,
    /// What measured the operations.
    pub clock: Clock,
    /// The parts of a step.
    pub phases: Vec<PhaseStats>,
    /// All operations, largest first, and last the rest of the step.
    pub operations: Vec<OperationStats>,
}

/// A part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct PhaseStats {
    /// Its name.
    pub phase: &'static str,
    /// Time of its operations, and on the CPU of the rest of the phase.
    pub seconds: f64,
    /// Time of the host in it. A GPU computes meanwhile and afterwards.
    pub host_seconds: f64,
}

/// Operations of one kind, or products of one shape.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct OperationStats {
    /// The kind.
    pub operation: &'static str,
    /// Shape of a product, name of a kernel or phase.
    pub detail: Option<String>,
    /// Number of calls.
    pub calls: f64,
    /// Time.
    pub seconds: f64,
    /// Share of the step's time.
    pub share: f64,
    /// Floating-point operations; 0 where they do not limit the speed or are unknown.
    pub flops: f64,
    /// Bytes that any implementation has to move: inputs read once, outputs written once. 0 where unknown.
    pub bytes: f64,
    /// The time that FLOPs or bytes, whichever takes longer, would take at the peak rates of this device.
    pub seconds_at_peak: f64,
}

/// Profiles steps on a device for about `budget`.
///
/// # Errors
///
/// [`crate::Error::Device`] if the device fails.
pub(super) async fn measure(
    device: &Device,
    shape: Shape,
    training: Training,
    rates: &Rates,
    budget: Duration,
) -> Result<Profile> {
    let model = shape.model(device)?;
    let batch = shape.batch(model.config().decoder.vocab_size);
    let mut trainer = Trainer::new(model, training.settings())?;
    // The first step fills the teacher cache and compiles the kernels.
    run(&mut trainer, &batch, 1).await?;
    let mut recording = Recording::default();
    let first = recording.host(&mut trainer, &batch, 1).await?;
    let steps = step::consecutive(device, first);
    let began = Instant::now();
    for number in 1.. {
        let continues = number < MEASUREMENTS.end && began.elapsed() < budget;
        // A step with timestamps takes longer than others; one is enough.
        if device.adapter().is_some() && (continues || number == 1) {
            recording.device(&mut trainer, &batch).await?;
        }
        if !continues && number >= MEASUREMENTS.start {
            break;
        }
        recording.host(&mut trainer, &batch, steps).await?;
    }
    let (seconds, clock) = recording.seconds_and_clock();
    Ok(Profile {
        shape,
        training,
        tokens: batch.predicted_tokens,
        seconds,
        clock,
        phases: rows::phases(&recording),
        operations: rows::operations(&recording, rates),
    })
}
