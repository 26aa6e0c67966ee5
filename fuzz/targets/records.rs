//! Data files.

use std::path::Path;

use minift::data::{ReadOptions, Record, Records, parse_records};
use serde_json::{Value, json};

use super::is_told;

/// The kinds of files, by the letter that comes before their bytes.
pub const KINDS: [&str; 10] = [
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
];

/// Reads all bytes but the first as a data file of the kind that the first byte tells. What is accepted
/// can be written and read again, and no text of it is lost.
pub fn file(data: &[u8]) -> bool {
    let Some((&letter, bytes)) = data.split_first() else {
        return false;
    };
    let name = KINDS[usize::from(letter.wrapping_sub(b'a')) % KINDS.len()];
    for column in [None, Some("id".to_string())] {
        let found = parse_records(bytes, Path::new(name), &ReadOptions { column });
        if let Err(error) = &found {
            is_told(error, bytes.len());
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
    let again = parse(written.as_bytes(), "again.jsonl").expect("what is written can be read");
    assert_eq!(
        again.records.iter().map(to_json).collect::<Vec<_>>(),
        records.iter().map(to_json).collect::<Vec<_>>(),
        "written and read again"
    );
    match name {
        "a.txt" | "b.md" => {
            let text = std::str::from_utf8(bytes)
                .unwrap()
                .trim_start_matches('\u{feff}');
            let words = text.split_whitespace();
            let texts: Vec<String> = records.iter().map(Record::to_string).collect();
            assert!(
                words.eq(texts.iter().flat_map(|text| text.split_whitespace())),
                "every word is there"
            );
        }
        "c.jsonl" => {
            let text = std::str::from_utf8(bytes).unwrap();
            let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
            let lines: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
            assert_eq!(lines.len(), records.len(), "every line is there");
            for (line, record) in lines.iter().zip(records) {
                let line: Value = serde_json::from_str(line).unwrap();
                let is_there = |text: &String| {
                    line.as_object()
                        .unwrap()
                        .values()
                        .any(|value| value == text)
                };
                match record {
                    Record::Text(text) | Record::Document(text) => assert!(is_there(text)),
                    Record::Completion { prompt, completion } => {
                        assert!(is_there(prompt) && is_there(completion));
                    }
                    Record::Conversation { messages, .. } => {
                        assert_eq!(line["messages"], Value::from(messages.clone()));
                    }
                }
            }
        }
        _ => {}
    }
}

/// A record as a line of JSON has it.
fn to_json(record: &Record) -> Value {
    match record {
        Record::Text(text) | Record::Document(text) => json!({ "text": text }),
        Record::Completion { prompt, completion } => {
            json!({ "prompt": prompt, "completion": completion })
        }
        Record::Conversation {
            messages, tools, ..
        } => {
            json!({ "messages": messages, "tools": tools })
        }
    }
}
