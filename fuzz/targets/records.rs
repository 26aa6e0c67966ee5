//! Data files.

use std::path::Path;

use minift::text::{ReadOptions, Record, Records, parse_records};
use serde_json::{Value, json};

use super::check_error;

/// File formats, by the letter that precedes the contents.
pub const KINDS: [&str; 11] = [
    "a.txt",
    "b.md",
    "c.jsonl",
    "d.json",
    "e.csv",
    "f.tsv",
    "g.parquet",
    "h.txt.gz",
    "i.jsonl.zst",
    "j.csv.gz",
    "k",
];

/// Reads a data file of the format that the first byte selects. Accepted files round-trip, and no
/// text is lost.
pub fn file(data: &[u8]) -> bool {
    let Some((&letter, bytes)) = data.split_first() else {
        return false;
    };
    let name = KINDS[usize::from(letter.wrapping_sub(b'a')) % KINDS.len()];
    for column in [None, Some("id".to_string())] {
        let options = ReadOptions {
            messages_column: column.clone(),
            ..ReadOptions::default()
        };
        if let Err(error) = parse_records(bytes, Path::new(name), &options) {
            check_error(&error, bytes.len());
        }
        let options = ReadOptions {
            column,
            ..ReadOptions::default()
        };
        let found = parse_records(bytes, Path::new(name), &options);
        if let Err(error) = &found {
            check_error(error, bytes.len());
        }
        if let Ok(found) = found {
            check(&found, bytes, name);
        }
    }
    parse(bytes, name).is_ok()
}

fn parse(bytes: &[u8], name: &str) -> minift::Result<Records> {
    parse_records(bytes, Path::new(name), &ReadOptions::default())
}

fn check(found: &Records, bytes: &[u8], name: &str) {
    assert_eq!(found.files, 1);
    let records = &found.records;
    let written: String = records
        .iter()
        .map(|record| format!("{}\n", to_json(record)))
        .collect();
    let again = parse(written.as_bytes(), "again.jsonl").expect("serialized output can be read");
    assert_eq!(
        again.records.iter().map(to_json).collect::<Vec<_>>(),
        records.iter().map(to_json).collect::<Vec<_>>(),
        "round trip"
    );
    // UTF-16, or compressed under another name.
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match name {
        "a.txt" | "b.md" => {
            let words = text.split_whitespace();
            let texts: Vec<String> = records.iter().map(Record::to_string).collect();
            assert!(
                words.eq(texts.iter().flat_map(|text| text.split_whitespace())),
                "no word is lost"
            );
        }
        "c.jsonl" => {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            // Others are lists, span several lines, or have numbers of Python.
            let Ok(objects) = lines
                .map(serde_json::from_str::<serde_json::Map<String, Value>>)
                .collect::<Result<Vec<_>, _>>()
            else {
                return;
            };
            assert_eq!(objects.len(), records.len(), "no line is lost");
            for (object, record) in objects.iter().zip(records) {
                let is_present = |text: &String| object.values().any(|value| value == text);
                match record {
                    Record::Text(text) | Record::Document(text) => assert!(is_present(text)),
                    Record::Completion { prompt, completion } => {
                        assert!(is_present(prompt) && is_present(completion));
                    }
                    Record::Question { completion, .. } => assert!(is_present(completion)),
                    Record::Conversation { messages, .. } => assert!(!messages.is_empty()),
                }
            }
        }
        _ => {}
    }
}

/// Drops the nulls of objects, as reading does except in JSON strings.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|key, value| !value.is_null() || key == "content");
            object.values_mut().for_each(without_nulls);
        }
        Value::Array(values) => values.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// Serializes a record as a line of JSON.
fn to_json(record: &Record) -> Value {
    match record {
        Record::Text(text) | Record::Document(text) => json!({ "text": text }),
        Record::Completion { prompt, completion } => {
            json!({ "prompt": prompt, "completion": completion })
        }
        Record::Question { messages, .. } => json!({ "messages": messages }),
        Record::Conversation {
            messages, tools, ..
        } => {
            let mut object = json!({ "messages": messages, "tools": tools });
            without_nulls(&mut object);
            object
        }
    }
}
