//! The largest strength of a finetuning whose degeneralization stays within a bound.

use serde::Serialize;

use super::perplexity::Evaluation;
use crate::error::Result;
use crate::model::{CausalLm, Dial};
use crate::text::Sample;

/// Number of bisections: the strength is known to a 64th.
const BISECTIONS: usize = 6;

/// A strength that the search tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DialTrial {
    /// The strength.
    pub weight: f64,
    /// Perplexity on the validation set.
    pub general: f64,
    /// Relative increase of the perplexity over the untouched model.
    pub degeneralization: f64,
    /// Whether the increase is within the bound.
    pub within: bool,
}

/// What one step of [`LimitSearch::advance`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitProgress {
    /// Batches done.
    pub done: usize,
    /// Max number of batches.
    pub total: usize,
    /// The trial, if this step completed it.
    pub trial: Option<DialTrial>,
}

/// A bisection for the largest strength that increases the perplexity on a validation set by at most a bound,
/// which advances by one batch at a time. It assumes that more strength forgets more.
#[derive(Clone, Debug)]
pub struct LimitSearch {
    dial: Dial,
    bound: f64,
    samples: Vec<Sample>,
    batch_size: usize,
    /// The perplexity of the untouched model, once it is known.
    untouched: Option<f64>,
    trials: Vec<DialTrial>,
    current: Option<(Box<CausalLm>, Evaluation)>,
    done: usize,
}

impl LimitSearch {
    /// Starts a search on a validation set, with `bound` as a fraction of the perplexity of the untouched model.
    ///
    /// # Errors
    ///
    /// As [`Evaluation::new`].
    pub fn new(dial: Dial, bound: f64, samples: &[Sample], batch_size: usize) -> Result<Self> {
        Evaluation::new(samples, batch_size)?;
        Ok(Self {
            dial,
            bound,
            samples: samples.to_vec(),
            batch_size,
            untouched: None,
            trials: Vec::new(),
            current: None,
            done: 0,
        })
    }

    /// Evaluates the next batch; `None` once the search is complete.
    ///
    /// # Errors
    ///
    /// [`Error::Device`](crate::Error::Device).
    pub async fn advance(&mut self) -> Result<Option<LimitProgress>> {
        let weight = self.next_weight();
        let (model, evaluation) = match &mut self.current {
            Some(current) => current,
            none => {
                let model = match (self.untouched, weight) {
                    (None, _) => self.dial.untouched().clone(),
                    (Some(_), Some(weight)) => self.dial.at(weight)?,
                    (Some(_), None) => return Ok(None),
                };
                let evaluation = Evaluation::new(&self.samples, self.batch_size)?;
                none.insert((Box::new(model), evaluation))
            }
        };
        let found = evaluation.advance(model, &self.samples).await?;
        let (of_trial, batches) = evaluation.progress();
        self.dial.trained().device().check()?;
        self.done += 1;
        let mut trial = None;
        if let Some(found) = found {
            self.current = None;
            match (self.untouched, weight) {
                (Some(untouched), Some(weight)) => {
                    let degeneralization = found.perplexity / untouched - 1.0;
                    let found = DialTrial {
                        weight,
                        general: found.perplexity,
                        degeneralization,
                        within: degeneralization <= self.bound,
                    };
                    self.trials.push(found);
                    trial = Some(found);
                }
                _ => self.untouched = Some(found.perplexity),
            }
        }
        let left = match self.current {
            Some(_) => batches - of_trial,
            None => 0,
        };
        let is_complete = self.untouched.is_some() && self.next_weight().is_none();
        let further = match is_complete {
            true => 0,
            false => self.most_trials().saturating_sub(self.trials.len() + 1),
        };
        Ok(Some(LimitProgress {
            done: self.done,
            total: self.done + left + further * batches,
            trial,
        }))
    }

    /// Returns all trials, in order.
    pub fn trials(&self) -> &[DialTrial] {
        &self.trials
    }

    /// Returns the chosen trial once the search is complete: the largest strength within the bound. The untouched
    /// model, at strength 0, always is; by depth, strength 0 may exceed the bound.
    pub fn taken(&self) -> Option<DialTrial> {
        let untouched = self.untouched?;
        if self.current.is_some() || self.next_weight().is_some() {
            return None;
        }
        let within = self.trials.iter().filter(|trial| trial.within);
        let largest = within.max_by(|a, b| a.weight.total_cmp(&b.weight));
        let smallest = self
            .trials
            .iter()
            .min_by(|a, b| a.weight.total_cmp(&b.weight));
        let fallback = match self.dial.profile().ends_untouched() {
            true => Some(DialTrial {
                weight: 0.0,
                general: untouched,
                degeneralization: 0.0,
                within: self.bound >= 0.0,
            }),
            false => smallest.copied(),
        };
        largest.copied().or(fallback)
    }

    /// Returns the strength to try next; `None` once all are tried.
    fn next_weight(&self) -> Option<f64> {
        let Some(first) = self.trials.first() else {
            return Some(1.0);
        };
        let starts_untouched = self.dial.profile().ends_untouched();
        let ends = match starts_untouched {
            true => 1,
            false => 2,
        };
        if first.within {
            return None;
        }
        if self.trials.len() < ends {
            return Some(0.0);
        }
        let lowest_exceeds = !starts_untouched && !self.trials[1].within;
        if lowest_exceeds || self.trials.len() >= ends + BISECTIONS {
            return None;
        }
        let weights = |within| {
            let trials = self
                .trials
                .iter()
                .filter(move |trial| trial.within == within);
            trials.map(|trial| trial.weight)
        };
        let low = weights(true).fold(0.0, f64::max);
        let high = weights(false).fold(1.0, f64::min);
        Some(f64::midpoint(low, high))
    }

    /// Returns the number of trials of the longest search.
    fn most_trials(&self) -> usize {
        BISECTIONS + 2
    }
}
