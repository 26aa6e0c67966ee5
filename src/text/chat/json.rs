//! JSON like Python's `json.dumps`, with which templates format tools and arguments.

use std::fmt::Write;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::number;

/// Maximum nesting depth of lists and objects.
const MAX_DEPTH: usize = 128;

/// The `tojson` filter of transformers: no ASCII or HTML escaping, keys in order, separators `", "` and
/// `": "`. Supports `ensure_ascii`, `indent`, `separators` and `sort_keys`.
pub(super) fn tojson(
    state: &State,
    value: &Value,
    ensure_ascii: Option<bool>,
    options: Kwargs,
) -> Result<String, Error> {
    let ensure_ascii = match ensure_ascii {
        Some(given) => Some(given),
        None => options.get("ensure_ascii")?,
    };
    let indent = match options.get::<Option<Value>>("indent")? {
        None => None,
        Some(value) if value.is_none() => None,
        Some(value) => Some(indent_of(&value)?),
    };
    let (item_end, key_end) = match options.get::<Option<Vec<String>>>("separators")? {
        Some(given) => <[String; 2]>::try_from(given)
            .map(|[item_end, key_end]| (item_end, key_end))
            .map_err(|_| invalid("tojson: separators must be two strings"))?,
        None if indent.is_some() => (",".to_string(), ": ".to_string()),
        None => (", ".to_string(), ": ".to_string()),
    };
    let sort_keys = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    let mut writer = Writer {
        state,
        text: String::new(),
        paid: 0,
        ensure_ascii: ensure_ascii.unwrap_or(false),
        indent,
        item_end,
        key_end,
        sort_keys,
    };
    writer.value(value, 0)?;
    Ok(writer.text)
}

/// Parses one level of indentation: a number of spaces, or a string.
fn indent_of(value: &Value) -> Result<String, Error> {
    const MOST: usize = 64;
    if let Some(text) = value.as_str() {
        return Ok(text.to_string());
    }
    let spaces = i64::try_from(value.clone())?.max(0);
    match usize::try_from(spaces) {
        Ok(spaces) if spaces <= MOST => Ok(" ".repeat(spaces)),
        _ => Err(invalid("tojson: indent is too large")),
    }
}

struct Writer<'a> {
    state: &'a State<'a, 'a>,
    text: String,
    /// Bytes of the text for which fuel was consumed.
    paid: usize,
    ensure_ascii: bool,
    indent: Option<String>,
    item_end: String,
    key_end: String,
    sort_keys: bool,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        // A value that refers to another one many times can be far larger as text.
        const BYTES_PER_FUEL: usize = 64;
        let unpaid = (self.text.len() - self.paid) / BYTES_PER_FUEL;
        self.paid += unpaid * BYTES_PER_FUEL;
        self.state.consume_fuel(unpaid as u64 + 1)?;

        if depth > MAX_DEPTH {
            return Err(invalid("tojson: the value is nested too deeply"));
        }
        match value.kind() {
            ValueKind::None => self.text.push_str("null"),
            ValueKind::Bool => {
                let text = if value.is_true() { "true" } else { "false" };
                self.text.push_str(text);
            }
            ValueKind::Number if value.is_integer() => self.text.push_str(&value.to_string()),
            ValueKind::Number => self.text.push_str(&json_float(value)?),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => self.list(value, depth)?,
            ValueKind::Map => self.object(value, depth)?,
            kind => {
                return Err(invalid(format!(
                    "tojson: {kind} cannot be serialized as JSON"
                )));
            }
        }
        Ok(())
    }

    fn list(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.text.push('[');
        let mut first = true;
        for item in value.try_iter()? {
            self.begin_item(first, depth);
            self.value(&item, depth + 1)?;
            first = false;
        }
        self.end(first, depth, ']');
        Ok(())
    }

    fn object(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let mut keys: Vec<Value> = value.try_iter()?.collect();
        if self.sort_keys {
            keys.sort();
        }
        self.text.push('{');
        let mut first = true;
        for key in keys {
            self.begin_item(first, depth);
            let name = match key.kind() {
                ValueKind::String => key.to_string(),
                ValueKind::None => "null".to_string(),
                ValueKind::Bool if key.is_true() => "true".to_string(),
                ValueKind::Bool => "false".to_string(),
                ValueKind::Number if key.is_integer() => key.to_string(),
                ValueKind::Number => json_float(&key)?,
                kind => return Err(invalid(format!("tojson: {kind} cannot be a key"))),
            };
            self.string(&name);
            self.text.push_str(&self.key_end);
            self.value(&value.get_item(&key)?, depth + 1)?;
            first = false;
        }
        self.end(first, depth, '}');
        Ok(())
    }

    fn begin_item(&mut self, first: bool, depth: usize) {
        if !first {
            self.text.push_str(&self.item_end);
        }
        self.line(depth + 1);
    }

    fn end(&mut self, empty: bool, depth: usize, bracket: char) {
        if !empty {
            self.line(depth);
        }
        self.text.push(bracket);
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.text.push('\n');
            (0..depth).for_each(|_| self.text.push_str(indent));
        }
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        for character in text.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                '\0'..='\u{1f}' => self.escaped(character),
                _ if self.ensure_ascii && !matches!(character, ' '..='~') => {
                    self.escaped(character)
                }
                _ => self.text.push(character),
            }
        }
        self.text.push('"');
    }

    fn escaped(&mut self, character: char) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(self.text, "\\u{unit:04x}");
        }
    }
}

fn json_float(value: &Value) -> Result<String, Error> {
    let value = f64::try_from(value.clone())?;
    Ok(match number::float(value).as_str() {
        "nan" => "NaN".to_string(),
        "inf" => "Infinity".to_string(),
        "-inf" => "-Infinity".to_string(),
        text => text.to_string(),
    })
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}
