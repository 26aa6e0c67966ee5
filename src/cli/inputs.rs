//! The arguments for data, and how it is read.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::downloads;
use super::output::{Output, counted};
use crate::error::{Error, Result};
use crate::hub::HubDataSet;
use crate::model::TextReader;
use crate::text::{
    EndToken, LongTexts, Preparation, ReadOptions, Records, Samples, TrainOn, parse_records,
    paths_in_words, read_all, read_records, splits_of,
};

/// The argument that stands for the standard input.
const STDIN: &str = "-";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum LongTextsArgument {
    /// Truncate them
    Cut,
    /// Split them into several samples
    Windows,
}

#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(super) struct TextArguments {
    /// Column (.csv, .tsv, .parquet) or key (.jsonl, .json) of the text [default: text; without it, the
    /// columns of a known style, such as messages]
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    pub column: Option<String>,
    /// Column or key of the prompts [default: prompt]
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "column",
        help_heading = "Data"
    )]
    pub prompt_column: Option<String>,
    /// Column or key of the completions [default: completion]
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "column",
        help_heading = "Data"
    )]
    pub completion_column: Option<String>,
    /// Column or key of conversations: lists of messages, or such lists as JSON strings
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with_all = ["column", "prompt_column", "completion_column"],
        help_heading = "Data"
    )]
    pub messages_column: Option<String>,
    /// Maximum sample length in tokens [default: 256, or the maximum of the model if smaller]
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub max_length: Option<usize>,
    /// Truncate longer texts (cut) or split them into samples (windows) [default: windows for .md files
    /// and files of a folder, otherwise cut]
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Data")]
    pub long_texts: Option<LongTextsArgument>,
    /// Number of context tokens that a window repeats from the previous one [default: 0]
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub overlap: Option<usize>,
    /// Predicted tokens of prompts with completions and of conversations [default: answers]
    #[arg(long, value_enum, value_name = "WHAT", help_heading = "Data")]
    pub train_on: Option<TrainOn>,
    /// Append the end-of-sequence token to texts and completions that are not truncated [default: auto]
    #[arg(long, value_enum, value_name = "WHEN", help_heading = "Data")]
    pub end_token: Option<EndToken>,
}

impl TextArguments {
    /// Returns how files are read for a model.
    pub(super) fn reading(&self, model: &TextReader) -> Result<TextInput> {
        let long_texts = match (self.long_texts, self.overlap) {
            (None, None) => None,
            (Some(LongTextsArgument::Cut), None) => Some(LongTexts::Cut),
            (None | Some(LongTextsArgument::Windows), overlap) => Some(LongTexts::Windows {
                overlap: overlap.unwrap_or(0),
            }),
            (Some(LongTextsArgument::Cut), Some(overlap)) => {
                let expected = "no value with --long-texts cut";
                return Err(Error::setting("overlap", overlap, expected));
            }
        };
        Ok(TextInput {
            options: ReadOptions {
                column: self.column.clone(),
                prompt_column: self.prompt_column.clone(),
                completion_column: self.completion_column.clone(),
                messages_column: self.messages_column.clone(),
                split: None,
            },
            preparation: Preparation {
                max_length: model.sample_length(self.max_length)?,
                long_texts,
                train_on: self.train_on.unwrap_or_default(),
                end_token: self.end_token.unwrap_or_default(),
            },
        })
    }
}

/// Splits that evaluate a training, in the order of preference.
pub(super) const HELD_OUT: [&str; 2] = ["validation", "test"];

/// The first of these splits that a folder has.
pub(super) fn find_split(path: &Path, preferred: &[&str]) -> Result<Option<String>> {
    let splits = splits_of(path)?;
    let has = |name: &&&str| splits.iter().any(|split| split == **name);
    Ok(preferred.iter().find(has).map(ToString::to_string))
}

/// How files become samples.
pub(super) struct TextInput {
    pub options: ReadOptions,
    pub preparation: Preparation,
}

impl TextInput {
    /// Returns the same for general text, which does not have the named column.
    pub(super) fn of_general(&self) -> Self {
        self.with(ReadOptions::default())
    }

    /// Returns the same with other options for reading.
    pub(super) fn with(&self, options: ReadOptions) -> Self {
        Self {
            options,
            preparation: self.preparation,
        }
    }

    /// Returns the defaults for a maximum length.
    pub(super) fn to_length(length: Option<usize>, model: &TextReader) -> Result<Self> {
        Ok(Self {
            options: ReadOptions::default(),
            preparation: Preparation::to_length(model.sample_length(length)?),
        })
    }

    /// Returns the same for the first of these splits that a folder has, if any.
    pub(super) fn of_split(&self, path: &Path, preferred: &[&str]) -> Result<Self> {
        let mut options = self.options.clone();
        if let Some(split) = find_split(path, preferred)? {
            options.split = Some(split);
        }
        Ok(self.with(options))
    }

    /// Reads files, prints notes about them, and returns the records with their origin.
    pub(super) fn records(&self, paths: &[PathBuf], output: &Output) -> Result<(Records, String)> {
        let mut found = Records::default();
        for path in paths {
            found.append(self.read(path, output)?);
        }
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

    /// Reads a path, the standard input, or a data set on the Hub.
    fn read(&self, path: &Path, output: &Output) -> Result<Records> {
        if path == Path::new(STDIN) {
            let name = Path::new("stdin");
            let mut bytes = Vec::new();
            std::io::stdin()
                .lock()
                .read_to_end(&mut bytes)
                .map_err(Error::io("read", name))?;
            return parse_records(&bytes, name, &self.options);
        }
        match HubDataSet::named_by(path) {
            Some(named) => read_all(&downloads::data(&named, output)?, &self.options),
            None => read_records(path, &self.options),
        }
    }
}

/// Notes what a person may not expect of samples: the cost of windows that overlap by more than half,
/// reasoning that is not trained, and questions that are not rendered as a conversation.
pub(super) fn note_samples(samples: &Samples, output: &Output) {
    if samples.without_template > 0 {
        output.text(format!(
            "Note     the model has no chat template: {} with answers become plain text",
            counted(samples.without_template, "question")
        ));
    }
    if samples.without_reasoning > 0 {
        output.text(format!(
            "Note     the chat template drops the reasoning of {}: the model does not see it",
            counted(samples.without_reasoning, "answer")
        ));
    }
    if samples.has_high_repetition() {
        output.text(format!(
            "Note     overlapping windows process every token {:.1} times: training and evaluation take \
             that much longer than with a small --overlap",
            samples.repetition()
        ));
    }
}
