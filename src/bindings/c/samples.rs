//! Tokenized samples.

use std::ffi::c_char;
use std::path::PathBuf;

use super::model::MiniftModel;
use super::pointers::{self, Out, borrow, into_handle, optional_str_arg, release};
use super::settings::reading;
use super::status::{MiniftStatus, Result, call, value};
use crate::demo;
use crate::error::Error;
use crate::text::{Preparation, Record, Samples, paths_in_words, read_all};
use crate::train::report::DataSummary;

/// Texts tokenized for a model. Immutable: any number of threads may use them at once.
pub struct MiniftSamples {
    pub(super) samples: Samples,
    origin: String,
    pub(super) max_length: usize,
}

impl MiniftSamples {
    /// Tokenizes records for a model.
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

    /// Tokenizes texts that do not come from files.
    fn of_texts(
        model: &MiniftModel,
        texts: impl IntoIterator<Item = String>,
        options: Option<&str>,
        origin: &str,
    ) -> Result<Self> {
        let (read, preparation) = reading(options, model.model.reader())?;
        for (name, column) in [
            ("column", read.column),
            ("prompt_column", read.prompt_column),
            ("completion_column", read.completion_column),
            ("messages_column", read.messages_column),
            ("split", read.split),
        ] {
            if let Some(column) = column {
                let expected = "no column for texts that are not read from files";
                return Err(Error::setting(name, column, expected).into());
            }
        }
        let records: Vec<Record> = texts.into_iter().map(Record::Text).collect();
        Self::new(model, &records, &preparation, origin.to_string())
    }

    /// Wraps a part of these samples, under the same origin.
    fn with(&self, samples: Samples) -> Self {
        Self {
            samples,
            origin: self.origin.clone(),
            max_length: self.max_length,
        }
    }

    /// Summary for the report of a run.
    pub(super) fn summary(&self) -> DataSummary {
        DataSummary::new(&self.samples, self.origin.clone())
    }
}

/// Reads and tokenizes samples for a model from `count` paths: files, folders, or glob patterns
/// such as "*.jsonl". Supported files are .txt (samples separated by blank lines), .md, .jsonl,
/// .ndjson, .json, .csv, .tsv and .parquet, each optionally compressed with gzip or zstd.
///
/// `options` is NULL or a JSON object of:
///
/// - `max_length`: maximum number of tokens per sample (default 256, or the maximum
///   sequence length of the model if that is smaller).
/// - `column`: name of the text column or key (default: `text`; without it, the columns or
///   keys of a known style, such as `messages`).
/// - `prompt_column`, `completion_column`: names of the columns or keys of prompts and
///   their completions.
/// - `messages_column`: name of the column or key of conversations.
/// - `split`: split of a folder that has files such as "train.jsonl" and "valid.jsonl"
///   (default: "train").
/// - `long_texts`: "cut" to truncate long texts, or "windows" to split them (default
///   "windows" for .md files and files found in folders, otherwise "cut").
/// - `overlap`: number of tokens shared by consecutive windows (default 0).
/// - `train_on`: "answers" to train on the completions of prompts and conversations
///   only, or "all" (default "answers").
/// - `end_token`: "auto" to append the end-of-sequence token of the model to texts and
///   completions that are not truncated, or "never" (default "auto").
///
/// Blocks. Unused columns and keys are logged. Free `*samples` with `minift_samples_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_read(
    model: *const MiniftModel,
    paths: *const *const c_char,
    count: usize,
    options: *const c_char,
    samples: *mut *mut MiniftSamples,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let (out, model, paths, options) = unsafe {
            (
                Out::new(samples, "samples")?,
                borrow(model, "model")?,
                pointers::str_args(paths, count, "paths")?,
                optional_str_arg(options, "options")?,
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
        out.set(into_handle(read));
        Ok(())
    })
}

/// Tokenizes `count` texts for a model. Takes the `options` of `minift_samples_read` except
/// those of columns and splits. Blocks. Free `*samples` with `minift_samples_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_from_texts(
    model: *const MiniftModel,
    texts: *const *const c_char,
    count: usize,
    options: *const c_char,
    samples: *mut *mut MiniftSamples,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let (out, model, texts, options) = unsafe {
            (
                Out::new(samples, "samples")?,
                borrow(model, "model")?,
                pointers::str_args(texts, count, "texts")?,
                optional_str_arg(options, "options")?,
            )
        };
        let texts = texts.into_iter().map(String::from);
        let made = MiniftSamples::of_texts(&model, texts, options, "texts of the application")?;
        out.set(into_handle(made));
        Ok(())
    })
}

