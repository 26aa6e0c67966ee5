//! The strength of a finished training for JavaScript, and what a model gains and forgets at it.

use serde::Serialize;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::wasm_bindgen;

use super::data::Samples;
use super::model::Model;
use super::{Thrown, not_as_declared, thrown};
use crate::error::Result;
use crate::eval::{ChoiceEvaluation, Continuations, PairEvaluation, Perplexities};
use crate::model::{self, CausalLm};
use crate::text::Sample;

/// Continuations of each question.
const CHOICES: usize = 4;

/// A training whose strength is chosen afterwards.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Dial {
    dial: model::Dial,
    untouched: Model,
}

#[wasm_bindgen]
impl Dial {
    /// Creates the dial of a training of `untouched`, whose result is `trained`.
    #[wasm_bindgen(constructor)]
    pub fn new(untouched: &Model, trained: &Model) -> Thrown<Self> {
        let dial = model::Dial::of_training(&untouched.model, trained.model.clone());
        Ok(Self {
            dial: dial.map_err(thrown)?,
            untouched: untouched.clone(),
        })
    }

    /// Returns the model at a strength from 0, untouched, to 1, trained.
    pub fn at(&self, weight: f64) -> Thrown<Model> {
        let model = self.dial.at(weight).map_err(thrown)?;
        Ok(self.untouched.trained(model))
    }
}

/// The share of texts whose right continuation a model finds more likely than those of other texts.
#[derive(Clone, Copy, Debug, Serialize, Tsify)]
pub struct ChoiceAccuracy {
    /// Number of texts.
    questions: usize,
    /// Share of right choices, from 0 to 1.
    accuracy: f64,
    /// Share of right choices by chance.
    chance: f64,
}

/// What a model predicts of two sets.
#[derive(Clone, Copy, Debug, Default, Serialize, Tsify)]
#[tsify(missing_as_null)]
pub struct Measured {
    /// Perplexities on the domain and the general set; null until they are complete.
    perplexities: Option<Perplexities>,
    /// Choices among continuations of the domain set; null until complete, and where its texts are too short or
    /// too few.
    domain: Option<ChoiceAccuracy>,
    /// Choices among continuations of the general set; null as for the domain set.
    general: Option<ChoiceAccuracy>,
}

/// A measurement of a model on a domain set and a general set, which advances by one batch at a time: perplexities,
/// and then choices among continuations.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Measurement {
    model: CausalLm,
    domain: Vec<Sample>,
    general: Vec<Sample>,
    perplexities: PairEvaluation,
    choices: [Option<ChoiceEvaluation>; 2],
    found: Measured,
}

#[wasm_bindgen]
impl Measurement {
    /// Begins a measurement, `batchSize` samples per batch.
    #[wasm_bindgen(constructor)]
    pub fn new(
        model: &Model,
        domain: &Samples,
        general: &Samples,
        #[wasm_bindgen(js_name = batchSize)] batch_size: usize,
    ) -> Thrown<Self> {
        let (domain, general) = (&domain.samples.samples, &general.samples.samples);
        let begun = Self::begin(&model.model, domain, general, batch_size);
        begun.map_err(thrown)
    }

    /// Measures the next batch and returns what is complete; undefined at the end.
    pub async fn next(&mut self) -> Thrown<Option<Ts<Measured>>> {
        if !self.advance().await.map_err(thrown)? {
            return Ok(None);
        }
        self.found.into_ts().map(Some).map_err(not_as_declared)
    }
}

impl Measurement {
    fn begin(
        model: &CausalLm,
        domain: &[Sample],
        general: &[Sample],
        batch_size: usize,
    ) -> Result<Self> {
        let choices = [domain, general].map(|samples| {
            // Texts that are too short or too few give no questions.
            let found = Continuations::new(samples, CHOICES, 0, model.reader()).ok()?;
            ChoiceEvaluation::new(&found.questions, batch_size).ok()
        });
        Ok(Self {
            perplexities: PairEvaluation::new(domain, general, batch_size)?,
            model: model.clone(),
            domain: domain.to_vec(),
            general: general.to_vec(),
            choices,
            found: Measured::default(),
        })
    }

    /// Measures the next batch; returns false if none is left.
    async fn advance(&mut self) -> Result<bool> {
        if self.found.perplexities.is_none() {
            let (domain, general) = (&self.domain, &self.general);
            let found = self.perplexities.advance(&self.model, domain, general);
            self.found.perplexities = found.await?;
        } else {
            let found = [&mut self.found.domain, &mut self.found.general];
            let mut sets = self.choices.iter_mut().zip(found);
            let Some((Some(evaluation), found)) =
                sets.find(|(evaluation, found)| evaluation.is_some() && found.is_none())
            else {
                return Ok(false);
            };
            *found = evaluation
                .advance(&self.model)
                .await?
                .map(|accuracy| ChoiceAccuracy {
                    questions: accuracy.questions,
                    accuracy: accuracy.accuracy,
                    chance: accuracy.chance.unwrap_or_default(),
                });
        }
        self.model.device().check()?;
        Ok(true)
    }
}
