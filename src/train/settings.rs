//! The settings of a training run.

use serde::{Deserialize, Serialize, Serializer};

use super::flow::SampleWeights;
use super::schedule::Schedule;
use super::teacher::KeptStates;
use crate::error::{Error, Result};
use crate::kernels::distillation::{DEFAULT_TILE_BYTES, Objective};
use crate::model::adapter::{Adapter, AdapterSettings};
use crate::model::{CausalLm, DialProfile};

/// Max value of counts: larger ones are mistakes, and products of smaller ones do not overflow.
const MAX_COUNT: usize = 1_000_000;
/// Max number of replayed samples: more, from a ratio near 1, do not fit into a list.
const MAX_REPLAYED: f64 = 1e8;
/// Max number of steps: they are counted exactly.
const MAX_STEPS: f64 = 1e15;

/// Everything that determines how a model is trained.
///
/// ```
/// use minift::train::TrainSettings;
///
/// let settings = TrainSettings::default().with_epochs(1.0).with_learning_rate(1e-4);
/// assert_eq!(settings.batch_size, 8);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify), tsify(hashmap_as_object))]
#[non_exhaustive]
pub struct TrainSettings {
    /// The objective: the target of every token, and the temperature.
    #[cfg_attr(feature = "web", tsify(type = "ObjectiveFields"))]
    pub objective: Objective,
    /// The adapter to train; `None` to train the model's weights.
    #[serde(default)]
    pub adapter: Option<AdapterSettings>,
    /// How much every sample counts, replayed ones included. A [`Run`](super::Run) measures the weights before its
    /// first step; a [`Trainer`](super::Trainer) is given them.
    #[serde(default)]
    pub sample_weights: SampleWeights,
    /// Share of replayed general text in every batch, in \[0, 1).
    #[serde(default)]
    pub replay_ratio: f64,
    /// Strength λ of elastic weight consolidation, which penalizes changes to weights that matter for
    /// general text (Kirkpatrick et al., arXiv:1612.00796); 0 for none. At 1 the penalty is the
    /// quadratic approximation of KL(untouched ‖ trained) per token of that text.
    #[serde(default)]
    pub ewc: f64,
    /// Number of epochs, possibly a fraction: the last step is the one that completes it.
    #[serde(serialize_with = "whole_as_integer")]
    pub epochs: f64,
    /// Number of optimizer steps; replaces `epochs`.
    #[serde(default)]
    pub max_steps: Option<usize>,
    /// Batch size, in samples.
    pub batch_size: usize,
    /// Gradient accumulation steps: batches per optimizer step.
    pub gradient_accumulation: usize,
    /// Whether activations are recomputed in the backward pass instead of kept: less memory, about a
    /// third more time.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// Learning rate after warmup.
    pub learning_rate: f64,
    /// Warmup steps, in which the learning rate rises linearly from 0.
    pub warmup_steps: usize,
    /// Learning-rate schedule after warmup.
    pub schedule: Schedule,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Max gradient norm for clipping; 0 for no clipping.
    pub gradient_clip: f64,
    /// Seed of the order of the samples, of dropout and of a new adapter's weights.
    pub seed: u64,
    /// Steps between evaluations during training; 0 to evaluate only before and after.
    pub evaluate_every: usize,
    /// Size in bytes of a tile of logits in the loss.
    pub tile_bytes: usize,
    /// Bytes of cached teacher hidden states on the device.
    pub teacher_cache_bytes: usize,
    /// Bytes of further cached teacher hidden states in host memory; those beyond are recomputed in
    /// every epoch.
    #[serde(default = "default_host_bytes")]
    pub teacher_host_bytes: usize,
    /// Precision of the cached teacher hidden states.
    #[serde(default)]
    pub teacher_states: KeptStates,
    /// Whether the front of gain against forgetting over the strengths of the training is measured after it, and
    /// how strengths are spread over the layers; `None` for no front.
    #[serde(default)]
    pub dial: Option<DialProfile>,
}