/// Tokenizes the embedded domain texts: 660 repair tickets of a bicycle workshop. Takes the
/// `options` of `minift_samples_from_texts`. Blocks. Free `*samples` with `minift_samples_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_tickets(
    model: *const MiniftModel,
    options: *const c_char,
    samples: *mut *mut MiniftSamples,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        unsafe { embedded(model, options, samples, demo::tickets, demo::TICKETS_ORIGIN) }
    })
}

/// Tokenizes the embedded general texts: 240 short stories like those that the embedded model was
/// trained on. Takes the `options` of `minift_samples_from_texts`. Blocks. Free `*samples` with
/// `minift_samples_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_tales(
    model: *const MiniftModel,
    options: *const c_char,
    samples: *mut *mut MiniftSamples,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        unsafe { embedded(model, options, samples, demo::tales, demo::TALES_ORIGIN) }
    })
}

/// Tokenizes embedded texts.
///
/// # Safety
///
/// The caller follows the pointer rules of the header.
unsafe fn embedded(
    model: *const MiniftModel,
    options: *const c_char,
    samples: *mut *mut MiniftSamples,
    texts: fn() -> crate::Result<Vec<String>>,
    origin: &str,
) -> Result<()> {
    // SAFETY: upheld by the caller.
    let (out, model, options) = unsafe {
        (
            Out::new(samples, "samples")?,
            borrow(model, "model")?,
            optional_str_arg(options, "options")?,
        )
    };
    let made = MiniftSamples::of_texts(&model, texts()?, options, origin)?;
    out.set(into_handle(made));
    Ok(())
}

/// Returns the number of texts that the samples were made from, or 0 if `samples` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_count(samples: *const MiniftSamples) -> usize {
    value(0, || {
        // SAFETY: NULL or a live handle, as the header requires.
        unsafe { borrow(samples, "samples") }.map(|samples| samples.samples.texts.len())
    })
}

/// Returns the number of predicted tokens in the samples, or 0 if `samples` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_tokens(samples: *const MiniftSamples) -> usize {
    value(0, || {
        // SAFETY: NULL or a live handle, as the header requires.
        unsafe { borrow(samples, "samples") }.map(|samples| samples.samples.predicted_tokens())
    })
}

/// Splits samples into those of the first `count` texts and those of the others. `samples` is
/// unchanged. Free `*first` and `*others` with `minift_samples_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_split(
    samples: *const MiniftSamples,
    count: usize,
    first: *mut *mut MiniftSamples,
    others: *mut *mut MiniftSamples,
) -> MiniftStatus {
    let split = |all: &mut Samples| all.split_off(count);
    // SAFETY: the caller follows the pointer rules of the header.
    call(|| unsafe { parts(samples, count, (first, "first"), (others, "others"), split) })
}

/// Splits samples at random into those of `count` held-out texts, drawn with `seed`, and those of
/// the others. The command line holds out a tenth, rounded up. `samples` is unchanged. Free `*kept`
/// and `*held_out` with `minift_samples_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_hold_out(
    samples: *const MiniftSamples,
    count: usize,
    seed: u64,
    kept: *mut *mut MiniftSamples,
    held_out: *mut *mut MiniftSamples,
) -> MiniftStatus {
    let draw = |all: &mut Samples| all.draw(count, seed);
    // SAFETY: the caller follows the pointer rules of the header.
    call(|| unsafe { parts(samples, count, (kept, "kept"), (held_out, "held_out"), draw) })
}

/// An output pointer, and the name of its argument.
type Named = (*mut *mut MiniftSamples, &'static str);

/// Splits samples into the part that `take` removes and the rest.
///
/// # Safety
///
/// The caller follows the pointer rules of the header.
unsafe fn parts(
    samples: *const MiniftSamples,
    count: usize,
    left: Named,
    part: Named,
    take: impl FnOnce(&mut Samples) -> Samples,
) -> Result<()> {
    // SAFETY: upheld by the caller.
    let (left, part, all) = unsafe {
        (
            Out::new(left.0, left.1)?,
            Out::new(part.0, part.1)?,
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
    left.set(into_handle(all.with(rest)));
    part.set(into_handle(all.with(taken)));
    Ok(())
}

/// Frees samples. `samples` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_samples_free(samples: *mut MiniftSamples) {
    // SAFETY: NULL or a live handle, as the header requires.
    unsafe { release(samples) }
}
