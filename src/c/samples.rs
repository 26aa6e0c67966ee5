//! Texts as samples, for C.

use std::ffi::c_char;
use std::path::PathBuf;

use super::model::MiniftModel;
use super::pointers::{self, Place, borrow, handle, optional_text, release};
use super::settings::reading;
use super::status::{MiniftStatus, Result, call, value};
use crate::data::{Preparation, Record, Samples, paths_in_words, read_all};
use crate::demo;
use crate::error::Error;
use crate::report::DataSummary;

/// Texts as the tokens of a model. They never change: several threads may use them at once.
pub struct MiniftSamples {
    pub(super) samples: Samples,
    origin: String,
    pub(super) max_length: usize,
}

impl MiniftSamples {
    /// Records as samples for a model.
    fn new(
        model: &MiniftModel,
        records: &[Record],
        preparation: &Preparation,
        origin: String,
    ) -> Result<Self> {
        let samples = model
            .model
            .reader()
            .samples(records, preparation, &origin)?;
        Ok(Self {
            samples,
            origin,
            max_length: preparation.max_length,
        })
    }

    /// Texts that are no files.
    fn of_texts(
        model: &MiniftModel,
        texts: impl IntoIterator<Item = String>,
        options: Option<&str>,
        origin: &str,
    ) -> Result<Self> {
        let (read, preparation) = reading(options, model.model.reader())?;
        if let Some(column) = read.column {
            let expected = "none for texts that are not read from files";
            return Err(Error::setting("column", column, expected).into());
        }
        let records: Vec<Record> = texts.into_iter().map(Record::Text).collect();
        Self::new(model, &records, &preparation, origin.to_string())
    }

    /// Others of the same origin.
    fn with(&self, samples: Samples) -> Self {
        Self {
            samples,
            origin: self.origin.clone(),
            max_length: self.max_length,
        }
    }

    /// What they are, for a report.
    pub(super) fn summary(&self) -> DataSummary {
        DataSummary::new(&self.samples, self.origin.clone())
    }
}

/// Reads samples for a model out of `count` paths (UTF-8): files (.txt with samples separated by blank
/// lines, .md, .jsonl, .ndjson, .json, .csv, .tsv, each also with .gz or .zst, .parquet), folders of
/// texts, patterns such as "*.jsonl".
///
/// `options` is NULL or a JSON object of: `max_length`, the tokens that samples have at most (256, or
/// the model's greatest length if that is less); `column`, the name of the column or key that holds the
/// text (`text`, or `prompt` and `completion`, or `messages`, whichever there is); `long_texts`, "cut" or
/// "windows" (windows for .md files and files of folders, else cut); `overlap`, the tokens that a window
/// repeats (0); `train_on`, "answers" of prompts and conversations or "all" ("answers").
///
/// Blocks while it reads. What of the files is not used goes to the log. `*samples` is to be freed by
/// `minift_samples_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_read(
    model: *const MiniftModel,
    paths: *const *const c_char,
    count: usize,
    options: *const c_char,
    samples: *mut *mut MiniftSamples,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let (place, model, paths, options) = unsafe {
            (
                Place::new(samples, "samples")?,
                borrow(model, "model")?,
                pointers::texts(paths, count, "paths")?,
                optional_text(options, "options")?,
            )
        };
        let (read, preparation) = reading(options, model.model.reader())?;
        let files: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let found = read_all(&files, &read)?;
        for note in &found.notes {
            log::warn!("{note}");
        }
        let origin = paths_in_words(&files);
        let read = MiniftSamples::new(&model, &found.records, &preparation, origin)?;
        place.put(handle(read));
        Ok(())
    })
}

/// Makes samples for a model of `count` texts (UTF-8), with the `options` of `minift_samples_read`, but
/// for `column`. Blocks while it makes tokens of them. `*samples` is to be freed by `minift_samples_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_from_texts(
    model: *const MiniftModel,
    texts: *const *const c_char,
    count: usize,
    options: *const c_char,
    samples: *mut *mut MiniftSamples,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let (place, model, texts, options) = unsafe {
            (
                Place::new(samples, "samples")?,
                borrow(model, "model")?,
                pointers::texts(texts, count, "texts")?,
                optional_text(options, "options")?,
            )
        };
        let texts = texts.into_iter().map(String::from);
        let made = MiniftSamples::of_texts(&model, texts, options, "texts of the application")?;
        place.put(handle(made));
        Ok(())
    })
}

