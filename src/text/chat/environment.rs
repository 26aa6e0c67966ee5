//! The Jinja environment, with the functions and filters that transformers provides.

use std::fmt::Write;

use chrono::NaiveDateTime;
use chrono::format::{Fixed, Item, StrftimeItems};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, Value};

use super::json::tojson;
use super::{limits, methods, number, tags};

/// The message that a template passed to `raise_exception`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Raised(pub String);

/// Creates the environment, without templates and time (see [`set_time`]).
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .expect("the default delimiters are valid");
    environment.set_syntax(syntax);
    environment.set_recursion_limit(limits::RECURSION);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(format);
    environment.set_unknown_method_callback(methods::call);
    environment.add_filter("tojson", tojson);
    environment.add_filter("trim", trim);
    environment.add_filter(tags::KEPT, kept);
    environment.add_filter(tags::KEPT_IN_NAMESPACE, kept_in_namespace);
    environment.add_test("iterable", is_iterable);
    environment.add_test("sequence", is_sequence);
    environment.add_function("raise_exception", raise_exception);
    environment
}

/// Sets the time that templates print. It is the same for all renderings of a conversation, so that
/// prefixes match.
pub(super) fn set_time(environment: &mut Environment<'_>, now: NaiveDateTime) {
    environment.add_function("strftime_now", move |format: &str| strftime(now, format));
}

/// Formats values like Python's `str`.
fn format(out: &mut Output, _: &mut State, value: &Value) -> Result<(), Error> {
    let written = match value.kind() {
        ValueKind::Number if !value.is_integer() => {
            out.write_str(&number::float(f64::try_from(value.clone())?))
        }
        _ => write!(out, "{value}"),
    };
    written.map_err(|_| Error::from(ErrorKind::WriteFailure))
}

/// Jinja's `trim`, which converts other values to strings.
fn trim(value: &Value, characters: Option<&str>) -> String {
    let text = value.to_string();
    text.trim_matches(|character: char| match characters {
        Some(characters) => characters.contains(character),
        None => methods::is_space(character),
    })
    .to_string()
}

/// Like in Python: `None` is not iterable, an undefined value is.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// Like in Jinja: all values with a length and items, including strings and dictionaries.
fn is_sequence(value: &Value) -> bool {
    is_iterable(value)
}

/// Checks a value assigned to a variable: it must not be nested too deeply to traverse.
fn kept(state: &State, value: Value) -> Result<Value, Error> {
    let value = listed(value)?;
    match is_namespace(&value) {
        true => value.try_iter()?.try_for_each(|name| {
            let held = value.get_item(&name)?;
            check_depth(state, &held, limits::VALUE_DEPTH)
        })?,
        false => check_depth(state, &value, limits::VALUE_DEPTH)?,
    }
    Ok(value)
}

/// Checks a value assigned to a namespace: it must not contain the namespace itself.
fn kept_in_namespace(state: &State, value: Value) -> Result<Value, Error> {
    let value = listed(value)?;
    check_depth(state, &value, limits::VALUE_DEPTH)?;
    Ok(value)
}

/// Converts slices and other lazy iterables to lists like in Python, so that they do not nest without
/// bound.
fn listed(value: Value) -> Result<Value, Error> {
    if value.kind() != ValueKind::Iterable {
        return Ok(value);
    }
    Ok(value.try_iter()?.collect::<Vec<Value>>().into())
}

fn check_depth(state: &State, value: &Value, left: usize) -> Result<(), Error> {
    state.consume_fuel(1)?;
    if is_namespace(value) {
        let message = "a namespace within another value is not supported";
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    if !matches!(
        value.kind(),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable
    ) {
        return Ok(());
    }
    let left = left.checked_sub(1).ok_or_else(|| {
        let message = "a value is nested too deeply";
        Error::new(ErrorKind::InvalidOperation, message)
    })?;
    let is_map = value.kind() == ValueKind::Map;
    value.try_iter()?.try_for_each(|item| match is_map {
        true => check_depth(state, &value.get_item(&item)?, left),
        false => check_depth(state, &item, left),
    })
}

/// Namespaces are the only mutable values, and so the only ones that could contain themselves.
fn is_namespace(value: &Value) -> bool {
    let object = value.as_object();
    object.is_some_and(|object| object.type_name().ends_with("::Namespace"))
}

fn raise_exception(arguments: Rest<Value>, _: Kwargs) -> Result<Value, Error> {
    let said = arguments.first().map(Value::to_string).unwrap_or_default();
    Err(Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Raised(said)))
}

fn strftime(time: NaiveDateTime, format: &str) -> Result<String, Error> {
    // Python's naive local time formats a time zone as an empty string.
    let is_zone = |item: &Item<'_>| {
        matches!(
            item,
            Item::Fixed(Fixed::TimezoneName | Fixed::TimezoneOffset)
        )
    };
    let items = StrftimeItems::new(format).filter(|item| !is_zone(item));
    let mut text = String::new();
    // Writing fails for an invalid format.
    write!(text, "{}", time.format_with_items(items)).map_err(|_| {
        let message = format!("strftime_now: {format:?} is not a valid date format");
        Error::new(ErrorKind::InvalidOperation, message)
    })?;
    Ok(text)
}
