//! The fields of a `config.json`, read with messages that name field and file.

use std::ops::RangeInclusive;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Far beyond any model's sizes; the product of two of them is far below where it overflows.
pub(super) const LARGEST: usize = 1 << 24;
/// Far beyond any model's layers; each of them takes memory before the first weight is read.
const MOST_LAYERS: usize = 1 << 12;

/// The fields of an object in a `config.json`.
pub(super) struct Fields<'a> {
    json: &'a Map<String, Value>,
    path: &'a Path,
    /// Where the object is in the file, as it stands before a field's name in messages.
    within: String,
}

impl<'a> Fields<'a> {
    /// Those of the file itself.
    pub fn of_file(json: &'a Map<String, Value>, path: &'a Path) -> Self {
        Self {
            json,
            path,
            within: String::new(),
        }
    }

    /// Those of an object that is itself a field, unless it is absent or null.
    pub fn object(&self, name: &str) -> Result<Option<Self>> {
        match self.json.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(json)) => Ok(Some(Self {
                json,
                path: self.path,
                within: format!("{}{name}.", self.within),
            })),
            Some(value) => Err(self.unexpected(name, value, "an object")),
        }
    }

    /// Whether the file has that field, be it null.
    pub fn has(&self, name: &str) -> bool {
        self.json.contains_key(name)
    }

    /// A field that must be there.
    pub fn required<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<T> {
        self.optional(name)?.ok_or_else(|| self.missing(name))
    }

    /// A field that may be absent or null.
    pub fn optional<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>> {
        match self.json.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value)
                .map(Some)
                .map_err(|error| self.unexpected(name, value, &error.to_string())),
        }
    }

    /// A field that may be absent or null, and what that means.
    pub fn or<T: for<'de> Deserialize<'de>>(&self, name: &str, usual: T) -> Result<T> {
        Ok(self.optional(name)?.unwrap_or(usual))
    }

    /// A size that must be there: of 1 at least.
    pub fn size(&self, name: &str) -> Result<usize> {
        let size = self.optional_size(name)?;
        size.ok_or_else(|| self.missing(name))
    }

    /// A size that may be absent or null.
    pub fn optional_size(&self, name: &str) -> Result<Option<usize>> {
        let size = self.optional(name)?;
        size.map(|size| self.in_range(name, size, 1..=LARGEST))
            .transpose()
    }

    /// A list of sizes that must be there.
    pub fn sizes(&self, name: &str) -> Result<Vec<usize>> {
        let sizes: Vec<usize> = self.required(name)?;
        sizes
            .into_iter()
            .map(|size| self.in_range(name, size, 1..=LARGEST))
            .collect()
    }

    /// A number of layers.
    pub fn layers(&self, name: &str) -> Result<usize> {
        self.in_range(name, self.required(name)?, 1..=MOST_LAYERS)
    }

    /// A size of 2 at least.
    pub fn at_least_two(&self, name: &str) -> Result<usize> {
        self.in_range(name, self.required(name)?, 2..=LARGEST)
    }

    /// A list with an entry for each layer.
    pub fn for_layers<T>(&self, name: &str, list: Vec<T>, layers: usize) -> Result<Vec<T>> {
        if list.len() == layers {
            return Ok(list);
        }
        Err(self.fault(format!(
            "{}{name} has {} entries, but the model has {layers} layers",
            self.within,
            list.len()
        )))
    }

    /// A field that changes what the model computes and is supported only where it is absent or null.
    pub fn refuse(&self, name: &str) -> Result<()> {
        match self.json.get(name) {
            None | Some(Value::Null) => Ok(()),
            Some(value) => Err(self.fault(format!(
                "{}{name} is {value}: only models without it are supported",
                self.within
            ))),
        }
    }

    /// An error about the file.
    pub fn fault(&self, message: String) -> Error {
        Error::Config {
            path: self.path.to_path_buf(),
            message,
        }
    }

    fn in_range(&self, name: &str, size: usize, range: RangeInclusive<usize>) -> Result<usize> {
        if range.contains(&size) {
            return Ok(size);
        }
        let (least, most) = range.into_inner();
        Err(self.fault(format!(
            "{}{name} is {size}: expected {least} to {most}",
            self.within
        )))
    }

    fn missing(&self, name: &str) -> Error {
        self.fault(format!("{}{name} is missing", self.within))
    }

    fn unexpected(&self, name: &str, value: &Value, expected: &str) -> Error {
        self.fault(format!(
            "{}{name} is {}: {expected}",
            self.within,
            shortened(value)
        ))
    }
}

/// A value as it stands in the file, or its beginning.
fn shortened(value: &Value) -> String {
    const SHOWN: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
