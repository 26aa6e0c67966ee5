//! The strength of a run's training, chosen afterwards.

use super::Run;
use crate::error::Result;
use crate::eval::{Front, FrontSearch, evaluate_pair};
use crate::model::{CausalLm, Dial};
use crate::train::event::Event;
use crate::train::front::start_front;
use crate::train::outcome::Outcome;

impl Run {
    /// Returns the dial of the current model, with the profile of the settings or a uniform one. Reads the weights
    /// of the untouched model again if the run has freed them.
    ///
    /// # Errors
    ///
    /// The errors of [`Dial::of_training`] and [`CausalLm::load`].
    pub fn dial(&self) -> Result<Dial> {
        let profile = self.settings().dial.unwrap_or_default();
        let dial = Dial::of_training(&self.untouched()?, self.trained_model())?;
        Ok(dial.with_profile(profile))
    }

    /// Returns the current model at a strength from 0, untouched, to 1, trained, and the outcome of the run with
    /// this model; `None` instead of the outcome before the run has one.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::dial`] and [`Dial::at`], and [`Error::Device`](crate::Error::Device).
    pub async fn at_strength(&self, weight: f64) -> Result<(CausalLm, Option<Outcome>)> {
        if weight == 1.0 {
            return Ok((self.trained_model(), self.outcome_so_far()));
        }
        let model = self.dial()?.at(weight)?;
        let outcome = match self.outcome_so_far() {
            Some(outcome) => {
                let (domain, general) = (&self.data.domain, &self.data.general);
                let batch_size = self.settings().batch_size;
                let after = evaluate_pair(&model, domain, general, batch_size).await?;
                Some(outcome.with_after(after))
            }
            None => None,
        };
        Ok((model, outcome))
    }

    /// Leaves the front that the settings ask for to the caller, who may choose another model first:
    /// [`Self::next`] then ends after the last evaluation.
    pub fn defer_front(&mut self) {
        self.defers_front = true;
    }

    /// Returns the front over the strengths of the training, once it is measured.
    pub fn front(&self) -> Option<Front> {
        self.front.as_ref().and_then(FrontSearch::front)
    }

    /// Evaluates the next batch of the front, whether the settings ask for one or not; `None` once it is complete,
    /// or if there is none: before the last evaluation, for a diverged model, and where general samples are also
    /// trained on. It takes about a tenth of the time of the training, or longer for less than 16 samples per set.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::dial`], and [`Error::Device`](crate::Error::Device).
    pub async fn advance_front(&mut self) -> Result<Option<Event>> {
        if let (None, Some(outcome)) = (&self.front, self.outcome_so_far()) {
            let batch_size = self.settings().batch_size;
            self.front = start_front(|| self.dial(), &self.data, &outcome, batch_size)?;
        }
        let Some(front) = &mut self.front else {
            return Ok(None);
        };
        Ok(front.advance().await?.map(Event::from))
    }

    /// Continues the front that the settings ask for.
    pub(super) async fn measure_front(&mut self) -> Result<Option<Event>> {
        if self.settings().dial.is_none() || self.defers_front {
            return Ok(None);
        }
        self.advance_front().await
    }

    /// Frees the weights of the untouched model where they can be read again from its files.
    pub(super) fn release_untouched(&mut self) {
        if self.model.is_as_loaded() {
            self.model = self.model.without_values();
            self.is_released = true;
        }
    }
}
