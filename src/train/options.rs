//! Training options as specified by the user, in one type for the command line, recipes and JavaScript.

use serde::{Deserialize, Serialize};

use super::flow::SampleWeights;
use super::schedule::Schedule;
use super::settings::TrainSettings;
use super::strength::Strength;
use super::teacher::KeptStates;
use crate::error::{Error, Result};
use crate::kernels::distillation::TargetOptions;
use crate::model::DialProfile;
use crate::model::adapter::{AdapterOptions, AdapterSettings};

/// Training options. Absent ones have their defaults. [`TrainOptions::settings`] converts them to
/// [`TrainSettings`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrainOptions {
    /// The training target.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten, next_help_heading = "Method"))]
    pub target: TargetOptions,
    /// The adapter to train, if any.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten, next_help_heading = "Adapter"))]
    pub adapter: AdapterOptions,
    /// How much every training sample counts in the loss [default: equal]
    #[cfg_attr(feature = "cli", arg(long, value_enum, help_heading = "Method"))]
    pub sample_weights: Option<SampleWeights>,
    /// Strength λ of elastic weight consolidation, which penalizes changes to weights that matter for
    /// general text; 1 weighs them as much as the loss [default: 0]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "LAMBDA", help_heading = "Method")
    )]
    pub ewc: Option<f64>,
    /// Share of replayed general text in every batch [default: 0.25 with --replay]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "SHARE", help_heading = "Method")
    )]
    pub replay_ratio: Option<f64>,
    /// Number of epochs, possibly a fraction such as 0.5 [default: 3]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "N", help_heading = "Optimization")
    )]
    pub epochs: Option<f64>,
    /// Number of optimizer steps, instead of a number of epochs
    #[cfg_attr(
        feature = "cli",
        arg(
            long,
            value_name = "N",
            conflicts_with = "epochs",
            help_heading = "Optimization"
        )
    )]
    pub max_steps: Option<usize>,
    /// Batch size [default: 8]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "N", help_heading = "Optimization")
    )]
    pub batch_size: Option<usize>,
    /// Gradient accumulation steps [default: 1]
    #[cfg_attr(
        feature = "cli",
        arg(
            long = "grad-accumulation",
            visible_alias = "gradient-accumulation",
            value_name = "N",
            help_heading = "Optimization"
        )
    )]
    pub gradient_accumulation: Option<usize>,
    /// Recompute activations in the backward pass instead of keeping them: less memory, about a third
    /// more time
    #[cfg_attr(
        feature = "cli",
        arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, value_name = "BOOL", help_heading = "Memory and performance")
    )]
    pub gradient_checkpointing: Option<bool>,
    /// Precision of the cached teacher hidden states; float16 halves their memory and changes losses by
    /// less than a thousandth [default: float32]
    #[cfg_attr(
        feature = "cli",
        arg(
            long,
            value_enum,
            value_name = "DTYPE",
            help_heading = "Memory and performance"
        )
    )]
    pub teacher_states: Option<KeptStates>,
    /// Learning rate after warmup [default: 0.001; 0.003 with lora and dora, 0.01 with ia3]
    #[serde(alias = "learning_rate")]
    #[cfg_attr(
        feature = "cli",
        arg(
            long = "lr",
            alias = "learning-rate",
            value_name = "RATE",
            help_heading = "Optimization"
        )
    )]
    pub lr: Option<f64>,
    /// Warmup steps [default: 10]
    #[cfg_attr(
        feature = "cli",
        arg(
            long = "warmup",
            alias = "warmup-steps",
            value_name = "STEPS",
            help_heading = "Optimization"
        )
    )]
    pub warmup_steps: Option<usize>,
    /// Learning-rate schedule after warmup [default: constant]
    #[cfg_attr(feature = "cli", arg(long, value_enum, help_heading = "Optimization"))]
    pub schedule: Option<Schedule>,
    /// Decoupled weight decay [default: 0.01]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "RATE", help_heading = "Optimization")
    )]
    pub weight_decay: Option<f64>,
    /// Max gradient norm for clipping; 0 disables clipping [default: 1]
    #[cfg_attr(
        feature = "cli",
        arg(
            long = "clip",
            alias = "gradient-clip",
            value_name = "NORM",
            help_heading = "Optimization"
        )
    )]
    pub gradient_clip: Option<f64>,
    /// Whether the front over the strengths of the training is measured, and how they are spread over the layers.
    /// `minift train` has flags of its own.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub dial: Option<DialProfile>,
}

impl TrainOptions {
    /// Returns the keys of the options in files.
    #[cfg(feature = "compare")]
    pub(crate) fn keys() -> Vec<String> {
        let options = serde_json::to_value(Self::default()).unwrap_or_default();
        let keys = options.as_object().into_iter().flat_map(|keys| keys.keys());
        keys.cloned().chain(["learning_rate".to_string()]).collect()
    }

