//! Reads the fields of a `config.json`, with errors that name the file and the field.

use std::ops::RangeInclusive;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Maximum of every size: far beyond that of any model, and the product of two does not overflow.
pub(super) const MAX_SIZE: usize = 1 << 24;
/// Maximum number of layers: far beyond that of any model. Each takes memory before any weight is read.
const MAX_LAYERS: usize = 1 << 12;

/// The fields of an object in a `config.json`.
pub(super) struct Fields<'a> {
    json: &'a Map<String, Value>,
    path: &'a Path,
    /// Path of the object in the file, which precedes field names in messages.
    prefix: String,
}

impl<'a> Fields<'a> {
    /// The top-level fields of the file.
    pub(super) fn of_file(json: &'a Map<String, Value>, path: &'a Path) -> Self {
        Self {
            json,
            path,
            prefix: String::new(),
        }
    }

    /// Returns the fields of a nested object, unless it is absent or null.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>> {
        match self.json.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(json)) => Ok(Some(Self {
                json,
                path: self.path,
                prefix: format!("{}{name}.", self.prefix),
            })),
            Some(value) => Err(self.unexpected(name, value, "an object")),
        }
    }

    /// Returns the names of all fields.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.json.keys().map(String::as_str)
    }

    /// Returns whether a field is present, even if null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.json.contains_key(name)
    }

    /// Reads a required field.
    pub(super) fn required<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<T> {
        self.optional(name)?.ok_or_else(|| self.missing(name))
    }

    /// Reads a field that may be absent or null.
    pub(super) fn optional<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>> {
        match self.json.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value)
                .map(Some)
                .map_err(|error| self.unexpected(name, value, &error.to_string())),
        }
    }

    /// Reads a field, with a default where it is absent or null.
    pub(super) fn or<T: for<'de> Deserialize<'de>>(&self, name: &str, default: T) -> Result<T> {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    /// Reads a required size of at least 1.
    pub(super) fn size(&self, name: &str) -> Result<usize> {
        let size = self.optional_size(name)?;
        size.ok_or_else(|| self.missing(name))
    }

    /// Reads a size that may be absent or null.
    pub(super) fn optional_size(&self, name: &str) -> Result<Option<usize>> {
        let size = self.optional(name)?;
        size.map(|size| self.in_range(name, size, 1..=MAX_SIZE))
            .transpose()
    }

    /// Reads a required list of sizes.
    pub(super) fn sizes(&self, name: &str) -> Result<Vec<usize>> {
        let sizes: Vec<usize> = self.required(name)?;
        sizes
            .into_iter()
            .map(|size| self.in_range(name, size, 1..=MAX_SIZE))
            .collect()
    }

    /// Reads a required number of layers.
    pub(super) fn layers(&self, name: &str) -> Result<usize> {
        self.in_range(name, self.required(name)?, 1..=MAX_LAYERS)
    }

    /// Reads a required size of at least 2.
    pub(super) fn at_least_two(&self, name: &str) -> Result<usize> {
        self.in_range(name, self.required(name)?, 2..=MAX_SIZE)
    }

    /// Reads token ids: one, a list, or none. A negative id, which some exports write, stands for none.
    pub(super) fn token_ids(&self, name: &str) -> Result<Vec<u32>> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Ids {
            One(i64),
            Many(Vec<i64>),
        }
        let ids = match self.json.get(name) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(value) => Ids::deserialize(value).map_err(|_| {
                self.unexpected(name, value, "expected a token id or a list of them")
            })?,
        };
        let ids = match ids {
            Ids::One(id) => vec![id],
            Ids::Many(ids) => ids,
        };
        // No vocabulary has more tokens, so that larger ids are treated like any other beyond it.
        let id = |id: i64| (id >= 0).then(|| u32::try_from(id).unwrap_or(u32::MAX));
        Ok(ids.into_iter().filter_map(id).collect())
    }

    /// Checks that a list has one entry per layer.
    pub(super) fn for_layers<T>(&self, name: &str, list: Vec<T>, layers: usize) -> Result<Vec<T>> {
        if list.len() == layers {
            return Ok(list);
        }
        Err(self.fault(format!(
            "{}{name} has {} entries, but the model has {layers} layers",
            self.prefix,
            list.len()
        )))
    }

    /// Refuses an unsupported field, unless it is absent or null.
    pub(super) fn refuse(&self, name: &str) -> Result<()> {
        match self.json.get(name) {
            None | Some(Value::Null) => Ok(()),
            Some(value) => Err(self.fault(format!(
                "{}{name} is {value}: unsupported, expected null",
                self.prefix
            ))),
        }
    }

    /// Returns an error about the file.
    pub(super) fn fault(&self, message: String) -> Error {
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
            self.prefix
        )))
    }

    fn missing(&self, name: &str) -> Error {
        self.fault(format!("{}{name} is missing", self.prefix))
    }

    fn unexpected(&self, name: &str, value: &Value, expected: &str) -> Error {
        self.fault(format!(
            "{}{name} is {}: {expected}",
            self.prefix,
            shortened(value)
        ))
    }
}

/// Returns a value as JSON, truncated.
fn shortened(value: &Value) -> String {
    const SHOWN: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
