//! The strongest training that stays within a bound on what is forgotten.

use std::sync::Arc;

use serde::Serialize;

use super::drive::{Cancel, Ending, drive};
use super::event::{Event, Moment};
use super::run::{Outcome, Run, RunData};
use super::settings::TrainSettings;
use super::strength::Strength;
use crate::error::{Error, Result};
use crate::eval::{Metrics, Perplexities};
use crate::model::CausalLm;

/// Times that a training which is to be stopped early is looked at.
const LOOKS: usize = 20;

/// A training that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Value of the method's strength.
    pub value: f64,
    /// Steps of the training that count: fewer than all where it was stopped early.
    pub steps: usize,
    /// After them.
    pub perplexities: Perplexities,
    /// Growth of the general perplexity, as a share of the untouched model's.
    pub degeneralization: f64,
    /// Whether that is within the bound.
    pub within: bool,
}

/// The strongest training that was found.
#[derive(Clone, Debug)]
pub struct Strongest {
    /// What was varied.
    pub strength: Strength,
    /// Every training, in the order in which they were tried; the last may be one that was stopped
    /// early.
    pub trials: Vec<Trial>,
    /// The one that was taken: within the bound if any is.
    pub taken: Trial,
    /// Its settings.
    pub settings: TrainSettings,
    /// Its model.
    pub model: CausalLm,
    /// Its figures, the general ones on the validation set.
    pub outcome: Outcome,
    /// Loss of each of its steps.
    pub losses: Vec<f32>,
}

/// A training with what is needed to take it.
struct Candidate {
    trial: Trial,
    model: CausalLm,
    outcome: Outcome,
    losses: Vec<f32>,
}

/// Finds the value of the method's strength that trains most strongly and with which the general
/// perplexity grows by at most `bound`, a share of what it was, on the general set of `data`: which
/// should therefore be another than the one that the result is judged by. Where even the weakest
/// training goes beyond the bound, that one is stopped at the last look at which it was still within.
/// `None` if cancelled.
///
/// The values are halved as long as more than one is in question, on the assumption that a stronger
/// training forgets more.
///
/// # Errors
///
/// The errors of a [`Run`].
#[allow(clippy::too_many_arguments)] // what is searched, on what, and who is told
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
    let values = strength.values(settings);
    let mut before = None;
    let mut trials = Vec::new();
    let mut taken: Option<Candidate> = None;
    // The values before `first` forget too much; those from `end` on are weak enough.
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

/// A training up to the last look at which it is within the bound; the first look where none is.
#[allow(clippy::too_many_arguments)] // what the search knows, for its last resort
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
        evaluate_every: steps.div_ceil(LOOKS),
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
            // What was found before it went wrong counts.
            Err(Error::NonFiniteLoss { .. }) if last.is_some() => break,
            Err(error) => return Err(error),
        };
        on_event(&event);
        if cancel.is_cancelled() {
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
    /// A training whose loss became no number.
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
    /// What was gained and what that cost on a general set that the search has not seen, given the
    /// perplexities on it.
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
