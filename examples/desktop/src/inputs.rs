//! The model and the samples of a run, out of what was chosen.

use std::path::Path;

use minift::data::{Preparation, ReadOptions, Record, Samples, read_records};
use minift::demo::{self, GENERAL_TALES, TRAIN_TICKETS};
use minift::device::Device;
use minift::model::CausalLm;
use minift::train::RunData;
use minift::{Error, Result};

use crate::setup::Setup;

/// Tokens of a sample at most; longer texts are cut.
const LONGEST: usize = 256;
/// Of a text of one's own, the last tenth is held out.
const HELD_OUT: usize = 10;

/// What a run is made of, for people.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Name of the model.
    pub model: String,
    /// Values in it.
    pub parameters: usize,
    /// Where the text came from.
    pub text: String,
    /// Samples to train on.
    pub samples: usize,
    /// Of the device.
    pub device: String,
    /// What is short for it, and what to do.
    pub warning: Option<String>,
}

/// The model on a device.
///
/// # Errors
///
/// Those of reading and loading it.
pub fn model(setup: &Setup, device: &Device) -> Result<CausalLm> {
    match setup.model.path() {
        None => CausalLm::embedded(device),
        Some(folder) => CausalLm::load(&folder, device),
    }
}

/// The samples for the model, and where they came from.
///
/// # Errors
///
/// Those of reading the text and making samples of it.
pub fn samples(setup: &Setup, model: &CausalLm) -> Result<(RunData, String)> {
    let tokenize = |records: &[Record], origin: &str| {
        let length = model.config().decoder.max_length.min(LONGEST);
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

/// The last part of a path.
fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
