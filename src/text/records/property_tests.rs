//! Any input yields records or a typed error with its location.

use std::io::Write;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;

use super::{ReadOptions, Record, parse_records};
use crate::error::Error;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 3).unwrap()
}

/// A valid file of every format and style.
fn valid() -> Vec<(&'static str, Vec<u8>)> {
    let texts = "{\"text\": \"one\"}\n{\"text\": \"zwö\", \"id\": 2}\n";
    let completions =
        "[{\"prompt\": \"p\",\n\"completion\": \"c\"},\n{\"prompt\": \"\", \"completion\": \"\"}]";
    let conversation = "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \
                        \"text\": \"a\"}]}, {\"role\": \"tool\", \"content\": null, \
                        \"tool_calls\": [{}]}], \"tools\": [{}]}";
    let table = "id,text\r\n1,\"a, \"\"b\"\"\nc\"\r\n2,\"d\"\n";
    let share_gpt = "{\"conversations\": [{\"from\": \"human\", \"value\": \"a\"}, {\"from\": \"function_call\", \
                     \"value\": \"{\\\"name\\\": \\\"f\\\"}\", \"weight\": 0}], \"tools\": \"[{}]\", \"system\": \"s\"}\n";
    let alpaca = "[{\"instruction\": \"a\", \"input\": NaN, \"output\": \"b\",\n\"history\": [[\"c\", \"d\"]]}]";
    let messages = "messages,tools\n\"[{\"\"role\"\": \"\"user\"\", \"\"content\"\": null}]\",[]\n";
    let utf16 = "\u{feff}{\"question\": \"a\", \"answer\": \"b\"}".encode_utf16();
    vec![
        ("share_gpt.jsonl", share_gpt.into()),
        ("alpaca.json", alpaca.into()),
        ("messages.csv", messages.into()),
        ("strings.jsonl", b"[\"a\",\n\"b\"]".to_vec()),
        ("utf16.jsonl", utf16.flat_map(u16::to_le_bytes).collect()),
        ("by_content", b"query\tresponse\na\tb\n".to_vec()),
        ("by_content.gz", gzip(texts.as_bytes())),
        ("a.txt", b"one\ntwo\n\nthree\n".to_vec()),
        ("a.md", b"# One\n\ntwo\n".to_vec()),
        ("a.jsonl", texts.into()),
        ("a.ndjson", conversation.into()),
        ("a.json", completions.into()),
        ("a.csv", table.into()),
        ("a.tsv", table.replace(',', "\t").into()),
        ("a.jsonl.gz", gzip(texts.repeat(50).as_bytes())),
        ("a.csv.zst", zstd(table.repeat(50).as_bytes())),
        ("a.txt.zst", zstd(b"one")),
        ("texts.parquet", super::parquet::tests::texts()),
        (
            "conversations.parquet",
            super::parquet::tests::conversations(),
        ),
    ]
}

/// Parses bytes as a file of this name, and checks the error, if any.
fn check(bytes: &[u8], name: &str) -> Result<(), TestCaseError> {
    for column in [None, Some("id".to_string())] {
        let options = ReadOptions {
            column,
            ..ReadOptions::default()
        };
        match parse_records(bytes, Path::new(name), &options) {
            Ok(found) => prop_assert_eq!(found.files, 1),
            Err(Error::DataLine { path, line, .. }) => {
                prop_assert_eq!(path.as_path(), Path::new(name));
                prop_assert!(!name.ends_with(".parquet"));
                if !name.ends_with("gz") && !name.ends_with("zst") {
                    let lines = bytes.split(|&byte| byte == b'\n').count();
                    prop_assert!((1..=lines).contains(&line), "line {} of {}", line, lines);
                }
            }
            Err(Error::DataFile { path, message }) => {
                prop_assert_eq!(path.as_path(), Path::new(name));
                prop_assert!(!message.is_empty());
            }
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }
    Ok(())
}

/// A mutation of a file.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index),
    Cut(Index),
    Repeat(Index, Index),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let place = |index: &Index| index.index(bytes.len());
        match self {
            Self::Set(index, byte) => {
                let index = place(index);
                bytes[index] = *byte;
            }
            Self::Insert(index, inserted) => {
                let index = place(index);
                bytes.splice(index..index, inserted.iter().copied());
            }
            Self::Remove(index) => {
                bytes.remove(place(index));
            }
            Self::Cut(index) => bytes.truncate(place(index)),
            Self::Repeat(start, end) => {
                let (start, end) = (place(start), place(end));
                let part = bytes[start.min(end)..start.max(end)].to_vec();
                bytes.splice(start..start, part);
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    // Bytes that are significant in some format.
    let significant = select(b"\"\\\n\r,\t[]{}:0 \0\xff\x7f\x80".as_slice());
    prop_oneof![
        8 => (any::<Index>(), prop_oneof![any::<u8>(), significant]).prop_map(|(at, byte)| Change::Set(at, byte)),
        2 => (any::<Index>(), vec(any::<u8>(), 1..4)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => any::<Index>().prop_map(Change::Remove),
        1 => any::<Index>().prop_map(Change::Cut),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(start, end)| Change::Repeat(start, end)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_yield_records_or_an_error(bytes in vec(any::<u8>(), 0..300)) {
        for (name, _) in valid() {
            check(&bytes, name)?;
        }
    }

    #[test]
    fn any_text_yields_records_or_an_error(text in "[a\\[\\]{}\",:\r\n\t; ]{0,40}") {
        for (name, _) in valid() {
            check(text.as_bytes(), name)?;
        }
    }

    #[test]
    fn mutated_files_yield_records_or_an_error(changes in vec(change(), 1..4)) {
        for (name, mut bytes) in valid() {
            for change in &changes {
                change.apply(&mut bytes);
            }
            check(&bytes, name)?;
        }
    }

    #[test]
    fn texts_round_trip_through_every_format(texts in vec(any::<String>(), 0..8)) {
        let objects: Vec<_> = texts.iter().map(|text| json!({"id": 1, "text": text})).collect();
        let lines: String = objects.iter().map(|object| format!("{object}\n")).collect();
        let list = serde_json::to_string_pretty(&objects).unwrap();
        let table = |delimiter| {
            let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
            writer.write_record(["text", "id"]).unwrap();
            for text in &texts {
                writer.write_record([text.as_str(), "1"]).unwrap();
            }
            writer.into_inner().unwrap()
        };
        let expected: Vec<Record> = texts.iter().cloned().map(Record::Text).collect();
        for (name, bytes) in [
            ("a.jsonl", lines.clone().into_bytes()),
            ("a.json", lines.clone().into_bytes()),
            ("b.json", list.into_bytes()),
            ("a.csv", table(b',')),
            ("a.tsv", table(b'\t')),
            ("a.jsonl.gz", gzip(lines.as_bytes())),
            ("a.jsonl.zst", zstd(lines.as_bytes())),
        ] {
            let found = parse_records(&bytes, Path::new(name), &ReadOptions::default()).unwrap();
            prop_assert_eq!(&found.records, &expected, "{}", name);
        }
    }
}
