//! Reads records from data files: texts, prompts with completions, conversations.

mod compression;
mod encoding;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
mod foreign;
mod format;
mod json;
mod message;
mod names;
mod options;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(not(target_arch = "wasm32"))]
mod pattern;
mod plain;
#[cfg(test)]
mod property_tests;
#[cfg(not(target_arch = "wasm32"))]
mod splits;
mod styles;
mod table;
mod test_file;
mod tools;

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
#[cfg(not(target_arch = "wasm32"))]
use std::{
    fs,
    io::{BufReader, Read},
    path::PathBuf,
};

use serde_json::Value;

use crate::error::{Error, Result};
use compression::Compression;
use format::{Format, Kind};
pub use options::ReadOptions;
#[cfg(feature = "hub")]
pub(crate) use splits::{DataFiles, Split, shard};
#[cfg(not(target_arch = "wasm32"))]
pub use test_file::read_test;
pub use test_file::{TestAnswer, TestQuestion, parse_test};

/// One record of a data file.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A text.
    Text(String),
    /// A text that is a whole file.
    Document(String),
    /// A prompt and its completion.
    Completion {
        /// The context that is given.
        prompt: String,
        /// The text to predict after it.
        completion: String,
    },
    /// A question with its answer: a conversation for models with a chat template, otherwise a prompt with
    /// its completion.
    Question {
        /// The conversation, as in [`Self::Conversation`].
        messages: Vec<Value>,
        /// The prompt for models without a chat template.
        prompt: String,
        /// The answer.
        completion: String,
        /// Its position in the file, for messages.
        place: Place,
    },
    /// A conversation for the model's chat template.
    Conversation {
        /// Objects with a string `role`, and a `content` that is a string, a list of parts of type
        /// "text", or null alongside `tool_calls`; other keys are kept, unless they are null. A message
        /// with a `weight` of 0 is not trained.
        messages: Vec<Value>,
        /// The list of available tools.
        tools: Option<Value>,
        /// Its position in the file, for messages.
        place: Place,
    },
}

impl Record {
    /// Number of characters.
    pub fn characters(&self) -> usize {
        self.to_string().chars().count()
    }
}

/// Displays the text; a conversation as one `role: content` line per message.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Document(text) => f.write_str(text),
            Self::Completion { prompt, completion } => write!(f, "{prompt}{completion}"),
            Self::Conversation { messages, .. } | Self::Question { messages, .. } => {
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

/// A position in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: Arc<Path>,
    /// The line, or the row of a Parquet file, counted from 1.
    pub line: usize,
}

/// Records, and notes about reading them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Records {
    /// The records, in the order of the files and of the lines in each.
    pub records: Vec<Record>,
    /// What was skipped, as one sentence per file: unused keys, files of a folder that are not read.
    pub notes: Vec<String>,
    /// Number of files read.
    pub files: usize,
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

    /// Appends the records and notes of other files.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn append(&mut self, other: Self) {
        self.records.extend(other.records);
        self.notes.extend(other.notes);
        self.files += other.files;
    }
}

