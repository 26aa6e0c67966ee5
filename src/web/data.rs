//! Texts and samples for JavaScript.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::wasm_bindgen;

use super::model::Model;
use super::{Thrown, not_as_declared, thrown};
use crate::data::{self, Preparation, ReadOptions, Record, parse_records};
use crate::demo;
use crate::report::DataSummary;
use crate::train::RunData;

/// What texts are.
#[derive(Clone, Debug, Serialize, Tsify)]
pub struct TextsInfo {
    /// How many.
    texts: usize,
    /// Characters in all of them.
    characters: usize,
    /// The first one.
    first: String,
}

/// Texts out of a file.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Texts {
    records: Vec<Record>,
    origin: String,
}

#[wasm_bindgen]
impl Texts {
    /// The texts in the bytes of a file: `.txt`, `.md`, `.jsonl`, `.ndjson`, `.json`, `.csv` or `.tsv`,
    /// also compressed (`.gz`, `.zst`).
    pub fn parse(name: String, bytes: &[u8]) -> Thrown<Self> {
        let found = parse_records(bytes, Path::new(&name), &ReadOptions::default());
        let records = found.map_err(thrown)?.records;
        if records.is_empty() {
            let origin = name;
            let skipped = 0;
            return Err(thrown(crate::Error::NoSamples { origin, skipped }));
        }
        Ok(Self {
            records,
            origin: name,
        })
    }

    /// The embedded domain: tickets of a bicycle workshop.
    pub fn tickets() -> Thrown<Self> {
        Ok(Self {
            records: texts(demo::tickets().map_err(thrown)?),
            origin: demo::TICKETS_ORIGIN.to_string(),
        })
    }

    /// The embedded general set: tiny stories.
    pub fn tales() -> Thrown<Self> {
        let mut tales = demo::tales().map_err(thrown)?;
        tales.truncate(demo::GENERAL_TALES);
        Ok(Self {
            records: texts(tales),
            origin: demo::TALES_ORIGIN.to_string(),
        })
    }

    /// What they are.
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

/// Tokenised texts.
#[wasm_bindgen]
#[derive(Clone, Debug)]
pub struct Samples {
    pub(super) samples: data::Samples,
    pub(super) origin: String,
}

#[wasm_bindgen]
impl Samples {
    /// Tokenises texts for a model and cuts each to a greatest length in tokens.
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

    /// How many.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> usize {
        self.samples.texts.len()
    }

    /// Those from `start` until before `end`, as far as there are such.
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
    /// What they are, for a report.
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
    /// To train on, held out of the same domain, and what should not be forgotten.
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
