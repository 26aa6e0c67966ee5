//! The target that the student is trained towards: the method as a type.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The margin τ recommended by the paper (arXiv:2506.15702, section 4).
pub const DEFAULT_TAU: f32 = 0.25;
/// The label's share α in a constant mixture by default.
pub const DEFAULT_ALPHA: f32 = 0.3;
/// The threshold θ of selective targets by default.
const DEFAULT_THRESHOLD: f32 = 0.01;

/// The tokens whose target is corrected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Every token, as in the paper
    #[default]
    All,
    /// Only tokens whose label is not the teacher's most likely token; the others keep the teacher's
    /// distribution
    Incorrect,
}

/// The name of a kind of target, as settings, reports and the command line spell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Finetuning: cross-entropy with the labels
    Ft,
    /// Minifinetuning: the teacher's distribution, corrected until the label wins by the margin tau
    #[default]
    Mft,
    /// Constant mixture: the teacher's distribution and the label, in the same proportion for every
    /// token
    Constant,
    /// Selective targets: the label where the teacher finds it likely enough, else the teacher's
    /// distribution
    Selective,
}

impl Method {
    /// Returns the name for reports, such as `minifinetuning`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ft => "finetuning",
            Self::Mft => "minifinetuning",
            Self::Constant => "constant mixture",
            Self::Selective => "selective targets",
        }
    }

    /// Returns the short name for tables and plots, such as `MFT`.
    pub fn title(self) -> &'static str {
        match self {
            Self::Ft => "FT",
            Self::Mft => "MFT",
            Self::Constant => "constant",
            Self::Selective => "selective",
        }
    }
}

/// The target distribution q of a token with teacher distribution p and label y. Two targets are equal
/// where `run.json` does not tell them apart: τ = 1 on all tokens is the label alone.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// q = e_y: the label alone, which is finetuning.
    Label,
    /// q = (1 − α) p + α e_y with the smallest α by which the label leads every other token by `tau`:
    /// minifinetuning (arXiv:2506.15702).
    Corrected {
        /// Margin τ in \[0, 1\]; 1 makes q one-hot.
        tau: f32,
        /// Tokens that are corrected.
        scope: Scope,
    },
    /// q = (1 − α) p + α e_y with one α for every token: the classic mixture of soft and hard targets
    /// (Hinton et al., arXiv:1503.02531), a baseline.
    Mixture {
        /// Share α of the label in \[0, 1\].
        alpha: f32,
    },
    /// q = e_y where p_y ≥ θ, else q = p: a baseline after selective token masking (arXiv:2501.14315).
    Selective {
        /// Threshold θ in \[0, 1\] of the label's probability.
        threshold: f32,
    },
}

impl Default for Target {
    /// Minifinetuning with the paper's τ on all tokens.
    fn default() -> Self {
        Self::Corrected {
            tau: DEFAULT_TAU,
            scope: Scope::All,
        }
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        TargetFields::from(*self) == TargetFields::from(*other)
    }
}

impl Target {
    /// Returns the method that trains towards this target.
    pub fn method(self) -> Method {
        match self {
            Self::Label => Method::Ft,
            Self::Corrected { .. } if self == Self::Label => Method::Ft,
            Self::Corrected { .. } => Method::Mft,
            Self::Mixture { .. } => Method::Constant,
            Self::Selective { .. } => Method::Selective,
        }
    }

    /// Whether q depends on the teacher. A one-hot target does not.
    pub fn needs_teacher(self) -> bool {
        match self {
            Self::Label => false,
            Self::Corrected { tau, scope } => tau < 1.0 || scope == Scope::Incorrect,
            Self::Mixture { alpha } => alpha < 1.0,
            Self::Selective { threshold } => threshold > 0.0,
        }
    }

