//! The target that the student is trained towards: the method as a type.

use serde::{Deserialize, Serialize};

use super::strength::TargetStrength;
use crate::error::{Error, Result};

/// The margin τ recommended by the paper (arXiv:2506.15702, section 4).
pub const DEFAULT_TAU: f32 = 0.25;
/// The label's share α in a constant mixture by default.
pub const DEFAULT_ALPHA: f32 = 0.3;

/// The least weight of a token in token-adaptive loss reweighting (arXiv:2509.20758).
const LEAST_WEIGHT: f64 = 0.01;

/// The tokens whose target is corrected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
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
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
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
    /// Selective token masking: the label where the teacher finds it likely enough; other tokens are
    /// not trained
    Stm,
    /// Dynamic finetuning: cross-entropy, weighted by the label's current probability
    Dft,
    /// Anchored supervised finetuning: dft and the divergence from the untouched model
    Asft,
    /// Entropy-adaptive finetuning: cross-entropy, weighted by the entropy of the current distribution
    Eaft,
    /// Token-adaptive loss reweighting: cross-entropy, weighted by a power of the label's current
    /// probability
    Talr,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 9] = [
        Self::Ft,
        Self::Mft,
        Self::Constant,
        Self::Selective,
        Self::Stm,
        Self::Dft,
        Self::Asft,
        Self::Eaft,
        Self::Talr,
    ];

    /// Returns the name for reports, such as `minifinetuning`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ft => "finetuning",
            Self::Mft => "minifinetuning",
            Self::Constant => "constant mixture",
            Self::Selective => "selective targets",
            Self::Stm => "selective token masking",
            Self::Dft => "dynamic finetuning",
            Self::Asft => "anchored supervised finetuning",
            Self::Eaft => "entropy-adaptive finetuning",
            Self::Talr => "token-adaptive loss reweighting",
        }
    }

    /// Returns the short name for tables and plots, such as `MFT`.
    pub fn title(self) -> &'static str {
        match self {
            Self::Ft => "FT",
            Self::Mft => "MFT",
            Self::Constant => "constant",
            Self::Selective => "selective",
            Self::Stm => "STM",
            Self::Dft => "DFT",
            Self::Asft => "ASFT",
            Self::Eaft => "EAFT",
            Self::Talr => "TALR",
        }
    }

    /// Returns the strength and its default; `None` for a method without one.
    pub fn strength(self) -> Option<(TargetStrength, f32)> {
        match self {
            Self::Ft | Self::Dft => None,
            Self::Mft => Some((TargetStrength::Tau, DEFAULT_TAU)),
            Self::Constant => Some((TargetStrength::Alpha, DEFAULT_ALPHA)),
            Self::Selective => Some((TargetStrength::Threshold, 0.01)),
            // Perplexity 2.5 of a token, as in the authors' code.
            Self::Stm => Some((TargetStrength::Threshold, 0.4)),
            // As in the authors' code and in LLaMA-Factory.
            Self::Asft => Some((TargetStrength::Anchor, 0.1)),
            Self::Eaft | Self::Talr => Some((TargetStrength::Gamma, 1.0)),
        }
    }
}

