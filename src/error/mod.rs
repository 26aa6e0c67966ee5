//! The errors of the crate. Each message says what failed, where, what was expected and what to do.
//!
//! [`Display`](std::fmt::Display) leaves out the text of [`source`](std::error::Error::source); [`Error::report`] gives the
//! whole message.

mod report;

use std::path::PathBuf;

pub(crate) use report::counted;
use report::{after, kept_state, list, tensors};

/// The result type of the crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the crate.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of range or does not fit the others.
    #[error("invalid {name}: {value}, expected {expected}")]
    InvalidSetting {
        /// Name of the setting.
        name: &'static str,
        /// The invalid value.
        value: String,
        /// The valid values.
        expected: String,
    },

    /// Reading or writing a file or folder failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The attempted operation, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },

    /// A file is missing from a model folder.
    #[error(
        "{} is missing {file}: a Hugging Face model folder contains config.json, model.safetensors \
         and tokenizer.json",
        folder.display()
    )]
    MissingFile {
        /// The folder.
        folder: PathBuf,
        /// The missing file.
        file: &'static str,
    },
    /// `config.json` is invalid or unsupported.
    #[error("{}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The architecture of a model is unsupported.
    #[error("unsupported architecture {found}; supported: {supported}")]
    UnsupportedArchitecture {
        /// The architecture in `config.json`.
        found: String,
        /// The supported architectures.
        supported: String,
    },
    /// A weights file is inconsistent.
    #[error("{}: {message}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A file of a model or an adapter is not in its format.
    #[error("{}: not {format}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The expected format, for example "a JSON object".
        format: &'static str,
        /// The parser's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Tensors of the architecture are missing from the file.
    #[error("{}: missing {}: {}", path.display(), tensors(names), list(names))]
    MissingTensors {
        /// The file.
        path: PathBuf,
        /// The names of the tensors.
        names: Vec<String>,
    },
    /// The file contains tensors that are not part of the architecture.
    #[error(
        "{}: {} not part of the model in config.json: {}",
        path.display(),
        tensors(names),
        list(names)
    )]
    UnexpectedTensors {
        /// The file.
        path: PathBuf,
        /// The names of the tensors.
        names: Vec<String>,
    },
    /// The shape of a tensor differs from the configuration.
    #[error(
        "{}: tensor {name} has shape {found:?}, expected {expected:?} from config.json",
        path.display()
    )]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// The name of the tensor.
        name: String,
        /// The shape given by the configuration.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// The dtype of a tensor is unsupported.
    #[error(
        "{}: tensor {name} has unsupported dtype {found}; supported: F32, F16, BF16",
        path.display()
    )]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The name of the tensor.
        name: String,
        /// Its dtype.
        found: String,
    },
    /// A weight is NaN or infinite.
    #[error(
        "{}: tensor {name} contains {value} at element {index}: the file is damaged, download or \
         export it again",
        path.display()
    )]
    NonFiniteWeight {
        /// The file.
        path: PathBuf,
        /// The name of the tensor.
        name: String,
        /// The flat index of the element.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The tokenizer is invalid or unsupported.
    #[error("{}: {message}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A text has a token that the tokenizer knows and the model does not.
    #[error(
        "a text has token {id}, but the model has embeddings of {vocab_size} tokens (ids 0 to {}): remove \
         this token from the text, or use the tokenizer.json that belongs to the model",
        vocab_size - 1
    )]
    TokenBeyondVocabulary {
        /// The token id.
        id: u32,
        /// The vocabulary size of the model.
        vocab_size: usize,
    },

    /// A chat template is missing, invalid, or rejects a conversation.
    #[error("{}: {message}", path.display())]
    ChatTemplate {
        /// The file of the template, or where one was expected.
        path: PathBuf,
        /// What is wrong, and what to do.
        message: String,
    },

    /// An adapter does not fit the model.
    #[error("{}: {message}", path.display())]
    Adapter {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what was expected.
        message: String,
    },

    /// A line or byte of a data file is invalid.
    #[error("{}:{line}: {message}", path.display())]
    DataLine {
        /// The file.
        path: PathBuf,
        /// The line number, counted from 1.
        line: usize,
        /// What is wrong, and what was expected.
        message: String,
    },
    /// A data file, folder or pattern is unusable as a whole.
    #[error("{}: {message}", path.display())]
    DataFile {
        /// The file, folder or pattern.
        path: PathBuf,
        /// What is wrong, and what was expected.
        message: String,
    },
    /// The format of a data file is unsupported.
    #[error(
        "{}: unsupported file format; supported: .txt, .md, .jsonl, .ndjson, .json, .csv, .tsv and \
         .parquet (optionally with .gz or .zst)",
        path.display()
    )]
    UnknownDataFormat {
        /// The file.
        path: PathBuf,
    },
    /// A data set has no usable sample.
    #[error("no usable sample in {origin}: {reason}")]
    NoSamples {
        /// The origin of the samples.
        origin: String,
        /// Why, and what to do.
        reason: String,
    },
    /// More samples were requested than are available.
    #[error(
        "{} requested, but {origin} has only {available} usable: request fewer or provide more text",
        counted(*requested, "sample")
    )]
    TooFewSamples {
        /// The origin of the samples.
        origin: String,
        /// Number of requested samples.
        requested: usize,
        /// Number of usable samples.
        available: usize,
    },

    /// A recipe or a configuration is invalid.
    #[error("{}: {message}", path.display())]
    Recipe {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and what was expected.
        message: String,
    },

    /// The Hub is unreachable and the cache has no complete copy of the model or data set.
    #[error(
        "cannot download {name}: {reason}, and the cache in {} has no complete copy: check the \
         connection and retry, or use local files",
        cache.display()
    )]
    HubUnreachable {
        /// The model.
        name: String,
        /// Why the request failed.
        reason: String,
        /// The cache folder.
        cache: PathBuf,
    },
    /// The Hub has no such model or revision.
    #[error("cannot download {name}: {message}")]
    HubNotFound {
        /// The model.
        name: String,
        /// What is missing, and what to do.
        message: String,
    },
    /// The Hub denied access to the model.
    #[error("cannot download {name}: {message}")]
    HubDenied {
        /// The model.
        name: String,
        /// Why, and what to do.
        message: String,
    },
    /// A download was interrupted.
    #[error(
        "the download of {file} from {name} was interrupted {}: {reason}; retry to resume it",
        after(*done, *size)
    )]
    HubInterrupted {
        /// The model.
        name: String,
        /// The file.
        file: String,
        /// Number of bytes kept for the next attempt.
        done: u64,
        /// Size of the complete file in bytes.
        size: u64,
        /// What interrupted it.
        reason: String,
    },
    /// A model on the Hub is unusable, or the Hub's response is invalid.
    #[error("cannot download {name}: {message}")]
    Hub {
        /// The model.
        name: String,
        /// What is wrong, and what to do.
        message: String,
    },

    /// The device is unavailable or failed.
    #[error("{message}")]
    Device {
        /// What failed, what is available, and what to do.
        message: String,
    },

    /// A process of a training on several processes failed, or does not fit the others.
    #[error("rank {rank} on {host} {message}")]
    Rank {
        /// Its number.
        rank: usize,
        /// Its host.
        host: String,
        /// What it did, and what to do.
        message: String,
    },
    /// The loss became NaN or infinite.
    #[error("the loss became {loss} at step {step}: lower the learning rate{}", kept_state(*step, kept))]
    NonFiniteLoss {
        /// The step, counted from 1.
        step: usize,
        /// The loss.
        loss: f32,
        /// Checkpoint of the last finite state.
        kept: Option<PathBuf>,
    },
    /// The output folder already exists.
    #[error("{} already exists and is not empty", path.display())]
    OutputExists {
        /// The folder.
        path: PathBuf,
    },
    /// A file of teacher hidden states does not match the samples.
    #[error("{}: invalid teacher hidden states: {message}; delete the file", path.display())]
    TeacherStates {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Another process is writing the output.
    #[error("{} is in use by another minift process", path.display())]
    InUse {
        /// The file or folder.
        path: PathBuf,
    },
    /// A checkpoint cannot be resumed.
    #[error("{}: {message}", path.display())]
    Checkpoint {
        /// The file or folder of the checkpoint.
        path: PathBuf,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A checkpoint was requested while a step is in flight.
    #[error("a training step is still in flight: call `next()` first")]
    StepInFlight,
}