    /// Returns the strength and its value: the number that trades gain against forgetting. `None` for
    /// the label alone.
    pub fn strength(self) -> Option<(TargetStrength, f32)> {
        match self {
            Self::Label => None,
            Self::Corrected { tau, .. } => Some((TargetStrength::Tau, tau)),
            Self::Mixture { alpha } => Some((TargetStrength::Alpha, alpha)),
            Self::Selective { threshold } => Some((TargetStrength::Threshold, threshold)),
        }
    }

    /// Returns the same target with another value of its strength.
    #[must_use]
    pub fn with_strength(self, value: f32) -> Self {
        match self {
            Self::Label => self,
            Self::Corrected { scope, .. } => Self::Corrected { tau: value, scope },
            Self::Mixture { .. } => Self::Mixture { alpha: value },
            Self::Selective { .. } => Self::Selective { threshold: value },
        }
    }

    /// Returns the margin τ; 1 for the label alone, `None` for baselines.
    pub fn tau(self) -> Option<f32> {
        let corrects = matches!(self, Self::Label | Self::Corrected { .. });
        corrects.then_some(TargetFields::from(self).tau)
    }

    /// Returns the share α of a constant mixture, else `None`.
    pub fn alpha(self) -> Option<f32> {
        TargetFields::from(self).alpha
    }

    /// Checks that the strength is in range.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for τ, α or θ outside \[0, 1\].
    pub fn validate(self) -> Result<()> {
        match self.strength() {
            Some((strength, value)) if !(0.0..=1.0).contains(&value) => Err(Error::setting(
                strength.key(),
                value,
                "a number from 0 to 1",
            )),
            _ => Ok(()),
        }
    }

    /// Returns 1 − α for a label of probability `p_label` where the teacher's most likely token has
    /// `p_max`: what every token keeps of its probability. This is the function of the same name in
    /// `shaders/distillation/correction.wgsl`, which has the formulas; 1 − α keeps its digits where α
    /// is close to 1.
    pub(super) fn one_minus_alpha(self, p_label: f64, p_max: f64, label_is_argmax: bool) -> f64 {
        let (tau, scope) = match self {
            Self::Label => return 0.0,
            Self::Mixture { alpha } => return 1.0 - f64::from(alpha),
            Self::Selective { threshold } => {
                return f64::from(u8::from(p_label < f64::from(threshold)));
            }
            Self::Corrected { tau, scope } => (f64::from(tau), scope),
        };
        if !label_is_argmax {
            return (1.0 - tau) / (1.0 + p_max - p_label);
        }
        if scope == Scope::Incorrect {
            return 1.0;
        }
        if p_label + tau >= 1.0 {
            return 0.0;
        }
        (1.0 - p_label - tau) / (1.0 - p_label)
    }

    /// Returns the rule for α in `shaders/distillation/correction.wgsl`; 0 for a target without a teacher.
    pub(super) fn rule(self) -> u32 {
        match self {
            Self::Label => 0,
            Self::Corrected {
                scope: Scope::All, ..
            } => 1,
            Self::Corrected {
                scope: Scope::Incorrect,
                ..
            } => 2,
            Self::Mixture { .. } => 3,
            Self::Selective { .. } => 4,
        }
    }
}

/// The number that sets how strongly a target pulls towards the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetStrength {
    /// The margin τ of minifinetuning.
    Tau,
    /// The label's share α in a constant mixture.
    Alpha,
    /// The threshold θ of selective targets: the larger, the weaker the training.
    Threshold,
}

impl TargetStrength {
    /// Returns the name of the setting.
    pub fn key(self) -> &'static str {
        match self {
            Self::Tau => "tau",
            Self::Alpha => "alpha",
            Self::Threshold => "threshold",
        }
    }

    /// Returns the symbol in titles and plots.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Tau => "τ",
            Self::Alpha => "α",
            Self::Threshold => "θ",
        }
    }

    /// Returns the values that a search tries, strongest first.
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
        }
    }
}

/// A target in `run.json`, checkpoints and JavaScript: τ = 1 for the label alone and for mixtures, and a
/// null `alpha` for all but mixtures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub(super) struct TargetFields {
    tau: f32,
    scope: Scope,
    #[serde(default)]
    alpha: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    threshold: Option<f32>,
}

