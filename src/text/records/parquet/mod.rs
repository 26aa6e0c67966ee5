//! Reads the columns of Parquet files row by row.

mod footer;
mod pages;
#[cfg(test)]
pub(super) mod tests;

use std::path::Path;
use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use ::parquet::record::{Field, Row};
use ::parquet::schema::types::Type;
use bytes::Bytes;
use pages::CheckedRowGroup;
use serde_json::{Map, Value};

use super::styles::{Collector, Style, ignored_note, missing_columns};
use super::{ReadOptions, Record, Records, compression, names};
use crate::error::{Error, Result};
use crate::text::guard::guarded;

/// Maximum number of characters of the parquet crate's messages.
const LONGEST_REASON: usize = 200;

/// Parses a Parquet file, reading only the used columns.
///
/// # Errors
///
/// [`Error::DataFile`], with the row, counted from 1, if there is one.
pub(super) fn parse(bytes: Bytes, path: &Path, options: &ReadOptions) -> Result<Records> {
    // The parquet crate asserts the consistency of the file, so it may panic on a damaged one. No state
    // outlives the call.
    guarded(|| read(bytes, path, options))
        .unwrap_or_else(|panic| Err(Error::data_file(path, damaged(panic))))
}

fn read(bytes: Bytes, path: &Path, options: &ReadOptions) -> Result<Records> {
    let fault = |message: String| Error::data_file(path, message);
    // As for all formats, an empty file has no records.
    if bytes.is_empty() {
        return Ok(Records::of_file(Vec::new(), Vec::new()));
    }
    footer::check(&bytes).map_err(|error| fault(damaged(error)))?;
    // The size of decompressed pages is limited like that of compressed files.
    let limit = compression::limit(bytes.len() as u64);
    let damaged_by = |error: ParquetError| fault(damaged(error));
    let reader = SerializedFileReader::new(bytes.clone()).map_err(damaged_by)?;
    let schema = reader.metadata().file_metadata().schema();
    let columns: Vec<&str> = schema
        .get_fields()
        .iter()
        .map(|field| field.name())
        .collect();
    let has = |name: &str| columns.contains(&name);
    let style = Style::detect(has, options)
        .ok_or_else(|| fault(missing_columns(options, columns.iter().copied())))?;
    let used = schema
        .get_fields()
        .iter()
        .filter(|field| style.uses(field.name()));
    let projection = Type::group_type_builder(schema.name())
        .with_fields(used.map(Arc::clone).collect())
        .build()
        .map_err(damaged_by)?;

    if uses_lzo(reader.metadata(), &style) {
        let message = "compression LZO is unsupported: export it with none, snappy, gzip or zstd";
        return Err(fault(message.to_string()));
    }

    let mut collector = Collector::new(path, options);
    let mut expanded = 0;
    let mut number = 0;
    for group in 0..reader.num_row_groups() {
        let group = CheckedRowGroup {
            inner: reader.get_row_group(group).map_err(damaged_by)?,
            file: bytes.clone(),
            limit,
        };
        let rows = group.get_row_iter(Some(projection.clone()));
        for row in rows.map_err(damaged_by)? {
            number += 1;
            let fault = |message: String| fault(format!("row {number}: {message}"));
            let row = row.map_err(|error| fault(damaged(error)))?;
            let row = object(row).map_err(fault)?;
            expanded += size_of::<Record>() as u64 + row.values().map(text_size).sum::<u64>();
            if expanded > limit {
                return Err(fault(format!(
                    "the file expands to more than {limit} bytes: split it"
                )));
            }
            collector.push(Value::Object(row), number).map_err(fault)?;
        }
    }
    let mut records = collector.finish();
    let ignored = columns.iter().copied().filter(|name| !style.uses(name));
    records.notes.extend(ignored_note("column", ignored, path));
    Ok(records)
}

/// Whether one of the used columns has the only unsupported compression.
fn uses_lzo(metadata: &ParquetMetaData, style: &Style) -> bool {
    let groups = metadata.row_groups().iter();
    groups.flat_map(|group| group.columns()).any(|column| {
        let path = column.column_path().parts();
        path.first().is_some_and(|name| style.uses(name))
            && column.compression() == Compression::LZO
    })
}

/// Reads a LEB128 number: seven bits per byte, lowest first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Formats an error of the parquet crate, truncated because it may quote a whole text or schema.
fn damaged(error: impl std::fmt::Display) -> String {
    let reason: String = error.to_string().chars().take(LONGEST_REASON).collect();
    format!("damaged, or not a Parquet file ({reason}): copy or export it again")
}

/// Converts a row to a JSON object. Struct columns have a null for every key that one of the structs
/// lacks. These are dropped, except for null columns and the content of messages.
fn object(row: Row) -> std::result::Result<Map<String, Value>, String> {
    let columns = row.into_columns().into_iter();
    columns
        .map(|(name, field)| {
            let value = value(&field)
                .map_err(|found| format!("column {} contains {found}", names::quote(&name)))?;
            Ok((name, value))
        })
        .collect()
}

/// Converts a field to JSON. Fails with a description of a type that JSON does not have.
fn value(field: &Field) -> std::result::Result<Value, &'static str> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        Field::Float(value) => (*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Str(text) => text.as_str().into(),
        // Some writers do not annotate strings as UTF-8.
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => text.into(),
            Err(_) => return Err("bytes that are not UTF-8: expected a string"),
        },
        Field::Group(row) => {
            let mut object = Map::new();
            for (name, field) in row.get_column_iter() {
                if *field != Field::Null || name == "content" || name == "value" {
                    object.insert(name.clone(), value(field)?);
                }
            }
            Value::Object(object)
        }
        Field::ListInternal(list) => {
            let elements = list.elements().iter().map(value);
            Value::Array(elements.collect::<std::result::Result<_, _>>()?)
        }
        Field::MapInternal(map) => {
            let mut object = Map::new();
            for (key, field) in map.entries() {
                let Field::Str(key) = key else {
                    return Err("a map whose keys are not strings");
                };
                object.insert(key.clone(), value(field)?);
            }
            Value::Object(object)
        }
        Field::Float16(value) => f32::from(*value).into(),
        Field::Decimal(_) => return Err("a decimal number: expected a string"),
        Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => return Err("a time: expected a string"),
    })
}

/// Estimates the memory of a value in bytes.
fn text_size(value: &Value) -> u64 {
    let own = size_of::<Value>() as u64;
    own + match value {
        Value::String(text) => text.len() as u64,
        Value::Array(values) => values.iter().map(text_size).sum(),
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| key.len() as u64 + text_size(value))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
