//! GGUF files (llama.cpp's model format, <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>), read as the
//! files of a Hugging Face folder.

#[allow(dead_code)] // the writer uses all of it
pub(crate) mod architectures;
mod config;
mod container;
mod cursor;
mod keys;
mod metadata;
#[allow(dead_code)] // the writer uses all of it
pub(crate) mod names;
mod rope;
pub(crate) mod split;
pub(crate) mod tokenizer;
#[allow(dead_code)] // the writer uses all of it
pub(crate) mod value;
pub(crate) mod value_heads;
mod value_rows;
mod weights;
#[cfg_attr(not(any(feature = "cli", feature = "web")), allow(dead_code))]
// only the program and the page export
pub(crate) mod write;

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use config::Description;
use container::{Gguf, TensorInfo};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use container::MAGIC;
pub(crate) use weights::GgufWeights;

/// A model in GGUF, as the files of a Hugging Face folder.
#[derive(Debug)]
pub(crate) struct GgufModel {
    /// `config.json`.
    pub config: Vec<u8>,
    /// `tokenizer.json`.
    pub tokenizer: Vec<u8>,
    /// `tokenizer_config.json`.
    pub tokenizer_config: Vec<u8>,
    /// `generation_config.json`.
    pub generation_config: Vec<u8>,
    /// Weights under the names that they have in the folder.
    pub weights: GgufWeights,
}

impl GgufModel {
    /// Reads the files of a model, each with its path for messages: one, or all parts of a split one in their
    /// order.
    ///
    /// # Errors
    ///
    /// [`Error::Weights`] for a damaged or unsupported file, [`Error::UnsupportedArchitecture`],
    /// [`Error::UnexpectedTensors`], [`Error::Config`] for metadata that is missing or unsupported, and
    /// [`Error::Tokenizer`].
    pub(crate) fn read(files: &[(&Path, &[u8])]) -> Result<Self> {
        let parsed = files.iter().map(|(path, bytes)| Gguf::parse(bytes, path));
        let mut parsed: Vec<Gguf> = parsed.collect::<Result<_>>()?;
        drop_equal_head(&mut parsed, files);
        let numbered = files.iter().zip(&parsed);
        for (number, ((path, _), gguf)) in numbered.enumerate() {
            split::check(&gguf.metadata, path, number, files.len())?;
        }
        let (Some(Gguf { metadata, .. }), Some((path, _))) = (parsed.first(), files.first()) else {
            return Err(Error::Weights {
                path: Path::new("model.gguf").to_path_buf(),
                message: "no files: expected at least one".to_string(),
            });
        };
        let factors = rope_factors(&parsed, files);
        let tensors = parsed.iter().flat_map(|gguf| &gguf.tensors);
        let description = Description::read(metadata, tensors, factors)?;
        let (architecture, heads) = (description.architecture, description.head_sizes()?);
        let config = Value::Object(description.config()?);
        let tokenizer = tokenizer::files(metadata, architecture)?;
        let infos = parsed.iter().map(|gguf| gguf.tensors.clone()).collect();
        Ok(Self {
            config: format!("{config:#}\n").into_bytes(),
            tokenizer: tokenizer.tokenizer,
            tokenizer_config: tokenizer.tokenizer_config,
            generation_config: tokenizer.generation_config,
            weights: GgufWeights::new(infos, architecture, heads, path)?,
        })
    }
}

/// Removes a head that equals the embedding, as some exports of tied models have it.
fn drop_equal_head(parsed: &mut [Gguf], files: &[(&Path, &[u8])]) {
    const HEAD: &str = "output.weight";
    let find = |name: &str| {
        let mut found = parsed.iter().zip(files);
        found.find_map(|(gguf, (_, bytes))| {
            let info = gguf.tensors.iter().find(|info| info.name == name)?;
            Some((info.kind, &info.shape, &bytes[info.bytes.clone()]))
        })
    };
    let head = find(HEAD);
    if head.is_some() && head == find("token_embd.weight") {
        for gguf in parsed {
            gguf.tensors.retain(|info| info.name != HEAD);
        }
    }
}

/// Returns the factors of the rotary frequencies, if the model has them.
fn rope_factors(parsed: &[Gguf], files: &[(&Path, &[u8])]) -> Option<Vec<f32>> {
    let mut found = parsed.iter().zip(files);
    found.find_map(|(gguf, (_, bytes))| {
        let is_factors = |info: &&TensorInfo| info.name == names::ROPE_FACTORS;
        let info = gguf.tensors.iter().find(is_factors)?;
        let mut values = vec![0.0; info.shape.iter().product()];
        info.kind.unpack(&bytes[info.bytes.clone()], &mut values);
        Some(values)
    })
}
