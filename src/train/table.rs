//! Settings in files: keys are read one by one, so that each mistake is reported with its own line.

use std::ops::Range;

use serde::Deserialize;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

/// A table in TOML, with the positions of its keys and values.
pub(crate) type Table<'a> = Spanned<DeTable<'a>>;

/// A fault in a file, with its position.
pub(crate) struct Fault {
    message: String,
    span: Option<Range<usize>>,
    /// An unknown key, and the known ones.
    unknown_key: Option<(String, Vec<String>)>,
}

impl From<toml::de::Error> for Fault {
    fn from(error: toml::de::Error) -> Self {
        let message = error.message().trim().to_string();
        // serde's message "unknown field `a`, expected one of `b`, `c`" is the only source of both.
        let mut quoted = message
            .starts_with("unknown field")
            .then(|| message.split('`').skip(1).step_by(2).map(str::to_string))
            .into_iter()
            .flatten();
        let unknown_key = quoted.next().map(|key| (key, quoted.collect()));
        Self {
            span: error.span(),
            unknown_key,
            message,
        }
    }
}

impl Fault {
    /// Adds known keys.
    pub(crate) fn or_keys(mut self, keys: &[&str]) -> Self {
        if let Some((_, known)) = &mut self.unknown_key {
            known.extend(keys.iter().map(ToString::to_string));
        }
        self
    }

    /// Returns the message with the line in the text of the file, and a suggestion.
    pub(crate) fn in_text(self, text: &str) -> String {
        let line = self.span.map_or_else(String::new, |span| {
            let before = text.get(..span.start).unwrap_or(text);
            format!("line {}: ", before.matches('\n').count() + 1)
        });
        let advice = self
            .unknown_key
            .and_then(|(key, known)| nearest(&key, known))
            .map_or_else(String::new, |key| format!("; did you mean {key}?"));
        format!("{line}{}{advice}", self.message)
    }

    /// A fault of a whole table.
    pub(crate) fn of_table(message: String, span: Range<usize>) -> Self {
        Self {
            message,
            span: Some(span),
            unknown_key: None,
        }
    }

    fn not_a_table(span: Range<usize>) -> Self {
        Self::of_table("expected a table".to_string(), span)
    }
}

/// Returns the most similar known key, if it is similar enough.
fn nearest(unknown: &str, known: Vec<String>) -> Option<String> {
    let distance = |key: &String| strsim::damerau_levenshtein(unknown, key);
    known
        .into_iter()
        .min_by_key(distance)
        .filter(|key| distance(key) <= key.len().max(unknown.len()) / 2)
}

/// Returns the table that a value is.
pub(crate) fn table(value: Spanned<DeValue<'_>>) -> Result<Table<'_>, Fault> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Ok(Spanned::new(span, table)),
        _ => Err(Fault::not_a_table(span)),
    }
}

/// Returns the tables of an array of tables.
pub(crate) fn tables(array: Option<Spanned<DeValue<'_>>>) -> Result<Vec<Table<'_>>, Fault> {
    let Some(array) = array else {
        return Ok(Vec::new());
    };
    let span = array.span();
    let DeValue::Array(array) = array.into_inner() else {
        return Err(Fault::not_a_table(span));
    };
    array.into_iter().map(table).collect()
}

/// A setting in a file.
pub(crate) struct Entry {
    key: String,
    value: Value,
    /// Where its key is, if the format has positions.
    span: Option<Range<usize>>,
}

#[cfg(feature = "cli")]
impl From<(String, Value)> for Entry {
    fn from((key, value): (String, Value)) -> Self {
        Self {
            key,
            value,
            span: None,
        }
    }
}

/// Returns the settings of a table.
pub(crate) fn entries(table: Table<'_>) -> Result<Vec<Entry>, Fault> {
    let mut entries = Vec::new();
    for (key, value) in table.into_inner() {
        let span = key.span();
        let single = DeTable::from_iter([(key, value)]);
        let single = Deserializer::from(Spanned::new(span.clone(), single));
        let single: Map<String, Value> = Map::deserialize(single)?;
        entries.extend(single.into_iter().map(|(key, value)| Entry {
            key,
            value,
            span: Some(span.clone()),
        }));
    }
    Ok(entries)
}

/// Returns settings as a map, each checked on its own by `check`, which reads a map with a single key.
pub(crate) fn checked(
    entries: Vec<Entry>,
    known: &[String],
    check: impl Fn(Map<String, Value>) -> serde_json::Result<()>,
) -> Result<Map<String, Value>, Fault> {
    let mut settings = Map::new();
    for Entry { key, value, span } in entries {
        if !known.contains(&key) {
            return Err(Fault {
                message: format!("unknown key `{key}`"),
                span,
                unknown_key: Some((key, known.to_vec())),
            });
        }
        let fault = |message: String| Fault {
            message: format!("{key}: {message}"),
            span: span.clone(),
            unknown_key: None,
        };
        // JSON has neither NaN nor infinity, and TOML no null.
        if value.is_null() {
            return Err(fault("expected a finite number".to_string()));
        }
        let single = Map::from_iter([(key.clone(), value.clone())]);
        check(single).map_err(|error| fault(error.to_string()))?;
        settings.insert(key, value);
    }
    Ok(settings)
}

/// Returns the fields of settings as a map, without the absent ones. Numbers are as short as their type allows.
#[cfg(feature = "cli")]
pub(crate) fn fields(settings: &impl serde::Serialize) -> serde_json::Result<Map<String, Value>> {
    // By way of text, where the float32 0.1 is 0.1 rather than 0.10000000149011612.
    let mut fields: Map<String, Value> = serde_json::from_str(&serde_json::to_string(settings)?)?;
    fields.retain(|_, value| !value.is_null());
    Ok(fields)
}
