//! The files of a Hugging Face model folder, wherever they come from: a folder, the program itself,
//! or the bytes that a page was given.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::config::ModelConfig;
use super::weights;
use crate::data::Tokenizer;
use crate::error::{Error, Result};

/// Name of the model that is part of the program, for people and reports.
pub const EMBEDDED_MODEL: &str = "minift-tales-360k (embedded)";

/// Bytes of a file: mapped into memory, built into the program, or owned.
#[derive(Debug)]
pub enum FileBytes {
    /// A mapped file.
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(memmap2::Mmap),
    /// Bytes in memory.
    InMemory(Cow<'static, [u8]>),
}

/// The largest file that is read as a whole: many times that of the largest vocabularies.
#[cfg(not(target_arch = "wasm32"))]
const LARGEST_READ: u64 = 256 << 20;

#[cfg(not(target_arch = "wasm32"))]
impl FileBytes {
    /// Reads a file other than weights.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let read = || -> std::io::Result<Vec<u8>> {
            let length = length_of_file(path)?;
            if length > LARGEST_READ {
                let message = format!("it has {length} bytes, of {LARGEST_READ} at most");
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

    /// Maps a file into memory.
    pub(crate) fn map(path: &Path) -> Result<Self> {
        length_of_file(path).map_err(Error::io("open", path))?;
        let file = std::fs::File::open(path).map_err(Error::io("open", path))?;
        let length = file.metadata().map_err(Error::io("open", path))?.len();
        if length == 0 {
            return Ok(Self::InMemory(Cow::Borrowed(&[])));
        }
        // SAFETY: the map is read-only; like every reader of mapped weights (safetensors' own included)
        // it relies on nobody truncating the file while it is being read.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io("read", path))?;
        Ok(Self::Mapped(map))
    }
}

/// The length of what is a file, also at the end of a link, as in the Hub's cache. To open a pipe would
/// be to wait for whoever writes to it; a device has no end.
#[cfg(not(target_arch = "wasm32"))]
fn length_of_file(path: &Path) -> std::io::Result<u64> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        let message = "it is a folder, a pipe or a device: expected a file";
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

/// The files of a model.
#[derive(Debug)]
pub struct ModelFiles {
    /// Where they are, for messages.
    pub folder: PathBuf,
    /// `config.json`.
    pub config: FileBytes,
    /// `model.safetensors`, or the files that its index names, each with its name.
    pub weights: Vec<(String, FileBytes)>,
    /// `tokenizer.json`.
    pub tokenizer: FileBytes,
    /// Small files that are copied along into what is written: generation settings, chat templates.
    pub companions: Vec<(&'static str, FileBytes)>,
}

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const WEIGHTS_ENDING: &str = ".safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// Files that belong to a model but are not needed to run it.
pub(crate) const COMPANIONS: [&str; 9] = [
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "LICENSE",
];

impl ModelFiles {
    /// The files of a folder.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the folder cannot be read, and those of [`Self::collect`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(folder: &Path) -> Result<Self> {
        use std::fs;

        let metadata = fs::metadata(folder).map_err(Error::io("open the model folder", folder))?;
        if !metadata.is_dir() {
            return Err(Error::Io {
                action: "open the model folder",
                path: folder.to_path_buf(),
                source: std::io::ErrorKind::NotADirectory.into(),
            });
        }
        Self::collect(folder.to_path_buf(), |file| {
            let path = folder.join(file);
            if !path.exists() {
                Ok(None)
            } else if file.ends_with(WEIGHTS_ENDING) {
                FileBytes::map(&path).map(Some)
            } else {
                FileBytes::read(&path).map(Some)
            }
        })
    }

    /// Looks at one file of a folder by itself: whether it is what its name says.
    ///
    /// # Errors
    ///
    /// Those that loading a model with this file would end with, as far as it alone tells.
    pub fn check(folder: &Path, file: &str, bytes: &[u8]) -> Result<()> {
        let path = folder.join(file);
        match file {
            CONFIG => ModelConfig::parse(bytes, &path).map(drop),
            INDEX => names_of_parts(bytes, &path).map(drop),
            weights if weights.ends_with(WEIGHTS_ENDING) => weights::open(bytes, &path).map(drop),
            // Whether its tokens are the model's shows when all files are there.
            TOKENIZER => Tokenizer::parse(bytes, &path, usize::MAX).map(drop),
            _ => Ok(()),
        }
    }

