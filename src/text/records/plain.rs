//! Plain text.

use std::path::Path;

use super::{ReadOptions, Record, Records, names};

/// Collects the records of a plain text file, with a note if a column was requested.
pub(super) fn records(
    texts: impl IntoIterator<Item = Record>,
    path: &Path,
    options: &ReadOptions,
) -> Records {
    let note = options.columns().next().map(|column| {
        let column = names::quote(column);
        format!(
            "{}: plain text has no column {column}: the whole file is read",
            path.display()
        )
    });
    Records::of_file(texts.into_iter().collect(), note.into_iter().collect())
}

/// Splits a text at blank lines.
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

/// Returns the whole text without leading and trailing blank lines, or `None` if it is blank.
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
    use crate::error::Result;

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
    fn blank_files_have_no_records() {
        for kind in ["txt", "md", "jsonl", "ndjson", "json", "csv", "tsv"] {
            for text in ["", "\u{feff}", "\n", " \r\n\t\n"] {
                // A table of blanks has one column without a name.
                if kind.ends_with("sv") && text.contains(' ') {
                    continue;
                }
                let found = parse(text.as_bytes(), &format!("a.{kind}")).unwrap();
                assert_eq!(found.records, [], "{kind} {text:?}");
            }
        }
    }

    #[test]
    fn a_column_of_plain_text_is_noted() {
        let options = ReadOptions {
            column: Some("body".to_string()),
            ..ReadOptions::default()
        };
        let found = super::super::parse_records(b"a", Path::new("a.txt"), &options).unwrap();
        assert!(found.notes[0].contains("no column \"body\""));
    }
}
