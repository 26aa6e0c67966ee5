//! Loads the model and the samples of a run.

use std::path::Path;

use minift::demo::{self, GENERAL_TALES, TRAIN_TICKETS};
use minift::device::Device;
use minift::model::CausalLm;
use minift::text::{Preparation, ReadOptions, Record, Samples, read_records};
use minift::train::RunData;
use minift::{Error, Result};

use crate::setup::Setup;

/// Maximum sample length in tokens; longer texts are truncated.
const MAX_LENGTH: usize = 256;
/// The last tenth of a text file is held out.
const HELD_OUT: usize = 10;

/// A description of a run for display.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Model name.
    pub model: String,
    /// Number of parameters.
    pub parameters: usize,
    /// Origin of the text.
    pub text: String,
    /// Number of training samples.
    pub samples: usize,
    /// Device name.
    pub device: String,
    /// Warning about insufficient memory, with remedies.
    pub warning: Option<String>,
    /// Whether the model has a chat template.
    pub can_chat: bool,
}

/// Loads the model onto a device.
///
/// # Errors
///
/// If the model cannot be read or loaded.
pub fn model(setup: &Setup, device: &Device) -> Result<CausalLm> {
    match setup.model.path() {
        None => CausalLm::embedded(device),
        Some(folder) => CausalLm::load(&folder, device),
    }
}

/// Returns the samples for the model, and the origin of the text.
///
/// # Errors
///
/// If the text cannot be read or tokenized.
pub fn samples(setup: &Setup, model: &CausalLm) -> Result<(RunData, String)> {
    let tokenize = |records: &[Record], origin: &str| {
        let length = model.config().decoder.max_length.min(MAX_LENGTH);
        let preparation = Preparation::to_length(length);
        model.reader().samples(records, &preparation, origin)
    };
    let (mut train, mut domain, origin) = match setup.text.path() {
        None => {
            let origin = "tickets of a bicycle workshop".to_string();
            let mut train = tokenize(&texts(demo::tickets()?), &origin)?;
            let domain = train.split_off(TRAIN_TICKETS.min(train.texts.len()));
            (train, domain, origin)
        }
        Some(path) => {
            let origin = name(&path);
            let records = read_records(&path, &ReadOptions::default())?.records;
            let mut train = tokenize(&records, &origin)?;
            let texts = train.texts.len();
            if texts < 2 {
                return Err(Error::TooFewSamples {
                    origin,
                    requested: 2,
                    available: texts,
                });
            }
            let domain = train.split_off(texts - texts.div_ceil(HELD_OUT));
            (train, domain, origin)
        }
    };
    let mut general = tokenize(&texts(demo::tales()?), "tiny stories")?;
    shorten(&mut train, setup.samples);
    shorten(&mut domain, setup.evaluated);
    shorten(&mut general, setup.evaluated.min(GENERAL_TALES));
    let data = RunData {
        train: train.samples,
        domain: domain.samples,
        general: general.samples,
        ..RunData::default()
    };
    Ok((data, origin))
}

fn shorten(samples: &mut Samples, texts: usize) {
    samples.split_off(texts.min(samples.texts.len()));
}

fn texts(texts: Vec<String>) -> Vec<Record> {
    texts.into_iter().map(Record::Text).collect()
}

/// The file name of a path.
fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
