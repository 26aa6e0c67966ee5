//! Loads models.

#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;
use std::sync::Arc;

use super::causal_lm::CausalLm;
use super::decoder::Decoder;
use super::files::ModelFiles;
use super::gguf_files;
use super::text_reader::TextReader;
use super::tied_head::TiedHead;
use super::unused::UnusedTensors;
use super::weights::{self, Naming};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::packed::Weight;
use crate::quantization::WeightType;

impl CausalLm {
    /// Loads a Hugging Face folder or a GGUF file onto a device.
    ///
    /// # Errors
    ///
    /// Errors that name the invalid file, field or tensor.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(folder: impl AsRef<Path>, device: &Device) -> Result<Self> {
        Self::from_files(ModelFiles::read(folder.as_ref())?, device)
    }

    /// Loads the embedded model, minift-tales-360k, onto a device.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn embedded(device: &Device) -> Result<Self> {
        Self::from_files(ModelFiles::embedded(), device)
    }

    /// Loads a model from its files onto a device. Weights stay in the type they are stored in, with the
    /// arithmetic in float32.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn from_files(files: ModelFiles, device: &Device) -> Result<Self> {
        Self::from_files_as(files, None, device)
    }

    /// Loads a model with its weights in another type, as [`Self::from_files`] with `None`. A matrix whose rows
    /// are not whole blocks of it stays in its own type.
    ///
    /// # Errors
    ///
    /// As [`Self::load`]; [`Error::InvalidSetting`] for a type that weights cannot be converted to.
    pub fn from_files_as(
        files: ModelFiles,
        weights: Option<WeightType>,
        device: &Device,
    ) -> Result<Self> {
        if let Some(kind) = weights.filter(|kind| !kind.is_written()) {
            let expected = "auto, float32, float16, bfloat16, q8_0 or q4_0";
            return Err(Error::setting("weights", kind, expected));
        }
        let mut reader = TextReader::new(files)?;
        if tied_head(&reader)? == TiedHead::Different {
            let names = reader.config().decoder.family.tensors;
            reader.notes.push(format!(
                "{} is true in config.json or by default, but the weights have a {}.weight that differs from the \
                 embedding: it is used, as in transformers 5",
                names.tie, names.head
            ));
            reader.config.untie();
        }
        let decoder = Decoder::new(reader.config().decoder.clone());
        let (parameters, notes) = parameters(&reader, &decoder, weights, device)?;
        reader.notes.extend(notes);
        let files = reader.files();
        for note in reader.notes() {
            log::warn!("{}: {note}", files.folder.display());
        }
        let folder = files.folder.to_string_lossy();
        Ok(Self {
            origin: folder.trim_end_matches(" (embedded)").into(),
            reader,
            decoder: Arc::new(decoder),
            parameters,
            adapter: None,
            untouched: None,
            converted: weights,
            device: device.clone(),
            save_type: None,
            is_as_loaded: true,
        })
    }

    /// Returns a model that is as its files have it with its weights read again, for a model whose values were
    /// dropped.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub(crate) fn reloaded(&self) -> Result<Self> {
        let (reader, decoder) = (&self.reader, &self.decoder);
        let (parameters, _) = parameters(reader, decoder, self.converted, &self.device)?;
        Ok(Self {
            parameters,
            ..self.clone()
        })
    }
}

/// Returns what the files have of a tied head.
fn tied_head(reader: &TextReader) -> Result<TiedHead> {
    // A GGUF file has a head only if it is not tied.
    if !reader.config().decoder.tie_word_embeddings || reader.files().gguf.is_some() {
        return Ok(TiedHead::Embedding);
    }
    TiedHead::find(&reader.files().weights(), &reader.config().decoder)
}

/// Reads the parameters of a decoder onto a device. Returns also notes on tensors that are ignored.
fn parameters(
    reader: &TextReader,
    decoder: &Decoder,
    weights: Option<WeightType>,
    device: &Device,
) -> Result<(Vec<Weight>, Vec<String>)> {
    let (files, config, specs) = (reader.files(), decoder.config(), decoder.parameters());
    if let Some(gguf) = &files.gguf {
        let weights = gguf_files::weights(files, gguf, decoder, weights, device.tensors())?;
        return Ok((weights, Vec::new()));
    }
    let names = config.family.tensors;
    let [embedding, head] = [names.embedding, names.head].map(|name| format!("{name}.weight"));
    let has_head_alone = tied_head(reader)? == TiedHead::HeadAlone;
    let tied_head = Some(head.clone()).filter(|_| config.tie_word_embeddings);
    let unneeded = decoder.unused_tensors().into_iter().chain(tied_head);
    let unneeded = unneeded.flat_map(|name| names.in_files(&name)).collect();
    let unused = UnusedTensors::new(names, unneeded);
    let in_files = files.weights();
    let naming = Naming {
        family: Some(names),
        renamed: has_head_alone.then_some((&*embedding, &*head)),
        may_ignore: &|name| unused.accept(name),
    };
    let path = files.weights_path();
    let tensors = weights::find_tensors(&in_files, &path, specs, &naming)?;
    let tensors = specs.iter().zip(tensors).map(|(spec, tensor)| {
        let weight = tensor.weight(spec, weights, device.tensors());
        files.release_weights();
        weight
    });
    let tensors = tensors.collect::<Result<_>>()?;
    Ok((tensors, unused.notes()))
}
