//! The results of a comparison, one line per training: completed trainings are not run again.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cells::{Cell, Plan};
use crate::error::{Error, Result};
use crate::eval::{Front, Metrics, Perplexities};
use crate::files::{PART, beside, write_file};
use crate::train::{Evaluated, Strength, TrainSettings};

/// The identity of a training: everything that its result depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Fingerprint of model and samples.
    pub fingerprint: String,
    /// All settings except how often it is evaluated.
    pub settings: TrainSettings,
}

impl Identity {
    /// Returns the identity of a cell, given the fingerprint of model and samples.
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

/// The result of a training: a line of `results.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the domain at the time.
    pub domain: String,
    /// Name of the method at the time.
    pub method: String,
    /// Readable title of the settings.
    pub title: String,
    /// The setting that is the strength of the method.
    pub strength: Strength,
    /// The value of the strength.
    pub value: f64,
    /// Number of training samples.
    pub budget: usize,
    /// The random seed.
    pub seed: u64,
    /// Perplexities of the base model.
    pub before: Perplexities,
    /// Perplexities of the trained model.
    pub after: Perplexities,
    /// S, DG, S/DG.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Number of steps.
    pub steps: usize,
    /// Training time in seconds.
    pub seconds: f64,
    /// Predicted tokens per second in training.
    pub tokens_per_second: f64,
    /// Number of trained parameters.
    pub trainable_parameters: usize,
    /// All evaluations, starting with the base model.
    pub evaluations: Vec<Evaluated>,
    /// Gain against forgetting over the strengths of the training, where the recipe asks for it (`dial`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub front: Option<Front>,
    /// The identity of the training.
    pub identity: Identity,
}

impl Record {
    /// Returns the decrease of the domain loss in nats per token.
    pub fn gained(&self) -> f64 {
        (self.before.domain / self.after.domain).ln()
    }

    /// Returns the increase of the general loss in nats per token.
    pub fn forgotten(&self) -> f64 {
        (self.after.general / self.before.general).ln()
    }
}

/// The records of an output folder.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    /// Held while records may be written.
    lock: Option<File>,
    records: Vec<Record>,
    /// All lines as they are stored, unreadable ones among them: what is read is never rewritten.
    lines: Vec<Vec<u8>>,
}

/// The file of the records.
const RECORDS: &str = "results.jsonl";
/// The lock file of the writing process.
const LOCK: &str = "results.lock";

impl Results {
    /// Reads the records of a folder; none if it does not exist. Truncated lines are skipped.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a folder with other files and no records, [`Error::Io`] if it cannot
    /// be read.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let path = folder.join(RECORDS);
        let mut results = Self {
            path,
            lock: None,
            records: Vec::new(),
            lines: Vec::new(),
        };
        if !results.path.exists() {
            if has_other_files(folder, &results.path) {
                let expected = "a new folder, or one with results.jsonl of a comparison";
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
            results
                .records
                .extend(serde_json::from_slice::<Record>(line));
            results.lines.push(line.to_vec());
        }
        Ok(results)
    }

    /// Creates the folder if necessary and locks it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if another comparison writes to it, [`Error::Io`] if it cannot be written.
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

    /// Returns the number of unreadable lines.
    pub fn unread(&self) -> usize {
        self.lines.len() - self.records.len()
    }

    /// Returns the record of a training, if completed.
    pub fn find(&self, identity: &Identity) -> Option<&Record> {
        self.records
            .iter()
            .find(|record| record.identity == *identity)
    }

    /// Adds a record and writes it to disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be written.
    pub fn add(&mut self, record: Record) -> Result<()> {
        let line = serde_json::to_vec(&record)
            .unwrap_or_else(|error| unreachable!("records always serialize to JSON: {error}"));
        self.lines.push(line);
        self.records.push(record);
        self.save()
    }

    fn save(&self) -> Result<()> {
        let mut bytes = Vec::new();
        for line in &self.lines {
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        write_file(&self.path, &bytes)
    }
}

/// Returns whether a folder without records has files other than those of a comparison that was killed at
/// its start.
fn has_other_files(folder: &Path, records: &Path) -> bool {
    let part = beside(records, PART);
    let is_ours = |name: &OsStr| name == LOCK || Some(name) == part.file_name();
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.flatten().any(|entry| !is_ours(&entry.file_name())),
        Err(_) => crate::files::is_occupied(folder),
    }
}

/// Writes the records as CSV, one line each, with the current names of domains and methods.
///
/// # Errors
///
/// [`Error::Io`] if it cannot be written; an existing file is then kept.
pub fn write_csv(path: impl AsRef<Path>, plan: &Plan, records: &[(&Cell, &Record)]) -> Result<()> {
    let path = path.as_ref();
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
