//! What several commands begin with: model, lengths, samples, output folder.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::inputs::Reading;
use super::output::{Output, thousands};
use crate::data::{Sample, Samples, packed};
use crate::demo;
use crate::device::{Device, DeviceChoice};
use crate::error::{Error, Result};
use crate::files::FolderWriter;
use crate::model::{CausalLm, Sampling};
use crate::report::{Continuation, DataSummary, Setup};
use crate::train::{MemoryEstimate, RunData, TrainSettings};

/// Tokens of a continuation that is shown after a run.
const CONTINUATION_TOKENS: usize = 40;

/// Opens the device and says which and why.
pub async fn device(choice: DeviceChoice, output: &Output) -> Result<Device> {
    let device = Device::open(choice).await?;
    output.text(format!("Device   {}: {}", device.name(), device.reason()));
    Ok(device)
}

/// The model with an adapter, if one is given.
pub fn adapted(model: CausalLm, folder: Option<&Path>) -> Result<CausalLm> {
    match folder {
        Some(folder) => model.load_adapter(folder),
        None => Ok(model),
    }
}

/// Samples with where they came from.
pub struct Set {
    pub samples: Samples,
    pub origin: String,
}

impl Set {
    /// The samples of a file, a folder or a pattern.
    pub fn read(path: &Path, model: &CausalLm, reading: &Reading, output: &Output) -> Result<Self> {
        Self::read_all(
            std::slice::from_ref(&path.to_path_buf()),
            model,
            reading,
            output,
        )
    }

