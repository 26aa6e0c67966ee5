//! The strength of a method: the setting that trades gain against forgetting, so that each method can be
//! compared at its best.

use serde::{Deserialize, Serialize};

use super::flow::SampleWeights;
use super::schedule::Schedule;
use super::settings::TrainSettings;
use crate::kernels::distillation::{Method, TargetStrength};

/// The setting that is a method's strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// Strength λ of elastic weight consolidation: the larger, the weaker the training.
    Ewc,
    /// Share of replayed text: the larger, the weaker the training.
    ReplayRatio,
    /// Learning rate, for methods without another strength.
    LearningRate,
    /// Strength of the target, such as τ.
    #[serde(untagged)]
    Target(TargetStrength),
}

impl Strength {
    /// Returns the strength of the method of these settings.
    pub fn of(settings: &TrainSettings) -> Self {
        if let Some((strength, _)) = settings.objective.target.strength() {
            Self::Target(strength)
        } else if settings.ewc > 0.0 {
            Self::Ewc
        } else if settings.replay_ratio > 0.0 {
            Self::ReplayRatio
        } else {
            Self::LearningRate
        }
    }

    /// Returns its value in settings.
    pub fn value(self, settings: &TrainSettings) -> f64 {
        // Shortest decimal form: 0.3, not 0.30000001192092896.
        let written = |value: f32| value.to_string().parse().unwrap_or(f64::from(value));
        match self {
            // A target without strength is the strongest of all.
            Self::Target(_) => {
                let strength = settings.objective.target.strength();
                strength.map_or(1.0, |(_, value)| written(value))
            }
            Self::Ewc => settings.ewc,
            Self::ReplayRatio => settings.replay_ratio,
            Self::LearningRate => settings.learning_rate,
        }
    }

    /// Returns the settings with another value of it.
    pub fn with(self, settings: &TrainSettings, value: f64) -> TrainSettings {
        let mut settings = settings.clone();
        match self {
            Self::Target(_) => {
                let objective = &mut settings.objective;
                objective.target = objective.target.with_strength(value as f32);
            }
            Self::Ewc => settings.ewc = value,
            Self::ReplayRatio => settings.replay_ratio = value,
            Self::LearningRate => settings.learning_rate = value,
        }
        settings
    }

    /// Returns the values that a search tries, strongest training first.
    pub fn grid(self, settings: &TrainSettings) -> Vec<f64> {
        match self {
            Self::Target(strength) => strength.grid().to_vec(),
            // From almost no penalty to one that nothing moves against.
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

    /// Returns its name or symbol, for reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Target(strength) => strength.symbol(),
            Self::Ewc => "λ",
            Self::ReplayRatio => "replay",
            Self::LearningRate => "learning rate",
        }
    }

    /// Returns name and value, for reports.
    pub fn describe(self, value: f64) -> String {
        match self {
            Self::ReplayRatio => format!("replay {} %", (value * 1000.0).round() / 10.0),
            Self::LearningRate => format!("lr {value:e}"),
            _ => format!("{} {value}", self.name()),
        }
    }
}

impl TrainSettings {
    /// Returns the title of a training with these settings, such as
    /// `MFT τ 0.25 on LoRA + replay 25 %`.
    pub fn title(&self) -> String {
        let describe = |strength: Strength| strength.describe(strength.value(self));
        let target = self.objective.target;
        let mut title = target.method().title().to_string();
        match target.strength() {
            Some((strength, _)) if target.method() != Method::Ft => {
                title.push_str(&format!(" {}", describe(Strength::Target(strength))));
            }
            _ => {}
        }
        if let Some(adapter) = &self.adapter {
            title.push_str(&format!(" on {}", adapter.name()));
        }
        if self.schedule == Schedule::Finch {
            title.push_str(" + FINCH");
        }
        if self.sample_weights == SampleWeights::Flow {
            title.push_str(" + FLOW");
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
    use crate::kernels::distillation::{Objective, Target};
    use crate::model::adapter::{AdapterSettings, LoraSettings};

    fn settings(objective: Objective) -> TrainSettings {
        TrainSettings {
            objective,
            ..TrainSettings::default()
        }
    }

    #[test]
    fn titles_name_method_strength_and_adapter() {
        let finetuning = settings(Objective::finetuning());
        assert_eq!(finetuning.title(), "FT");
        assert_eq!(
            settings(Objective::constant_mixture(0.3)).title(),
            "constant α 0.3"
        );
        let finch = TrainSettings {
            schedule: Schedule::Finch,
            sample_weights: SampleWeights::Flow,
            ..settings(Objective::from(Target::Dynamic))
        };
        assert_eq!(finch.title(), "DFT + FINCH + FLOW");
        let anchored = settings(Objective::from(Target::Anchored { anchor: 0.1 }));
        assert_eq!(anchored.title(), "ASFT λ 0.1");
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
            (
                TrainSettings::default(),
                Strength::Target(TargetStrength::Tau),
            ),
            (
                settings(Objective::constant_mixture(0.5)),
                Strength::Target(TargetStrength::Alpha),
            ),
            (
                settings(Target::TokenMasking { threshold: 0.4 }.into()),
                Strength::Target(TargetStrength::Threshold),
            ),
            (
                settings(Target::Anchored { anchor: 0.1 }.into()),
                Strength::Target(TargetStrength::Anchor),
            ),
            (
                settings(Target::EntropyAdaptive { gamma: 1.0 }.into()),
                Strength::Target(TargetStrength::Gamma),
            ),
            (
                settings(Target::TokenAdaptive { gamma: 1.0 }.into()),
                Strength::Target(TargetStrength::Gamma),
            ),
            (settings(Target::Dynamic.into()), Strength::LearningRate),
            (finetuning.clone(), Strength::LearningRate),
            (Strength::Ewc.with(&finetuning, 1.0), Strength::Ewc),
            (
                Strength::ReplayRatio.with(&finetuning, 0.5),
                Strength::ReplayRatio,
            ),
        ] {
            assert_eq!(Strength::of(&settings), strength);
            for value in strength.grid(&settings) {
                let with = strength.with(&settings, value);
                assert!(with.validate().is_ok(), "{strength:?} {value}");
                assert_eq!(strength.value(&with), value);
            }
        }
    }

    #[test]
    fn strengths_keep_their_names_in_json() {
        for (strength, name) in [
            (Strength::Target(TargetStrength::Tau), "tau"),
            (Strength::Target(TargetStrength::Alpha), "alpha"),
            (Strength::Target(TargetStrength::Threshold), "threshold"),
            (Strength::Target(TargetStrength::Anchor), "anchor"),
            (Strength::Target(TargetStrength::Gamma), "gamma"),
            (Strength::Ewc, "ewc"),
            (Strength::ReplayRatio, "replay-ratio"),
            (Strength::LearningRate, "learning-rate"),
        ] {
            let json = serde_json::to_value(strength).unwrap();
            assert_eq!(json, name);
            assert_eq!(serde_json::from_value::<Strength>(json).unwrap(), strength);
        }
    }
}
