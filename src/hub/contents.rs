//! The files of a model's repository, and which of them are downloaded.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::name::is_commit;
use crate::error::{Error, Result};
pub(super) use crate::model::file_names::INDEX;
use crate::model::file_names::{COMPANIONS, CONFIG, MERGES, TOKENIZER, VOCAB, WEIGHTS};
use crate::model::files;
use crate::model::other_formats::OtherWeights;

/// Limit on a weight index. It has one line per tensor; those of the largest models take a few megabytes.
const LARGEST_INDEX: u64 = 32 << 20;

/// The files of a commit.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    files: BTreeSet<String>,
}

impl Listing {
    /// Parses the Hub's model info. Fails with a description of the error.
    pub(super) fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        #[derive(Deserialize)]
        struct Model {
            sha: String,
            #[serde(default)]
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let model: Model = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if !is_commit(&model.sha) {
            return Err(format!("{:.60?} is not a commit hash", model.sha));
        }
        Ok(Self {
            commit: model.sha,
            files: model
                .siblings
                .into_iter()
                .map(|file| file.rfilename)
                .collect(),
        })
    }

    /// Returns the files to download, in order, with a weight index instead of the shards that it lists. All
    /// are constants of this crate, never names from the repository.
    ///
    /// # Errors
    ///
    /// [`Error::Hub`] if a required file is missing.
    pub(super) fn required(&self, name: &str) -> Result<Vec<String>> {
        let missing = |message: String| Error::Hub {
            name: name.to_string(),
            message,
        };
        let weights = [WEIGHTS, INDEX].into_iter().find(|file| self.has(file));
        let Some(weights) = weights else {
            return Err(missing(self.no_weights(name)));
        };
        if !self.has(CONFIG) {
            return Err(missing(format!(
                "no {CONFIG}: expected a complete model in the transformers format"
            )));
        }
        if !has_tokenizer(|file| self.has(file)) {
            return Err(missing(format!(
                "no {TOKENIZER}: download the files into a folder and create one there in Python with \
                 AutoTokenizer.from_pretrained({name:?}).save_pretrained(folder)"
            )));
        }
        let companions = COMPANIONS.into_iter().filter(|file| self.has(file));
        // The small files come first, so that errors show before the weights are downloaded.
        let tokenizer = Some(TOKENIZER).filter(|file| self.has(file));
        let files = [CONFIG]
            .into_iter()
            .chain(tokenizer)
            .chain(companions)
            .chain([weights]);
        Ok(files.map(str::to_string).collect())
    }

    /// Returns the names of all files.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// Companion files that the repository does not have.
    pub(super) fn absent(&self) -> impl Iterator<Item = &'static str> {
        COMPANIONS.into_iter().filter(|file| !self.has(file))
    }

    /// Checks that the repository has the shards that an index lists.
    ///
    /// # Errors
    ///
    /// [`Error::Weights`].
    pub(super) fn check_parts(&self, parts: &[String], folder: &Path) -> Result<()> {
        match parts.iter().find(|part| !self.has(part)) {
            Some(part) => Err(Error::Weights {
                path: folder.join(INDEX),
                message: format!(
                    "weight_map lists {part}, which is missing from the repository: report it to the \
                     model's owner, or choose another revision"
                ),
            }),
            None => Ok(()),
        }
    }

    fn has(&self, file: &str) -> bool {
        self.files.contains(file)
    }

    fn no_weights(&self, name: &str) -> String {
        match OtherWeights::find(self.files.iter().map(String::as_str)) {
            Some(other) => {
                let page = match other.is_pickle() {
                    true => {
                        "; or look for a conversion among the pull requests of its page (revision \
                         refs/pr/N)"
                    }
                    false => "",
                };
                format!(
                    "no {WEIGHTS}: {:?} is {}{page}",
                    other.file,
                    other.advice(name)
                )
            }
            None => format!("the repository has no weights: expected {WEIGHTS} or {INDEX}"),
        }
    }
}

/// The shards that the weight index in a folder lists.
///
/// # Errors
///
/// [`Error::Parse`] for an invalid index, [`Error::Weights`] for one that lists anything but plain names
/// of weight files; [`Error::Io`].
pub(super) fn parts(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join(INDEX);
    let size = fs::metadata(&path).map_err(Error::io("read", &path))?.len();
    if size > LARGEST_INDEX {
        return Err(Error::Weights {
            path,
            message: format!("a weight index of {size} bytes: expected at most {LARGEST_INDEX}"),
        });
    }
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    files::shard_names(&bytes, &path)
}

/// Whether a folder has all the files that a model requires.
pub(super) fn is_complete(folder: &Path) -> bool {
    let has = |file: &str| folder.join(file).exists();
    let has_weights =
        || has(WEIGHTS) || parts(folder).is_ok_and(|parts| parts.iter().all(|part| has(part)));
    has(CONFIG) && has_tokenizer(has) && has_weights()
}

/// Whether a model has a tokenizer that can be read.
fn has_tokenizer(has: impl Fn(&str) -> bool) -> bool {
    has(TOKENIZER) || (has(VOCAB) && has(MERGES))
}
