//! The settings of the objective: τ, temperature and scope.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The threshold τ that the paper recommends (arXiv:2506.15702, section 4).
pub const DEFAULT_TAU: f32 = 0.25;

/// Which predicted tokens get a corrected target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Every token, the paper's choice.
    #[default]
    All,
    /// Only tokens whose label is not the teacher's most likely token; the target of the others is
    /// the teacher's own distribution.
    Incorrect,
}

/// What the student is trained towards: the teacher's distribution, corrected until the label wins
/// by a margin (minifinetuning) or by the same share everywhere (a constant mixture), or the label
/// alone (finetuning).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct Objective {
    /// Margin τ in \[0, 1\] by which the label's probability is made to exceed that of every other
    /// token. 1 gives the one-hot target.
    pub tau: f32,
    /// Temperature T > 0 that divides student and teacher logits alike; the loss carries T².
    pub temperature: f32,
    /// Which tokens are corrected.
    pub scope: Scope,
    /// Share α in \[0, 1\] of the label in a constant mixture, q = (1 − α) p + α e_y for every
    /// token. It takes the place of τ and scope; none for minifinetuning.
    #[serde(default)]
    pub alpha: Option<f32>,
}

impl Default for Objective {
    /// Minifinetuning with the paper's τ.
    fn default() -> Self {
        Self::minifinetuning(DEFAULT_TAU)
    }
}

impl Objective {
    /// Minifinetuning with margin `tau`, temperature 1, on all tokens.
    pub const fn minifinetuning(tau: f32) -> Self {
        Self {
            tau,
            temperature: 1.0,
            scope: Scope::All,
            alpha: None,
        }
    }

    /// A constant mixture with share `alpha` of the label, temperature 1: the usual way to mix a
    /// teacher's distribution with labels (Hinton et al., arXiv:1503.02531), a rival of
    /// minifinetuning.
    pub const fn constant_mixture(alpha: f32) -> Self {
        Self {
            alpha: Some(alpha),
            ..Self::finetuning()
        }
    }

    /// Plain finetuning: cross-entropy, which is the corrected target with τ = 1.
    pub const fn finetuning() -> Self {
        Self::minifinetuning(1.0)
    }

    /// Whether the target depends on the teacher. With τ = 1 on all tokens, or α = 1, it is one-hot
    /// and no teacher is needed.
    pub fn needs_teacher(&self) -> bool {
        match self.alpha {
            Some(alpha) => alpha < 1.0,
            None => self.tau < 1.0 || self.scope == Scope::Incorrect,
        }
    }

    /// Checks the ranges of τ, α and temperature.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for τ or α outside \[0, 1\] and for a temperature that is not
    /// positive and finite.
    pub fn validate(&self) -> Result<()> {
        if let Some(alpha) = self.alpha
            && !(0.0..=1.0).contains(&alpha)
        {
            return Err(Error::setting("alpha", alpha, "a number from 0 to 1"));
        }
        if !(0.0..=1.0).contains(&self.tau) {
            return Err(Error::setting("tau", self.tau, "a number from 0 to 1"));
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(Error::setting(
                "temperature",
                self.temperature,
                "a finite number above 0",
            ));
        }
        Ok(())
    }
}
