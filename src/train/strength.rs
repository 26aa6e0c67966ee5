//! A method's strength: the one setting that trades gain against forgetting, so that methods can be
//! compared each at its best.

use serde::{Deserialize, Serialize};

use super::settings::TrainSettings;

/// Which setting is a method's strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// The margin τ of minifinetuning.
    Tau,
    /// The share α of a constant mixture.
    Alpha,
    /// The strength λ of elastic weight consolidation: the larger, the weaker the training.
    Ewc,
    /// The share of replayed text: the larger, the weaker the training.
    ReplayRatio,
    /// The learning rate, where a method has nothing of its own.
    LearningRate,
}

impl Strength {
    /// The strength of the method that settings amount to.
    pub fn of(settings: &TrainSettings) -> Self {
        let objective = &settings.objective;
        if objective.alpha.is_some() {
            Self::Alpha
        } else if objective.needs_teacher() {
            Self::Tau
        } else if settings.ewc > 0.0 {
            Self::Ewc
        } else if settings.replay_ratio > 0.0 {
            Self::ReplayRatio
        } else {
            Self::LearningRate
        }
    }

    /// Its value in settings.
    pub fn value(self, settings: &TrainSettings) -> f64 {
        // As people write it: 0.3, not 0.30000001192092896.
        let written = |value: f32| value.to_string().parse().unwrap_or(f64::from(value));
        match self {
            Self::Tau => written(settings.objective.tau),
            Self::Alpha => written(settings.objective.alpha.unwrap_or(1.0)),
            Self::Ewc => settings.ewc,
            Self::ReplayRatio => settings.replay_ratio,
            Self::LearningRate => settings.learning_rate,
        }
    }

    /// The same settings with another value.
    pub fn with(self, settings: &TrainSettings, value: f64) -> TrainSettings {
        let mut settings = settings.clone();
        match self {
            Self::Tau => settings.objective.tau = value as f32,
            Self::Alpha => settings.objective.alpha = Some(value as f32),
            Self::Ewc => settings.ewc = value,
            Self::ReplayRatio => settings.replay_ratio = value,
            Self::LearningRate => settings.learning_rate = value,
        }
        settings
    }

    /// Values worth trying, from the one that trains most strongly to the weakest.
    pub fn values(self, settings: &TrainSettings) -> Vec<f64> {
        match self {
            Self::Tau => vec![
                1.0, 0.9, 0.75, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05, 0.02, 0.0,
            ],
            Self::Alpha => vec![
                1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01,
            ],
            // From no hold at all to one that nothing moves against.
            Self::Ewc => vec![
                0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 1e5, 1e6,
            ],
            Self::ReplayRatio => vec![0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
            Self::LearningRate => [
                1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.09, 0.06, 0.045, 0.03, 0.02, 0.015, 0.01,
                0.005,
            ]
            .map(|part| {
                // Three digits are enough: 0.00018, not 0.00017999999999999998.
                let rounded = format!("{:.2e}", part * settings.learning_rate);
                rounded.parse().unwrap_or(part * settings.learning_rate)
            })
            .to_vec(),
        }
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tau => "τ",
            Self::Alpha => "α",
            Self::Ewc => "λ",
            Self::ReplayRatio => "replay",
            Self::LearningRate => "learning rate",
        }
    }

    /// Name and value, for people.
    pub fn describe(self, value: f64) -> String {
        match self {
            Self::ReplayRatio => format!("replay {} %", (value * 1000.0).round() / 10.0),
            Self::LearningRate => format!("lr {value:e}"),
            _ => format!("{} {value}", self.name()),
        }
    }
}

impl TrainSettings {
    /// What people call a training of those settings, such as `MFT τ 0.25 on LoRA + replay 25 %`.
    pub fn title(&self) -> String {
        let strength = Strength::of(self);
        let describe = |strength: Strength| strength.describe(strength.value(self));
        let mut title = match strength {
            Strength::Alpha => format!("constant {}", describe(strength)),
            Strength::Tau => format!("MFT {}", describe(strength)),
            _ => "FT".to_string(),
        };
        if let Some(adapter) = &self.adapter {
            title.push_str(&format!(" on {}", adapter.name()));
        }
        if self.ewc > 0.0 {
            title.push_str(&format!(" + EWC {}", describe(Strength::Ewc)));
        }
        if self.replay_ratio > 0.0 {
            title.push_str(&format!(" + {}", describe(Strength::ReplayRatio)));
        }
        title
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{AdapterSettings, LoraSettings};
    use crate::objective::Objective;

    fn settings(objective: Objective) -> TrainSettings {
        TrainSettings {
            objective,
            ..TrainSettings::default()
        }
    }

    #[test]
    fn titles_say_what_is_trained_and_how_strongly() {
        let finetuning = settings(Objective::finetuning());
        assert_eq!(finetuning.title(), "FT");
        assert_eq!(
            settings(Objective::constant_mixture(0.3)).title(),
            "constant α 0.3"
        );
        let all = TrainSettings {
            adapter: Some(AdapterSettings::Lora(LoraSettings::default())),
            replay_ratio: 0.25,
            ewc: 10.0,
            ..TrainSettings::default()
        };
        assert_eq!(all.title(), "MFT τ 0.25 on LoRA + EWC λ 10 + replay 25 %");
    }

    #[test]
    fn every_method_has_a_strength_of_valid_values_that_can_be_set() {
        let finetuning = settings(Objective::finetuning());
        for (settings, strength) in [
            (TrainSettings::default(), Strength::Tau),
            (settings(Objective::constant_mixture(0.5)), Strength::Alpha),
            (finetuning.clone(), Strength::LearningRate),
            (Strength::Ewc.with(&finetuning, 1.0), Strength::Ewc),
            (
                Strength::ReplayRatio.with(&finetuning, 0.5),
                Strength::ReplayRatio,
            ),
        ] {
            assert_eq!(Strength::of(&settings), strength);
            for value in strength.values(&settings) {
                let with = strength.with(&settings, value);
                assert!(with.validate().is_ok(), "{strength:?} {value}");
                assert_eq!(strength.value(&with), value);
            }
        }
    }
}
