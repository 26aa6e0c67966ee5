//! Writes GGUF files, version 3: header, metadata and list of tensors, then their values one after the other.

use super::container::MAGIC;
use super::value::{Array, Value};
use crate::error::Result;
use crate::quantization::WeightType;

const VERSION: u32 = 3;
/// Alignment of the values of each tensor: the default, which needs no metadata.
const ALIGNMENT: usize = 32;

/// A tensor to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TensorEntry {
    /// Name.
    pub name: String,
    /// Type of the values.
    pub kind: WeightType,
    /// Shape, the rows' length last.
    pub shape: Vec<usize>,
}

impl TensorEntry {
    /// Returns the size of its values in bytes.
    ///
    /// # Panics
    ///
    /// If its rows are no whole blocks.
    pub(crate) fn bytes(&self) -> usize {
        let columns = self.shape.last().copied().unwrap_or(1);
        let rows: usize = self.shape.iter().rev().skip(1).product();
        rows * self.kind.row_bytes(columns).expect("rows of whole blocks")
    }
}

/// Metadata of a file, in its order.
#[derive(Debug, Default)]
pub(crate) struct MetadataList(Vec<(String, Value)>);

impl MetadataList {
    /// Adds a value.
    pub(crate) fn add(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        self.0.push((key.into(), value.into()));
    }

    /// Adds a value, if there is one.
    pub(crate) fn add_some<T: Into<Value>>(&mut self, key: &str, value: Option<T>) {
        if let Some(value) = value {
            self.add(key, value);
        }
    }

    /// Returns the value of a key.
    #[cfg(test)]
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        let mut pairs = self.0.iter();
        let found = pairs.find(|(known, _)| known == key);
        found.map(|(_, value)| value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_string())
    }
}

/// Conversions from what metadata is written from.
macro_rules! values {
    ($($from:ty => $value:expr),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                let into: fn($from) -> Self = $value;
                into(value)
            }
        }
    )*};
}

values! {
    String => Self::String,
    u32 => Self::U32,
    f32 => Self::F32,
    bool => Self::Bool,
    Vec<String> => |list| Self::Array(Array::String(list)),
    Vec<u32> => |list| Self::Array(Array::U32(list)),
    Vec<i32> => |list| Self::Array(Array::I32(list)),
    Vec<f32> => |list| Self::Array(Array::F32(list)),
    Vec<bool> => |list| Self::Array(Array::Bool(list)),
}

/// Receives the bytes of a file piece by piece.
pub(crate) type Put<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// A file that is being written: the values of its tensors follow in the order of the list.
pub(crate) struct GgufWriter<'a> {
    put: Put<'a>,
    sizes: std::vec::IntoIter<usize>,
}

impl<'a> GgufWriter<'a> {
    /// Writes everything before the values of the tensors.
    ///
    /// # Errors
    ///
    /// Those of `put`.
    pub(crate) fn begin(
        metadata: &MetadataList,
        tensors: &[TensorEntry],
        put: Put<'a>,
    ) -> Result<Self> {
        put(&header(metadata, tensors))?;
        let sizes: Vec<usize> = tensors.iter().map(TensorEntry::bytes).collect();
        Ok(Self {
            put,
            sizes: sizes.into_iter(),
        })
    }

    /// Writes the values of the next tensor.
    ///
    /// # Errors
    ///
    /// Those of `put`.
    ///
    /// # Panics
    ///
    /// If their size is not that of the list.
    pub(crate) fn tensor(&mut self, bytes: &[u8]) -> Result<()> {
        assert_eq!(self.sizes.next(), Some(bytes.len()), "as in the list");
        (self.put)(bytes)?;
        let padding = bytes.len().next_multiple_of(ALIGNMENT) - bytes.len();
        (self.put)(&[0; ALIGNMENT][..padding])
    }
}

