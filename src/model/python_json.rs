//! JSON as Python writes it: with `NaN`, `Infinity` and `-Infinity` as numbers.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::text::python_json::replaced;

/// Parses an object; `path` is for messages. Python's additional numbers become `{"__float__": "Infinity"}`, the form in which
/// `transformers` writes them and reads them back: no field that takes a number accepts it.
///
/// # Errors
///
/// [`Error::Parse`] if the file is not a JSON object.
pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Map<String, Value>> {
    // Few files have such numbers, and none of the others is copied.
    let object = serde_json::from_slice(bytes).or_else(|error| match standard(bytes) {
        Some(standard) => serde_json::from_str(&standard),
        None => Err(error),
    });
    object.map_err(Error::parse(path, "a JSON object"))
}

/// Returns the file in standard JSON.
fn standard(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let object = |number: &str| format!("{{\"__float__\":\"{number}\"}}");
    Some(replaced(text, object).into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pythons_numbers_are_read_outside_of_strings_only() {
        let text =
            r#"{"a": [0.0, Infinity], "b": -Infinity, "c": NaN, "d": "NaN \" Infinity", "e\\": 1}"#;
        let number = |name: &str| json!({ "__float__": name });
        let expected = json!({
            "a": [0.0, number("Infinity")], "b": number("-Infinity"), "c": number("NaN"),
            "d": "NaN \" Infinity", "e\\": 1,
        });
        assert_eq!(
            Value::Object(parse(text.as_bytes(), Path::new("a.json")).unwrap()),
            expected
        );
    }

    #[test]
    fn other_files_are_invalid() {
        for text in [
            "",
            "[NaN]",
            "{\"a\": Inf}",
            "{\"a\": NaNs}",
            "{\"a\": \"\\",
            "{NaN: 1}",
        ] {
            assert!(
                parse(text.as_bytes(), Path::new("a.json")).is_err(),
                "{text}"
            );
        }
    }
}
