//! The sources of models and texts in recipes.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The source of a model or a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
#[serde(from = "String")]
pub enum Source {
    /// Embedded in the program.
    #[default]
    Embedded,
    /// Sampled from the untouched model.
    Model,
    /// A file or folder.
    Path(PathBuf),
}

impl Source {
    /// The default of texts for replay.
    pub(super) fn sampled() -> Self {
        Self::Model
    }

    /// Resolves a relative path, which starts from a folder.
    pub(super) fn resolve(&mut self, folder: &Path) {
        if let Self::Path(path) = self {
            *path = folder.join(&*path);
        }
    }
}

impl From<String> for Source {
    fn from(text: String) -> Self {
        match text.as_str() {
            "embedded" => Self::Embedded,
            "self" => Self::Model,
            _ => Self::Path(PathBuf::from(text)),
        }
    }
}
