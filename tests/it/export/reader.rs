//! A small reader of GGUF files, independent of minift's own.

use std::collections::BTreeMap;
use std::ops::Range;

use minift::internals::WeightType;
use serde_json::{Value, json};

/// A GGUF file.
pub struct File {
    pub metadata: BTreeMap<String, Value>,
    pub tensors: BTreeMap<String, Tensor>,
}

/// A tensor of a file.
pub struct Tensor {
    pub kind: WeightType,
    /// The rows' length last.
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Tensor {
    pub fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.shape.iter().product()];
        self.kind.unpack(&self.bytes, &mut values);
        values
    }
}

struct Cursor<'a>(&'a [u8], usize);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let start = self.1;
        self.1 += N;
        self.0[start..self.1].try_into().unwrap()
    }

    fn size(&mut self) -> usize {
        u64::from_le_bytes(self.take()) as usize
    }

    fn number(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn text(&mut self) -> String {
        let length = self.size();
        let start = self.1;
        self.1 += length;
        String::from_utf8(self.0[start..self.1].to_vec()).unwrap()
    }

    fn value(&mut self, kind: u32) -> Value {
        match kind {
            4 => json!(self.number()),
            5 => json!(i32::from_le_bytes(self.take())),
            6 => json!(f32::from_le_bytes(self.take())),
            7 => json!(self.take::<1>()[0] == 1),
            8 => json!(self.text()),
            9 => {
                let (kind, count) = (self.number(), self.size());
                (0..count).map(|_| self.value(kind)).collect()
            }
            other => panic!("metadata of type {other}"),
        }
    }
}

pub fn read(bytes: &[u8]) -> File {
    let mut cursor = Cursor(bytes, 0);
    assert_eq!(&cursor.take::<4>(), b"GGUF");
    assert_eq!(cursor.number(), 3);
    let (tensors, pairs) = (cursor.size(), cursor.size());
    let mut metadata = BTreeMap::new();
    for _ in 0..pairs {
        let key = cursor.text();
        let kind = cursor.number();
        let value = cursor.value(kind);
        assert_eq!(metadata.insert(key.clone(), value), None, "{key} twice");
    }
    let mut listed = Vec::new();
    for _ in 0..tensors {
        let name = cursor.text();
        let dimensions = cursor.number();
        let mut shape: Vec<usize> = (0..dimensions).map(|_| cursor.size()).collect();
        shape.reverse();
        let kind = WeightType::from_ggml(cursor.number()).unwrap();
        listed.push((name, shape, kind, cursor.size()));
    }
    let start = cursor.1.next_multiple_of(32);
    let mut end = start;
    let mut tensors = BTreeMap::new();
    for (name, shape, kind, offset) in listed {
        assert_eq!(start + offset, end.next_multiple_of(32), "{name}: no gaps");
        let elements: usize = shape.iter().product();
        let size = elements / kind.block() * kind.block_bytes();
        let place: Range<usize> = start + offset..start + offset + size;
        end = place.end;
        let bytes = bytes[place].to_vec();
        let tensor = Tensor { kind, shape, bytes };
        assert!(tensors.insert(name, tensor).is_none());
    }
    assert_eq!(bytes.len(), end.next_multiple_of(32));
    File { metadata, tensors }
}
