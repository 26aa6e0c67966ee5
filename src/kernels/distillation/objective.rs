//! The objective: a target and a temperature.

use serde::{Deserialize, Serialize};

use super::options::{TargetFields, TargetOptions};
use super::target::{Scope, Target};
use crate::error::{Error, Result};

/// The objective: a target and the temperature T at which student and teacher are compared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "ObjectiveFields", into = "ObjectiveFields")]
pub struct Objective {
    /// The distribution that the student is trained towards.
    pub target: Target,
    /// Temperature T > 0 that divides student and teacher logits alike; the loss carries T².
    pub temperature: f32,
}

impl Default for Objective {
    /// Minifinetuning with the paper's τ.
    fn default() -> Self {
        Target::default().into()
    }
}

impl From<Target> for Objective {
    /// The objective with that target at temperature 1.
    fn from(target: Target) -> Self {
        Self {
            target,
            temperature: 1.0,
        }
    }
}

impl Objective {
    /// Returns minifinetuning with margin `tau`, temperature 1, on all tokens.
    pub fn minifinetuning(tau: f32) -> Self {
        let scope = Scope::All;
        Target::Corrected { tau, scope }.into()
    }

    /// Returns a constant mixture with share `alpha` of the label at temperature 1.
    pub fn constant_mixture(alpha: f32) -> Self {
        Target::Mixture { alpha }.into()
    }

    /// Returns plain finetuning: cross-entropy.
    pub fn finetuning() -> Self {
        Target::Label.into()
    }

    /// Returns KL(teacher ‖ student) itself: a constant mixture without a share of the label.
    pub(crate) fn divergence() -> Self {
        Self::constant_mixture(0.0)
    }

    /// Whether the target depends on the teacher, see [`Target::needs_teacher`].
    pub fn needs_teacher(&self) -> bool {
        self.target.needs_teacher()
    }

    /// Checks the ranges of the target's strength and the temperature.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a strength out of range, and for a temperature that is not positive
    /// and finite.
    pub fn validate(&self) -> Result<()> {
        self.target.validate()?;
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            let expected = "a finite number above 0";
            return Err(Error::setting("temperature", self.temperature, expected));
        }
        Ok(())
    }
}

impl TargetOptions {
    /// Returns the objective that the options describe.
    ///
    /// # Errors
    ///
    /// As [`Self::target`], and [`Error::InvalidSetting`] for a temperature out of range.
    pub fn objective(&self) -> Result<Objective> {
        let objective = Objective {
            target: self.target()?,
            temperature: self.temperature.unwrap_or(1.0),
        };
        objective.validate()?;
        Ok(objective)
    }
}

impl From<Objective> for TargetOptions {
    /// Returns the options that describe the objective, each given explicitly.
    fn from(objective: Objective) -> Self {
        let target = objective.target;
        let mut options = Self {
            method: Some(target.variant()),
            temperature: Some(objective.temperature),
            ..Self::default()
        };
        if let Target::Corrected { scope, .. } = target {
            options.scope = Some(scope);
        }
        if let Some((strength, value)) = target.strength() {
            options.set(strength, value);
        }
        options
    }
}

/// An objective in `run.json`, checkpoints and JavaScript.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
struct ObjectiveFields {
    #[serde(flatten)]
    target: TargetFields,
    temperature: f32,
}

impl From<Objective> for ObjectiveFields {
    fn from(objective: Objective) -> Self {
        Self {
            target: objective.target.into(),
            temperature: objective.temperature,
        }
    }
}

impl From<ObjectiveFields> for Objective {
    fn from(flat: ObjectiveFields) -> Self {
        Self {
            target: flat.target.into(),
            temperature: flat.temperature,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(objective: Objective) -> (serde_json::Value, Objective) {
        let json = serde_json::to_value(objective).unwrap();
        let read = serde_json::from_value(json.clone()).unwrap();
        (json, read)
    }

    #[test]
    fn objectives_keep_their_json_and_survive_it() {
        for (objective, tau, alpha) in [
            (Objective::finetuning(), 1.0, None),
            (Objective::minifinetuning(0.5), 0.5, None),
            (Objective::constant_mixture(0.5), 1.0, Some(0.5)),
        ] {
            let (json, read) = round_trip(objective);
            assert_eq!(read, objective);
            let expected = serde_json::json!({
                "tau": tau, "temperature": 1.0, "scope": "all", "alpha": alpha,
            });
            assert_eq!(json, expected);
        }
        let incorrect = Objective::from(Target::Corrected {
            tau: 1.0,
            scope: Scope::Incorrect,
        });
        assert_eq!(round_trip(incorrect).1, incorrect);
        for (target, keys) in [
            (Target::Dynamic, serde_json::json!({"method": "dft"})),
            (
                Target::TokenMasking { threshold: 0.5 },
                serde_json::json!({"method": "stm", "threshold": 0.5}),
            ),
            (
                Target::Anchored { anchor: 0.5 },
                serde_json::json!({"method": "asft", "anchor": 0.5}),
            ),
            (
                Target::EntropyAdaptive { gamma: 2.0 },
                serde_json::json!({"method": "eaft", "gamma": 2.0}),
            ),
            (
                Target::TokenAdaptive { gamma: 0.5 },
                serde_json::json!({"method": "talr", "gamma": 0.5}),
            ),
        ] {
            let (json, read) = round_trip(target.into());
            assert_eq!(read, target.into());
            let mut expected = serde_json::json!({
                "tau": 1.0, "temperature": 1.0, "scope": "all", "alpha": null,
            });
            for (key, value) in keys.as_object().unwrap() {
                expected[key] = value.clone();
            }
            assert_eq!(json, expected);
        }
        // Written before selective token masking existed.
        let old =
            r#"{"tau": 1.0, "temperature": 1.0, "scope": "all", "alpha": null, "threshold": 0.5}"#;
        let old: Objective = serde_json::from_str(old).unwrap();
        assert_eq!(old.target, Target::Selective { threshold: 0.5 });
        // Written before constant mixtures existed.
        let old = r#"{"tau": 0.25, "temperature": 1.0, "scope": "all"}"#;
        let old: Objective = serde_json::from_str(old).unwrap();
        assert_eq!(old, Objective::default());
    }
}
