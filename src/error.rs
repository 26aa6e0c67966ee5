//! Everything that can go wrong, each with what was expected, what was got, where, and what to do.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong in minift.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
#[non_exhaustive]
pub enum Error {
    // Settings.
    /// A setting outside its range.
    #[error("{name} = {value} is not valid: expected {expected}")]
    InvalidSetting {
        /// Name of the setting.
        name: &'static str,
        /// The value that was given.
        value: String,
        /// What is valid.
        expected: String,
    },

    // Files.
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}{}", path.display(), advice_for(source))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },

    // The model folder.
    /// A model folder lacks a file.
    #[error(
        "{} has no {file}: a Hugging Face model folder holds config.json, model.safetensors and \
         tokenizer.json",
        folder.display()
    )]
    MissingFile {
        /// The folder.
        folder: PathBuf,
        /// The file that is missing.
        file: &'static str,
    },
    /// `config.json` cannot be used.
    #[error("{}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A model of a kind that minift does not know.
    #[error("architecture {found} is not supported; supported: {supported}")]
    UnsupportedArchitecture {
        /// As `config.json` names it.
        found: String,
        /// Those that are.
        supported: String,
    },
    /// The weights file is damaged or is no safetensors file.
    #[error("{}: {message}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Tensors that the architecture needs are not in the file.
    #[error("{} lacks {} of the model's tensors: {}", path.display(), names.len(), list(names))]
    MissingTensors {
        /// The file.
        path: PathBuf,
        /// The tensors' names.
        names: Vec<String>,
    },
    /// Tensors that the architecture does not have.
    #[error(
        "{} holds {} tensors that the model described by config.json does not have: {}",
        path.display(),
        names.len(),
        list(names)
    )]
    UnexpectedTensors {
        /// The file.
        path: PathBuf,
        /// The tensors' names.
        names: Vec<String>,
    },
    /// A tensor of another shape than the configuration says.
    #[error(
        "{}: tensor {name} has shape {found:?}, but config.json makes it {expected:?}",
        path.display()
    )]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The shape by the configuration.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor of a type that is not read.
    #[error(
        "{}: tensor {name} is of type {found}; read are F32, F16 and BF16",
        path.display()
    )]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Its type.
        found: String,
    },
    /// A weight that is not a finite number.
    #[error(
        "{}: tensor {name} holds {value} at element {index}: the model is damaged, download or \
         export it again",
        path.display()
    )]
    NonFiniteWeight {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Position in the tensor, counted flat.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The tokenizer cannot be read or used.
    #[error("{}: {message}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Tokenizer and model do not belong together.
    #[error(
        "the tokenizer makes token id {id}, but the model's vocabulary has {vocabulary} tokens \
         (0 to {}): tokenizer.json and model do not belong together",
        vocabulary - 1
    )]
    TokenBeyondVocabulary {
        /// The id.
        id: u32,
        /// The model's vocabulary size.
        vocabulary: usize,
    },

    /// A chat template that is not there, cannot be used, or refuses a conversation.
    #[error("{}: {message}", path.display())]
    ChatTemplate {
        /// The file that holds it, or that a model's template would be in.
        path: PathBuf,
        /// What is wrong, and what to do.
        message: String,
    },

    // Adapters.
    /// An adapter that cannot be used with this model.
    #[error("{}: {message}", path.display())]
    Adapter {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it, and what was expected.
        message: String,
    },

    // Data.
    /// A line or byte of a data file that cannot be used.
    #[error("{}:{line}: {message}", path.display())]
    DataLine {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and what was expected.
        message: String,
    },
    /// A data file, a folder of texts or a pattern that cannot be used as a whole.
    #[error("{}: {message}", path.display())]
    DataFile {
        /// The file, the folder or the pattern.
        path: PathBuf,
        /// What is wrong with it, and what was expected.
        message: String,
    },
    /// A data file of a kind that is not read.
    #[error(
        "{}: unknown kind of data file; read are .txt, .md, .jsonl, .ndjson, .json, .csv and .tsv \
         (each also with .gz or .zst after it) and .parquet",
        path.display()
    )]
    UnknownDataFormat {
        /// The file.
        path: PathBuf,
    },
    /// Nothing to work on.
    #[error(
        "{origin} holds no sample with at least two tokens and an answer among them ({skipped} shorter ones \
         skipped): nothing to predict"
    )]
    NoSamples {
        /// Where the samples were to come from.
        origin: String,
        /// Samples of fewer than two tokens.
        skipped: usize,
    },
    /// More samples were asked for than there are.
    #[error(
        "{requested} samples were asked for, but {origin} has {available} usable ones: ask for fewer or give more text"
    )]
    TooFewSamples {
        /// Where the samples were to come from.
        origin: String,
        /// As asked for.
        requested: usize,
        /// As found.
        available: usize,
    },

    // Comparisons.
    /// A recipe that cannot be used.
    #[error("{}: {message}", path.display())]
    Recipe {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, where, and what was expected.
        message: String,
    },

    // The Hugging Face Hub.
    /// The Hub gave no answer, and the cache holds no complete copy of the model.
    #[error(
        "cannot fetch {name}: {reason}, and {} holds no complete copy of it: check the connection \
         and run it again, or give a model folder",
        cache.display()
    )]
    HubUnreachable {
        /// The model.
        name: String,
        /// Why there was no answer.
        reason: String,
        /// The cache that was looked into.
        cache: PathBuf,
    },
    /// The Hub has no such model, or no such revision of it.
    #[error("cannot fetch {name}: {message}")]
    HubNotFound {
        /// The model.
        name: String,
        /// What is not there, and what to do.
        message: String,
    },
    /// The Hub does not let this user have the model.
    #[error("cannot fetch {name}: {message}")]
    HubDenied {
        /// The model.
        name: String,
        /// Why, and what to do.
        message: String,
    },
    /// A download that ended before the file was complete.
    #[error(
        "the download of {file} of {name} ended {}: {reason}; run it again to go on from there",
        after(*done, *size)
    )]
    HubInterrupted {
        /// The model.
        name: String,
        /// The file.
        file: String,
        /// Bytes that are kept.
        done: u64,
        /// Bytes of the whole file.
        size: u64,
        /// What ended it.
        reason: String,
    },
    /// A model that cannot be used as the Hub has it, or an answer that makes no sense.
    #[error("cannot fetch {name}: {message}")]
    Hub {
        /// The model.
        name: String,
        /// What is wrong, and what to do.
        message: String,
    },

    // Devices.
    /// The device that was asked for is not there.
    #[error("{message}")]
    Device {
        /// What was asked for, what is there, what to do.
        message: String,
    },

    // Runs.
    /// The loss became NaN or infinite.
    #[error("the loss became {loss} at step {step}: lower the learning rate{}", kept_state(*step, kept))]
    NonFiniteLoss {
        /// The step, counted from 1.
        step: usize,
        /// The loss.
        loss: f32,
        /// Checkpoint of the last good state.
        kept: Option<PathBuf>,
    },
    /// An output folder that would be overwritten.
    #[error("{} exists and is not empty: choose another folder, or --force to replace it when the new one is complete", path.display())]
    OutputExists {
        /// The folder.
        path: PathBuf,
    },
    /// A file of the teacher's hidden states that is not what its name says.
    #[error("{}: not the teacher's states of these samples: {message}; delete it", path.display())]
    TeacherStates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// An output that another process is writing.
    #[error("{} is being written by another minift: wait until it ends, or choose another place", path.display())]
    InUse {
        /// The file or folder.
        path: PathBuf,
    },
    /// A checkpoint that cannot be continued.
    #[error("{}: {message}", path.display())]
    Checkpoint {
        /// The checkpoint's folder or file.
        path: PathBuf,
        /// What is wrong with it, what to do.
        message: String,
    },
    /// A checkpoint was asked for in the middle of a step, whose future was dropped.
    #[error(
        "a training step was begun and its end not waited for: ask the run for its next event first"
    )]
    StepUnderWay,
}

