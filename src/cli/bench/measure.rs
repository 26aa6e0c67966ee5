//! The benchmark of a device: peak rates, the loss, training steps, and the kernels of a step.

use std::time::Duration;

use super::launches::KernelStats;
use super::loss::{self, Impl, LossStats};
use super::profile::{self, Profile, Training};
use super::rates::{self, Rates};
use super::shape::Shape;
use super::step::{self, StepStats};
use super::weights::{self, WeightStats};
use crate::device::Device;
use crate::error::Result;

/// A measurement.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "measured", rename_all = "snake_case")]
pub(super) enum Measurement {
    /// The peak rates of the device.
    Rates(Rates),
    /// The loss of given logits.
    Loss(LossStats),
    /// A training step.
    Step(StepStats),
    /// A kernel of a training step.
    Kernel(KernelStats),
    /// A type of frozen weights.
    Weights(WeightStats),
    /// Where the time of a training step goes.
    Profile(Profile),
}

/// Profiles training steps on a device and passes the peak rates and each profile to `on_result`.
///
/// # Errors
///
/// [`crate::Error::Device`] if the device fails.
pub(super) async fn profile(
    device: &Device,
    shapes: &[Shape],
    budget: Duration,
    mut on_result: impl FnMut(Measurement),
) -> Result<()> {
    let rates = rates::measure(device, budget).await?;
    on_result(Measurement::Rates(rates));
    for &shape in shapes {
        for training in Training::ALL {
            let profile = profile::measure(device, shape, training, &rates, budget).await?;
            on_result(Measurement::Profile(profile));
        }
    }
    Ok(())
}

/// Measures a device and passes each result to `on_result`. Every measurement takes about `budget`, and at
/// least a few repetitions.
///
/// # Errors
///
/// [`crate::Error::Device`] if the device fails.
pub(super) async fn measure(
    device: &Device,
    shapes: &[Shape],
    budget: Duration,
    mut on_result: impl FnMut(Measurement),
) -> Result<()> {
    let rates = rates::measure(device, budget).await?;
    on_result(Measurement::Rates(rates));
    for way in [Impl::Kernel, Impl::TensorOperations] {
        let stats = loss::measure(device, way, &rates, budget).await?;
        on_result(Measurement::Loss(stats));
    }
    for &shape in shapes {
        let (steps, kernels) = step::measure(device, shape, budget).await?;
        steps
            .into_iter()
            .map(Measurement::Step)
            .for_each(&mut on_result);
        kernels
            .into_iter()
            .map(Measurement::Kernel)
            .for_each(&mut on_result);
    }
    for &shape in shapes {
        let types = weights::measure(device, shape, budget).await?;
        types
            .into_iter()
            .map(Measurement::Weights)
            .for_each(&mut on_result);
    }
    Ok(())
}
