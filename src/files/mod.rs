//! Outputs that never lose what was there: written beside, made durable, then renamed into place, by
//! one process at a time.

pub(crate) mod exclusive;
mod file;
mod folder;

pub use file::{FileWriter, write_file};
pub use folder::{FolderWriter, PartWriter};

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Whether something stands at `path` that is not an empty folder.
pub fn is_occupied(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => fs::symlink_metadata(path).is_ok(),
    }
}

/// What a file is called beside its place while it is being written.
pub(crate) const PART: &str = "part";

/// Where something stands for a while beside a place, always the same: so that the next process finds
/// what one that was killed left.
pub(crate) fn beside(place: &Path, what: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(place.file_name().unwrap_or_default());
    name.push(".minift-");
    name.push(what);
    parent(place).join(name)
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Makes durable what a folder lists.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}
