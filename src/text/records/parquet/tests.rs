//! Reads Parquet files that the tests write.

use ::parquet::basic::{Encoding, GzipLevel};
use ::parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use ::parquet::file::properties::{WriterProperties, WriterVersion};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use serde_json::json;

use super::*;
use crate::text::records::{Place, parse_records, read_records};

/// Values of a column: those that are not null, with definition and repetition levels.
enum Column<'a> {
    Strings(&'a [&'a str], &'a [i16], &'a [i16]),
    Numbers(&'a [i32]),
}

/// A file of one row group.
fn file(schema: &str, properties: WriterProperties, columns: &[Column]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties.into()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for column in columns {
        let mut writer = group.next_column().unwrap().unwrap();
        match column {
            Column::Strings(values, definition, repetition) => {
                let values: Vec<ByteArray> = values.iter().map(|&value| value.into()).collect();
                let writer = writer.typed::<ByteArrayType>();
                let given = |levels: &'_ [i16]| (!levels.is_empty()).then(|| levels.to_vec());
                let (definition, repetition) = (given(definition), given(repetition));
                writer.write_batch(&values, definition.as_deref(), repetition.as_deref())
            }
            Column::Numbers(values) => {
                let writer = writer.typed::<Int32Type>();
                writer.write_batch(values, None, None)
            }
        }
        .unwrap();
        writer.close().unwrap();
    }
    group.close().unwrap();
    writer.into_inner().unwrap()
}

fn compressed(compression: Compression) -> WriterProperties {
    WriterProperties::builder()
        .set_compression(compression)
        .build()
}

const TEXTS: &str = "message schema { optional binary text (UTF8); required int32 id; }";

/// Two texts and a column of numbers.
pub(in crate::text::records) fn texts() -> Vec<u8> {
    let columns = [
        Column::Strings(&["one", "zwö"], &[1, 1], &[]),
        Column::Numbers(&[1, 2]),
    ];
    file(TEXTS, compressed(Compression::SNAPPY), &columns)
}

const CONVERSATIONS: &str = "message schema {
    optional group messages (LIST) {
        repeated group list {
            optional group element {
                optional binary content (UTF8);
                optional binary role (UTF8);
                optional binary name (UTF8);
            }
        }
    }
    optional binary tools (UTF8);
}";

/// Two conversations: one of two messages with tools, one of a single message.
pub(in crate::text::records) fn conversations() -> Vec<u8> {
    // Lists, their elements and the elements' columns are nullable, which makes four levels.
    let columns = [
        Column::Strings(&["hi", "yo", "so"], &[4, 4, 4], &[0, 1, 0]),
        Column::Strings(&["user", "assistant", "user"], &[4, 4, 4], &[0, 1, 0]),
        Column::Strings(&["Ann"], &[4, 3, 3], &[0, 1, 0]),
        Column::Strings(&["[{\"type\": \"function\"}]"], &[1, 0], &[]),
    ];
    let gzip = Compression::GZIP(GzipLevel::default());
    file(CONVERSATIONS, compressed(gzip), &columns)
}

fn parse(bytes: &[u8], column: Option<&str>) -> Result<Records> {
    let column = column.map(ToString::to_string);
    let options = ReadOptions {
        column,
        ..ReadOptions::default()
    };
    parse_records(bytes, Path::new("a.parquet"), &options)
}

#[track_caller]
fn assert_fault(bytes: &[u8], column: Option<&str>, part: &str) {
    match parse(bytes, column) {
        Err(Error::DataFile { message, .. }) => assert!(message.contains(part), "{message}"),
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> Record {
    Record::Text(text.to_string())
}

#[test]
fn texts_are_read_in_each_compression() {
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ] {
        let columns = [
            Column::Strings(&["one", "zwö"], &[1, 1], &[]),
            Column::Numbers(&[1, 2]),
        ];
        let found = parse(&file(TEXTS, compressed(compression), &columns), None).unwrap();
        assert_eq!(found.records, [text("one"), text("zwö")], "{compression}");
        assert_eq!(found.notes, ["a.parquet: column \"id\" is ignored"]);
    }
}

/// Returns a file that `tests/write_parquet.py` wrote.
fn of_pyarrow(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/parquet");
    std::fs::read(Path::new(folder).join(name)).unwrap()
}

#[test]
fn pages_compressed_with_zstd_or_brotli_are_read() {
    let expected = (0..400).map(|number| text(&format!("text {number}, as in a file of many")));
    let expected: Vec<Record> = expected.collect();
    for name in ["zstd_v1", "zstd_v2", "brotli_v1", "brotli_v2"] {
        let name = &format!("{name}.parquet");
        let bytes = of_pyarrow(name);
        assert_eq!(parse(&bytes, None).unwrap().records, expected, "{name}");
        // A damaged page is an error.
        let mut found = 0;
        for at in (4..bytes.len() - 2000).step_by(97) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            match parse(&damaged, None) {
                Err(Error::DataFile { .. }) => found += 1,
                Err(error) => panic!("{error}"),
                Ok(_) => {}
            }
        }
        assert!(found > 0, "{name}");
    }
    let records = parse(&of_pyarrow("zstd_conversations.parquet"), None).unwrap();
    assert_eq!(records.records, conversation_records());
}

