//! Results of single trainings in a folder that several processes and machines write at once.
//!
//! Every training has a file of its own, written under a name that only this process uses and renamed into
//! place. That is atomic on network file systems too, where locks are not reliable.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::record::Record;
use crate::error::{Error, Result};
use crate::files::write_file;

/// Name of the folder within the output folder.
pub(super) const FOLDER: &str = "cells";
const EXTENSION: &str = "json";

/// The files of single trainings.
#[derive(Clone, Debug)]
pub(super) struct CellFiles {
    folder: PathBuf,
}

impl CellFiles {
    pub(super) fn of(out: &Path) -> Self {
        Self {
            folder: out.join(FOLDER),
        }
    }

    pub(super) fn create_folder(&self) -> Result<()> {
        fs::create_dir_all(&self.folder).map_err(Error::io("create", &self.folder))
    }

    /// Returns where the checkpoint of a training is written.
    pub(super) fn checkpoint(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.checkpoint"))
    }

    /// Reads all complete results. Returns also how many files could not be read.
    pub(super) fn read(&self) -> Result<(Vec<Record>, usize)> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok((Vec::new(), 0));
            }
            Err(error) => return Err(Error::io("read", &self.folder)(error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(Error::io("read", &self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_temporary = name.starts_with('.');
            if !is_temporary && path.extension().is_some_and(|found| found == EXTENSION) {
                paths.push(path);
            }
        }
        paths.sort_unstable();
        let mut records = Vec::new();
        for path in &paths {
            let bytes = fs::read(path).map_err(Error::io("read", path))?;
            records.extend(serde_json::from_slice::<Record>(&bytes));
        }
        let unread = paths.len() - records.len();
        Ok((records, unread))
    }

    /// Writes the result of a training.
    pub(super) fn write(&self, id: &str, record: &Record) -> Result<()> {
        let json = serde_json::to_vec(record)
            .unwrap_or_else(|error| unreachable!("records always serialize to JSON: {error}"));
        let path = self.folder.join(format!("{id}.{EXTENSION}"));
        // Process ids of different machines may be equal.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_nanos());
        let own = format!(".{id}.{}-{now}", std::process::id());
        let own = self.folder.join(own);
        write_file(&own, &json)?;
        fs::rename(&own, &path).map_err(Error::io("write", &path))
    }
}
