//! What several commands begin with: model, lengths, samples, output folder.

use std::path::{Path, PathBuf};

use super::output::{Output, thousands};
use crate::data::{Samples, read_texts};
use crate::demo;
use crate::device::{Device, DeviceChoice};
use crate::error::{Error, Result};
use crate::model::{CausalLm, Sampling};
use crate::report::{Continuation, DataSummary, Setup};
use crate::train::RunData;

/// Samples are cut to this many tokens where nobody says otherwise.
const DEFAULT_LENGTH: usize = 256;
/// Tokens of a continuation that is shown after a run.
const CONTINUATION_TOKENS: usize = 40;

/// Opens the device and says which and why.
pub async fn device(choice: DeviceChoice, output: &Output) -> Result<Device> {
    let device = Device::open(choice).await?;
    output.text(format!("Device   {}: {}", device.name(), device.reason()));
    Ok(device)
}

/// Reads a model, or the embedded one, and says which.
pub fn model(
    folder: Option<&Path>,
    device: &Device,
    output: &Output,
) -> Result<(CausalLm, String)> {
    let model = load(folder, device)?;
    let name = match folder {
        Some(folder) => folder.display().to_string(),
        None => "minift-tales-360k (embedded)".to_string(),
    };
    let parameters = thousands(model.parameter_count() as f64);
    output.text(format!("Model    {name}, {parameters} parameters"));
    Ok((model, name))
}

/// Reads a model, or the embedded one.
pub fn load(folder: Option<&Path>, device: &Device) -> Result<CausalLm> {
    match folder {
        Some(folder) => CausalLm::load(folder, device),
        None => CausalLm::embedded(device),
    }
}

/// The model with an adapter, if one is given.
pub fn adapted(model: CausalLm, folder: Option<&Path>) -> Result<CausalLm> {
    match folder {
        Some(folder) => model.load_adapter(folder),
        None => Ok(model),
    }
}

/// The greatest length of a sample.
pub fn max_length(asked: Option<usize>, model: &CausalLm) -> Result<usize> {
    let longest = model.config().decoder.max_length;
    match asked {
        None => Ok(DEFAULT_LENGTH.min(longest)),
        Some(length) if (2..=longest).contains(&length) => Ok(length),
        Some(length) => Err(Error::setting(
            "max-length",
            length,
            format!("2 to {longest}, the greatest length of this model"),
        )),
    }
}

/// Samples with where they came from.
pub struct Set {
    pub samples: Samples,
    pub origin: String,
}

impl Set {
    /// The samples of a file.
    pub fn read(path: &Path, model: &CausalLm, max_length: usize) -> Result<Self> {
        Self::new(
            &read_texts(path)?,
            model,
            max_length,
            path.display().to_string(),
        )
    }

    /// The samples of texts.
    pub fn new(
        texts: &[String],
        model: &CausalLm,
        max_length: usize,
        origin: String,
    ) -> Result<Self> {
        let samples = Samples::tokenize(texts, model.tokenizer(), max_length, &origin)?;
        Ok(Self { samples, origin })
    }

    /// The embedded tales.
    pub fn tales(model: &CausalLm, max_length: usize) -> Result<Self> {
        let tales = demo::tales()?;
        let tales = &tales[..demo::GENERAL_TALES.min(tales.len())];
        Self::new(
            tales,
            model,
            max_length,
            "tiny stories (embedded)".to_string(),
        )
    }

    pub fn len(&self) -> usize {
        self.samples.samples.len()
    }

    /// The first `count` samples, and the others as a set of their own.
    pub fn split(mut self, count: usize) -> (Self, Self) {
        let rest = Self {
            samples: self.samples.split_off(count),
            origin: self.origin.clone(),
        };
        (self, rest)
    }

    pub fn summary(&self) -> DataSummary {
        DataSummary::new(&self.samples, self.origin.clone())
    }
}

/// The sets of a run.
pub struct Sets {
    pub train: Set,
    pub domain: Set,
    pub general: Set,
}

impl Sets {
    /// Says what they are, and makes them a run's data and its description.
    pub fn announce(
        self,
        model: &CausalLm,
        name: String,
        max_length: usize,
        output: &Output,
    ) -> (RunData, Setup) {
        let Self {
            train,
            domain,
            general,
        } = self;
        let setup = Setup {
            model: name,
            parameters: model.parameter_count(),
            max_length,
            train: train.summary(),
            domain: domain.summary(),
            general: general.summary(),
        };
        describe(output, "Train", &setup.train);
        describe(output, "Domain", &setup.domain);
        describe(output, "General", &setup.general);
        let data = RunData {
            train: train.samples.samples,
            domain: domain.samples.samples,
            general: general.samples.samples,
        };
        (data, setup)
    }
}

/// A line about a set of samples.
pub fn describe(output: &Output, title: &str, summary: &DataSummary) {
    let mut line = format!(
        "{title:<8} {} samples, {} tokens to predict: {}",
        thousands(summary.samples as f64),
        thousands(summary.tokens as f64),
        summary.origin
    );
    if summary.truncated > 0 {
        line.push_str(&format!(
            "; {} cut to length",
            thousands(summary.truncated as f64)
        ));
    }
    if summary.skipped > 0 {
        line.push_str(&format!(
            "; {} too short and skipped",
            thousands(summary.skipped as f64)
        ));
    }
    output.text(line);
}

/// The first of DIR, DIR-2, DIR-3 … that is free.
pub fn free_folder(name: &str) -> PathBuf {
    let free = |path: &PathBuf| !crate::files::is_occupied(path);
    std::iter::once(PathBuf::from(name))
        .chain((2..).map(|number| PathBuf::from(format!("{name}-{number}"))))
        .find(free)
        .unwrap_or_else(|| unreachable!("numbers do not end"))
}

/// What a model makes of prompts, greedily.
pub async fn continuations(model: &CausalLm, prompts: &[&str]) -> Result<Vec<Continuation>> {
    let mut continuations = Vec::new();
    for &prompt in prompts {
        let sampling = Sampling::default();
        let text = model
            .generate(prompt, CONTINUATION_TOKENS, &sampling, |_| ())
            .await?;
        continuations.push(Continuation {
            prompt: prompt.to_string(),
            text,
        });
    }
    Ok(continuations)
}
