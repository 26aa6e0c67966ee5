//! A causal language model: configuration, decoder, parameter values and tokenizer together.

#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Int, Tensor};

use super::config::ModelConfig;
use super::decoder::Decoder;
use super::files::ModelFiles;
use super::parameters::Parameters;
use super::weights;
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
    config: ModelConfig,
    decoder: Arc<Decoder>,
    parameters: Parameters,
    tokenizer: Arc<Tokenizer>,
    files: Arc<ModelFiles>,
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
        let config = ModelConfig::parse(&files.config, &files.config_path())?;
        let tokenizer = Tokenizer::parse(
            &files.tokenizer,
            &files.tokenizer_path(),
            config.decoder.vocabulary,
        )?;
        let decoder = Decoder::new(config.decoder.clone());
        let names = config.decoder.family.names();
        let tied_copy = config.decoder.tied_head.then_some(names.head);
        let parameters = weights::read_parameters(
            &files.weights,
            &files.weights_path(),
            decoder.parameters(),
            |name| {
                Some(name) == tied_copy || names.ignored.iter().any(|ending| name.ends_with(ending))
            },
            device.tensors(),
        )?;
        Ok(Self {
            config,
            decoder: Arc::new(decoder),
            parameters,
            tokenizer: Arc::new(tokenizer),
            files: Arc::new(files),
            device: device.clone(),
        })
    }

    /// The same model with other values.
    pub fn with_parameters(&self, parameters: Parameters) -> Self {
        Self {
            parameters,
            ..self.clone()
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Its decoder.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Its values, in the order of [`Decoder::parameters`].
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Name of the folder that it was read from.
    pub fn name(&self) -> String {
        let folder = &self.files.folder;
        let name = folder.file_name().unwrap_or(folder.as_os_str());
        name.to_string_lossy().replace(" (embedded)", "")
    }

    /// The weights file that it was read from.
    pub(crate) fn weight_bytes(&self) -> &[u8] {
        &self.files.weights
    }

    /// The device that it was loaded onto.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The same as burn knows it.
    pub fn tensor_device(&self) -> burn::tensor::Device {
        self.parameters[0].device()
    }

    /// Number of trainable values.
    pub fn parameter_count(&self) -> usize {
        self.decoder
            .parameters()
            .iter()
            .map(|spec| spec.elements())
            .sum()
    }

    /// Next-token predictions for token ids \[batch, length\], one row a token.
    pub fn predictions(&self, tokens: Tensor<2, Int>) -> Predictions {
        Predictions {
            hidden: self.decoder.hidden_states(&self.parameters, tokens),
            head: self.decoder.head(&self.parameters).clone(),
        }
    }

    /// Logits \[batch, length, vocabulary\] for token ids \[batch, length\].
    pub fn logits(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [batch, length] = tokens.dims();
        let Predictions { hidden, head } = self.predictions(tokens);
        matrix_product(hidden, head.transpose()).reshape([
            batch,
            length,
            self.config.decoder.vocabulary,
        ])
    }

    /// Writes the model as a Hugging Face folder with float32 weights, which Python's `transformers`
    /// loads.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Io`] and [`crate::Error::Device`].
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn write(&self, folder: &FolderWriter, subfolder: &str) -> Result<()> {
        for (name, bytes) in self.to_files().await? {
            folder.write(&Path::new(subfolder).join(name).to_string_lossy(), &bytes)?;
        }
        Ok(())
    }

    /// Names and bytes of the files that [`Self::write`] writes.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Device`].
    pub async fn to_files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let tensors = weights::download(self.decoder.parameters(), &self.parameters).await?;
        let config = serde_json::to_vec_pretty(&self.config.to_json())
            .expect("a JSON object can always be written");
        let format = [("format".to_string(), "pt".to_string())].into();
        let mut files = vec![
            ("config.json".to_string(), config),
            (
                "model.safetensors".to_string(),
                weights::serialize(&tensors, format),
            ),
            ("tokenizer.json".to_string(), self.files.tokenizer.to_vec()),
        ];
        for (name, bytes) in &self.files.companions {
            files.push((name.to_string(), bytes.to_vec()));
        }
        Ok(files)
    }
}
