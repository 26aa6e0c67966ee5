//! Atomic writes of single files.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{PART, beside, exclusive, parent, sync_folder, target};
use crate::error::{Error, Result};

/// Writes a file atomically: readers see either the old or the new bytes.
///
/// # Errors
///
/// Those of [`FileWriter`]; the old file is then unchanged.
pub fn write_file(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let mut file = FileWriter::new(path)?;
    file.write(bytes)?;
    file.finish()
}

/// A file that is written to a temporary file in the same folder and renamed into place when complete. A
/// temporary file left by a killed process is overwritten by the next one.
#[derive(Debug)]
pub struct FileWriter {
    file: File,
    temporary: PathBuf,
    /// The path as given, for messages.
    place: PathBuf,
    /// The path that `place` leads to, if it is a link.
    target: PathBuf,
    finished: bool,
}

impl FileWriter {
    /// Starts writing the file `place`, or the one that it leads to if it is a link.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] while another process is writing it, [`Error::Io`] if its folder is not writable or
    /// if it is a folder or a device.
    pub fn new(place: impl AsRef<Path>) -> Result<Self> {
        let place = place.as_ref();
        let target = target(place).map_err(Error::io("write", place))?;
        if fs::metadata(&target).is_ok_and(|metadata| !metadata.is_file()) {
            let message = "a folder, a pipe or a device: expected a regular file or a new path";
            let fault = std::io::Error::new(std::io::ErrorKind::InvalidInput, message);
            return Err(Error::io("write", place)(fault));
        }
        let temporary = beside(&target, PART);
        let file = exclusive::open(&temporary).map_err(Error::io("write", place))?;
        let Some(file) = file else {
            return Err(Error::InUse {
                path: place.to_path_buf(),
            });
        };
        let writer = Self {
            file,
            temporary,
            place: place.to_path_buf(),
            target,
            finished: false,
        };
        let truncated = writer.file.set_len(0);
        truncated.map_err(Error::io("write", place))?;
        Ok(writer)
    }

    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(Error::io("write", &self.place))
    }

    /// Flushes the file to disk and renames it into place.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; the old file is then unchanged.
    pub fn finish(mut self) -> Result<()> {
        let rename = || -> std::io::Result<()> {
            self.file.sync_all()?;
            fs::rename(&self.temporary, &self.target)
        };
        rename().map_err(Error::io("write", &self.place))?;
        self.finished = true;
        // A rename is durable once its folder is.
        sync_folder(&parent(&self.target)).map_err(Error::io("write", &self.place))
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
