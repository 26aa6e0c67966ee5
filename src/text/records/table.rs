//! CSV and TSV files with a header row.

use std::io::Read;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use serde_json::Value;

use super::styles::{Collector, Style, ignored_note, missing_columns};
use super::{ReadOptions, Records, names};
use crate::error::{Error, Result};

/// A row appended to the table. An unclosed quote swallows it.
const END: &[u8] = b"\nend\n";

/// Parses a table whose first row names the columns.
///
/// # Errors
///
/// [`Error::DataLine`] with the line on which a row starts.
pub(super) fn parse(
    text: &str,
    delimiter: u8,
    path: &Path,
    options: &ReadOptions,
) -> Result<Records> {
    let mut rows = Rows::new(text, delimiter, path);
    let mut row = StringRecord::new();
    if !rows.read(&mut row)? {
        return Ok(Records::of_file(Vec::new(), Vec::new()));
    }
    let header: Vec<String> = row.iter().map(|name| name.trim().to_string()).collect();
    let fault = |message: String| Error::data_line(path, rows.line(&row), message);
    let style = detect(&header, options).map_err(fault)?;
    let mut columns = Vec::new();
    for (column, name) in header.iter().enumerate() {
        if style.uses(name) {
            if header[..column].contains(name) {
                let name = names::quote(name);
                return Err(fault(format!(
                    "several columns are named {name}: rename all but one"
                )));
            }
            columns.push(column);
        }
    }

    let mut collector = Collector::new(path, options);
    while rows.read(&mut row)? {
        if row.len() != header.len() {
            let message = format!(
                "{} {}, but the header has {}: quote fields that contain a separator or a line break",
                row.len(),
                names::plural("field", row.len()),
                header.len()
            );
            return Err(Error::data_line(path, rows.line(&row), message));
        }
        let field = |&column: &usize| (header[column].clone(), Value::from(&row[column]));
        let object = columns.iter().map(field).collect();
        let line = rows.line(&row);
        collector
            .push(Value::Object(object), line)
            .map_err(|fault| Error::data_line(path, line, fault))?;
    }
    let ignored = header.iter().map(String::as_str);
    let note = ignored_note("column", ignored.filter(|name| !style.uses(name)), path);
    let mut records = collector.finish();
    records.notes.extend(note);
    Ok(records)
}

/// Detects the style from the columns. Fails with a description of the error.
fn detect(header: &[String], options: &ReadOptions) -> std::result::Result<Style, String> {
    let has = |key: &str| header.iter().any(|name| name == key);
    Style::detect(has, options).ok_or_else(|| {
        let mut message = missing_columns(options, header.iter().map(String::as_str));
        if let [only] = header
            && let Some(separator) = [';', '\t', ',']
                .into_iter()
                .find(|&separator| only.contains(separator))
        {
            message +=
                &format!("; is {separator:?} the separator? Expected commas in .csv, tabs in .tsv");
        }
        message
    })
}

/// Iterates over the rows of a table and the lines on which they start.
struct Rows<'a> {
    reader: csv::Reader<std::io::Chain<&'a [u8], &'static [u8]>>,
    text: &'a str,
    path: &'a Path,
}

impl<'a> Rows<'a> {
    fn new(text: &'a str, delimiter: u8, path: &'a Path) -> Self {
        // Trailing blank lines are not rows: the last row ends with the trimmed text.
        let text = text.trim_end_matches(['\r', '\n']);
        let reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            // Rows of another length are reported here, with advice.
            .flexible(true)
            .from_reader(text.as_bytes().chain(END));
        Self { reader, text, path }
    }

    /// Reads the next row that is not blank. Returns false at the end.
    fn read(&mut self, row: &mut StringRecord) -> Result<bool> {
        let more = self.reader.read_record(row).map_err(|error| {
            let line = error.position().map_or(1, csv::Position::line);
            Error::data_line(self.path, line as usize, format!("invalid table: {error}"))
        })?;
        let start = row.position().map_or(0, csv::Position::byte);
        if !more || start >= self.text.len() as u64 {
            return Ok(false);
        }
        let line_break = 1;
        if self.reader.position().byte() > self.text.len() as u64 + line_break {
            let message = "a quote opened in this row is never closed: close it, or double the quotes \
                                                      within a field";
            return Err(Error::data_line(self.path, self.line(row), message));
        }
        Ok(true)
    }