impl From<Target> for TargetFields {
    fn from(target: Target) -> Self {
        let label = Self {
            tau: 1.0,
            scope: Scope::All,
            alpha: None,
            threshold: None,
        };
        match target {
            Target::Label => label,
            Target::Corrected { tau, scope } => Self {
                tau,
                scope,
                ..label
            },
            Target::Mixture { alpha } => Self {
                alpha: Some(alpha),
                ..label
            },
            Target::Selective { threshold } => Self {
                threshold: Some(threshold),
                ..label
            },
        }
    }
}

impl From<TargetFields> for Target {
    fn from(fields: TargetFields) -> Self {
        match (fields.alpha, fields.threshold, fields.tau, fields.scope) {
            (Some(alpha), ..) => Self::Mixture { alpha },
            (None, Some(threshold), ..) => Self::Selective { threshold },
            (None, None, 1.0, Scope::All) => Self::Label,
            (None, None, tau, scope) => Self::Corrected { tau, scope },
        }
    }
}

/// A target as specified by the user. Absent options have their defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[serde(default)]
pub struct TargetOptions {
    /// Training method [default: mft]
    #[cfg_attr(feature = "cli", arg(long, value_enum))]
    pub method: Option<Method>,
    /// Margin by which the label's probability leads in the corrected target, 0 to 1 (mft)
    /// [default: 0.25]
    #[cfg_attr(feature = "cli", arg(long))]
    pub tau: Option<f32>,
    /// Tokens whose target is corrected (mft) [default: all]
    #[cfg_attr(feature = "cli", arg(long, value_enum))]
    pub scope: Option<Scope>,
    /// Share of the label in the target, 0 to 1 (constant) [default: 0.3]
    #[cfg_attr(feature = "cli", arg(long = "mix-alpha", value_name = "ALPHA"))]
    pub alpha: Option<f32>,
    /// Probability from which on a label is trained, 0 to 1 (selective) [default: 0.01]
    #[cfg_attr(feature = "cli", arg(long, value_name = "P"))]
    pub threshold: Option<f32>,
    /// Distillation temperature: divides student and teacher logits in the loss [default: 1]
    #[cfg_attr(feature = "cli", arg(long))]
    pub temperature: Option<f32>,
}

impl TargetOptions {
    /// Returns these options, completed by those of `base`.
    #[must_use]
    pub fn or(self, base: Self) -> Self {
        Self {
            method: self.method.or(base.method),
            tau: self.tau.or(base.tau),
            scope: self.scope.or(base.scope),
            alpha: self.alpha.or(base.alpha),
            threshold: self.threshold.or(base.threshold),
            temperature: self.temperature.or(base.temperature),
        }
    }

    /// Returns the target that the options describe.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for an option that has no effect with the method, and for values out
    /// of range.
    pub fn target(&self) -> Result<Target> {
        let method = self.method.unwrap_or_default();
        for (key, given, of) in [
            ("tau", self.tau.is_some(), Method::Mft),
            ("scope", self.scope.is_some(), Method::Mft),
            ("alpha", self.alpha.is_some(), Method::Constant),
            ("threshold", self.threshold.is_some(), Method::Selective),
        ] {
            if given && method != of {
                let expected = format!("none with {}, only with {}", method.name(), of.name());
                return Err(Error::setting(key, "given", expected));
            }
        }
        let target = match method {
            Method::Ft => Target::Label,
            Method::Mft => Target::Corrected {
                tau: self.tau.unwrap_or(DEFAULT_TAU),
                scope: self.scope.unwrap_or_default(),
            },
            Method::Constant => Target::Mixture {
                alpha: self.alpha.unwrap_or(DEFAULT_ALPHA),
            },
            Method::Selective => Target::Selective {
                threshold: self.threshold.unwrap_or(DEFAULT_THRESHOLD),
            },
        };
        target.validate()?;
        Ok(target)
    }
}
