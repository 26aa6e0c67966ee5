//! The arguments for a model and an adapter, and how they are loaded.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::as_text;
use super::downloads;
use super::output::{Output, counted, thousands};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::hub::HubModel;
use crate::model::adapter::{BaseModel, CONFIG};
use crate::model::{CausalLm, EMBEDDED_MODEL, ModelFiles, TextReader, WeightChoice};

/// The number of folders, from an adapter's own upwards, in which its base model is looked for.
const ADAPTER_DEPTH: usize = 3;

#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(super) struct ModelArguments {
    /// Model folder in Hugging Face format, GGUF file, or owner/name of a model on the Hugging Face Hub
    /// [default: the embedded model; the base model of an adapter folder]
    #[arg(long, value_name = "DIR|FILE|NAME", help_heading = "Model")]
    pub model: Option<PathBuf>,
    /// Branch, tag or commit of a model on the Hub [default: main]
    #[arg(
        long,
        value_name = "REVISION",
        requires = "model",
        help_heading = "Model"
    )]
    pub revision: Option<String>,
    /// Type of the weights in memory.
    #[serde(skip)]
    #[arg(skip)]
    pub weights: WeightChoice,
}

/// The arguments of commands that compute with a model.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(super) struct LoadArguments {
    #[serde(flatten)]
    #[command(flatten)]
    model: ModelArguments,
    /// Type of the weights in memory: auto (as stored), float32, float16, bfloat16, q8_0 or q4_0. What is trained
    /// is float32 [default: auto]
    #[serde(with = "as_text")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    #[arg(long, value_name = "TYPE", help_heading = "Model")]
    weights: Option<WeightChoice>,
}

impl LoadArguments {
    /// Returns whether all of them are left out.
    pub(super) fn are_default(&self) -> bool {
        self.model.model.is_none() && self.weights.unwrap_or_default() == WeightChoice::Auto
    }

    /// Returns the path or name of the model.
    pub(super) fn path_mut(&mut self) -> &mut Option<PathBuf> {
        &mut self.model.model
    }

    /// Gives absent settings their defaults.
    pub(super) fn give_defaults(&mut self) {
        self.weights.get_or_insert_default();
    }

    /// Returns the model to load.
    pub(super) fn model(&self) -> ModelArguments {
        ModelArguments {
            weights: self.weights.unwrap_or_default(),
            ..self.model.clone()
        }
    }
}

impl ModelArguments {
    /// Returns a local folder or a model on the Hub.
    pub(super) fn of_path(path: &Path, weights: WeightChoice) -> Self {
        Self {
            model: Some(path.to_path_buf()),
            revision: None,
            weights,
        }
    }

    /// Returns the model that a trained one started from, with weights of the same type, as run.json in its folder
    /// says; `None` without a record.
    pub(super) fn base_in_record(&self) -> Result<Option<Self>> {
        let path = self.folder().map(|folder| folder.join("run.json"));
        let Some(path) = path.filter(|path| path.exists()) else {
            return Ok(None);
        };
        let json = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let run: Value =
            serde_json::from_slice(&json).map_err(Error::parse(&path, "the record of a run"))?;
        let name = run["setup"]["model"].as_str();
        Ok(name.map(|name| Self {
            model: (name != EMBEDDED_MODEL).then(|| PathBuf::from(name)),
            revision: None,
            weights: self.weights,
        }))
    }

    /// Returns the base model that an adapter names, if no model is given, and says which.
    pub(super) fn or_base_of(&self, adapter: Option<&Path>, say: &dyn Fn(String)) -> Result<Self> {
        let (None, Some(folder)) = (&self.model, adapter) else {
            return Ok(self.clone());
        };
        let Some(base) = BaseModel::of(folder)? else {
            let config = folder.join(CONFIG);
            let expected = format!(
                "the adapter's base model, since {} names none",
                config.display()
            );
            return Err(Error::setting("model", "not given", expected));
        };
        let found = Self {
            weights: self.weights,
            ..Self::of_base(base, folder)?
        };
        say(format!(
            "Base     {}, named by the adapter in {}",
            found.name(),
            folder.display()
        ));
        Ok(found)
    }

