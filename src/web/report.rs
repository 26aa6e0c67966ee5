//! `run.json` for JavaScript: the parts that were written as JSON along the way, put together.

use serde_json::Value;
use tsify::Ts;
use wasm_bindgen::prelude::wasm_bindgen;

use super::data::Samples;
use super::device::Device;
use super::model::Model;
use super::{Thrown, not_as_declared};
use crate::report::{Continuation, DeviceReport, Setup, run_json};

/// What `run.json` says of model and data, as JSON.
#[wasm_bindgen(js_name = describeSetup)]
pub fn describe_setup(
    model: &Model,
    #[wasm_bindgen(js_name = maxLength)] max_length: usize,
    train: &Samples,
    domain: &Samples,
    general: &Samples,
) -> Thrown<String> {
    let [train, domain, general] = [train, domain, general].map(Samples::describe);
    let setup = Setup {
        model: model.model.name(),
        parameters: model.model.parameter_count(),
        max_length,
        train,
        domain,
        general,
        replay: None,
        consolidation: None,
        validation: None,
    };
    serde_json::to_string(&setup).map_err(not_as_declared)
}

/// What `run.json` says of the device, as JSON.
#[wasm_bindgen(js_name = describeDevice)]
pub fn describe_device(device: &Device) -> Thrown<String> {
    serde_json::to_string(&DeviceReport::new(&device.0)).map_err(not_as_declared)
}

/// `run.json` of trainings whose parts are given as JSON.
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
