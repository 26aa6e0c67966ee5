//! Folders: of files that are named like splits, or of text files, one sample per file.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::format::{Format, Kind};
use super::splits::{DataFiles, Split};
use super::{ReadOptions, Record, Records, encoding, names, plain};
use crate::error::{Error, Result};

/// How deep files of splits are looked for: `train.jsonl`, `data/train-00000-of-00001.parquet`.
const SPLIT_DEPTH: usize = 2;

/// Reads a split of a folder, if it has any. Otherwise reads the text files of a folder and its subfolders,
/// sorted by path.
///
/// Hidden files and folders, links (their targets may be outside the folder, or read already) and files
/// of other formats are skipped, with a note.
///
/// # Errors
///
/// [`Error::DataFile`] if it has no text file, and errors reading the files.
pub(super) fn read(folder: &Path, options: &ReadOptions) -> Result<Records> {
    let splits = data_files(folder)?;
    if !splits.is_empty() {
        return read_split(folder, &splits, options);
    }
    if let Some(split) = &options.split {
        let split = names::quote(split);
        let message = format!(
            "no split {split}: expected files named like splits, such as train.jsonl and valid.jsonl"
        );
        return Err(Error::data_file(folder, message));
    }
    let found = find(folder)?;
    if found.texts.is_empty() && found.others.iter().any(|name| name.ends_with(".arrow")) {
        let message = "a data set as save_to_disk of Python's datasets writes it: write it as Parquet, with \
                       load_from_disk(folder)[\"train\"].to_parquet(\"train.parquet\")";
        return Err(Error::data_file(folder, message));
    }
    if found.texts.is_empty() {
        let message = format!(
            "no .txt or .md file in this folder{}: pass files of other formats by name, or by a \
             pattern such as {}",
            found
                .skipped()
                .map_or_else(String::new, |what| format!(" ({what})")),
            folder.join("*.jsonl").display()
        );
        return Err(Error::data_file(folder, message));
    }
    let note = found
        .skipped()
        .map(|what| format!("{}: {what}", folder.display()));
    let mut all = Records::default();
    all.notes.extend(note);
    for (path, format) in found.texts {
        let bytes = super::read_bytes(&path)?;
        let text = encoding::decode(&bytes, &path, format.compression)?;
        all.append(plain::records(
            plain::document(&text).map(Record::Document),
            &path,
            options,
        ));
    }
    Ok(all)
}

/// The splits of a folder.
pub(super) fn splits(folder: &Path) -> Result<Vec<String>> {
    let files = data_files(folder)?;
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let fault = |message: String| Error::data_file(folder, message);
    let splits = files.splits(None).map_err(fault)?;
    Ok(splits.into_iter().map(|split| split.name).collect())
}

/// Finds the files of a folder that are named like splits.
fn data_files(folder: &Path) -> Result<DataFiles> {
    let mut names = Vec::new();
    for entry in WalkDir::new(folder).min_depth(1).max_depth(SPLIT_DEPTH) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_path_buf();
            Error::io("read", path)(error.into())
        })?;
        // The cache of the Hub has links to files.
        if entry.path().is_file()
            && let Ok(name) = entry.path().strip_prefix(folder)
        {
            let parts = name
                .components()
                .map(|part| part.as_os_str().to_string_lossy());
            names.push(parts.collect::<Vec<_>>().join("/"));
        }
    }
    Ok(DataFiles::of_folder(names.iter().map(String::as_str)))
}

/// Reads one split, and notes it and the others.
fn read_split(folder: &Path, files: &DataFiles, options: &ReadOptions) -> Result<Records> {
    let fault = |message: String| Error::data_file(folder, message);
    let splits = files.splits(None).map_err(fault)?;
    let wanted = match (&options.split, splits.first()) {
        (None, Some(first)) => Some(first.name.as_str()),
        (wanted, _) => wanted.as_deref(),
    };
    let split = files.split(None, wanted).map_err(fault)?;
    let named = |split: &Split| {
        let files = names::list(split.files.iter().map(String::as_str));
        format!("{} ({files})", split.name)
    };
    let others: Vec<String> = splits
        .iter()
        .filter(|other| **other != split)
        .map(named)
        .collect();
    let rest = match (others.is_empty(), split.name.as_str()) {
        (true, _) => String::new(),
        (false, "train") => format!("; held out: {}", others.join(", ")),
        (false, _) => format!("; not read: {}", others.join(", ")),
    };
    let mut all = Records::default();
    all.notes.push(format!(
        "{}: read {}{rest}",
        folder.display(),
        named(&split)
    ));
    for file in &split.files {
        all.append(super::read_file(&folder.join(file), options)?);
    }
    Ok(all)
}

/// The contents of a folder.
#[derive(Default)]
struct Found {
    texts: Vec<(PathBuf, Format)>,
    hidden: usize,
    links: usize,
    others: Vec<String>,
}

