//! Runs for JavaScript: each call of `next` advances the run by one event, so a run pauses between
//! calls. Checkpoints are bytes.

use std::path::Path;

use js_sys::Uint8Array;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::wasm_bindgen;

use super::data::{Data, Samples};
use super::model::Model;
use super::{Thrown, not_as_declared, thrown};
use crate::eval::Front;
use crate::model::CausalLm;
use crate::train::report::{Continuation, MethodReport};
use crate::train::{
    self, Budget, Evaluated, Event, MemoryEstimate, Outcome, Pace, TimeBudget, TrainSettings,
    budget,
};

/// A training of a model.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Run {
    run: train::Run,
    untouched: Model,
    /// The strength of the trained model, from 0 to 1, with the model and its outcome where it is not 1.
    dialled: Option<(f64, CausalLm, Outcome)>,
}

#[wasm_bindgen]
impl Run {
    /// Creates a run that trains a model on data.
    #[wasm_bindgen(constructor)]
    pub fn new(model: &Model, data: &Data, settings: Ts<TrainSettings>) -> Thrown<Self> {
        let settings: TrainSettings = settings.to_rust().map_err(not_as_declared)?;
        let run = train::Run::new(model.model.clone(), data.0.clone(), settings);
        let run = run.map_err(thrown)?;
        Ok(Self {
            run,
            untouched: model.clone(),
            dialled: None,
        })
    }

    /// Advances the run and returns its next event; undefined once it is finished.
    pub async fn next(&mut self) -> Thrown<Option<Ts<Event>>> {
        match self.run.next().await.map_err(thrown)? {
            Some(event) => event.into_ts().map(Some).map_err(not_as_declared),
            None => Ok(None),
        }
    }

    /// Returns the total number of steps.
    #[wasm_bindgen(getter)]
    pub fn steps(&self) -> usize {
        self.run.steps()
    }

    /// Returns the number of completed steps.
    #[wasm_bindgen(getter, js_name = stepsDone)]
    pub fn steps_done(&self) -> usize {
        self.run.steps_done()
    }

    /// Returns the loss of every completed step.
    pub fn losses(&self) -> Vec<f32> {
        self.run.losses().to_vec()
    }

    /// Returns the evaluations so far; the first is the untouched model's.
    pub fn evaluations(&self) -> Thrown<Vec<Ts<Evaluated>>> {
        let evaluations = self.run.evaluations().iter();
        evaluations
            .map(|evaluated| evaluated.into_ts().map_err(not_as_declared))
            .collect()
    }

    /// Reuses the untouched model's perplexities of another run on the same data.
    #[wasm_bindgen(js_name = shareUntouched)]
    pub fn share_untouched(&mut self, domain: f64, general: f64) {
        self.run
            .set_before(crate::eval::Perplexities { domain, general });
    }

    /// Returns the model in its current state, at the strength that was set.
    pub fn model(&self) -> Model {
        let model = match &self.dialled {
            Some((_, model, _)) => model.clone(),
            None => self.run.trained_model(),
        };
        self.untouched.trained(model)
    }

    /// Returns the model in its current state at a strength from 0, untouched, to 1, trained.
    #[wasm_bindgen(js_name = modelAt)]
    pub fn model_at(&self, weight: f64) -> Thrown<Model> {
        let dial = self.run.dial().map_err(thrown)?;
        Ok(self.untouched.trained(dial.at(weight).map_err(thrown)?))
    }

    /// Sets the strength of a finished run and evaluates the model at it: `model` and `report` then give that model.
    #[wasm_bindgen(js_name = setDial)]
    pub async fn set_dial(&mut self, weight: f64) -> Thrown<()> {
        let (model, outcome) = self.run.at_strength(weight).await.map_err(thrown)?;
        let outcome = outcome.filter(|_| weight != 1.0);
        self.dialled = outcome.map(|outcome| (weight, model, outcome));
        Ok(())
    }

