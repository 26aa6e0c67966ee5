//! JSON: one object a line, a list of objects, or one object after the other.

use std::path::Path;

use serde_json::{Deserializer, Value};

use super::style::Collector;
use super::{ReadOptions, Records};
use crate::error::{Error, Result};

/// The records of JSON lines; blank lines are skipped.
///
/// # Errors
///
/// [`Error::DataLine`].
pub(super) fn parse_lines(text: &str, path: &Path, options: &ReadOptions) -> Result<Records> {
    let mut collector = Collector::new(path, options.column.as_deref());
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let value = serde_json::from_str(line).map_err(|error| not_json(&error));
        value
            .and_then(|value| collector.push(value, index + 1))
            .map_err(|fault| Error::data_line(path, index + 1, fault))?;
    }
    Ok(collector.finish())
}

/// The records of a list of objects, or of one object after the other. A fault is on the line on
/// which its object begins, or on which the JSON ends to be such.
///
/// # Errors
///
/// [`Error::DataLine`].
pub(super) fn parse(text: &str, path: &Path, options: &ReadOptions) -> Result<Records> {
    let mut collector = Collector::new(path, options.column.as_deref());
    let mut cursor = Cursor {
        rest: text,
        line: 1,
    };
    read_values(&mut cursor, |value, line| collector.push(value, line))
        .map_err(|fault| Error::data_line(path, cursor.line, fault))?;
    Ok(collector.finish())
}

/// Hands over one value after the other, so that no more than one of them is held as JSON.
fn read_values(
    cursor: &mut Cursor,
    mut take: impl FnMut(Value, usize) -> std::result::Result<(), String>,
) -> std::result::Result<(), String> {
    if !cursor.accept('[') {
        while !cursor.is_at_end() {
            cursor.value(&mut take)?;
        }
        return Ok(());
    }
    if !cursor.accept(']') {
        loop {
            cursor.value(&mut take)?;
            if cursor.accept(']') {
                break;
            }
            if !cursor.accept(',') {
                return Err("not JSON: expected , or ] after a record of the list".to_string());
            }
        }
    }
    if cursor.is_at_end() {
        Ok(())
    } else {
        Err("expected nothing after the list of records".to_string())
    }
}

/// A place in JSON.
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

    /// Hands over the value that begins here, and goes on behind it unless that fails.
    fn value(
        &mut self,
        take: impl FnOnce(Value, usize) -> std::result::Result<(), String>,
    ) -> std::result::Result<(), String> {
        self.skip_whitespace();
        let mut values = Deserializer::from_str(self.rest).into_iter();
        match values.next() {
            Some(Ok(value)) => take(value, self.line)?,
            Some(Err(error)) => {
                self.line += error.line().saturating_sub(1);
                return Err(not_json(&error));
            }
            None => return Err("not JSON: it ends early".to_string()),
        }
        let length = values.byte_offset();
        self.skip(length);
        Ok(())
    }
}