/// The embedded domain: 660 tickets of a bicycle workshop, with the `options` of
/// `minift_samples_from_texts`. Blocks as that does. `*samples` is to be freed by `minift_samples_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_tickets(
    model: *const MiniftModel,
    options: *const c_char,
    samples: *mut *mut MiniftSamples,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        unsafe { embedded(model, options, samples, demo::tickets, demo::TICKETS_ORIGIN) }
    })
}

/// The embedded general text: 240 tiny stories in the language that the embedded model knows, with the
/// `options` of `minift_samples_from_texts`. Blocks as that does. `*samples` is to be freed by
/// `minift_samples_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_tales(
    model: *const MiniftModel,
    options: *const c_char,
    samples: *mut *mut MiniftSamples,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        unsafe { embedded(model, options, samples, demo::tales, demo::TALES_ORIGIN) }
    })
}

/// Texts that are part of the library.
///
/// # Safety
///
/// The pointers are as the header asks.
unsafe fn embedded(
    model: *const MiniftModel,
    options: *const c_char,
    samples: *mut *mut MiniftSamples,
    texts: fn() -> crate::Result<Vec<String>>,
    origin: &str,
) -> Result<()> {
    // SAFETY: the caller's.
    let (place, model, options) = unsafe {
        (
            Place::new(samples, "samples")?,
            borrow(model, "model")?,
            optional_text(options, "options")?,
        )
    };
    let made = MiniftSamples::of_texts(&model, texts()?, options, origin)?;
    place.put(handle(made));
    Ok(())
}

/// Texts that the samples were made of; 0 where `samples` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_count(samples: *const MiniftSamples) -> usize {
    value(0, || {
        // SAFETY: a handle, as the header asks.
        unsafe { borrow(samples, "samples") }.map(|samples| samples.samples.texts.len())
    })
}

/// Tokens in the samples that are to be predicted; 0 where `samples` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_tokens(samples: *const MiniftSamples) -> usize {
    value(0, || {
        // SAFETY: a handle, as the header asks.
        unsafe { borrow(samples, "samples") }.map(|samples| samples.samples.positions())
    })
}

/// Makes two of one: the samples of the first `count` texts, and those of the others. `samples` stays
/// as it is; `*first` and `*others` are to be freed by `minift_samples_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_split(
    samples: *const MiniftSamples,
    count: usize,
    first: *mut *mut MiniftSamples,
    others: *mut *mut MiniftSamples,
) -> MiniftStatus {
    let split = |all: &mut Samples| all.split_off(count);
    // SAFETY: the pointers are as the header asks.
    call(|| unsafe { parts(samples, count, (first, "first"), (others, "others"), split) })
}

/// Makes two of one: the samples of `count` texts that `seed` chooses, held out, and those of the
/// others, kept. The command line holds out a tenth, rounded up. `samples` stays as it is; `*kept` and
/// `*held_out` are to be freed by `minift_samples_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_hold_out(
    samples: *const MiniftSamples,
    count: usize,
    seed: u64,
    kept: *mut *mut MiniftSamples,
    held_out: *mut *mut MiniftSamples,
) -> MiniftStatus {
    let draw = |all: &mut Samples| all.draw(count, seed);
    // SAFETY: the pointers are as the header asks.
    call(|| unsafe { parts(samples, count, (kept, "kept"), (held_out, "held_out"), draw) })
}

/// A place for a handle, and the argument's name.
type Named = (*mut *mut MiniftSamples, &'static str);

/// Takes a part out of samples and gives what is left, and the part.
///
/// # Safety
///
/// The pointers are as the header asks.
unsafe fn parts(
    samples: *const MiniftSamples,
    count: usize,
    left: Named,
    part: Named,
    take: impl FnOnce(&mut Samples) -> Samples,
) -> Result<()> {
    // SAFETY: the caller's.
    let (left, part, all) = unsafe {
        (
            Place::new(left.0, left.1)?,
            Place::new(part.0, part.1)?,
            borrow(samples, "samples")?,
        )
    };
    let available = all.samples.texts.len();
    if count > available {
        return Err(Error::TooFewSamples {
            origin: all.origin.clone(),
            requested: count,
            available,
        }
        .into());
    }
    let mut rest = all.samples.clone();
    let taken = take(&mut rest);
    left.put(handle(all.with(rest)));
    part.put(handle(all.with(taken)));
    Ok(())
}

/// Frees samples. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_free(samples: *mut MiniftSamples) {
    // SAFETY: a handle, as the header asks.
    unsafe { release(samples) }
}
