//! Texts and samples for JavaScript.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::wasm_bindgen;

use super::domains::SampleDomain;
use super::model::Model;
use super::{Thrown, not_as_declared, thrown};
use crate::demo;
use crate::text::{self, Preparation, ReadOptions, Record, SamplePreview, parse_records, preview};
use crate::train::RunData;
use crate::train::report::DataSummary;

/// A summary of texts.
#[derive(Clone, Debug, Serialize, Tsify)]
pub struct TextsInfo {
    /// Number of texts.
    texts: usize,
    /// Total number of characters.
    characters: usize,
    /// The first text.
    first: String,
    /// A prompt of the kind of the texts.
    prompt: String,
    /// Notes about reading them, such as unused columns.
    notes: Vec<String>,
}

/// Words of a text that form a prompt.
const PROMPT_WORDS: usize = 8;

/// The samples of a set, as training sees them.
#[derive(Clone, Debug, Serialize, Tsify)]
pub struct SetPreview {
    summary: DataSummary,
    /// Why texts were skipped; empty if none were.
    skipped_because: &'static str,
    /// The first, the middle and the last sample.
    shown: Vec<SamplePreview>,
}

/// The texts of a file.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Texts {
    records: Vec<Record>,
    origin: String,
    /// The prompt of an embedded domain.
    prompt: Option<&'static str>,
    notes: Vec<String>,
}

#[wasm_bindgen]
impl Texts {
    /// Parses the bytes of a file: `.txt`, `.md`, `.jsonl`, `.ndjson`, `.json`, `.csv`, `.tsv` or `.parquet`,
    /// optionally compressed (`.gz`, `.zst`); without an extension, its content determines the format.
    pub fn parse(name: String, bytes: &[u8]) -> Thrown<Self> {
        let found = parse_records(bytes, Path::new(&name), &ReadOptions::default());
        let text::Records { records, notes, .. } = found.map_err(thrown)?;
        if records.is_empty() {
            let origin = name;
            let reason = "it contains no text".to_string();
            return Err(thrown(crate::Error::NoSamples { origin, reason }));
        }
        Ok(Self {
            records,
            origin: name,
            prompt: None,
            notes,
        })
    }

    /// Returns an embedded domain set.
    pub fn domain(domain: Ts<SampleDomain>) -> Thrown<Self> {
        let domain: SampleDomain = domain.to_rust().map_err(not_as_declared)?;
        Ok(Self {
            records: domain.records().map_err(thrown)?,
            origin: domain.origin(),
            prompt: Some(domain.prompt()),
            notes: Vec::new(),
        })
    }

    /// Returns the embedded general set: tiny stories.
    pub fn tales() -> Thrown<Self> {
        let mut tales = demo::tales().map_err(thrown)?;
        tales.truncate(demo::GENERAL_TALES);
        Ok(Self {
            records: tales.into_iter().map(Record::Text).collect(),
            origin: demo::TALES_ORIGIN.to_string(),
            prompt: Some(demo::GENERAL_PROMPT),
            notes: Vec::new(),
        })
    }

    /// Returns a summary.
    pub fn info(&self) -> Thrown<Ts<TextsInfo>> {
        let first = self.records.first();
        let first = first.map(Record::to_string).unwrap_or_default();
        let words: Vec<&str> = first.split_whitespace().take(PROMPT_WORDS).collect();
        let info = TextsInfo {
            texts: self.records.len(),
            characters: self.records.iter().map(Record::characters).sum(),
            prompt: self.prompt.map_or_else(|| words.join(" "), str::to_string),
            first,
            notes: self.notes.clone(),
        };
        info.into_ts().map_err(not_as_declared)
    }
}

/// Tokenized texts.
#[wasm_bindgen]
#[derive(Clone, Debug)]
pub struct Samples {
    pub(super) samples: text::Samples,
    pub(super) origin: String,
}

