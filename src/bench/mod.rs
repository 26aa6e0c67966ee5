//! How fast a device is at what a training asks of it: its peak rates, the loss, whole steps, and the
//! kernels that a step is made of.

mod launches;
mod loss;
mod rates;
mod shape;
mod step;
mod timing;

pub use launches::KernelFigures;
pub use loss::{LossFigures, Way};
pub use rates::Rates;
pub use shape::Shape;
pub use step::StepFigures;

use std::time::Duration;

use crate::device::Device;
use crate::error::Result;

/// What was measured, in the order in which it was.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "measured", rename_all = "snake_case")]
pub enum Figures {
    /// The device's peak rates.
    Rates(Rates),
    /// The loss from logits.
    Loss(LossFigures),
    /// A training step of a model.
    Step(StepFigures),
    /// A kernel's share of such a step.
    Kernel(KernelFigures),
}

/// Measures a device; `tell` hears of each figure as it comes. Each takes about `patience`, and at
/// least a few repetitions.
///
/// # Errors
///
/// [`crate::Error::Device`] if the device fails.
pub async fn measure(
    device: &Device,
    shapes: &[Shape],
    patience: Duration,
    mut tell: impl FnMut(Figures),
) -> Result<()> {
    let rates = rates::measure(device, patience).await?;
    tell(Figures::Rates(rates));
    for way in [Way::Kernel, Way::TensorOperations] {
        let figures = loss::measure(device, way, &rates, patience).await?;
        tell(Figures::Loss(figures));
    }
    for &shape in shapes {
        let (steps, kernels) = step::measure(device, shape, patience).await?;
        steps.into_iter().map(Figures::Step).for_each(&mut tell);
        kernels.into_iter().map(Figures::Kernel).for_each(&mut tell);
    }
    Ok(())
}
