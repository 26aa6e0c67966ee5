//! Tools and tool calls: those that stand in a conversation, as templates expect them.

use serde_json::Value;

use super::names::kind;
use crate::text::python_json::parse_value;

/// Validates the tools of a conversation: a list, or the list as a JSON string, as in tables. Nulls are
/// dropped, except within a JSON string, where they are meant. Fails with a description of the error.
pub(super) fn checked(tools: Value) -> Result<Option<Value>, String> {
    let tools = match tools {
        Value::String(json) if json.trim().is_empty() => return Ok(None),
        Value::String(json) => parse_value(&json)
            .map_err(|error| format!("\"tools\" is a string that is not JSON: {error}"))?,
        mut tools => {
            drop_nulls(&mut tools);
            tools
        }
    };
    match tools {
        Value::Null => Ok(None),
        Value::Array(_) => Ok(Some(tools)),
        other => Err(format!("\"tools\" is {}: expected a list", kind(&other))),
    }
}

/// Drops the nulls of all objects in a value. Arrow fills in a null for every key that one of the objects of
/// a column lacks, in Parquet as well as in JSON that was exported from it.
pub(super) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Parses the arguments of calls that are objects as JSON strings, as the API of OpenAI has them. Templates
/// expect objects.
pub(super) fn parse_arguments(calls: &mut Value) {
    match calls {
        Value::Array(calls) => calls.iter_mut().for_each(parse_arguments),
        Value::Object(call) => {
            if let Some(function) = call.get_mut("function") {
                parse_arguments(function);
            }
            if let Some(arguments) = call.get_mut("arguments")
                && let Some(Ok(parsed)) = arguments.as_str().map(parse_value)
                && parsed.is_object()
            {
                *arguments = parsed;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nulls_of_objects_are_dropped_but_not_those_of_strings_and_lists() {
        let tools = json!([{"a": null, "b": [null, {"c": null, "d": 1}], "e": {"f": null}}]);
        let dropped = json!([{"b": [null, {"d": 1}], "e": {}}]);
        assert_eq!(checked(tools.clone()).unwrap(), Some(dropped));
        let meant = json!(tools.to_string());
        assert_eq!(checked(meant).unwrap(), Some(tools));
        for none in [json!(null), json!(""), json!("null")] {
            assert_eq!(checked(none).unwrap(), None);
        }
        let mut calls = json!([
            {"function": {"name": "f", "arguments": "{\"a\": null}"}},
            {"name": "f", "arguments": "{\"b\": {}}"},
            {"name": "f", "arguments": "no"},
            {"name": "f", "arguments": "5"},
        ]);
        parse_arguments(&mut calls);
        let parsed = json!([
            {"function": {"name": "f", "arguments": {"a": null}}},
            {"name": "f", "arguments": {"b": {}}},
            {"name": "f", "arguments": "no"},
            {"name": "f", "arguments": "5"},
        ]);
        assert_eq!(calls, parsed);
        assert!(checked(json!("{")).unwrap_err().contains("not JSON"));
        assert!(checked(json!({})).unwrap_err().contains("expected a list"));
    }
}
