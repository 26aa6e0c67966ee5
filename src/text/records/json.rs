//! JSON: JSON lines, a list of values, or concatenated values.

use std::path::Path;

use serde_json::{Deserializer, Value};

use super::styles::{Collector, Style, is_message};
use super::{ReadOptions, Records};
use crate::error::{Error, Result};
use crate::text::python_json::without_nan;

/// A result whose error is a description.
type Parsed<T> = std::result::Result<T, String>;

/// Parses JSON lines, skipping blank lines. A list of records is read as such, and so are records that span
/// several lines.
///
/// # Errors
///
/// [`Error::DataLine`].
pub(super) fn parse_lines(text: &str, path: &Path, options: &ReadOptions) -> Result<Records> {
    let text = without_nan(text);
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    let is_whole = match serde_json::from_str::<Value>(first) {
        // A line each with a list is a file of conversations.
        Ok(value) => value.is_array() && lines.next().is_none(),
        Err(error) => error.is_eof(),
    };
    if is_whole {
        let found = parse_values(&text, path, options);
        if found.is_ok() || first.trim_start().starts_with('[') {
            return found;
        }
    }
    let mut collector = Collector::new(path, options);
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let value = serde_json::from_str(line).map_err(|error| syntax_error(&error));
        value
            .and_then(|value| collector.push(value, index + 1))
            .map_err(|fault| Error::data_line(path, index + 1, fault))?;
    }
    Ok(collector.finish())
}

/// Parses a list of values, or concatenated values. Errors give the line on which the value starts, or the
/// line of the syntax error.
///
/// # Errors
///
/// [`Error::DataLine`].
pub(super) fn parse(text: &str, path: &Path, options: &ReadOptions) -> Result<Records> {
    parse_values(&without_nan(text), path, options)
}

fn parse_values(text: &str, path: &Path, options: &ReadOptions) -> Result<Records> {
    let mut collector = Collector::new(path, options);
    let mut cursor = Cursor {
        rest: text,
        line: 1,
    };
    read_values(&mut cursor, &mut collector, options)
        .map_err(|fault| Error::data_line(path, cursor.line, fault))?;
    Ok(collector.finish())
}

/// Passes the values to the collector one by one, so that only one is held as JSON at a time.
fn read_values(
    cursor: &mut Cursor,
    collector: &mut Collector,
    options: &ReadOptions,
) -> Parsed<()> {
    if !cursor.accept('[') {
        while !cursor.is_at_end() {
            cursor.value(|value, line| collector.push(value, line))?;
        }
        return Ok(());
    }
    // A list of messages is one conversation.
    let mut messages: Option<Vec<Value>> = None;
    let start = cursor.line;
    let mut is_first = true;
    let mut take = |value: Value, line| {
        if std::mem::take(&mut is_first) && is_message(&value) {
            let has = |key: &str| value.get(key).is_some();
            if Style::detect(has, options).is_none() {
                messages = Some(Vec::new());
            }
        }
        match &mut messages {
            Some(messages) => messages.push(value),
            None => collector.push(value, line)?,
        }
        Ok(())
    };
    if !cursor.accept(']') {
        loop {
            cursor.value(&mut take)?;
            if cursor.accept(']') {
                break;
            }
            if !cursor.accept(',') {
                return Err("invalid JSON: expected , or ] after a record of the list".to_string());
            }
        }
    }
    if !cursor.is_at_end() {
        return Err("expected nothing after the list of records".to_string());
    }
    match messages {
        Some(messages) => collector.push(Value::Array(messages), start),
        None => Ok(()),
    }
}

/// A position in JSON text.
struct Cursor<'a> {
    rest: &'a str,
    /// Counted from 1.
    line: usize,
}

impl Cursor<'_> {
    fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.line += skipped.bytes().filter(|&byte| byte == b'\n').count();
        self.rest = rest;
    }

    fn skip_whitespace(&mut self) {
        let rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.skip(self.rest.len() - rest.len());
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_whitespace();
        self.rest.is_empty()
    }

    fn accept(&mut self, character: char) -> bool {
        self.skip_whitespace();
        let found = self.rest.starts_with(character);
        if found {
            self.skip(character.len_utf8());
        }
        found
    }

    /// Parses the next value, passes it to `take` and advances past it.
    fn value(&mut self, take: impl FnOnce(Value, usize) -> Parsed<()>) -> Parsed<()> {
        self.skip_whitespace();
        let mut values = Deserializer::from_str(self.rest).into_iter();
        match values.next() {
            Some(Ok(value)) => take(value, self.line)?,
            Some(Err(error)) => {
                self.line += error.line().saturating_sub(1);
                return Err(syntax_error(&error));
            }
            None => return Err("invalid JSON: unexpected end of file".to_string()),
        }
        let length = values.byte_offset();
        self.skip(length);
        Ok(())
    }
}

/// Formats a syntax error with its column; the caller adds the line in the file.
pub(super) fn syntax_error(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    match text.strip_suffix(&format!(" at line {line} column {column}")) {
        Some(text) => format!("invalid JSON: {text} at column {column}"),
        None => format!("invalid JSON: {text}"),
    }
}

#[cfg(test)]
mod tests;
