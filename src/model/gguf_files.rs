//! Models in GGUF: which files belong to one, and their weights as parameters.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::decoder::Decoder;
use super::file_bytes::FileBytes;
use super::file_names::{GENERATION_CONFIG, TOKENIZER_CONFIG};
#[cfg(not(target_arch = "wasm32"))]
use super::file_names::{INDEX, WEIGHTS};
use super::files::ModelFiles;
use super::stored::StoredTensor;
use crate::error::{Error, Result};
use crate::gguf::{GgufModel, GgufWeights};
#[cfg(not(target_arch = "wasm32"))]
use crate::gguf::{MAGIC, split};
use crate::kernels::packed::Weight;
use crate::quantization::WeightType;

impl ModelFiles {
    /// Returns the files of a model in GGUF, given the bytes of its file, or of all parts in the order of their
    /// numbers, each with its name. `path` is that of the first, for messages and as the model's name.
    ///
    /// # Errors
    ///
    /// Errors that name the invalid file, metadata or tensor.
    pub fn from_gguf(path: PathBuf, files: Vec<(String, FileBytes)>) -> Result<Self> {
        let named = files
            .iter()
            .map(|(name, bytes)| (path.with_file_name(name), &**bytes));
        let named: Vec<(PathBuf, &[u8])> = named.collect();
        let read: Vec<(&Path, &[u8])> = named
            .iter()
            .map(|(path, bytes)| (&**path, *bytes))
            .collect();
        let model = GgufModel::read(&read)?;
        let in_memory = |bytes: Vec<u8>| FileBytes::InMemory(Cow::Owned(bytes));
        Ok(Self {
            folder: path,
            config: in_memory(model.config),
            weights: files,
            tokenizer: in_memory(model.tokenizer),
            companions: vec![
                (GENERATION_CONFIG, in_memory(model.generation_config)),
                (TOKENIZER_CONFIG, in_memory(model.tokenizer_config)),
            ],
            gguf: Some(model.weights),
        })
    }

    /// Returns whether a regular file is a model in GGUF: by the end of its name or its first bytes.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn is_gguf(path: &Path) -> bool {
        use std::io::Read;

        let mut bytes = [0; MAGIC.len()];
        let mut begins = || {
            let file = std::fs::File::open(path);
            let read = file.and_then(|mut file| file.read_exact(&mut bytes));
            read.is_ok() && bytes == *MAGIC
        };
        path.to_string_lossy().ends_with(split::ENDING) || begins()
    }

    /// Reads the model that a GGUF file belongs to: that file, or all parts of a split one.
    ///
    /// # Errors
    ///
    /// [`Error::Weights`] for missing parts, [`Error::Io`], and the errors of [`Self::from_gguf`].
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn read_gguf(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let names = split::names(&name).unwrap_or_else(|| vec![name.into_owned()]);
        let missing = names
            .iter()
            .filter(|name| !path.with_file_name(name).exists());
        let missing: Vec<&str> = missing.map(String::as_str).collect();
        if !missing.is_empty() {
            let more = missing.len() - 1;
            let and = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            return Err(Error::Weights {
                path: path.to_path_buf(),
                message: format!(
                    "one of {} parts, of which {}{and} is missing: put all parts into one folder",
                    names.len(),
                    missing[0]
                ),
            });
        }
        let map = |name: String| Ok((name.clone(), FileBytes::map(&path.with_file_name(name))?));
        let first = path.with_file_name(&names[0]);
        Self::from_gguf(first, names.into_iter().map(map).collect::<Result<_>>()?)
    }

    /// Returns the GGUF file of a folder without weights in safetensors, or the first part of a split one.
    ///
    /// # Errors
    ///
    /// [`Error::Weights`] if the folder has several models.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn gguf_in(folder: &Path) -> Result<Option<PathBuf>> {
        let has = |name: &str| folder.join(name).exists();
        if has(WEIGHTS) || has(INDEX) {
            return Ok(None);
        }
        let Ok(entries) = std::fs::read_dir(folder) else {
            return Ok(None);
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let is_model = |name: &String| {
            // The vision part of a model, which text does not need.
            let is_projector = name.starts_with("mmproj");
            name.to_ascii_lowercase().ends_with(split::ENDING) && !is_projector
        };
        let mut models: Vec<String> = names
            .filter(is_model)
            .map(|name| match split::names(&name) {
                Some(parts) => parts[0].clone(),
                None => name,
            })
            .collect();
        models.sort();
        models.dedup();
        match &*models {
            [] => Ok(None),
            [one] => Ok(Some(folder.join(one))),
            several => Err(Error::Weights {
                path: folder.to_path_buf(),
                message: format!(
                    "{} models in GGUF: give the path of one, such as {}",
                    several.len(),
                    folder.join(&several[0]).display()
                ),
            }),
        }
    }
}

/// Returns the weights of a decoder on a device, as they are stored or in the `wanted` type.
///
/// # Errors
///
/// Errors that name a missing, unexpected or damaged tensor, or one of another shape.
pub(super) fn weights(
    files: &ModelFiles,
    gguf: &GgufWeights,
    decoder: &Decoder,
    wanted: Option<WeightType>,
    device: &Device,
) -> Result<Vec<Weight>> {
    let path = files.weights_path();
    let specs = decoder.parameters();
    let mut names = gguf.names();
    let unused = decoder.unused_tensors();
    names.retain(|name| !unused.contains(name));
    let missing = specs.iter().map(|spec| spec.name.clone());
    let missing: Vec<String> = missing.filter(|name| !names.contains(name)).collect();
    if !missing.is_empty() {
        return Err(Error::MissingTensors {
            path,
            names: missing,
        });
    }
    let mut extra = names;
    extra.retain(|name| specs.iter().all(|spec| spec.name != *name));
    if !extra.is_empty() {
        return Err(Error::UnexpectedTensors { path, names: extra });
    }
    let bytes: Vec<&[u8]> = files.weights.iter().map(|(_, bytes)| &**bytes).collect();
    let mut weights = Vec::with_capacity(specs.len());
    for spec in specs {
        // One tensor at a time, since some are copied into another order.
        let Some(tensor) = gguf.tensor(&bytes, &spec.name)? else {
            let names = vec![spec.name.clone()];
            return Err(Error::MissingTensors { path, names });
        };
        let tensor = StoredTensor {
            name: spec.name.clone(),
            path: &path,
            kind: tensor.kind,
            shape: tensor.shape.into(),
            bytes: tensor.bytes,
        };
        tensor.check_shape(spec)?;
        weights.push(tensor.weight(spec, wanted, device)?);
        files.release_weights();
    }
    Ok(weights)
}
