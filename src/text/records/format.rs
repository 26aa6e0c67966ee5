//! Data file formats, detected by file extension, and by content where there is none.

use std::ffi::OsStr;
use std::io::BufRead;
use std::path::Path;

use super::ReadOptions;
use super::compression::Compression;
use super::styles::Style;
use crate::error::{Error, Result};

/// Content type of a data file.
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

impl Kind {
    /// Detects the type of a text without a file name. A table has to have known columns.
    pub(super) fn of_text(text: &str, options: &ReadOptions) -> Self {
        let start = text.trim_start();
        let first = start.lines().next().unwrap_or_default();
        let mut inner = start.chars().filter(|character| !character.is_whitespace());
        match (inner.next(), inner.next()) {
            (Some('{'), Some('"' | '}')) | (Some('['), Some('{' | '[' | '"' | ']')) => {
                match serde_json::from_str::<serde::de::IgnoredAny>(first) {
                    Ok(_) => Self::JsonLines,
                    Err(_) => Self::Json,
                }
            }
            _ => {
                let is_table = |delimiter: char| {
                    let columns: Vec<&str> = first
                        .split(delimiter)
                        .map(|name| name.trim().trim_matches('"'))
                        .collect();
                    let has = |key: &str| columns.contains(&key);
                    Style::detect(has, options).is_some()
                };
                match (is_table(','), is_table('\t')) {
                    (true, _) => Self::Csv,
                    (false, true) => Self::Tsv,
                    (false, false) => Self::Plain,
                }
            }
        }
    }

    /// Name of the format.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain text",
            Self::Markdown => "Markdown",
            Self::JsonLines => "JSON lines",
            Self::Json => "JSON",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Parquet => "Parquet",
        }
    }
}

/// Content type and compression of a data file, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    /// Content type, if the file has an extension besides that of its compression.
    pub kind: Option<Kind>,
    /// Compression, if its extension names one. The file's bytes decide.
    pub compression: Option<Compression>,
}

impl Format {
    /// Detects the format from a file's extension, ignoring case.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownDataFormat`].
    pub(super) fn of(path: &Path) -> Result<Self> {
        let compression = match extension(path).as_str() {
            "gz" => Some(Compression::Gzip),
            "zst" => Some(Compression::Zstd),
            _ => None,
        };
        let inner = match compression {
            Some(_) => Path::new(path.file_stem().unwrap_or_default()),
            None => path,
        };
        let kind = match extension(inner).as_str() {
            "" => None,
            "txt" => Some(Kind::Plain),
            "md" => Some(Kind::Markdown),
            "jsonl" | "ndjson" => Some(Kind::JsonLines),
            "json" => Some(Kind::Json),
            "csv" => Some(Kind::Csv),
            "tsv" => Some(Kind::Tsv),
            "parquet" => Some(Kind::Parquet),
            _ => {
                return Err(Error::UnknownDataFormat {
                    path: path.to_path_buf(),
                });
            }
        };
        Ok(Self { kind, compression })
    }
}

/// Reads the `size` bytes of `path` from `source`, and decompresses them if they are compressed, under any
/// name.
///
/// # Errors
///
/// [`Error::Io`], and [`Error::DataFile`] for a damaged or oversized compressed file.
pub(super) fn content(mut source: impl BufRead, size: u64, path: &Path) -> Result<Vec<u8>> {
    let start = source.fill_buf().map_err(Error::io("read", path))?;
    match Compression::of_bytes(start) {
        Some(compression) => compression.expand(source, size, path),
        None => {
            let mut bytes = Vec::new();
            source
                .read_to_end(&mut bytes)
                .map_err(Error::io("read", path))?;
            Ok(bytes)
        }
    }
}

fn extension(path: &Path) -> String {
    path.extension()
        .and_then(OsStr::to_str)
        .unwrap_or_default()
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_without_a_name_are_detected_by_their_content() {
        for (text, kind) in [
            ("\n{\"text\": \"a\"}\n{\"text\": \"b\"}", Kind::JsonLines),
            ("[{\"text\": \"a\"}]", Kind::JsonLines),
            ("[\n{\"text\": \"a\"}]", Kind::Json),
            ("{\n\"text\": \"a\"}", Kind::Json),
            ("text,id\na,1", Kind::Csv),
            ("id\t\"question\"\tanswer\n", Kind::Tsv),
            ("text\na", Kind::Csv),
            ("a text, with commas\n", Kind::Plain),
            ("[Chorus]\nLa la la\n", Kind::Plain),
            ("{curly} words", Kind::Plain),
            ("", Kind::Plain),
        ] {
            assert_eq!(
                Kind::of_text(text, &ReadOptions::default()),
                kind,
                "{text:?}"
            );
        }
        let options = ReadOptions {
            column: Some("body".to_string()),
            ..ReadOptions::default()
        };
        assert_eq!(Kind::of_text("id,body\n1,a", &options), Kind::Csv);
    }
}