impl Error {
    /// Name of the variant, for programs that cannot match on it.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    pub(crate) fn setting(
        name: &'static str,
        value: impl Display,
        expected: impl Into<String>,
    ) -> Self {
        Self::InvalidSetting {
            name,
            value: value.to_string(),
            expected: expected.into(),
        }
    }

    /// A data file that cannot be used as a whole.
    pub(crate) fn data_file(path: &Path, message: impl Into<String>) -> Self {
        Self::DataFile {
            path: path.to_path_buf(),
            message: message.into(),
        }
    }

    /// A line of a data file, counted from 1, that cannot be used.
    pub(crate) fn data_line(path: &Path, line: usize, message: impl Into<String>) -> Self {
        Self::DataLine {
            path: path.to_path_buf(),
            line,
            message: message.into(),
        }
    }

    /// For `map_err`: an input or output error with what was tried on which path.
    pub(crate) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// How far a download came. The size of a file is not known before its first byte.
fn after(done: u64, size: u64) -> String {
    match done {
        0 => "before its first byte".to_string(),
        done => format!("after {done} of {size} bytes, which are kept"),
    }
}

fn advice_for(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::StorageFull => {
            ": free some space and run it again; nothing that was there before is lost"
        }
        std::io::ErrorKind::PermissionDenied => ": check who owns it, or choose another place",
        _ => "",
    }
}

fn kept_state(step: usize, path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(String::new, |path| {
        format!(
            "; the state of step {} is kept in {}",
            step - 1,
            path.display()
        )
    })
}

/// The first few names.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}