    /// Returns these options, completed by those of `base`.
    #[must_use]
    pub fn or(self, base: &Self) -> Self {
        // Either gives the length of the training.
        let has_length = self.epochs.is_some() || self.max_steps.is_some();
        let (epochs, max_steps) = match has_length {
            true => (self.epochs, self.max_steps),
            false => (base.epochs, base.max_steps),
        };
        Self {
            target: self.target.or(base.target),
            adapter: self.adapter.or(&base.adapter),
            sample_weights: self.sample_weights.or(base.sample_weights),
            ewc: self.ewc.or(base.ewc),
            replay_ratio: self.replay_ratio.or(base.replay_ratio),
            epochs,
            max_steps,
            batch_size: self.batch_size.or(base.batch_size),
            gradient_accumulation: self.gradient_accumulation.or(base.gradient_accumulation),
            gradient_checkpointing: self.gradient_checkpointing.or(base.gradient_checkpointing),
            teacher_states: self.teacher_states.or(base.teacher_states),
            lr: self.lr.or(base.lr),
            warmup_steps: self.warmup_steps.or(base.warmup_steps),
            schedule: self.schedule.or(base.schedule),
            weight_decay: self.weight_decay.or(base.weight_decay),
            gradient_clip: self.gradient_clip.or(base.gradient_clip),
            dial: self.dial.or(base.dial),
        }
    }

    /// Returns the settings that the options describe. The learning rate defaults to what suits the
    /// adapter.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) for an option that has no effect with the
    /// others, and for values out of range.
    pub fn settings(&self) -> Result<TrainSettings> {
        let objective = self.target.objective()?;
        let adapter = self.adapter.settings()?;
        let defaults = TrainSettings::default();
        if let (Some(epochs), Some(_)) = (self.epochs, self.max_steps) {
            let expected = "no value beside max_steps";
            return Err(Error::setting("epochs", epochs, expected));
        }
        let learning_rate = adapter
            .as_ref()
            .map_or(defaults.learning_rate, AdapterSettings::learning_rate);
        let settings = TrainSettings {
            objective,
            adapter,
            sample_weights: self.sample_weights.unwrap_or_default(),
            replay_ratio: self.replay_ratio.unwrap_or(defaults.replay_ratio),
            ewc: self.ewc.unwrap_or(defaults.ewc),
            epochs: self.epochs.unwrap_or(defaults.epochs),
            max_steps: self.max_steps,
            batch_size: self.batch_size.unwrap_or(defaults.batch_size),
            gradient_accumulation: self
                .gradient_accumulation
                .unwrap_or(defaults.gradient_accumulation),
            gradient_checkpointing: self
                .gradient_checkpointing
                .unwrap_or(defaults.gradient_checkpointing),
            learning_rate: self.lr.unwrap_or(learning_rate),
            warmup_steps: self.warmup_steps.unwrap_or(defaults.warmup_steps),
            schedule: self.schedule.unwrap_or(defaults.schedule),
            weight_decay: self.weight_decay.unwrap_or(defaults.weight_decay),
            gradient_clip: self.gradient_clip.unwrap_or(defaults.gradient_clip),
            teacher_states: self.teacher_states.unwrap_or(defaults.teacher_states),
            dial: self.dial,
            ..defaults
        };
        settings.validate()?;
        Ok(settings)
    }

    /// Returns the strength of the method according to which options are given, regardless of their values.
    pub fn strength(&self) -> Strength {
        let target = self.target.objective().ok();
        match target.and_then(|objective| objective.target.strength()) {
            Some((strength, _)) => Strength::Target(strength),
            None if self.ewc.is_some() => Strength::Ewc,
            None if self.replay_ratio.is_some() => Strength::ReplayRatio,
            None => Strength::LearningRate,
        }
    }
}