    /// Finds a base model: a folder, or a name on the Hub. A relative path was probably recorded in a folder
    /// that also contains the adapter's.
    fn of_base(base: BaseModel, adapter: &Path) -> Result<Self> {
        let BaseModel { name, revision } = base;
        let here = PathBuf::from(&name);
        if EMBEDDED_MODEL.strip_suffix(" (embedded)") == Some(&name) && !here.exists() {
            return Ok(Self::default());
        }
        let adapter_folder = std::path::absolute(adapter).unwrap_or_else(|_| adapter.to_path_buf());
        let around = adapter_folder.ancestors().take(ADAPTER_DEPTH);
        let mut places = std::iter::once(here).chain(around.map(|place| place.join(&name)));
        // A file is a model in GGUF.
        let is_model = |place: &PathBuf| place.is_file() || place.join("config.json").is_file();
        if let Some(folder) = places.find(is_model) {
            return Ok(Self {
                model: Some(folder),
                ..Self::default()
            });
        }
        let model = PathBuf::from(&name);
        if !HubModel::is_named_by(&model) {
            let expected = format!(
                "an existing folder or owner/name on the Hub: {} names a base model that does not exist here",
                adapter.join(CONFIG).display()
            );
            return Err(Error::setting("model", name, expected));
        }
        Ok(Self {
            model: Some(model),
            revision,
            ..Self::default()
        })
    }

    /// Reads the files of the model, downloading them first if necessary.
    pub(super) fn files(&self, output: &Output) -> Result<ModelFiles> {
        match (&self.model, self.named()?) {
            (None, _) => Ok(ModelFiles::embedded()),
            (Some(_), Some(named)) => ModelFiles::read(&downloads::model(&named, output)?),
            (Some(folder), None) => ModelFiles::read(folder),
        }
    }

    /// Reads the part of the model that reads text, and prints notes about its files.
    pub(super) fn reader(&self, output: &Output) -> Result<TextReader> {
        let reader = TextReader::new(self.files(output)?)?;
        note_files(reader.notes(), &|note| output.text(note));
        Ok(reader)
    }

    /// Loads the model on a device, and says what is particular about its files.
    pub(super) fn load(
        &self,
        device: &Device,
        output: &Output,
        say: &dyn Fn(String),
    ) -> Result<CausalLm> {
        let weights = self.weights.converted();
        let model = CausalLm::from_files_as(self.files(output)?, weights, device)?;
        note_files(model.notes(), say);
        Ok(match self.named()? {
            Some(_) => model.named(&self.name()),
            None => model,
        })
    }

    /// Loads the model, prints it, and returns it with its name.
    pub(super) fn announced(&self, device: &Device, output: &Output) -> Result<(CausalLm, String)> {
        let model = self.load(device, output, &|note| output.text(note))?;
        let (name, parameters) = (self.name(), counted(model.parameter_count(), "parameter"));
        output.text(format!("Model    {name}, {parameters}"));
        Ok((model, name))
    }

    /// Returns the model folder, if it is a local one.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.model.as_deref().filter(|folder| folder.exists())
    }

    /// Returns a readable name.
    pub(super) fn name(&self) -> String {
        match &self.model {
            Some(model) => model.display().to_string(),
            None => EMBEDDED_MODEL.to_string(),
        }
    }

    /// Returns the model on the Hub, if it is one.
    fn named(&self) -> Result<Option<HubModel>> {
        match (&self.model, &self.revision) {
            (Some(model), revision) if HubModel::is_named_by(model) => {
                HubModel::new(&model.to_string_lossy(), revision.as_deref()).map(Some)
            }
            (_, None) => Ok(None),
            (_, Some(revision)) => {
                let expected = "no value with a local model folder";
                Err(Error::setting("revision", revision, expected))
            }
        }
    }
}

fn note_files(notes: &[String], say: &dyn Fn(String)) {
    for note in notes {
        say(format!("Note     {note}"));
    }
}

/// Returns the model with an adapter, if given, and says what is particular about it.
pub(super) fn adapted(
    model: CausalLm,
    folder: Option<&Path>,
    say: &dyn Fn(String),
) -> Result<CausalLm> {
    let Some(folder) = folder else {
        return Ok(model);
    };
    let adapted = model.load_adapter(folder)?;
    if adapted.resizes_vocabulary() {
        let of = if folder.join("tokenizer.json").exists() {
            "the adapter's"
        } else {
            "the base model's"
        };
        say(format!(
            "Note     the adapter resizes the vocabulary from {} to {}; the tokenizer is {of}",
            counted(model.config().decoder.vocab_size, "token"),
            thousands(adapted.config().decoder.vocab_size as f64)
        ));
    }
    Ok(adapted)
}
