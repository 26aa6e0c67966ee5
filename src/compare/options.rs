//! Training options in the tables of a recipe, and faults of a recipe.

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use crate::error::Error;
use crate::train::TrainOptions;

/// A method of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodEntry {
    /// Name in the report.
    pub name: String,
    /// Its options; [`Recipe::training`](super::Recipe::training) provides those that are absent.
    pub options: TrainOptions,
    /// Further values of its strength.
    pub sweep: Vec<f64>,
}

/// A fault in a recipe, with its position.
pub(super) struct Fault {
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
    pub(super) fn or_keys(mut self, keys: &[&str]) -> Self {
        if let Some((_, known)) = &mut self.unknown_key {
            known.extend(keys.iter().map(ToString::to_string));
        }
        self
    }

    /// Returns the error with the line and a suggestion.
    pub(super) fn in_file(self, path: &Path, text: &str) -> Error {
        let line = self.span.map_or_else(String::new, |span| {
            let before = text.get(..span.start).unwrap_or(text);
            format!("line {}: ", before.matches('\n').count() + 1)
        });
        let advice = self
            .unknown_key
            .and_then(|(key, known)| nearest(&key, known))
            .map_or_else(String::new, |key| format!("; did you mean {key}?"));
        Error::Recipe {
            path: path.to_path_buf(),
            message: format!("{line}{}{advice}", self.message),
        }
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

type Table<'a> = Spanned<DeTable<'a>>;

/// Returns the tables of an array of tables.
pub(super) fn tables(array: Option<Spanned<DeValue<'_>>>) -> Result<Vec<Table<'_>>, Fault> {
    let Some(array) = array else {
        return Ok(Vec::new());
    };
    let span = array.span();
    let DeValue::Array(array) = array.into_inner() else {
        return Err(not_a_table(span));
    };
    array.into_iter().map(table).collect()
}

fn table(value: Spanned<DeValue<'_>>) -> Result<Table<'_>, Fault> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Ok(Spanned::new(span, table)),
        _ => Err(not_a_table(span)),
    }
}

fn not_a_table(span: Range<usize>) -> Fault {
    Fault {
        message: "expected a table".to_string(),
        span: Some(span),
        unknown_key: None,
    }
}

/// Reads a method: its options, `name` and `sweep`.
pub(super) fn method(method: Table<'_>) -> Result<MethodEntry, Fault> {
    #[derive(Deserialize)]
    struct Own {
        name: String,
        #[serde(default)]
        sweep: Vec<f64>,
    }
    let (own, options) = split(method, &["name", "sweep"]);
    let Own { name, sweep } = Own::deserialize(Deserializer::from(own))?;
    Ok(MethodEntry {
        name,
        options: options_of(options, &["name", "sweep"])?,
        sweep,
    })
}

/// Reads the table of options that all methods share.
pub(super) fn training(value: Spanned<DeValue<'_>>) -> Result<TrainOptions, Fault> {
    options_of(table(value)?, &[])
}

/// Returns the entries of a table with these keys, and the others.
fn split<'a>(table: Table<'a>, keys: &[&str]) -> (Table<'a>, Table<'a>) {
    let span = table.span();
    let (own, rest) = table
        .into_inner()
        .into_iter()
        .partition(|(key, _)| keys.contains(&&**key.get_ref()));
    (Spanned::new(span.clone(), own), Spanned::new(span, rest))
}

/// Reads options key by key, so that each mistake is reported with its own line.
fn options_of(table: Table<'_>, other_keys: &[&str]) -> Result<TrainOptions, Fault> {
    let known = known_options();
    let mut options = TrainOptions::default();
    for (key, value) in table.into_inner() {
        let span = key.span();
        let name = key.get_ref().to_string();
        if !known.contains(&name) {
            let keys = known.iter().cloned();
            let keys = keys.chain(other_keys.iter().map(ToString::to_string));
            return Err(Fault {
                message: format!("unknown key `{name}`"),
                span: Some(span),
                unknown_key: Some((name, keys.collect())),
            });
        }
        let single = DeTable::from_iter([(key, value)]);
        let single = Deserializer::from(Spanned::new(span.clone(), single));
        let single = TrainOptions::deserialize(single).map_err(|error| Fault {
            message: format!("{name}: {}", error.message().trim()),
            span: Some(error.span().unwrap_or(span)),
            unknown_key: None,
        })?;
        options = single.or(&options);
    }
    Ok(options)
}

/// Returns the keys of [`TrainOptions`].
fn known_options() -> Vec<String> {
    let options = serde_json::to_value(TrainOptions::default()).unwrap_or_default();
    let keys = options.as_object().into_iter().flat_map(|keys| keys.keys());
    keys.cloned().chain(["learning_rate".to_string()]).collect()
}
