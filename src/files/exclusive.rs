//! Locks that one process holds at a time.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use same_file::Handle;

/// Tries to lock a file until it is closed. Returns whether no other process holds the lock.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        // Some network file systems do not support locks, so they cannot exclude other processes.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Opens and locks the file at `path`, creating it if necessary. Returns `None` while another process
/// holds it. Closing the file releases the lock, however the process ends.
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
        // The previous holder may have renamed or removed the file between opening and locking.
        let opened = Handle::from_file(file.try_clone()?)?;
        match Handle::from_path(path) {
            Ok(current) if current == opened => return Ok(Some(file)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}
