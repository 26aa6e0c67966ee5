//! The container: header, metadata and list of tensors of a GGUF file, version 2 or 3.
//!
//! No crate serves: those that read GGUF copy tensors or strings through `std::io::Read`, allocate what a
//! header claims or panic on it, or bring a tensor library.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

use super::cursor::Cursor;
use super::metadata::Metadata;
use super::value::{Array, Value};
use crate::error::{self, Error};
use crate::quantization::WeightType;

/// The first bytes of every GGUF file.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";

/// Alignment of tensors in files that do not say.
const DEFAULT_ALIGNMENT: usize = 32;
/// Most dimensions of a tensor.
const MAX_DIMENSIONS: u32 = 4;
/// Deepest nesting of arrays; llama.cpp's files have none.
const MAX_DEPTH: usize = 4;

/// A parsed GGUF file, without the values of its tensors.
#[derive(Debug)]
pub(crate) struct Gguf {
    /// Metadata.
    pub metadata: Metadata,
    /// Tensors, in the order of the file.
    pub tensors: Vec<TensorInfo>,
}

/// Where and how a file stores a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TensorInfo {
    /// Name.
    pub name: String,
    /// Type of the values.
    pub kind: WeightType,
    /// Shape, the rows' length last.
    pub shape: Vec<usize>,
    /// Place in the file.
    pub bytes: Range<usize>,
}

impl Gguf {
    /// Parses the bytes of a file; `path` is for messages. Every tensor is within the file and overlaps no
    /// other.
    ///
    /// # Errors
    ///
    /// [`Error::Weights`] for another format or version, a damaged file, and tensors of unsupported types.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> error::Result<Self> {
        Self::parse_bytes(bytes, path).map_err(|message| Error::Weights {
            path: path.to_path_buf(),
            message,
        })
    }

    fn parse_bytes(bytes: &[u8], path: &Path) -> Result<Self, String> {
        let mut cursor = Cursor::new(bytes);
        let [tensors, pairs] = header(&mut cursor)?;
        let mut values = HashMap::new();
        for number in 0..pairs {
            let place = |error| format!("metadata {number} of {pairs}: {error}");
            let key = cursor.string().map_err(place)?.to_string();
            let value = cursor.u32().and_then(|kind| value(&mut cursor, kind));
            let value = value.map_err(|error| format!("metadata {key:.100?}: {error}"))?;
            if values.contains_key(&key) {
                return Err(format!("metadata {key:.100?} occurs twice: expected once"));
            }
            values.insert(key, value);
        }
        let metadata = Metadata::new(values, path);
        let alignment = alignment(&metadata)?;
        let mut infos = Vec::new();
        for number in 0..tensors {
            let place = |error| format!("tensor {number} of {tensors}: {error}");
            infos.push(Listed::read(&mut cursor).map_err(place)?);
        }
        let start = cursor
            .place()
            .checked_next_multiple_of(alignment)
            .unwrap_or(usize::MAX);
        let tensors = infos
            .into_iter()
            .map(|listed| listed.placed(start, alignment, bytes.len()));
        let tensors: Vec<TensorInfo> = tensors.collect::<Result<_, _>>()?;
        check_overlaps(&tensors)?;
        Ok(Self { metadata, tensors })
    }
}

/// Reads magic, version and counts of tensors and of metadata.
fn header(cursor: &mut Cursor<'_>) -> Result<[u64; 2], String> {
    if cursor.take(MAGIC.len())? != MAGIC {
        return Err("not a GGUF file: expected GGUF as its first bytes".to_string());
    }
    let version = cursor.u32()?;
    match version {
        2 | 3 => {}
        1 => {
            return Err(
                "GGUF version 1, which is unsupported: convert the model again with a current llama.cpp"
                    .to_string(),
            );
        }
        // The version's bytes in the other order.
        _ if version != 0 && version.swap_bytes() <= 0xffff => {
            return Err(
                "a big-endian GGUF file, which is unsupported: expected a little-endian one"
                    .to_string(),
            );
        }
        _ => {
            return Err(format!(
                "GGUF version {version}, which is unsupported: expected 2 or 3"
            ));
        }
    }
    Ok([cursor.u64()?, cursor.u64()?])
}

