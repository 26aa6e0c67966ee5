//! Patterns that match several files.

use std::path::{Path, PathBuf};

use glob::MatchOptions;

use super::{ReadOptions, Records, names, read_file};
use crate::error::{Error, Result};

/// Hidden files are matched only by a pattern that says the dot.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Whether a path that does not exist is meant as a pattern.
pub(super) fn is_pattern(path: &Path) -> bool {
    let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[');
    path.as_os_str().as_encoded_bytes().iter().any(special)
}

/// The records of the files that a pattern matches, in the order of their paths. Folders that it
/// matches are left out, which a note says.
///
/// # Errors
///
/// [`Error::DataFile`] for a pattern that is not one or matches no file, and those of reading the
/// files.
pub(super) fn read(pattern: &Path, options: &ReadOptions) -> Result<Records> {
    let fault = |message: String| Error::data_file(pattern, message);
    let text = pattern
        .to_str()
        .ok_or_else(|| fault("a pattern has to be UTF-8".to_string()))?;
    let matches = glob::glob_with(text, OPTIONS)
        .map_err(|error| fault(format!("neither a file nor a pattern: {error}")))?;
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = 0;
    for path in matches {
        let path =
            path.map_err(|error| Error::io("read", error.path().to_path_buf())(error.into()))?;
        if path.is_dir() {
            folders += 1;
        } else {
            files.push(path);
        }
    }
    if files.is_empty() {
        let message = match folders {
            0 => "no file matches this pattern".to_string(),
            _ => "this pattern matches folders only: end it with the files' names, such as *.txt"
                .to_string(),
        };
        return Err(fault(message));
    }
    files.sort();
    let mut all = Records::default();
    if folders > 0 {
        let folder = names::plural("folder", folders);
        all.notes.push(format!(
            "{}: left out: {folders} {folder}",
            pattern.display()
        ));
    }
    for file in files {
        all.append(read_file(&file, options)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::records::{Record, read_all, read_records};

    fn text(text: &str) -> Record {
        Record::Text(text.to_string())
    }

    #[test]
    fn matching_files_are_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["b.txt", "a.txt", "c.md", ".d.txt", "e/f.txt"] {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), name).unwrap();
        }
        let read = |name: &str| read_records(&path(name), &ReadOptions::default());
        let found = read("*.txt").unwrap();
        assert_eq!(found.records, [text("a.txt"), text("b.txt")]);
        assert_eq!((found.files, found.notes.len()), (2, 0));
        assert_eq!(read("**/*.txt").unwrap().files, 3);
        let found = read("[a-e]*").unwrap();
        assert_eq!(found.files, 3);
        assert!(
            found.notes[0].ends_with("[a-e]*: left out: 1 folder"),
            "{:?}",
            found.notes
        );

        for (pattern, part) in [
            ("*.csv", "*.csv: no file matches"),
            ("e*", "matches folders only"),
            ("***.txt", "neither a file nor a pattern"),
            ("[.txt", "neither a file nor a pattern"),
        ] {
            match read(pattern) {
                Err(error @ Error::DataFile { .. }) => {
                    assert!(error.to_string().contains(part), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(
            read("x.txt"),
            Err(Error::Io { action: "read", .. })
        ));

        // A name comes before a pattern.
        fs::write(path("[ab].txt"), "itself").unwrap();
        assert_eq!(read("[ab].txt").unwrap().records, [text("itself")]);

        let several = [path("b.txt"), path("e"), path("a.*")];
        let found = read_all(&several, &ReadOptions::default()).unwrap();
        assert_eq!(
            found.records,
            [
                text("b.txt"),
                Record::Document("e/f.txt".to_string()),
                text("a.txt")
            ]
        );
        assert_eq!(found.files, 3);
    }
}
