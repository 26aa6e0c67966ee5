//! Kinds of data files, told by the endings of their names.

use std::ffi::OsStr;
use std::path::Path;

use super::compression::Compression;
use crate::error::{Error, Result};

/// What a data file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `.txt`.
    Plain,
    /// `.md`.
    Markdown,
    /// `.jsonl`, `.ndjson`.
    JsonLines,
    /// `.json`.
    Json,
    /// `.csv`.
    Csv,
    /// `.tsv`.
    Tsv,
    /// `.parquet`.
    Parquet,
}

/// What a data file holds, and what it is wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    /// What it holds.
    pub kind: Kind,
    /// What it is wrapped in.
    pub compression: Option<Compression>,
}

impl Format {
    /// The format that a file's name tells, in upper or lower case.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownDataFormat`].
    pub fn of(path: &Path) -> Result<Self> {
        let unknown = || Error::UnknownDataFormat {
            path: path.to_path_buf(),
        };
        let compression = match ending(path).as_str() {
            "gz" => Some(Compression::Gzip),
            "zst" => Some(Compression::Zstd),
            _ => None,
        };
        let inner = match compression {
            Some(_) => Path::new(path.file_stem().unwrap_or_default()),
            None => path,
        };
        let kind = match ending(inner).as_str() {
            "txt" => Kind::Plain,
            "md" => Kind::Markdown,
            "jsonl" | "ndjson" => Kind::JsonLines,
            "json" => Kind::Json,
            "csv" => Kind::Csv,
            "tsv" => Kind::Tsv,
            // Parquet compresses its own parts.
            "parquet" if compression.is_none() => Kind::Parquet,
            _ => return Err(unknown()),
        };
        Ok(Self { kind, compression })
    }

    /// The bytes of such a file, expanded.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], and [`Error::DataFile`] for a damaged or oversized archive.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(self, path: &Path) -> Result<Vec<u8>> {
        let Some(compression) = self.compression else {
            return std::fs::read(path).map_err(Error::io("read", path));
        };
        let file = std::fs::File::open(path).map_err(Error::io("read", path))?;
        let size = file.metadata().map_err(Error::io("read", path))?.len();
        compression.expand(std::io::BufReader::new(file), size, path)
    }
}

fn ending(path: &Path) -> String {
    path.extension()
        .and_then(OsStr::to_str)
        .unwrap_or_default()
        .to_ascii_lowercase()
}
