//! Files that one process at a time may have.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use same_file::Handle;

/// Tries to have a file for this process alone, until it is closed; whether no other one has it.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        // Some network folders have no locks, and cannot keep anybody out.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Opens the file at `path` for this process alone, and makes it if it is not there; `None` while
/// another one has it. It is free again when it is closed, however its process ends.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        if !try_lock(&file)? {
            return Ok(None);
        }
        // Whoever had it may have renamed or removed it between opening and locking.
        let opened = Handle::from_file(file.try_clone()?)?;
        match Handle::from_path(path) {
            Ok(there) if there == opened => return Ok(Some(file)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}
