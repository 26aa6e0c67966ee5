//! The checkpoint format: a safetensors file of trained values and optimizer moments. Its metadata holds
//! settings and progress as JSON, and its last tensor a CRC-32 of everything before it.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;

use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::weights::{self, NamedTensor, Naming, Put, Trailer};
use crate::model::{CausalLm, FileBytes, ParameterSpec};
use crate::text::Sample;
use crate::train::data::RunData;
use crate::train::optimizer::AdamW;
use crate::train::outcome::Evaluated;
use crate::train::schedule::Schedule;
use crate::train::settings::TrainSettings;
use crate::train::step::State;

/// How far a run has come. The order of the samples follows from the seed and the step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::train) struct Progress {
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

/// The metadata of a checkpoint.
pub(in crate::train) struct Checkpoint<'a> {
    pub settings: &'a TrainSettings,
    pub fingerprint: String,
    pub progress: &'a Progress,
}

/// Version of the format. Checkpoints of version 2 before the checksum was added are still read.
const VERSION: &str = "2";
const GROUPS: [&str; 3] = ["parameter", "first_moment", "second_moment"];
/// The last tensor, of one U32: the CRC-32 of all bytes before it, header included.
const CHECKSUM: Trailer = Trailer {
    name: "crc32",
    dtype: Dtype::U32,
    bytes: size_of::<u32>(),
};

impl Checkpoint<'_> {
    pub(crate) async fn write(
        &self,
        specs: &[ParameterSpec],
        state: &State,
        put: Put<'_>,
    ) -> Result<()> {
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
        let json = |error| unreachable!("settings and progress always serialize: {error}");
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
        let mut checksum = crc32fast::Hasher::new();
        let mut hashed = |part: &[u8]| {
            checksum.update(part);
            put(part)
        };
        weights::write_before(tensors, Some(CHECKSUM), metadata, &mut hashed).await?;
        put(&checksum.finalize().to_le_bytes())
    }

    /// Reads a checkpoint of a run with these settings, fingerprint and parameters, after verifying its
    /// checksum. `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] if it is damaged or belongs to another run.
    pub(crate) fn read(
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
        let damaged = |error: &dyn Display| fault(format!("damaged checkpoint: {error}"));
        let (length, header) =
            SafeTensors::read_metadata(bytes).map_err(|error| damaged(&error))?;
        let has_checksum =
            verify_checksum(bytes, length, &header).map_err(|error| damaged(&error))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let entry = |name: &str| {
            metadata.get(name).ok_or_else(|| {
                fault(format!(
                    "not a minift checkpoint: no `{name}` in its metadata"
                ))
            })
        };
        let version = entry("minift_checkpoint")?;
        if version != VERSION {
            return Err(fault(format!(
                "checkpoint format version {version} is unsupported, expected version {VERSION}"
            )));
        }
        let stored: TrainSettings =
            serde_json::from_str(entry("settings")?).map_err(|error| damaged(&error))?;
        // What is measured after the training does not change it.
        let stored = with_length_of(settings, stored.with_dial(settings.dial));
        if stored != *settings {
            return Err(fault(format!(
                "checkpoint of a run with different settings ({}): resume with the same settings, or \
                 start a new run",
                differences(&stored, settings)
            )));
        }
        if entry("fingerprint")? != fingerprint {
            return Err(fault(
                "checkpoint of a run on a different model or different data: start a new run"
                    .to_string(),
            ));
        }
        let progress: Progress =
            serde_json::from_str(entry("progress")?).map_err(|error| damaged(&error))?;
        let in_groups = GROUPS.iter().flat_map(|group| {
            specs.iter().map(move |spec| ParameterSpec {
                name: format!("{group}.{}", spec.name),
                shape: spec.shape.clone(),
            })
        });
        // Any other tensor is an error: a damaged name must not hide the checksum.
        let mut parameters = weights::read_parameters(
            &[(path.to_path_buf(), bytes)],
            path,
            &in_groups.collect::<Vec<_>>(),
            &Naming::exact(&|name| name == CHECKSUM.name),
            device,
        )
        .map_err(|error| damaged(&error))?;
        let mut first_moments = parameters.split_off(specs.len());
        let second_moments = first_moments.split_off(specs.len());
        if !has_checksum {
            log::warn!(
                "{}: this checkpoint of an earlier minift has no checksum, so damage to it goes unnoticed",
                path.display()
            );
        }
        let state = State {
            parameters,
            optimizer: AdamW {
                first_moments,
                second_moments,
                steps: progress.step,
            },
        };
        Ok((progress, state))
    }
}