/// Reads the records of a file, a folder, or the files that a pattern matches.
///
/// - `.txt`: texts separated by blank lines; `.md`: one text.
/// - `.jsonl`, `.ndjson` and `.json` (a list, or concatenated values): objects with `text`, with `prompt` and
///   `completion`, with `messages`, or in the style of ShareGPT, Alpaca or questions with answers; or strings.
///   All objects of a file have the style of the first.
/// - `.csv` and `.tsv` with a header, and `.parquet`: columns as in JSON; lists may be JSON strings.
/// - Each may be compressed with gzip or zstd, under any name. A file without an extension is detected by its
///   content. UTF-16 is read if it has a byte order mark.
/// - A folder with files named like splits, such as `train.jsonl` and `valid.jsonl`: those of one split.
/// - Any other folder: each `.txt` and `.md` file in it and its subfolders is one text, sorted by path; hidden
///   files, links and files of other formats are skipped.
/// - A pattern such as `data/*.jsonl` or `data/**/*.csv`: the files it matches, sorted by path. A path
///   that exists is not a pattern.
///
/// Empty files have no records.
///
/// # Errors
///
/// [`Error::InvalidSetting`] for options that contradict each other; [`Error::Io`];
/// [`Error::UnknownDataFormat`] for another format; [`Error::DataLine`] for an invalid line;
/// [`Error::DataFile`] for other errors, such as a damaged compressed file, an invalid row of a Parquet file,
/// a folder without texts, or a pattern without matches.
#[cfg(not(target_arch = "wasm32"))]
pub fn read_records(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Records> {
    let path = path.as_ref();
    options.check()?;
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => folder::read(path, options),
        Ok(_) => read_file(path, options),
        Err(_) if pattern::is_pattern(path) => pattern::read(path, options),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// Returns the names of the splits of a folder with files such as `train.jsonl` and `valid.jsonl`, in the
/// order `train`, `validation`, `test`, others. None for other paths.
///
/// # Errors
///
/// [`Error::Io`].
#[cfg(not(target_arch = "wasm32"))]
pub fn splits_of(path: impl AsRef<Path>) -> Result<Vec<String>> {
    let path = path.as_ref();
    match path.is_dir() {
        true => folder::splits(path),
        false => Ok(Vec::new()),
    }
}

/// Reads the records of several paths, in order.
///
/// # Errors
///
/// Those of [`read_records`].
#[cfg(not(target_arch = "wasm32"))]
pub fn read_all(paths: &[PathBuf], options: &ReadOptions) -> Result<Records> {
    let mut all = Records::default();
    for path in paths {
        all.append(read_records(path, options)?);
    }
    Ok(all)
}

/// Describes a list of paths.
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

/// Parses the bytes of one file; `path` determines its format and is for messages.
///
/// # Errors
///
/// Those of [`read_records`] except [`Error::Io`]. Parquet requires the feature `parquet`.
pub fn parse_records(
    bytes: &[u8],
    path: impl AsRef<Path>,
    options: &ReadOptions,
) -> Result<Records> {
    let path = path.as_ref();
    options.check()?;
    let format = Format::of(path).map_err(|error| not_data(error, bytes, path))?;
    let bytes = match Compression::of_bytes(bytes) {
        Some(_) => Cow::Owned(format::content(bytes, bytes.len() as u64, path)?),
        None => Cow::Borrowed(bytes),
    };
    parse_content(bytes, format, path, options)
}

/// The records of one file.
#[cfg(not(target_arch = "wasm32"))]
fn read_file(path: &Path, options: &ReadOptions) -> Result<Records> {
    let format = Format::of(path).or_else(|error| {
        let mut start = [0; 512];
        let file = fs::File::open(path).map_err(Error::io("read", path))?;
        let read = file
            .take(512)
            .read(&mut start)
            .map_err(Error::io("read", path))?;
        Err(not_data(error, &start[..read], path))
    })?;
    parse_content(Cow::Owned(read_bytes(path)?), format, path, options)
}

/// Reads a file, and decompresses it if it is compressed.
#[cfg(not(target_arch = "wasm32"))]
fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let file = fs::File::open(path).map_err(Error::io("read", path))?;
    let size = file.metadata().map_err(Error::io("read", path))?.len();
    format::content(BufReader::new(file), size, path)
}

/// Names a file of an unknown format, if its first bytes are known.
fn not_data(error: Error, start: &[u8], path: &Path) -> Error {
    match foreign::describe(start) {
        Some(what) => Error::data_file(path, what),
        None => error,
    }
}

/// Parses the decompressed bytes of a file.
fn parse_content(
    bytes: Cow<'_, [u8]>,
    format: Format,
    path: &Path,
    options: &ReadOptions,
) -> Result<Records> {
    if let Some(what) = foreign::describe(&bytes) {
        return Err(Error::data_file(path, what));
    }
    let is_parquet = bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1");
    if is_parquet || format.kind == Some(Kind::Parquet) {
        return parse_parquet(bytes, path, options);
    }
    let text = encoding::decode(&bytes, path, format.compression)?;
    match format.kind {
        Some(kind) => parse_text(&text, kind, path, options),
        None => {
            let kind = Kind::of_text(&text, options);
            let mut records = parse_text(&text, kind, path, options)?;
            let note = format!(
                "{}: read as {}, by its content",
                path.display(),
                kind.name()
            );
            records.notes.insert(0, note);
            Ok(records)
        }
    }
}

#[cfg(feature = "parquet")]
fn parse_parquet(bytes: Cow<'_, [u8]>, path: &Path, options: &ReadOptions) -> Result<Records> {
    parquet::parse(bytes.into_owned().into(), path, options)
}

/// Without the feature `parquet`.
#[cfg(not(feature = "parquet"))]
fn parse_parquet(_: Cow<'_, [u8]>, path: &Path, _: &ReadOptions) -> Result<Records> {
    Err(Error::data_file(
        path,
        "this build does not support Parquet: convert the file to .jsonl",
    ))
}

/// Parses a text file.
fn parse_text(text: &str, kind: Kind, path: &Path, options: &ReadOptions) -> Result<Records> {
    let plain = |texts: Vec<Record>| Ok(plain::records(texts, path, options));
    match kind {
        Kind::Plain => plain(plain::split(text).into_iter().map(Record::Text).collect()),
        Kind::Markdown => plain(
            plain::document(text)
                .map(Record::Document)
                .into_iter()
                .collect(),
        ),
        Kind::JsonLines => json::parse_lines(text, path, options),
        // Parquet is no text, and read before.
        Kind::Json | Kind::Parquet => json::parse(text, path, options),
        Kind::Csv => table::parse(text, b',', path, options),
        Kind::Tsv => table::parse(text, b'\t', path, options),
    }
}
