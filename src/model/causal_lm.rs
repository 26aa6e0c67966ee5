//! A causal language model: configuration, decoder, parameter values and tokenizer together.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::config::ModelConfig;
use super::decoder::{Decoder, Inputs, Weights};
use super::files::{self, ModelFiles};
use super::parameters::{ParameterSpec, Parameters};
use super::text_reader::TextReader;
use super::weights::{self, NamedTensor, Naming};
use crate::adapter::{Adapter, AdapterSettings};
use crate::data::Tokenizer;
use crate::device::Device;
use crate::error::Result;
#[cfg(not(target_arch = "wasm32"))]
use crate::files::FolderWriter;
use crate::matrix_product::matrix_product;
use crate::objective::Predictions;

/// A model that is ready to use. Clones share the values.
#[derive(Clone, Debug)]
pub struct CausalLm {
    reader: TextReader,
    decoder: Arc<Decoder>,
    parameters: Parameters,
    adapter: Option<Adapter>,
    /// Where it came from, as adapters note it.
    origin: Arc<str>,
    device: Device,
}

impl CausalLm {
    /// Reads a Hugging Face folder onto a device.
    ///
    /// # Errors
    ///
    /// Errors that name the file, field or tensor that cannot be used.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        Self::from_files(ModelFiles::read(folder)?, device)
    }

    /// The embedded model, minift-tales-360k.
    ///
    /// # Errors
    ///
    /// None that is known; the files are part of the program.
    pub fn embedded(device: &Device) -> Result<Self> {
        Self::from_files(ModelFiles::embedded(), device)
    }

    /// Reads the files of a Hugging Face folder onto a device.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn from_files(files: ModelFiles, device: &Device) -> Result<Self> {
        let reader = TextReader::new(files)?;
        let (files, config) = (reader.files(), &reader.config().decoder);
        let decoder = Decoder::new(config.clone());
        let names = config.family.names();
        let tied_copy = config.tied_head.then(|| format!("{}.weight", names.head));
        let parameters = weights::read_parameters(
            &files.weights(),
            &files.weights_path(),
            decoder.parameters(),
            &Naming {
                prefix: names.prefix,
                may_ignore: &|name| {
                    Some(name) == tied_copy.as_deref()
                        || names.ignored.iter().any(|ending| name.ends_with(ending))
                },
            },
            device.tensors(),
        )?;
        let folder = files.folder.to_string_lossy();
        Ok(Self {
            origin: folder.trim_end_matches(" (embedded)").into(),
            reader,
            decoder: Arc::new(decoder),
            parameters,
            adapter: None,
            device: device.clone(),
        })
    }

    /// The same model with a new adapter, with which it computes what it computes without.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidSetting`] for settings that do not fit the model.
    pub fn with_new_adapter(&self, settings: AdapterSettings, seed: u64) -> Result<Self> {
        let adapter = Adapter::new(
            settings,
            &self.decoder,
            &self.parameters,
            &self.origin,
            seed,
        )?;
        Ok(Self {
            adapter: Some(adapter),
            ..self.clone()
        })
    }

    /// The same model with the adapter in the bytes of `adapter_config.json` and
    /// `adapter_model.safetensors`; `folder` is for messages.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Adapter`] for another kind of adapter or one of another base, and the errors
    /// of a weights file.
    pub fn with_adapter(&self, config: &[u8], values: &[u8], folder: &Path) -> Result<Self> {
        let device = self.tensor_device();
        let adapter = Adapter::from_peft(config, values, folder, &self.decoder, &device)?;
        Ok(Self {
            adapter: Some(adapter),
            ..self.clone()
        })
    }

    /// The same model with the adapter of a folder.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Io`], and as [`Self::with_adapter`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_adapter(&self, folder: &Path) -> Result<Self> {
        let config = files::FileBytes::read(&folder.join(crate::adapter::CONFIG))?;
        let values = files::FileBytes::map(&folder.join(crate::adapter::WEIGHTS))?;
        self.with_adapter(&config, &values, folder)
    }

    /// The model without its adapter. It shares the weights.
    pub fn without_adapter(&self) -> Self {
        Self {
            adapter: None,
            ..self.clone()
        }
    }

    /// The model with its adapter folded into the weights.
    pub fn merged(&self) -> Self {
        let parameters = match &self.adapter {
            Some(adapter) => adapter.merge(&self.parameters),
            None => self.parameters.clone(),
        };
        Self {
            parameters,
            ..self.without_adapter()
        }
    }

    /// The same model with other trainable values, in the order of [`Self::trainable_parameters`].
    pub fn with_trainable_values(&self, values: Parameters) -> Self {
        match &self.adapter {
            Some(adapter) => Self {
                adapter: Some(adapter.with_values(values)),
                ..self.clone()
            },
            None => Self {
                parameters: values,
                ..self.clone()
            },
        }
    }

    /// The same model with its trainable values tracked by autodiff, and those values.
    pub(crate) fn tracked(&self) -> (Self, Parameters) {
        let values: Parameters = self
            .trainable_values()
            .iter()
            .map(|value| value.clone().autodiff().require_grad())
            .collect();
        let frozen = Self {
            parameters: self
                .parameters
                .iter()
                .map(|weight| weight.clone().autodiff())
                .collect(),
            ..self.clone()
        };
        (frozen.with_trainable_values(values.clone()), values)
    }

    /// Its configuration.
    pub fn config(&self) -> &ModelConfig {
        self.reader.config()
    }

    /// What of it reads text.
    pub fn reader(&self) -> &TextReader {
        &self.reader
    }

    /// Its decoder.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Its adapter, if it has one.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// Names and shapes of what is trained: the adapter's values where there is one, else its own.
    pub fn trainable_parameters(&self) -> &[ParameterSpec] {
        match &self.adapter {
            Some(adapter) => adapter.parameters(),
            None => self.decoder.parameters(),
        }
    }

    /// The values of those.
    pub fn trainable_values(&self) -> &Parameters {
        match &self.adapter {
            Some(adapter) => adapter.values(),
            None => &self.parameters,
        }
    }

    /// Its values without its adapter's, in the order of [`Decoder::parameters`].
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.reader.tokenizer()
    }

    /// The same model, known by a name on the Hugging Face Hub rather than by its folder.
    pub fn named(&self, name: &str) -> Self {
        Self {
            origin: name.into(),
            ..self.clone()
        }
    }

    /// Name of the model, or of the folder that it was read from.
    pub fn name(&self) -> String {
        let name = Path::new(&*self.origin).file_name();
        name.map_or_else(
            || self.origin.to_string(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// The `config.json` that it was read from.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn config_bytes(&self) -> &[u8] {
        &self.reader.files().config
    }

    /// The weights files that it was read from.
    pub(crate) fn weight_bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.reader
            .files()
            .weights
            .iter()
            .map(|(_, bytes)| &**bytes)
    }

    /// The device that it was loaded onto.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The same as burn knows it.
    pub fn tensor_device(&self) -> burn::tensor::Device {
        self.parameters[0].device()
    }

    /// Number of its values, without its adapter's.
    pub fn parameter_count(&self) -> usize {
        count(self.decoder.parameters())
    }

    /// Number of the values that are trained.
    pub fn trainable_count(&self) -> usize {
        count(self.trainable_parameters())
    }

    /// What its decoder computes with; with a seed, as in training, with the adapter's dropout.
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

    /// Next-token predictions for tokens \[batch, length\], one row a token.
    pub fn predictions(&self, inputs: impl Into<Inputs>) -> Predictions {
        self.predictions_with_dropout(inputs.into(), None)
    }

    /// The same in training, where an adapter may have dropout, whose choices a seed fixes.
    pub(crate) fn predictions_with_dropout(
        &self,
        inputs: Inputs,
        seed: Option<u64>,
    ) -> Predictions {
        Predictions {
            hidden: self.decoder.hidden_states(&self.weights(seed), inputs),
            head: self.decoder.head(&self.parameters),
        }
    }

    /// Logits \[batch, length, vocabulary\] for tokens \[batch, length\].
    pub fn logits(&self, inputs: impl Into<Inputs>) -> Tensor<3> {
        let inputs = inputs.into();
        let [batch, length] = inputs.tokens.dims();
        let Predictions { hidden, head } = self.predictions(inputs);
        matrix_product(hidden, head.transpose()).reshape([
            batch,
            length,
            self.config().decoder.vocabulary,
        ])
    }

    /// Writes the model as a Hugging Face folder with float32 weights, which Python's `transformers`
    /// loads; where it has an adapter, that alone, as a folder that Python's PEFT loads.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Io`] and [`crate::Error::Device`].
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn write(&self, folder: &FolderWriter, subfolder: &str) -> Result<()> {
        let path = |name: &str| {
            Path::new(subfolder)
                .join(name)
                .to_string_lossy()
                .into_owned()
        };
        for (name, bytes) in self.small_files().await? {
            folder.write(&path(&name), &bytes)?;
        }
        if self.adapter.is_none() {
            let mut file = folder.begin(&path(files::WEIGHTS))?;
            let (tensors, metadata) = (self.named_tensors(), weights::pytorch_metadata());
            weights::write(tensors, metadata, &mut |part| file.write(part)).await?;
            file.finish()?;
        }
        Ok(())
    }

    /// Names and bytes of the files that [`Self::write`] writes.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Device`].
    pub async fn to_files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = self.small_files().await?;
        if self.adapter.is_none() {
            let (tensors, metadata) = (self.named_tensors(), weights::pytorch_metadata());
            let bytes = weights::to_bytes(tensors, metadata).await?;
            files.push((files::WEIGHTS.to_string(), bytes));
        }
        Ok(files)
    }

    fn named_tensors(&self) -> Vec<NamedTensor<'_>> {
        NamedTensor::list(self.decoder.parameters(), &self.parameters)
    }

    /// Every file but that of the model's own weights.
    async fn small_files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        if let Some(adapter) = &self.adapter {
            return adapter.to_peft().await;
        }
        let config = serde_json::to_vec_pretty(&self.config().to_json())
            .expect("a JSON object can always be written");
        let mut files = vec![
            ("config.json".to_string(), config),
            (
                "tokenizer.json".to_string(),
                self.reader.files().tokenizer.to_vec(),
            ),
        ];
        for (name, bytes) in &self.reader.files().companions {
            files.push((name.to_string(), bytes.to_vec()));
        }
        Ok(files)
    }
}

fn count(specs: &[ParameterSpec]) -> usize {
    specs.iter().map(ParameterSpec::elements).sum()
}
