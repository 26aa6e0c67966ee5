//! Glob patterns.

use std::io;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern, PatternError};
use walkdir::{DirEntry, WalkDir};

use super::{ReadOptions, Records, names, read_file};
use crate::error::{Error, Result};

/// Hidden files are only matched by a pattern with a leading dot.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Whether a path that does not exist is a pattern.
pub(super) fn is_pattern(path: &Path) -> bool {
    let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[');
    path.as_os_str().as_encoded_bytes().iter().any(special)
}

/// Splits a pattern into the folder to search and the pattern's remaining components.
fn levels(pattern: &Path) -> (PathBuf, Vec<&str>) {
    let parts: Vec<Component<'_>> = pattern.components().collect();
    let is_special = |part: &Component<'_>| is_pattern(Path::new(part.as_os_str()));
    let first = parts.iter().position(is_special).unwrap_or(parts.len());
    let from: PathBuf = parts[..first].iter().collect();
    let levels = parts[first..]
        .iter()
        .filter_map(|part| part.as_os_str().to_str());
    let from = match from.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => from,
    };
    (from, levels.collect())
}

/// Reads the files that a pattern matches, sorted by path. Matching folders are skipped, with a note.
///
/// # Errors
///
/// [`Error::DataFile`] for an invalid pattern or one without matches, and errors reading the files.
pub(super) fn read(pattern: &Path, options: &ReadOptions) -> Result<Records> {
    let fault = |message: String| Error::data_file(pattern, message);
    let text = pattern
        .to_str()
        .ok_or_else(|| fault("a pattern must be UTF-8".to_string()))?;
    let invalid = |error: PatternError| {
        fault(format!(
            "neither an existing path nor a valid pattern: {error}"
        ))
    };
    let whole = Pattern::new(text).map_err(invalid)?;
    let (from, levels) = levels(pattern);
    let parts = levels
        .iter()
        .map(|part| Pattern::new(part).map_err(invalid));
    let parts: Vec<Pattern> = parts.collect::<Result<_>>()?;
    let any_depth = levels.iter().position(|&part| part == "**");
    // The glob crate's own directory walk panics on names that are not UTF-8.
    let walk = WalkDir::new(&from).min_depth(1).follow_links(true);
    let walk = match any_depth {
        Some(_) => walk,
        None => walk.max_depth(levels.len()),
    };
    let may_match = |entry: &DirEntry| {
        let level = entry.depth().saturating_sub(1);
        let name = entry.file_name().to_str();
        match (name, any_depth) {
            (None, _) => false,
            (Some(_), _) if entry.depth() == 0 => true,
            // Hidden folders are only entered if the pattern names them.
            (Some(name), Some(first)) if level >= first => !name.starts_with('.'),
            (Some(name), _) => parts[level].matches_with(name, OPTIONS),
        }
    };
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = 0;
    for entry in walk.into_iter().filter_entry(may_match) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(&from).to_path_buf();
                match error.into_io_error() {
                    // Missing folders and link cycles have no files.
                    None => continue,
                    Some(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Some(error) => return Err(Error::io("read", &path)(error)),
                }
            }
        };
        let path = entry.path();
        let path = match pattern.starts_with(".") {
            false => path.strip_prefix(".").unwrap_or(path),
            true => path,
        };
        if !whole.matches_path_with(path, OPTIONS) {
            continue;
        }
        if path.is_dir() {
            folders += 1;
        } else {
            files.push(path.to_path_buf());
        }
    }
    if files.is_empty() {
        let message = match folders {
            0 => "no file matches this pattern".to_string(),
            _ => "this pattern only matches folders: end it with a file name, such as *.txt"
                .to_string(),
        };
        return Err(fault(message));
    }
    files.sort();
    let mut all = Records::default();
    if folders > 0 {
        let folder = names::plural("folder", folders);
        all.notes.push(format!(
            "{}: skipped: {folders} {folder}",
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
    use crate::text::records::{Record, read_all, read_records};

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
        let read = |name: &str| read_records(path(name), &ReadOptions::default());
        let found = read("*.txt").unwrap();
        assert_eq!(found.records, [text("a.txt"), text("b.txt")]);
        assert_eq!((found.files, found.notes.len()), (2, 0));
        assert_eq!(read("**/*.txt").unwrap().files, 3);
        let found = read("[a-e]*").unwrap();
        assert_eq!(found.files, 3);
        assert!(
            found.notes[0].ends_with("[a-e]*: skipped: 1 folder"),
            "{:?}",
            found.notes
        );

        for (pattern, part) in [
            ("*.csv", "*.csv: no file matches"),
            ("e*", "only matches folders"),
            ("***.txt", "nor a valid pattern"),
            ("[.txt", "nor a valid pattern"),
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

        // Names that are not UTF-8 are skipped.
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::ffi::OsStringExt;
            let name = std::ffi::OsString::from_vec(b"\xff.txt".to_vec());
            fs::write(folder.path().join(name), "text").unwrap();
            assert_eq!(read("*.txt").unwrap().files, 2);
            assert_eq!(read("**/*.txt").unwrap().files, 3);
        }
        for (pattern, files) in [
            ("**/e/*", 1),
            ("*/f.txt", 1),
            ("**/f.*", 1),
            ("e/**/*.txt", 1),
            (".*.txt", 1),
        ] {
            assert_eq!(read(pattern).unwrap().files, files, "{pattern}");
        }

        // An existing path takes precedence over a pattern.
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
