//! The results of a comparison, one line per training: completed trainings are not run again.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::cell_files::{self, CellFiles};
use super::cells::{Cell, Plan};
use super::record::{Identity, Record};
use crate::error::{Error, Result};
use crate::files::{PART, beside, write_file};
use crate::train::Strength;

/// The records of an output folder.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    cells: CellFiles,
    /// Where new records go, once they may be written.
    place: Option<Place>,
    /// What is in `results.jsonl`.
    lines: Vec<Line>,
    /// Records in files of their own that are not among the lines.
    singles: Vec<Record>,
    /// Number of files of their own that cannot be read.
    unread_files: usize,
}

/// A line as it is stored, unreadable ones among them: what is read is never rewritten.
#[derive(Debug)]
struct Line {
    bytes: Vec<u8>,
    record: Option<Record>,
}

/// Where new records go.
#[derive(Debug)]
enum Place {
    /// To the lines of `results.jsonl`, by the one process that holds the lock.
    Lines { _lock: File },
    /// To a file each.
    Cells,
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
        let cells = CellFiles::of(folder);
        if !path.exists() && has_other_files(folder, &path) {
            let expected = "a new folder, or one with results.jsonl of a comparison";
            return Err(Error::setting("out", folder.display(), expected));
        }
        let (singles, unread_files) = cells.read()?;
        let bytes = match path.exists() {
            true => std::fs::read(&path).map_err(Error::io("read the results", &path))?,
            false => Vec::new(),
        };
        let lines = bytes.split(|&byte| byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty()).map(|line| Line {
            bytes: line.to_vec(),
            record: serde_json::from_slice(line).ok(),
        });
        Ok(Self {
            path,
            cells,
            place: None,
            lines: lines.collect(),
            singles,
            unread_files,
        })
    }

    /// Creates the folder if necessary, locks it, and adds to `results.jsonl` the records of these trainings
    /// that have files of their own.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if another comparison writes to it, [`Error::Io`] if it cannot be written.
    pub fn begin(&mut self, trainings: &[Identity]) -> Result<()> {
        let added = self.take_singles(trainings)?;
        if self.path.exists() && added == 0 {
            return Ok(());
        }
        self.save()
    }

    /// As [`Self::begin`], and puts the records in the order of the trainings, before all other lines.
    ///
    /// # Errors
    ///
    /// As [`Self::begin`].
    pub fn collect(&mut self, trainings: &[Identity]) -> Result<()> {
        self.take_singles(trainings)?;
        let place = |line: &Line| {
            let record = line.record.as_ref()?;
            trainings
                .iter()
                .position(|training| record.identity == *training)
        };
        self.lines
            .sort_by_cached_key(|line| place(line).unwrap_or(usize::MAX));
        self.save()
    }

    /// Locks the folder, and adds the records of these trainings that have files of their own to the lines.
    /// Returns their number.
    fn take_singles(&mut self, trainings: &[Identity]) -> Result<usize> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let path = folder.join(LOCK);
        let lock = File::create(&path).map_err(Error::io("create", &path))?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            let expected = "a folder that no other comparison is writing to";
            return Err(Error::setting("out", folder.display(), expected));
        }
        self.place = Some(Place::Lines { _lock: lock });
        let lines = self.lines.len();
        for identity in trainings {
            let is_line = self.written().any(|record| record.identity == *identity);
            let mut singles = self.singles.iter();
            let single = singles.find(|record| record.identity == *identity);
            if let (false, Some(single)) = (is_line, single.cloned()) {
                self.push(single);
            }
        }
        Ok(self.lines.len() - lines)
    }

    /// Creates the folders if necessary, for records in files of their own: other processes may write to them
    /// at the same time.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if they cannot be created.
    pub fn begin_shared(&mut self) -> Result<()> {
        self.place = Some(Place::Cells);
        self.cells.create_folder()
    }

    /// Returns where the checkpoint of a training is written while it runs, if other processes may write to the
    /// folder.
    pub fn checkpoint(&self, id: &str) -> Option<PathBuf> {
        let shared = matches!(self.place, Some(Place::Cells));
        shared.then(|| self.cells.checkpoint(id))
    }

    /// Returns the number of unreadable lines and files.
    pub fn unread(&self) -> usize {
        self.lines.len() - self.written().count() + self.unread_files
    }

    /// Returns the record of a training, if completed.
    pub fn find(&self, identity: &Identity) -> Option<&Record> {
        let mut records = self.written().chain(&self.singles);
        records.find(|record| record.identity == *identity)
    }

    fn written(&self) -> impl Iterator<Item = &Record> {
        self.lines.iter().filter_map(|line| line.record.as_ref())
    }

    /// Adds the record of a training and writes it to disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be written.
    pub fn add(&mut self, id: &str, record: Record) -> Result<()> {
        if matches!(self.place, Some(Place::Cells)) {
            self.cells.write(id, &record)?;
            self.singles.push(record);
            return Ok(());
        }
        self.push(record);
        self.save()
    }

    fn push(&mut self, record: Record) {
        let bytes = serde_json::to_vec(&record)
            .unwrap_or_else(|error| unreachable!("records always serialize to JSON: {error}"));
        let record = Some(record);
        self.lines.push(Line { bytes, record });
    }

    fn save(&self) -> Result<()> {
        let mut bytes = Vec::new();
        for line in &self.lines {
            bytes.extend_from_slice(&line.bytes);
            bytes.push(b'\n');
        }
        write_file(&self.path, &bytes)
    }
}

/// Returns whether a folder without records has files other than those of a comparison that was killed at
/// its start.
fn has_other_files(folder: &Path, records: &Path) -> bool {
    let part = beside(records, PART);
    let is_ours =
        |name: &OsStr| name == LOCK || name == cell_files::FOLDER || Some(name) == part.file_name();
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
        kl_divergence: Option<f64>,
        choice_accuracy_before: Option<f64>,
        choice_accuracy_after: Option<f64>,
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
            kl_divergence: record.kl_divergence,
            choice_accuracy_before: record.choices.map(|choices| choices.before.accuracy),
            choice_accuracy_after: record.choices.map(|choices| choices.after.accuracy),
        };
        writer.serialize(row).map_err(fault)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Error::io("write", path)(error.into_error()))?;
    write_file(path, &bytes)
}
