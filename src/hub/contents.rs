//! What a model's repository holds, and which of it is fetched.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::name::is_commit;
use crate::error::{Error, Result};
pub(super) use crate::model::files::INDEX;
use crate::model::files::{self, COMPANIONS, CONFIG, TOKENIZER, WEIGHTS};

/// Endings of weights in formats that are not read.
const OTHER_WEIGHTS: [&str; 6] = [".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack"];

/// An index of weights has a line for each tensor; those of the largest models take a few megabytes.
const LARGEST_INDEX: u64 = 32 << 20;

/// The files of a commit.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    files: BTreeSet<String>,
}

impl Listing {
    /// Reads the Hub's description of a model; what is wrong with it otherwise.
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
            return Err(format!("{:.60?} is no commit", model.sha));
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

    /// The files to fetch, in this order; an index of weights stands for the files that it names.
    /// All are names from this module, whatever the repository holds.
    ///
    /// # Errors
    ///
    /// [`Error::Hub`] if one is missing without which the model cannot be used.
    pub(super) fn wanted(&self, name: &str) -> Result<Vec<String>> {
        let missing = |message: String| Error::Hub {
            name: name.to_string(),
            message,
        };
        let weights = [WEIGHTS, INDEX].into_iter().find(|file| self.has(file));
        let Some(weights) = weights else {
            return Err(missing(self.without_weights(name)));
        };
        if !self.has(CONFIG) {
            return Err(missing(format!(
                "it has no {CONFIG}: minift needs a whole model in the format of transformers"
            )));
        }
        if !self.has(TOKENIZER) {
            return Err(missing(format!(
                "it has no {TOKENIZER}: make a folder of its files and write one into it in Python \
                 with AutoTokenizer.from_pretrained({name:?}).save_pretrained(folder)"
            )));
        }
        let companions = COMPANIONS.into_iter().filter(|file| self.has(file));
        // What can be wrong shows before the weights are on their way.
        let files = [CONFIG, TOKENIZER]
            .into_iter()
            .chain(companions)
            .chain([weights]);
        Ok(files.map(str::to_string).collect())
    }

    /// Companions that the repository does not have.
    pub(super) fn absent(&self) -> impl Iterator<Item = &'static str> {
        COMPANIONS.into_iter().filter(|file| !self.has(file))
    }

    /// Looks whether the files that an index names are in the repository.
    ///
    /// # Errors
    ///
    /// [`Error::Weights`].
    pub(super) fn check_parts(&self, parts: &[String], folder: &Path) -> Result<()> {
        match parts.iter().find(|part| !self.has(part)) {
            Some(part) => Err(Error::Weights {
                path: folder.join(INDEX),
                message: format!(
                    "its weight_map names {part}, which the model on the Hub does not have: tell its \
                     owner, or choose another --revision"
                ),
            }),
            None => Ok(()),
        }
    }

    fn has(&self, file: &str) -> bool {
        self.files.contains(file)
    }

    fn without_weights(&self, name: &str) -> String {
        let is_other = |file: &&String| OTHER_WEIGHTS.iter().any(|ending| file.ends_with(ending));
        match self.files.iter().find(is_other) {
            Some(file) => format!(
                "it has no {WEIGHTS}, and minift does not read {file:?}: look for a conversion among \
                 the pull requests on its page (--revision refs/pr/N), or convert it in Python with \
                 AutoModelForCausalLM.from_pretrained({name:?}).save_pretrained(folder) and give \
                 that folder"
            ),
            None => format!("it holds no weights: expected {WEIGHTS} or {INDEX}"),
        }
    }
}

/// The files that the index of weights in a folder names.
///
/// # Errors
///
/// [`Error::Weights`] for an index that cannot be followed, one that names anything but plain files
/// of weights among them; [`Error::Io`].
pub(super) fn parts(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join(INDEX);
    let size = fs::metadata(&path).map_err(Error::io("read", &path))?.len();
    if size > LARGEST_INDEX {
        return Err(Error::Weights {
            path,
            message: format!(
                "an index of weights of {size} bytes: expected at most {LARGEST_INDEX}"
            ),
        });
    }
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    files::names_of_parts(&bytes, &path)
}

/// Whether a folder holds all that a model needs.
pub(super) fn is_complete(folder: &Path) -> bool {
    let has = |file: &str| folder.join(file).exists();
    let has_weights =
        || has(WEIGHTS) || parts(folder).is_ok_and(|parts| parts.iter().all(|part| has(part)));
    has(CONFIG) && has(TOKENIZER) && has_weights()
}
