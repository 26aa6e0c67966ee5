//! Constructors of errors, and the pieces of their messages.

use std::error::Error as _;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::Error;

impl Error {
    /// The reason of [`Self::NoSamples`] where no other is known.
    pub(crate) const NOTHING_TO_PREDICT: &str =
        "a sample requires at least two tokens, one of them predicted";

    /// Returns the name of the variant, for programs that cannot match on it.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// Returns the whole message: this error, its sources, and what to do about it.
    pub fn report(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        match self.advice() {
            Some(advice) => format!("{text}: {advice}"),
            None => text,
        }
    }

    /// What to do about it, where that is not part of the message.
    fn advice(&self) -> Option<&'static str> {
        use std::io::ErrorKind;
        match self {
            Self::Io { source, .. } => match source.kind() {
                ErrorKind::StorageFull => {
                    Some("free some space and retry; existing output is kept")
                }
                ErrorKind::PermissionDenied => Some("check its permissions or choose another path"),
                _ => None,
            },
            Self::Parse { .. } => Some("download or export it again"),
            Self::OutputExists { .. } => Some("choose another folder, or allow replacing it"),
            Self::InUse { .. } => Some("wait for it to finish, or choose another path"),
            _ => None,
        }
    }

    pub(crate) fn setting(
        name: &'static str,
        value: impl Display,
        expected: impl Into<String>,
    ) -> Self {
        Self::InvalidSetting {
            name,
            value: value.to_string(),
            expected: expected.into(),
        }
    }

    pub(crate) fn data_file(path: &Path, message: impl Into<String>) -> Self {
        Self::DataFile {
            path: path.to_path_buf(),
            message: message.into(),
        }
    }

    /// Lines are counted from 1.
    pub(crate) fn data_line(path: &Path, line: usize, message: impl Into<String>) -> Self {
        Self::DataLine {
            path: path.to_path_buf(),
            line,
            message: message.into(),
        }
    }

    /// Returns a function for `map_err` that adds the path and the expected format to a parser's error.
    pub(crate) fn parse<E>(path: impl AsRef<Path>, format: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Parse {
            path,
            format,
            source: Box::new(source),
        }
    }

    /// Returns a function for `map_err` that adds the operation and the path to an I/O error.
    pub(crate) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// The file size is unknown before the first byte.
pub(super) fn after(done: u64, size: u64) -> String {
    match done {
        0 => "before the first byte".to_string(),
        done => format!("after {done} of {size} bytes"),
    }
}

pub(super) fn kept_state(step: usize, path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(String::new, |path| {
        format!("; step {} is saved in {}", step - 1, path.display())
    })
}

pub(super) fn tensors(names: &[String]) -> String {
    counted(names.len(), "tensor")
}

/// Formats a count with its noun: 1 sample, 2 samples.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// Joins the first few names.
pub(super) fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let first = &names[..names.len().min(SHOWN)];
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", first.join(", "))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_parser_error_is_the_source_and_is_reported_once() {
        let parsed = serde_json::from_str::<u8>("{");
        let error = parsed.map_err(Error::parse("config.json", "a JSON object"));
        let error = error.expect_err("not a number");
        let source = error.source().expect("the parser's error is the source");
        assert!(source.is::<serde_json::Error>());
        assert_eq!(
            error.report(),
            format!("config.json: not a JSON object: {source}: download or export it again")
        );
    }

    #[test]
    fn an_io_error_keeps_its_source_and_reports_it_once() {
        let error = Error::io("write", "out/run.json")(io::Error::from(io::ErrorKind::StorageFull));
        let source = error.source().expect("the I/O error is the source");
        assert!(source.is::<io::Error>());
        let cause = source.to_string();
        assert!(!error.to_string().contains(&cause), "{error}");
        let report = error.report();
        assert_eq!(report.matches(&cause).count(), 1, "{report}");
        assert!(report.contains("free some space"), "{report}");
    }
}
