//! The settings of a training.

use serde::{Deserialize, Serialize};

use super::teacher::KeptStates;
use crate::adapter::{Adapter, AdapterSettings};
use crate::error::{Error, Result};
use crate::model::CausalLm;
use crate::objective::{DEFAULT_TILE_BYTES, Objective};

/// Beyond every use, and far below where products of counts overflow.
const LARGEST_COUNT: usize = 1_000_000;
/// As many as an epoch of any use; a ratio near 1 asks for more than a list can hold.
const MOST_REPLAYED: f64 = 1e8;

/// How the learning rate goes on after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Stays.
    #[default]
    Constant,
    /// Falls to 0 in a straight line.
    Linear,
    /// Falls to 0 along half a cosine (Loshchilov and Hutter, arXiv:1608.03983).
    Cosine,
}

/// Everything that decides how a model is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct TrainSettings {
    /// What is optimised.
    pub objective: Objective,
    /// What is trained in place of the weights; none for the weights themselves.
    #[serde(default)]
    pub adapter: Option<AdapterSettings>,
    /// Share of the samples in every batch that are replayed general text, in \[0, 1).
    #[serde(default)]
    pub replay_ratio: f64,
    /// Strength λ of elastic weight consolidation, which holds weights the more the more they matter
    /// for general text (Kirkpatrick et al., arXiv:1612.00796); 0 for none. At 1 the penalty is the
    /// quadratic approximation of KL(untouched ‖ trained) per token of that text.
    #[serde(default)]
    pub ewc: f64,
    /// Times that every sample is seen.
    pub epochs: usize,
    /// Samples a batch.
    pub batch_size: usize,
    /// Batches whose gradients make one step.
    pub gradient_accumulation: usize,
    /// Whether layers are computed again for their gradients rather than kept: less memory, and about a
    /// third more time.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// Learning rate after the warm-up.
    pub learning_rate: f64,
    /// Steps in which the learning rate rises from 0 in a straight line.
    pub warmup_steps: usize,
    /// How it goes on.
    pub schedule: Schedule,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Greatest norm of the whole gradient; longer ones are shortened to it. 0 for no limit.
    pub gradient_clip: f64,
    /// Fixes the order of the samples.
    pub seed: u64,
    /// Steps between evaluations in the middle of the training; 0 for none but before and after.
    pub evaluate_every: usize,
    /// Bytes of a tile of logits in the loss.
    pub tile_bytes: usize,
    /// Bytes for the teacher's hidden states on the device.
    pub teacher_cache_bytes: usize,
    /// Bytes for those of further samples in the host's memory; beyond them they are computed anew in
    /// every epoch.
    #[serde(default = "default_host_bytes")]
    pub teacher_host_bytes: usize,
    /// In what numbers they are kept.
    #[serde(default)]
    pub teacher_states: KeptStates,
}

/// None where addresses have 32 bits, as in a browser.
fn default_host_bytes() -> usize {
    usize::try_from(4_u64 << 30).unwrap_or(0)
}

impl Default for TrainSettings {
    /// Minifinetuning as in the paper, with the sizes that suit small models.
    fn default() -> Self {
        Self {
            objective: Objective::default(),
            adapter: None,
            replay_ratio: 0.0,
            ewc: 0.0,
            epochs: 3,
            batch_size: 8,
            gradient_accumulation: 1,
            gradient_checkpointing: false,
            learning_rate: 1e-3,
            warmup_steps: 10,
            schedule: Schedule::Constant,
            weight_decay: 0.01,
            gradient_clip: 1.0,
            seed: 0,
            evaluate_every: 0,
            tile_bytes: DEFAULT_TILE_BYTES,
            teacher_cache_bytes: 1 << 30,
            teacher_host_bytes: default_host_bytes(),
            teacher_states: KeptStates::Float32,
        }
    }
}