impl From<&TrainSettings> for TrainOptions {
    /// Returns the options that describe the settings, each given explicitly.
    fn from(settings: &TrainSettings) -> Self {
        // Either gives the length of the training.
        let epochs = settings.max_steps.is_none().then_some(settings.epochs);
        Self {
            target: settings.objective.into(),
            adapter: settings.adapter.as_ref().into(),
            sample_weights: Some(settings.sample_weights),
            ewc: (settings.ewc > 0.0).then_some(settings.ewc),
            replay_ratio: (settings.replay_ratio > 0.0).then_some(settings.replay_ratio),
            epochs,
            max_steps: settings.max_steps,
            batch_size: Some(settings.batch_size),
            gradient_accumulation: Some(settings.gradient_accumulation),
            gradient_checkpointing: Some(settings.gradient_checkpointing),
            teacher_states: Some(settings.teacher_states),
            lr: Some(settings.learning_rate),
            warmup_steps: Some(settings.warmup_steps),
            schedule: Some(settings.schedule),
            weight_decay: Some(settings.weight_decay),
            gradient_clip: Some(settings.gradient_clip),
            dial: settings.dial,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernels::distillation::{Method, Target, TargetStrength};

    fn options(json: serde_json::Value) -> serde_json::Result<TrainOptions> {
        serde_json::from_value(json)
    }

    #[test]
    fn absent_options_are_defaults() {
        let settings = TrainOptions::default().settings().unwrap();
        assert_eq!(settings, TrainSettings::default());
        let dora = options(json!({"adapter": "dora", "rank": 4})).unwrap();
        let settings = dora.settings().unwrap();
        assert_eq!(settings.learning_rate, 3e-3);
        let Some(AdapterSettings::Lora(lora)) = settings.adapter else {
            panic!("DoRA is a kind of LoRA");
        };
        assert!(lora.decomposed && lora.rank == 4);
    }

    #[test]
    fn options_are_completed_by_others() {
        let own = options(json!({"method": "ft", "lr": 1e-4})).unwrap();
        let base = options(json!({"lr": 1e-2, "epochs": 7})).unwrap();
        let short = options(json!({"max_steps": 9})).unwrap().or(&base);
        let short = short.settings().unwrap();
        assert_eq!((short.epochs, short.max_steps), (3.0, Some(9)));
        let settings = own.or(&base).settings().unwrap();
        assert_eq!(settings.objective.target, Target::Label);
        assert_eq!((settings.learning_rate, settings.epochs), (1e-4, 7.0));
    }

    #[test]
    fn unknown_options_and_options_without_effect_are_rejected() {
        assert!(options(json!({"tua": 0.5})).is_err());
        for useless in [
            json!({"method": "ft", "tau": 0.5}),
            json!({"method": "dft", "threshold": 0.5}),
            json!({"method": "stm", "anchor": 0.5}),
            json!({"method": "asft", "gamma": 0.5}),
            json!({"method": "asft", "anchor": -0.5}),
            json!({"method": "eaft", "scope": "all"}),
            json!({"method": "stm", "threshold": 1.5}),
            json!({"rank": 4}),
            json!({"adapter": "ia3", "rank": 4}),
            json!({"epochs": 0}),
            json!({"epochs": 1, "max_steps": 9}),
        ] {
            let refused = options(useless.clone()).unwrap().settings();
            assert!(refused.is_err(), "{useless}");
        }
    }

    #[test]
    fn settings_are_described_by_options() {
        let methods = Method::ALL.map(|method| json!({"method": method}));
        let others = [
            json!({"tau": 0.1, "scope": "incorrect", "temperature": 2.5, "max_steps": 9}),
            json!({"tau": 1.0, "epochs": 0.5, "replay_ratio": 0.3, "ewc": 2.0}),
            json!({"method": "eaft", "gamma": 0.3, "adapter": "dora", "rank": 3, "lora_alpha": 7.0,
                   "rslora": true, "dropout": 0.1, "target_modules": ["q_proj"]}),
            json!({"adapter": "ia3", "target_modules": ["k_proj"], "batch_size": 2,
                   "gradient_accumulation": 3, "gradient_checkpointing": true}),
            json!({"adapter": "lora", "teacher_states": "float16", "lr": 1e-5, "warmup_steps": 3}),
            json!({"schedule": "finch", "sample_weights": "flow", "weight_decay": 0.2,
                   "gradient_clip": 0.0, "dial": "by-depth"}),
        ];
        for given in methods.into_iter().chain(others) {
            let settings = options(given.clone()).unwrap().settings().unwrap();
            let described = TrainOptions::from(&settings);
            assert_eq!(described.settings().unwrap(), settings, "{given}");
            let json = serde_json::to_string(&described).unwrap();
            let read: TrainOptions = serde_json::from_str(&json).unwrap();
            assert_eq!(read, described, "{json}");
        }
    }

    #[test]
    fn the_given_option_determines_the_strength() {
        for (given, strength) in [
            (json!({"tau": 1.0}), Strength::Target(TargetStrength::Tau)),
            (
                json!({"method": "constant"}),
                Strength::Target(TargetStrength::Alpha),
            ),
            (
                json!({"method": "stm"}),
                Strength::Target(TargetStrength::Threshold),
            ),
            (
                json!({"method": "asft"}),
                Strength::Target(TargetStrength::Anchor),
            ),
            (
                json!({"method": "eaft", "gamma": 2.0}),
                Strength::Target(TargetStrength::Gamma),
            ),
            (json!({"method": "dft"}), Strength::LearningRate),
            (json!({"method": "ft", "ewc": 0.0}), Strength::Ewc),
            (
                json!({"method": "ft", "replay_ratio": 0.0}),
                Strength::ReplayRatio,
            ),
            (json!({"method": "ft"}), Strength::LearningRate),
        ] {
            assert_eq!(options(given).unwrap().strength(), strength);
        }
        let ft = options(json!({"method": "ft"})).unwrap();
        assert_eq!(ft.target.method, Some(Method::Ft));
    }
}
