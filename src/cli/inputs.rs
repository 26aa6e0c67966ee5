//! The arguments that say which model and which text, and what they mean.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::output::{Output, thousands};
use crate::data::{
    LongTexts, Preparation, ReadOptions, Records, TrainOn, paths_in_words, read_all,
};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::hub::{self, HubModel, HubSettings};
use crate::model::{CausalLm, EMBEDDED_MODEL, ModelFiles, TextReader};

#[derive(Clone, Debug, Default, Args)]
pub struct ModelArguments {
    /// Model folder as on the Hugging Face Hub (config.json, model.safetensors, tokenizer.json), or
    /// the model's name there, owner/name, which fetches it into the Hub's cache [default: the
    /// embedded model]
    #[arg(long, value_name = "DIR|NAME")]
    pub model: Option<PathBuf>,
    /// Branch, tag or commit of a model that is fetched by its name [default: main]
    #[arg(long, value_name = "REVISION", requires = "model")]
    pub revision: Option<String>,
}

impl ModelArguments {
    /// The model's files, fetched before if it was named.
    pub fn files(&self, output: &Output) -> Result<ModelFiles> {
        match (&self.model, self.named()?) {
            (None, _) => Ok(ModelFiles::embedded()),
            (Some(_), Some(named)) => ModelFiles::read(&fetched(&named, output)?),
            (Some(folder), None) => ModelFiles::read(folder),
        }
    }

    /// The model on a device.
    pub fn load(&self, device: &Device, output: &Output) -> Result<CausalLm> {
        let model = CausalLm::from_files(self.files(output)?, device)?;
        Ok(match self.named()? {
            Some(_) => model.named(&self.name()),
            None => model,
        })
    }

    /// The same, and says which it is: the model and its name for people.
    pub fn announced(&self, device: &Device, output: &Output) -> Result<(CausalLm, String)> {
        let model = self.load(device, output)?;
        let (name, parameters) = (self.name(), thousands(model.parameter_count() as f64));
        output.text(format!("Model    {name}, {parameters} parameters"));
        Ok((model, name))
    }

    /// The model's folder, if it is one.
    pub fn folder(&self) -> Option<&Path> {
        self.model.as_deref().filter(|folder| folder.exists())
    }

    /// The model's name for people.
    pub fn name(&self) -> String {
        match &self.model {
            Some(model) => model.display().to_string(),
            None => EMBEDDED_MODEL.to_string(),
        }
    }

    /// The model on the Hub, where it is one.
    fn named(&self) -> Result<Option<HubModel>> {
        match (&self.model, &self.revision) {
            (Some(model), revision) if HubModel::is_named_by(model) => {
                HubModel::new(&model.to_string_lossy(), revision.as_deref()).map(Some)
            }
            (_, None) => Ok(None),
            (_, Some(revision)) => {
                let expected = "none with a model folder";
                Err(Error::setting("revision", revision, expected))
            }
        }
    }
}

/// The folder of a model on the Hub, in its cache.
fn fetched(named: &HubModel, output: &Output) -> Result<PathBuf> {
    let found = hub::fetch(named, &HubSettings::from_environment()?, |progress| {
        let title = format!(
            "fetching {} (file {} of {})",
            progress.file,
            progress.files_done + 1,
            progress.files
        );
        let mebibytes = |bytes: u64| (bytes >> 20) as usize;
        let (done, total) = (mebibytes(progress.bytes), mebibytes(progress.size));
        output.progress(&title, done, total.max(1), "MiB");
        ControlFlow::Continue(())
    })?;
    output.finish();
    output.text(format!(
        "Fetched  {named} at {}, in {}",
        found.commit,
        found.folder.display()
    ));
    if let Some(reason) = &found.unasked {
        output.text(format!(
            "Note     whether there is a newer one is not known: {reason}"
        ));
    }
    Ok(found.folder)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LongTextsArgument {
    /// Cut, and their rest left out
    Cut,
    /// Made several samples
    Windows,
}

#[derive(Clone, Debug, Args)]
pub struct TextArguments {
    /// Column (.csv, .tsv, .parquet) or key (.jsonl, .json) that holds the text [default: text, or
    /// prompt and completion, or messages, whichever there is]
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// Cut samples to N tokens [default: 256, or the model's greatest length if that is less]
    #[arg(long, value_name = "N")]
    pub max_length: Option<usize>,
    /// What becomes of longer texts [default: windows for a .md file and for each file of a folder,
    /// else cut]
    #[arg(long, value_enum, value_name = "HOW")]
    pub long_texts: Option<LongTextsArgument>,
    /// Tokens that a window repeats of the one before, to be read and not predicted again
    #[arg(long, value_name = "N")]
    pub overlap: Option<usize>,
    /// What counts of prompts with completions and of conversations: answers (completions, and what
    /// the assistant says) or all
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = TrainOn::Answers)]
    pub train_on: TrainOn,
}

impl TextArguments {
    /// How files are read for that model.
    pub fn reading(&self, model: &TextReader) -> Result<Reading> {
        let long_texts = match (self.long_texts, self.overlap) {
            (None, None) => None,
            (Some(LongTextsArgument::Cut), None) => Some(LongTexts::Cut),
            (None | Some(LongTextsArgument::Windows), overlap) => Some(LongTexts::Windows {
                overlap: overlap.unwrap_or(0),
            }),
            (Some(LongTextsArgument::Cut), Some(overlap)) => {
                let expected = "none with --long-texts cut";
                return Err(Error::setting("overlap", overlap, expected));
            }
        };
        Ok(Reading {
            options: ReadOptions {
                column: self.column.clone(),
            },
            preparation: Preparation {
                max_length: model.sample_length(self.max_length)?,
                long_texts,
                train_on: self.train_on,
            },
        })
    }
}

/// How files become samples.
pub struct Reading {
    pub options: ReadOptions,
    pub preparation: Preparation,
}

impl Reading {
    /// The same for text that is not the domain's: a column that was named is not there.
    pub fn of_general(&self) -> Self {
        Self {
            options: ReadOptions::default(),
            preparation: self.preparation,
        }
    }

    /// The usual way.
    pub fn to_length(length: Option<usize>, model: &TextReader) -> Result<Self> {
        Ok(Self {
            options: ReadOptions::default(),
            preparation: Preparation::to_length(model.sample_length(length)?),
        })
    }

    /// Reads files, says what of them is not used, and says where the records came from.
    pub fn records(&self, paths: &[PathBuf], output: &Output) -> Result<(Records, String)> {
        let found = read_all(paths, &self.options)?;
        for note in &found.notes {
            output.text(format!("Note     {note}"));
        }
        let origin = paths_in_words(paths);
        let files = match found.files {
            0 | 1 => String::new(),
            files if files == paths.len() => String::new(),
            files => format!(" ({files} files)"),
        };
        Ok((found, format!("{origin}{files}")))
    }
}