/// Reads a value of the type with a number.
fn value(cursor: &mut Cursor<'_>, kind: u32) -> Result<Value, String> {
    Ok(match kind {
        0 => Value::U8(u8::from_le_bytes(cursor.number()?)),
        1 => Value::I8(i8::from_le_bytes(cursor.number()?)),
        2 => Value::U16(u16::from_le_bytes(cursor.number()?)),
        3 => Value::I16(i16::from_le_bytes(cursor.number()?)),
        4 => Value::U32(u32::from_le_bytes(cursor.number()?)),
        5 => Value::I32(i32::from_le_bytes(cursor.number()?)),
        6 => Value::F32(f32::from_le_bytes(cursor.number()?)),
        7 => Value::Bool(boolean(u8::from_le_bytes(cursor.number()?))?),
        8 => Value::String(cursor.string()?.to_string()),
        9 => Value::Array(array(cursor, 1)?),
        10 => Value::U64(u64::from_le_bytes(cursor.number()?)),
        11 => Value::I64(i64::from_le_bytes(cursor.number()?)),
        12 => Value::F64(f64::from_le_bytes(cursor.number()?)),
        _ => return Err(unknown_type(kind)),
    })
}

/// Reads an array within `depth - 1` others.
fn array(cursor: &mut Cursor<'_>, depth: usize) -> Result<Array, String> {
    if depth > MAX_DEPTH {
        return Err(format!(
            "arrays within arrays, deeper than {MAX_DEPTH}: expected fewer"
        ));
    }
    let kind = cursor.u32()?;
    let count = cursor.u64()?;
    Ok(match kind {
        0 => Array::U8(cursor.numbers(count, u8::from_le_bytes)?),
        1 => Array::I8(cursor.numbers(count, i8::from_le_bytes)?),
        2 => Array::U16(cursor.numbers(count, u16::from_le_bytes)?),
        3 => Array::I16(cursor.numbers(count, i16::from_le_bytes)?),
        4 => Array::U32(cursor.numbers(count, u32::from_le_bytes)?),
        5 => Array::I32(cursor.numbers(count, i32::from_le_bytes)?),
        6 => Array::F32(cursor.numbers(count, f32::from_le_bytes)?),
        7 => {
            let bytes = cursor.numbers(count, u8::from_le_bytes)?.into_iter();
            Array::Bool(bytes.map(boolean).collect::<Result<_, _>>()?)
        }
        8 => Array::String(elements(count, || Ok(cursor.string()?.to_string()))?),
        9 => Array::Nested(elements(count, || array(cursor, depth + 1))?),
        10 => Array::U64(cursor.numbers(count, u64::from_le_bytes)?),
        11 => Array::I64(cursor.numbers(count, i64::from_le_bytes)?),
        12 => Array::F64(cursor.numbers(count, f64::from_le_bytes)?),
        _ => return Err(unknown_type(kind)),
    })
}

/// Reads elements one by one, so that memory is requested for those that are in the file, not for those that
/// it claims.
fn elements<T>(count: u64, mut read: impl FnMut() -> Result<T, String>) -> Result<Vec<T>, String> {
    let mut list = Vec::new();
    for number in 0..count {
        list.push(read().map_err(|error| format!("element {number} of {count}: {error}"))?);
    }
    list.shrink_to_fit();
    Ok(list)
}

fn boolean(byte: u8) -> Result<bool, String> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(format!("a bool of {byte}: expected 0 or 1")),
    }
}

fn unknown_type(kind: u32) -> String {
    format!("type {kind}, which GGUF does not have: expected 0 to 12")
}

/// Reads the alignment of tensors.
fn alignment(metadata: &Metadata) -> Result<usize, String> {
    const KEY: &str = "general.alignment";
    let Some(value) = metadata.get(KEY) else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    let alignment = value.unsigned().and_then(|size| usize::try_from(size).ok());
    alignment
        .filter(|size| size.is_power_of_two() && *size <= 1 << 30)
        .ok_or_else(|| format!("{KEY} is {value:.40?}: expected a power of two"))
}

/// A tensor as the file lists it.
struct Listed {
    info: TensorInfo,
    size: usize,
    offset: u64,
}

impl Listed {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, String> {
        let name = cursor.string()?.to_string();
        Self::read_named(cursor, &name).map_err(|error| format!("{name:.100}: {error}"))
    }

