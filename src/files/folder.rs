//! A folder that is filled beside its place.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{beside, exclusive, is_occupied, parent, sync_folder};
use crate::error::{Error, Result};

/// A folder that is filled beside its final place and renamed into it when complete. As long as it
/// exists no other process can begin one for the same place; what a process that was killed left is
/// put right by the next one.
#[derive(Debug)]
pub struct FolderWriter {
    place: PathBuf,
    replace: bool,
    beside: Beside,
    /// Free when it is closed, after [`Self::drop`] has removed everything.
    _lock: File,
}

/// What stands beside a folder's place while it is being written.
#[derive(Debug)]
struct Beside {
    lock: PathBuf,
    /// What will stand in the place.
    new: PathBuf,
    /// What stood there before, between two renames.
    old: PathBuf,
}

impl FolderWriter {
    /// Begins a folder that will stand at `place`.
    ///
    /// # Errors
    ///
    /// [`Error::OutputExists`] if something that is not an empty folder stands there and `replace`
    /// is false; [`Error::InUse`] while another process is writing it; [`Error::InvalidSetting`] for a
    /// path without a name, or where something stands that is no folder; [`Error::Io`] if nothing can be
    /// written beside it.
    pub fn new(place: &Path, replace: bool) -> Result<Self> {
        // `.`, `..` and `/` have no name of their own that a folder could be renamed to.
        if place.file_name().is_none() {
            let expected = "the name of a folder that can be made or replaced";
            return Err(Error::setting("out", place.display(), expected));
        }
        check_place(place, replace)?;
        let folder = parent(place);
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let beside = Beside {
            lock: beside(place, "lock"),
            new: beside(place, "new"),
            old: beside(place, "old"),
        };
        let fault = || Error::io("create a folder in", &folder);
        let Some(lock) = exclusive::open(&beside.lock).map_err(fault())? else {
            return Err(Error::InUse {
                path: place.to_path_buf(),
            });
        };
        let writer = Self {
            place: place.to_path_buf(),
            replace,
            beside,
            _lock: lock,
        };
        writer.put_right().map_err(fault())?;
        check_place(place, replace)?;
        fs::create_dir(&writer.beside.new).map_err(fault())?;
        Ok(writer)
    }

    /// Ends what a process that was killed had begun.
    fn put_right(&self) -> io::Result<()> {
        let Beside { new, old, .. } = &self.beside;
        if fs::symlink_metadata(old).is_ok() && !is_occupied(&self.place) {
            // It was killed between its two renames, before which the new folder was complete. Somebody may
            // have made an empty folder there since.
            remove(&self.place)?;
            let complete = if new.exists() { new } else { old };
            fs::rename(complete, &self.place)?;
        }
        remove(new)?;
        remove(old)
    }

    /// Where it will stand.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Where to write until [`Self::finish`].
    pub fn path(&self) -> &Path {
        &self.beside.new
    }

    /// Writes a file of the folder; `name` may hold folders.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.begin(name)?;
        file.write(bytes)?;
        file.finish()
    }

    /// Begins a file of the folder, to be written piece by piece.
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

    /// Puts the folder into its place. What stood there is moved aside first and removed last.
    ///
    /// # Errors
    ///
    /// [`Error::OutputExists`] if something came to stand there that is not to be replaced, and
    /// [`Error::Io`]; what stood there is then still or again there.
    pub fn finish(self) -> Result<()> {
        check_place(&self.place, self.replace)?;
        let Beside { new, old, .. } = &self.beside;
        let fault = || Error::io("write", &self.place);
        sync_tree(new).map_err(fault())?;
        let there = fs::symlink_metadata(&self.place).is_ok();
        if there {
            fs::rename(&self.place, old).map_err(fault())?;
        }
        if let Err(error) = fs::rename(new, &self.place) {
            if there {
                // The rename that failed moved nothing: putting the old one back cannot collide.
                let _ = fs::rename(old, &self.place);
            }
            return Err(fault()(error));
        }
        sync_folder(&parent(&self.place)).map_err(fault())?;
        remove(old).map_err(fault())
    }
}

impl Drop for FolderWriter {
    fn drop(&mut self) {
        let _ = remove(&self.beside.new);
        // Removed while it is held, that nobody holds a file that another one's is put in place of.
        let _ = fs::remove_file(&self.beside.lock);
    }
}

/// Whether something new may come to stand there: in place of a folder, or of a link to something.
fn check_place(place: &Path, replace: bool) -> Result<()> {
    let there = fs::symlink_metadata(place).map(|metadata| metadata.file_type());
    if there.is_ok_and(|there| !there.is_dir() && !there.is_symlink()) {
        let expected = "a folder, or nothing yet: what stands there is no folder";
        return Err(Error::setting("out", place.display(), expected));
    }
    if !replace && is_occupied(place) {
        return Err(Error::OutputExists {
            path: place.to_path_buf(),
        });
    }
    Ok(())
}

/// Removes whatever stands there.
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

/// Makes durable what a folder and the folders in it list. Their files are already.
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    sync_folder(folder)
}

/// A file of a folder that is being filled.
#[derive(Debug)]
pub struct PartWriter {
    file: File,
    /// Where it will stand, for messages.
    place: PathBuf,
}

impl PartWriter {
    /// Adds to it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(Error::io("write", &self.place))
    }

    /// Makes it durable.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn finish(self) -> Result<()> {
        let synced = self.file.sync_all();
        synced.map_err(Error::io("write", &self.place))
    }
}
