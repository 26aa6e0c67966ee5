//! The embedded texts: a domain to finetune on, and general texts that measure forgetting.

use std::path::Path;

use crate::error::Result;
use crate::text::{ReadOptions, Record, parse_records};

/// Number of tickets that the demonstration trains on; the others are held out.
pub const TRAIN_TICKETS: usize = 500;
/// Number of tales that measure forgetting; the others are for hyperparameter selection.
pub const GENERAL_TALES: usize = 200;
/// Display name of [`tickets`].
pub const TICKETS_ORIGIN: &str = "tickets of a bicycle workshop (embedded)";
/// Display name of [`tales`].
pub const TALES_ORIGIN: &str = "tiny stories (embedded)";
/// A prompt from the domain.
pub const DOMAIN_PROMPT: &str = "Bike: city bike, 7-speed hub, back-pedal brake\nComplaint:";
/// A prompt of the kind that the embedded model was trained on.
pub const GENERAL_PROMPT: &str = "Once upon a time, there was a little";

/// Returns 660 repair tickets of an imaginary bicycle workshop.
///
/// # Errors
///
/// [`crate::Error::DataFile`], which the embedded file does not cause.
pub fn tickets() -> Result<Vec<String>> {
    texts(
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/tickets.jsonl")),
        Path::new("tickets.jsonl"),
    )
}

/// Returns 240 tiny stories of the kind that the embedded model was trained on.
///
/// # Errors
///
/// [`crate::Error::DataFile`], which the embedded file does not cause.
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
