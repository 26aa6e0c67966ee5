//! A causal language model: decoder, parameters, tokenizer and configuration.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::decoder::Decoder;
use super::file_bytes::FileBytes;
use super::inputs::{Inputs, Weights};
use super::model_config::ModelConfig;
use super::parameters::{ParameterSpec, Parameters};
use super::save_type::SaveType;
use super::text_reader::TextReader;
use crate::device::Device;
use crate::kernels::distillation::Predictions;
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
    /// Whether the weights are those of the files, so that they can be read again.
    pub(super) is_as_loaded: bool,
}

impl CausalLm {
    /// Returns the model with other trainable values, in the order of [`Self::trainable_parameters`].
    pub fn with_trainable_values(&self, values: Parameters) -> Self {
        match &self.adapter {
            Some(adapter) => Self {
                adapter: Some(adapter.with_values(values)),
                ..self.clone()
            },
            None => {
                let mut model = self.clone();
                for (parameter, value) in model.parameters.iter_mut().zip(values) {
                    *parameter = value.into();
                }
                model.is_as_loaded = false;
                model
            }
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

    /// Returns the model without the values of its weights, but with its constants.
    pub(crate) fn without_values(&self) -> Self {
        let trainable = self.decoder.trainable_parameters().len();
        self.keeping(|parameter| parameter >= trainable)
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

    /// Returns whether the weights are those of the model's files.
    pub(crate) fn is_as_loaded(&self) -> bool {
        self.is_as_loaded
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
            None => self.decoder.trainable_parameters(),
        }
    }

    /// Returns the values of the trainable parameters, in float32.
    pub fn trainable_values(&self) -> Parameters {
        match &self.adapter {
            Some(adapter) => adapter.values().clone(),
            None => {
                let mut values = self.parameters();
                values.truncate(self.trainable_parameters().len());
                values
            }
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

    /// Returns the original files of weights.
    pub(crate) fn weight_files(&self) -> impl Iterator<Item = &FileBytes> {
        self.reader.files().weights.iter().map(|(_, bytes)| bytes)
    }

    /// Returns the type that the stored weights were converted to, if they were.
    pub(crate) fn converted(&self) -> Option<WeightType> {
        self.converted
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
        count(untouched.decoder.trainable_parameters())
    }

    /// Returns the number of trainable parameters.
    pub fn trainable_count(&self) -> usize {
        count(self.trainable_parameters())
    }

    /// Returns the weights of a forward pass. Seeds, one per sequence of the batch, enable the adapter's dropout, as in
    /// training.
    pub(crate) fn weights(&self, dropout_seeds: Option<&Arc<[u64]>>) -> Weights<'_> {
        let changes = match &self.adapter {
            Some(adapter) => adapter.changes(self.parameters.len(), dropout_seeds),
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

    /// Returns the predictions, with the adapter's dropout if there are seeds.
    pub(crate) fn predictions_with_dropout(
        &self,
        inputs: Inputs,
        dropout_seeds: Option<&Arc<[u64]>>,
    ) -> Predictions {
        let weights = self.weights(dropout_seeds);
        Predictions {
            hidden: self.decoder.hidden_states(&weights, inputs),
            head: self.decoder.head(&weights),
        }
    }

    /// Returns the logits \[batch, length, vocab_size\] for tokens \[batch, length\].
    pub fn logits(&self, inputs: impl Into<Inputs>) -> Tensor<3> {
        let inputs = inputs.into();
        let [batch, length] = inputs.tokens.dims();
        let vocab_size = self.config().decoder.vocab_size;
        let logits = self.predictions(inputs).logits();
        logits.reshape([batch, length, vocab_size])
    }
}

fn count(specs: &[ParameterSpec]) -> usize {
    specs.iter().map(ParameterSpec::elements).sum()
}
