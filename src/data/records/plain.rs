//! Plain text.

use std::path::Path;

use super::compression::Compression;
use super::{ReadOptions, Record, Records, names};
use crate::error::{Error, Result};

/// The text in a file's bytes, without the byte order mark that some editors put before it.
///
/// # Errors
///
/// [`Error::DataLine`] with the place of a byte that is not UTF-8, [`Error::DataFile`] for bytes
/// that are compressed.
pub(super) fn decode<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a str> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        if let Some(compression) = Compression::of_bytes(bytes) {
            let (name, ending) = (compression.name(), compression.ending());
            let message = format!("compressed by {name}: add .{ending} to its name");
            return Error::data_file(path, message);
        }
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        let message = format!(
            "byte {} of the file is not UTF-8: save the file as UTF-8",
            error.valid_up_to() + 1
        );
        Error::data_line(path, line, message)
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Texts as records.
pub(super) fn records(
    texts: impl IntoIterator<Item = Record>,
    path: &Path,
    options: &ReadOptions,
) -> Records {
    let note = options.column.as_deref().map(|column| {
        let column = names::quote(column);
        format!(
            "{}: no column {column} in plain text, all of it is read",
            path.display()
        )
    });
    Records::of_file(texts.into_iter().collect(), note.into_iter().collect())
}

/// Samples separated by blank lines.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut samples = Vec::new();
    let mut sample: Vec<&str> = Vec::new();
    for line in text.lines().chain([""]) {
        if !line.trim().is_empty() {
            sample.push(line);
        } else if !sample.is_empty() {
            samples.push(sample.join("\n"));
            sample.clear();
        }
    }
    samples
}

/// All of it as one sample, without blank lines around it; none if there is nothing else.
pub(super) fn document(text: &str) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let is_text = |line: &&str| !line.trim().is_empty();
    let first = lines.iter().position(is_text)?;
    let last = lines.iter().rposition(is_text)?;
    lines.truncate(last + 1);
    Some(lines[first..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8], name: &str) -> Result<Records> {
        super::super::parse_records(bytes, Path::new(name), &ReadOptions::default())
    }

    fn texts(texts: &[&str]) -> Vec<Record> {
        let texts = texts.iter().map(ToString::to_string);
        texts.map(Record::Text).collect()
    }

    #[test]
    fn plain_text_is_split_at_blank_lines() {
        let text = "\u{feff}one\ntwo\r\n\n  \n\nthree\n";
        let found = parse(text.as_bytes(), "a.TXT").unwrap();
        assert_eq!(found.records, texts(&["one\ntwo", "three"]));
        assert_eq!((found.files, found.notes.len()), (1, 0));
    }

    #[test]
    fn markdown_is_one_sample() {
        let text = "\u{feff}\r\n  \n  # A\r\n\r\nb  \n\n\t\n";
        let found = parse(text.as_bytes(), "a.md").unwrap();
        assert_eq!(
            found.records,
            [Record::Document("  # A\n\nb  ".to_string())]
        );
    }

    #[test]
    fn nothing_but_blanks_is_no_record() {
        for kind in ["txt", "md", "jsonl", "ndjson", "json", "csv", "tsv"] {
            for text in ["", "\u{feff}", "\n", " \r\n\t\n"] {
                // A table of blanks has a column, which has no name.
                if kind.ends_with("sv") && text.contains(' ') {
                    continue;
                }
                let found = parse(text.as_bytes(), &format!("a.{kind}")).unwrap();
                assert_eq!(found.records, [], "{kind} {text:?}");
            }
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_found() {
        match parse(b"one\n\nt\xffo", "a.txt") {
            Err(Error::DataLine {
                line: 3, message, ..
            }) => assert!(message.contains("byte 7"), "{message}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_column_of_plain_text_is_said_to_be_none() {
        let options = ReadOptions {
            column: Some("body".to_string()),
        };
        let found = super::super::parse_records(b"a", Path::new("a.txt"), &options).unwrap();
        assert!(found.notes[0].starts_with("a.txt: no column \"body\""));
    }
}
