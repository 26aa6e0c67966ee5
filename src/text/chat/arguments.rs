//! Arguments of tool calls as JSON text, for templates that concatenate them.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// Replaces the arguments of calls that are objects by their JSON text. Returns whether there are any.
pub(super) fn write(calls: &mut Value) -> bool {
    let mut is_changed = false;
    for call in calls.as_array_mut().into_iter().flatten() {
        let function = match call.get("function").is_some_and(Value::is_object) {
            true => &mut call["function"],
            false => call,
        };
        if let Some(arguments) = function.get_mut("arguments")
            && arguments.is_object()
            && let Some(text) = text(arguments)
        {
            *arguments = text.into();
            is_changed = true;
        }
    }
    is_changed
}

/// A value as Python's `json.dumps(…, ensure_ascii=False)` writes it.
fn text(value: &Value) -> Option<String> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, Python);
    value.serialize(&mut serializer).ok()?;
    String::from_utf8(bytes).ok()
}

/// Separators with a space.
struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}
