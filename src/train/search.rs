//! Searches for the strongest training whose degeneralization stays within a bound.

use std::sync::Arc;

use serde::Serialize;

use super::data::RunData;
use super::drive::{Cancel, Ending, drive};
use super::event::{Event, Moment};
use super::outcome::Outcome;
use super::run::Run;
use super::settings::TrainSettings;
use super::strength::Strength;
use crate::error::{Error, Result};
use crate::eval::{Metrics, Perplexities};
use crate::model::CausalLm;

/// Number of evaluations of a training that may be stopped early.
const EVALUATIONS: usize = 20;

/// A training that the search tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Value of the varied strength.
    pub value: f64,
    /// Steps of the training, fewer than planned if it was stopped early.
    pub steps: usize,
    /// Perplexities after these steps.
    pub perplexities: Perplexities,
    /// Relative increase of the general perplexity over the untouched model.
    pub degeneralization: f64,
    /// Whether the degeneralization is within the bound.
    pub within: bool,
}

/// The result of the search.
#[derive(Clone, Debug)]
pub struct Strongest {
    /// The strength that was varied.
    pub strength: Strength,
    /// All trials in order; the last one may have been stopped early.
    pub trials: Vec<Trial>,
    /// The chosen trial: within the bound if any is.
    pub taken: Trial,
    /// Its settings.
    pub settings: TrainSettings,
    /// Its model.
    pub model: CausalLm,
    /// Its outcome, with general perplexities on the validation set.
    pub outcome: Outcome,
    /// Loss of each of its steps.
    pub losses: Vec<f32>,
}

/// A trial with its model, outcome and losses for [`Strongest`].
struct Candidate {
    trial: Trial,
    model: CausalLm,
    outcome: Outcome,
    losses: Vec<f32>,
}

/// Finds the strongest training that increases the general perplexity by at most `bound`, a fraction of its
/// initial value. The general set of `data` serves as the validation set, so the result should be reported
/// on a different one. If even the weakest training exceeds the bound, that one is stopped at its last
/// evaluation within the bound. Returns `None` if cancelled.
///
/// This is a binary search over the values of `strength`; it assumes that stronger training forgets more.
///
/// # Errors
///
/// The errors of a [`Run`].
#[allow(clippy::too_many_arguments)] // the search, its inputs and its callbacks
pub async fn strongest_within(
    strength: Strength,
    bound: f64,
    model: &CausalLm,
    data: &Arc<RunData>,
    settings: &TrainSettings,
    cancel: &Cancel,
    mut on_event: impl FnMut(&TrainSettings, &Event),
    mut on_trial: impl FnMut(Strength, &Trial),
) -> Result<Option<Strongest>> {
    let values = strength.grid(settings);
    let mut before = None;
    let mut trials = Vec::new();
    let mut taken: Option<Candidate> = None;
    // The values before `first` exceed the bound; those from `end` on are within it.
    let (mut first, mut end) = (0, values.len());
    while first < end {
        let middle = first + (end - first) / 2;
        let settings = TrainSettings {
            evaluate_every: 0,
            ..strength.with(settings, values[middle])
        };
        let mut run = Run::new(model.clone(), data.clone(), settings.clone())?;
        if let Some(before) = before {
            run.set_before(before);
        }
        let show = |event: &Event| on_event(&settings, event);
        let outcome = match drive(&mut run, None, cancel, show).await {
            Ok(Ending::Finished(outcome)) => outcome,
            Ok(Ending::Cancelled) => return Ok(None),
            Err(Error::NonFiniteLoss { step, .. }) => {
                let trial = Trial::diverged(values[middle], step);
                trials.push(trial);
                on_trial(strength, &trial);
                first = middle + 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        before = Some(outcome.before);
        let trial = trial(values[middle], outcome, bound);
        trials.push(trial);
        on_trial(strength, &trial);
        if trial.within {
            end = middle;
            taken = Some(Candidate {
                trial,
                model: run.trained_model(),
                outcome,
                losses: run.losses().to_vec(),
            });
        } else {
            first = middle + 1;
        }
    }
    if taken.is_none()
        && let Some(&weakest) = values.last()
    {
        let settings = strength.with(settings, weakest);
        let event = |event: &Event| on_event(&settings, event);
        let stopped = stopped_early(
            bound, model, data, &settings, weakest, before, cancel, event,
        );
        let Some(candidate) = stopped.await? else {
            return Ok(None);
        };
        trials.push(candidate.trial);
        on_trial(strength, &candidate.trial);
        taken = Some(candidate);
    }
    Ok(taken.map(|taken| Strongest {
        strength,
        trials,
        settings: strength.with(settings, taken.trial.value),
        taken: taken.trial,
        model: taken.model,
        outcome: taken.outcome,
        losses: taken.losses,
    }))
}

/// Trains until an evaluation exceeds the bound. Returns the last evaluation within it, or the first one.
#[allow(clippy::too_many_arguments)] // the inputs of the search
async fn stopped_early(
    bound: f64,
    model: &CausalLm,
    data: &Arc<RunData>,
    settings: &TrainSettings,
    value: f64,
    before: Option<Perplexities>,
    cancel: &Cancel,
    mut on_event: impl FnMut(&Event),
) -> Result<Option<Candidate>> {
    let steps = settings.steps(data.train.len())?;
    let settings = TrainSettings {
        evaluate_every: steps.div_ceil(EVALUATIONS),
        ..settings.clone()
    };
    let mut run = Run::new(model.clone(), data.clone(), settings)?;
    if let Some(before) = before {
        run.set_before(before);
    }
    let mut last: Option<Candidate> = None;
    loop {
        let event = match run.next().await {
            Ok(Some(event)) => event,
            Ok(None) => break,
            // The evaluations before the divergence count.
            Err(Error::NonFiniteLoss { .. }) if last.is_some() => break,
            Err(error) => return Err(error),
        };
        on_event(&event);
        if cancel.is_agreed(model.device())? {
            return Ok(None);
        }
        let Event::Evaluated { moment, .. } = event else {
            continue;
        };
        if let (Moment::During | Moment::After, Some(outcome)) = (moment, run.outcome_so_far()) {
            let trial = trial(value, outcome, bound);
            if last.is_none() || trial.within {
                last = Some(Candidate {
                    trial,
                    model: run.trained_model(),
                    outcome,
                    losses: run.losses().to_vec(),
                });
            }
            if !trial.within {
                break;
            }
        }
    }
    Ok(last)
}

fn trial(value: f64, outcome: Outcome, bound: f64) -> Trial {
    let Outcome { before, after, .. } = outcome;
    let degeneralization = after.general / before.general - 1.0;
    Trial {
        value,
        steps: outcome.steps,
        perplexities: after,
        degeneralization,
        within: degeneralization <= bound,
    }
}

impl Trial {
    /// A training whose loss became NaN or infinite.
    fn diverged(value: f64, steps: usize) -> Self {
        Self {
            value,
            steps,
            perplexities: Perplexities {
                domain: f64::INFINITY,
                general: f64::INFINITY,
            },
            degeneralization: f64::INFINITY,
            within: false,
        }
    }
}

impl Strongest {
    /// Returns the outcome on a general set that the search has not seen, given the perplexities on it.
    pub fn outcome_on(&self, general_before: f64, general_after: f64) -> Outcome {
        let set = |perplexities: Perplexities, general| Perplexities {
            general,
            ..perplexities
        };
        let before = set(self.outcome.before, general_before);
        let after = set(self.outcome.after, general_after);
        Outcome {
            before,
            after,
            metrics: Metrics::new(before, after),
            ..self.outcome
        }
    }
}