fn header(metadata: &MetadataList, tensors: &[TensorEntry]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend((metadata.0.len() as u64).to_le_bytes());
    for (key, value) in &metadata.0 {
        string(&mut bytes, key);
        bytes.extend(value.type_number().to_le_bytes());
        put_value(&mut bytes, value);
    }
    let mut offset = 0;
    for tensor in tensors {
        string(&mut bytes, &tensor.name);
        bytes.extend((tensor.shape.len() as u32).to_le_bytes());
        for &size in tensor.shape.iter().rev() {
            bytes.extend((size as u64).to_le_bytes());
        }
        bytes.extend(tensor.kind.ggml().to_le_bytes());
        bytes.extend((offset as u64).to_le_bytes());
        offset += tensor.bytes().next_multiple_of(ALIGNMENT);
    }
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn put_value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(value) => bytes.push(*value),
        Value::I8(value) => bytes.extend(value.to_le_bytes()),
        Value::U16(value) => bytes.extend(value.to_le_bytes()),
        Value::I16(value) => bytes.extend(value.to_le_bytes()),
        Value::U32(value) => bytes.extend(value.to_le_bytes()),
        Value::I32(value) => bytes.extend(value.to_le_bytes()),
        Value::F32(value) => bytes.extend(value.to_le_bytes()),
        Value::Bool(value) => bytes.push(u8::from(*value)),
        Value::String(value) => string(bytes, value),
        Value::Array(array) => put_array(bytes, array),
        Value::U64(value) => bytes.extend(value.to_le_bytes()),
        Value::I64(value) => bytes.extend(value.to_le_bytes()),
        Value::F64(value) => bytes.extend(value.to_le_bytes()),
    }
}

fn put_array(bytes: &mut Vec<u8>, array: &Array) {
    bytes.extend(array.type_number().to_le_bytes());
    macro_rules! numbers {
        ($values:expr) => {{
            bytes.extend(($values.len() as u64).to_le_bytes());
            bytes.extend($values.iter().flat_map(|value| value.to_le_bytes()));
        }};
    }
    match array {
        Array::U8(values) => numbers!(values),
        Array::I8(values) => numbers!(values),
        Array::U16(values) => numbers!(values),
        Array::I16(values) => numbers!(values),
        Array::U32(values) => numbers!(values),
        Array::I32(values) => numbers!(values),
        Array::F32(values) => numbers!(values),
        Array::U64(values) => numbers!(values),
        Array::I64(values) => numbers!(values),
        Array::F64(values) => numbers!(values),
        Array::Bool(values) => {
            bytes.extend((values.len() as u64).to_le_bytes());
            bytes.extend(values.iter().map(|&value| u8::from(value)));
        }
        Array::String(values) => {
            bytes.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| string(bytes, value));
        }
        Array::Nested(values) => {
            bytes.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| put_array(bytes, value));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::gguf::container::Gguf;

    #[test]
    fn a_written_file_is_read_back() {
        let mut metadata = MetadataList::default();
        let values = [
            ("u32", Value::U32(7)),
            ("f32", Value::F32(0.5)),
            ("bool", Value::Bool(true)),
            ("text", "π".into()),
            ("i64", Value::I64(-3)),
            ("texts", vec!["a".to_string(), String::new()].into()),
            ("numbers", vec![-1_i32, 2].into()),
            (
                "nested",
                Value::Array(Array::Nested(vec![Array::Bool(vec![true])])),
            ),
        ];
        for (key, value) in values.clone() {
            metadata.add(key, value);
        }
        let entry = |name: &str, kind, shape: &[usize]| TensorEntry {
            name: name.to_string(),
            kind,
            shape: shape.to_vec(),
        };
        let tensors = [
            entry("a", WeightType::Float32, &[3]),
            entry("b", WeightType::Q8_0, &[2, 64]),
            entry("c", WeightType::Float16, &[1, 5]),
        ];
        let mut bytes = Vec::new();
        let mut put = |part: &[u8]| {
            bytes.extend_from_slice(part);
            Ok(())
        };
        let mut writer = GgufWriter::begin(&metadata, &tensors, &mut put).unwrap();
        for (number, tensor) in (1..).zip(&tensors) {
            writer.tensor(&vec![number; tensor.bytes()]).unwrap();
        }
        let read = Gguf::parse(&bytes, Path::new("a.gguf")).unwrap();
        for (key, value) in &values {
            assert_eq!(read.metadata.get(key), Some(value));
        }
        for ((number, written), read) in (1..).zip(&tensors).zip(&read.tensors) {
            assert_eq!((&read.name, read.kind), (&written.name, written.kind));
            assert_eq!(read.shape, written.shape);
            let values = &bytes[read.bytes.clone()];
            assert_eq!(values, vec![number; written.bytes()]);
        }
    }
}
