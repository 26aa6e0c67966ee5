//! The metadata of a GGUF file, with errors that name the key.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::value::{Array, Value};
use crate::error::{Error, Result};

/// The metadata of a file.
#[derive(Debug)]
pub(crate) struct Metadata {
    values: HashMap<String, Value>,
    path: PathBuf,
}

impl Metadata {
    pub(super) fn new(values: HashMap<String, Value>, path: &Path) -> Self {
        Self {
            values,
            path: path.to_path_buf(),
        }
    }

    /// Returns the value of a key, if the file has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Returns the keys, sorted.
    pub(super) fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self.values.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }

    /// Reads a text.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>> {
        self.read(key, "a string", Value::string)
    }

    /// Reads a size.
    pub(super) fn size(&self, key: &str) -> Result<Option<usize>> {
        self.read(key, "a whole number that is not negative", |value| {
            usize::try_from(value.unsigned()?).ok()
        })
    }

    /// Reads a size that the file must have.
    pub(super) fn required_size(&self, key: &str) -> Result<usize> {
        self.size(key)?
            .ok_or_else(|| self.fault(format!("metadata {key} is missing: expected a size")))
    }

    /// Reads one size for all of `count` layers, or a list with one each.
    pub(super) fn sizes(&self, key: &str, count: usize) -> Result<Option<Vec<usize>>> {
        let Some(Value::Array(array)) = self.get(key) else {
            return Ok(self.size(key)?.map(|size| vec![size; count]));
        };
        let sizes = array.unsigned().into_iter().flatten();
        let sizes: Vec<usize> = sizes
            .filter_map(|size| usize::try_from(size).ok())
            .collect();
        if sizes.len() == count {
            return Ok(Some(sizes));
        }
        Err(self.fault(format!(
            "metadata {key} is an array of {}: expected {count} sizes, one per layer",
            array.type_name()
        )))
    }

    /// Reads a float.
    pub(super) fn float(&self, key: &str) -> Result<Option<f64>> {
        self.read(key, "a finite float", |value| {
            value.float().filter(|number| number.is_finite())
        })
    }

    /// Reads a bool.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "a bool", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// Reads a list with a bool for each of `count` layers.
    pub(super) fn flags(&self, key: &str, count: usize) -> Result<Option<&[bool]>> {
        self.read(
            key,
            &format!("an array of {count} bools, one per layer"),
            |value| match value {
                Value::Array(Array::Bool(flags)) if flags.len() == count => Some(&**flags),
                _ => None,
            },
        )
    }

    /// Reads a token id.
    pub(super) fn token(&self, key: &str) -> Result<Option<u32>> {
        // -1 stands for none, and is also written as an unsigned number.
        let none = |value: &Value| matches!(value, Value::I32(-1) | Value::U32(u32::MAX));
        if self.get(key).is_some_and(none) {
            return Ok(None);
        }
        self.read(key, "a token id", |value| {
            u32::try_from(value.unsigned()?).ok()
        })
    }

    /// Reads a list of texts.
    pub(super) fn texts(&self, key: &str) -> Result<Option<&[String]>> {
        self.read(key, "an array of strings", |value| match value {
            Value::Array(Array::String(texts)) => Some(&**texts),
            _ => None,
        })
    }

    fn read<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        read(value).map(Some).ok_or_else(|| {
            self.fault(format!(
                "metadata {key} is {}: expected {expected}",
                shown(value)
            ))
        })
    }

    /// Returns an error about the metadata.
    pub(super) fn fault(&self, message: String) -> Error {
        Error::Config {
            path: self.path.clone(),
            message,
        }
    }

    /// Returns an error about the tokenizer.
    pub(super) fn tokenizer_fault(&self, message: String) -> Error {
        Error::Tokenizer {
            path: self.path.clone(),
            message,
        }
    }

    /// Returns the path of the file, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns a value for a message: with its type if it is short, else its type.
pub(super) fn shown(value: &Value) -> String {
    let kind = value.type_name();
    match value {
        Value::String(text) => format!("{kind} {text:.40?}"),
        Value::Array(array) => format!("an array of {}", array.type_name()),
        Value::U8(number) => format!("{kind} {number}"),
        Value::I8(number) => format!("{kind} {number}"),
        Value::U16(number) => format!("{kind} {number}"),
        Value::I16(number) => format!("{kind} {number}"),
        Value::U32(number) => format!("{kind} {number}"),
        Value::I32(number) => format!("{kind} {number}"),
        Value::U64(number) => format!("{kind} {number}"),
        Value::I64(number) => format!("{kind} {number}"),
        Value::F32(number) => format!("{kind} {number}"),
        Value::F64(number) => format!("{kind} {number}"),
        Value::Bool(flag) => format!("{kind} {flag}"),
    }
}