    /// The line, counted from 1, on which a row starts.
    fn line(&self, row: &StringRecord) -> usize {
        let Some(position) = row.position() else {
            return 1;
        };
        // The csv crate reports the position before the blank lines that precede the row.
        let rest = self.text.as_bytes().get(position.byte() as usize..);
        let before = rest.unwrap_or_default().iter();
        let blank = before.take_while(|byte| matches!(byte, b'\r' | b'\n'));
        position.line() as usize + blank.filter(|&&byte| byte == b'\n').count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::records::{Record, parse_records};

    fn read(text: &str, name: &str, column: Option<&str>) -> Result<Records> {
        let column = column.map(ToString::to_string);
        let options = ReadOptions {
            column,
            ..ReadOptions::default()
        };
        parse_records(text.as_bytes(), Path::new(name), &options)
    }

    fn text(text: &str) -> Record {
        Record::Text(text.to_string())
    }

    #[test]
    fn quotes_and_line_breaks_are_parsed() {
        let table = "\u{feff}id,text\r\n1,\"a, \"\"b\"\"\r\nc\"\r\n\r\n2,\r\n3,\"d\n\"";
        let found = read(table, "a.CSV", None).unwrap();
        assert_eq!(
            found.records,
            [text("a, \"b\"\r\nc"), text(""), text("d\n")]
        );
        assert_eq!(found.notes, ["a.CSV: column \"id\" is ignored"]);
        // Quotes within an unquoted field are literal.
        let found = read("text\n5\" disk\n", "a.csv", None).unwrap();
        assert_eq!(found.records, [text("5\" disk")]);
    }

    #[test]
    fn completions_and_named_columns() {
        let table = "completion\tx\t prompt\nc\t1,2\tp\n";
        let completion = Record::Completion {
            prompt: "p".to_string(),
            completion: "c".to_string(),
        };
        assert_eq!(read(table, "a.tsv", None).unwrap().records, [completion]);
        let found = read(table, "a.tsv", Some("x")).unwrap();
        assert_eq!(found.records, [text("1,2")]);
        let note = "a.tsv: columns \"completion\" and \"prompt\" are ignored";
        assert_eq!(found.notes, [note]);
    }

    #[test]
    fn errors_name_the_line_and_the_columns() {
        for (table, column, expected_line, part) in [
            ("\n\na,b\n1,2\n", None, 3, "(found \"a\" and \"b\")"),
            (
                "text,b\n1,2\n",
                Some("c"),
                1,
                "no column \"c\" (found \"text\" and \"b\")",
            ),
            ("text;b\n1;2\n", None, 1, "is ';' the separator?"),
            (
                "text,text\n1,2\n",
                None,
                1,
                "several columns are named \"text\"",
            ),
            ("messages\n[]\n", None, 2, "\"messages\" is empty"),
            ("messages\nhi\n", None, 2, "a string that is not JSON"),
            (
                "text,b\n\"a\n\",2\n1\n",
                None,
                4,
                "1 field, but the header has 2",
            ),
            ("text,b\n1,2,3\n", None, 2, "3 fields, but the header has 2"),
            ("text\na\n\"b\n\nc\n\n", None, 3, "never closed"),
            ("text\na\n\"b", None, 3, "never closed"),
            ("text,b\r\n\r\n1,2\r\n\r\n3\r\n", None, 5, "1 field,"),
            ("\"text\na\n", None, 1, "never closed"),
        ] {
            match read(table, "a.csv", column) {
                Err(Error::DataLine { line, message, .. }) => {
                    assert_eq!(line, expected_line, "{table}: {message}");
                    assert!(message.contains(part), "{table}: {message}");
                }
                other => panic!("{table}: {other:?}"),
            }
        }
    }
}