impl TrainSettings {
    /// Checks every range.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] with the first setting that is out of range.
    pub fn validate(&self) -> Result<()> {
        self.objective.validate()?;
        if let Some(adapter) = &self.adapter {
            adapter.validate()?;
        }
        for (name, value) in [
            ("epochs", self.epochs),
            ("batch-size", self.batch_size),
            ("grad-accumulation", self.gradient_accumulation),
        ] {
            if !(1..=LARGEST_COUNT).contains(&value) {
                return Err(Error::setting(name, value, format!("1 to {LARGEST_COUNT}")));
            }
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return Err(Error::setting(
                "lr",
                self.learning_rate,
                "a finite number above 0",
            ));
        }
        for (name, value) in [
            ("ewc", self.ewc),
            ("weight-decay", self.weight_decay),
            ("clip", self.gradient_clip),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::setting(name, value, "a finite number from 0"));
            }
        }
        if !(0.0..1.0).contains(&self.replay_ratio) {
            return Err(Error::setting(
                "replay-ratio",
                self.replay_ratio,
                "0 or more, below 1",
            ));
        }
        Ok(())
    }

    /// Number of values that a training of a model moves: the adapter's where there is to be one, else
    /// its weights.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for an adapter that does not fit the model.
    pub fn trainable_count(&self, model: &CausalLm) -> Result<usize> {
        match &self.adapter {
            Some(adapter) => Adapter::count(adapter, model.decoder()),
            None => Ok(model.trainable_count()),
        }
    }

    /// Samples that are replayed in an epoch of so many others, to be their share of all.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if they cannot be counted.
    pub fn replayed(&self, samples: usize) -> Result<usize> {
        let replayed = (samples as f64 * self.replay_ratio / (1.0 - self.replay_ratio)).round();
        if replayed > MOST_REPLAYED {
            let expected = "less, for so many samples";
            return Err(Error::setting("replay-ratio", self.replay_ratio, expected));
        }
        // A share, however small, is not nothing.
        let least = f64::from(u8::from(self.replay_ratio > 0.0 && samples > 0));
        Ok(replayed.max(least) as usize)
    }

    /// Steps of a training on so many samples, and those replayed beside them.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if they cannot be counted.
    pub fn steps(&self, samples: usize) -> Result<usize> {
        let samples = samples.saturating_add(self.replayed(samples)?);
        let batches = samples.div_ceil(self.batch_size);
        let steps_an_epoch = batches.div_ceil(self.gradient_accumulation);
        let steps = self.epochs.checked_mul(steps_an_epoch);
        steps.ok_or_else(|| Error::setting("epochs", self.epochs, "fewer, for so many samples"))
    }

    /// The learning rate of a step, counted from 0, of `steps`.
    pub fn learning_rate_at(&self, step: usize, steps: usize) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let rest = steps.saturating_sub(self.warmup_steps).max(1);
        let done = (step - self.warmup_steps) as f64 / rest as f64;
        self.learning_rate
            * match self.schedule {
                Schedule::Constant => 1.0,
                Schedule::Linear => (1.0 - done).max(0.0),
                Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos()),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule) -> Vec<f64> {
        let settings = TrainSettings {
            learning_rate: 1.0,
            warmup_steps: 2,
            schedule,
            ..TrainSettings::default()
        };
        (0..6)
            .map(|step| settings.learning_rate_at(step, 6))
            .collect()
    }

    #[test]
    fn warm_up_then_schedule() {
        assert_eq!(rates(Schedule::Constant), [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(rates(Schedule::Linear), [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]);
        let cosine = rates(Schedule::Cosine);
        assert!((cosine[4] - 0.5).abs() < 1e-12 && cosine[3] > 0.8 && cosine[5] < 0.2);
    }

    #[test]
    fn replayed_samples_are_their_share_of_all() {
        let settings = |replay_ratio| TrainSettings {
            replay_ratio,
            ..TrainSettings::default()
        };
        assert_eq!(settings(0.0).replayed(500).ok(), Some(0));
        assert_eq!(settings(0.25).replayed(300).ok(), Some(100));
        assert_eq!(settings(0.5).replayed(300).ok(), Some(300));
        assert_eq!(settings(0.1).replayed(4).ok(), Some(1));
        assert_eq!(settings(0.25).steps(300).ok(), Some(150));
        assert!(settings(1.0 - f64::EPSILON).replayed(500).is_err());
    }

    #[test]
    fn ranges_are_checked() {
        let broken: [fn(&mut TrainSettings); 13] = [
            |s| s.objective.tau = 1.5,
            |s| s.objective.tau = f32::NAN,
            |s| s.objective.temperature = 0.0,
            |s| s.epochs = 0,
            |s| s.batch_size = 0,
            |s| s.learning_rate = -1.0,
            |s| s.learning_rate = f64::INFINITY,
            |s| s.gradient_clip = f64::NAN,
            |s| s.objective.alpha = Some(1.5),
            |s| s.replay_ratio = 1.0,
            |s| s.replay_ratio = -0.1,
            |s| s.replay_ratio = f64::NAN,
            |s| s.ewc = -1.0,
        ];
        assert!(TrainSettings::default().validate().is_ok());
        for (number, breaks) in broken.iter().enumerate() {
            let mut settings = TrainSettings::default();
            breaks(&mut settings);
            assert!(settings.validate().is_err(), "case {number}");
        }
    }
}
