//! A causal language model: decoder, parameters, tokenizer and configuration.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::batch::Batch;
use super::decoder::Decoder;
use super::files::ModelFiles;
use super::gguf_files;
use super::inputs::{Inputs, Weights};
use super::model_config::ModelConfig;
use super::multimodal;
use super::parameters::{ParameterSpec, Parameters};
use super::save_type::SaveType;
use super::text_reader::TextReader;
use super::tied_head::TiedHead;
use super::weights::{self, Naming};
use crate::device::Device;
use crate::error::{Error, Result, counted};
use crate::kernels::distillation::{DEFAULT_TILE_BYTES, Objective, Predictions, distillation_loss};
use crate::kernels::packed::Weight;
use crate::model::adapter::Adapter;
use crate::quantization::WeightType;
use crate::text::Tokenizer;

/// A loaded language model. Clones share the parameters.
#[derive(Clone, Debug)]
pub struct CausalLm {
    pub(super) reader: TextReader,
    pub(super) decoder: Arc<Decoder>,
    pub(super) parameters: Vec<Weight>,
    pub(super) adapter: Option<Adapter>,
    /// The model without its adapter, where that replaces or unties weights.
    pub(super) untouched: Option<Arc<CausalLm>>,
    /// Folder or Hub name that it was loaded from, which adapters record.
    pub(super) origin: Arc<str>,
    /// The type that the weights were converted to when they were loaded.
    pub(super) converted: Option<WeightType>,
    pub(super) device: Device,
    /// The type in which it is saved, instead of the types of its files.
    pub(super) save_type: Option<SaveType>,
}

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
        let names = reader.config().decoder.family.tensors;
        let [embedding, head] = [names.embedding, names.head].map(|name| format!("{name}.weight"));
        let mut renamed = None;
        // A GGUF file has a head only if it is not tied.
        if reader.config.decoder.tie_word_embeddings && reader.files().gguf.is_none() {
            match TiedHead::find(&reader.files().weights(), &reader.config.decoder)? {
                TiedHead::Embedding => {}
                TiedHead::HeadAlone => renamed = Some((&*embedding, &*head)),
                TiedHead::Different => {
                    reader.notes.push(format!(
                        "{} is true in config.json or by default, but the weights have a {head} that differs from \
                         the embedding: it is used, as in transformers 5",
                        names.tie
                    ));
                    reader.config.untie();
                }
            }
        }
        let (files, config) = (reader.files(), &reader.config().decoder);
        let decoder = Decoder::new(config.clone());
        let tied_heads = match config.tie_word_embeddings {
            true => names.in_files(&head),
            false => Vec::new(),
        };
        let of_images = Cell::new(0);
        let specs = decoder.parameters();
        let parameters = match &files.gguf {
            Some(gguf) => gguf_files::weights(files, gguf, specs, weights, device.tensors())?,
            None => {
                let in_files = files.weights();
                let naming = Naming {
                    family: Some(names),
                    renamed,
                    may_ignore: &|name| {
                        let is_of_images = multimodal::is_of_images(name);
                        of_images.update(|count: usize| count + usize::from(is_of_images));
                        is_of_images
                            || tied_heads.iter().any(|head| head == name)
                            || names.ignored.iter().any(|ending| name.ends_with(ending))
                    },
                };
                let path = files.weights_path();
                let tensors = weights::find_tensors(&in_files, &path, specs, &naming)?;
                let tensors = specs.iter().zip(tensors);
                tensors
                    .map(|(spec, tensor)| {
                        let weight = tensor.weight(spec, weights, device.tensors());
                        files.release_weights();
                        weight
                    })
                    .collect::<Result<_>>()?
            }
        };
        if of_images.get() > 0 {
            reader.notes.push(format!(
                "a model of text and images: {} for images ignored, and only the text model is saved",
                counted(of_images.get(), "tensor")
            ));
        }
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
        })
    }

    /// Returns the model with other trainable values, in the order of [`Self::trainable_parameters`].
    pub fn with_trainable_values(&self, values: Parameters) -> Self {
        match &self.adapter {
            Some(adapter) => Self {
                adapter: Some(adapter.with_values(values)),
                ..self.clone()
            },
            None => Self {
                parameters: values.into_iter().map(Weight::from).collect(),
                ..self.clone()
            },
        }
    }

    /// Returns the model with its trainable values tracked by autodiff, and those values.
    pub(crate) fn tracked(&self) -> (Self, Parameters) {
        let values: Parameters = self
            .trainable_values()
            .into_iter()
            .map(|value| value.autodiff().require_grad())
            .collect();
        let frozen = Self {
            parameters: self.parameters.iter().map(Weight::autodiff).collect(),
            ..self.clone()
        };
        (frozen.with_trainable_values(values.clone()), values)
    }

    /// Returns the model with only the weights of its head, which turn hidden states into logits.
    pub(crate) fn only_head(&self) -> Self {
        let head = self.decoder.head_parameters();
        self.keeping(|parameter| head.contains(&parameter))
    }

    /// Returns the model without the values of its weights.
    pub(crate) fn without_values(&self) -> Self {
        self.keeping(|_| false)
    }

    fn keeping(&self, keeps: impl Fn(usize) -> bool) -> Self {
        let nothing = Weight::from(Tensor::zeros([1, 1], &self.tensor_device()));
        let parameters = self.parameters.iter().enumerate();
        Self {
            parameters: parameters
                .map(|(index, weight)| if keeps(index) { weight } else { &nothing }.clone())
                .collect(),
            ..self.clone()
        }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &ModelConfig {
        self.reader.config()
    }

    /// Returns the part that reads text.
    pub fn reader(&self) -> &TextReader {
        &self.reader
    }

    /// Returns notes about the model's files, for the user: what was ignored or corrected.
    pub fn notes(&self) -> &[String] {
        self.reader.notes()
    }

    /// Returns the decoder.
    #[doc(hidden)]
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Returns the adapter, if the model has one.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// Returns names and shapes of the trainable parameters: the adapter's, or without one the model's.
    pub fn trainable_parameters(&self) -> &[ParameterSpec] {
        match &self.adapter {
            Some(adapter) => adapter.parameters(),
            None => self.decoder.parameters(),
        }
    }

    /// Returns the values of the trainable parameters, in float32.
    pub fn trainable_values(&self) -> Parameters {
        match &self.adapter {
            Some(adapter) => adapter.values().clone(),
            None => self.parameters(),
        }
    }

    /// Returns the values of the model's own parameters in float32, in the order of [`Decoder::parameters`], with
    /// those that its adapter replaces. Packed weights are unpacked.
    pub fn parameters(&self) -> Parameters {
        self.parameters.iter().map(Weight::float).collect()
    }

    /// Returns the model's own parameters as they are on the device, in the same order.
    #[doc(hidden)]
    pub fn stored(&self) -> &[Weight] {
        &self.parameters
    }

    /// Returns the tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.reader.tokenizer()
    }

    /// Returns the model under its name on the Hugging Face Hub.
    pub fn named(&self, name: &str) -> Self {
        Self {
            origin: name.into(),
            untouched: self
                .untouched
                .as_ref()
                .map(|untouched| Arc::new(untouched.named(name))),
            ..self.clone()
        }
    }

    /// Returns the name of the model, or of its folder.
    pub fn name(&self) -> String {
        let name = Path::new(&*self.origin).file_name();
        name.map_or_else(
            || self.origin.to_string(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// Returns the original `config.json`.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn config_bytes(&self) -> &[u8] {
        &self.reader.files().config
    }

    /// Returns the type that the weights were converted to when the model was loaded.
    pub(crate) fn converted(&self) -> Option<WeightType> {
        self.converted
    }

    /// Returns everything that the values of the weights depend on: the original files, and the type that they
    /// were converted to.
    pub(crate) fn weight_bytes(&self) -> impl Iterator<Item = &[u8]> {
        let files = self.reader.files().weights.iter();
        let converted = self.converted.map(|kind| kind.name().as_bytes());
        files.map(|(_, bytes)| &**bytes).chain(converted)
    }

    /// Returns the device that the model was loaded onto.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns burn's handle of the device.
    pub fn tensor_device(&self) -> burn::tensor::Device {
        self.parameters[0].device()
    }

    /// Returns the number of parameters, without the adapter's.
    pub fn parameter_count(&self) -> usize {
        let untouched = self.untouched.as_deref().unwrap_or(self);
        count(untouched.decoder.parameters())
    }

    /// Returns the number of trainable parameters.
    pub fn trainable_count(&self) -> usize {
        count(self.trainable_parameters())
    }

    /// Returns the weights of a forward pass. A seed enables the adapter's dropout, as in training.
    pub(crate) fn weights(&self, dropout_seed: Option<u64>) -> Weights<'_> {
        let changes = match &self.adapter {
            Some(adapter) => adapter.changes(self.parameters.len(), dropout_seed),
            None => Vec::new(),
        };
        Weights {
            parameters: &self.parameters,
            changes,
        }
    }

    /// Returns next-token predictions for tokens \[batch, length\], one row per token.
    pub fn predictions(&self, inputs: impl Into<Inputs>) -> Predictions {
        self.predictions_with_dropout(inputs.into(), None)
    }

    /// Returns the predictions with the adapter's dropout, if there is a seed.
    pub(crate) fn predictions_with_dropout(
        &self,
        inputs: Inputs,
        seed: Option<u64>,
    ) -> Predictions {
        let weights = self.weights(seed);
        Predictions {
            hidden: self.decoder.hidden_states(&weights, inputs),
            head: self.decoder.head(&weights),
        }
    }

    /// Computes the mean negative log-likelihood \[1\] of a batch's predicted tokens, in nats.
    pub(crate) fn mean_nll(&self, batch: &Batch) -> Tensor<1> {
        let device = self.tensor_device();
        // The loss for the one-hot target is the negative log-likelihood.
        distillation_loss(
            self.predictions(batch.inputs(&device)),
            None,
            batch.labels(&device),
            &Objective::finetuning(),
            batch.predicted_tokens,
            DEFAULT_TILE_BYTES,
        )
    }

    /// Returns the logits \[batch, length, vocab_size\] for tokens \[batch, length\].
    pub fn logits(&self, inputs: impl Into<Inputs>) -> Tensor<3> {
        let inputs = inputs.into();
        let [batch, length] = inputs.tokens.dims();
        let Predictions { hidden, head } = self.predictions(inputs);
        let vocab_size = self.config().decoder.vocab_size;
        head.times_transposed(hidden)
            .reshape([batch, length, vocab_size])
    }
}

fn count(specs: &[ParameterSpec]) -> usize {
    specs.iter().map(ParameterSpec::elements).sum()
}