/// What is not JSON, with the column; the line is the file's and is said elsewhere.
fn not_json(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    match text.strip_suffix(&format!(" at line {line} column {column}")) {
        Some(text) => format!("not JSON: {text} at column {column}"),
        None => format!("not JSON: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::records::{Place, Record, parse_records};
    use serde_json::json;

    fn read(text: &str, name: &str, column: Option<&str>) -> Result<Records> {
        let column = column.map(ToString::to_string);
        parse_records(text.as_bytes(), Path::new(name), &ReadOptions { column })
    }

    fn text(text: &str) -> Record {
        Record::Text(text.to_string())
    }

    #[track_caller]
    fn assert_fault(text: &str, name: &str, expected_line: usize, part: &str) {
        match read(text, name, None) {
            Err(Error::DataLine { line, message, .. }) => {
                assert_eq!(line, expected_line, "{text}: {message}");
                assert!(message.contains(part), "{text}: {message}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn texts_with_other_keys_and_blank_lines() {
        let lines =
            "\u{feff}{\"text\": \"a\", \"id\": 3}\r\n\n{\"date\": 1, \"text\": \"b\", \"id\": 4}";
        for name in ["a.JSONL", "a.ndjson", "a.json"] {
            let found = read(lines, name, None).unwrap();
            assert_eq!(found.records, [text("a"), text("b")]);
            let note = format!("{name}: keys \"date\" and \"id\" are ignored");
            assert_eq!(found.notes, [note]);
        }
    }

    #[test]
    fn text_comes_before_the_other_styles() {
        let line = r#"{"messages": 1, "prompt": "p", "completion": "c", "text": "t"}"#;
        let found = read(line, "a.jsonl", None).unwrap();
        assert_eq!(found.records, [text("t")]);
        assert_eq!(found.notes.len(), 1);
        let found = read(line, "a.jsonl", Some("completion")).unwrap();
        assert_eq!(found.records, [text("c")]);
        let fault = read(line, "a.jsonl", Some("body")).unwrap_err().to_string();
        assert!(
            fault.contains("a.jsonl:1: no \"body\" (found \"messages\""),
            "{fault}"
        );
    }

    #[test]
    fn completions() {
        let line = r#"{"completion": "c", "prompt": "p"}"#;
        let completion = Record::Completion {
            prompt: "p".to_string(),
            completion: "c".to_string(),
        };
        assert_eq!(read(line, "a.jsonl", None).unwrap().records, [completion]);
    }

    #[test]
    fn conversations_are_kept_whole() {
        let messages = json!([
            {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": "Ann"},
            {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f"}}]},
            {"role": "tool", "content": ""},
        ]);
        let tools = json!([{"type": "function"}]);
        for (given, kept) in [
            (tools.clone(), Some(tools.clone())),
            (json!(tools.to_string()), Some(tools)),
            (Value::Null, None),
        ] {
            let line = json!({"messages": messages, "tools": given}).to_string();
            let found = read(&line, "a.jsonl", None).unwrap();
            let Value::Array(messages) = messages.clone() else {
                unreachable!()
            };
            let expected = Record::Conversation {
                messages,
                tools: kept,
                place: Place {
                    path: Path::new("a.jsonl").into(),
                    line: 1,
                },
            };
            assert_eq!(found.records, [expected]);
            assert_eq!(found.notes, [""; 0]);
        }
    }

    #[test]
    fn faulty_conversations() {
        for (messages, part) in [
            ("5", "\"messages\" is a number"),
            ("[]", "\"messages\" is empty"),
            ("[5]", "message 1: it is a number"),
            (
                r#"[{"role": "a", "content": ""}, {"content": ""}]"#,
                "message 2: no \"role\"",
            ),
            (r#"[{"role": 1, "content": ""}]"#, "\"role\" is a number"),
            (r#"[{"role": "a"}]"#, "no \"content\""),
            (r#"[{"role": "a", "content": null}]"#, "\"content\" is null"),
            (
                r#"[{"role": "a", "content": null, "tool_calls": []}]"#,
                "\"content\" is null",
            ),
            (
                r#"[{"role": "a", "content": {}}]"#,
                "\"content\" is an object",
            ),
            (
                r#"[{"role": "a", "content": [{"type": "image"}]}]"#,
                "of type \"image\"",
            ),
            (
                r#"[{"role": "a", "content": [{"type": "text"}]}]"#,
                "no text",
            ),
            (r#"[{"role": "a", "content": ["b"]}]"#, "no text"),
        ] {
            let lines = format!("\n{{\"messages\": {messages}}}");
            assert_fault(&lines, "a.jsonl", 2, part);
            assert_fault(&lines, "a.json", 2, part);
        }
        let tools = r#"{"messages": [{"role": "a", "content": ""}], "tools": {}}"#;
        assert_fault(tools, "a.jsonl", 1, "\"tools\" is an object");
    }

    #[test]
    fn faults_name_the_line() {
        for (text, line, part) in [
            ("{\"text\": \"a\"}\n[1]\n", 2, "but a list"),
            (
                "{\"text\": \"a\"}\n\n{\"txt\": \"b\"}\n",
                3,
                "no \"text\" (found \"txt\")",
            ),
            ("{\"text\": 5}", 1, "\"text\" is a number"),
            ("{\"text\": \"a\"", 1, "at column 12"),
            ("{}", 1, "(found nothing)"),
            ("{\"prompt\": \"a\"}", 1, "found \"prompt\""),
            (
                "{\"text\": \"a\"}\n{\"prompt\": \"b\", \"completion\": \"c\"}",
                2,
                "has \"prompt\" and \"completion\", but the file begins with \"text\"",
            ),
        ] {
            assert_fault(text, "a.jsonl", line, part);
            assert_fault(text, "a.json", line, part);
        }
    }

    #[test]
    fn a_list_is_read_over_many_lines() {
        let list = "\n [\n{\"text\":\n\"a\"}\n, {\"text\": \"b\"}]\n";
        let found = read(list, "a.json", None).unwrap();
        assert_eq!(found.records, [text("a"), text("b")]);
        assert_eq!(read(" [ ] ", "a.json", None).unwrap().records, []);
        for (list, line, part) in [
            ("[", 1, "ends early"),
            ("[\n{\"text\": \"a\"}\n", 3, "expected , or ]"),
            ("[\n{\"text\": \"a\"},\n]", 3, "not JSON"),
            (
                "[\n{\"text\": \"a\"}\n{\"text\": \"a\"}]",
                3,
                "expected , or ]",
            ),
            ("[\n{\"text\": \"a\"}]\n\n{}", 4, "nothing after the list"),
            (
                "[\n{\"text\": \"a\"},\n{\"text\":\n5}]",
                3,
                "\"text\" is a number",
            ),
            ("[\n{\"text\": \"a\"},\n{\"text\":\nx}]", 4, "at column 1"),
        ] {
            assert_fault(list, "a.json", line, part);
        }
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let deep = format!("{{\"text\": {}", "[".repeat(1_000_000));
        assert_fault(&deep, "a.jsonl", 1, "recursion limit");
        assert_fault(&deep, "a.json", 1, "recursion limit");
    }
}
