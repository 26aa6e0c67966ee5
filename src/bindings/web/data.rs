//! Texts and samples for JavaScript.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::wasm_bindgen;

use super::model::Model;
use super::{Thrown, not_as_declared, thrown};
use crate::demo;
use crate::text::{self, Preparation, ReadOptions, Record, parse_records};
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
}

/// The texts of a file.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Texts {
    records: Vec<Record>,
    origin: String,
}

#[wasm_bindgen]
impl Texts {
    /// Parses the bytes of a file: `.txt`, `.md`, `.jsonl`, `.ndjson`, `.json`, `.csv` or `.tsv`,
    /// optionally compressed (`.gz`, `.zst`).
    pub fn parse(name: String, bytes: &[u8]) -> Thrown<Self> {
        let found = parse_records(bytes, Path::new(&name), &ReadOptions::default());
        let records = found.map_err(thrown)?.records;
        if records.is_empty() {
            let origin = name;
            let reason = "it contains no text".to_string();
            return Err(thrown(crate::Error::NoSamples { origin, reason }));
        }
        Ok(Self {
            records,
            origin: name,
        })
    }

    /// Returns the embedded domain set: tickets of a bicycle workshop.
    pub fn tickets() -> Thrown<Self> {
        Ok(Self {
            records: texts(demo::tickets().map_err(thrown)?),
            origin: demo::TICKETS_ORIGIN.to_string(),
        })
    }

    /// Returns the embedded general set: tiny stories.
    pub fn tales() -> Thrown<Self> {
        let mut tales = demo::tales().map_err(thrown)?;
        tales.truncate(demo::GENERAL_TALES);
        Ok(Self {
            records: texts(tales),
            origin: demo::TALES_ORIGIN.to_string(),
        })
    }

    /// Returns a summary.
    pub fn info(&self) -> Thrown<Ts<TextsInfo>> {
        let info = TextsInfo {
            texts: self.records.len(),
            characters: self.records.iter().map(Record::characters).sum(),
            first: self
                .records
                .first()
                .map(Record::to_string)
                .unwrap_or_default(),
        };
        info.into_ts().map_err(not_as_declared)
    }
}

fn texts(texts: Vec<String>) -> Vec<Record> {
    texts.into_iter().map(Record::Text).collect()
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

    /// Returns the number of samples.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> usize {
        self.samples.texts.len()
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
}
