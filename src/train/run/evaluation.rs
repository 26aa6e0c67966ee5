//! Evaluation within a run.

use super::Run;
use crate::error::{Error, Result};
use crate::eval::{Metrics, PairEvaluation};
use crate::model::CausalLm;
use crate::train::data::RunData;
use crate::train::event::{Event, Moment};
use crate::train::outcome::{Evaluated, Outcome};

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
        let RunData {
            domain, general, ..
        } = &*self.data;
        let untouched = match (&self.evaluation, moment) {
            (Some(_), _) | (None, Moment::Before) => None,
            // Weights that were freed are read again, so that the memory is that of the first epoch at most.
            (None, Moment::During | Moment::After) => {
                let warn = |error: &Error| {
                    let reason = error.report();
                    log::warn!("the divergence from the untouched model is not measured: {reason}");
                };
                self.untouched().inspect_err(warn).ok()
            }
        };
        // It stays in the run, so that dropping the future loses nothing.
        let evaluation = match &mut self.evaluation {
            Some(evaluation) => evaluation,
            none => {
                none.insert(PairEvaluation::new(domain, general, batch_size)?.beside(untouched))
            }
        };
        let found = evaluation.advance(&model, domain, general).await?;
        let (done, total) = evaluation.progress();
        let kl_divergence = evaluation.kl_divergence();
        self.model.device().check()?;
        let Some(perplexities) = found else {
            return Ok(Event::Evaluating {
                moment,
                done,
                total,
            });
        };
        self.evaluation = None;
        self.progress.evaluations.push(Evaluated {
            step,
            perplexities,
            kl_divergence,
        });
        Ok(Event::Evaluated {
            moment,
            step,
            perplexities,
            kl_divergence,
        })
    }

    /// Returns the untouched model; reads its weights again if the run has freed them.
    pub(super) fn untouched(&self) -> Result<CausalLm> {
        match self.is_released {
            true => self.model.reloaded(),
            false => Ok(self.model.clone()),
        }
    }
}