fn find(folder: &Path) -> Result<Found> {
    let mut found = Found::default();
    let mut entries = WalkDir::new(folder).min_depth(1).into_iter();
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_path_buf();
            Error::io("read", path)(error.into())
        })?;
        let file_type = entry.file_type();
        if is_hidden(&entry) {
            found.hidden += 1;
            if file_type.is_dir() {
                entries.skip_current_dir();
            }
        } else if file_type.is_symlink() {
            found.links += 1;
        } else if !file_type.is_dir() {
            match Format::of(entry.path()) {
                Ok(format) if file_type.is_file() && is_text(format) => {
                    found.texts.push((entry.into_path(), format));
                }
                _ => {
                    let name = entry.file_name().to_string_lossy();
                    found.others.push(name.into_owned());
                }
            }
        }
    }
    found.texts.sort_by(|(a, _), (b, _)| a.cmp(b));
    found.others.sort();
    Ok(found)
}

fn is_text(format: Format) -> bool {
    matches!(format.kind, Some(Kind::Plain | Kind::Markdown))
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

impl Found {
    /// Describes the skipped entries, if any.
    fn skipped(&self) -> Option<String> {
        let count = |count: usize, what: &str| {
            let what = names::plural(what, count);
            (count > 0).then(|| format!("{count} {what}"))
        };
        let others = count(self.others.len(), "file").map(|files| {
            let others = self.others.iter().map(String::as_str);
            format!("{files} of other formats ({})", names::list(others))
        });
        let parts = [
            count(self.hidden, "hidden file"),
            count(self.links, "link"),
            others,
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("skipped: {}", parts.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::text::records::{Record, read_records};

    #[test]
    fn every_text_file_is_a_sample_sorted_by_path() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("b.txt", "b\n\nb\n");
        write("a/z.md", "az");
        write("a/empty.txt", "\n");
        write("a.md", "a");
        write(".git/x.txt", "hidden");
        write("a/.hidden.md", "hidden");
        write("data.jsonl", "{");
        write("image.png", "");
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            symlink("/", folder.path().join("root")).unwrap();
            symlink("b.txt", folder.path().join("c.txt")).unwrap();
        }
        let found = read_records(folder.path(), &ReadOptions::default()).unwrap();
        let texts = ["az", "a", "b\n\nb"].map(|text| Record::Document(text.to_string()));
        assert_eq!(found.records, texts);
        assert_eq!(found.files, 4);
        let links = if cfg!(unix) { "2 links, " } else { "" };
        let note = format!(
            "{}: skipped: 2 hidden files, {links}2 files of other formats (\"data.jsonl\" and \"image.png\")",
            folder.path().display()
        );
        assert_eq!(found.notes, [note]);
    }

    #[test]
    fn a_split_of_a_folder_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{{\"text\": \"{text}\"}}")).unwrap();
        };
        let read = |split: Option<&str>| {
            let options = ReadOptions {
                split: split.map(str::to_string),
                ..ReadOptions::default()
            };
            read_records(folder.path(), &options)
        };
        write("valid.jsonl", "v");
        assert_eq!(read(None).unwrap().records, [Record::Text("v".to_string())]);
        write("data/train-00001-of-00002.json", "b");
        write("data/train-00000-of-00002.json", "a");
        fs::write(folder.path().join("README.md"), "# Data").unwrap();
        let found = read(None).unwrap();
        let texts = ["a", "b"].map(|text| Record::Text(text.to_string()));
        assert_eq!((found.records.as_slice(), found.files), (&texts[..], 2));
        assert!(
            found.notes[0].contains("; held out: validation (\"valid.jsonl\")"),
            "{:?}",
            found.notes
        );
        assert_eq!(
            read(Some("dev")).unwrap().records,
            [Record::Text("v".to_string())]
        );
        let fault = read(Some("test")).unwrap_err().to_string();
        assert!(
            fault.contains("no split \"test\": it has \"train\" and"),
            "{fault}"
        );
        let splits = super::super::splits_of(folder.path()).unwrap();
        assert_eq!(splits, ["train", "validation"]);
    }

    #[test]
    fn a_folder_without_texts_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let fault = || {
            read_records(folder.path(), &ReadOptions::default())
                .unwrap_err()
                .to_string()
        };
        assert!(
            fault().contains("no .txt or .md file in this folder: "),
            "{}",
            fault()
        );
        fs::write(folder.path().join("a.csv"), "text\na").unwrap();
        assert!(
            fault().contains("(skipped: 1 file of other formats (\"a.csv\"))"),
            "{}",
            fault()
        );
        assert!(fault().contains("*.jsonl"));
        let options = ReadOptions {
            split: Some("train".to_string()),
            ..ReadOptions::default()
        };
        let error = read_records(folder.path(), &options).unwrap_err();
        assert!(error.to_string().contains("no split \"train\""), "{error}");
    }
}