    /// The files that `find` finds by name, from wherever it has them; `folder` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::MissingFile`] if a needed file is not there, [`Error::Weights`] for an index that
    /// cannot be followed, and the errors of `find`.
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
                Some(index) => parts(&index, &folder.join(INDEX), &mut find)?,
                None => return Err(missing(WEIGHTS)),
            },
        };
        let tokenizer = find(TOKENIZER)?.ok_or_else(|| missing(TOKENIZER))?;
        let mut companions = Vec::new();
        for file in COMPANIONS {
            if let Some(bytes) = find(file)? {
                companions.push((file, bytes));
            }
        }
        Ok(Self {
            folder,
            config,
            weights,
            tokenizer,
            companions,
        })
    }

    /// The model that is part of the program: minift-tales-360k, which tells simple stories.
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
                ("generation_config.json", asset!("generation_config.json")),
                ("tokenizer_config.json", asset!("tokenizer_config.json")),
            ],
        }
    }

    /// One of the small files, if it is there.
    pub(super) fn companion(&self, name: &str) -> Option<&[u8]> {
        let found = self.companions.iter().find(|(file, _)| *file == name);
        found.map(|(_, bytes)| &**bytes)
    }

    /// Path of `config.json`, for messages.
    pub fn config_path(&self) -> PathBuf {
        self.folder.join(CONFIG)
    }

    /// Path of `model.safetensors`, or of its index, for messages.
    pub fn weights_path(&self) -> PathBuf {
        let whole = self.weights.iter().any(|(name, _)| name == WEIGHTS);
        self.folder.join(if whole { WEIGHTS } else { INDEX })
    }

    /// Path and bytes of each file of weights.
    pub(super) fn weights(&self) -> Vec<(PathBuf, &[u8])> {
        let files = self.weights.iter();
        files
            .map(|(name, bytes)| (self.folder.join(name), &**bytes))
            .collect()
    }

    /// Path of `tokenizer.json`, for messages.
    pub fn tokenizer_path(&self) -> PathBuf {
        self.folder.join(TOKENIZER)
    }
}

/// The files of weights that an index names, in the order of their names.
fn parts(
    index: &[u8],
    path: &Path,
    mut find: impl FnMut(&str) -> Result<Option<FileBytes>>,
) -> Result<Vec<(String, FileBytes)>> {
    let mut files = Vec::new();
    for name in names_of_parts(index, path)? {
        let Some(bytes) = find(&name)? else {
            return Err(Error::Weights {
                path: path.to_path_buf(),
                message: format!(
                    "its weight_map names {name}, which is not there: download the model again"
                ),
            });
        };
        files.push((name, bytes));
    }
    Ok(files)
}

/// The names of the files of weights in the bytes of an index, in order.
///
/// # Errors
///
/// [`Error::Weights`] for an index that cannot be followed, one that names anything but plain files
/// of weights among them.
pub(crate) fn names_of_parts(index: &[u8], path: &Path) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let fault = |message: String| Error::Weights {
        path: path.to_path_buf(),
        message,
    };
    let index: Index = serde_json::from_slice(index).map_err(|error| {
        fault(format!(
            "not an index of weights: {error}; download it again"
        ))
    })?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    if names.is_empty() {
        return Err(fault("its weight_map names no file".to_string()));
    }
    if let Some(name) = names.iter().find(|name| !is_name_of_part(name)) {
        return Err(fault(format!(
            "its weight_map names {name:?}: expected the name of a {WEIGHTS_ENDING} file"
        )));
    }
    Ok(names.into_iter().collect())
}

/// Whether a name is that of a file of weights: one that needs no escapes in an address and cannot
/// lead out of a folder on any system.
fn is_name_of_part(name: &str) -> bool {
    let is_character = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.bytes().all(is_character) && !name.starts_with('.') && name.ends_with(WEIGHTS_ENDING)
}