/// Writes 3 rather than 3.0, as earlier versions do.
fn whole_as_integer<S: Serializer>(
    value: &f64,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && (0.0..=MAX_COUNT as f64).contains(value) {
        serializer.serialize_u64(*value as u64)
    } else {
        serializer.serialize_f64(*value)
    }
}

/// 4 GiB; 0 with 32-bit addresses, as in a browser.
fn default_host_bytes() -> usize {
    usize::try_from(4_u64 << 30).unwrap_or(0)
}

impl Default for TrainSettings {
    /// Minifinetuning as in the paper, with sizes that suit small models.
    fn default() -> Self {
        Self {
            objective: Objective::default(),
            adapter: None,
            sample_weights: SampleWeights::Equal,
            replay_ratio: 0.0,
            ewc: 0.0,
            epochs: 3.0,
            max_steps: None,
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
            dial: None,
        }
    }
}

impl TrainSettings {
    /// Checks that every setting is in range.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for the first setting out of range.
    pub fn validate(&self) -> Result<()> {
        self.objective.validate()?;
        if let Some(adapter) = &self.adapter {
            adapter.validate()?;
        }
        if !(self.epochs > 0.0 && self.epochs <= MAX_COUNT as f64) {
            let expected = format!("above 0, at most {MAX_COUNT}");
            return Err(Error::setting("epochs", self.epochs, expected));
        }
        for (name, value) in [
            ("batch_size", self.batch_size),
            ("gradient_accumulation", self.gradient_accumulation),
            ("max_steps", self.max_steps.unwrap_or(1)),
        ] {
            if !(1..=MAX_COUNT).contains(&value) {
                return Err(Error::setting(name, value, format!("1 to {MAX_COUNT}")));
            }
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return Err(Error::setting(
                "learning_rate",
                self.learning_rate,
                "a finite number above 0",
            ));
        }
        for (name, value) in [
            ("ewc", self.ewc),
            ("weight_decay", self.weight_decay),
            ("gradient_clip", self.gradient_clip),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::setting(name, value, "a finite number, 0 or more"));
            }
        }
        if !(0.0..1.0).contains(&self.replay_ratio) {
            return Err(Error::setting(
                "replay_ratio",
                self.replay_ratio,
                "0 or more, below 1",
            ));
        }
        Ok(())
    }

    /// Returns the number of values that a training of a model updates: the adapter's, else the model's.
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

    /// Returns the number of samples replayed per epoch for a number of training samples.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a ratio too close to 1.
    pub fn replayed(&self, samples: usize) -> Result<usize> {
        let replayed = (samples as f64 * self.replay_ratio / (1.0 - self.replay_ratio)).round();
        if replayed > MAX_REPLAYED {
            let expected = "a smaller share for this number of samples";
            return Err(Error::setting("replay_ratio", self.replay_ratio, expected));
        }
        // Even the smallest share replays something.
        let least = f64::from(u8::from(self.replay_ratio > 0.0 && samples > 0));
        Ok(replayed.max(least) as usize)
    }

    /// Returns the number of optimizer steps of an epoch for a number of training samples, including those
    /// on replayed samples.
    ///
    /// # Errors
    ///
    /// Those of [`Self::replayed`].
    pub fn steps_per_epoch(&self, samples: usize) -> Result<usize> {
        let samples = samples.saturating_add(self.replayed(samples)?);
        let batches = samples.div_ceil(self.batch_size);
        Ok(batches.div_ceil(self.gradient_accumulation))
    }

    /// Returns the number of optimizer steps for a number of training samples.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if the steps cannot be counted.
    pub fn steps(&self, samples: usize) -> Result<usize> {
        let steps_per_epoch = self.steps_per_epoch(samples)?;
        if let Some(steps) = self.max_steps {
            return Ok(if steps_per_epoch == 0 { 0 } else { steps });
        }
        let steps = self.epochs * steps_per_epoch as f64;
        if steps > MAX_STEPS {
            let expected = "fewer for this number of samples";
            return Err(Error::setting("epochs", self.epochs, expected));
        }
        // The product of a fraction such as 0.1 may be slightly above a whole number.
        Ok((steps - 1e-9 * steps).ceil() as usize)
    }

    /// Returns the number of epochs for a number of training samples: `epochs`, or what `max_steps` come
    /// to.
    ///
    /// # Errors
    ///
    /// Those of [`Self::steps`].
    pub fn epochs_of(&self, samples: usize) -> Result<f64> {
        let steps_per_epoch = self.steps_per_epoch(samples)?.max(1);
        Ok(match self.max_steps {
            None => self.epochs,
            Some(steps) => steps as f64 / steps_per_epoch as f64,
        })
    }

    /// Returns the learning rate of a step, counted from 0, of `steps`; of schedule `finch` before it is divided
    /// by the root of the loss.
    pub fn learning_rate_at(&self, step: usize, steps: usize) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let rest = steps.saturating_sub(self.warmup_steps).max(1);
        let done = (step - self.warmup_steps) as f64 / rest as f64;
        self.learning_rate * self.schedule.factor(done)
    }

    /// Returns the largest learning rate that `steps` steps reach where warmup does not end within
    /// them; `None` where it does.
    pub fn unfinished_warmup(&self, steps: usize) -> Option<f64> {
        let last = steps.checked_sub(1)?;
        (self.warmup_steps > steps).then(|| self.learning_rate_at(last, steps))
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
    fn the_schedule_follows_warmup() {
        assert_eq!(rates(Schedule::Constant), [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(rates(Schedule::Linear), [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]);
        let cosine = rates(Schedule::Cosine);
        assert!((cosine[4] - 0.5).abs() < 1e-12 && cosine[3] > 0.8 && cosine[5] < 0.2);
    }

    #[test]
    fn replayed_samples_are_their_share_of_a_batch() {
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
    fn steps_follow_from_epochs_or_are_given() {
        let settings = TrainSettings::default();
        let steps = |epochs, samples| settings.clone().with_epochs(epochs).steps(samples).ok();
        assert_eq!(steps(3.0, 80), Some(30));
        assert_eq!(steps(0.5, 80), Some(5));
        assert_eq!(steps(0.1, 240), Some(3));
        assert_eq!(steps(0.01, 80), Some(1));
        assert_eq!(steps(1.25, 80), Some(13));
        let given = settings.with_max_steps(Some(25));
        assert_eq!(given.steps(80).ok(), Some(25));
        assert_eq!(given.epochs_of(80).ok(), Some(2.5));
        let json = serde_json::to_value(&given).unwrap();
        assert_eq!(
            (&json["epochs"], &json["max_steps"]),
            (&3.into(), &25.into())
        );
        let again: TrainSettings = serde_json::from_value(json).unwrap();
        assert_eq!(again, given);
    }

    #[test]
    fn unfinished_warmup_is_noticed() {
        let settings = TrainSettings::default()
            .with_learning_rate(1.0)
            .with_warmup_steps(10);
        assert_eq!(settings.unfinished_warmup(10), None);
        assert_eq!(settings.unfinished_warmup(5), Some(0.5));
        assert_eq!(settings.unfinished_warmup(0), None);
    }

    #[test]
    fn ranges_are_checked() {
        let broken: [fn(&mut TrainSettings); 16] = [
            |s| s.objective = Objective::minifinetuning(1.5),
            |s| s.objective = Objective::minifinetuning(f32::NAN),
            |s| s.objective.temperature = 0.0,
            |s| s.epochs = 0.0,
            |s| s.epochs = f64::NAN,
            |s| s.epochs = f64::INFINITY,
            |s| s.max_steps = Some(0),
            |s| s.batch_size = 0,
            |s| s.learning_rate = -1.0,
            |s| s.learning_rate = f64::INFINITY,
            |s| s.gradient_clip = f64::NAN,
            |s| s.objective = Objective::constant_mixture(1.5),
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
