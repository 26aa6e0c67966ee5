//! Formats lists of names for messages.

use serde_json::Value;

/// Number of names that are listed; the rest is counted.
const SHOWN: usize = 8;
/// Maximum number of characters of a name.
const LONGEST: usize = 60;

/// Formats as `"id", "date" and 3 more`, or `nothing`.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let shown: Vec<_> = names.by_ref().take(SHOWN).map(quote).collect();
    let more = match names.count() {
        0 => None,
        count => Some(format!("{count} more")),
    };
    match (shown.as_slice(), more) {
        ([], _) => "nothing".to_string(),
        (shown, Some(more)) => format!("{} and {more}", shown.join(", ")),
        ([name], None) => name.clone(),
        ([names @ .., last], None) => format!("{} and {last}", names.join(", ")),
    }
}

/// Quotes a name, truncated if it is too long.
pub(super) fn quote(name: &str) -> String {
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &name[..end]),
        None => format!("{name:?}"),
    }
}

/// Returns `column` or `columns`.
pub(super) fn plural(noun: &str, count: usize) -> String {
    match count {
        1 => noun.to_string(),
        _ => format!("{noun}s"),
    }
}

/// The type of a JSON value, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_limited() {
        assert_eq!(list([]), "nothing");
        assert_eq!(list(["a"]), "\"a\"");
        assert_eq!(list(["a", "b", "c"]), "\"a\", \"b\" and \"c\"");
        let long = list(["x"; 30]);
        assert!(long.ends_with("\"x\" and 22 more"), "{long}");
        assert!(quote(&"é".repeat(1000)).chars().count() < 70);
    }
}
