//! What came out, a line a training: a finished training is never run again.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cells::{Cell, Plan};
use crate::error::{Error, Result};
use crate::eval::{Metrics, Perplexities};
use crate::files::{PART, beside, write_file};
use crate::train::{Evaluated, Strength, TrainSettings};

/// What makes a training the same as another: everything that its result depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Model and samples, in a few digits.
    pub fingerprint: String,
    /// All settings but how often it is looked at on the way.
    pub settings: TrainSettings,
}

impl Identity {
    /// Of a cell on a model and samples that have this fingerprint.
    pub fn new(cell: &Cell, fingerprint: String) -> Self {
        Self {
            fingerprint,
            settings: TrainSettings {
                evaluate_every: 0,
                ..cell.settings.clone()
            },
        }
    }
}

/// What came out of a training: a line of `results.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the domain when it was trained.
    pub domain: String,
    /// Name of the method when it was trained.
    pub method: String,
    /// What people call the settings.
    pub title: String,
    /// What the method's strength is.
    pub strength: Strength,
    /// Its value.
    pub value: f64,
    /// Samples trained on.
    pub budget: usize,
    /// What drew them.
    pub seed: u64,
    /// Of the untouched model.
    pub before: Perplexities,
    /// Of the trained model.
    pub after: Perplexities,
    /// S, DG, S/DG.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Steps taken.
    pub steps: usize,
    /// Seconds of training.
    pub seconds: f64,
    /// Predicted tokens trained on, a second.
    pub tokens_per_second: f64,
    /// Values that were trained.
    pub trainable_parameters: usize,
    /// Every evaluation, the untouched model's first.
    pub evaluations: Vec<Evaluated>,
    /// What makes it the same as another.
    pub identity: Identity,
}

impl Record {
    /// Loss gained on the domain, nats a token.
    pub fn gained(&self) -> f64 {
        (self.before.domain / self.after.domain).ln()
    }

    /// Loss lost on general text, nats a token.
    pub fn forgotten(&self) -> f64 {
        (self.after.general / self.before.general).ln()
    }
}

/// The records of a folder.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    /// Held as long as records may be written.
    lock: Option<File>,
    records: Vec<Record>,
    /// Lines that could not be read, and are kept as they are.
    others: Vec<Vec<u8>>,
}

/// The file of the records.
const RECORDS: &str = "results.jsonl";
/// The file that whoever writes them holds.
const LOCK: &str = "results.lock";

impl Results {
    /// Those in a folder; none where there is no such folder. A line that was cut off is no record.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a folder with other things and no records, [`Error::Io`] for one
    /// that cannot be read.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(RECORDS);
        let mut results = Self {
            path,
            lock: None,
            records: Vec::new(),
            others: Vec::new(),
        };
        if !results.path.exists() {
            if holds_other_things(folder, &results.path) {
                let expected = "a new folder, or one with the results.jsonl of a comparison";
                return Err(Error::setting("out", folder.display(), expected));
            }
            return Ok(results);
        }
        let bytes =
            std::fs::read(&results.path).map_err(Error::io("read the results", &results.path))?;
        for line in bytes
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match serde_json::from_slice(line) {
                Ok(record) => results.records.push(record),
                Err(_) => results.others.push(line.to_vec()),
            }
        }
        Ok(results)
    }

    /// Makes the folder, if it is not there, and keeps others from writing to it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if another comparison is writing to it, [`Error::Io`].
    pub fn begin(&mut self) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let path = folder.join(LOCK);
        let lock = File::create(&path).map_err(Error::io("create", &path))?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            let expected = "a folder that no other comparison is writing to";
            return Err(Error::setting("out", folder.display(), expected));
        }
        self.lock = Some(lock);
        if self.path.exists() {
            return Ok(());
        }
        self.save()
    }

    /// Lines that are no records.
    pub fn unread(&self) -> usize {
        self.others.len()
    }

    /// The record of a training, if it was done.
    pub fn find(&self, identity: &Identity) -> Option<&Record> {
        self.records
            .iter()
            .find(|record| record.identity == *identity)
    }

    /// Adds a record, on disk too.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn add(&mut self, record: Record) -> Result<()> {
        self.records.push(record);
        self.save()
    }

    fn save(&self) -> Result<()> {
        let mut bytes = Vec::new();
        let records = self.records.iter().map(|record| {
            serde_json::to_vec(record).unwrap_or_else(|error| {
                unreachable!("figures can always be written as JSON: {error}")
            })
        });
        for line in self.others.iter().cloned().chain(records) {
            bytes.extend_from_slice(&line);
            bytes.push(b'\n');
        }
        write_file(&self.path, &bytes)
    }
}

/// Whether a folder without records holds anything but what a comparison that was killed at its very
/// beginning left.
fn holds_other_things(folder: &Path, records: &Path) -> bool {
    let part = beside(records, PART);
    let is_ours = |name: &OsStr| name == LOCK || Some(name) == part.file_name();
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.flatten().any(|entry| !is_ours(&entry.file_name())),
        Err(_) => crate::files::is_occupied(folder),
    }
}

/// Records as a table, a line each, by the names that domains and methods have now.
///
/// # Errors
///
/// [`Error::Io`] if it cannot be written; what was there is then kept.
pub fn write_csv(path: &Path, plan: &Plan, records: &[(&Cell, &Record)]) -> Result<()> {
    #[derive(Serialize)]
    struct Row<'a> {
        domain: &'a str,
        method: &'a str,
        title: &'a str,
        strength: Strength,
        value: f64,
        main: bool,
        budget: usize,
        seed: u64,
        domain_perplexity_before: f64,
        domain_perplexity_after: f64,
        general_perplexity_before: f64,
        general_perplexity_after: f64,
        specialization: f64,
        degeneralization: f64,
        ratio: Option<f64>,
        gained_nats: f64,
        forgotten_nats: f64,
        steps: usize,
        seconds: f64,
        tokens_per_second: f64,
        trainable_parameters: usize,
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let fault = |error: csv::Error| Error::io("write", path)(error.into());
    let titles: Vec<String> = records
        .iter()
        .map(|(cell, _)| cell.settings.title())
        .collect();
    for (place, (cell, record)) in records.iter().enumerate() {
        let row = Row {
            domain: &plan.domains[cell.domain],
            method: &plan.methods[cell.method].name,
            title: &titles[place],
            strength: plan.methods[cell.method].strength,
            value: cell.value,
            main: cell.main,
            budget: record.budget,
            seed: record.seed,
            domain_perplexity_before: record.before.domain,
            domain_perplexity_after: record.after.domain,
            general_perplexity_before: record.before.general,
            general_perplexity_after: record.after.general,
            specialization: record.metrics.specialization,
            degeneralization: record.metrics.degeneralization,
            ratio: record.metrics.ratio,
            gained_nats: record.gained(),
            forgotten_nats: record.forgotten(),
            steps: record.steps,
            seconds: record.seconds,
            tokens_per_second: record.tokens_per_second,
            trainable_parameters: record.trainable_parameters,
        };
        writer.serialize(row).map_err(fault)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Error::io("write", path)(error.into_error()))?;
    write_file(path, &bytes)
}
