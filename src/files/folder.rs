//! Atomic writes of whole folders.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{beside, exclusive, is_occupied, parent, sync_folder, target};
use crate::error::{Error, Result};

/// A folder that is written beside its final path and renamed into place when complete. While it exists,
/// no other process can start one for the same path; leftovers of a killed process are recovered by the
/// next one.
#[derive(Debug)]
pub struct FolderWriter {
    /// The path as given.
    place: PathBuf,
    /// The path that `place` leads to, if it is a link.
    target: PathBuf,
    replace: bool,
    beside: Beside,
    /// Released when it is closed, after [`Self::drop`] has removed everything else.
    _lock: File,
}

/// The siblings of a folder while it is being written.
#[derive(Debug)]
struct Beside {
    lock: PathBuf,
    /// The new contents.
    new: PathBuf,
    /// The previous contents, between the two renames.
    old: PathBuf,
}

impl FolderWriter {
    /// Starts writing the folder `place`, or the one that it leads to if it is a link.
    ///
    /// # Errors
    ///
    /// [`Error::OutputExists`] if `place` exists, is not an empty folder, and `replace` is false;
    /// [`Error::InUse`] while another process is writing it; [`Error::InvalidSetting`] for a path without a
    /// name or a path that is not a folder; [`Error::Io`] if its parent folder is not writable.
    pub fn new(place: impl AsRef<Path>, replace: bool) -> Result<Self> {
        let place = place.as_ref();
        let target = target(place).map_err(Error::io("write", place))?;
        // `.`, `..` and `/` have no name that a folder could be renamed to.
        if target.file_name().is_none() {
            let expected = "the name of a folder that can be created or replaced";
            return Err(Error::setting("out", place.display(), expected));
        }
        check_place(place, &target, replace)?;
        let folder = parent(&target);
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let beside = Beside {
            lock: beside(&target, "lock"),
            new: beside(&target, "new"),
            old: beside(&target, "old"),
        };
        let fault = || Error::io("create a folder in", &folder);
        let Some(lock) = exclusive::open(&beside.lock).map_err(fault())? else {
            return Err(Error::InUse {
                path: place.to_path_buf(),
            });
        };
        let writer = Self {
            place: place.to_path_buf(),
            target,
            replace,
            beside,
            _lock: lock,
        };
        writer.recover().map_err(fault())?;
        check_place(place, &writer.target, replace)?;
        fs::create_dir(&writer.beside.new).map_err(fault())?;
        Ok(writer)
    }

    /// Completes or rolls back the replacement by a killed process.
    fn recover(&self) -> io::Result<()> {
        let Beside { new, old, .. } = &self.beside;
        if fs::symlink_metadata(old).is_ok() && !is_occupied(&self.target) {
            // It was killed between its two renames, so the new folder is complete. An empty folder may have
            // been created in its place since.
            remove(&self.target)?;
            let complete = if new.exists() { new } else { old };
            fs::rename(complete, &self.target)?;
        }
        remove(new)?;
        remove(old)
    }

    /// The final path, as given.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// The path to write to until [`Self::finish`].
    pub fn path(&self) -> &Path {
        &self.beside.new
    }

    /// Writes a file of the folder; `name` may contain subfolders.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.begin(name)?;
        file.write(bytes)?;
        file.finish()
    }

    /// Starts a file of the folder, for writing in chunks.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn begin(&self, name: &str) -> Result<PartWriter> {
        let (path, place) = (self.path().join(name), self.place.join(name));
        fs::create_dir_all(parent(&path)).map_err(Error::io("create", &place))?;
        let file = File::create(&path).map_err(Error::io("write", &place))?;
        Ok(PartWriter { file, place })
    }

    /// Renames the folder into place. The previous contents are moved aside first and removed last.
    ///
    /// # Errors
    ///
    /// [`Error::OutputExists`] if something that must not be replaced has appeared at the path, and
    /// [`Error::Io`]; the previous contents are then kept or restored.
    pub fn finish(self) -> Result<()> {
        check_place(&self.place, &self.target, self.replace)?;
        let Beside { new, old, .. } = &self.beside;
        let fault = || Error::io("write", &self.place);
        sync_tree(new).map_err(fault())?;
        let exists = fs::symlink_metadata(&self.target).is_ok();
        if exists {
            fs::rename(&self.target, old).map_err(fault())?;
        }
        if let Err(error) = fs::rename(new, &self.target) {
            if exists {
                // The failed rename moved nothing, so restoring the old folder cannot collide.
                let _ = fs::rename(old, &self.target);
            }
            return Err(fault()(error));
        }
        sync_folder(&parent(&self.target)).map_err(fault())?;
        remove(old).map_err(fault())
    }
}

impl Drop for FolderWriter {
    fn drop(&mut self) {
        let _ = remove(&self.beside.new);
        // Removed while locked, so that no process locks a file that has been replaced by another one's.
        let _ = fs::remove_file(&self.beside.lock);
    }
}

/// Checks that `target` may be written: it is a folder or does not exist. `place` is for messages.
fn check_place(place: &Path, target: &Path, replace: bool) -> Result<()> {
    if fs::symlink_metadata(target).is_ok_and(|found| !found.is_dir()) {
        let expected = "a folder or a new path, but this path exists and is not a folder";
        return Err(Error::setting("out", place.display(), expected));
    }
    if !replace && is_occupied(target) {
        return Err(Error::OutputExists {
            path: place.to_path_buf(),
        });
    }
    Ok(())
}

/// Removes a file or folder, if it exists.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Syncs the entries of a folder and its subfolders to disk. Their files are synced already.
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    sync_folder(folder)
}

/// A file of a folder that is being written.
#[derive(Debug)]
pub struct PartWriter {
    file: File,
    /// The final path, for messages.
    place: PathBuf,
}

impl PartWriter {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(Error::io("write", &self.place))
    }

    /// Flushes it to disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn finish(self) -> Result<()> {
        let synced = self.file.sync_all();
        synced.map_err(Error::io("write", &self.place))
    }
}
