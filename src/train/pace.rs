//! Training speed of a device, measured on one step, and how much data fits a time budget.

use serde::{Deserialize, Serialize};
use web_time::Instant;

use super::settings::TrainSettings;
use super::trainer::Trainer;
use crate::error::Result;
use crate::eval::evaluate;
use crate::model::CausalLm;
use crate::model::{Batch, ordered_batches};
use crate::text::{Sample, predicted_tokens};

/// Seconds of a step beside which the compilation of its kernels does not matter.
const LONG_STEP: f64 = 60.0;

/// Seconds per token, padding included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct Pace {
    /// Of a training step without cached teacher hidden states.
    pub training_seconds_per_token: f64,
    /// Of an evaluation.
    pub evaluation_seconds_per_token: f64,
}

impl Pace {
    /// Measures a training step and the evaluation of a batch, on samples of median length. The first of
    /// two rounds warms up: it compiles the kernels. Where it takes so long that this hardly matters, it is the only
    /// one.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidSetting`] and [`crate::Error::Device`].
    ///
    /// # Panics
    ///
    /// If `samples` is empty.
    pub async fn measure(
        model: &CausalLm,
        samples: &[Sample],
        settings: &TrainSettings,
    ) -> Result<Self> {
        let settings = TrainSettings {
            teacher_cache_bytes: 0,
            teacher_host_bytes: 0,
            ..settings.clone()
        };
        settings.validate()?;
        let batches = ordered_batches(samples, settings.batch_size);
        let middle = batches[batches.len() / 2].clone();
        let batch = Batch::new(samples, middle.clone());
        let batch_samples: Vec<Sample> = middle.into_iter().map(|i| samples[i].clone()).collect();
        let tokens = (batch.samples.len() * batch.length) as f64;

        let mut trainer = Trainer::new(model.clone(), settings.clone())?;
        let mut seconds = [0.0; 2];
        for _ in ["warm-up", "measured"] {
            if seconds[0] > LONG_STEP {
                break;
            }
            let began = Instant::now();
            trainer.step(std::slice::from_ref(&batch), 0.0).await?;
            seconds[0] = began.elapsed().as_secs_f64();
            let began = Instant::now();
            evaluate(model, &batch_samples, settings.batch_size).await?;
            seconds[1] = began.elapsed().as_secs_f64();
        }
        model.device().check()?;
        // Browser clocks are coarse.
        let [training, evaluation] = seconds.map(|seconds| seconds.max(1e-4) / tokens);
        Ok(Self {
            training_seconds_per_token: training,
            evaluation_seconds_per_token: evaluation,
        })
    }

    /// Estimates the seconds for one epoch on `samples`.
    pub fn epoch_seconds(&self, samples: &[Sample]) -> f64 {
        predicted_tokens(samples) as f64 * self.training_seconds_per_token
    }

    /// Estimates the seconds for one evaluation of `samples`.
    pub fn evaluation_seconds(&self, samples: &[Sample]) -> f64 {
        predicted_tokens(samples) as f64 * self.evaluation_seconds_per_token
    }
}

/// The work to fit into a time budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeBudget {
    /// The time budget.
    pub seconds: f64,
    /// Number of trainings, run one after another.
    pub trainings: usize,
    /// Number of epochs of each training.
    pub epochs: f64,
    /// Number of evaluations on both sets, over all trainings.
    pub evaluations: usize,
}

/// How much of the data fits a time budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct Budget {
    /// Number of training samples.
    pub samples: usize,
    /// Number of samples of each evaluation set.
    pub evaluation_samples: usize,
}

/// Share of the time budget for evaluations.
const EVALUATION_SHARE: f64 = 0.3;
/// With fewer samples, neither training nor evaluation is meaningful.
const MIN_SAMPLES: usize = 12;

/// Returns how many samples of each set, from the start, fit the time budget of `time` at `pace`: at
/// least 12 of each, or all if there are fewer.
pub fn budget(
    pace: &Pace,
    time: &TimeBudget,
    train: &[Sample],
    domain: &[Sample],
    general: &[Sample],
) -> Budget {
    let evaluations = time.evaluations as f64;
    let for_evaluations = time.seconds * EVALUATION_SHARE;
    let max = domain.len().max(general.len());
    let seconds_of_evaluations = |count: usize| {
        let part = |set: &[Sample]| pace.evaluation_seconds(&set[..count.min(set.len())]);
        // Both the trained and the untouched model are evaluated on the domain set.
        evaluations * (2.0 * part(domain) + part(general))
    };
    let evaluation_samples = largest(max, |count| {
        seconds_of_evaluations(count) <= for_evaluations
    });
    let rest = time.seconds - seconds_of_evaluations(evaluation_samples);
    let epochs = time.trainings as f64 * time.epochs;
    let samples = largest(train.len(), |count| {
        epochs * pace.epoch_seconds(&train[..count]) <= rest
    });
    Budget {
        samples,
        evaluation_samples,
    }
}

/// Returns the largest count up to `max` that fits, but at least [`MIN_SAMPLES`] or `max`.
fn largest(max: usize, fits: impl Fn(usize) -> bool) -> usize {
    let counts: Vec<usize> = (1..=max).collect();
    counts
        .partition_point(|&count| fits(count))
        .max(MIN_SAMPLES.min(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        training_seconds_per_token: 0.01,
        evaluation_seconds_per_token: 0.002,
    };

    fn samples(count: usize) -> Vec<Sample> {
        vec![Sample::new(vec![0; 11]); count]
    }

    #[test]
    fn budget_fills_the_available_time() {
        let (train, held_out) = (samples(10_000), samples(300));
        let time = TimeBudget {
            seconds: 100.0,
            trainings: 2,
            epochs: 3.0,
            evaluations: 5,
        };
        let found = budget(&PACE, &time, &train, &held_out, &held_out);
        // 30 s / (5 · 3 · 10 tokens · 2 ms) and (100 − 30) s / (2 · 3 · 10 tokens · 10 ms).
        assert_eq!((found.evaluation_samples, found.samples), (100, 116));
        let seconds = 6.0 * PACE.epoch_seconds(&train[..found.samples])
            + 15.0 * PACE.evaluation_seconds(&held_out[..found.evaluation_samples]);
        assert!(seconds <= 100.0 && seconds > 99.0, "{seconds}");
    }

    #[test]
    fn budget_is_capped_by_the_data_and_never_empty() {
        let time = |seconds| TimeBudget {
            seconds,
            trainings: 1,
            epochs: 1.0,
            evaluations: 2,
        };
        let (train, few) = (samples(40), samples(5));
        let rich = budget(&PACE, &time(1e6), &train, &few, &few);
        assert_eq!((rich.samples, rich.evaluation_samples), (40, 5));
        let poor = budget(&PACE, &time(0.0), &train, &few, &few);
        assert_eq!((poor.samples, poor.evaluation_samples), (12, 5));
    }
}
