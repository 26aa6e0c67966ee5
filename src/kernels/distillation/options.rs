//! Targets as users specify them and as files store them.

use serde::{Deserialize, Serialize};

use super::strength::TargetStrength;
use super::target::{Method, Scope, Target};
use crate::error::{Error, Result};

/// A target in `run.json`, checkpoints and JavaScript. `method` is given where the strengths do not imply
/// it: τ = 1 is the label alone, and `alpha` or a `threshold` without method are a constant mixture and
/// selective targets, as in earlier versions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub(super) struct TargetFields {
    tau: f32,
    scope: Scope,
    #[serde(default)]
    alpha: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    threshold: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<Method>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    anchor: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gamma: Option<f32>,
}

/// The keys of [`TargetFields`] that are written only where they are set.
#[cfg_attr(not(feature = "c"), allow(dead_code))]
pub(crate) const OPTIONAL_KEYS: [&str; 4] = ["threshold", "method", "anchor", "gamma"];

impl TargetFields {
    /// Returns the value of a strength.
    fn get(&self, strength: TargetStrength) -> Option<f32> {
        match strength {
            TargetStrength::Tau => Some(self.tau),
            TargetStrength::Alpha => self.alpha,
            TargetStrength::Threshold => self.threshold,
            TargetStrength::Anchor => self.anchor,
            TargetStrength::Gamma => self.gamma,
        }
    }

    fn set(&mut self, strength: TargetStrength, value: f32) {
        match strength {
            TargetStrength::Tau => self.tau = value,
            TargetStrength::Alpha => self.alpha = Some(value),
            TargetStrength::Threshold => self.threshold = Some(value),
            TargetStrength::Anchor => self.anchor = Some(value),
            TargetStrength::Gamma => self.gamma = Some(value),
        }
    }

    /// Returns the method that the strengths imply.
    fn implied_method(&self) -> Method {
        match (self.alpha, self.threshold, self.tau, self.scope) {
            (Some(_), ..) => Method::Constant,
            (None, Some(_), ..) => Method::Selective,
            (None, None, 1.0, Scope::All) => Method::Ft,
            (None, None, ..) => Method::Mft,
        }
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        TargetFields::from(*self) == TargetFields::from(*other)
    }
}

impl From<Target> for TargetFields {
    fn from(target: Target) -> Self {
        let mut fields = Self {
            tau: 1.0,
            scope: Scope::All,
            alpha: None,
            threshold: None,
            method: None,
            anchor: None,
            gamma: None,
        };
        if let Target::Corrected { scope, .. } = target {
            fields.scope = scope;
        }
        if let Some((strength, value)) = target.strength() {
            fields.set(strength, value);
        }
        let (method, implied) = (target.variant(), fields.implied_method());
        // Minifinetuning with τ = 1 is finetuning.
        if method != implied && method != Method::Mft {
            fields.method = Some(method);
        }
        fields
    }
}

impl From<TargetFields> for Target {
    fn from(fields: TargetFields) -> Self {
        let method = fields.method.unwrap_or_else(|| fields.implied_method());
        let value = |strength| fields.get(strength);
        Self::new(method, fields.scope, value)
    }
}

/// A target as specified by the user. Absent options have their defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
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
    /// Probability from which on a label is trained, 0 to 1 (selective, stm) [default: 0.01; 0.4 with
    /// stm]
    #[cfg_attr(feature = "cli", arg(long, value_name = "P"))]
    pub threshold: Option<f32>,
    /// Weight of the divergence from the untouched model (asft) [default: 0.1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "LAMBDA"))]
    pub anchor: Option<f32>,
    /// Exponent of the weights (eaft: by entropy, talr: by probability) [default: 1]
    #[cfg_attr(feature = "cli", arg(long))]
    pub gamma: Option<f32>,
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
            anchor: self.anchor.or(base.anchor),
            gamma: self.gamma.or(base.gamma),
            temperature: self.temperature.or(base.temperature),
        }
    }

    /// Returns the value of a strength, if it is given.
    fn get(&self, strength: TargetStrength) -> Option<f32> {
        match strength {
            TargetStrength::Tau => self.tau,
            TargetStrength::Alpha => self.alpha,
            TargetStrength::Threshold => self.threshold,
            TargetStrength::Anchor => self.anchor,
            TargetStrength::Gamma => self.gamma,
        }
    }

    /// Gives a strength its value.
    pub(super) fn set(&mut self, strength: TargetStrength, value: f32) {
        match strength {
            TargetStrength::Tau => self.tau = Some(value),
            TargetStrength::Alpha => self.alpha = Some(value),
            TargetStrength::Threshold => self.threshold = Some(value),
            TargetStrength::Anchor => self.anchor = Some(value),
            TargetStrength::Gamma => self.gamma = Some(value),
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
        let without_effect = |key, takes: &dyn Fn(Method) -> bool| {
            let methods = Method::ALL.iter().filter(|&&method| takes(method));
            let names: Vec<&str> = methods.map(|method| method.name()).collect();
            let expected = format!(
                "none with {}, only with {}",
                method.name(),
                names.join(", ")
            );
            Err(Error::setting(key, "given", expected))
        };
        for strength in TargetStrength::ALL {
            let takes = |method: Method| method.strength().map(|(own, _)| own) == Some(strength);
            if self.get(strength).is_some() && !takes(method) {
                return without_effect(strength.key(), &takes);
            }
        }
        if self.scope.is_some() && method != Method::Mft {
            return without_effect("scope", &|method| method == Method::Mft);
        }
        let scope = self.scope.unwrap_or_default();
        let target = Target::new(method, scope, |strength| self.get(strength));
        target.validate()?;
        Ok(target)
    }
}
