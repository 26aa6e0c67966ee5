//! Learning-rate schedules.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The learning-rate schedule after warmup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Constant learning rate
    #[default]
    Constant,
    /// Linear decay to 0
    Linear,
    /// Cosine decay to 0 (Loshchilov and Hutter, arXiv:1608.03983)
    Cosine,
    /// Divided by the root of the running mean loss, to forget less (FINCH, arXiv:2605.20005)
    Finch,
}

impl Schedule {
    /// Returns the factor of the learning rate where a share `done` of the steps after warmup is done; for `finch` before
    /// it is divided by the root of the loss.
    pub(super) fn factor(self, done: f64) -> f64 {
        match self {
            Self::Constant | Self::Finch => 1.0,
            Self::Linear => (1.0 - done).max(0.0),
            Self::Cosine => 0.5 * (1.0 + (PI * done.min(1.0)).cos()),
        }
    }
}
