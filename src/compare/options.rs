//! Training options in the tables of a recipe.

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeValue, Deserializer};

use crate::train::TrainOptions;
use crate::train::table::{self, Fault, Table};

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
    options_of(table::table(value)?, &[])
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
    let span = table.span();
    let mut known = TrainOptions::keys();
    known.extend(other_keys.iter().map(ToString::to_string));
    let read = |map| serde_json::from_value::<TrainOptions>(Value::Object(map));
    let map = table::checked(table::entries(table)?, &known, |map| read(map).map(drop))?;
    read(map).map_err(|error| Fault::of_table(error.to_string(), span))
}