    /// Advances the front of gain against forgetting over the strengths of a finished run and returns its next event;
    /// undefined once it is complete, or if there is none. The run itself does so with the setting `dial`.
    #[wasm_bindgen(js_name = nextOfFront)]
    pub async fn next_of_front(&mut self) -> Thrown<Option<Ts<Event>>> {
        match self.run.advance_front().await.map_err(thrown)? {
            Some(event) => event.into_ts().map(Some).map_err(not_as_declared),
            None => Ok(None),
        }
    }

    /// Returns the front once it is measured.
    pub fn front(&self) -> Thrown<Option<Ts<Front>>> {
        let front = self.run.front().map(|front| front.into_ts());
        front.transpose().map_err(not_as_declared)
    }

    /// Returns a checkpoint to resume from.
    pub async fn checkpoint(&self) -> Thrown<Uint8Array> {
        let bytes = self.run.checkpoint().await.map_err(thrown)?;
        Ok(Uint8Array::from(bytes.as_slice()))
    }

    /// Resumes from a checkpoint of the same settings, model and data.
    pub fn restore(&mut self, bytes: &[u8]) -> Thrown<()> {
        self.dialled = None;
        let restored = self.run.restore(bytes, Path::new("the stored checkpoint"));
        restored.map_err(thrown)
    }

    /// Returns this training's section of `run.json` once the run is finished.
    pub fn report(&self, prompt: String, continuation: String, out: String) -> Option<String> {
        let trained = self.run.outcome()?;
        let (weight, outcome) = match &self.dialled {
            Some((weight, _, outcome)) => (*weight, *outcome),
            None => (1.0, trained),
        };
        let report = MethodReport {
            weight,
            continuations: vec![Continuation {
                prompt,
                text: continuation,
            }],
            ..MethodReport::new(&self.run, &outcome, out)
        };
        serde_json::to_string(&report).ok()
    }
}

/// Estimates the memory of a training on its device.
#[wasm_bindgen(js_name = estimateMemory)]
pub fn estimate_memory(
    model: &Model,
    data: &Data,
    settings: Ts<TrainSettings>,
) -> Thrown<Ts<MemoryEstimate>> {
    let settings: TrainSettings = settings.to_rust().map_err(not_as_declared)?;
    let estimate = MemoryEstimate::new(&model.model, &data.0, &settings).map_err(thrown)?;
    estimate.into_ts().map_err(not_as_declared)
}

/// Returns why a training does not fit into the device's memory, with ways to reduce it.
#[wasm_bindgen(js_name = memoryExcess)]
pub fn memory_excess(
    model: &Model,
    data: &Data,
    settings: Ts<TrainSettings>,
) -> Thrown<Option<String>> {
    let settings: TrainSettings = settings.to_rust().map_err(not_as_declared)?;
    let estimate = MemoryEstimate::new(&model.model, &data.0, &settings).map_err(thrown)?;
    Ok(estimate.excess(model.model.device()))
}

/// Measures the pace of training and evaluation on the model's device.
#[wasm_bindgen(js_name = measurePace)]
pub async fn measure_pace(
    model: &Model,
    data: &Data,
    settings: Ts<TrainSettings>,
) -> Thrown<Ts<Pace>> {
    let settings: TrainSettings = settings.to_rust().map_err(not_as_declared)?;
    let pace = Pace::measure(&model.model, &data.0.train, &settings).await;
    pace.map_err(thrown)?.into_ts().map_err(not_as_declared)
}

/// Returns the number of samples that fit into a time.
#[wasm_bindgen(js_name = budgetFor)]
pub fn budget_for(
    pace: Ts<Pace>,
    data: &Data,
    seconds: f64,
    trainings: usize,
    epochs: f64,
    evaluations: usize,
) -> Thrown<Ts<Budget>> {
    let pace: Pace = pace.to_rust().map_err(not_as_declared)?;
    let time = TimeBudget {
        seconds,
        trainings,
        epochs,
        evaluations,
    };
    let data = &data.0;
    let budget = budget(&pace, &time, &data.train, &data.domain, &data.general);
    budget.into_ts().map_err(not_as_declared)
}

/// Returns the number of predicted tokens of samples.
#[wasm_bindgen(js_name = countTokens)]
pub fn count_tokens(samples: &Samples) -> usize {
    samples.samples.predicted_tokens()
}
