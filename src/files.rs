//! Outputs that never lose what was there: written beside, made durable, then renamed into place.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

use crate::error::{Error, Result};

/// Prefix of names that exist only while something is being written.
const TEMPORARY: &str = ".minift-";

/// Writes a whole file in one step: readers see the old bytes or the new, never a part.
///
/// # Errors
///
/// [`Error::Io`]; the old file is then untouched.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = FileWriter::new(path)?;
    file.write(bytes)?;
    file.finish()
}

/// A file that is filled beside its final place and renamed into it when complete.
#[derive(Debug)]
pub struct FileWriter {
    temporary: NamedTempFile,
    place: PathBuf,
}

impl FileWriter {
    /// Begins a file that will stand at `place`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if nothing can be written beside it.
    pub fn new(place: &Path) -> Result<Self> {
        let temporary = NamedTempFile::with_prefix_in(TEMPORARY, parent(place))
            .map_err(plain)
            .map_err(Error::io("write", place))?;
        Ok(Self {
            temporary,
            place: place.to_path_buf(),
        })
    }

    /// Adds to it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.temporary.write_all(bytes).map_err(plain);
        written.map_err(Error::io("write", &self.place))
    }

    /// Puts it into its place.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; what stood there is then still there.
    pub fn finish(self) -> Result<()> {
        let Self { temporary, place } = self;
        let finished = || -> std::io::Result<()> {
            make_readable(temporary.path())?;
            temporary.as_file().sync_all()?;
            temporary.persist(&place).map_err(|error| error.error)?;
            sync_folder(&parent(&place))
        };
        finished()
            .map_err(plain)
            .map_err(Error::io("write", &place))
    }
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

/// The error without the name of a temporary file, which nobody chose.
fn plain(error: std::io::Error) -> std::io::Error {
    match error.get_ref() {
        Some(_) => error.kind().into(),
        None => error,
    }
}

/// A folder that is filled beside its final place and renamed into it when complete.
#[derive(Debug)]
pub struct FolderWriter {
    temporary: TempDir,
    place: PathBuf,
}

impl FolderWriter {
    /// Begins a folder that will stand at `place`.
    ///
    /// # Errors
    ///
    /// [`Error::OutputExists`] if something that is not an empty folder stands there and `replace`
    /// is false; [`Error::InvalidSetting`] for a path without a name; [`Error::Io`] if nothing can be
    /// written beside it.
    pub fn new(place: &Path, replace: bool) -> Result<Self> {
        // `.`, `..` and `/` have no name of their own that a folder could be renamed to.
        if place.file_name().is_none() {
            let expected = "the name of a folder that can be made or replaced";
            return Err(Error::setting("out", place.display(), expected));
        }
        if !replace && is_occupied(place) {
            return Err(Error::OutputExists {
                path: place.to_path_buf(),
            });
        }
        let folder = parent(place);
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let temporary = TempDir::with_prefix_in(TEMPORARY, &folder)
            .map_err(plain)
            .map_err(Error::io("create a folder in", &folder))?;
        make_readable(temporary.path()).map_err(Error::io("create a folder in", &folder))?;
        Ok(Self {
            temporary,
            place: place.to_path_buf(),
        })
    }

    /// Where to write until [`Self::finish`].
    pub fn path(&self) -> &Path {
        self.temporary.path()
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
    /// [`Error::Io`]; what stood there is then still or again there.
    pub fn finish(self) -> Result<()> {
        let fault = || Error::io("write", &self.place);
        sync_folder(self.path()).map_err(fault())?;
        let folder = parent(&self.place);
        let aside = TempDir::with_prefix_in(TEMPORARY, &folder)
            .map_err(plain)
            .map_err(fault())?;
        let old = aside.path().join("replaced");
        let there = fs::symlink_metadata(&self.place).is_ok();
        if there {
            fs::rename(&self.place, &old).map_err(fault())?;
        }
        let new = self.temporary.keep();
        if let Err(error) = fs::rename(&new, &self.place) {
            if there {
                // The rename that failed moved nothing: putting the old one back cannot collide.
                let _ = fs::rename(&old, &self.place);
            }
            let _ = fs::remove_dir_all(&new);
            return Err(Error::io("write", &self.place)(error));
        }
        sync_folder(&folder).map_err(Error::io("write", &self.place))
    }
}

/// Whether something stands at `path` that is not an empty folder.
pub fn is_occupied(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => fs::symlink_metadata(path).is_ok(),
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Temporary files are private to their owner; what they become is as readable as any other file.
#[cfg(unix)]
fn make_readable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = if path.is_dir() { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn make_readable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// A rename is durable once its folder is.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}
