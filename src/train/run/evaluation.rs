//! Evaluation within a run.

use super::Run;
use crate::error::{Error, Result};
use crate::eval::{Evaluation, Metrics, Perplexities};
use crate::model::CausalLm;
use crate::text::Sample;
use crate::train::event::{Event, Moment};
use crate::train::outcome::{Evaluated, Outcome};

/// An evaluation in progress.
#[derive(Debug)]
pub(super) struct Evaluating {
    evaluation: Evaluation,
    /// The untouched model, while a trained one is evaluated on the domain set.
    untouched: Option<CausalLm>,
    /// The results on the domain set, once they are known.
    domain: Option<OnDomain>,
}

/// The results on the domain set.
#[derive(Clone, Copy, Debug)]
struct OnDomain {
    perplexity: f64,
    kl_divergence: Option<f64>,
}

impl Run {
    /// Returns the outcome of a finished run.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome_so_far()
            .filter(|outcome| outcome.steps == self.steps)
    }

    /// Returns the outcome as if the run ended here; `None` unless the model was evaluated after its last
    /// step.
    pub fn outcome_so_far(&self) -> Option<Outcome> {
        let evaluations = &self.progress.evaluations;
        let (before, after) = (evaluations.first()?, evaluations.last()?);
        (before.step == 0 && after.step == self.progress.step).then(|| Outcome {
            before: before.perplexities,
            after: after.perplexities,
            metrics: Metrics::new(before.perplexities, after.perplexities),
            kl_divergence: after.kl_divergence,
            steps: self.progress.step,
            seconds: self.progress.seconds,
            tokens_per_second: super::rate(self.progress.tokens, self.progress.seconds),
        })
    }

    pub(super) fn evaluation_is_due(&self) -> bool {
        let step = self.progress.step;
        let last = self.progress.evaluations.last().map(|last| last.step);
        self.evaluates_at(step) && last != Some(step)
    }

    /// Returns whether the model is evaluated after this step: before training, after it, and at the interval
    /// of the settings.
    pub(super) fn evaluates_at(&self, step: usize) -> bool {
        let every = self.trainer.settings().evaluate_every;
        step == 0 || step == self.steps || (every > 0 && step.is_multiple_of(every))
    }

    /// Evaluates a batch of the domain set, then of the general set.
    pub(super) async fn evaluate(&mut self) -> Result<Event> {
        let batch_size = self.trainer.settings().batch_size;
        let step = self.progress.step;
        let (moment, model) = match step {
            0 => (Moment::Before, self.model.clone()),
            _ if step == self.steps => (Moment::After, self.trained_model()),
            _ => (Moment::During, self.trained_model()),
        };
        // It stays in the run, so that dropping the future loses nothing.
        let untouched = match (&self.evaluation, moment) {
            (Some(_), _) | (None, Moment::Before) => None,
            (None, Moment::During | Moment::After) => self.untouched(),
        };
        let Evaluating {
            evaluation,
            untouched,
            domain,
        } = match &mut self.evaluation {
            Some(evaluating) => evaluating,
            none => none.insert(Evaluating {
                evaluation: Evaluation::new(&self.data.domain, batch_size)?,
                untouched,
                domain: None,
            }),
        };
        let domain = *domain;
        let samples = match domain {
            None => &self.data.domain,
            Some(_) => &self.data.general,
        };
        let advanced = evaluation.advance_beside(&model, untouched.as_ref(), samples);
        let result = advanced.await?;
        let (progress, kl_divergence) = (evaluation.progress(), evaluation.kl_divergence());
        self.model.device().check()?;

        let [of_domain, of_general] = [&self.data.domain, &self.data.general]
            .map(|samples: &Vec<Sample>| samples.len().div_ceil(batch_size));
        let done = progress.0 + domain.map_or(0, |_| of_domain);
        let total = of_domain + of_general;
        match (result, domain) {
            (None, _) => {}
            (Some(found), None) => {
                self.evaluation = Some(Evaluating {
                    evaluation: Evaluation::new(&self.data.general, batch_size)?,
                    untouched: None,
                    domain: Some(OnDomain {
                        perplexity: found.perplexity,
                        kl_divergence,
                    }),
                });
            }
            (Some(found), Some(domain)) => {
                self.evaluation = None;
                let perplexities = Perplexities {
                    domain: domain.perplexity,
                    general: found.perplexity,
                };
                let kl_divergence = domain.kl_divergence;
                self.progress.evaluations.push(Evaluated {
                    step,
                    perplexities,
                    kl_divergence,
                });
                return Ok(Event::Evaluated {
                    moment,
                    step,
                    perplexities,
                    kl_divergence,
                });
            }
        }
        Ok(Event::Evaluating {
            moment,
            done,
            total,
        })
    }

    /// Returns the untouched model. Weights that were freed during training are read from its files again, so
    /// that the memory is never more than that of the first epoch; `None` where they are not those of its files.
    fn untouched(&self) -> Option<CausalLm> {
        if !self.released {
            return Some(self.model.clone());
        }
        if !self.model.is_reloadable() {
            return None;
        }
        let reloaded = self.model.reloaded();
        let warn = |error: &Error| {
            let reason = error.report();
            log::warn!("the divergence from the untouched model is not measured: {reason}");
        };
        reloaded.inspect_err(warn).ok()
    }
}
