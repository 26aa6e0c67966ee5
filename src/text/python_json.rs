//! JSON as Python writes it: with `NaN`, `Infinity` and `-Infinity`, which JSON does not have.

use std::borrow::Cow;

use serde_json::Value;

const NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// Parses one JSON value. Fails with a description of the error.
pub(super) fn parse_value(text: &str) -> Result<Value, String> {
    serde_json::from_str(&without_nan(text)).map_err(|error| error.to_string())
}

/// Replaces these numbers by nulls, so that one that is needed is an error and one in an unused key is not.
/// Lines stay what they are.
pub(super) fn without_nan(text: &str) -> Cow<'_, str> {
    replaced(text, |_| "null".to_string())
}

/// Replaces the numbers that Python's JSON has and the standard does not, outside of strings.
pub(crate) fn replaced(text: &str, replacement: impl Fn(&str) -> String) -> Cow<'_, str> {
    if !text.contains("NaN") && !text.contains("Infinity") {
        return Cow::Borrowed(text);
    }
    let mut replaced = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let number = NUMBERS.into_iter().find(|number| rest.starts_with(number));
        let length = match (first, number) {
            ('"', _) => string_length(rest),
            (_, Some(number)) => {
                replaced.push_str(&replacement(number));
                rest = &rest[number.len()..];
                continue;
            }
            // Other words are copied whole, so that no part of one is replaced.
            _ if first.is_alphanumeric() => rest
                .find(|character: char| !character.is_alphanumeric())
                .unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        replaced.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    Cow::Owned(replaced)
}

/// Length of the string that a text starts with. One that is not closed ends with its line.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (position, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'\n' => return position,
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return position + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_replaced_outside_of_strings() {
        for (text, expected) in [
            ("{\"a\": NaN}", "{\"a\": null}"),
            ("[Infinity,-Infinity, NaN]", "[null,null, null]"),
            (
                r#"{"NaN": "NaN \" NaN", "b": NaN}"#,
                r#"{"NaN": "NaN \" NaN", "b": null}"#,
            ),
            (
                "{\"a\": \"NaN\n{\"b\": NaN}",
                "{\"a\": \"NaN\n{\"b\": null}",
            ),
            ("aNaN 1", "aNaN 1"),
            ("[NaN", "[null"),
            ("\"NaN", "\"NaN"),
            ("é NaN \"\\", "é null \"\\"),
        ] {
            assert_eq!(without_nan(text), expected);
        }
        assert!(matches!(without_nan("{\"a\": 1}"), Cow::Borrowed(_)));
    }
}