#[wasm_bindgen]
impl Samples {
    /// Tokenizes texts for a model and truncates each to a maximum length in tokens.
    #[wasm_bindgen(js_name = tokenize)]
    pub fn tokenize(
        texts: &Texts,
        model: &Model,
        #[wasm_bindgen(js_name = maxLength)] max_length: usize,
    ) -> Thrown<Self> {
        let preparation = Preparation::to_length(max_length);
        let samples = model
            .model
            .reader()
            .samples(&texts.records, &preparation, &texts.origin);
        Ok(Self {
            samples: samples.map_err(thrown)?,
            origin: texts.origin.clone(),
        })
    }

    /// Returns texts that a model generates without a prompt, up to a number and to a maximum length in tokens.
    pub async fn generated(
        model: &Model,
        count: usize,
        #[wasm_bindgen(js_name = maxLength)] max_length: usize,
        seed: u32,
    ) -> Thrown<Self> {
        let texts = model
            .model
            .sample_texts(count, max_length, seed.into(), |_| ());
        Ok(Self {
            samples: text::Samples::whole(texts.await.map_err(thrown)?),
            origin: "generated by the base model".to_string(),
        })
    }

    /// Returns these samples followed by others of the same origin.
    pub fn joined(&self, others: &Self) -> Self {
        let mut all = self.clone();
        let (own, more) = (&mut all.samples, &others.samples);
        own.samples.extend_from_slice(&more.samples);
        own.texts.extend_from_slice(&more.texts);
        all
    }

    /// Returns the number of samples.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> usize {
        self.samples.texts.len()
    }

    /// Returns a preview of the samples, with what is predicted marked.
    pub fn preview(&self, model: &Model) -> Thrown<Ts<SetPreview>> {
        let summary = self.describe();
        let preview = SetPreview {
            skipped_because: match summary.skipped {
                0 => "",
                _ => summary.skipped_because(),
            },
            summary,
            shown: preview(&self.samples.samples, model.model.tokenizer()).map_err(thrown)?,
        };
        preview.into_ts().map_err(not_as_declared)
    }

    /// Returns the samples `start..end`, clamped to the length.
    pub fn slice(&self, start: usize, end: usize) -> Self {
        let mut samples = self.samples.clone();
        samples.split_off(end.min(self.length()));
        Self {
            samples: samples.split_off(start.min(end).min(self.length())),
            origin: self.origin.clone(),
        }
    }

    /// Returns `count` samples at equal distances, at most all.
    pub fn spread(&self, count: usize) -> Self {
        let length = self.samples.samples.len();
        let count = count.min(length);
        let samples = (0..count).map(|place| self.samples.samples[place * length / count].clone());
        Self {
            samples: text::Samples::whole(samples.collect()),
            origin: self.origin.clone(),
        }
    }
}

impl Samples {
    /// Returns a summary for the report.
    pub(super) fn describe(&self) -> DataSummary {
        DataSummary::new(&self.samples, self.origin.clone())
    }
}

/// The samples of a run.
#[wasm_bindgen]
#[derive(Clone, Debug)]
pub struct Data(pub(super) Arc<RunData>);

#[wasm_bindgen]
impl Data {
    /// Combines the training, held-out domain and general sets.
    #[wasm_bindgen(constructor)]
    pub fn new(train: &Samples, domain: &Samples, general: &Samples) -> Self {
        let [train, domain, general] =
            [train, domain, general].map(|set| set.samples.samples.clone());
        Self(Arc::new(RunData {
            train,
            domain,
            general,
            ..RunData::default()
        }))
    }
    /// Adds general text to replay, or to measure the importance of weights on, where the settings ask for it.
    #[wasm_bindgen(js_name = withGeneralText)]
    pub fn with_general_text(&self, texts: &Samples) -> Self {
        let samples = &texts.samples.samples;
        Self(Arc::new(RunData {
            replay: samples.clone(),
            consolidation: samples.clone(),
            ..(*self.0).clone()
        }))
    }
}
