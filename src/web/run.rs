//! Runs for JavaScript: a run is pulled forward one event at a time, so it pauses where nobody asks
//! for the next, and its checkpoints are bytes.

use std::path::Path;

use js_sys::Uint8Array;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::wasm_bindgen;

use super::data::{Data, Samples};
use super::model::Model;
use super::{Thrown, not_as_declared, thrown};
use crate::adapter::{AdapterSettings, Ia3Settings, LoraSettings};
use crate::error::Error;
use crate::report::{Continuation, MethodReport};
use crate::train::{
    self, Budget, Evaluated, Event, MemoryEstimate, Pace, TrainSettings, Wanted, budget,
};

/// A training of a model.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Run {
    run: train::Run,
    untouched: Model,
}

#[wasm_bindgen]
impl Run {
    /// A run that trains a model on data.
    #[wasm_bindgen(constructor)]
    pub fn new(model: &Model, data: &Data, settings: Ts<TrainSettings>) -> Thrown<Self> {
        let settings: TrainSettings = settings.to_rust().map_err(not_as_declared)?;
        let run = train::Run::new(model.model.clone(), data.0.clone(), settings);
        let run = run.map_err(thrown)?;
        Ok(Self {
            run,
            untouched: model.clone(),
        })
    }

    /// Does the next piece of work and says what came of it; undefined when all is done.
    pub async fn next(&mut self) -> Thrown<Option<Ts<Event>>> {
        match self.run.next().await.map_err(thrown)? {
            Some(event) => event.into_ts().map(Some).map_err(not_as_declared),
            None => Ok(None),
        }
    }

    /// Steps of the whole run.
    #[wasm_bindgen(getter)]
    pub fn steps(&self) -> usize {
        self.run.steps()
    }

    /// Steps done.
    #[wasm_bindgen(getter, js_name = stepsDone)]
    pub fn steps_done(&self) -> usize {
        self.run.steps_done()
    }

    /// Loss of every step done.
    pub fn losses(&self) -> Vec<f32> {
        self.run.losses().to_vec()
    }

    /// Every evaluation so far, the untouched model's first.
    pub fn evaluations(&self) -> Thrown<Vec<Ts<Evaluated>>> {
        let evaluations = self.run.evaluations().iter();
        evaluations
            .map(|evaluated| evaluated.into_ts().map_err(not_as_declared))
            .collect()
    }

    /// Takes the untouched model's perplexities from another run on the same data.
    #[wasm_bindgen(js_name = shareUntouched)]
    pub fn share_untouched(&mut self, domain: f64, general: f64) {
        self.run
            .set_before(crate::eval::Perplexities { domain, general });
    }

    /// The model as it is now.
    pub fn model(&self) -> Model {
        self.untouched.trained(self.run.trained_model())
    }

    /// Everything needed to go on later from here.
    pub async fn checkpoint(&self) -> Thrown<Uint8Array> {
        let bytes = self.run.checkpoint().await.map_err(thrown)?;
        Ok(Uint8Array::from(bytes.as_slice()))
    }

    /// Goes on from the bytes of a checkpoint of the same settings, model and data.
    pub fn restore(&mut self, bytes: &[u8]) -> Thrown<()> {
        let restored = self.run.restore(bytes, Path::new("the stored checkpoint"));
        restored.map_err(thrown)
    }

    /// This training's part of `run.json`, as JSON, when all is done.
    pub fn report(&self, prompt: String, continuation: String, out: String) -> Option<String> {
        let outcome = self.run.outcome()?;
        let report = MethodReport {
            continuations: vec![Continuation {
                prompt,
                text: continuation,
            }],
            ..MethodReport::new(&self.run, &outcome, out)
        };
        serde_json::to_string(&report).ok()
    }
}

/// Minifinetuning's defaults.
#[wasm_bindgen(js_name = defaultTrainSettings)]
pub fn default_train_settings() -> Thrown<Ts<TrainSettings>> {
    let settings = TrainSettings::default();
    settings.into_ts().map_err(not_as_declared)
}

/// An adapter's default settings.
#[wasm_bindgen(js_name = adapterSettings)]
pub fn adapter_settings(
    #[wasm_bindgen(unchecked_param_type = "\"lora\" | \"dora\" | \"ia3\"")] kind: &str,
) -> Thrown<Ts<AdapterSettings>> {
    let settings = match kind {
        "lora" => AdapterSettings::Lora(LoraSettings::default()),
        "dora" => AdapterSettings::Lora(LoraSettings {
            decomposed: true,
            ..LoraSettings::default()
        }),
        "ia3" => AdapterSettings::Ia3(Ia3Settings::default()),
        _ => return Err(thrown(Error::setting("adapter", kind, "lora, dora or ia3"))),
    };
    settings.into_ts().map_err(not_as_declared)
}

/// Steps of a training on so many samples; throws where settings are out of range.
#[wasm_bindgen(js_name = countSteps)]
pub fn count_steps(settings: Ts<TrainSettings>, samples: usize) -> Thrown<usize> {
    let settings: TrainSettings = settings.to_rust().map_err(not_as_declared)?;
    let steps = settings.validate().and_then(|()| settings.steps(samples));
    steps.map_err(thrown)
}

/// Bytes that a training takes on its device.
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

/// What does not fit into the model's device and what to do about it.
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

/// Measures a training step and an evaluation on the model's device.
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

/// As many of the samples as there is time for.
#[wasm_bindgen(js_name = budgetFor)]
pub fn budget_for(
    pace: Ts<Pace>,
    data: &Data,
    seconds: f64,
    trainings: usize,
    epochs: usize,
    evaluations: usize,
) -> Thrown<Ts<Budget>> {
    let pace: Pace = pace.to_rust().map_err(not_as_declared)?;
    let wanted = Wanted {
        seconds,
        trainings,
        epochs,
        evaluations,
    };
    let data = &data.0;
    let budget = budget(&pace, &wanted, &data.train, &data.domain, &data.general);
    budget.into_ts().map_err(not_as_declared)
}

/// Predicted tokens of samples.
#[wasm_bindgen(js_name = countTokens)]
pub fn count_tokens(samples: &Samples) -> usize {
    samples.samples.positions()
}
