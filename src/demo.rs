//! The texts that are part of the program: a domain to adapt to, and what should not be forgotten.

use std::path::Path;

use crate::data::{ReadOptions, Record, parse_records};
use crate::error::Result;

/// Tickets that train in the demonstration; the rest is held out.
pub const TRAIN_TICKETS: usize = 500;
/// Tales that measure what is forgotten; the rest is for choosing settings.
pub const GENERAL_TALES: usize = 200;
/// What [`tickets`] are, for people and reports.
pub const TICKETS_ORIGIN: &str = "tickets of a bicycle workshop (embedded)";
/// What [`tales`] are.
pub const TALES_ORIGIN: &str = "tiny stories (embedded)";
/// A text in the domain's form for a model to continue.
pub const DOMAIN_PROMPT: &str = "Bike: city bike, 7-speed hub, back-pedal brake\nComplaint:";
/// A text of the kind that the embedded model knows.
pub const GENERAL_PROMPT: &str = "Once upon a time, there was a little";

/// 660 repair tickets of an imaginary bicycle workshop.
///
/// # Errors
///
/// None that is known; the file is part of the program.
pub fn tickets() -> Result<Vec<String>> {
    texts(
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/tickets.jsonl")),
        Path::new("tickets.jsonl"),
    )
}

/// 240 tiny stories in the language that the embedded model knows.
///
/// # Errors
///
/// None that is known; the file is part of the program.
pub fn tales() -> Result<Vec<String>> {
    texts(
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/tales.jsonl")),
        Path::new("tales.jsonl"),
    )
}

fn texts(bytes: &[u8], path: &Path) -> Result<Vec<String>> {
    let found = parse_records(bytes, path, &ReadOptions::default())?;
    let texts = found.records.into_iter().filter_map(|record| match record {
        Record::Text(text) => Some(text),
        _ => None,
    });
    Ok(texts.collect())
}