    /// The samples of several of them.
    pub fn read_all(
        paths: &[PathBuf],
        model: &CausalLm,
        reading: &Reading,
        output: &Output,
    ) -> Result<Self> {
        let (found, origin) = reading.records(paths, output)?;
        Ok(Self {
            samples: model
                .reader()
                .samples(&found.records, &reading.preparation, &origin)?,
            origin,
        })
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

    /// The embedded tickets.
    pub fn tickets(model: &CausalLm, max_length: usize) -> Result<Self> {
        let origin = demo::TICKETS_ORIGIN.to_string();
        Self::new(&demo::tickets()?, model, max_length, origin)
    }

    /// The embedded tales that measure what is forgotten, and those that are for choosing.
    pub fn tales(model: &CausalLm, max_length: usize) -> Result<(Self, Self)> {
        let origin = demo::TALES_ORIGIN.to_string();
        let tales = Self::new(&demo::tales()?, model, max_length, origin)?;
        Ok(tales.split(demo::GENERAL_TALES))
    }

    /// Texts that the model writes by itself.
    pub async fn written(
        model: &CausalLm,
        count: usize,
        max_length: usize,
        seed: u64,
        output: &Output,
    ) -> Result<Self> {
        let progress = |done| output.progress("the untouched model writes", done, count, "");
        let samples = model
            .sample_texts(count, max_length, seed, progress)
            .await?;
        output.finish();
        Ok(Self {
            samples: Samples::whole(samples),
            origin: "written by the untouched model".to_string(),
        })
    }

    /// Texts that it has.
    pub fn len(&self) -> usize {
        self.samples.texts.len()
    }

    /// So many texts that a seed chooses as a set of their own, after the others.
    pub fn draw(mut self, count: usize, seed: u64) -> (Self, Self) {
        let drawn = Self {
            samples: self.samples.draw(count, seed),
            origin: self.origin.clone(),
        };
        (self, drawn)
    }

    /// The first `count` texts, and the others as a set of their own.
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
    /// Whether what is trained on is packed.
    pub pack: bool,
    pub train: Set,
    pub domain: Set,
    pub general: Set,
    pub replay: Option<Set>,
    pub consolidation: Option<Set>,
    pub validation: Option<Set>,
}

impl Sets {
    /// Says what they are, and makes them a run's data, the validation set, and a description.
    pub fn announce(
        self,
        model: &CausalLm,
        name: String,
        max_length: usize,
        output: &Output,
    ) -> (RunData, Vec<Sample>, Setup) {
        let Self {
            pack,
            train,
            domain,
            general,
            replay,
            consolidation,
            validation,
        } = self;
        let optional = |set: &Option<Set>| set.as_ref().map(Set::summary);
        let setup = Setup {
            model: name,
            parameters: model.parameter_count(),
            max_length,
            train: train.summary(),
            domain: domain.summary(),
            general: general.summary(),
            replay: optional(&replay),
            consolidation: optional(&consolidation),
            validation: optional(&validation),
        };
        let described = [
            ("Train", Some(&setup.train)),
            ("Domain", Some(&setup.domain)),
            ("General", Some(&setup.general)),
            ("Replay", setup.replay.as_ref()),
            ("EWC", setup.consolidation.as_ref()),
            ("Choosing", setup.validation.as_ref()),
        ];
        for (title, summary) in described {
            if let Some(summary) = summary {
                describe(output, title, summary);
            }
        }
        let samples = |set: Option<Set>| set.map_or_else(Vec::new, |set| set.samples.samples);
        let mut data = RunData {
            train: train.samples.samples,
            domain: domain.samples.samples,
            general: general.samples.samples,
            replay: samples(replay),
            consolidation: samples(consolidation),
        };
        let validation = samples(validation);
        for (a, b, what) in [
            (
                &data.replay,
                &data.general,
                "measure what is forgotten and are replayed",
            ),
            (
                &data.consolidation,
                &data.general,
                "measure what is forgotten and are used by EWC",
            ),
            (
                &data.replay,
                &validation,
                "are for choosing and are replayed",
            ),
            (
                &validation,
                &data.general,
                "are for choosing and measure what is forgotten",
            ),
            (&data.train, &data.domain, "are trained on and held out"),
        ] {
            let known: HashSet<&Sample> = a.iter().collect();
            let both = b.iter().filter(|sample| known.contains(sample)).count();
            if both > 0 {
                output.text(format!(
                    "Note     {both} samples {what}: what comes out will look better than it is"
                ));
            }
        }
        if pack {
            for samples in [&mut data.train, &mut data.replay] {
                *samples = packed(samples, max_length);
            }
            output.text(format!(
                "Packed   into {} samples of up to {max_length} tokens",
                thousands(data.train.len() as f64)
            ));
        }
        (data, validation, setup)
    }
}

/// A line about a set of samples.
pub fn describe(output: &Output, title: &str, summary: &DataSummary) {
    let number = |number: usize| thousands(number as f64);
    let mut line = format!(
        "{title:<8} {} samples, {} tokens to predict: {}",
        number(summary.samples),
        number(summary.tokens),
        summary.origin
    );
    let more = [
        (summary.given, "tokens only given"),
        (
            if summary.samples > summary.texts {
                summary.texts
            } else {
                0
            },
            "texts in windows",
        ),
        (
            summary.truncated,
            "cut to length (--long-texts windows keeps their rest)",
        ),
        (summary.skipped, "with nothing to predict, skipped"),
    ];
    for (count, what) in more.into_iter().filter(|&(count, _)| count > 0) {
        line.push_str(&format!("; {} {what}", number(count)));
    }
    output.text(line);
}

/// Says how much memory a training takes, and what would take less where it does not fit.
pub fn memory(
    estimate: &MemoryEstimate,
    model: &CausalLm,
    data: &RunData,
    settings: &TrainSettings,
    output: &Output,
) -> Result<()> {
    let mebibytes = |bytes: u64| thousands(bytes.div_ceil(1 << 20) as f64);
    let parts = estimate.parts.iter();
    let parts: Vec<String> = parts
        .map(|part| format!("{} {}", mebibytes(part.bytes), part.name))
        .collect();
    output.text(format!(
        "Memory   about {} MiB: {}",
        mebibytes(estimate.total),
        parts.join("; ")
    ));
    let Some(excess) = estimate.excess(model.device()) else {
        return Ok(());
    };
    output.text(format!("Note     {excess}"));
    for (change, bytes) in MemoryEstimate::savings(model, data, settings)? {
        output.text(format!(
            "         {change} would take {} MiB",
            mebibytes(bytes)
        ));
    }
    Ok(())
}

/// Refuses a folder to write that is, or holds, one of the paths that are needed.
pub fn apart<'a>(out: &Path, needed: impl Iterator<Item = &'a Path>) -> Result<()> {
    // A place without a name is refused for that.
    if out.file_name().is_none() {
        return Ok(());
    }
    let place = real(out);
    for path in needed {
        if real(path).starts_with(&place) {
            let expected = format!("a folder that does not hold {}", path.display());
            return Err(Error::setting("out", out.display(), expected));
        }
    }
    Ok(())
}

/// Where a path leads, as far as there is something.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    for there in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (there.canonicalize(), path.strip_prefix(there)) {
            return real.join(rest);
        }
    }
    path
}

/// Begins the first of DIR, DIR-2, DIR-3 … that is free.
pub fn free_folder(name: &str) -> Result<FolderWriter> {
    std::iter::once(name.to_string())
        .chain((2..).map(|number| format!("{name}-{number}")))
        .map(|place| FolderWriter::new(Path::new(&place), false))
        .find(|begun| !matches!(begun, Err(Error::OutputExists { .. } | Error::InUse { .. })))
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