/// What a token is trained towards. The gradient with respect to its student logits is, at temperature 1,
///
/// ```text
/// w_e (s − e_y) + w_p (s − p) = w (s − q)      w = w_e + w_p      q = (w_p p + w_e e_y) / w
/// ```
///
/// with the student's distribution s, the teacher's p and the label y. The target q and the weight w are
/// constants: they carry no gradient. The weight is 1 where it is not given below.
///
/// Two targets are equal where `run.json` does not tell them apart: τ = 1 on all tokens is the label alone.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
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
    /// q = e_y with w = 1 where p_y ≥ θ, else w = 0: selective token masking (Wu et al.,
    /// arXiv:2501.14315), which masks tokens of a perplexity 1 / p_y above 1 / θ.
    TokenMasking {
        /// Threshold θ in \[0, 1\] of the label's probability.
        threshold: f32,
    },
    /// q = e_y with w = s_y: dynamic finetuning (Wu et al., arXiv:2508.05629).
    Dynamic,
    /// w_e = s_y, w_p = λ: anchored supervised finetuning (Zhu et al., arXiv:2509.23753), whose loss is
    /// that of dynamic finetuning plus λ KL(p ‖ s).
    Anchored {
        /// Weight λ ≥ 0 of the divergence from the teacher.
        anchor: f32,
    },
    /// q = e_y with w = (H / ln 20)^γ, where H is the entropy of s among its 20 most likely tokens:
    /// entropy-adaptive finetuning (Diao et al., arXiv:2601.02151, equations 2 and 3, and section 5.1 for
    /// γ = 2 and 3).
    EntropyAdaptive {
        /// Exponent γ ≥ 0; 0 is finetuning.
        gamma: f32,
    },
    /// q = e_y with w = max(s_y^γ, 0.01): token-adaptive loss reweighting (Lin et al., arXiv:2509.20758), whose
    /// weights exp(−loss / τ) have τ = 1 / γ. The paper takes for τ the median loss of a batch's sequences; here it is
    /// a constant.
    TokenAdaptive {
        /// Exponent γ ≥ 0; 0 is finetuning.
        gamma: f32,
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

impl Target {
    /// Returns the target of a method, with the value of its strength that `given` returns, or its default.
    pub(super) fn new(
        method: Method,
        scope: Scope,
        given: impl Fn(TargetStrength) -> Option<f32>,
    ) -> Self {
        let strength = method.strength();
        let value = strength.map_or(1.0, |(strength, value)| given(strength).unwrap_or(value));
        match method {
            Method::Ft => Self::Label,
            Method::Mft => Self::Corrected { tau: value, scope },
            Method::Constant => Self::Mixture { alpha: value },
            Method::Selective => Self::Selective { threshold: value },
            Method::Stm => Self::TokenMasking { threshold: value },
            Method::Dft => Self::Dynamic,
            Method::Asft => Self::Anchored { anchor: value },
            Method::Eaft => Self::EntropyAdaptive { gamma: value },
            Method::Talr => Self::TokenAdaptive { gamma: value },
        }
    }

    /// Returns the method that trains towards this target.
    pub fn method(self) -> Method {
        match self.variant() {
            Method::Mft if self == Self::Label => Method::Ft,
            method => method,
        }
    }

    /// Returns the method of this variant, whatever its values.
    pub(super) fn variant(self) -> Method {
        match self {
            Self::Label => Method::Ft,
            Self::Corrected { .. } => Method::Mft,
            Self::Mixture { .. } => Method::Constant,
            Self::Selective { .. } => Method::Selective,
            Self::TokenMasking { .. } => Method::Stm,
            Self::Dynamic => Method::Dft,
            Self::Anchored { .. } => Method::Asft,
            Self::EntropyAdaptive { .. } => Method::Eaft,
            Self::TokenAdaptive { .. } => Method::Talr,
        }
    }

    /// Whether target or weight depend on the teacher. A one-hot target does not.
    pub fn needs_teacher(self) -> bool {
        match self {
            Self::Label
            | Self::Dynamic
            | Self::EntropyAdaptive { .. }
            | Self::TokenAdaptive { .. } => false,
            Self::Corrected { tau, scope } => tau < 1.0 || scope == Scope::Incorrect,
            Self::Mixture { alpha } => alpha < 1.0,
            Self::Selective { threshold } | Self::TokenMasking { threshold } => threshold > 0.0,
            Self::Anchored { anchor } => anchor > 0.0,
        }
    }

    /// Returns the strength and its value: the number that trades gain against forgetting. `None` for
    /// a target without one.
    pub fn strength(self) -> Option<(TargetStrength, f32)> {
        let (strength, _) = self.variant().strength()?;
        Some((strength, self.value()))
    }

    /// Returns the value of the strength; 1 for a target without one.
    pub(super) fn value(self) -> f32 {
        match self {
            Self::Label | Self::Dynamic => 1.0,
            Self::Corrected { tau, .. } => tau,
            Self::Mixture { alpha } => alpha,
            Self::Selective { threshold } | Self::TokenMasking { threshold } => threshold,
            Self::Anchored { anchor } => anchor,
            Self::EntropyAdaptive { gamma } | Self::TokenAdaptive { gamma } => gamma,
        }
    }

    /// Returns the same target with another value of its strength.
    #[must_use]
    pub fn with_strength(self, value: f32) -> Self {
        let scope = match self {
            Self::Corrected { scope, .. } => scope,
            _ => Scope::All,
        };
        Self::new(self.variant(), scope, |_| Some(value))
    }

    /// Returns the margin τ; 1 for the label alone, `None` for baselines.
    pub fn tau(self) -> Option<f32> {
        let corrects = matches!(self, Self::Label | Self::Corrected { .. });
        corrects.then_some(self.value())
    }

    /// Returns the share α of a constant mixture, else `None`.
    pub fn alpha(self) -> Option<f32> {
        matches!(self, Self::Mixture { .. }).then_some(self.value())
    }

    /// Checks that the strength is in range.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for τ, α or θ outside \[0, 1\], and for λ or γ that are negative or not
    /// finite.
    pub fn validate(self) -> Result<()> {
        match self.strength() {
            Some((strength, value)) if !(0.0..=strength.max()).contains(&value) => {
                let expected = match strength.max() {
                    1.0 => "a number from 0 to 1",
                    _ => "a finite number, 0 or more",
                };
                Err(Error::setting(strength.key(), value, expected))
            }
            _ => Ok(()),
        }
    }

    /// Returns 1 − α = w_p / (w_e + w_p), what every token keeps of its probability, for a label of
    /// probability `p_label` (and `s_label` by the student) where the teacher's most likely token has
    /// `p_max`. This is the function of the same name in `shaders/distillation/correction.wgsl`, which has
    /// the formulas; 1 − α keeps its digits where α is close to 1.
    pub(super) fn one_minus_alpha(
        self,
        p_label: f64,
        p_max: f64,
        label_is_argmax: bool,
        s_label: f64,
    ) -> f64 {
        let (tau, scope) = match self {
            Self::Label
            | Self::TokenMasking { .. }
            | Self::Dynamic
            | Self::EntropyAdaptive { .. }
            | Self::TokenAdaptive { .. } => return 0.0,
            Self::Mixture { alpha } => return 1.0 - f64::from(alpha),
            Self::Selective { threshold } => {
                return f64::from(u8::from(p_label < f64::from(threshold)));
            }
            Self::Anchored { anchor } => return f64::from(anchor) / (f64::from(anchor) + s_label),
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

    /// Returns w = w_e + w_p, the factor of loss and gradient, where the student's most likely tokens have
    /// an `entropy` from 0 to 1. As in the shader.
    pub(super) fn weight(self, p_label: f64, s_label: f64, entropy: f64) -> f64 {
        match self {
            Self::TokenMasking { threshold } => {
                f64::from(u8::from(p_label >= f64::from(threshold)))
            }
            Self::Dynamic => s_label,
            Self::Anchored { anchor } => s_label + f64::from(anchor),
            Self::EntropyAdaptive { gamma } => entropy.powf(f64::from(gamma)),
            Self::TokenAdaptive { gamma } => s_label.powf(f64::from(gamma)).max(LEAST_WEIGHT),
            Self::Label
            | Self::Corrected { .. }
            | Self::Mixture { .. }
            | Self::Selective { .. } => 1.0,
        }
    }

    /// Returns the rule in `shaders/distillation/correction.wgsl`; 0 for the label alone.
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
            Self::TokenMasking { .. } => 5,
            Self::Dynamic => 6,
            Self::Anchored { .. } => 7,
            Self::EntropyAdaptive { .. } => 8,
            Self::TokenAdaptive { .. } => 9,
        }
    }
}
