//! The bytes of a file.

use std::borrow::Cow;
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

#[cfg(not(target_arch = "wasm32"))]
use crate::error::{Error, Result};

/// Bytes of a file: memory-mapped, embedded in the program, or owned.
#[derive(Debug)]
pub enum FileBytes {
    /// A memory-mapped file.
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(memmap2::Mmap),
    /// Bytes in memory.
    InMemory(Cow<'static, [u8]>),
}

/// Maximum size of a file that is read into memory: many times that of the largest tokenizers.
#[cfg(not(target_arch = "wasm32"))]
const MAX_READ: u64 = 256 << 20;

#[cfg(not(target_arch = "wasm32"))]
impl FileBytes {
    /// Reads a file into memory.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let read = || -> std::io::Result<Vec<u8>> {
            let length = length_of_file(path)?;
            if length > MAX_READ {
                let message = format!("the file has {length} bytes: expected at most {MAX_READ}");
                return Err(std::io::Error::new(
                    std::io::ErrorKind::FileTooLarge,
                    message,
                ));
            }
            std::fs::read(path)
        };
        let bytes = read().map_err(Error::io("read", path))?;
        Ok(Self::InMemory(bytes.into()))
    }

    /// Memory-maps a file.
    pub(crate) fn map(path: &Path) -> Result<Self> {
        length_of_file(path).map_err(Error::io("open", path))?;
        let file = std::fs::File::open(path).map_err(Error::io("open", path))?;
        let length = file.metadata().map_err(Error::io("open", path))?.len();
        if length == 0 {
            return Ok(Self::InMemory(Cow::Borrowed(&[])));
        }
        // SAFETY: the map is read-only. As for every reader of memory-mapped weights (safetensors' own
        // included), the file must not be truncated while it is being read.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io("read", path))?;
        Ok(Self::Mapped(map))
    }
}

impl FileBytes {
    /// Lets the system take back the memory of what has been read of a mapped file, as it would under pressure:
    /// the memory of a loading model is then that of its weights.
    pub(super) fn release(&self) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self {
            // SAFETY: what is read again comes from the file, whose map is read-only. Failure costs memory only.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }

    /// Returns the bytes that it takes of the program's own memory: none where they are mapped or embedded.
    pub(crate) fn owned(&self) -> usize {
        match self {
            #[cfg(not(target_arch = "wasm32"))]
            Self::Mapped(_) => 0,
            Self::InMemory(Cow::Borrowed(_)) => 0,
            Self::InMemory(Cow::Owned(bytes)) => bytes.len(),
        }
    }

    /// Returns the bytes in parts, for hashing: mapped pages are given back after each, so that reading a large
    /// file keeps little of it in memory.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        const PART: usize = 16 << 20;
        self.chunks(PART).inspect(|_| self.release())
    }
}

/// Returns the length of a regular file; links are followed, as in the Hub's cache. Opening a pipe would
/// block, and a device has no end.
#[cfg(not(target_arch = "wasm32"))]
fn length_of_file(path: &Path) -> std::io::Result<u64> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        let message = "a folder, a pipe or a device: expected a regular file";
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            message,
        ));
    }
    Ok(metadata.len())
}

impl std::ops::Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            #[cfg(not(target_arch = "wasm32"))]
            Self::Mapped(map) => map,
            Self::InMemory(bytes) => bytes,
        }
    }
}
