//! Checkpoints: one safetensors file of parameters and optimiser moments, whose metadata holds the
//! settings and the figures so far. Nothing in it can run code, and it is whole or not there.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::optimizer::AdamW;
use super::run::{Evaluated, RunData};
use super::settings::TrainSettings;
use super::trainer::State;
use crate::error::{Error, Result};
use crate::model::weights::{self, NamedTensor, Naming, Put};
use crate::model::{CausalLm, ParameterSpec};

/// How far a run is. The order of the samples follows from the seed and the step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Steps done.
    pub step: usize,
    /// Predicted tokens trained on.
    pub tokens: usize,
    /// Seconds of training.
    pub seconds: f64,
    /// Loss of every step.
    pub losses: Vec<f32>,
    /// Every evaluation so far.
    pub evaluations: Vec<Evaluated>,
}

/// What is written beside the tensors.
pub(super) struct Checkpoint<'a> {
    pub settings: &'a TrainSettings,
    pub fingerprint: String,
    pub progress: &'a Progress,
}

/// Version of the layout.
const VERSION: &str = "2";
const GROUPS: [&str; 3] = ["parameter", "first_moment", "second_moment"];

impl Checkpoint<'_> {
    pub async fn write(&self, specs: &[ParameterSpec], state: &State, put: Put<'_>) -> Result<()> {
        let AdamW {
            first_moments,
            second_moments,
            ..
        } = &state.optimizer;
        let mut tensors = Vec::new();
        for (group, values) in GROUPS
            .iter()
            .zip([&state.parameters, first_moments, second_moments])
        {
            for tensor in NamedTensor::list(specs, values) {
                tensors.push(NamedTensor {
                    name: format!("{group}.{}", tensor.name),
                    ..tensor
                });
            }
        }
        let json = |error| unreachable!("figures can always be written as JSON: {error}");
        let metadata = HashMap::from([
            ("minift_checkpoint".to_string(), VERSION.to_string()),
            (
                "settings".to_string(),
                serde_json::to_string(self.settings).unwrap_or_else(json),
            ),
            (
                "progress".to_string(),
                serde_json::to_string(self.progress).unwrap_or_else(json),
            ),
            ("fingerprint".to_string(), self.fingerprint.clone()),
        ]);
        weights::write(tensors, metadata, put).await
    }

    pub fn read(
        bytes: &[u8],
        path: &Path,
        settings: &TrainSettings,
        fingerprint: &str,
        specs: &[ParameterSpec],
        device: &burn::tensor::Device,
    ) -> Result<(Progress, State)> {
        let fault = |message: String| Error::Checkpoint {
            path: path.to_path_buf(),
            message,
        };
        let damaged =
            |error: &dyn std::fmt::Display| fault(format!("not a whole checkpoint: {error}"));
        let (_, header) =
            safetensors::SafeTensors::read_metadata(bytes).map_err(|error| damaged(&error))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let entry = |name: &str| {
            metadata
                .get(name)
                .ok_or_else(|| fault(format!("not a checkpoint of minift: no {name}")))
        };
        let version = entry("minift_checkpoint")?;
        if version != VERSION {
            return Err(fault(format!(
                "of version {version}; this minift reads version {VERSION}"
            )));
        }
        let theirs: TrainSettings =
            serde_json::from_str(entry("settings")?).map_err(|error| damaged(&error))?;
        if theirs != *settings {
            return Err(fault(format!(
                "of a run with other settings ({}): give the same ones to go on, or begin anew \
                 without --resume",
                differences(&theirs, settings)
            )));
        }
        if entry("fingerprint")? != fingerprint {
            return Err(fault(
                "of a run on another model or other data: begin anew without --resume".to_string(),
            ));
        }
        let progress: Progress =
            serde_json::from_str(entry("progress")?).map_err(|error| damaged(&error))?;
        let mut groups = Vec::new();
        for group in GROUPS {
            let specs: Vec<ParameterSpec> = specs
                .iter()
                .map(|spec| ParameterSpec {
                    name: format!("{group}.{}", spec.name),
                    shape: spec.shape.clone(),
                })
                .collect();
            groups.push(
                weights::read_parameters(
                    &[(path.to_path_buf(), bytes)],
                    path,
                    &specs,
                    &Naming {
                        prefix: "",
                        may_ignore: &|_| true,
                    },
                    device,
                )
                .map_err(|error| damaged(&error))?,
            );
        }
        let mut next = || groups.remove(0);
        let state = State {
            parameters: next(),
            optimizer: AdamW {
                first_moments: next(),
                second_moments: next(),
                steps: progress.step,
            },
        };
        Ok((progress, state))
    }
}

/// The step after which a checkpoint was written.
///
/// # Errors
///
/// [`Error::Io`] if it cannot be read, [`Error::Checkpoint`] if it is none.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn step_of(path: &Path) -> Result<usize> {
    let bytes = crate::model::FileBytes::map(path)?;
    let header = safetensors::SafeTensors::read_metadata(&bytes).ok();
    let metadata = header.and_then(|(_, header)| header.metadata().clone());
    let progress = metadata
        .and_then(|metadata| serde_json::from_str::<Progress>(metadata.get("progress")?).ok());
    progress
        .map(|progress| progress.step)
        .ok_or_else(|| Error::Checkpoint {
            path: path.to_path_buf(),
            message: "not a whole checkpoint".to_string(),
        })
}

/// The settings in which two differ, by name.
fn differences(theirs: &TrainSettings, ours: &TrainSettings) -> String {
    let fields = |settings: &TrainSettings| match serde_json::to_value(settings) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (theirs, ours) = (fields(theirs), fields(ours));
    theirs
        .iter()
        .filter(|(name, value)| ours.get(*name) != Some(value))
        .map(|(name, value)| format!("{name}: {value} then, {} now", ours[name]))
        .collect::<Vec<_>>()
        .join("; ")
}

/// The model and every token of the data, in a few digits.
pub(super) fn fingerprint(model: &CausalLm, data: &RunData) -> String {
    fingerprints(model)(data)
}

/// The same for any data; the model is looked at once.
pub(crate) fn fingerprints(model: &CausalLm) -> impl Fn(&RunData) -> String + use<> {
    let mut hasher = crc32fast::Hasher::new();
    for bytes in model.weight_bytes() {
        hasher.update(bytes);
    }
    move |data| with_data(hasher.clone(), data)
}

fn with_data(mut hasher: crc32fast::Hasher, data: &RunData) -> String {
    for list in [
        &data.train,
        &data.domain,
        &data.general,
        &data.replay,
        &data.consolidation,
    ] {
        hasher.update(&list.len().to_le_bytes());
        for sample in list {
            hasher.update(&sample.len().to_le_bytes());
            hasher.update(bytemuck::cast_slice(sample.tokens()));
            let predicted = sample
                .predicted()
                .iter()
                .map(|&predicted| u8::from(predicted));
            hasher.update(&predicted.collect::<Vec<u8>>());
            for &beginning in sample.beginnings() {
                hasher.update(&(beginning as u64).to_le_bytes());
            }
        }
    }
    format!("{:08x}", hasher.finalize())
}
