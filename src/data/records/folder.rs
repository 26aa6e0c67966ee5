//! Folders of texts: every file is one sample.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::format::{Format, Kind};
use super::{ReadOptions, Record, Records, names, plain};
use crate::error::{Error, Result};

/// The texts of a folder and of the folders in it, in the order of their paths.
///
/// Hidden files and folders, links (what they lead to may be outside, or be read already) and files
/// of other kinds are left out, which a note says.
///
/// # Errors
///
/// [`Error::DataFile`] if there is no text in it, and those of reading the files.
pub(super) fn read(folder: &Path, options: &ReadOptions) -> Result<Records> {
    let found = find(folder)?;
    if found.texts.is_empty() {
        let message = format!(
            "no .txt or .md file in this folder{}: files of other kinds are read by their names, or \
             by a pattern such as {}",
            found
                .left_out()
                .map_or_else(String::new, |what| format!(" ({what})")),
            folder.join("*.jsonl").display()
        );
        return Err(Error::data_file(folder, message));
    }
    let note = found
        .left_out()
        .map(|what| format!("{}: {what}", folder.display()));
    let mut all = Records::default();
    all.notes.extend(note);
    for (path, format) in found.texts {
        let bytes = format.read(&path)?;
        let text = plain::decode(&bytes, &path)?;
        all.append(plain::records(
            plain::document(text).map(Record::Document),
            &path,
            options,
        ));
    }
    Ok(all)
}

/// What is in a folder.
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
    matches!(format.kind, Kind::Plain | Kind::Markdown)
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

impl Found {
    /// What is not read; none if all is.
    fn left_out(&self) -> Option<String> {
        let count = |count: usize, what: &str| {
            let what = names::plural(what, count);
            (count > 0).then(|| format!("{count} {what}"))
        };
        let others = count(self.others.len(), "file").map(|files| {
            let others = self.others.iter().map(String::as_str);
            format!("{files} of other kinds ({})", names::list(others))
        });
        let parts = [
            count(self.hidden, "hidden file"),
            count(self.links, "link"),
            others,
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("left out: {}", parts.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::records::{Record, read_records};

    #[test]
    fn every_text_file_is_a_sample_in_the_order_of_paths() {
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
            "{}: left out: 2 hidden files, {links}2 files of other kinds (\"data.jsonl\" and \"image.png\")",
            folder.path().display()
        );
        assert_eq!(found.notes, [note]);
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
            fault().contains("(left out: 1 file of other kinds (\"a.csv\"))"),
            "{}",
            fault()
        );
        assert!(fault().contains("*.jsonl"));
    }
}
