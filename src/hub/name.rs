//! Names of models and revisions on the Hub.

use std::fmt;
use std::path::Path;

use crate::error::{Error, Result};

/// The default branch.
const DEFAULT_REVISION: &str = "main";
/// The Hub's limit on each part of a name.
const LONGEST_PART: usize = 96;
/// The longest file name on most systems; a revision becomes one.
const LONGEST_REVISION: usize = 255;

/// What a repository on the Hub holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Model,
    DataSet,
}

impl Kind {
    /// The word for it in messages.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::DataSet => "data set",
        }
    }

    /// Its part of the addresses of the API.
    pub(super) fn in_api(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::DataSet => "datasets",
        }
    }

    /// What its other addresses start with.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::DataSet => "datasets/",
        }
    }
}

/// A model on the Hub: `owner/name` and a branch, tag or commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubModel {
    kind: Kind,
    name: String,
    revision: Option<String>,
}

impl HubModel {
    /// Parses `owner/name` and a revision, `main` by default.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for names and revisions that the Hub does not allow, including those that
    /// would lead out of the cache.
    pub fn new(name: &str, revision: Option<&str>) -> Result<Self> {
        if !is_name(name) {
            let expected = "owner/name as on the Hugging Face Hub: letters, digits, \"-\", \"_\" \
                            and \".\" on both sides of one \"/\"";
            return Err(Error::setting("model", format!("{name:?}"), expected));
        }
        if let Some(revision) = revision
            && !is_revision(revision)
        {
            let expected = "a branch, tag or commit of the model";
            return Err(Error::setting(
                "revision",
                format!("{revision:?}"),
                expected,
            ));
        }
        Ok(Self {
            kind: Kind::Model,
            name: name.to_string(),
            revision: revision.map(str::to_string),
        })
    }

    /// The repository of a data set, in its main branch. Fails if the Hub does not allow the name.
    pub(super) fn data_set(name: &str) -> Option<Self> {
        is_name(name).then(|| Self {
            kind: Kind::DataSet,
            name: name.to_string(),
            revision: None,
        })
    }

    /// What the repository holds.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Its path in the addresses of files and pages: `owner/name`, after `datasets/` for data sets.
    pub(super) fn path(&self) -> String {
        format!("{}{}", self.kind.prefix(), self.name)
    }

    /// Whether an argument names a model on the Hub: it has the form `owner/name`, and no such path
    /// exists. `./owner/name` is always a folder.
    pub fn is_named_by(argument: &Path) -> bool {
        argument.to_str().is_some_and(is_name) && argument.symlink_metadata().is_err()
    }

    /// `owner/name`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The branch, tag or commit.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(DEFAULT_REVISION)
    }

    /// The revision, if it is a commit.
    pub(super) fn commit(&self) -> Option<&str> {
        Some(self.revision()).filter(|revision| is_commit(revision))
    }
}

impl fmt::Display for HubModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        match &self.revision {
            Some(revision) => write!(formatter, " at {revision}"),
            None => Ok(()),
        }
    }
}

/// Whether a string is a full commit hash.
pub(super) fn is_commit(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 40 && text.bytes().all(is_digit)
}

/// The Hub's rules for names: two parts that start and end with a letter, digit or underscore, without
/// `..` and without `--`, which separates the parts in the cache.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let is_inner = |byte: u8| is_word(byte) || byte == b'-' || byte == b'.';
        part.len() <= LONGEST_PART
            && part.bytes().next().is_some_and(is_word)
            && part.bytes().next_back().is_some_and(is_word)
            && part.bytes().all(is_inner)
    };
    let parts: Vec<&str> = name.split('/').collect();
    parts.len() == 2
        && parts.iter().all(|part| is_part(part))
        && !name.contains("--")
        && !name.contains("..")
        && !name.ends_with(".git")
}

/// Git's rules for branch and tag names, restricted to characters that are safe in URLs and paths.
fn is_revision(revision: &str) -> bool {
    let is_character = |byte: u8| is_word(byte) || b"-./+".contains(&byte);
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.');
    revision.len() <= LONGEST_REVISION
        && !revision.starts_with('-')
        && !revision.contains("..")
        && revision.bytes().all(is_character)
        && revision.split('/').all(is_part)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn valid_names_and_revisions_are_accepted() {
        for name in [
            "Qwen/Qwen2.5-0.5B",
            "a/b",
            "_x/y_",
            "EleutherAI/pythia-70m-deduped",
        ] {
            let model = HubModel::new(name, None).unwrap();
            assert_eq!((model.name(), model.revision()), (name, "main"));
        }
        for revision in ["main", "refs/pr/3", "v1.0", "step1000", "a+b"] {
            let model = HubModel::new("a/b", Some(revision)).unwrap();
            assert_eq!(model.revision(), revision);
            assert_eq!(model.commit(), None);
        }
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let model = HubModel::new("a/b", Some(commit)).unwrap();
        assert_eq!(model.commit(), Some(commit));
    }

    #[test]
    fn invalid_names_and_revisions_are_rejected() {
        let long = format!("a/{}", "b".repeat(97));
        let names = [
            "",
            "a",
            "gpt2",
            "/",
            "/a",
            "a/",
            "a/b/c",
            "../b",
            "a/..",
            "a/.b",
            "./a",
            "/etc/passwd",
            "a/b.git",
            "a--b/c",
            "a/b c",
            "a/b?x",
            "a/b#x",
            "a/b%2e",
            "a\\b/c",
            "C:/b",
            "a/b\n",
            "ä/b",
            &long,
        ];
        for name in names {
            let error = HubModel::new(name, None).unwrap_err();
            assert_eq!(error.kind(), "InvalidSetting", "{name:?}: {error}");
        }
        let long = "b".repeat(256);
        let revisions = [
            "", "..", "a/../b", "/a", "a/", "a//b", "-a", ".a", "a/.b", "a b", "a?b", "a#b",
            "a%2fb", "a\\b", "a:b", "a\n", &long,
        ];
        for revision in revisions {
            let error = HubModel::new("a/b", Some(revision)).unwrap_err();
            assert_eq!(error.kind(), "InvalidSetting", "{revision:?}: {error}");
        }
    }

    #[test]
    fn existing_folders_take_precedence_over_names() {
        assert!(HubModel::is_named_by(Path::new("missing/model")));
        // The tests run in the crate's folder, which has this one.
        assert!(!HubModel::is_named_by(Path::new("src/hub")));
        for path in [
            "./missing/model",
            "/missing/model",
            "missing",
            "../missing/model",
        ] {
            assert!(!HubModel::is_named_by(Path::new(path)), "{path}");
        }
    }
}
