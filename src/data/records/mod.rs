//! Records out of the data files that people have: texts, prompts with completions, conversations.

mod compression;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
mod format;
mod json;
mod message;
mod names;
#[cfg(not(target_arch = "wasm32"))]
mod parquet;
#[cfg(not(target_arch = "wasm32"))]
mod pattern;
mod plain;
#[cfg(test)]
mod property_tests;
mod style;
mod table;

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
#[cfg(not(target_arch = "wasm32"))]
use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use format::{Format, Kind};

/// One sample as a file has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A text.
    Text(String),
    /// A text that is a whole file.
    Document(String),
    /// What is given and what should follow.
    Completion {
        /// What is given.
        prompt: String,
        /// What should follow.
        completion: String,
    },
    /// A conversation, kept as the file has it for the model's chat template.
    Conversation {
        /// Objects with a string `role`, and a `content` that is a string, a list of parts of type
        /// "text", or null beside `tool_calls`; other keys as they were.
        messages: Vec<Value>,
        /// The list of tools that the conversation may use.
        tools: Option<Value>,
        /// Where it stands, for messages.
        place: Place,
    },
}

impl Record {
    /// Characters that it has in all.
    pub fn characters(&self) -> usize {
        self.to_string().chars().count()
    }
}

/// As it is shown to people: a conversation as lines with the roles before what they say.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Document(text) => f.write_str(text),
            Self::Completion { prompt, completion } => write!(f, "{prompt}{completion}"),
            Self::Conversation { messages, .. } => {
                for (number, message) in messages.iter().enumerate() {
                    let before = if number > 0 { "\n" } else { "" };
                    let role = message["role"].as_str().unwrap_or_default();
                    write!(f, "{before}{role}: {}", message::text(message))?;
                }
                Ok(())
            }
        }
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: Arc<Path>,
    /// The line, or the row of a Parquet file, counted from 1.
    pub line: usize,
}

/// Records and what should be said about them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Records {
    /// In the order of the files, and of the lines in a file.
    pub records: Vec<Record>,
    /// What was left out, a sentence each, said once a file: keys that are not used, files of a
    /// folder that are not read.
    pub notes: Vec<String>,
    /// Files that were read.
    pub files: usize,
}

/// How data files are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Column of CSV, TSV and Parquet files, and key of JSON objects, that holds the text. None:
    /// detected by the names `text`, `prompt` with `completion`, and `messages`, in this order.
    /// Plain text has no columns.
    pub column: Option<String>,
}

impl Records {
    /// The records of one file.
    fn of_file(records: Vec<Record>, notes: Vec<String>) -> Self {
        Self {
            records,
            notes,
            files: 1,
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn append(&mut self, other: Self) {
        self.records.extend(other.records);
        self.notes.extend(other.notes);
        self.files += other.files;
    }
}

/// The records of a file, of a folder, or of the files that a pattern matches.
///
/// - `.txt`: samples separated by blank lines; `.md`: one sample.
/// - `.jsonl`, `.ndjson` and `.json` (a list, or one object after the other): objects with `text`,
///   with `prompt` and `completion`, or with `messages` and perhaps `tools`, all of a file alike.
/// - `.csv` and `.tsv` with a header: columns `text`, or `prompt` and `completion`.
/// - `.parquet`: columns as in JSON.
/// - Each but Parquet also compressed by gzip or zstd, as `.jsonl.gz` or `.jsonl.zst`.
/// - A folder: each `.txt` and `.md` file in it and in its folders is one sample, in the order of
///   their paths; hidden files, links and files of other kinds are left out.
/// - A pattern such as `data/*.jsonl` or `data/**/*.csv`: the files it matches, in the order of
///   their paths. What exists under the very name is no pattern.
///
/// Empty files have no records; it is for the caller to say that there is nothing to work on.
///
/// # Errors
///
/// [`Error::Io`]; [`Error::UnknownDataFormat`] for another kind of file; [`Error::DataLine`] with
/// the line that cannot be used; [`Error::DataFile`] for what is no single line's fault, such as a
/// damaged archive, a row of a Parquet file, a folder without texts, a pattern that matches nothing.
#[cfg(not(target_arch = "wasm32"))]
pub fn read_records(path: &Path, options: &ReadOptions) -> Result<Records> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => folder::read(path, options),
        Ok(_) => read_file(path, options),
        Err(_) if pattern::is_pattern(path) => pattern::read(path, options),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// The records of several paths, in their order.
///
/// # Errors
///
/// As [`read_records`].
#[cfg(not(target_arch = "wasm32"))]
pub fn read_all(paths: &[PathBuf], options: &ReadOptions) -> Result<Records> {
    let mut all = Records::default();
    for path in paths {
        all.append(read_records(path, options)?);
    }
    Ok(all)
}

/// Paths that were read together, for people.
#[cfg(any(feature = "cli", feature = "c"))]
pub(crate) fn paths_in_words(paths: &[PathBuf]) -> String {
    match paths {
        [] => String::new(),
        [path] => path.display().to_string(),
        [first, .., last] => {
            let (first, last) = (first.display(), last.display());
            format!("{} paths from {first} to {last}", paths.len())
        }
    }
}

/// The records in the bytes of one file; `path` tells its kind and is for messages.
///
/// # Errors
///
/// As [`read_records`], but for [`Error::Io`]. In a browser, Parquet files are not read.
pub fn parse_records(bytes: &[u8], path: &Path, options: &ReadOptions) -> Result<Records> {
    let format = Format::of(path)?;
    match format.kind {
        #[cfg(not(target_arch = "wasm32"))]
        Kind::Parquet => parquet::parse(bytes::Bytes::copy_from_slice(bytes), path, options),
        kind => {
            let bytes = match format.compression {
                Some(compression) => {
                    let size = bytes.len() as u64;
                    Cow::Owned(compression.expand(bytes, size, path)?)
                }
                None => Cow::Borrowed(bytes),
            };
            parse_text(&bytes, kind, path, options)
        }
    }
}

/// The records of one file.
#[cfg(not(target_arch = "wasm32"))]
fn read_file(path: &Path, options: &ReadOptions) -> Result<Records> {
    let format = Format::of(path)?;
    let bytes = format.read(path)?;
    match format.kind {
        Kind::Parquet => parquet::parse(bytes.into(), path, options),
        kind => parse_text(&bytes, kind, path, options),
    }
}

/// The records in the expanded bytes of a file of a text kind.
fn parse_text(bytes: &[u8], kind: Kind, path: &Path, options: &ReadOptions) -> Result<Records> {
    let text = plain::decode(bytes, path)?;
    match kind {
        Kind::Plain => Ok(plain::records(
            plain::split(text).into_iter().map(Record::Text),
            path,
            options,
        )),
        Kind::Markdown => Ok(plain::records(
            plain::document(text).map(Record::Document),
            path,
            options,
        )),
        Kind::JsonLines => json::parse_lines(text, path, options),
        Kind::Json => json::parse(text, path, options),
        Kind::Csv => table::parse(text, b',', path, options),
        Kind::Tsv => table::parse(text, b'\t', path, options),
        // Natively it never comes here: it is no text.
        Kind::Parquet => Err(Error::data_file(
            path,
            "Parquet files are not read here: convert it to .jsonl",
        )),
    }
}
