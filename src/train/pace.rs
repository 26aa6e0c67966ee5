//! How fast a device trains, measured on a step, and what can be done in a given time.

use serde::{Deserialize, Serialize};
use web_time::Instant;

use super::settings::TrainSettings;
use super::trainer::Trainer;
use crate::data::{Batch, Sample, ordered_batches, positions};
use crate::error::Result;
use crate::eval::evaluate;
use crate::model::CausalLm;

/// Times by the token, padding included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct Pace {
    /// Of a training step whose teacher is computed anew.
    pub training_seconds_per_token: f64,
    /// Of an evaluation.
    pub evaluation_seconds_per_token: f64,
}

impl Pace {
    /// Measures a step and the evaluation of a batch, on samples of the middle length: once to have
    /// the kernels made, once for the time.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidSetting`] and [`crate::Error::Device`].
    ///
    /// # Panics
    ///
    /// If there is no sample.
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
        for _ in ["kernels are made", "measured"] {
            let began = Instant::now();
            trainer.step(std::slice::from_ref(&batch), 0.0).await?;
            seconds[0] = began.elapsed().as_secs_f64();
            let began = Instant::now();
            evaluate(model, &batch_samples, settings.batch_size).await?;
            seconds[1] = began.elapsed().as_secs_f64();
        }
        model.device().check()?;
        // Clocks of browsers are coarse.
        let [training, evaluation] = seconds.map(|seconds| seconds.max(1e-4) / tokens);
        Ok(Self {
            training_seconds_per_token: training,
            evaluation_seconds_per_token: evaluation,
        })
    }

    /// Seconds for training on samples once.
    pub fn epoch_seconds(&self, samples: &[Sample]) -> f64 {
        positions(samples) as f64 * self.training_seconds_per_token
    }

    /// Seconds for evaluating samples once.
    pub fn evaluation_seconds(&self, samples: &[Sample]) -> f64 {
        positions(samples) as f64 * self.evaluation_seconds_per_token
    }
}

/// What is to be done in a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// The time.
    pub seconds: f64,
    /// Trainings, one after another.
    pub trainings: usize,
    /// Times that every sample is seen in each.
    pub epochs: usize,
    /// Evaluations on both sets, over all trainings.
    pub evaluations: usize,
}

/// How much of the data is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct Budget {
    /// Samples to train on.
    pub samples: usize,
    /// Samples of each evaluated set.
    pub evaluation_samples: usize,
}

/// Share of the time that evaluations may take.
const EVALUATION_SHARE: f64 = 0.3;
/// Fewer samples than this train and measure nothing worth looking at.
const FEWEST: usize = 12;

/// As many of the samples, from the first on, as `wanted` has time for at `pace`: at least 12 of
/// each where there are so many.
pub fn budget(
    pace: &Pace,
    wanted: &Wanted,
    train: &[Sample],
    domain: &[Sample],
    general: &[Sample],
) -> Budget {
    let evaluations = wanted.evaluations as f64;
    let for_evaluations = wanted.seconds * EVALUATION_SHARE;
    let most = domain.len().max(general.len());
    let seconds_of_evaluations = |count: usize| {
        let part = |set: &[Sample]| pace.evaluation_seconds(&set[..count.min(set.len())]);
        evaluations * (part(domain) + part(general))
    };
    let evaluation_samples = largest(most, |count| {
        seconds_of_evaluations(count) <= for_evaluations
    });
    let rest = wanted.seconds - seconds_of_evaluations(evaluation_samples);
    let times = wanted.trainings as f64 * wanted.epochs as f64;
    let samples = largest(train.len(), |count| {
        times * pace.epoch_seconds(&train[..count]) <= rest
    });
    Budget {
        samples,
        evaluation_samples,
    }
}

/// The largest count up to `most` that still fits, but at least [`FEWEST`] where there are so many.
fn largest(most: usize, fits: impl Fn(usize) -> bool) -> usize {
    let counts: Vec<usize> = (1..=most).collect();
    counts
        .partition_point(|&count| fits(count))
        .max(FEWEST.min(most))
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
    fn a_budget_fills_its_time_and_no_more() {
        let (train, held_out) = (samples(10_000), samples(300));
        let wanted = Wanted {
            seconds: 100.0,
            trainings: 2,
            epochs: 3,
            evaluations: 5,
        };
        let found = budget(&PACE, &wanted, &train, &held_out, &held_out);
        // 30 s / (5 · 2 · 10 tokens · 2 ms) and (100 − 30) s / (2 · 3 · 10 tokens · 10 ms).
        assert_eq!((found.evaluation_samples, found.samples), (150, 116));
        let seconds = 6.0 * PACE.epoch_seconds(&train[..found.samples])
            + 10.0 * PACE.evaluation_seconds(&held_out[..found.evaluation_samples]);
        assert!(seconds <= 100.0 && seconds > 99.0, "{seconds}");
    }

    #[test]
    fn a_budget_takes_what_there_is_and_never_nothing() {
        let wanted = |seconds| Wanted {
            seconds,
            trainings: 1,
            epochs: 1,
            evaluations: 2,
        };
        let (train, few) = (samples(40), samples(5));
        let rich = budget(&PACE, &wanted(1e6), &train, &few, &few);
        assert_eq!((rich.samples, rich.evaluation_samples), (40, 5));
        let poor = budget(&PACE, &wanted(0.0), &train, &few, &few);
        assert_eq!((poor.samples, poor.evaluation_samples), (12, 5));
    }
}
