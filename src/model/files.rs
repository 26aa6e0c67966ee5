//! The files of a Hugging Face model: from a folder, embedded in the program, or passed as bytes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::file_bytes::FileBytes;
use super::file_names::{
    ADDED_TOKENS, COMPANIONS, CONFIG, GENERATION_CONFIG, INDEX, SPECIAL_TOKENS_MAP, TOKENIZER,
    TOKENIZER_CONFIG, VOCAB, WEIGHTS, WEIGHTS_ENDING,
};
use super::model_config::ModelConfig;
#[cfg(not(target_arch = "wasm32"))]
use super::other_formats::OtherWeights;
use super::python_json;
use super::tokenizer_files;
use super::weights;
use crate::error::{Error, Result};
use crate::gguf::{self, GgufModel, GgufWeights};
use crate::text::Tokenizer;

/// Display name of the embedded model.
pub const EMBEDDED_MODEL: &str = "minift-tales-360k (embedded)";

/// The files of a model.
#[derive(Debug)]
pub struct ModelFiles {
    /// Path of the folder or of the GGUF file, for messages.
    pub folder: PathBuf,
    /// `config.json`.
    pub config: FileBytes,
    /// `model.safetensors`, the shards that its index names, or GGUF files, each with its name.
    pub weights: Vec<(String, FileBytes)>,
    /// `tokenizer.json`; built from `vocab.json` and `merges.txt` for a model that has only those.
    pub tokenizer: FileBytes,
    /// Optional files that are copied into saved models: generation settings, chat template, license.
    pub companions: Vec<(&'static str, FileBytes)>,
    /// The weights, if `weights` are GGUF files.
    pub(super) gguf: Option<GgufWeights>,
}

impl ModelFiles {
    /// Reads the files of a folder, or a model in GGUF: its file, one of its parts, or a folder with nothing
    /// else.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the folder cannot be read, and the errors of [`Self::collect`] and
    /// [`Self::from_gguf`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        use std::fs;