#[test]
fn texts_are_read_in_each_encoding_and_version() {
    let many: Vec<String> = (0..1000).map(|number| format!("text {number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (levels, numbers) = (vec![1; many.len()], vec![0; many.len()]);
    let columns = [
        Column::Strings(&many, &levels, &[]),
        Column::Numbers(&numbers),
    ];
    let expected: Vec<Record> = many.iter().map(|&many| text(many)).collect();
    for encoding in [
        Encoding::PLAIN,
        Encoding::DELTA_LENGTH_BYTE_ARRAY,
        Encoding::DELTA_BYTE_ARRAY,
        Encoding::RLE_DICTIONARY,
    ] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            let properties = WriterProperties::builder().set_writer_version(version);
            let properties = match encoding {
                Encoding::RLE_DICTIONARY => properties,
                encoding => properties
                    .set_dictionary_enabled(false)
                    .set_column_encoding("text".into(), encoding),
            };
            let bytes = file(TEXTS, properties.build(), &columns);
            assert_eq!(parse(&bytes, None).unwrap().records, expected, "{encoding}");
        }
    }
}

/// The records of [`conversations`].
fn conversation_records() -> [Record; 2] {
    let conversation = |messages: Value, tools: Option<Value>, line: usize| {
        let Value::Array(messages) = messages else {
            unreachable!()
        };
        let path = Path::new("a.parquet").into();
        let place = Place { path, line };
        Record::Conversation {
            messages,
            tools,
            place,
        }
    };
    [
        conversation(
            json!([
                {"content": "hi", "role": "user", "name": "Ann"},
                {"content": "yo", "role": "assistant"},
            ]),
            Some(json!([{"type": "function"}])),
            1,
        ),
        conversation(json!([{"content": "so", "role": "user"}]), None, 2),
    ]
}

#[test]
fn conversations_with_tools_are_read() {
    let records = parse(&conversations(), None).unwrap().records;
    assert_eq!(records, conversation_records());
}

#[test]
fn completions_are_read_and_invalid_columns_rejected() {
    let schema = "message schema { required binary completion (UTF8); required binary prompt; }";
    let columns = [
        Column::Strings(&["c", "d"], &[], &[]),
        Column::Strings(&["p", "q"], &[], &[]),
    ];
    let bytes = file(schema, compressed(Compression::SNAPPY), &columns);
    let completion = |prompt: &str, completion: &str| Record::Completion {
        prompt: prompt.to_string(),
        completion: completion.to_string(),
    };
    let expected = [completion("p", "c"), completion("q", "d")];
    assert_eq!(parse(&bytes, None).unwrap().records, expected);
    let found = parse(&bytes, Some("prompt")).unwrap();
    assert_eq!(found.records, [text("p"), text("q")]);
    assert_eq!(found.notes, ["a.parquet: column \"completion\" is ignored"]);
    assert_fault(
        &bytes,
        Some("body"),
        "no column \"body\" (found \"completion\" and \"prompt\")",
    );
    assert_fault(&texts(), Some("id"), "row 1: \"id\" is a number");

    let columns = [
        Column::Strings(&["a"], &[1, 0], &[]),
        Column::Numbers(&[1, 2]),
    ];
    let bytes = file(TEXTS, compressed(Compression::SNAPPY), &columns);
    assert_fault(&bytes, None, "row 2: \"text\" is null");
}

#[test]
fn damage_is_detected() {
    let bytes = conversations();
    for length in 1..bytes.len() {
        assert_fault(&bytes[..length], None, "damaged");
    }
    assert_fault(b"text", None, "damaged");
    assert_eq!(parse(b"", None).unwrap().records, []);
}

#[test]
fn panics_of_the_crate_are_errors() {
    let schema = "message schema { optional group messages (LIST) { required group list { \
                  optional binary role (UTF8); } } }";
    let column = Column::Strings(&["user"], &[2], &[]);
    let bytes = file(schema, compressed(Compression::SNAPPY), &[column]);
    assert_fault(&bytes, None, "Invalid list type");
}

#[test]
fn files_are_read_by_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    std::fs::write(&path, texts()).unwrap();
    let found = read_records(&path, &ReadOptions::default()).unwrap();
    assert_eq!(found.records, [text("one"), text("zwö")]);
}
