//! A file that is written beside its place.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{PART, beside, exclusive, parent, sync_folder};
use crate::error::{Error, Result};

/// Writes a whole file in one step: readers see the old bytes or the new, never a part.
///
/// # Errors
///
/// As [`FileWriter`]; the old file is then untouched.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = FileWriter::new(path)?;
    file.write(bytes)?;
    file.finish()
}

/// A file that is filled beside its final place and renamed into it when complete. What a process that
/// was killed left beside it is written over by the next one.
#[derive(Debug)]
pub struct FileWriter {
    file: File,
    temporary: PathBuf,
    place: PathBuf,
    finished: bool,
}

impl FileWriter {
    /// Begins a file that will stand at `place`.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] while another process is writing it, [`Error::Io`] if nothing can be written
    /// beside it.
    pub fn new(place: &Path) -> Result<Self> {
        let temporary = beside(place, PART);
        let file = exclusive::open(&temporary).map_err(Error::io("write", place))?;
        let Some(file) = file else {
            return Err(Error::InUse {
                path: place.to_path_buf(),
            });
        };
        let begun = Self {
            file,
            temporary,
            place: place.to_path_buf(),
            finished: false,
        };
        let emptied = begun.file.set_len(0);
        emptied.map_err(Error::io("write", place))?;
        Ok(begun)
    }

    /// Adds to it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(Error::io("write", &self.place))
    }

    /// Puts it into its place.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; what stood there is then still there.
    pub fn finish(mut self) -> Result<()> {
        let put = || -> std::io::Result<()> {
            self.file.sync_all()?;
            fs::rename(&self.temporary, &self.place)
        };
        put().map_err(Error::io("write", &self.place))?;
        self.finished = true;
        // A rename is durable once its folder is.
        sync_folder(&parent(&self.place)).map_err(Error::io("write", &self.place))
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