/// Verifies the checksum of a checkpoint, given its parsed header and the header's length. Returns
/// whether there is one: checkpoints of earlier versions have none.
fn verify_checksum(
    bytes: &[u8],
    length: usize,
    header: &Metadata,
) -> std::result::Result<bool, String> {
    let Some(info) = header.info(CHECKSUM.name) else {
        return Ok(false);
    };
    let data = size_of::<u64>() + length;
    let (start, end) = info.data_offsets;
    if info.dtype != CHECKSUM.dtype || info.shape != [1] || data + end != bytes.len() {
        return Err("its last tensor is not a CRC-32".to_string());
    }
    let (content, stored) = bytes.split_at(data + start);
    let computed = crc32fast::hash(content);
    if stored != computed.to_le_bytes() {
        return Err(format!(
            "its checksum does not match (computed CRC-32 {computed:08x})"
        ));
    }
    Ok(true)
}

/// Returns the step at which a checkpoint was written. The checksum is not verified.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, [`Error::Checkpoint`] if it is not a checkpoint.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn step_of(path: &Path) -> Result<usize> {
    let bytes = crate::model::FileBytes::map(path)?;
    let header = SafeTensors::read_metadata(&bytes).ok();
    let metadata = header.and_then(|(_, header)| header.metadata().clone());
    let progress = metadata
        .and_then(|metadata| serde_json::from_str::<Progress>(metadata.get("progress")?).ok());
    progress
        .map(|progress| progress.step)
        .ok_or_else(|| Error::Checkpoint {
            path: path.to_path_buf(),
            message: "damaged checkpoint".to_string(),
        })
}

/// Returns stored settings with the length of others: it only determines which steps follow, where the learning rate
/// does not depend on it.
fn with_length_of(settings: &TrainSettings, stored: TrainSettings) -> TrainSettings {
    match stored.schedule {
        Schedule::Constant | Schedule::Finch => TrainSettings {
            epochs: settings.epochs,
            max_steps: settings.max_steps,
            evaluate_every: settings.evaluate_every,
            ..stored
        },
        Schedule::Linear | Schedule::Cosine => stored,
    }
}

/// Lists the settings that differ between a checkpoint and the run that resumes from it.
fn differences(stored: &TrainSettings, current: &TrainSettings) -> String {
    let fields = |settings: &TrainSettings| match serde_json::to_value(settings) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (stored, current) = (fields(stored), fields(current));
    stored
        .iter()
        .filter(|(name, value)| current.get(*name) != Some(value))
        .map(|(name, value)| format!("{name}: {value} in the checkpoint, {} now", current[name]))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Returns a short hash of the model's weights and all tokens of the data.
pub(in crate::train) fn fingerprint(model: &CausalLm, data: &RunData) -> String {
    fingerprints(model)(data)
}

/// Returns a function that computes [`fingerprint`] for any data; the weights are hashed once.
pub(crate) fn fingerprints(model: &CausalLm) -> impl Fn(&RunData) -> String + use<> {
    let mut hasher = crc32fast::Hasher::new();
    for part in model.weight_files().flat_map(FileBytes::parts) {
        hasher.update(part);
    }
    if let Some(converted) = model.converted() {
        hasher.update(converted.name().as_bytes());
    }
    move |data| with_data(hasher.clone(), data)
}

fn with_data(mut hasher: crc32fast::Hasher, data: &RunData) -> String {
    for (_, list) in data.sets() {
        hash_samples(&mut hasher, list);
    }
    format!("{:08x}", hasher.finalize())
}

/// Adds samples to a hash.
pub(in crate::train) fn hash_samples(hasher: &mut crc32fast::Hasher, list: &[Sample]) {
    hasher.update(&list.len().to_le_bytes());
    for sample in list {
        hasher.update(&sample.len().to_le_bytes());
        hasher.update(bytemuck::cast_slice(sample.tokens()));
        let predicted = sample
            .loss_mask()
            .iter()
            .map(|&predicted| u8::from(predicted));
        hasher.update(&predicted.collect::<Vec<u8>>());
        for &beginning in sample.segment_starts() {
            hasher.update(&(beginning as u64).to_le_bytes());
        }
    }
}