    fn read_named(cursor: &mut Cursor<'_>, name: &str) -> Result<Self, String> {
        let dimensions = cursor.u32()?;
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            return Err(format!(
                "{dimensions} dimensions: expected 1 to {MAX_DIMENSIONS}"
            ));
        }
        let sizes = (0..dimensions).map(|_| cursor.u64());
        let sizes: Vec<u64> = sizes.collect::<Result<_, _>>()?;
        let shape = sizes.iter().rev().map(|&size| usize::try_from(size).ok());
        let shape: Option<Vec<usize>> = shape.collect();
        let too_large = || format!("shape {sizes:?} is too large for this machine");
        let shape = shape.ok_or_else(too_large)?;
        let number = cursor.u32()?;
        let kind = WeightType::from_ggml(number).ok_or_else(|| unsupported(number))?;
        let row = shape[shape.len() - 1];
        if !row.is_multiple_of(kind.block()) {
            return Err(format!(
                "rows of {row} values in {kind}: expected a multiple of {}",
                kind.block()
            ));
        }
        let row_bytes = (row / kind.block()).checked_mul(kind.block_bytes());
        let row_bytes = row_bytes.ok_or_else(too_large)?;
        let mut rows = shape[..shape.len() - 1].iter();
        let size = rows.try_fold(row_bytes, |size, &rows| size.checked_mul(rows));
        let size = size.ok_or_else(too_large)?;
        if size == 0 {
            return Err(format!("shape {sizes:?}: expected at least 1 value"));
        }
        Ok(Self {
            info: TensorInfo {
                name: name.to_string(),
                kind,
                shape,
                bytes: 0..0,
            },
            size,
            offset: cursor.u64()?,
        })
    }

    /// Returns the tensor at its place in a file of `length` bytes.
    fn placed(self, start: usize, alignment: usize, length: usize) -> Result<TensorInfo, String> {
        let Self { info, size, offset } = self;
        let name = &info.name;
        if !offset.is_multiple_of(alignment as u64) {
            return Err(format!(
                "tensor {name:.100} is at offset {offset}: expected a multiple of {alignment}"
            ));
        }
        let begin = usize::try_from(offset).ok();
        let begin = begin.and_then(|offset| start.checked_add(offset));
        let end = begin.and_then(|begin| begin.checked_add(size));
        match (begin, end) {
            (Some(begin), Some(end)) if end <= length => Ok(TensorInfo {
                bytes: begin..end,
                ..info
            }),
            _ => Err(format!(
                "tensor {name:.100} has {size} bytes at offset {offset}, but the file ends at {length} bytes: \
                 download it again"
            )),
        }
    }
}

/// Returns the error for a tensor type that is not read.
fn unsupported(number: u32) -> String {
    const OTHERS: [(u32, &str); 17] = [
        (9, "q8_1"),
        (15, "q8_k"),
        (16, "iq2_xxs"),
        (17, "iq2_xs"),
        (18, "iq3_xxs"),
        (19, "iq1_s"),
        (21, "iq3_s"),
        (22, "iq2_s"),
        (24, "int8"),
        (25, "int16"),
        (26, "int32"),
        (27, "int64"),
        (28, "float64"),
        (29, "iq1_m"),
        (34, "tq1_0"),
        (35, "tq2_0"),
        (40, "nvfp4"),
    ];
    let name = OTHERS.iter().find(|(other, _)| *other == number);
    let name = name.map_or_else(|| format!("number {number}"), |(_, name)| name.to_string());
    format!(
        "tensor type {name}, which is unsupported: use the model in q8_0, q4_k, q6_k or bfloat16"
    )
}

/// Checks that names are unique and no two tensors share bytes.
fn check_overlaps(tensors: &[TensorInfo]) -> Result<(), String> {
    let mut names = HashSet::new();
    if let Some(twice) = tensors.iter().find(|info| !names.insert(&info.name)) {
        let name = &twice.name;
        return Err(format!("tensor {name:.100} occurs twice: expected once"));
    }
    let mut sorted: Vec<&TensorInfo> = tensors.iter().collect();
    sorted.sort_by_key(|info| info.bytes.start);
    match sorted
        .windows(2)
        .find(|two| two[0].bytes.end > two[1].bytes.start)
    {
        Some(two) => Err(format!(
            "tensors {:.100} and {:.100} overlap in the file",
            two[0].name, two[1].name
        )),
        None => Ok(()),
    }
}
