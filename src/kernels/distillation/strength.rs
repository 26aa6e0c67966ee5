//! The number that sets how strongly a target pulls towards the label.

use serde::{Deserialize, Serialize};

/// The number that sets how strongly a target pulls towards the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TargetStrength {
    /// The margin τ of minifinetuning.
    Tau,
    /// The label's share α in a constant mixture.
    Alpha,
    /// The threshold θ of the label's probability: the larger, the weaker the training.
    Threshold,
    /// The weight λ of the divergence from the untouched model: the larger, the weaker the training.
    Anchor,
    /// The exponent γ of weights by entropy or probability: the larger, the weaker the training.
    Gamma,
}

impl TargetStrength {
    /// Every strength.
    pub(super) const ALL: [Self; 5] = [
        Self::Tau,
        Self::Alpha,
        Self::Threshold,
        Self::Anchor,
        Self::Gamma,
    ];

    /// Returns the name of the setting.
    pub fn key(self) -> &'static str {
        match self {
            Self::Tau => "tau",
            Self::Alpha => "alpha",
            Self::Threshold => "threshold",
            Self::Anchor => "anchor",
            Self::Gamma => "gamma",
        }
    }

    /// Returns the symbol in titles and plots.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Tau => "τ",
            Self::Alpha => "α",
            Self::Threshold => "θ",
            Self::Anchor => "λ",
            Self::Gamma => "γ",
        }
    }

    /// Returns the largest value.
    pub(super) fn max(self) -> f32 {
        match self {
            Self::Tau | Self::Alpha | Self::Threshold => 1.0,
            Self::Anchor | Self::Gamma => f32::MAX,
        }
    }

    /// Returns the values that a search tries, strongest training first.
    pub fn grid(self) -> &'static [f64] {
        match self {
            Self::Tau => &[
                1.0, 0.9, 0.75, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05, 0.02, 0.0,
            ],
            Self::Alpha => &[
                1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01,
            ],
            Self::Threshold => &[
                0.0, 1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0,
            ],
            Self::Anchor => &[
                0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0,
            ],
            Self::Gamma => &[
                0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0,
            ],
        }
    }
}