        let metadata = fs::metadata(folder).map_err(Error::io("open the model folder", folder))?;
        if !metadata.is_dir() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            if metadata.is_file() && Self::is_gguf(folder) {
                return Self::read_gguf(folder);
            }
            if let Some(other) = OtherWeights::find([&*name].into_iter()) {
                return Err(Error::Weights {
                    path: folder.to_path_buf(),
                    message: other.advice(&parent(folder)),
                });
            }
            return Err(Error::Io {
                action: "open the model folder",
                path: folder.to_path_buf(),
                source: std::io::ErrorKind::NotADirectory.into(),
            });
        }
        if let Some(file) = Self::gguf_in(folder)? {
            return Self::read_gguf(&file);
        }
        let found = Self::collect(folder.to_path_buf(), |file| {
            let path = folder.join(file);
            if !path.exists() {
                Ok(None)
            } else if file.ends_with(WEIGHTS_ENDING) {
                FileBytes::map(&path).map(Some)
            } else {
                FileBytes::read(&path).map(Some)
            }
        });
        found.map_err(|error| match error {
            Error::MissingFile { file, .. } if file != TOKENIZER => {
                Self::other_weights(folder).unwrap_or(error)
            }
            error => error,
        })
    }

    /// Returns the error for a folder with weights in a format that is not read.
    #[cfg(not(target_arch = "wasm32"))]
    fn other_weights(folder: &Path) -> Option<Error> {
        let entries = std::fs::read_dir(folder)
            .ok()?
            .filter_map(|entry| entry.ok());
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        let other = OtherWeights::find(names.iter().map(String::as_str))?;
        Some(Error::Weights {
            path: folder.join(other.file),
            message: other.advice(&folder.display().to_string()),
        })
    }

    /// Checks one file of a folder on its own.
    ///
    /// # Errors
    ///
    /// The error that loading a model with this file would return, as far as the file alone determines it.
    pub fn check(folder: &Path, file: &str, bytes: &[u8]) -> Result<()> {
        let path = folder.join(file);
        match file {
            CONFIG => ModelConfig::parse(bytes, &path).map(drop),
            INDEX => shard_names(bytes, &path).map(drop),
            weights if weights.ends_with(WEIGHTS_ENDING) => weights::open(bytes, &path).map(drop),
            model
                if model.ends_with(gguf::split::ENDING) && gguf::split::names(model).is_none() =>
            {
                GgufModel::read(&[(&path, bytes)]).map(drop)
            }
            // The vocabulary size is known when the model is loaded.
            TOKENIZER => Tokenizer::parse(bytes, &path, usize::MAX).map(drop),
            GENERATION_CONFIG | TOKENIZER_CONFIG | SPECIAL_TOKENS_MAP | ADDED_TOKENS | VOCAB => {
                python_json::parse(bytes, &path).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Collects the files of a model, each returned by `find` for its name; `folder` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::MissingFile`] for a missing required file, [`Error::Parse`] or [`Error::Weights`] for an
    /// invalid index, and the errors of `find`.
    pub fn collect(
        folder: PathBuf,
        mut find: impl FnMut(&str) -> Result<Option<FileBytes>>,
    ) -> Result<Self> {
        let missing = |file| Error::MissingFile {
            folder: folder.clone(),
            file,
        };
        let config = find(CONFIG)?.ok_or_else(|| missing(CONFIG))?;
        let weights = match find(WEIGHTS)? {
            Some(weights) => vec![(WEIGHTS.to_string(), weights)],
            None => match find(INDEX)? {
                Some(index) => shards(&index, &folder.join(INDEX), &mut find)?,
                None => return Err(missing(WEIGHTS)),
            },
        };
        let tokenizer = find(TOKENIZER)?;
        let mut companions = Vec::new();
        for file in COMPANIONS {
            if let Some(bytes) = find(file)? {
                companions.push((file, bytes));
            }
        }
        let tokenizer = match tokenizer {
            Some(tokenizer) => tokenizer,
            None => {
                let find = |name: &str| {
                    let found = companions.iter().find(|(file, _)| *file == name);
                    found.map(|(_, bytes): &(_, FileBytes)| &**bytes)
                };
                let built = tokenizer_files::build(&folder, &config, find)?;
                FileBytes::InMemory(built.into())
            }
        };
        Ok(Self {
            folder,
            config,
            weights,
            tokenizer,
            companions,
            gguf: None,
        })
    }

    /// Returns the files of the embedded model, minift-tales-360k, which tells simple stories.
    pub fn embedded() -> Self {
        macro_rules! asset {
            ($file:literal) => {
                FileBytes::InMemory(Cow::Borrowed(include_bytes!(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/assets/minift-tales-360k/",
                    $file
                ))))
            };
        }
        Self {
            folder: PathBuf::from(EMBEDDED_MODEL),
            config: asset!("config.json"),
            weights: vec![(WEIGHTS.to_string(), asset!("model.safetensors"))],
            tokenizer: asset!("tokenizer.json"),
            companions: vec![
                (GENERATION_CONFIG, asset!("generation_config.json")),
                (TOKENIZER_CONFIG, asset!("tokenizer_config.json")),
            ],
            gguf: None,
        }
    }

    /// Returns an optional file, if the model has it.
    pub(super) fn companion(&self, name: &str) -> Option<&[u8]> {
        let found = self.companions.iter().find(|(file, _)| *file == name);
        found.map(|(_, bytes)| &**bytes)
    }

    /// Returns the object in an optional file, if the model has it.
    ///
    /// # Errors
    ///
    /// [`Error::Parse`] if the file is not a JSON object.
    pub(super) fn companion_json(&self, name: &str) -> Result<Option<Map<String, Value>>> {
        let bytes = self.companion(name);
        let json = bytes.map(|bytes| python_json::parse(bytes, &self.folder.join(name)));
        json.transpose()
    }

    /// Returns the path of `config.json`, for messages.
    pub fn config_path(&self) -> PathBuf {
        self.folder.join(CONFIG)
    }

    /// Returns the path of `model.safetensors`, of its index or of the GGUF file, for messages.
    pub fn weights_path(&self) -> PathBuf {
        if self.gguf.is_some() {
            return self.folder.clone();
        }
        let whole = self.weights.iter().any(|(name, _)| name == WEIGHTS);
        self.folder.join(if whole { WEIGHTS } else { INDEX })
    }

    /// Returns path and bytes of each weights file.
    pub(super) fn weights(&self) -> Vec<(PathBuf, &[u8])> {
        let files = self.weights.iter();
        files
            .map(|(name, bytes)| (self.folder.join(name), &**bytes))
            .collect()
    }

    /// Calls [`FileBytes::release`] for the weights.
    pub(super) fn release_weights(&self) {
        #[cfg(not(target_arch = "wasm32"))]
        self.weights.iter().for_each(|(_, bytes)| bytes.release());
    }

    /// Returns the path of `tokenizer.json`, for messages.
    pub fn tokenizer_path(&self) -> PathBuf {
        self.folder.join(TOKENIZER)
    }
}

/// Returns the folder of a file, for messages.
#[cfg(not(target_arch = "wasm32"))]
fn parent(file: &Path) -> String {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).display().to_string()
}

/// Collects the shards that an index names, in the order of their names.
fn shards(
    index: &[u8],
    path: &Path,
    mut find: impl FnMut(&str) -> Result<Option<FileBytes>>,
) -> Result<Vec<(String, FileBytes)>> {
    let mut files = Vec::new();
    for name in shard_names(index, path)? {
        let Some(bytes) = find(&name)? else {
            return Err(Error::Weights {
                path: path.to_path_buf(),
                message: format!(
                    "weight_map names {name}, which does not exist: download the model again"
                ),
            });
        };
        files.push((name, bytes));
    }
    Ok(files)
}

/// Returns the sorted names of the shards in the bytes of an index.
///
/// # Errors
///
/// [`Error::Parse`] for an invalid index, [`Error::Weights`] for one that names anything but safetensors
/// files of the same folder.
pub(crate) fn shard_names(index: &[u8], path: &Path) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let fault = |message: String| Error::Weights {
        path: path.to_path_buf(),
        message,
    };
    let index: Index =
        serde_json::from_slice(index).map_err(Error::parse(path, "an index of weights"))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    if names.is_empty() {
        return Err(fault("weight_map names no file".to_string()));
    }
    if let Some(name) = names.iter().find(|name| !is_shard_name(name)) {
        return Err(fault(format!(
            "weight_map names {name:?}: expected the name of a {WEIGHTS_ENDING} file"
        )));
    }
    Ok(names.into_iter().collect())
}

/// Returns whether a name is valid for a shard: it needs no escapes in a URL, and cannot leave a folder
/// on any platform.
fn is_shard_name(name: &str) -> bool {
    let is_character = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.bytes().all(is_character) && !name.starts_with('.') && name.ends_with(WEIGHTS_ENDING)
}
