//! `run.json` for JavaScript, assembled from parts that were stored as JSON.

use serde_json::Value;
use tsify::Ts;
use wasm_bindgen::prelude::wasm_bindgen;

use super::data::Samples;
use super::device::Device;
use super::model::Model;
use super::{Thrown, not_as_declared};
use crate::train::common;
use crate::train::report::{Continuation, DeviceReport, Setup, run_json};

/// Returns the model and data section of `run.json`.
#[wasm_bindgen(js_name = describeSetup)]
pub fn describe_setup(
    model: &Model,
    #[wasm_bindgen(js_name = maxLength)] max_length: usize,
    train: &Samples,
    domain: &Samples,
    general: &Samples,
    replay: Option<Samples>,
    consolidation: Option<Samples>,
) -> Thrown<String> {
    let general_in_training = common(&train.samples.samples, &general.samples.samples);
    let [train, domain, general] = [train, domain, general].map(Samples::describe);
    let setup = Setup {
        model: model.model.name(),
        parameters: model.model.parameter_count(),
        max_length,
        train,
        domain,
        general,
        replay: replay.as_ref().map(Samples::describe),
        consolidation: consolidation.as_ref().map(Samples::describe),
        validation: None,
        general_in_training,
    };
    serde_json::to_string(&setup).map_err(not_as_declared)
}

/// Returns the device section of `run.json`.
#[wasm_bindgen(js_name = describeDevice)]
pub fn describe_device(device: &Device) -> Thrown<String> {
    serde_json::to_string(&DeviceReport::new(&device.0)).map_err(not_as_declared)
}

/// Assembles `run.json` from its sections.
#[wasm_bindgen(js_name = runJson)]
pub fn run_json_of(
    setup: &str,
    device: &str,
    untouched: Vec<Ts<Continuation>>,
    trainings: Vec<String>,
) -> Thrown<String> {
    let value =
        |json: &str| -> Thrown<Value> { serde_json::from_str(json).map_err(not_as_declared) };
    let untouched = untouched
        .into_iter()
        .map(|continuation| continuation.to_rust().map_err(not_as_declared))
        .collect::<Thrown<Vec<Continuation>>>()?;
    let trainings = trainings
        .iter()
        .map(|json| value(json))
        .collect::<Thrown<Vec<Value>>>()?;
    let json = run_json(&value(setup)?, &value(device)?, &untouched, &trainings);
    Ok(format!("{json:#}\n"))
}
